//! Capitals taken away, to be restored.

use zoo_plugin::prelude::*;

/// Texts in lower case, with a tag for each word that says whether it had a capital: truecasing.
///
/// Words are runs of letters, digits and apostrophes; every other character that is no white space is a word of
/// its own. The tag of a word is `B-UPPER` where its first letter is a capital, else `O`, and `-`, for none, where
/// it begins with no letter. With `text.tagged` it is labelled data for any text; `text` alone is a lower-cased
/// corpus.
///
/// # Paper
/// Lita, Ittycheriah, Roukos, Kambhatla: tRuEcasIng, ACL 2003.
///
/// # Example
/// ```mlm
/// data lines = text.lines(file: asset("corpus.txt"))
/// data words = text.truecasing(source: lines)
/// ```
#[component(
    data,
    name = "text.truecasing",
    outputs(
        text: "text[B]" = "the words in lower case, between single spaces",
        tags: "text[B]" = "a tag for each word, between single spaces",
    ),
    loader,
)]
pub struct Truecasing {
    /// The texts.
    #[param(component = "data")]
    pub source: Handle,
    /// The source's column of text.
    #[param(default = "text")]
    pub column: String,
}

/// The words of a text.
fn words(text: &str) -> Vec<&str> {
    let part = |c: char| c.is_alphanumeric() || c == '\'' || c == '\u{2019}';
    let mut words = Vec::new();
    let mut from = 0;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if part(c) {
            continue;
        }
        if from < at {
            words.push(&text[from..at]);
        }
        from = at + c.len_utf8();
        if !c.is_whitespace() {
            words.push(&text[at..from]);
        }
    }
    words
}

/// The words in lower case and their tags, both between single spaces.
pub fn lowered(text: &str) -> (String, String) {
    let words = words(text);
    let tag = |word: &&str| match word.chars().next() {
        Some(first) if first.is_uppercase() => "B-UPPER",
        Some(first) if first.is_alphabetic() => "O",
        _ => "-",
    };
    let tags: Vec<&str> = words.iter().map(tag).collect();
    (words.iter().map(|word| word.to_lowercase()).collect::<Vec<_>>().join(" "), tags.join(" "))
}

impl Component for Truecasing {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn length(&self, _: &(), cx: &mut Call<'_>) -> Result<usize> {
        cx.length(self.source)
    }

    fn read(&self, _: &(), indices: &[i64], cx: &mut Call<'_>) -> Result<TruecasingOutputs> {
        let columns = cx.read(self.source, indices)?;
        let (text, tags) = columns.texts(&self.column)?.iter().map(|text| lowered(text)).unzip();
        Ok(TruecasingOutputs { text, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_go_into_the_tags() {
        let (text, tags) = lowered("And God said,\tLet there be light: (his brother's 12 Äpfel)");
        assert_eq!(text, "and god said , let there be light : ( his brother's 12 äpfel )");
        assert_eq!(tags, "B-UPPER B-UPPER O - B-UPPER O O O - - O O - B-UPPER -");
        assert_eq!(lowered(" \n"), (String::new(), String::new()));
        // A letter that is two in lower case is one word still.
        assert_eq!(lowered("İstanbul").0.split(' ').count(), 1);
    }
}
