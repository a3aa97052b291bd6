//! A folder of text files.

use crate::file::{row, unreadable, utf8};
use crate::part::Part;
use std::path::{Path, PathBuf};
use zoo_plugin::prelude::*;

/// The text files of a folder, a row for each, or for each of their paragraphs.
///
/// Files are those below the folder whose path matches the pattern, in the order of their paths. They
/// are read when they are needed, and must be UTF-8. The held-out part is made of whole files, chosen by
/// a hash of their path: the two parts share no document.
///
/// # Example
/// ```mlm
/// data train = text.files(folder: asset("speeches"), pattern: "*.txt", part: "train", held_out: 5%)
/// ```
#[component(
    data,
    name = "text.files",
    outputs(
        text: "text[B]" = "the file's or paragraph's text",
        name: "text[B]" = "the file's path below the folder",
        label: "int[B]"? = "class by the first number in the file's name; there only with `label_bounds`",
    ),
    loader,
)]
pub struct Files {
    /// The folder.
    #[param(kind = "asset")]
    pub folder: String,
    /// Paths below the folder that are taken: `*` stands for any text in a name, `**` for any folders.
    #[param(default = "*.txt")]
    pub pattern: String,
    /// What a row is: a whole file, or a line of it that is not empty.
    #[param(default = "file", one_of("file", "paragraph"))]
    pub unit: String,
    /// Paragraphs of fewer characters are left out.
    #[param(default = 0)]
    pub minimum_characters: usize,
    /// Which files: all, those not held out, or the held-out ones.
    #[param(default = "all", one_of("all", "train", "held_out"))]
    pub part: String,
    /// Share of the files that is held out.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub held_out: f64,
    /// Bounds that make classes of the first number in a file's name, such as a year: the class is how
    /// many of them the number reaches.
    pub label_bounds: Option<Vec<i64>>,
}

/// The rows of [`Files`].
#[derive(Debug)]
pub struct FileRows {
    files: Vec<(PathBuf, String, i64)>,
    /// For paragraphs: file, first byte, length, line.
    paragraphs: Option<Vec<(u32, u64, u32, u32)>>,
}

fn collect(folder: &Path, root: &Path, into: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))?;
    for entry in entries {
        let path = entry.map_err(|e| unreadable(folder, e))?.path();
        if path.is_dir() {
            collect(&path, root, into)?;
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            into.push((name.replace('\\', "/"), path));
        }
    }
    Ok(())
}

/// The first run of digits in the last part of a path.
fn first_number(name: &str) -> Option<i64> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let from = file.find(|c: char| c.is_ascii_digit())?;
    let digits: String = file[from..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

impl Files {
    /// Lists and chooses the files of a folder.
    pub(crate) fn open(&self, folder: &Path) -> Result<FileRows> {
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let pattern = glob::Pattern::new(&self.pattern)
            .map_err(|e| Error::new(format!("`{}` is no pattern: {e}", self.pattern)).at("pattern"))?;
        let mut found = Vec::new();
        collect(folder, folder, &mut found)?;
        let all = found.len();
        found.retain(|(name, _)| pattern.matches_with(name, options));
        found.sort();
        if found.is_empty() {
            return Err(Error::new(format!(
                "none of the {all} files in {} matches `{}`",
                folder.display(),
                self.pattern
            ))
            .at("pattern")
            .help("`*` stands for any text in one name, `**/*` for any file at any depth"));
        }
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let chosen = Part::new(&self.part, self.held_out)?.choose(&names, self.held_out);
        if chosen.is_empty() {
            return Err(Error::new(format!(
                "no file of {} is left for the part `{}`",
                found.len(),
                self.part
            ))
            .at("held_out"));
        }
        let mut files = Vec::with_capacity(chosen.len());
        for i in chosen {
            let (name, path) = found[i].clone();
            let label = match &self.label_bounds {
                None => 0,
                Some(bounds) => {
                    let number = first_number(&name).ok_or_else(|| {
                        Error::new(format!("the name of {name} has no number to make a class of"))
                            .at("label_bounds")
                    })?;
                    bounds.iter().filter(|bound| **bound <= number).count() as i64
                }
            };
            files.push((path, name, label));
        }
        let paragraphs = if self.unit == "paragraph" { Some(self.paragraphs(&files)?) } else { None };
        Ok(FileRows { files, paragraphs })
    }

    fn paragraphs(&self, files: &[(PathBuf, String, i64)]) -> Result<Vec<(u32, u64, u32, u32)>> {
        let mut rows = Vec::new();
        for (i, (path, _, _)) in files.iter().enumerate() {
            let source = crate::file::Source::open(path)?;
            source.lines(|number, offset, line| {
                let text = utf8(line.to_vec(), path, number)?;
                let content = text.trim();
                if !content.is_empty() && content.chars().count() >= self.minimum_characters {
                    let length = u32::try_from(line.len())
                        .map_err(|_| unreadable(path, format!("line {number} is longer than 4 GiB")))?;
                    rows.push((i as u32, offset, length, u32::try_from(number).unwrap_or(u32::MAX)));
                }
                Ok(())
            })?;
        }
        if rows.is_empty() {
            return Err(Error::new("the files have no paragraph").at("unit"));
        }
        Ok(rows)
    }
}

impl FileRows {
    pub(crate) fn len(&self) -> usize {
        self.paragraphs.as_ref().map_or(self.files.len(), Vec::len)
    }

    /// Text, name and class of a row.
    pub(crate) fn get(&self, index: i64) -> Result<(String, String, i64)> {
        let i = row(index, self.len())?;
        let Some(paragraphs) = &self.paragraphs else {
            let (path, name, label) = &self.files[i];
            let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
            return Ok((utf8(bytes, path, 1)?, name.clone(), *label));
        };
        let (file, offset, length, line) = paragraphs[i];
        let (path, name, label) = &self.files[file as usize];
        let bytes = crate::file::Source::open(path)?.bytes(offset, length as usize)?;
        Ok((utf8(bytes, path, u64::from(line))?.trim().to_owned(), name.clone(), *label))
    }
}

impl Component for Files {
    type State = FileRows;

    fn build(&self, cx: &mut Build<'_>) -> Result<FileRows> {
        let folder = cx.asset(&self.folder)?;
        self.open(&folder)
    }

    fn length(&self, state: &FileRows, _: &mut Call<'_>) -> Result<usize> {
        Ok(state.len())
    }

    fn read(&self, state: &FileRows, indices: &[i64], _: &mut Call<'_>) -> Result<FilesOutputs> {
        let (mut text, mut name, mut label) = (Vec::new(), Vec::new(), Vec::new());
        for index in indices {
            let row = state.get(*index)?;
            text.push(row.0);
            name.push(row.1);
            label.push(row.2);
        }
        let label = self.label_bounds.is_some().then(|| Tensor::f_from_slice(&label)).transpose()?;
        Ok(FilesOutputs { text, name, label })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pattern: &str, unit: &str, part: &str) -> Files {
        Files {
            folder: String::new(),
            pattern: pattern.to_owned(),
            unit: unit.to_owned(),
            minimum_characters: 0,
            part: part.to_owned(),
            held_out: 0.5,
            label_bounds: Some(vec![1800, 1900]),
        }
    }

    #[test]
    fn a_folder_is_listed_split_and_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        for (name, text) in [
            ("1790-a.txt", "one\n\n two \n"),
            ("1850-b.txt", "three"),
            ("1950-c.txt", "four"),
            ("deep/1999-d.txt", "five"),
            ("notes.md", "no"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let rows = files("*.txt", "file", "all").open(folder.path()).unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows.get(1).unwrap(), ("three".into(), "1850-b.txt".into(), 1));
        assert_eq!(rows.get(2).unwrap().2, 2);
        assert!(rows.get(3).unwrap_err().message.contains("the source has 3"));
        assert_eq!(files("**/*.txt", "file", "all").open(folder.path()).unwrap().len(), 4);
        let paragraphs = files("*.txt", "paragraph", "all").open(folder.path()).unwrap();
        let texts: Vec<String> = (0..4).map(|i| paragraphs.get(i).unwrap().0).collect();
        assert_eq!(texts, ["one", "two", "three", "four"]);
        let train = files("**/*.txt", "file", "train").open(folder.path()).unwrap();
        let held_out = files("**/*.txt", "file", "held_out").open(folder.path()).unwrap();
        assert_eq!((train.len(), held_out.len()), (2, 2));
        let error = files("*.csv", "file", "all").open(folder.path()).unwrap_err();
        assert_eq!(error.at, "pattern");
    }

    #[test]
    fn broken_text_is_placed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1900.txt"), b"good\nb\xe9d\n").unwrap();
        let error = files("*.txt", "paragraph", "all").open(folder.path()).unwrap_err();
        assert!(error.message.ends_with("1900.txt, line 2, byte 2: 0xe9 is no UTF-8"), "{error}");
    }
}
