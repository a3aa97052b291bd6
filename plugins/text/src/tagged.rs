//! Words with tags: files in columns, and rows of tokens with a label each.

use crate::tokenizer::Tokenizer;
use zoo_plugin::prelude::*;

/// Sentences of a file in columns, as the shared tasks of CoNLL have it: a word a line, its annotations behind it
/// between white space, and an empty line after each sentence.
///
/// Lines that begin with `-DOCSTART-` are left out. The sentences are held in memory.
///
/// # Example
/// ```mlm
/// data sentences = text.columns(file: asset("tagged.conll"), tag: 1)
/// ```
#[component(
    data,
    name = "text.columns",
    outputs(
        text: "text[B]" = "the words of a sentence between single spaces",
        tags: "text[B]" = "a tag for each word between single spaces",
    ),
    loader,
)]
pub struct Columns {
    /// The file.
    #[param(kind = "asset")]
    pub file: String,
    /// The column of words, from 0.
    #[param(default = 0, range = ">= 0")]
    pub word: usize,
    /// The column of tags, from 0.
    #[param(default = 3, range = ">= 0")]
    pub tag: usize,
    /// At most this many sentences, the first ones; all, when not given.
    pub limit: Option<usize>,
}

/// Sentences and their tags.
type Sentences = Vec<(String, String)>;

impl Columns {
    /// The sentences of a file's text.
    ///
    /// # Errors
    /// A line without one of the columns, by its number.
    pub fn sentences(&self, content: &str) -> Result<Sentences> {
        let mut all: Sentences = Vec::new();
        let (mut words, mut tags) = (Vec::new(), Vec::new());
        for (number, line) in content.lines().chain([""]).enumerate() {
            if line.trim().is_empty() || line.starts_with("-DOCSTART-") {
                if !words.is_empty() {
                    all.push((words.join(" "), tags.join(" ")));
                    (words, tags) = (Vec::new(), Vec::new());
                }
                continue;
            }
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (Some(word), Some(tag)) = (columns.get(self.word), columns.get(self.tag)) else {
                let text = format!(
                    "line {} has {} columns, and column {} is asked for",
                    number + 1,
                    columns.len(),
                    self.word.max(self.tag)
                );
                return Err(Error::new(text).at("tag").help("columns are counted from 0"));
            };
            words.push(*word);
            tags.push(*tag);
        }
        all.truncate(self.limit.unwrap_or(usize::MAX));
        Ok(all)
    }
}

impl Component for Columns {
    type State = Sentences;

    fn build(&self, cx: &mut Build<'_>) -> Result<Sentences> {
        let path = cx.asset(&self.file)?;
        let content = std::fs::read_to_string(&path)
            .map_err(|e| Error::new(format!("{}: {e}", path.display())).at("file"))?;
        self.sentences(&content)
    }

    fn length(&self, sentences: &Sentences, _: &mut Call<'_>) -> Result<usize> {
        Ok(sentences.len())
    }

    fn read(&self, sentences: &Sentences, indices: &[i64], _: &mut Call<'_>) -> Result<ColumnsOutputs> {
        let (mut text, mut tags) = (Vec::new(), Vec::new());
        for index in indices {
            let (words, labels) = &sentences[crate::file::row(*index, sentences.len())?];
            text.push(words.clone());
            tags.push(labels.clone());
        }
        Ok(ColumnsOutputs { text, tags })
    }
}

/// Rows of tokens with a label for the first token of every word: what a sequence labeller reads.
///
/// The source gives words and a tag for each, both between white space. Every word is tokenized behind a space,
/// the row is framed `[CLS] … [SEP]`, cut and padded to `length`. A label is the tag's place in `tags`, whatever
/// its case; -100 stands on special tokens, padding, all pieces of a word but the first, and words whose tag is
/// `unlabelled`.
///
/// # Example
/// ```mlm
/// data marked = synthetic.marked_names(sentences: 100)
/// tokenizer words = text.words(corpus: marked, vocabulary: 100)
/// data rows = text.tagged(source: marked, tokenizer: words, length: 26 tok, tags: ["B-A", "B-B", "B-C"])
/// ```
#[component(
    data,
    name = "text.tagged",
    outputs(
        ids: "int[B, length]" = "token ids",
        attention_mask: "int[B, length]" = "1 for tokens, 0 for padding",
        labels: "int[B, length]" = "number of the word's tag at its first token; -100 elsewhere",
        labelled: "int[B, length]" = "1 where there is a label, else 0",
    ),
    loader,
)]
pub struct Tagged {
    /// Words and tags.
    #[param(component = "data")]
    pub source: Handle,
    /// What makes tokens of words.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Tokens in a row, special ones included; longer sentences are cut.
    #[param(default = 128, range = ">= 3", kind = "tokens")]
    pub length: usize,
    /// The tags, in the order of their numbers.
    pub tags: Vec<String>,
    /// The tag of words without a label.
    #[param(default = "-")]
    pub unlabelled: String,
    /// The source's column of words.
    #[param(default = "text")]
    pub column: String,
    /// The source's column of tags.
    #[param(default = "tags")]
    pub tag_column: String,
}

/// The label of each token from the number of pieces of each word and its label: first pieces alone have one.
pub fn piece_labels(words: &[(usize, i64)], length: usize) -> Vec<i64> {
    let mut labels = vec![-100];
    for (pieces, label) in words {
        labels.extend((0..*pieces).map(|piece| if piece == 0 { *label } else { -100 }));
    }
    labels.truncate(length - 1);
    labels.resize(length, -100);
    labels
}

impl Component for Tagged {
    type State = Tokenizer;

    fn build(&self, cx: &mut Build<'_>) -> Result<Tokenizer> {
        let tokenizer = Tokenizer::of(cx, self.tokenizer)?;
        tokenizer.frame()?;
        Ok(tokenizer)
    }

    fn length(&self, _: &Tokenizer, cx: &mut Call<'_>) -> Result<usize> {
        cx.length(self.source)
    }

    fn read(&self, tokenizer: &Tokenizer, indices: &[i64], cx: &mut Call<'_>) -> Result<TaggedOutputs> {
        let frame = tokenizer.frame()?;
        let columns = cx.read(self.source, indices)?;
        let (texts, tags) = (columns.texts(&self.column)?, columns.texts(&self.tag_column)?);
        let (mut ids, mut labels, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        for (text, tags) in texts.iter().zip(tags) {
            let (words, tags): (Vec<&str>, Vec<&str>) =
                (text.split_whitespace().collect(), tags.split_whitespace().collect());
            if words.len() != tags.len() {
                let text = format!("a sentence has {} words and {} tags: {text}", words.len(), tags.len());
                return Err(Error::new(text).at("tag_column"));
            }
            let mut row = vec![frame.begin];
            let mut pieces = Vec::new();
            for (word, tag) in words.iter().zip(tags) {
                let label = if tag == self.unlabelled {
                    -100
                } else {
                    let place = self.tags.iter().position(|t| t.eq_ignore_ascii_case(tag));
                    place.ok_or_else(|| {
                        Error::new(format!("the tag `{tag}` is none of {}", self.tags.join(", "))).at("tags")
                    })? as i64
                };
                let word = tokenizer.ids(&format!(" {word}"))?;
                pieces.push((word.len(), label));
                row.extend(word);
            }
            row.truncate(self.length - 1);
            row.push(frame.end);
            mask.extend((0..self.length).map(|t| i64::from(t < row.len())));
            labels.extend(piece_labels(&pieces, self.length));
            row.resize(self.length, frame.pad);
            ids.extend(row.into_iter().map(i64::from));
        }
        let labelled: Vec<i64> = labels.iter().map(|label| i64::from(*label >= 0)).collect();
        let shape = [indices.len() as i64, self.length as i64];
        let tensor =
            |values: &[i64]| -> Result<Tensor> { Ok(Tensor::f_from_slice(values)?.f_reshape(shape)?) };
        Ok(TaggedOutputs {
            ids: tensor(&ids)?,
            attention_mask: tensor(&mask)?,
            labels: tensor(&labels)?,
            labelled: tensor(&labelled)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_piece_of_a_word_has_its_label() {
        let words = [(1, 10), (3, 11), (2, 12)];
        assert_eq!(piece_labels(&words, 8), [-100, 10, 11, -100, -100, 12, -100, -100]);
        // What is cut has none; the last place is the end of the row's.
        assert_eq!(piece_labels(&words, 6), [-100, 10, 11, -100, -100, -100]);
        assert_eq!(piece_labels(&[], 3), [-100; 3]);
    }

    #[test]
    fn sentences_end_at_empty_lines() {
        let columns = Columns { file: String::new(), word: 0, tag: 3, limit: None };
        let content = "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\nrejects VBZ I-VP O\n\nPeter NNP I-NP B-PER\n";
        let sentences = columns.sentences(content).unwrap();
        let expected = [("EU rejects", "B-ORG O"), ("Peter", "B-PER")];
        assert_eq!(sentences, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let error = columns.sentences("one two\n").unwrap_err();
        assert!(error.message.contains("line 1 has 2 columns"), "{}", error.message);
    }
}
