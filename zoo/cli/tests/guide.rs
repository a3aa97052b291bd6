//! The guide: its commands are commands, its files are there, its links lead somewhere.

#![allow(clippy::unwrap_used)]

mod common;

use common::Place;
use std::fs;
use std::path::{Path, PathBuf};

fn pages() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src");
    let mut pages: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// What a reader would type: lines of `sh` blocks, and words in backticks that begin with `zoo `.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = None;
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.to_owned()) };
        } else if block.as_deref() == Some("sh") {
            found.push(line.to_owned());
        }
    }
    // What stands between blocks; a command may be broken at the end of a line.
    let prose = page.split("```").step_by(2).collect::<String>().replace('\n', " ");
    found.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
    found.into_iter().filter(|command| command.starts_with("zoo ")).collect()
}

#[test]
fn every_command_of_the_guide_is_one() {
    let place = Place::new();
    let mut tried = 0;
    for (path, page) in pages() {
        for command in commands(&page) {
            // Everything before `--help` is read, and what is unknown is refused.
            let mut words: Vec<&str> =
                command.split_whitespace().skip(1).filter(|word| *word != "…").collect();
            words.push("--help");
            let answer = place.zoo(&words);
            assert_eq!(answer.code, 0, "{}: `{command}`: {}", path.display(), answer.all());
            tried += 1;
        }
    }
    assert!(tried >= 12, "{tried} commands were found");
    assert_eq!(place.zoo(&["plugin", "nwe", "--help"]).code, 2, "what is no command is refused");
}

/// The first commands of the guide, and every file that it promises; the build and the run are the
/// whole-program tests'.
#[test]
fn the_first_page_is_true() {
    let place = Place::new();
    let (_, page) = pages().into_iter().find(|(path, _)| path.ends_with("plugin.md")).unwrap();
    let first: Vec<String> = commands(&page).into_iter().take(3).collect();
    assert!(first[0].starts_with("zoo plugin new ") && first[1].starts_with("zoo plugin test "));
    let words: Vec<&str> = first[0].split_whitespace().skip(1).collect();
    assert_eq!(place.zoo(&words).code, 0);
    let folder = page.lines().find_map(|line| line.strip_prefix("cd ")).unwrap();
    let rows: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    let files: Vec<&str> = rows.iter().map(|row| row.split('`').next().unwrap()).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert!(place.path(folder).join(file).is_file(), "{file}");
    }
    let recipe = first[2].split_whitespace().nth(2).unwrap();
    assert!(place.path(folder).join(recipe).is_file(), "{recipe}");
    // Every kind that the page names is one.
    let kinds = page.split("eight kinds: ").nth(1).unwrap().split('.').next().unwrap();
    let kinds: Vec<&str> = kinds.split('`').skip(1).step_by(2).collect();
    assert_eq!(kinds.len(), 8);
    for kind in kinds {
        let name = format!("of-{kind}");
        let answer = place.zoo(&["plugin", "new", &name, "--kind", kind]);
        assert_eq!(answer.code, 0, "{kind}: {}", answer.all());
    }
}

#[test]
fn every_link_of_the_guide_leads_somewhere() {
    let mut tried = 0;
    for (path, page) in pages() {
        for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.starts_with("http") && !target.starts_with('#') {
                let file = path.with_file_name(target.split('#').next().unwrap());
                assert!(file.exists(), "{}: {target}", path.display());
                tried += 1;
            }
        }
    }
    assert!(tried >= 8, "{tried} links were found");
}
