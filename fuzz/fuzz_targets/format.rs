#![no_main]

use libfuzzer_sys::fuzz_target;
use zoo_syntax::{FileId, Parse, parse};

/// Tokens that are no trivia, without commas before closing brackets; and comments.
fn kept<'a>(parse: &Parse, text: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let slice = |token: &zoo_syntax::tree::Token| &text[token.range()];
    let all = parse.tree.tokens.iter();
    let tokens: Vec<&str> = all.clone().filter(|token| !token.kind.is_trivia()).map(slice).collect();
    let comments = all.filter(|token| token.kind.is_comment()).map(|token| slice(token).trim_end()).collect();
    let closes = |index: usize| matches!(tokens.get(index), Some(&(")" | "]" | "}")));
    let kept = (0..tokens.len())
        .filter(|index| tokens[*index] != "," || !closes(index + 1))
        .map(|index| tokens[index]);
    (kept.collect(), comments)
}

fuzz_target!(|text: &str| {
    let once = zoo_format::format(text);
    let (before, after) = (parse(FileId(0), text), parse(FileId(0), &once));
    assert_eq!(kept(&before, text), kept(&after, &once), "a token or comment is lost in\n{once}");
    assert_eq!(before.diagnostics.is_empty(), after.diagnostics.is_empty(), "sound before or after\n{once}");
    assert_eq!(zoo_format::format(&once), once, "twice is not once");
});
