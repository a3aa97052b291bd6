//! Text and numbers for the page.

/// Makes a text safe inside elements and quoted attributes, whatever it holds.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            // Not allowed in HTML, and marks that turn the direction of what follows.
            c if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                out.push('\u{fffd}')
            }
            c => out.push(c),
        }
    }
    out
}

/// A text of a doc comment, safe as by [`escape`], with what stands between backticks as code. A backtick
/// without another in its line stays what it is.
pub(super) fn with_code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        match after.split_once('`') {
            Some((code, after)) if !code.is_empty() && !code.contains('\n') => {
                out.push_str(&escape(before));
                out.push_str("<code>");
                out.push_str(&escape(code));
                out.push_str("</code>");
                rest = after;
            }
            Some(("", after)) => {
                out.push_str(&escape(before));
                out.push_str("``");
                rest = after;
            }
            _ => {
                out.push_str(&escape(before));
                out.push('`');
                rest = after;
            }
        }
    }
    out + &escape(rest)
}

/// The paragraphs of a comment: blank lines part them, and other line breaks are the file's alone.
pub(super) fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in text.lines().map(str::trim) {
        match paragraphs.last_mut() {
            Some(last) if !line.is_empty() => {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(line);
            }
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// How a metric's numbers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Plain,
    /// A share of one, as a percentage.
    Percent,
    /// A difference of shares, in percentage points.
    Points,
}

impl Form {
    /// What the number is multiplied by before it is printed.
    pub(super) fn factor(self) -> f64 {
        match self {
            Self::Plain => 1.0,
            Self::Percent | Self::Points => 100.0,
        }
    }

    /// What stands behind it.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Percent => "%",
            Self::Points => " pt",
        }
    }

    /// The number with as many digits as `resolution`, a size that matters, asks for.
    pub(super) fn number(self, value: f64, resolution: f64) -> String {
        format!("{}{}", digits(value * self.factor(), resolution * self.factor()), self.unit())
    }

    /// The number alone: three digits more or less.
    pub(super) fn short(self, value: f64) -> String {
        let resolution = match self {
            Self::Plain => value.abs() / 100.0,
            Self::Percent | Self::Points => 0.001,
        };
        self.number(value, resolution)
    }
}

/// A number with the decimals that show `resolution`; minus as people write it.
pub(super) fn digits(value: f64, resolution: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "−∞" }.to_owned();
    }
    if value == 0.0 && resolution < 1e-3 {
        return "0".to_owned();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) && (resolution < 1e-4 || size >= 1e7) {
        return format!("{value:.2e}").replace('-', "−");
    }
    let decimals = if resolution > 0.0 && resolution.is_finite() {
        (-resolution.log10()).ceil().clamp(0.0, 6.0) as usize
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    // No negative zero.
    if text.starts_with('-') && text.chars().all(|c| matches!(c, '-' | '0' | '.')) {
        return text.trim_start_matches('-').to_owned();
    }
    text.replace('-', "−")
}

/// A count in three digits: `1.35 M`.
pub(super) fn large(value: f64) -> String {
    if !value.is_finite() {
        return digits(value, 1.0);
    }
    let (mut size, mut unit) = (value, "");
    for next in [" k", " M", " G", " T", " P", " E"] {
        if size.abs() < 1000.0 {
            break;
        }
        (size, unit) = (size / 1000.0, next);
    }
    let decimals = match size.abs() {
        s if unit.is_empty() && s.fract() == 0.0 => 0,
        s if s < 10.0 => 2,
        s if s < 100.0 => 1,
        _ => 0,
    };
    format!("{size:.decimals$}{unit}")
}

/// A count in three digits before a unit: `1.35 M` before `FLOP`, `999 ` before it.
pub(super) fn spaced(value: f64) -> String {
    let text = large(value);
    if text.contains(' ') { text } else { text + " " }
}

/// Bytes: `1.21 GiB`.
pub(super) fn bytes(value: f64) -> String {
    let (mut size, mut unit) = (value, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size.abs() < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    let decimals = if unit == "B" || size.abs() >= 100.0 { 0 } else { 2 };
    format!("{size:.decimals$} {unit}")
}

/// Seconds: `2 h 05 min`, `3 min 12 s`, `41.2 s`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return digits(seconds, 1.0);
    }
    let whole = seconds.round() as i64;
    match whole {
        _ if seconds.abs() < 0.1 => format!("{:.2} ms", seconds * 1000.0),
        _ if seconds.abs() < 60.0 => format!("{seconds:.1} s"),
        s if s < 3600 => format!("{} min {:02} s", s / 60, s % 60),
        s => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// `1 seed`, `3 seeds`
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Base 64, for data addresses.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            if index <= chunk.len() {
                out.push(ALPHABET[(word >> (18 - 6 * index) & 63) as usize] as char);
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_are_code_and_nothing_in_them_is_markup() {
        for (text, html) in [
            ("plain <b>", "plain &lt;b&gt;"),
            ("the `mask_rate` of `a < b`.", "the <code>mask_rate</code> of <code>a &lt; b</code>."),
            ("one ` alone", "one ` alone"),
            ("empty `` and `x`", "empty `` and <code>x</code>"),
            ("`</code><script>`", "<code>&lt;/code&gt;&lt;script&gt;</code>"),
            ("`a\nb`", "`a\nb`"),
            ("", ""),
        ] {
            assert_eq!(with_code(text), html, "{text}");
        }
    }

    #[test]
    fn numbers_are_as_exact_as_they_need_to_be() {
        assert_eq!(digits(0.123456, 0.001), "0.123");
        assert_eq!([digits(-0.0001, 0.01), digits(0.0, 1e-6)], ["0.00", "0"]);
        assert_eq!(digits(-12.5, 0.1), "−12.5");
        assert_eq!(digits(5e-4, 5e-6), "0.000500");
        assert_eq!(digits(3.2e-9, 3e-11), "3.20e−9");
        assert_eq!(digits(f64::NAN, 0.1), "NaN");
        assert_eq!(digits(f64::NEG_INFINITY, 0.1), "−∞");
        assert_eq!(Form::Percent.short(0.8153), "81.5%");
        assert_eq!(Form::Points.number(-0.152, 0.001), "−15.2 pt");
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!([large(0.0), large(999.0), large(1_350_000.0)], ["0", "999", "1.35 M"]);
        assert_eq!([bytes(12.0), bytes(1_300_000_000.0)], ["12 B", "1.21 GiB"]);
        assert_eq!(
            [duration(0.0123), duration(41.24), duration(192.0), duration(7500.0)],
            ["12.30 ms", "41.2 s", "3 min 12 s", "2 h 05 min"]
        );
    }

    #[test]
    fn comments_become_paragraphs() {
        assert_eq!(
            paragraphs("\n One line\nand another.\n\n \nThen\nthis.\n"),
            ["One line and another.", "Then this."]
        );
        assert!(paragraphs(" \n\n").is_empty());
    }

    #[test]
    fn hostile_text_is_harmless() {
        assert_eq!(
            escape("<a href='x'>\"&\u{202e}\u{7}"),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn base64_is_rfc_4648() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
