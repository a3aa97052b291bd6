//! Pairs and groups of documents' parts: what stands in them, and that nothing but their relation tells the label.

#![allow(clippy::unwrap_used, reason = "a test may")]

use rand::SeedableRng;
use zoo_plugin::Handle;
use zoo_plugin::prelude::ChaCha8Rng;
use zoo_text::{CandidateGroups, Document, Relation, Sort, Structure, StructureGroups, StructurePairs};

fn pairs(objectives: &[&str], context: &str) -> StructurePairs {
    StructurePairs {
        source: Handle(1),
        column: "text".to_owned(),
        paragraph_separator: "\n\n".to_owned(),
        sentence_separator: "\n".to_owned(),
        minimum_sentence: 0,
        minimum_paragraph: 0,
        minimum_document: 0,
        objectives: objectives.iter().map(|&name| name.to_owned()).collect(),
        maximum_span: 2,
        hard: 2,
        easy: 2,
        context: context.to_owned(),
        separator: "[SEP]".to_owned(),
    }
}

/// Sentence s of paragraph p of document d is the word `d:p:s`.
fn document(name: &str) -> Document {
    (0..3).map(|p| (0..4).map(|s| format!("{name}:{p}:{s}")).collect()).collect()
}

fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Document and paragraph of the words of a text, all of one, and their sentences in order.
fn place(text: &str) -> (String, Vec<usize>) {
    let words: Vec<Vec<&str>> = text.split(' ').map(|word| word.split(':').collect()).collect();
    let own = format!("{}:{}", words[0][0], words[0][1]);
    assert!(words.iter().all(|word| format!("{}:{}", word[0], word[1]) == own), "{text}");
    let sentences: Vec<usize> = words.iter().map(|word| word[2].parse().unwrap()).collect();
    assert!(sentences.is_sorted());
    (own, sentences)
}

#[test]
fn pairs_stand_as_their_labels_say() {
    let (one, other) = (document("a"), document("b"));
    let maker = pairs(&[], "none");
    for seed in 0..300 {
        for relation in [Relation::SpansInSameParagraph, Relation::SpanInParagraph] {
            for sort in [Sort::Right, Sort::Hard, Sort::Easy] {
                let (first, second) = maker.pair(relation, sort, (&one, &other), &mut random(seed));
                let ((own, span), (there, rest)) = (place(&first), place(&second));
                assert!(own.starts_with('a'));
                match sort {
                    Sort::Right => {
                        assert_eq!(own, there);
                        assert!(span.iter().all(|s| !rest.contains(s)), "{first} / {second}");
                    }
                    Sort::Hard => assert!(there.starts_with('a') && own != there),
                    Sort::Easy => assert!(there.starts_with('b')),
                }
                if relation == Relation::SpanInParagraph {
                    assert_eq!(span.len() + rest.len(), 4, "{first} / {second}");
                }
                assert!((1..=2).contains(&span.len()));
            }
        }
        let whole = Relation::ParagraphsInSameDocument;
        for sort in [Sort::Right, Sort::Easy] {
            let (first, second) = maker.pair(whole, sort, (&one, &other), &mut random(seed));
            let ((own, all), (there, _)) = (place(&first), place(&second));
            assert!(own != there && all == [0, 1, 2, 3]);
            assert_eq!(there.starts_with('a'), sort == Sort::Right);
        }
    }
}

/// Whoever knows only how long both texts are must not tell right from wrong: in each class lengths are as frequent.
#[test]
fn lengths_do_not_tell_the_label() {
    let (one, other) = (document("a"), document("b"));
    let maker = pairs(&[], "none");
    for relation in [Relation::SpansInSameParagraph, Relation::SpanInParagraph] {
        let lengths = |sort: Sort| {
            let mut counts = [0.0_f64; 5];
            for seed in 0..4000 {
                let (_, second) = maker.pair(relation, sort, (&one, &other), &mut random(seed));
                counts[second.split(' ').count()] += 1.0 / 4000.0;
            }
            counts
        };
        let right = lengths(Sort::Right);
        for sort in [Sort::Hard, Sort::Easy] {
            // The best classifier by length is right half of the distance above one half.
            let distance: f64 = right.iter().zip(lengths(sort)).map(|(a, b)| (a - b).abs()).sum();
            let accuracy = 0.5 + distance / 4.0;
            let most = if relation == Relation::SpanInParagraph { 0.52 } else { 0.6 };
            assert!(accuracy < most, "{relation:?}, {sort:?}: {accuracy}");
        }
    }
}

#[test]
fn contexts_are_of_the_second_text() {
    let (one, other) = (document("a"), document("b"));
    for seed in 0..100 {
        let make = |context: &str, sort| {
            let relation = Relation::SpansInSameParagraph;
            let maker = pairs(&[], context);
            let (first, second) = maker.pair(relation, sort, (&one, &other), &mut random(seed));
            let (second, context) = second.split_once(" [SEP]").unwrap();
            (first, second.to_owned(), context.trim().to_owned())
        };
        for sort in [Sort::Right, Sort::Hard, Sort::Easy] {
            let (_, second, context) = make("first_paragraph", sort);
            let name = &second[..1];
            assert_eq!(context, document(name)[0].join(" "));
            let (_, second, context) = make("paragraph", sort);
            let ((own, span), (there, rest)) = (place(&second), place(&context));
            assert_eq!((own, span.len() + rest.len()), (there, 4));
            let (_, second, context) = make("neighbours", sort);
            let ((own, span), (there, near)) = (place(&second), place(&context));
            assert_eq!(own, there);
            let last = span[span.len() - 1];
            let expected: Vec<usize> =
                span[0].checked_sub(1).into_iter().chain((last < 3).then_some(last + 1)).collect();
            assert_eq!(near, expected);
        }
    }
}

#[test]
fn objectives_are_known_by_name() {
    assert_eq!(
        pairs(&["span_in_paragraph", "paragraphs_in_same_document"], "none").relations().unwrap(),
        [Relation::SpanInParagraph, Relation::ParagraphsInSameDocument]
    );
    assert_eq!(pairs(&["next_sentence"], "none").relations().unwrap_err().at, "objectives");
    assert_eq!(pairs(&[], "none").relations().unwrap_err().at, "objectives");
}

#[test]
fn short_parts_are_left_out() {
    let structure = |least: [usize; 3], separator: &str| Structure {
        paragraph_separator: "\n\n".to_owned(),
        sentence_separator: separator.to_owned(),
        minimum_characters: least,
    };
    let text = "One is here. Two is there.\n\nNo.\n\nThree is away. So. ";
    let got = structure([4, 5, 20], ". ").document(text);
    assert_eq!(got, [vec!["One is here.", "Two is there."], vec!["Three is away."]]);
    assert!(structure([4, 5, 200], ". ").document(text).is_empty());
    assert_eq!(structure([0; 3], "\n").document("a\nb\n\nc\n\n\n"), [vec!["a", "b"], vec!["c"]]);
}

#[test]
fn groups_have_one_right_candidate_that_follows_the_premise() {
    let (one, other) = (document("a"), document("b"));
    let maker = StructureGroups {
        source: Handle(1),
        column: "text".to_owned(),
        paragraph_separator: "\n\n".to_owned(),
        sentence_separator: "\n".to_owned(),
        minimum_sentence: 0,
        minimum_paragraph: 0,
        minimum_document: 0,
        candidates: 5,
        maximum_span: 2,
        hard: 2,
    };
    let (mut places, mut before) = ([0; 5], 0);
    for seed in 0..500 {
        let (premise, candidates) = maker.group(&one, &other, &mut random(seed));
        let (own, at) = place(&premise);
        assert_eq!((candidates.len(), candidates.iter().map(|(_, label)| *label).sum::<i64>()), (5, 1));
        let mut hard = 0;
        for (i, (text, label)) in candidates.iter().enumerate() {
            let (there, sentences) = place(text);
            if *label == 1 {
                assert_eq!((&there, sentences[0]), (&own, at[0] + 1));
                places[i] += 1;
            } else {
                hard += usize::from(there.starts_with('a'));
                before += usize::from(there == own);
                assert!(there != own || sentences[sentences.len() - 1] + 1 == at[0]);
            }
        }
        assert_eq!(hard, 2);
    }
    assert!(places.iter().all(|count| (60..140).contains(count)), "{places:?}");
    assert!(before > 100, "{before}");
}

#[test]
fn candidates_of_a_question_are_dealt_into_groups() {
    let maker = CandidateGroups {
        source: Handle(1),
        size: 3,
        question: String::new(),
        candidate: String::new(),
        label: String::new(),
        key: String::new(),
    };
    let keys: Vec<String> = ["a", "a", "a", "a", "b", "b"].map(str::to_owned).to_vec();
    let groups = maker.groups(&keys, |start| random(start as u64));
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 2]);
    let mut first: Vec<i64> = groups[..2].concat();
    assert_ne!(maker.groups(&keys, |start| random(start as u64 + 5)), groups);
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2, 3]);
}
