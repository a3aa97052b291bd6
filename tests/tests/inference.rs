//! `zoo fill-mask`, `classify`, `generate` and `embed` on the small reference models, beside what
//! transformers' pipelines say: `inference/oracle.py` wrote that down, and the tokenizers.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Value as Json, json};
use std::path::PathBuf;
use zoo_tests::{Place, repository, safetensors};

fn inference() -> PathBuf {
    repository().join("tests/inference")
}

fn oracle() -> Json {
    serde_json::from_str(&std::fs::read_to_string(inference().join("oracle.json")).unwrap()).unwrap()
}

fn texts(json: &Json) -> Vec<String> {
    json.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn close(found: &Json, wanted: &Json) {
    let (found, wanted) = (found.as_f64().unwrap(), wanted.as_f64().unwrap());
    assert!((found - wanted).abs() < 1e-5, "{found} is not {wanted}");
}

#[test]
fn masks_are_filled_as_transformers_fills_them() {
    let place = Place::new();
    place.reference_model("bert_mlm", "words", None);
    let wanted = oracle()["fill_mask"].as_array().unwrap().clone();
    let lines: Vec<String> = wanted.iter().map(|case| case["text"].as_str().unwrap().to_owned()).collect();
    let made = place.answers(&["fill-mask", "--model", "bert_mlm", "--top", "3"], &lines);
    assert_eq!(made.len(), wanted.len());
    for (made, wanted) in made.iter().zip(&wanted) {
        let (made, wanted) = (made["masks"].as_array().unwrap(), wanted["masks"].as_array().unwrap());
        assert_eq!(made.len(), wanted.len());
        for (made, wanted) in made.iter().zip(wanted) {
            for rank in 0..3 {
                assert_eq!(made[rank]["token"], wanted[rank]["token"]);
                close(&made[rank]["score"], &wanted[rank]["score"]);
            }
            assert_eq!(made.as_array().unwrap().len(), 3);
        }
    }
    let answer = place.with_lines(&["fill-mask", "--model", "bert_mlm"], &["no gap".to_owned()]);
    assert_eq!(answer.code, 2, "{answer:#?}");
    assert!(answer.err.contains("`no gap` has no [MASK]"), "{}", answer.err);
}

#[test]
fn texts_and_tokens_are_classified_as_transformers_does() {
    let place = Place::new();
    let oracle = oracle();
    let wanted = &oracle["classify"];
    place.reference_model("bert_cls", "words", Some(&wanted["labels"]));
    let lines = texts(&wanted["lines"]);
    let one = place.answers(&["classify", "--model", "bert_cls"], &lines[..1]);
    let pair = place.answers(&["classify", "--model", "bert_cls", "--pairs"], &lines[1..]);
    for (made, wanted) in one.iter().chain(&pair).zip(wanted["made"].as_array().unwrap()) {
        // The pipeline gives a list in a list for one text.
        let wanted = if wanted[0].is_array() { &wanted[0] } else { wanted };
        for (rank, wanted) in wanted.as_array().unwrap().iter().enumerate() {
            assert_eq!(made["labels"][rank]["label"], wanted["label"]);
            close(&made["labels"][rank]["score"], &wanted["score"]);
        }
    }
    assert_eq!(pair[0]["pair"], "It rained, the rain.");

    let wanted = &oracle["tag"];
    place.reference_model("bert_tok", "words", Some(&wanted["labels"]));
    let lines = texts(&wanted["lines"]);
    for (name, more) in [("tokens", None), ("entities", Some("--entities"))] {
        let words: Vec<&str> = ["classify", "--model", "bert_tok"].into_iter().chain(more).collect();
        let made = place.answers(&words, &lines);
        for ((made, wanted), line) in made.iter().zip(wanted[name].as_array().unwrap()).zip(&lines) {
            let (made, wanted) = (made[name].as_array().unwrap(), wanted.as_array().unwrap());
            assert_eq!(made.len(), wanted.len(), "{line}, {name}");
            for (made, wanted) in made.iter().zip(wanted) {
                for key in ["entity", "start", "end"] {
                    assert_eq!(made[key], wanted[key], "{made} is not {wanted}");
                }
                close(&made["score"], &wanted["score"]);
                let place = |key: &str| made[key].as_u64().unwrap() as usize;
                assert_eq!(made["word"], line[place("start")..place("end")]);
            }
        }
    }
}

#[test]
fn lines_go_on_as_transformers_goes_on() {
    let place = Place::new();
    place.reference_model("llama_clm", "pieces", None);
    let oracle = oracle();
    let prompts = texts(&oracle["generate"]["prompts"]);
    for case in oracle["generate"]["made"].as_array().unwrap() {
        let given = &case["options"];
        let mut words: Vec<String> =
            ["generate", "--model", "llama_clm", "--max-new-tokens", "12"].map(str::to_owned).to_vec();
        for (theirs, ours) in [
            ("repetition_penalty", "--repetition-penalty"),
            ("num_beams", "--beams"),
            ("length_penalty", "--length-penalty"),
            ("num_return_sequences", "--samples"),
        ] {
            if !given[theirs].is_null() {
                words.push(format!("{ours}={}", given[theirs]));
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let made = place.answers(&words, &prompts);
        let wanted = case["texts"].as_array().unwrap();
        assert_eq!(made.len(), wanted.len());
        for (made, wanted) in made.iter().zip(wanted) {
            assert_eq!(made["tokens"], wanted["tokens"], "{given}");
            // transformers decodes new tokens alone, and drops the space that the first begins with.
            let (made, wanted) = (made["text"].as_str().unwrap(), wanted["text"].as_str().unwrap());
            assert_eq!(made.trim_start(), wanted, "{given}");
        }
    }
    let chat = &oracle["chat"];
    let lines = [chat["messages"].to_string()];
    let words = ["generate", "--model", "llama_clm", "--max-new-tokens=6", "--chat"];
    assert_eq!(place.answers(&words, &lines)[0]["tokens"], chat["tokens"]);
    let (system, user) = (&chat["messages"][0]["content"], &chat["messages"][1]["content"]);
    let words = [&words[..], &["--system", system.as_str().unwrap()]].concat();
    let lines = [user.as_str().unwrap().to_owned()];
    assert_eq!(place.answers(&words, &lines)[0]["tokens"], chat["tokens"]);
}

/// The line that goes on with `the rain in`, and what may stand beside it.
fn rain(beside: &Json) -> Vec<String> {
    let mut line = json!({ "prompt": "the rain in" });
    line.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    vec![line.to_string()]
}

const WRITES: [&str; 5] = ["generate", "--model", "llama_clm", "--greedy", "--max-new-tokens=12"];

#[test]
fn adapters_act_on_a_model_with_their_trained_values() {
    let place = Place::new();
    place.reference_model("llama_clm", "pieces", None);
    let line = ["the rain in".to_owned()];
    let lora = "adapters.lora(rank: 2) on layers[*].attention.{query, value}";
    let plain = place.answers(&WRITES, &line);
    // As training would begin, a change of nothing.
    assert_eq!(place.answers(&[&WRITES[..], &["--adapter", lora]].concat(), &line), plain);

    let mut tensors = Vec::new();
    for site in ["0.attention.query", "0.attention.value", "1.attention.query", "1.attention.value"] {
        tensors.push((format!("layers.{site}.lora_A.weight"), [2, 32]));
        tensors.push((format!("layers.{site}.lora_B.weight"), [32, 2]));
    }
    std::fs::write(place.path("lora.safetensors"), safetensors(&tensors)).unwrap();
    let with = |lora: &str| {
        let words = [&WRITES[..], &["--adapter", lora, "--adapter-weights", "lora.safetensors"]].concat();
        place.with_lines(&words, &line)
    };
    let changed = with(lora);
    assert_eq!(changed.code, 0, "{changed:#?}");
    assert_ne!(changed.json()["tokens"], plain[0]["tokens"]);
    // A folder that a run has left says itself what it is; beside the model of the run it need not be named.
    let sites =
        ["query", "value"].map(|part| [0, 1].map(|i| format!("layers.{i}.attention.{part}"))).concat();
    let zoo = |own: Json| json!({ "zoo": own }).to_string();
    let on = json!({ "instance": "lm", "names": sites });
    let adapter =
        json!({ "component": "adapters.lora", "parameters": { "rank": 2, "alpha": 4.0 }, "on": on });
    place.write("final/low/config.json", &zoo(adapter));
    std::fs::rename(place.path("lora.safetensors"), place.path("final/low/model.safetensors")).unwrap();
    let named = place.answers(&[&WRITES[..], &["--adapter", "final/low"]].concat(), &line);
    assert_eq!(named[0], changed.json());
    std::fs::rename(place.path("llama_clm"), place.path("final/lm")).unwrap();
    let path = place.path("final/lm/config.json");
    let mut config: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    config["zoo"] = json!({ "instance": "lm" });
    std::fs::write(&path, config.to_string()).unwrap();
    let beside = place.with_lines(&[&["generate", "--model", "final/lm"], &WRITES[3..]].concat(), &line);
    assert_eq!((beside.code, beside.json()), (0, changed.json()), "{beside:#?}");
    assert!(beside.err.contains("final/low acts on the model"), "{beside:#?}");
}

#[test]
fn an_adapter_is_put_on_the_sites_that_it_was_trained_on() {
    let place = Place::new();
    place.reference_model("llama_clm", "pieces", None);
    let mut tensors = Vec::new();
    for site in ["query", "value"] {
        tensors.push((format!("layers.0.attention.{site}.lora_A.weight"), [2, 32]));
        tensors.push((format!("layers.0.attention.{site}.lora_B.weight"), [32, 2]));
    }
    std::fs::write(place.path("lora.safetensors"), safetensors(&tensors)).unwrap();
    let with = |lora: &str| {
        let words = [&WRITES[..], &["--adapter", lora, "--adapter-weights", "lora.safetensors"]].concat();
        place.with_lines(&words, &["the rain in".to_owned()])
    };
    let less = with("adapters.lora(rank: 2) on layers[0].attention.query");
    assert!(less.code != 0 && less.err.contains("name the sites that it was trained on"), "{less:#?}");
    let more = with("adapters.lora(rank: 2) on layers[*].attention.{query, value}");
    assert!(more.code != 0 && more.err.contains("layers.1.attention.query.lora_A.weight"), "{more:#?}");
}

#[test]
fn rewards_score_each_text() {
    let place = Place::new();
    place.reference_model("llama_clm", "pieces", None);
    let rewards = [
        &WRITES[..],
        &["--reward", "reinforcement.exact_match()"],
        &["--reward", "short = reinforcement.overlong_penalty(maximum: 10, margin: 4)"],
    ]
    .concat();
    let first = &place.answers(&rewards, &rain(&json!({ "wanted": "no such answer" })))[0];
    assert_eq!(first["rewards"]["reinforcement.exact_match"], json!(0.0));
    assert_eq!(first["prompt"], "the rain in");
    assert!(first["rewards"]["short"].as_f64().unwrap() < 0.0, "{first}");
    let right = json!({ "wanted": first["text"].as_str().unwrap() });
    let second = &place.answers(&rewards, &rain(&right))[0];
    assert_eq!(second["rewards"]["reinforcement.exact_match"], json!(1.0));

    let missing = place.with_lines(&rewards, &rain(&json!({})));
    assert!(
        missing.code != 0 && missing.err.contains("reads `wanted`, which a line does not have"),
        "{missing:#?}"
    );
}

#[test]
fn a_tool_answers_what_a_text_asks() {
    let place = Place::new();
    place.reference_model("llama_clm", "pieces", None);
    // What this model writes of its own; a part of it is taken for a call.
    let plain = place.answers(&WRITES, &["the rain in".to_owned()]);
    let text = plain[0]["text"].as_str().unwrap().trim_start();
    let (before, after) = text.split_at(text.find("oXl").unwrap());
    let (open, query) = before.split_at(2);
    assert!(after.len() > 3 && !query.trim().is_empty(), "{text}");
    let words = [
        &["generate", "--model", "llama_clm", "--greedy", "--max-new-tokens=24"][..],
        &["--tool", "tools.lookup()", "--call-open", open, "--call-close", "oXl"],
        &["--result-open=", "--result-close="],
    ]
    .concat();
    let context = json!({ "context": format!("{}: at the inn\nother: the rain", query.trim()) });
    let made = &place.answers(&words, &rain(&context))[0];
    assert_eq!(made["calls"][0], json!({ "query": query.trim(), "result": "at the inn" }), "{made}");
    let text = made["text"].as_str().unwrap();
    let called = text.find("oXl").unwrap() + 3;
    assert!(text[called..].trim_start().starts_with("at the inn"), "{text}");

    let made = &place.answers(&[&words[..], &["--maximum-calls=0"]].concat(), &rain(&context))[0];
    assert_eq!((&made["ended"], &made["calls"]), (&json!("calls"), &json!([])), "{made}");
    let without = place.with_lines(&words, &rain(&json!({})));
    assert!(without.code != 0 && without.err.contains("reads `context`"), "{without:#?}");
}

#[test]
fn components_beside_a_model_are_checked_before_anything_is_loaded() {
    let place = Place::new();
    for (words, wanted) in [
        (
            ["--adapter", "adapters.lorra() on layers[*].attention.query"],
            "4 + adapter adapter_1 = adapters.lora() on",
        ),
        (["--adapter", "adapters.lora(rnk: 2) on layers[*].attention.query"], "did you mean `rank`?"),
        (["--adapter", "adapters.lora() on layers[*].attention.quary"], "has no such site"),
        (["--adapter", "adapters.lora()"], "neither a folder nor an adapter with its sites"),
        (["--reward", "tools.lookup()"], "`tools.lookup` is a tool, not a reward"),
        (["--tool", "tools.look_up()"], "4 + tool tool_1 = tools.lookup()"),
    ] {
        let answer = place.with_lines(&[&["generate", "--model", "nowhere"], &words[..]].concat(), &[]);
        assert!(answer.code == 2 && answer.err.contains(wanted), "{words:?}: {answer:#?}");
        assert!(!answer.err.contains("nowhere"), "{answer:#?}");
    }
    // Which layers there are, the model alone says.
    place.reference_model("llama_clm", "pieces", None);
    let words = [&WRITES[..], &["--adapter", "adapters.lora() on layers[7].attention.query"]].concat();
    let answer = place.with_lines(&words, &["A".to_owned()]);
    assert!(answer.code != 0 && answer.err.contains("no such site"), "{answer:#?}");
}

#[test]
fn draws_follow_from_the_seed_and_texts_end_where_they_are_told() {
    let place = Place::new();
    place.reference_model("llama_clm", "pieces", None);
    let lines = texts(&json!(["the rain", "a", "at the inn", "the rain"]));
    let base =
        ["generate", "--model", "llama_clm", "--max-new-tokens=8", "--temperature=1.2", "--top-p=0.95"];
    let with = |more: &[&str]| place.answers(&[&base[..], more].concat(), &lines);
    let tokens = |made: &[Json]| made.iter().map(|m| m["tokens"].clone()).collect::<Vec<_>>();
    let first = with(&[]);
    assert_eq!(tokens(&first), tokens(&with(&["--batch=1"])));
    assert_ne!(tokens(&first), tokens(&with(&["--seed=1"])));
    // Equal lines are different draws.
    assert_ne!(first[0]["tokens"], first[3]["tokens"]);
    assert_eq!(with(&["--samples=2"]).len(), 8);

    let greedy = &base[..4];
    let whole = place.answers(greedy, &lines[..1]);
    let text = whole[0]["text"].as_str().unwrap();
    let stop: String = text.trim_start().chars().skip(1).take(1).collect();
    let made = place.answers(&[greedy, &["--stop", &stop]].concat(), &lines[..1]);
    assert_eq!(made[0]["ended"], "stop");
    let stopped = made[0]["text"].as_str().unwrap();
    assert!(stopped.len() < text.len() && text.starts_with(stopped) && stopped.ends_with(&stop), "{stopped}");
}

#[test]
fn a_model_that_cannot_be_had_is_one_clear_message() {
    let place = Place::new();
    place.reference_model("bert_cls", "words", None);
    for (words, wanted) in [
        (
            &["generate", "--model", "org/name"][..],
            "there is no folder `org/name`; a model of the hub is `hf:org/name`",
        ),
        (&["generate", "--model", "hf:org/name", "--offline"], "hf:org/name"),
        (&["parity", "org/name"], "there is no folder `org/name`; a model of the hub is `hf:org/name`"),
        (&["parity", "hf:org/name", "--offline"], "hf:org/name"),
        (&["parity", "bert_cls"], "it has no oracle.safetensors, and `--oracle` names none"),
        (&["generate", "--model", "bert_cls"], "checkpoint.causal_lm"),
        (&["fill-mask", "--model", "bert_cls"], "checkpoint.masked_lm"),
    ] {
        let answer = place.with_lines(words, &["a".to_owned()]);
        assert_eq!(answer.code, 2, "{answer:#?}");
        assert!(answer.err.contains(wanted), "{words:?}: {}", answer.err);
        assert!(answer.err.lines().count() <= 4 && answer.out.is_empty(), "{answer:#?}");
    }
}

#[test]
fn numbers_to_compare_with_may_lie_elsewhere() {
    let place = Place::new();
    place.reference_model("bert_cls", "words", None);
    let oracle = repository().join("plugins/checkpoints/tests/golden/bert_cls/oracle.safetensors");
    let answer = place.zoo(&["parity", "bert_cls", "--oracle", oracle.to_str().unwrap()]);
    assert_eq!(answer.code, 0, "{answer:#?}");
    assert!(answer.out.ends_with("bert_cls: equal within rounding\n"), "{}", answer.out);
}

#[test]
fn several_folders_are_compared_in_a_table() {
    let place = Place::new();
    let golden = repository().join("plugins/checkpoints/tests/golden");
    for name in ["bert_cls", "wav2vec2_conformer", "llava_clm"] {
        let folder = place.path("models").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["config.json", "model.safetensors", "oracle.safetensors"] {
            std::fs::copy(golden.join(name).join(file), folder.join(file)).unwrap();
        }
    }
    let answer = place.with_lines(&["parity", "models", "--precision", "both"], &[]);
    assert_eq!(answer.code, 0, "{answer:#?}");
    for name in ["bert_cls", "wav2vec2_conformer", "llava_clm"] {
        for precision in ["float32", "bf16"] {
            let row = answer.out.lines().find(|l| l.starts_with(name) && l.contains(precision)).unwrap();
            assert!(row.ends_with("equal"), "{row}");
        }
    }
    assert!(answer.out.ends_with("6 of 6 are equal within rounding\n"), "{}", answer.out);

    // Another model's numbers are not equal, which is told in full for one folder and in its row for several.
    std::fs::copy(
        place.path("models/bert_cls/oracle.safetensors"),
        place.path("models/llava_clm/oracle.safetensors"),
    )
    .unwrap();
    let answer = place.with_lines(&["parity", "models"], &[]);
    assert_eq!(answer.code, 1, "{answer:#?}");
    assert!(answer.out.ends_with("2 of 3 are equal within rounding\n"), "{}", answer.out);
    let answer = place.with_lines(&["parity", "."], &[]);
    assert_eq!(answer.code, 2, "{answer:#?}");
    assert!(answer.err.contains("neither config.json nor folders"), "{}", answer.err);
}
