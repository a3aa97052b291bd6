#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use zoo_check::{Catalogue, Input, Plugin, check};

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let text = include_str!("../../dsl/check/tests/language/catalogue.json");
    let plugins: Vec<serde_json::Value> = serde_json::from_str(text).expect("the catalogue is JSON");
    let text = |plugin: &serde_json::Value, key: &str| plugin[key].as_str().unwrap_or_default().to_owned();
    let plugins = plugins
        .iter()
        .map(|plugin| Plugin {
            name: text(plugin, "name"),
            version: text(plugin, "version"),
            path: text(plugin, "path"),
            hash: String::new(),
            components: serde_json::from_value(plugin["components"].clone()).expect("schemas"),
        })
        .collect();
    Catalogue { plugins, refused: Vec::new() }
});

const BASE: &str = include_str!("../../dsl/check/tests/language/base.mlm");

fuzz_target!(|text: &str| {
    // Long files only take long.
    if text.len() > 16 * 1024 {
        return;
    }
    // Settings of the command line stand before a zero byte.
    let (sets, text) = text.split_once('\0').unwrap_or(("", text));
    let sets: Vec<String> = sets.lines().map(str::to_owned).collect();
    let profiles = zoo_check::profiles(text);
    let base = |_: &str| Ok(format!("mlm 1\n{BASE}"));
    let whole = format!("{text}\n{BASE}");
    for (text, profile) in [(text, None), (whole.as_str(), profiles.first().map(String::as_str))] {
        let checked = check(&Input {
            name: "recipe.mlm",
            text,
            read: &base,
            catalogue: &CATALOGUE,
            profile,
            arms: &[],
            sets: &sets,
            seeds: None,
            messages_only: false,
        });
        assert_eq!(checked.experiment.is_none(), checked.has_errors());
        let plain = zoo_diagnostics::render::full(&checked.diagnostics, &checked.sources, Default::default());
        assert_eq!(plain.is_empty(), checked.diagnostics.is_empty());
    }
});
