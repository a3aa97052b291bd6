//! From text to tokens: one pass, no failure, every byte in exactly one token.

use crate::tree::{Token, TokenKind};

/// The words that are never names.
pub(crate) const RESERVED: [&str; 11] =
    ["true", "false", "if", "then", "else", "and", "or", "not", "in", "on", "let"];

/// The tokens of `text`, whose first byte is byte `base` of the file.
pub(crate) fn tokens(text: &str, base: usize) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(text.len() / 4);
    let mut at = 0;
    while at < text.len() {
        let (kind, len) = token(text, at);
        tokens.push(Token { kind, start: offset(base + at), len: offset(len) });
        at += len;
    }
    tokens
}

/// Spans count in 32 bits; a text that needs more is refused before anything looks at its end.
fn offset(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn run(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().take_while(|byte| belongs(**byte)).count()
}

fn word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The token that begins at `at`, a character boundary before the end.
fn token(text: &str, at: usize) -> (TokenKind, usize) {
    let bytes = text.as_bytes();
    let next = bytes.get(at + 1).copied();
    match bytes[at] {
        b'\n' => (TokenKind::Newline, 1),
        b'\r' if next == Some(b'\n') => (TokenKind::Newline, 2),
        b' ' | b'\t' | b'\r' => (TokenKind::Space, spaces(bytes, at)),
        // A byte order mark says nothing about a text that is UTF-8 anyway.
        0xEF if at == 0 && text.starts_with('\u{feff}') => (TokenKind::Space, 3),
        b'/' if next == Some(b'/') => {
            let len = line_rest(bytes, at);
            let doc = bytes.get(at + 2) == Some(&b'/') && bytes.get(at + 3) != Some(&b'/');
            (if doc { TokenKind::DocComment } else { TokenKind::Comment }, len)
        }
        b'"' => quoted(bytes, at),
        b'0'..=b'9' => (TokenKind::Number, number(bytes, at)),
        byte if word_byte(byte) => (TokenKind::Word, run(bytes, at, word_byte)),
        b'=' | b'!' | b'<' | b'>' if next == Some(b'=') => (TokenKind::Sign, 2),
        b'=' | b':' | b',' | b'.' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'+' | b'-' | b'*' | b'/'
        | b'<' | b'>' => (TokenKind::Sign, 1),
        byte @ (b'&' | b'|') if next == Some(byte) => (TokenKind::Unknown, 2),
        _ => (TokenKind::Unknown, text[at..].chars().next().map_or(1, char::len_utf8)),
    }
}

/// Spaces and tabs; a carriage return without a line feed is no more than a space either.
fn spaces(bytes: &[u8], at: usize) -> usize {
    let mut end = at;
    while let Some(byte) = bytes.get(end) {
        let ends_line = *byte == b'\r' && bytes.get(end + 1) == Some(&b'\n');
        if ends_line || !matches!(byte, b' ' | b'\t' | b'\r') {
            break;
        }
        end += 1;
    }
    end - at
}

/// Bytes up to the line break and the carriage returns before it.
fn line_rest(bytes: &[u8], at: usize) -> usize {
    let mut len = run(bytes, at, |byte| byte != b'\n');
    while bytes[at + len - 1] == b'\r' {
        len -= 1;
    }
    len
}

fn quoted(bytes: &[u8], at: usize) -> (TokenKind, usize) {
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'"' => return (TokenKind::Text, end + 1 - at),
            b'\n' => break,
            b'\\' if bytes.get(end + 1).is_some_and(|next| *next != b'\n') => end += 2,
            _ => end += 1,
        }
    }
    (TokenKind::UnclosedText, line_rest(bytes, at))
}

/// Digits, a part after the point, an exponent, and whatever letters, digits and `%` are attached.
fn number(bytes: &[u8], at: usize) -> usize {
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = at + run(bytes, at, |byte| byte.is_ascii_digit());
    if bytes.get(end) == Some(&b'.') && digit(end + 1) {
        end += 1 + run(bytes, end + 1, |byte| byte.is_ascii_digit());
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if digit(end + 1 + sign) {
            end += 1 + sign;
        }
    }
    end += run(bytes, end, word_byte);
    end + usize::from(bytes.get(end) == Some(&b'%')) - at
}

#[cfg(test)]
mod tests {
    use super::*;
    use TokenKind as K;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        tokens(text, 0).iter().map(|token| (token.kind, &text[token.range()])).collect()
    }

    #[test]
    fn numbers_take_what_is_attached() {
        for number in ["15%", "5e-4", "10k", "1_000", "0.5", "128tok", "1e6", "2.5e+3"] {
            assert_eq!(kinds(number), [(K::Number, number)]);
        }
        assert_eq!(kinds("1.x"), [(K::Number, "1"), (K::Sign, "."), (K::Word, "x")]);
    }

    #[test]
    fn texts_end_at_their_quote_or_with_the_line() {
        assert_eq!(kinds(r#""a\"b""#), [(K::Text, r#""a\"b""#)]);
        assert_eq!(kinds("\"a\r\nb"), [(K::UnclosedText, "\"a"), (K::Newline, "\r\n"), (K::Word, "b")]);
        assert_eq!(kinds("\"a\\\n"), [(K::UnclosedText, "\"a\\"), (K::Newline, "\n")]);
    }

    #[test]
    fn comments_are_of_two_sorts() {
        assert_eq!(kinds("/// a"), [(K::DocComment, "/// a")]);
        assert_eq!(kinds("//// a"), [(K::Comment, "//// a")]);
        assert_eq!(kinds("// a\r\r\n"), [(K::Comment, "// a"), (K::Space, "\r"), (K::Newline, "\r\n")]);
        assert_eq!(kinds("x//\r\n"), [(K::Word, "x"), (K::Comment, "//"), (K::Newline, "\r\n")]);
    }

    #[test]
    fn signs_of_two_characters_come_first() {
        assert_eq!(kinds(">==!"), [(K::Sign, ">="), (K::Sign, "="), (K::Unknown, "!")]);
        assert_eq!(kinds("&&λ"), [(K::Unknown, "&&"), (K::Unknown, "λ")]);
    }
}
