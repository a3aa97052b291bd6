//! Where in a text the answer stands, and its words.

/// What the answer of a text stands between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers<'a> {
    /// Before the answer; none where the whole text is the answer.
    pub open: Option<&'a str>,
    /// After it; none where the answer goes on to the end.
    pub close: Option<&'a str>,
}

impl Markers<'_> {
    /// The answer of a text: what follows the last `open`. None where a marker is missing.
    pub fn answer<'t>(&self, text: &'t str) -> Option<&'t str> {
        let after = match self.open {
            Some(open) => {
                let at = text.rfind(open)?;
                &text[at + open.len()..]
            }
            None => text,
        };
        let answer = match self.close {
            Some(close) => &after[..after.find(close)?],
            None => after,
        };
        Some(answer.trim())
    }
}

/// Words as they are compared: lower-cased, without punctuation and articles, the normalisation of SQuAD's
/// evaluation (Rajpurkar et al., 2016).
pub fn words(text: &str) -> Vec<String> {
    let plain: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let words = plain.split_whitespace().filter(|word| !matches!(*word, "a" | "an" | "the"));
    words.map(str::to_owned).collect()
}
