//! `zoo fmt`

use crate::arguments::Fmt;
use crate::error::Wrong;
use crate::recipe::{Recipe, counted};
use crate::terminal::{BAD, FAINT, GOOD, Terminal, styled};
use anyhow::{Context, Result};
use serde_json::json;
use similar::{ChangeTag, TextDiff};
use std::path::{Path, PathBuf};
use zoo_record::{Exit, write_atomic};

/// Folders deeper than this below the one that was named are not searched.
const DEPTH: usize = 16;

pub(crate) fn run(command: &Fmt, terminal: &mut Terminal) -> Result<Exit> {
    let files = files(&command.recipes)?;
    let mut changed = Vec::new();
    let mut results = Vec::new();
    for path in &files {
        let recipe = Recipe::read(path)?;
        let formatted = zoo_format::format(&recipe.text);
        let differs = formatted != recipe.text;
        results.push(json!({ "recipe": recipe.name, "changed": differs }));
        if path.as_os_str() == "-" && !command.check {
            terminal.print(&formatted)?;
            continue;
        }
        if !differs {
            continue;
        }
        if command.check {
            if !command.json {
                terminal.print(&diff(&recipe.name, &recipe.text, &formatted))?;
            }
        } else {
            write_atomic(path, formatted).context("the recipe cannot be written")?;
        }
        changed.push(recipe.name);
    }
    if command.json {
        terminal.print(&format!("{:#}\n", json!({ "recipes": results })))?;
    } else if command.check && !changed.is_empty() {
        let what = counted(changed.len(), "recipe");
        terminal.say(&format!("{what} would change; `zoo fmt {}` does it\n", changed.join(" ")));
    } else if !command.check {
        for name in &changed {
            terminal.say(&format!("formatted {name}\n"));
        }
    }
    Ok(if command.check && !changed.is_empty() { Exit::Error } else { Exit::Success })
}

/// The files that were named, and those below the folders that were named.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let here = [PathBuf::from(".")];
    let mut files = Vec::new();
    for path in if named.is_empty() { &here[..] } else { named } {
        if path.is_dir() {
            let before = files.len();
            below(path, DEPTH, &mut files);
            if files.len() == before {
                let wrong = Wrong::new(format!("there is no recipe (`*.mlm`) below `{}`", path.display()));
                return Err(wrong.into());
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn below(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = folder.read_dir() else { return };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(folder.join(entry.ok()?.file_name()))).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // What is hidden, built or written by runs is nobody's to format.
        if name.starts_with('.') || ["target", "runs", "node_modules"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            if depth > 0 {
                below(&path, depth - 1, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "mlm") {
            files.push(path.strip_prefix(".").unwrap_or(&path).to_owned());
        }
    }
}

/// A unified diff.
fn diff(name: &str, old: &str, new: &str) -> String {
    let mut text = styled(FAINT, format!("--- {name}\n+++ {name} (formatted)")) + "\n";
    let difference = TextDiff::from_lines(old, new);
    for hunk in difference.unified_diff().context_radius(2).iter_hunks() {
        text.push_str(&styled(FAINT, hunk.header()));
        text.push('\n');
        for change in hunk.iter_changes() {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', Some(BAD)),
                ChangeTag::Insert => ('+', Some(GOOD)),
                ChangeTag::Equal => (' ', None),
            };
            let line = format!("{sign}{}", change.value().trim_end_matches(['\n', '\r']));
            text.push_str(&style.map_or_else(|| line.clone(), |style| styled(style, &line)));
            text.push('\n');
            if change.missing_newline() {
                text.push_str("\\ no line break at the end\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_has_the_changed_lines_and_their_neighbours() {
        let old = "a\nb\nc\nd\ne\nf\n";
        let text = diff("r.mlm", old, "a\nb\nc\nD\ne\nf\n");
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text, "--- r.mlm\n+++ r.mlm (formatted)\n@@ -2,5 +2,5 @@\n b\n c\n-d\n+D\n e\n f\n");
    }

    #[test]
    fn folders_are_searched_and_what_is_built_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.mlm", "sub/b.mlm", "target/c.mlm", ".git/d.mlm", "sub/e.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "mlm 1\n").unwrap();
        }
        let found = files(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, [Path::new("a.mlm"), Path::new("sub/b.mlm")]);
        assert!(
            files(&[folder.path().join(".git/nothing")]).is_ok(),
            "a missing file is told when it is read"
        );
    }
}
