//! Properties of the parser and the formatter on arbitrary texts and on recipes with slips in them.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use zoo_syntax::{Diagnostic, FileId, Parse, Tree, parse};

/// Everything that the language has, then the recipes of the repository.
static RECIPES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "mlm")).collect();
    files.sort();
    let all = include_str!("../../syntax/tests/all.mlm").to_owned();
    std::iter::once(all).chain(files.iter().map(|path| fs::read_to_string(path).unwrap())).collect()
});

/// Tokens that are no trivia, without commas before closing brackets.
fn tokens<'a>(tree: &Tree, text: &'a str) -> Vec<&'a str> {
    let all: Vec<&str> = tree
        .tokens
        .iter()
        .filter(|token| !token.kind.is_trivia())
        .map(|token| text.get(token.range()).unwrap())
        .collect();
    let closer = |text: &str| matches!(text, ")" | "]" | "}");
    (0..all.len())
        .filter(|index| !(all[*index] == "," && all.get(index + 1).is_some_and(|next| closer(next))))
        .map(|index| all[index])
        .collect()
}

fn comments<'a>(tree: &Tree, text: &'a str) -> Vec<&'a str> {
    let comments = tree.tokens.iter().filter(|token| token.kind.is_comment());
    comments.map(|token| text.get(token.range()).unwrap().trim_end()).collect()
}

fn same(before: &[&str], after: &[&str], text: &str) -> Result<(), TestCaseError> {
    let differs = before.iter().zip(after).position(|(before, after)| before != after);
    let at = differs.unwrap_or(before.len().min(after.len()));
    let around =
        |list: &[&str]| list[at.saturating_sub(6).min(list.len())..(at + 6).min(list.len())].join(" ");
    prop_assert!(before == after, "{} became {} in\n{}", around(before), around(after), text);
    Ok(())
}

/// All that must hold of any text.
fn holds(text: &str) -> Result<(), TestCaseError> {
    let Parse { tree, diagnostics, .. } = parse(FileId(0), text);
    let mut at = 0;
    for token in &tree.tokens {
        prop_assert_eq!(token.range().start, at);
        at = token.range().end;
    }
    prop_assert_eq!(at, text.len());
    for diagnostic in &diagnostics {
        is_sound(diagnostic, text)?;
    }
    let once = zoo_format::format(text);
    let after = parse(FileId(0), &once);
    same(&tokens(&tree, text), &tokens(&after.tree, &once), &once)?;
    same(&comments(&tree, text), &comments(&after.tree, &once), &once)?;
    // A `{` on a line of its own is an error that the layout mends; it makes none.
    prop_assert!(!diagnostics.is_empty() || after.diagnostics.is_empty(), "{} in {}", text, once);
    let twice = zoo_format::format(&once);
    prop_assert_eq!(&once, &twice, "of {:?}", text);
    prop_assert!(!once.contains("\n\n\n") || text.contains('"') || !diagnostics.is_empty());
    Ok(())
}

/// Every place is in the text, and every edit can be applied.
fn is_sound(diagnostic: &Diagnostic, text: &str) -> Result<(), TestCaseError> {
    prop_assert!(!diagnostic.labels.is_empty(), "{:?}", diagnostic);
    for label in &diagnostic.labels {
        prop_assert!(text.get(label.span.range()).is_some(), "{:?}", diagnostic);
    }
    for help in &diagnostic.helps {
        prop_assert!(
            zoo_diagnostics::apply_edits(FileId(0), text, &help.edits).is_ok(),
            "{:?} in {:?}",
            diagnostic,
            text
        );
    }
    Ok(())
}

/// Pieces that recipes are made of.
const PIECES: [&str; 61] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "\n\n",
    " ",
    "  ",
    "\t",
    ",",
    ":",
    "=",
    ".",
    "+",
    "-",
    "*",
    "/",
    "==",
    "<",
    ">=",
    "\"",
    "\"a\"",
    "\"\\x\"",
    "'",
    "// c\n",
    "/// d\n",
    "//",
    "15%",
    "10k steps",
    "1_0",
    "5 setps",
    "if",
    "then",
    "else",
    "not ",
    "in ",
    "on ",
    "let ",
    "param ",
    "model ",
    "step ",
    "phase ",
    "claim ",
    "arm ",
    "profile ",
    "require ",
    "over ",
    "holding ",
    "stop ",
    "loss ",
    "mlm 1\n",
    "use ",
    "x",
    "λ",
    "\r\n",
    "\r",
    "and ",
    "&&",
    ";",
];

#[derive(Clone, Debug)]
enum Slip {
    Insert(usize, usize),
    Remove(usize, usize),
    Copy(usize, usize, usize),
}

fn slip() -> impl Strategy<Value = Slip> {
    prop_oneof![
        (any::<usize>(), 0..PIECES.len()).prop_map(|(at, piece)| Slip::Insert(at, piece)),
        (any::<usize>(), 1_usize..12).prop_map(|(at, len)| Slip::Remove(at, len)),
        (any::<usize>(), any::<usize>(), 1_usize..60).prop_map(|(from, to, len)| Slip::Copy(from, to, len)),
    ]
}

fn boundary(text: &str, at: usize) -> usize {
    let mut at = at % (text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn apply(text: &str, slips: &[Slip]) -> String {
    let mut text = text.to_owned();
    for slip in slips {
        match *slip {
            Slip::Insert(at, piece) => {
                let at = boundary(&text, at);
                text.insert_str(at, PIECES[piece]);
            }
            Slip::Remove(at, len) => {
                let at = boundary(&text, at);
                let end = boundary(&text, (at + len).min(text.len()));
                text.replace_range(at..end.max(at), "");
            }
            Slip::Copy(from, to, len) => {
                let from = boundary(&text, from);
                let end = boundary(&text, (from + len).min(text.len())).max(from);
                let copy = text[from..end].to_owned();
                let to = boundary(&text, to);
                text.insert_str(to, &copy);
            }
        }
    }
    text
}

/// Values of operators, parentheses, calls and lists, some too long for a line.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z]{1,30}_",
        "[a-z]{1,12}_[.][a-z]{1,20}_",
        (0..1000_u32).prop_map(|number| number.to_string()),
        Just("15%".to_owned()),
    ];
    let operator = || prop::sample::select(vec!["+", "-", " *\n", "/", " and ", " or ", "\n- -"]);
    leaf.prop_recursive(5, 60, 5, move |inner| {
        prop_oneof![
            3 => (inner.clone(), prop::collection::vec((operator(), inner.clone()), 1..5)).prop_map(|(first, rest)| {
                rest.iter().fold(first, |sum, (operator, value)| format!("{sum}{operator}{value}"))
            }),
            2 => inner.clone().prop_map(|value| format!("({value})")),
            2 => ("[a-z]{1,20}_", prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(name, values)| format!("{name}({})", values.join(","))),
            1 => prop::collection::vec(inner.clone(), 1..4).prop_map(|values| format!("[\n{}]", values.join(","))),
            1 => (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_arbitrary_text(text in any::<String>()) {
        holds(&text)?;
    }

    #[test]
    fn of_pieces(pieces in prop::collection::vec(0..PIECES.len(), 0..60)) {
        let text: String = pieces.iter().map(|piece| PIECES[*piece]).collect();
        holds(&text)?;
    }

    #[test]
    fn of_values(value in value()) {
        let text = format!("mlm 1\nparam a : real = f({value})\nclaim \"c\" {{\nrequire ({value}) > 1\n}}\n");
        prop_assert!(parse(FileId(0), &text).diagnostics.is_empty(), "{}", text);
        holds(&text)?;
    }

    #[test]
    fn of_recipes_with_slips(which in 0..RECIPES.len(), slips in prop::collection::vec(slip(), 0..6)) {
        holds(&apply(&RECIPES[which], &slips))?;
    }
}

/// How long this thread has been computing; on systems that do not say, the time of day.
fn computed() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let nanoseconds = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

fn seconds(text: &str) -> Duration {
    let start = computed();
    let result = parse(FileId(0), text);
    assert!(result.tree.tokens.iter().all(|token| token.len > 0));
    zoo_format::format(text);
    computed().saturating_sub(start)
}

/// A text of that many bytes, made of a piece again and again.
fn repeated(before: &str, piece: &str, bytes: usize) -> String {
    let mut text = before.to_owned();
    while text.len() + piece.len() <= bytes {
        text.push_str(piece);
    }
    text
}

#[test]
fn time_grows_with_the_length() {
    let all = RECIPES[0].trim_start_matches("mlm 1\n");
    for (before, piece) in [
        ("mlm 1\n", all),
        ("mlm 1\n", "param a : count = 1\n"),
        ("", "("),
        ("", "x = (\n"),
        ("", "x = ((\n)\n"),
        ("param a : list[count] = [", "1, "),
        ("param a : list[count] = [", "(1), // c\n"),
        ("param a : list[count] = ", "["),
        ("loss = ", "-"),
        ("loss = ", "not "),
        ("param a : count = ", "if a then "),
        ("param a : count = 1", "+1"),
        ("param a : count = a", ".a"),
        ("param a : count = a", "(1)"),
        ("", "\""),
        ("", "\\"),
        ("", "// c\n"),
        ("", "/// c\n\n"),
        ("", "\n"),
        ("", "phase a {\n"),
        ("", "phase a { a = [\n"),
        ("", "phase a {}}\n"),
        ("", "}"),
        ("", "a {\n"),
        ("", "a"),
        ("", "1"),
        ("", "é"),
        ("", "a.b.c = f(a: [1, {b: c}], d: \"e\") "),
    ] {
        let (quarter, whole) = (repeated(before, piece, 100_000), repeated(before, piece, 400_000));
        // Four times the length: sixteen times the time would be quadratic. Once more where another
        // program may have been in the way.
        let linear = (0..3).any(|_| {
            let (short, long) = (seconds(&quarter), seconds(&whole));
            long < short * 9 + Duration::from_millis(100)
        });
        assert!(linear, "{piece:?} takes more and more time");
    }
}

#[test]
fn a_text_that_is_too_large_is_refused() {
    let text = repeated("", "param a : count = 1\n", zoo_syntax::MAXIMUM_SIZE + 40);
    let result = parse(FileId(0), &text);
    assert_eq!(result.diagnostics[0].code, zoo_diagnostics::codes::FILE_TOO_LARGE);
    assert_eq!(zoo_format::format(&text), text);
}
