//! Applying edits, and finding what a misspelt word may have meant.

use crate::diagnostic::Edit;
use crate::sources::FileId;
use std::fmt;

/// Edits that cannot be applied together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// Two edits change the same bytes.
    Overlap {
        /// First byte of the second one.
        at: u32,
    },
    /// An edit reaches outside the text or into a character.
    OutOfRange {
        /// Its first byte.
        at: u32,
    },
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { at } => write!(f, "two edits change byte {at}"),
            Self::OutOfRange { at } => write!(f, "the edit at byte {at} is outside the text"),
        }
    }
}

impl std::error::Error for EditError {}

/// Applies those of the edits that are about `file` to its text.
///
/// # Errors
/// When two overlap, or one is outside the text.
pub fn apply_edits(file: FileId, text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let mut edits: Vec<&Edit> = edits.iter().filter(|edit| edit.span.file == file.0).collect();
    edits.sort_by_key(|edit| (edit.span.start, edit.span.len));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        let range = edit.span.range();
        if range.start < done {
            return Err(EditError::Overlap { at: edit.span.start });
        }
        let (Some(kept), Some(_)) = (text.get(done..range.start), text.get(range.clone())) else {
            return Err(EditError::OutOfRange { at: edit.span.start });
        };
        out.push_str(kept);
        out.push_str(&edit.replacement);
        done = range.end;
    }
    out.push_str(text.get(done..).unwrap_or(""));
    Ok(out)
}

/// Which of `candidates` the misspelt `word` may have meant: the nearest, if it is near enough.
///
/// Near enough is an edit distance (with swaps of neighbours as one edit) of at most a third of the
/// word's length, one at least and three at most. Of equally near ones the one of the same length counts,
/// then the first.
pub fn similar<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length == 0 || length > 64 {
        return None;
    }
    let limit = (length / 3).clamp(1, 3);
    let mut best: Option<((usize, usize), &str)> = None;
    for candidate in candidates {
        if candidate.len().abs_diff(word.len()) > 3 * 4 || candidate == word {
            continue;
        }
        let distance = distance(word, candidate);
        // A word of one or two letters must keep one of them.
        let keeps_a_letter = distance < length.max(candidate.chars().count());
        let key = (distance, candidate.len().abs_diff(word.len()));
        if distance <= limit && keeps_a_letter && best.is_none_or(|(least, _)| key < least) {
            best = Some((key, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance over lower-case characters.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().flat_map(char::to_lowercase).collect();
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).collect();
    let width = right.len() + 1;
    let mut rows = vec![vec![0_usize; width]; left.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=left.len() {
        for j in 1..width {
            let substitution = usize::from(left[i - 1] != right[j - 1]);
            let mut least =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + substitution);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_applied_from_the_end() {
        let file = FileId(0);
        let edit = |range, text: &str| Edit { span: file.span(range), replacement: text.to_owned() };
        let done = apply_edits(file, "abc def", &[edit(4..7, "x"), edit(0..0, "_"), edit(1..2, "")]);
        assert_eq!(done.unwrap(), "_ac x");
        let twice = apply_edits(file, "abc", &[edit(0..2, "x"), edit(1..3, "y")]);
        assert_eq!(twice, Err(EditError::Overlap { at: 1 }));
        assert!(apply_edits(file, "λ", &[edit(1..2, "y")]).is_err());
    }

    #[test]
    fn only_near_words_are_suggested() {
        let words = ["param", "profile", "phase", "data", "rl"];
        assert_eq!(similar("parm", words), Some("param"));
        assert_eq!(similar("phsae", words), Some("phase"));
        assert_eq!(similar("Param", words), Some("param"));
        assert_eq!(similar("stesp", ["step", "steps"]), Some("steps"));
        assert_eq!(similar("elephant", words), None);
        assert_eq!(similar("xy", words), None);
        assert_eq!(similar("", words), None);
    }
}
