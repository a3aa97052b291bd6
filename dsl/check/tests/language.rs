//! The language as cases: every file of `tests/language` holds recipes and the messages that they get.
//!
//! What a case does not define itself comes from `base.mlm`, behind its last line.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use zoo_check::{Catalogue, Checked, Input, Plugin, Refused, check};
use zoo_diagnostics::testing::{Case, cases, check_folder};
use zoo_diagnostics::{FileId, apply_edits, codes, render};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language")
}

fn catalogue() -> Catalogue {
    let text = fs::read_to_string(folder().join("catalogue.json")).unwrap();
    let plugins: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let text = |plugin: &serde_json::Value, key: &str| plugin[key].as_str().unwrap().to_owned();
    Catalogue {
        plugins: plugins
            .iter()
            .map(|plugin| Plugin {
                name: text(plugin, "name"),
                version: text(plugin, "version"),
                path: text(plugin, "path"),
                hash: String::new(),
                components: serde_json::from_value(plugin["components"].clone()).unwrap(),
            })
            .collect(),
        refused: vec![Refused {
            name: "zoo-electra".to_owned(),
            path: "plugins/libzoo_electra.so".to_owned(),
            components: vec!["electra.loss".to_owned()],
            reason: "it was built for libtorch 2.10.0, and this zoo has 2.11.0".to_owned(),
            help: "rebuild it with this zoo's libtorch: `cargo build --release -p zoo-electra`".to_owned(),
        }],
    }
}

/// The case's recipe, completed from `base.mlm`.
fn completed(recipe: &str) -> String {
    if recipe.contains("// alone") {
        return recipe.to_owned();
    }
    let base = fs::read_to_string(folder().join("base.mlm")).unwrap();
    let keyed = |text: &str, item: &zoo_syntax::ast::Item| {
        let words: Vec<String> =
            text[item.span().range()].split_whitespace().take(2).map(str::to_owned).collect();
        let group =
            if matches!(words[0].as_str(), "arm" | "profile") { words[0].clone() } else { String::new() };
        // A case with arms of its own has no others.
        if group == "arm" {
            "arm".to_owned()
        } else {
            format!("{group} {}", item.name().map_or("", |n| &n.text))
        }
    };
    let own = zoo_syntax::parse(FileId(0), recipe).recipe;
    let defined: Vec<String> = own.items.iter().map(|item| keyed(recipe, item)).collect();
    let mut text = recipe.to_owned();
    text.push('\n');
    for item in &zoo_syntax::parse(FileId(0), &base).recipe.items {
        if !defined.contains(&keyed(&base, item)) {
            text.push_str(&base[item.span().range()]);
            text.push('\n');
        }
    }
    text
}

fn checked(case: &Case) -> Checked {
    let mut recipe = completed(case.recipe());
    let (mut profile, mut arms, mut sets) = (None, Vec::new(), Vec::new());
    let mut arguments = case.arguments.iter().flat_map(|line| line.splitn(2, ' '));
    while let Some(argument) = arguments.next() {
        let value =
            arguments.next().unwrap_or_else(|| panic!("{}: {argument} has no value", case.place)).to_owned();
        match argument {
            "--profile" => profile = Some(value),
            "--arm" => arms.push(value),
            "--set" => sets.push(value),
            // For files that are too long to be written down.
            "--repeat" => recipe = recipe.repeat(value.parse().unwrap()),
            other => panic!("{}: unknown argument {other}", case.place),
        }
    }
    let read = |name: &str| {
        let found = case.files.iter().skip(1).find(|(file, _)| file == name);
        found.map(|(_, text)| text.clone()).ok_or_else(|| "there is no such file".to_owned())
    };
    check(&Input {
        name: &case.files[0].0,
        text: &recipe,
        read: &read,
        catalogue: &catalogue(),
        profile: profile.as_deref(),
        arms: &arms,
        sets: &sets,
        seeds: None,
        messages_only: false,
    })
}

#[test]
fn messages_are_as_expected() {
    check_folder(&folder(), |case| {
        let checked = checked(case);
        if checked.diagnostics.is_empty() {
            return "nothing to say".to_owned();
        }
        render::full(&checked.diagnostics, &checked.sources, render::Style::default())
    });
}

#[test]
fn every_code_has_a_case() {
    let mut seen: Vec<&str> = Vec::new();
    let all = cases(&folder());
    for case in &all {
        seen.extend(checked(case).diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()));
    }
    let missing: Vec<&str> =
        codes::TABLE.iter().map(|row| row.code.as_str()).filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "no case has {missing:?}");
    assert!(all.len() >= 120, "there are {} cases", all.len());
}

/// An edit that is offered does what it says: it can be applied, and the message is gone.
#[test]
fn edits_mend() {
    for case in cases(&folder()) {
        let before = checked(&case);
        let count = |checked: &Checked, code: codes::Code| {
            checked.diagnostics.iter().filter(|diagnostic| diagnostic.code == code).count()
        };
        for diagnostic in &before.diagnostics {
            for help in &diagnostic.helps {
                if help.edits.is_empty() || help.edits.iter().any(|edit| edit.span.file != 0) {
                    continue;
                }
                let recipe = completed(case.recipe());
                let mended = apply_edits(FileId(0), &recipe, &help.edits)
                    .unwrap_or_else(|error| panic!("{}: {}: {error}", case.place, case.title));
                let mut again = case.clone();
                again.files[0].1 = format!("{mended}// alone\n");
                let after = checked(&again);
                assert!(
                    count(&after, diagnostic.code) < count(&before, diagnostic.code),
                    "{}: {}: {} is still there after `{}`:\n{}",
                    case.place,
                    case.title,
                    diagnostic.code,
                    help.text,
                    render::one_line(&after.diagnostics, &after.sources)
                );
            }
        }
    }
}
