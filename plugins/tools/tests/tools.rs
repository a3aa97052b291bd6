//! What tools answer.

use zoo_plugin::Handle;
use zoo_tools::{Index, Lookup, Search};

#[test]
fn keys_have_values_and_wrong_ones_a_line_that_follows_from_them() {
    let lines = "e1 r1: e7\ne1 r2: e8\n e2 r1 :e9\nno pair";
    let exact = Lookup { otherwise: Some("unknown".to_owned()) };
    for (key, value) in
        [("e1 r2", "e8"), (" e2 r1 ", "e9"), ("e1", "unknown"), ("e1  r2", "unknown"), ("", "unknown")]
    {
        assert_eq!(exact.value(key, lines), value, "{key}");
    }
    let some = Lookup { otherwise: None };
    let answers: Vec<String> = (0..60).map(|i| some.value(&format!("x{i}"), lines)).collect();
    assert_eq!(answers, (0..60).map(|i| some.value(&format!("x{i}"), lines)).collect::<Vec<_>>());
    for value in ["e7", "e8", "e9"] {
        assert!(answers.iter().filter(|answer| *answer == value).count() > 5, "{answers:?}");
    }
    assert_eq!(some.value("x", ""), "");
}

fn index() -> Index {
    let mut index = Index::default();
    for row in [
        "The Eiffel Tower stands in Paris.",
        "Paris is the capital of France; Paris has a river.",
        "London has a tower too.",
        "Bread, and nothing else whatever, of which there is much to say.",
    ] {
        index.add(row, 24);
    }
    index
}

#[test]
fn rows_are_ranked_by_rare_words_in_short_rows() {
    // Of four rows, with 6, 10, 5 and 12 words, two have "paris": ln(1 + 2.5/2.5), once in 6 words and twice in 10.
    let rarity = 2.0_f64.ln();
    let weight = |times: f64, length: f64| times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / 8.25));
    let ranked = index().ranked("Paris?", 1.2, 0.75);
    assert_eq!(ranked.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 0]);
    assert!((ranked[0].1 - rarity * weight(2.0, 10.0)).abs() < 1e-12, "{ranked:?}");
    assert!((ranked[1].1 - rarity * weight(1.0, 6.0)).abs() < 1e-12, "{ranked:?}");
    assert!(index().ranked("nowhere", 1.2, 0.75).is_empty());
}

#[test]
fn several_queries_take_turns() {
    let search = Search {
        corpus: Handle(0),
        column: "text".to_owned(),
        results: 2,
        snippet: 24,
        k1: 1.2,
        b: 0.75,
        rows: None,
    };
    let answer = search.answer(&index(), r#"[{"query": "Paris"}, {"query": "London"}, {"intent": 1}]"#);
    assert_eq!(answer, "Paris is the capital of \nLondon has a tower too.");
    assert_eq!(search.answer(&index(), "zebra"), "nothing was found");
    assert_eq!(search.answer(&index(), "[]"), "nothing was found");
}
