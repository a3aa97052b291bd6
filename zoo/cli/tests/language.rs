//! The commands about the language, on the built program.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, RECIPE};
use std::io::Write;
use std::process::Stdio;

#[test]
fn a_right_recipe_is_fine() {
    let place = Place::new();
    insta::assert_snapshot!("fine", place.zoo(&["check", "recipes/toy.mlm"]).all());
    let json = place.zoo(&["check", "recipes/toy.mlm", "--json"]).json();
    assert_eq!(json["errors"], 0);
    assert_eq!(json["recipes"][0]["profiles"], serde_json::json!(["mini", "paper"]));
}

/// The list of typos, each through the real program.
#[test]
fn every_typo_is_placed_and_mended() {
    let place = Place::new();
    let mut all = String::new();
    let cases: [(&str, &str, &str, &[&str]); 9] = [
        ("a component", "toy.network(", "toy.netwrok(", &[]),
        ("a parameter", "noise: noise, part", "nose: noise, part", &[]),
        ("a unit", "param noise : fraction = 10%", "param noise : fraction = 10", &[]),
        ("a port", "entropy(out.scores", "entropy(out.score", &[]),
        ("an arm", "accuracy(wide)", "accuracy(wid)", &[]),
        ("a claim's metric", "require accuracy", "require acuracy", &[]),
        ("--set", "", "", &["--set", "net.widht=3"]),
        ("--arm", "", "", &["--arm", "wied"]),
        ("--profile", "", "", &["--profile", "mni"]),
    ];
    for (title, old, new, options) in cases {
        place.recipe_with(old, new);
        let words: Vec<&str> = ["check", "recipes/toy.mlm"].iter().chain(options).copied().collect();
        let answer = place.zoo(&words);
        assert_eq!(answer.code, 2, "{title}: {}", answer.all());
        assert!(
            answer.err.contains("did you mean") || answer.err.contains("help:"),
            "{title}: {}",
            answer.err
        );
        all.push_str(&format!("==== {title}\n{}\n", answer.err));
    }
    insta::assert_snapshot!("typos", all);
}

#[test]
fn what_is_wrong_under_a_profile_alone_is_found() {
    let place = Place::new();
    place.recipe_with("  width = 4\n", "  width = 0\n");
    let answer = place.zoo(&["check", "recipes/toy.mlm", "--short"]);
    assert_eq!(answer.code, 2);
    assert_eq!(answer.out.lines().count(), 1, "{}", answer.out);
    assert!(answer.out.contains("recipes/toy.mlm:") && answer.out.contains("error[Z0310]"), "{}", answer.out);
    let full = place.zoo(&["check", "recipes/toy.mlm"]);
    assert!(full.err.contains("under profile `mini`"), "{}", full.err);
}

#[test]
fn messages_as_data_have_edits_that_mend() {
    let place = Place::new();
    place.recipe_with("toy.network(", "toy.netwrok(");
    let json = place.zoo(&["check", "recipes/toy.mlm", "--json"]).json();
    let text = RECIPE.replacen("toy.network(", "toy.netwrok(", 1);
    let edit = &json["recipes"][0]["diagnostics"][0]["helps"][0]["edits"][0];
    let (start, len) = (edit["start"].as_u64().unwrap() as usize, edit["len"].as_u64().unwrap() as usize);
    let mended =
        format!("{}{}{}", &text[..start], edit["replacement"].as_str().unwrap(), &text[start + len..]);
    assert_eq!(mended, RECIPE);
}

#[test]
fn a_recipe_that_is_not_there_is_told_with_the_nearest() {
    let place = Place::new();
    let answer = place.zoo(&["check", "recipes/tyo.mlm"]);
    assert_eq!((answer.code, answer.out.as_str()), (2, ""));
    insta::assert_snapshot!("missing_file", answer.err);
    let answer = place.zoo(&["check", "toy.mlm"]);
    assert!(answer.err.contains("did you mean `recipes/toy.mlm`?"), "{}", answer.err);
}

#[test]
fn misspelt_commands_and_options_are_mended() {
    let place = Place::new();
    for (words, near) in [
        (&["chek", "recipes/toy.mlm"][..], "'check'"),
        (&["check", "--profil", "mini", "recipes/toy.mlm"], "'--profile'"),
        (&["run", "recipes/toy.mlm", "--device", "gpu"], "`cuda`"),
        (&["run", "--resume", "a", "recipes/toy.mlm"], "cannot be used with"),
    ] {
        let answer = place.zoo(words);
        assert_eq!(answer.code, 2, "{}", answer.all());
        assert!(answer.err.contains(near), "{}", answer.err);
    }
    let help = place.zoo(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for code in ["    0 ", "    1 ", "    2 ", "    3 ", "    4 ", "  130 "] {
        assert!(help.out.contains(code), "{}", help.out);
    }
}

#[test]
fn colours_only_where_they_are_wanted() {
    let place = Place::new();
    place.recipe_with("toy.network(", "toy.netwrok(");
    let words = ["check", "recipes/toy.mlm"];
    assert!(!place.zoo(&words).err.contains('\u{1b}'), "not a terminal");
    let coloured = place.zoo(&["check", "recipes/toy.mlm", "--color", "always"]);
    assert!(coloured.err.contains("\u{1b}["));
    let forced = place.command(&words).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(place.answer(&forced).err.contains("\u{1b}["));
    let refused = place.command(&words).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().unwrap();
    assert!(!place.answer(&refused).err.contains('\u{1b}'), "NO_COLOR wins");
}

#[test]
fn formatting_shows_a_diff_and_does_it_once() {
    let place = Place::new();
    place.write("recipes/toy.mlm", "mlm 1\nparam  a:count=1 // one\nparam longer : count = 2\n");
    let check = place.zoo(&["fmt", "--check", "recipes"]);
    insta::assert_snapshot!("fmt_check", check.all());
    assert_eq!(place.zoo(&["fmt"]).code, 0, "everything below the current folder");
    let again = place.zoo(&["fmt", "--check"]);
    assert_eq!((again.code, again.out.as_str(), again.err.as_str()), (0, "", ""));
    let json = place.zoo(&["fmt", "--check", "--json"]).json();
    assert_eq!(json["recipes"][0]["changed"], false);
}

#[test]
fn a_recipe_may_come_from_the_standard_input() {
    let place = Place::new();
    let mut child = place
        .command(&["fmt", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"mlm 1\nparam  a:count=1\n").unwrap();
    let answer = place.answer(&child.wait_with_output().unwrap());
    assert_eq!(answer.out, "mlm 1\nparam a : count = 1\n");
}

#[test]
fn why_tells_the_layers() {
    let place = Place::new();
    let all = ["width", "net.width", "fit.steps", "rows"]
        .map(|path| {
            place.zoo(&["why", "recipes/toy.mlm", path, "--profile", "mini", "--arm", "narrow"]).all()
        })
        .join("\n");
    insta::assert_snapshot!("why", all);
    let set = place.zoo(&["why", "recipes/toy.mlm", "width", "--set", "width=3"]);
    assert!(set.out.contains("command line  3"), "{}", set.out);
    let wrong = place.zoo(&["why", "recipes/toy.mlm", "net.widht"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("did you mean `zoo why recipes/toy.mlm net.width`?"), "{}", wrong.err);
    let json = place.zoo(&["why", "recipes/toy.mlm", "net.width", "--arm", "narrow", "--json"]).json();
    assert_eq!(json[0]["value"], "2");
}

#[test]
fn plan_and_graph() {
    let place = Place::new();
    insta::assert_snapshot!("plan", place.zoo(&["plan", "recipes/toy.mlm"]).all());
    let plan = place.zoo(&["plan", "recipes/toy.mlm", "--profile", "paper", "--json"]).json();
    assert_eq!(plan["arms"][1]["cost"]["parameters"], 60.0);
    let dot = place.zoo(&["graph", "recipes/toy.mlm", "--arm", "wide", "--of", "fit", "--dot"]);
    assert!(
        dot.out.starts_with("digraph \"wide.fit\"") && dot.out.contains("scores: float[8, 2]"),
        "{}",
        dot.all()
    );
    let svg = place.zoo(&["graph", "recipes/toy.mlm", "--svg", "--out", "step.svg"]);
    assert_eq!(svg.code, 0, "{}", svg.all());
    assert!(std::fs::read_to_string(place.path("step.svg")).unwrap().starts_with("<svg"));
    let wrong = place.zoo(&["graph", "recipes/toy.mlm", "--of", "fti"]);
    assert!(wrong.code == 2 && wrong.err.contains("did you mean `--of fit`?"), "{}", wrong.all());
}
