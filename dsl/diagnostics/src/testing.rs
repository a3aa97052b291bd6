//! Golden tests of messages, kept as Markdown files.
//!
//! A file has any number of cases. A case is a heading, a recipe in a block fenced with `mlm`, and the
//! messages that are expected, in a block fenced with `text`; there may be further files in blocks
//! fenced with `mlm NAME`, and arguments of the command line in a block fenced with `arguments`, one a
//! line.
//!
//! ````markdown
//! ## A misspelt keyword
//!
//! ```mlm
//! parm steps : count = 10
//! ```
//!
//! ```text
//! error[Z0010]: …
//! ```
//! ````
//!
//! With `UPDATE_EXPECT=1` the expected messages are written instead of compared.

use std::fs;
use std::path::{Path, PathBuf};

/// The recipe's name in a case that gives it none.
pub const DEFAULT_NAME: &str = "recipe.mlm";

/// One case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The heading.
    pub title: String,
    /// The recipe first, then the files that it uses: name and text.
    pub files: Vec<(String, String)>,
    /// The command line.
    pub arguments: Vec<String>,
    /// The messages, without the line break at the end.
    pub expected: String,
    /// Where it stands, for messages of the harness.
    pub place: String,
    /// Lines of the file that the expected messages take (none of them the fences), if there is such
    /// a block.
    expected_lines: Option<(usize, usize)>,
    /// Line after the case's last block.
    end: usize,
}

impl Case {
    /// The recipe's text.
    pub fn recipe(&self) -> &str {
        self.files.first().map_or("", |(_, text)| text)
    }
}

/// Runs every case of every `.md` file of a folder through `messages` and compares what it gives with
/// what is expected; `messages` gets the case and returns the rendered text.
///
/// # Panics
/// With all differences at once, or when the folder has no case.
pub fn check_folder(folder: &Path, mut messages: impl FnMut(&Case) -> String) {
    let update = std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value != "0");
    let mut failures = Vec::new();
    let mut count = 0;
    for path in markdown_files(folder) {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let cases = read_cases(&path, &text);
        count += cases.len();
        let mut results = Vec::new();
        for case in &cases {
            let found = messages(case).trim_end().to_owned();
            if found != case.expected && !update {
                failures.push(format!(
                    "{}: {}\n--- expected\n{}\n--- found\n{found}\n",
                    case.place, case.title, case.expected
                ));
            }
            results.push(found);
        }
        if update {
            let updated = with_expected(&text, &cases, &results);
            if updated != text {
                fs::write(&path, updated).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
        }
    }
    assert!(count > 0, "no case in {}", folder.display());
    assert!(
        failures.is_empty(),
        "{} of {count} cases differ; with UPDATE_EXPECT=1 what was found becomes what is expected\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// The cases of all `.md` files of a folder, for tests that hold of every case.
///
/// # Panics
/// When a file cannot be read or is malformed.
pub fn cases(folder: &Path) -> Vec<Case> {
    markdown_files(folder)
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            read_cases(path, &text)
        })
        .collect()
}

fn markdown_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files.sort();
    files
}

fn read_cases(path: &Path, text: &str) -> Vec<Case> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let mut cases: Vec<Case> = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if let Some(title) = line.strip_prefix("## ") {
            let place = format!("{name}:{}", at + 1);
            cases.push(Case { title: title.trim().to_owned(), place, end: at + 1, ..Case::default() });
        } else if line.starts_with("```") {
            // The fence may be longer, for recipes that hold three backticks.
            let fence: String = line.chars().take_while(|c| *c == '`').collect();
            let words: Vec<&str> = line[fence.len()..].split_whitespace().collect();
            let start = at + 1;
            at = start;
            while lines.get(at).is_some_and(|line| *line != fence) {
                at += 1;
            }
            assert!(at < lines.len(), "{name}:{start}: the block is never closed");
            let Some(case) = cases.last_mut() else {
                panic!("{name}:{start}: a block before the first heading");
            };
            let body = &lines[start..at];
            match words.as_slice() {
                ["mlm"] | ["mlm", _] => {
                    let file = words.get(1).copied().unwrap_or(DEFAULT_NAME);
                    let mut text = body.join("\n");
                    text.push('\n');
                    case.files.push((file.to_owned(), text));
                }
                ["arguments"] => case.arguments = body.iter().map(|line| (*line).to_owned()).collect(),
                ["text"] => {
                    case.expected = body.join("\n");
                    case.expected_lines = Some((start, at));
                }
                _ => panic!("{name}:{start}: a block is `mlm`, `mlm NAME`, `arguments` or `text`"),
            }
            case.end = at + 1;
        }
        at += 1;
    }
    for case in &cases {
        assert!(!case.files.is_empty(), "{}: the case has no recipe", case.place);
    }
    cases
}

fn with_expected(text: &str, cases: &[Case], results: &[String]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (case, result) in cases.iter().zip(results).rev() {
        let mut block: Vec<String> = result.lines().map(str::to_owned).collect();
        match case.expected_lines {
            Some((start, end)) => {
                lines.splice(start..end, block);
            }
            None => {
                block.insert(0, "```text".to_owned());
                block.insert(0, String::new());
                block.push("```".to_owned());
                lines.splice(case.end..case.end, block);
            }
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# Names\n\n## One\n\n```mlm\na = 1\n```\n\n```arguments\n--set\n```\n\n\
                        ```text\nold\n```\n\n## Two\n\n```mlm\nb\n```\n\n```mlm std/x.mlm\nc\n```\n";

    #[test]
    fn cases_are_read_and_written() {
        let cases = read_cases(Path::new("names.md"), FILE);
        assert_eq!(cases.len(), 2);
        assert_eq!((cases[0].recipe(), cases[0].expected.as_str()), ("a = 1\n", "old"));
        assert_eq!(cases[0].arguments, ["--set"]);
        assert_eq!(cases[1].files[1], ("std/x.mlm".to_owned(), "c\n".to_owned()));
        let written = with_expected(FILE, &cases, &["new\nmore".to_owned(), "x".to_owned()]);
        let again = read_cases(Path::new("names.md"), &written);
        assert_eq!(again[0].expected, "new\nmore");
        assert_eq!(again[1].expected, "x");
        assert_eq!(again[1].files, cases[1].files);
    }
}
