//! What the README shows is what there is.

// Also outside of the test functions, in what they share.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = page;
    let fence = format!("```{language}\n");
    while let Some(at) = rest.find(&fence) {
        let body = &rest[at + fence.len()..];
        let end = body.find("```").unwrap();
        out.push(body[..end].to_owned());
        rest = &body[end..];
    }
    out
}

/// With `UPDATE_EXPECT=1` the page is written instead of compared.
#[test]
fn the_recipe_is_shown_as_it_is() {
    let (page, recipe) = (text("README.md"), text("recipes/electra.mlm"));
    let shown = blocks(&page, "mlm");
    assert_eq!(shown.len(), 1);
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value != "0") {
        fs::write(root().join("README.md"), page.replace(&shown[0], &recipe)).unwrap();
        return;
    }
    assert!(
        shown[0] == recipe,
        "README.md shows another recipes/electra.mlm than there is; \
         `UPDATE_EXPECT=1 cargo test -p zoo-tests --test readme` puts it right"
    );
}

#[test]
fn every_link_leads_somewhere() {
    for page in ["README.md", "ARCHITECTURE.md", "DESIGN.md", "ABI.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let page_text = text(page);
        for (at, _) in page_text.match_indices("](") {
            let target = page_text[at + 2..].split(')').next().unwrap();
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap();
            assert!(root().join(file).exists(), "{page} links {target}");
        }
    }
}

#[test]
fn the_commands_of_the_set_up_are_there() {
    let readme = text("README.md");
    let script = text("zoo.sh");
    for command in ["test", "setup"] {
        assert!(readme.contains(&format!("./zoo.sh {command}")), "{command}");
        assert!(script.contains(&format!("\n{command})")), "{command}");
    }
    for recipe in readme.match_indices("recipes/").map(|(at, _)| &readme[at..]) {
        let name: String =
            recipe.chars().take_while(|c| c.is_ascii_alphanumeric() || "/-_.".contains(*c)).collect();
        let name = name.trim_end_matches('.');
        assert!(root().join(name).exists(), "{name}");
    }
}
