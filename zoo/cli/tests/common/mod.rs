//! A folder with a toy plugin and recipes, and the built program in it.
//!
//! The plugin's file is made by hand: it has the sections that `zoo` reads and no code, since nothing of
//! it is ever loaded. The program is linked into the folder too, so that the plugins of a build beside
//! it are out of reach.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "../../../../core/discovery/tests/common/mod.rs"]
pub mod files;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A recipe that is right.
pub const RECIPE: &str = r#"mlm 1

/// Numbers are told apart.
paper toy {
  title = "A toy"
}

use plugin "zoo-toy" ">=0.3, <0.4"

/// Hidden units.
param width : count = 10 in >= 1
param noise : fraction = 10% in [0%, 50%]
param steps : count = 100 steps

data rows = toy.rows(noise: noise)
data unseen = toy.rows(noise: noise, part: "held_out")
model net = toy.network(width: width)
objective entropy = toy.cross_entropy()
optimizer adam = toy.adam(learning_rate: 0.1)

step train(batch) {
  let out = net(batch.x)
  loss = entropy(out.scores, batch.y)
}

step judge(batch) {
  let out = net(batch.x)
  log right = toy.accuracy(out.scores, batch.y)
}

phase fit {
  data = rows
  step = train
  steps = steps
  batch = 8 seq
  optimizer = adam
}

eval quality = measure(judge, data: unseen, batch: 16 seq)
metric accuracy = quality.right

arm narrow : baseline "few units" {
  width = 2
}
arm wide : treatment "many units" {}

claim "width helps" {
  require accuracy(wide) > accuracy(narrow) + 1 pt
  over 3 seeds paired at 95% confidence
}

profile mini "seconds" {
  width = 4
  steps = 20 steps
}
profile paper "as it stands" {}
"#;

/// The schemas of the toy plugin.
pub fn components() -> Vec<Value> {
    vec![
        json!({
            "name": "toy.rows", "kind": "data", "summary": "Rows of 4 numbers and a class.",
            "description": "Two clouds of points.\n\nWith `noise` some classes are wrong.",
            "paper": "Nobody: Toys, 2026.",
            "params": [
                {"name": "noise", "type": "fraction", "default": 0.0, "range": "[0, 1]", "doc": "Share of wrong classes."},
                {"name": "part", "type": "one_of(\"train\", \"held_out\")", "default": "train", "doc": "Which part."},
                {"name": "count", "type": "count", "default": {"formula": "4 * 64"}, "range": ">= 1", "doc": "Rows."},
            ],
            "out": [
                {"name": "x", "type": "float[B, 4]", "doc": "the numbers"},
                {"name": "y", "type": "int[B]", "doc": "the class"},
            ],
            "examples": ["data rows = toy.rows(noise: 10%)"],
        }),
        json!({
            "name": "toy.network", "kind": "architecture", "summary": "A network with one hidden layer.",
            "params": [{"name": "width", "type": "count", "range": ">= 1", "doc": "Hidden units."}],
            "in": [{"name": "x", "type": "float[B, 4]", "doc": "numbers"}],
            "out": [{"name": "scores", "type": "float[B, 2]", "doc": "a score a class"}],
            "sites": [{"name": "hidden", "input": "4", "output": "width"}],
            "effects": {"parameters": true},
            "cost": {"flops": "B * width * 12", "parameters": "width * 6", "activations": "B * (width + 2)"},
        }),
        json!({
            "name": "toy.cross_entropy", "kind": "objective", "summary": "Minus the log of the right class's share.",
            "in": [{"name": "scores", "type": "float[B, 2]"}, {"name": "y", "type": "int[B]"}],
            "out": [{"name": "loss", "type": "float[]"}],
            "cost": {"flops": "B * 8", "activations": "B * 2"},
        }),
        json!({
            "name": "toy.accuracy", "kind": "metric", "summary": "Share of right classes.",
            "in": [{"name": "scores", "type": "float[B, 2]"}, {"name": "y", "type": "int[B]"}],
            "out": [{"name": "value", "type": "real", "unit": "fraction", "better": "higher"}],
        }),
        json!({
            "name": "toy.adam", "kind": "optimizer", "summary": "An optimizer.",
            "params": [{"name": "learning_rate", "type": "real", "range": "> 0", "varies": true, "doc": "Peak rate."}],
            "in": [
                {"name": "step", "type": "integer"}, {"name": "rate", "type": "real"},
                {"name": "names", "type": "bytes"}, {"name": "parameters", "type": "float[...]", "repeated": true},
                {"name": "gradients", "type": "float[...]", "repeated": true},
                {"name": "states", "type": "float[...]", "repeated": true},
            ],
            "effects": {"writes": ["parameters", "states"], "states": [{"name": "moment"}]},
        }),
    ]
}

/// Bytes of the toy plugin's file.
pub fn plugin(facts: &Value) -> Vec<u8> {
    let schemas: Vec<String> = components().iter().map(Value::to_string).collect();
    files::elf(&files::sections(facts, &schemas))
}

/// The folder.
pub struct Place {
    folder: TempDir,
}

/// What a command gave, with the folder's name taken out.
pub struct Answer {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl Answer {
    /// Everything, for golden tests.
    pub fn all(&self) -> String {
        let mut text = format!("code {}\n", self.code);
        for (name, stream) in [("output", &self.out), ("errors", &self.err)] {
            if !stream.is_empty() {
                text.push_str(&format!("---- {name}\n{stream}"));
            }
        }
        text
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.all()))
    }
}

impl Place {
    /// With the toy plugin beside the recipe `toy.mlm`.
    pub fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        files::write(&place.path("recipes/plugins"), "zoo-toy", &plugin(&files::facts("zoo-toy")));
        place.write("recipes/toy.mlm", RECIPE);
        let own = place.path("bin/zoo");
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_zoo"));
        if fs::hard_link(built, &own).is_err() {
            fs::copy(built, &own).unwrap();
        }
        place.allow("zoo-toy");
        place
    }

    /// Allows the plugin beside the recipe.
    pub fn allow(&self, name: &str) {
        let file = format!("recipes/plugins/lib{}.so", name.replace('-', "_"));
        let answer = self.zoo(&["plugin", "allow", &file]);
        assert_eq!(answer.code, 0, "{}", answer.all());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The recipe with something else in it.
    pub fn recipe_with(&self, old: &str, new: &str) {
        assert!(RECIPE.contains(old), "{old}");
        self.write("recipes/toy.mlm", &RECIPE.replacen(old, new, 1));
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/zoo"));
        command.args(words).current_dir(self.folder.path()).env_clear();
        command.env("HOME", self.path("home")).env("TMPDIR", self.folder.path()).env("PATH", "/usr/bin:/bin");
        command
    }

    pub fn zoo(&self, words: &[&str]) -> Answer {
        self.answer(&self.command(words).output().unwrap())
    }

    pub fn answer(&self, output: &Output) -> Answer {
        let folder = self.folder.path().canonicalize().unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.replace(&*folder.to_string_lossy(), "[folder]")
                .replace(&*self.folder.path().to_string_lossy(), "[folder]")
        };
        Answer {
            out: text(&output.stdout),
            err: text(&output.stderr),
            code: output.status.code().unwrap_or(-1),
        }
    }
}
