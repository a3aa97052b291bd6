//! An agent of a recipe calls a tool, and dynamic sampling keeps groups that differ.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tch::{Kind, Tensor};
use zoo_host::{
    CallScope, Error, InstanceId, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions,
};
use zoo_schema::experiment::{Instance, Place};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/golden/llama_clm")
}

fn registry() -> Arc<Registry> {
    static LOADED: OnceLock<Arc<Registry>> = OnceLock::new();
    let load = || {
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let names = ["checkpoints", "decoding", "text", "tools", "reinforcement", "language_modelling"];
        let paths =
            names.map(|name| PluginPath { path: folder.join(format!("libzoo_{name}.so")), hash: None });
        Arc::new(Registry::load(&paths).unwrap())
    };
    Arc::clone(LOADED.get_or_init(load))
}

struct Case {
    world: World,
    roll: InstanceId,
    likelihood: InstanceId,
    writer: InstanceId,
    _folder: tempfile::TempDir,
}

/// Token i is written `wi`.
const VOCABULARY: i64 = 96;

fn case(parameters: Json) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let vocabulary: Map<String, Json> = (0..VOCABULARY).map(|i| (format!("w{i}"), i.into())).collect();
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "post_processor": null, "decoder": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "w0" },
    });
    let spelling = folder.path().join("tokenizer.json");
    std::fs::write(&spelling, tokenizer.to_string()).unwrap();
    let environment = Arc::new(LocalEnvironment { folder: folder.path().to_owned() });
    let world = World::new(registry(), environment, WorldOptions { run_seed: 3, ..WorldOptions::default() });
    let make = |name: &str, component: &str, kind: &str, parameters: Json, weights: Option<String>| {
        let Json::Object(parameters) = parameters else { panic!() };
        let instance = Instance {
            name: name.to_owned(),
            component: component.to_owned(),
            kind: kind.to_owned(),
            parameters,
            share: Vec::new(),
            weights,
            frozen: false,
            on: None,
            place: Place::default(),
            parameter_places: Map::new(),
        };
        world.create(&instance).unwrap()
    };
    let path = golden().display().to_string();
    let writer =
        make("writer", "checkpoint.causal_lm", "architecture", json!({ "config": path }), Some(path.clone()));
    let file = json!({ "file": spelling, "special_tokens": false });
    make("tokens", "text.pretrained_tokenizer", "tokenizer", file, None);
    make("spell", "text.decode", "function", json!({ "tokenizer": { "$instance": "tokens" } }), None);
    make("look_up", "tools.lookup", "tool", json!({}), None);
    make("recall", "reinforcement.token_recall", "reward", json!({}), None);
    let likelihood =
        make("likelihood", "language_modelling.token_log_probabilities", "function", json!({}), None);
    let reference = |name: &str| json!({ "$instance": name });
    let mut all = json!({
        "model": reference("writer"), "tokenizer": reference("tokens"), "decoder": reference("spell"),
        "tool": reference("look_up"), "filter": reference("recall"), "result_open": "", "result_close": "",
    });
    all.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
    let roll = make("roll", "decoding.agent_rollout", "function", all, None);
    Case { world, roll, likelihood, writer, _folder: folder }
}

struct Rolled {
    ids: Tensor,
    mask: Tensor,
    loss_mask: Tensor,
    logarithms: Tensor,
    text: Vec<String>,
    wanted: Vec<String>,
    calls: Vec<f64>,
    kept: f64,
    written: f64,
}

fn rows(tensor: &Tensor) -> Vec<Vec<i64>> {
    let width = tensor.size()[1] as usize;
    let flat: Vec<i64> = Vec::try_from(tensor.reshape([-1])).unwrap();
    flat.chunks(width).map(<[i64]>::to_vec).collect()
}

fn roll(case: &Case, prompts: &[Vec<i64>], wanted: &[&str], context: &str) -> Result<Rolled, Error> {
    let scope = CallScope { training: true, gradients: true, ..CallScope::default() };
    let width = prompts[0].len() as i64;
    let ids = Value::Tensor(Tensor::from_slice(&prompts.concat()).view([-1, width]));
    let wanted = Value::Texts(wanted.iter().map(|text| (*text).to_owned()).collect());
    let context = Value::Texts(vec![context.to_owned(); prompts.len()]);
    let inputs = [("ids", &ids), ("wanted", &wanted), ("context", &context)];
    let mut made = case.world.call(case.roll, &scope, &inputs)?;
    let mut texts = |name: &str| match made.take(name) {
        Some(Value::Texts(texts)) => texts.iter().map(ToString::to_string).collect::<Vec<String>>(),
        _ => panic!("{name}"),
    };
    let (text, wanted) = (texts("text"), texts("wanted"));
    let mut tensor = |name: &str| made.take_tensor(name).unwrap();
    let calls = Vec::try_from(tensor("calls").to_kind(Kind::Double)).unwrap();
    Ok(Rolled {
        ids: tensor("ids"),
        mask: tensor("attention_mask"),
        loss_mask: tensor("loss_mask"),
        logarithms: tensor("log_probabilities"),
        kept: tensor("kept").double_value(&[]),
        written: tensor("written").double_value(&[]),
        text,
        wanted,
        calls,
    })
}

/// Prompts, and what the model likes best to write after them.
fn greedy() -> (Vec<Vec<i64>>, Vec<Vec<i64>>) {
    let text = std::fs::read_to_string(golden().join("generate.json")).unwrap();
    let wanted: Json = serde_json::from_str(&text).unwrap();
    let rows = |json: &Json| -> Vec<Vec<i64>> { serde_json::from_value(json.clone()).unwrap() };
    (rows(&wanted["input_ids"]), rows(&wanted["greedy"]))
}

#[test]
fn a_call_is_answered_within_the_batch_and_only_own_tokens_are_learnt() {
    let (prompts, texts) = greedy();
    let width = prompts[0].len();
    // The first text's third new token ends a call that its first begins.
    let new = &texts[0][width..];
    let (open, query, close) = (new[0], new[1], new[2]);
    let parameters = json!({
        "temperature": 0.0, "new_tokens": 9, "maximum_calls": 1,
        "call_open": format!("w{open}"), "call_close": format!("w{close}"),
    });
    let case = case(parameters);
    let context = format!("w{query}: w90 w91\nw{close}: w92");
    let wanted = vec![""; prompts.len()];
    let rolled = roll(&case, &prompts, &wanted, &context).unwrap();
    let (ids, mask, loss) = (rows(&rolled.ids), rows(&rolled.mask), rows(&rolled.loss_mask));
    assert_eq!(ids[0][..width + 5], [&prompts[0][..], &[open, query, close, 90, 91]].concat());
    assert_eq!(loss[0][..width + 6], [vec![0; width], vec![1, 1, 1, 0, 0, 1]].concat());
    assert_eq!(
        (rolled.calls[0], rolled.text[0].starts_with(&format!("w{open} w{query} w{close} w90 w91 w"))),
        (1.0, true)
    );
    for (row, text) in rolled.text.iter().enumerate() {
        let count = mask[row].iter().sum::<i64>() as usize;
        let mut spelt = String::new();
        ids[row][width..count].iter().for_each(|id| write!(spelt, "w{id} ").unwrap());
        assert_eq!(text, spelt.trim_end());
        // A second call ends the text, before its result; nobody has more than nine new tokens.
        assert!(rolled.calls[row] <= 1.0 && count <= width + 9);
        assert!(loss[row].iter().zip(&mask[row]).all(|(own, shown)| own <= shown));
    }
    // What the cache gave is what the whole text gives at once, behind results too.
    let scope = CallScope::default();
    let (ids, mask) = (Value::Tensor(rolled.ids.shallow_clone()), Value::Tensor(rolled.mask.shallow_clone()));
    let mut made = case.world.call(case.writer, &scope, &[("ids", &ids), ("attention_mask", &mask)]).unwrap();
    let logits = made.take("logits").unwrap();
    let mut made = case.world.call(case.likelihood, &scope, &[("logits", &logits), ("ids", &ids)]).unwrap();
    let likely = made.take_tensor("log_probabilities").unwrap() * &rolled.loss_mask;
    assert!(likely.allclose(&rolled.logarithms, 1e-4, 1e-4, false), "{likely} {}", rolled.logarithms);
    assert!(!rolled.logarithms.requires_grad());
}

#[test]
fn dynamic_sampling_keeps_whole_groups_that_differ() {
    let (prompts, _) = greedy();
    let prompts: Vec<Vec<i64>> = prompts.iter().cycle().take(8).cloned().collect();
    let settings = |more: Json| {
        let mut all = json!({
            "temperature": 2.0, "new_tokens": 12, "samples": 4, "groups": 2, "generation_batch": 3,
            "call_open": "w1", "call_close": "w2",
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    // Some word of many is nearly always written, and not by all of a group equally often.
    let words: String = (0..VOCABULARY / 2).map(|i| format!("w{} ", 2 * i)).collect();
    let impossible = "nowhere";
    let wanted = [impossible, &words, impossible, impossible, &words, &words, &words, &words];
    let case_of = case(settings(json!({})));
    let rolled = roll(&case_of, &prompts, &wanted, "").unwrap();
    // The second prompt's group of the first three, and the first that differs of the next three.
    assert_eq!(rolled.wanted, vec![words.clone(); 8]);
    assert_eq!((rolled.written, rows(&rolled.ids).len()), (24.0, 8));
    assert!((rolled.kept - 0.5).abs() < 1e-6, "{}", rolled.kept);
    let width = prompts[0].len();
    for (row, prompt) in [(0, 1), (3, 1), (4, 4), (7, 4)] {
        assert_eq!(rows(&rolled.ids)[row][..width], prompts[prompt]);
    }
    // Too few: an error that says so, or what there is; not one: a group without a difference.
    let error = roll(&case_of, &prompts, &[impossible; 8], "").err().unwrap().to_string();
    assert!(error.contains("after 3 generation batches of 3 prompts 0 groups of 2"), "{error}");
    let going_on = case(settings(json!({ "if_short": "go_on" })));
    let rolled = roll(&going_on, &prompts, &[impossible; 8], "").unwrap();
    assert_eq!((rolled.kept, rolled.written, rolled.text.len()), (0.0, 32.0, 4));
    let mut one = [impossible; 8];
    one[6] = &words;
    let rolled = roll(&going_on, &prompts, &one, "").unwrap();
    assert_eq!((rolled.written, rolled.wanted), (32.0, vec![words.clone(); 4]));
}
