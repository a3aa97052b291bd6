//! How long a recipe of 300 lines takes: `cargo run --release -p zoo-check --example time`.

#![allow(clippy::print_stdout)]

use std::time::Instant;
use zoo_check::{Catalogue, Input, Plugin, check};
use zoo_syntax::FileId;

const BASE: &str = include_str!("../tests/language/base.mlm");
const CATALOGUE: &str = include_str!("../tests/language/catalogue.json");

fn catalogue() -> Result<Catalogue, serde_json::Error> {
    let plugins: Vec<serde_json::Value> = serde_json::from_str(CATALOGUE)?;
    let text = |plugin: &serde_json::Value, key: &str| plugin[key].as_str().unwrap_or_default().to_owned();
    let mut catalogue = Catalogue::default();
    for plugin in &plugins {
        catalogue.plugins.push(Plugin {
            name: text(plugin, "name"),
            version: text(plugin, "version"),
            path: text(plugin, "path"),
            hash: String::new(),
            components: serde_json::from_value(plugin["components"].clone())?,
        });
    }
    Ok(catalogue)
}

/// A recipe of at least that many lines: ten arms, claims over them, many parameters and steps.
fn recipe(lines: usize) -> String {
    let mut text = format!("mlm 1\n{BASE}");
    for arm in 0..8 {
        text.push_str(&format!(
            "\narm wide{arm} \"wider\" {{\n  discriminator.hidden = {}\n}}\nclaim \"width {arm}\" {{\n  \
             require auc(wide{arm}) > auc(bert) + 1 pt\n  over 5 seeds paired at 95% confidence\n}}\n",
            128 * (arm + 2)
        ));
    }
    let mut number = 0;
    while text.lines().count() + 20 < lines {
        text.push_str(&format!(
            "\n/// Number {number}.\nparam p{number} : count = {number} + 2 * 3 in >= 0\nstep extra{number}(batch) {{\n  \
             let x = mask(batch.ids)\n  let g = generator(x.ids, positions: x.positions)\n  \
             log l = mlm(g.logits, x.targets)\n}}\neval check{number} = measure(step: extra{number}, data: examples)\n"
        ));
        number += 1;
    }
    while text.lines().count() < lines {
        text.push_str("// the end\n");
    }
    text
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = recipe(300);
    let catalogue = catalogue()?;
    let read = |_: &str| Err("no files".to_owned());
    let input = Input {
        name: "recipe.mlm",
        text: &text,
        read: &read,
        catalogue: &catalogue,
        profile: None,
        arms: &[],
        sets: &[],
        seeds: None,
        messages_only: true,
    };
    let first = check(&input);
    if first.has_errors() {
        let errors = zoo_diagnostics::render::one_line(&first.diagnostics, &first.sources);
        return Err(errors.into());
    }
    let least = |work: &dyn Fn()| {
        (0..50)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed()
            })
            .min()
            .unwrap_or_default()
    };
    let parsing = least(&|| drop(zoo_syntax::parse(FileId(0), &text)));
    let checking = least(&|| drop(check(&input)));
    println!("{} lines, {} arms", text.lines().count(), first.experiment.map_or(0, |e| e.arms.len()));
    println!("parse            {parsing:?}");
    println!("parse and check  {checking:?}");
    Ok(())
}
