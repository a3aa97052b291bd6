//! Rewards of texts.

use zoo_reinforcement::{AgentFormat, ExactMatch, TokenRecall};

fn recall(longest: Option<f64>) -> TokenRecall {
    TokenRecall { answer_open: None, answer_close: None, longest }
}

#[test]
fn recall_counts_words_without_articles_and_punctuation() {
    let plain = recall(None);
    assert!((plain.score("york city hall", "the new york city") - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(plain.score("New York City!", "the new york city"), 1.0);
    // Multisets: a word said once is found once.
    assert_eq!(plain.score("ha", "ha ha"), 0.5);
    assert_eq!((plain.score("", "a b"), plain.score("b", ""), plain.score("the", "")), (0.0, 0.0, 1.0));
    // Six words for one, of which two would be fine.
    assert!((recall(Some(2.0)).score("u v w x y z", "x") - 1.0 / 3.0).abs() < 1e-12);
    assert_eq!(recall(Some(2.0)).score("y x", "x"), 1.0);
    let marked = TokenRecall {
        answer_open: Some("<answer>".to_owned()),
        answer_close: Some("</answer>".to_owned()),
        longest: None,
    };
    assert_eq!(marked.score("<search> x </search> <answer> x y </answer>", "x y"), 1.0);
    assert_eq!(marked.score("<answer> y </answer> <answer> x </answer>", "y"), 0.0);
    for cut_off in ["x y", "<answer> x y", "x y </answer>"] {
        assert_eq!(marked.score(cut_off, "x y"), 0.0, "{cut_off}");
    }
}

#[test]
fn a_guess_without_evidence_is_wrong() {
    let correct = ExactMatch {
        answer_open: Some("ANS".to_owned()),
        answer_close: Some("END".to_owned()),
        evidence: Some("SEARCH".to_owned()),
    };
    assert_eq!(correct.score("SEARCH e1 r1 INFO e2 ANS e2 END", "e2"), 1.0);
    assert_eq!(correct.score("ANS e2 END", "e2"), 0.0);
    assert_eq!(correct.score("SEARCH e1 r1 INFO e2 ANS e2 e2 END", "e2"), 0.0);
    assert_eq!(correct.score("SEARCH e1 r1 INFO e2 ANS e2", "e2"), 0.0);
}

fn format() -> AgentFormat {
    AgentFormat {
        call_open: "<search>".to_owned(),
        call_close: "</search>".to_owned(),
        result_open: "<information>".to_owned(),
        result_close: "</information>".to_owned(),
        answer_open: "<answer>".to_owned(),
        answer_close: "</answer>".to_owned(),
        thought_open: "<think>".to_owned(),
        thought_close: "</think>".to_owned(),
        query: "json".to_owned(),
        query_words: None,
        calls: 1,
    }
}

#[test]
fn texts_of_the_paper_keep_to_the_format() {
    let call = r#"<think>I look it up.</think> <search> [{"query": "who?", "intent": 1}] </search>"#;
    let result = "<information> they say </information>";
    let answer = "<think>So.</think> <answer>them</answer>";
    for good in [
        format!("{call} {result} {answer}"),
        format!("{call}{result}{call}{result}{answer}\n"),
        r#"<search>[{"query": "a"}, {"query": "b"}]</search><information></information><answer>x</answer>"#
            .to_owned(),
    ] {
        assert!(format().holds(&good), "{good}");
    }
    for wrong in [
        String::new(),
        answer.to_owned(),
        format!("{call} {result}"),
        format!("{call} {answer}"),
        format!("{call} {result} {answer} {answer}"),
        format!("{call} {result} {answer} and more"),
        format!("{call} {result} and more {answer}"),
        format!("<think>no end {call} {result} {answer}"),
        format!("<search> who? </search> {result} {answer}"),
        format!("<search> [] </search> {result} {answer}"),
        format!("<search> [{{\"query\": \" \"}}] </search> {result} {answer}"),
        format!("{call} {result} <answer> </answer>"),
        format!("{call} {result} <answer> <search> </answer>"),
        format!("{call} {result} <answer>cut"),
    ] {
        assert!(!format().holds(&wrong), "{wrong}");
    }
    assert!(AgentFormat { calls: 0, ..format() }.holds(answer));
}

#[test]
fn results_may_have_no_markers() {
    let plain = AgentFormat {
        call_open: "SEARCH".to_owned(),
        call_close: "INFO".to_owned(),
        result_open: String::new(),
        result_close: String::new(),
        answer_open: "ANS".to_owned(),
        answer_close: "END".to_owned(),
        thought_open: String::new(),
        thought_close: String::new(),
        query: "words".to_owned(),
        query_words: Some(2),
        calls: 1,
    };
    for good in ["SEARCH e1 r1 INFO e2 ANS e2 END", "SEARCH e1 r1 INFO e2 SEARCH e2 r2 INFO e3 ANS e3 e4 END"]
    {
        assert!(plain.holds(good), "{good}");
    }
    for wrong in [
        "ANS e2 END",
        "SEARCH e1 INFO e2 ANS e2 END",
        "SEARCH e1 r1 r2 INFO e2 ANS e2 END",
        "SEARCH e1 r1 INFO ANS e2 END",
        "SEARCH e1 r1 INFO e2 ANS END",
        "SEARCH e1 r1 INFO e2 ANS e2",
        "e1 SEARCH e1 r1 INFO e2 ANS e2 END",
        "SEARCH e1 r1 INFO e2 ANS e2 END END",
    ] {
        assert!(!plain.holds(wrong), "{wrong}");
    }
}
