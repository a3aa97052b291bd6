//! An outsider's recipe over the first-party plugins, with one typo at a time, through the real program:
//! each message names the place and the mend, and nothing is opened that need not be.

use zoo_tests::Place;

/// What an outsider might write first: a classifier of two kinds of rows.
const RECIPE: &str = r#"mlm 1

use plugin "zoo-toy"
use plugin "zoo-optimization" ">=0.1, <0.2"

param rate  : real     = 0.05 in > 0
param decay : fraction = 1%   in [0%, 50%]
param seeds : count    = 3 seeds

data rows   = toy.rows()
data unseen = toy.rows(rows: 40)
model line = toy.line()
objective error = toy.squared_error()
metric root = toy.root_mean_square()
optimizer adam = optimization.adamw(learning_rate: rate, weight_decay: 0.01)

step fit(batch) {
  let out = line(batch.x)
  loss = error(out.y, batch.y)
}

step judge(batch) {
  let out = line(batch.x)
  log root = root(out.y, batch.y)
}

phase train {
  data = rows
  step = fit
  steps = 20 steps
  batch = 16 seq
  optimizer = adam
}

eval quality = measure(judge, data: unseen, batch: 8 seq)
metric distance = quality.root

arm slow : baseline {
  rate = 0.0005
}
arm fast : treatment {}

claim "a larger rate comes closer" {
  require distance(fast) < distance(slow)
  over seeds paired at 95% confidence
}
"#;

struct Typo {
    what: &'static str,
    old: &'static str,
    new: &'static str,
    options: &'static [&'static str],
    /// Code, and the text that the message is about.
    code: &'static str,
    /// What mends it.
    mend: &'static str,
}

const fn typo(
    what: &'static str,
    (old, new): (&'static str, &'static str),
    code: &'static str,
    mend: &'static str,
) -> Typo {
    Typo { what, old, new, options: &[], code, mend }
}

const TYPOS: [Typo; 9] = [
    typo("a component", ("optimization.adamw", "optimization.adamv"), "Z0201", "optimization.adamw"),
    typo("a parameter", ("weight_decay:", "wieght_decay:"), "Z0305", "weight_decay"),
    typo("a unit", ("fraction = 1%", "fraction = 1"), "Z0304", "1%"),
    typo("a port", ("error(out.y", "error(out.yy"), "Z0403", "y"),
    typo("an arm", ("distance(fast)", "distance(fsat)"), "Z0207", "fast"),
    typo("a claim", ("require distance", "require distanse"), "Z0502", "distance"),
    typo("a clause of a claim", ("  over seeds", "  ovre seeds"), "Z0010", "over"),
    Typo {
        what: "--set",
        old: "",
        new: "",
        options: &["--set", "adam.learning_rat=1"],
        code: "Z0305",
        mend: "learning_rate",
    },
    Typo { what: "--arm", old: "", new: "", options: &["--arm", "fsat"], code: "Z0207", mend: "fast" },
];

#[test]
fn the_recipe_is_right_without_a_typo() {
    let place = Place::new();
    place.write("recipe.mlm", RECIPE);
    let answer = place.zoo(&["check", "recipe.mlm"]);
    assert_eq!(answer.code, 0, "{answer:#?}");
}

#[test]
fn every_typo_names_the_place_and_the_mend() {
    let place = Place::new();
    for Typo { what, old, new, options, code, mend } in TYPOS {
        assert!(RECIPE.contains(old), "{what}");
        let text = if old.is_empty() { RECIPE.to_owned() } else { RECIPE.replacen(old, new, 1) };
        place.write("recipe.mlm", &text);
        let words: Vec<&str> = ["check", "recipe.mlm", "--json"].iter().chain(options).copied().collect();
        let answer = place.zoo(&words);
        assert_eq!(answer.code, 2, "{what}: {answer:#?}");
        let all: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
        let errors: Vec<&serde_json::Value> = all["recipes"][0]["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|diagnostic| diagnostic["severity"] == "error")
            .collect();
        assert_eq!(errors.len(), 1, "{what}: one cause gives one error: {errors:#?}");
        let error = errors[0];
        assert_eq!(error["code"], code, "{what}");
        // The place: the very line, or the command line.
        let label =
            &error["labels"].as_array().unwrap().iter().find(|label| label["primary"] == true).unwrap();
        if old.is_empty() {
            assert_eq!(label["file"], "<command line>", "{what}");
        } else {
            let line = text[..text.find(new).unwrap()].matches('\n').count() as u64 + 1;
            assert_eq!(
                (label["file"].as_str(), label["line"].as_u64()),
                (Some("recipe.mlm"), Some(line)),
                "{what}"
            );
        }
        // The mend: an edit that, applied, makes the recipe right.
        let edit = error["helps"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|help| help["edits"].as_array()?.first())
            .next()
            .unwrap_or_else(|| panic!("{what}: no edit in {error:#}"));
        let (start, len) = (edit["start"].as_u64().unwrap() as usize, edit["len"].as_u64().unwrap() as usize);
        let replacement = edit["replacement"].as_str().unwrap();
        assert!(mend.contains(replacement) || replacement.contains(mend), "{what}: {edit:#}");
        if !old.is_empty() {
            let mended = format!("{}{replacement}{}", &text[..start], &text[start + len..]);
            assert_eq!(mended, RECIPE, "{what}");
        }
        // And the same in words for people.
        let words: Vec<&str> = ["check", "recipe.mlm"].iter().chain(options).copied().collect();
        let answer = place.zoo(&words);
        assert!(
            answer.err.contains(&format!("error[{code}]")) && answer.err.contains("help: "),
            "{what}: {answer:#?}"
        );
    }
}

#[test]
fn checking_opens_no_libtorch_and_loads_no_plugin() {
    let place = Place::new();
    place.write("recipe.mlm", RECIPE);
    for words in [&["check", "recipe.mlm"][..], &["explain", "toy.line"], &["fmt", "--check", "recipe.mlm"]] {
        let output = place.command(words).env("LD_DEBUG", "files").output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains("libc.so"), "the loader says what it opens: {log}");
        for library in ["libtorch", "libc10", "libzoo_"] {
            assert!(!log.contains(library), "{words:?} opens {library}: {log}");
        }
    }
}
