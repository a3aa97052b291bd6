//! Words whose class only the word after them tells.

use crate::register_language::rows;
use rand::RngExt;
use zoo_plugin::prelude::*;

/// Sentences with ambiguous names, each of a class that the next word tells.
///
/// A place of a sentence is filled by a name and a marker behind it with the probability `names_share`, else by a
/// filler word. All names occur with all classes alike, and a class has `markers` markers of its own: a model that
/// sees nothing to the right of a name can do no better than guess, one over `classes`; one that sees the next word
/// can know. A name is tagged `B-CLASS`, every other word `-`, for none.
///
/// # Example
/// ```mlm
/// data marked = synthetic.marked_names(sentences: 1000)
/// ```
#[component(
    data,
    name = "synthetic.marked_names",
    outputs(
        text: "text[B]" = "one sentence, words between single spaces",
        tags: "text[B]" = "a tag for each word, between single spaces",
    ),
    random,
)]
pub struct MarkedNames {
    /// Number of sentences.
    #[param(default = 1000, range = ">= 1")]
    pub sentences: usize,
    /// Words of a sentence.
    #[param(default = 24, range = ">= 2")]
    pub length: usize,
    /// Ambiguous names.
    #[param(default = 40, range = ">= 1")]
    pub names: usize,
    /// Classes.
    #[param(default = 3, range = "[2, 26]")]
    pub classes: usize,
    /// Markers of each class.
    #[param(default = 4, range = ">= 1")]
    pub markers: usize,
    /// Filler words.
    #[param(default = 30, range = ">= 1")]
    pub fillers: usize,
    /// Share of the draws that are a name and its marker.
    #[param(default = 0.25, range = "[0%, 100%]", kind = "fraction")]
    pub names_share: f64,
}

impl MarkedNames {
    /// A sentence and its tags.
    pub fn sentence(&self, rng: &mut impl RngExt) -> (String, String) {
        let (mut words, mut tags) = (Vec::new(), Vec::new());
        while words.len() < self.length {
            // A name in the last place would have no marker.
            if words.len() + 1 < self.length && rng.random::<f64>() < self.names_share {
                let class = rng.random_range(0..self.classes);
                words.push(format!("name{}", rng.random_range(0..self.names)));
                words.push(format!("marker{}", class * self.markers + rng.random_range(0..self.markers)));
                tags.push(format!("B-{}", char::from(b'A' + class as u8)));
                tags.push("-".to_owned());
            } else {
                words.push(format!("word{}", rng.random_range(0..self.fillers)));
                tags.push("-".to_owned());
            }
        }
        (words.join(" "), tags.join(" "))
    }
}

impl Component for MarkedNames {
    type State = Vec<(String, String)>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        Ok((0..self.sentences).map(|row| self.sentence(&mut cx.rng("sentence", row))).collect())
    }

    fn length(&self, sentences: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(sentences.len())
    }

    fn read(&self, sentences: &Self::State, indices: &[i64], _: &mut Call<'_>) -> Result<MarkedNamesOutputs> {
        let (text, tags) = rows(sentences, indices)?.into_iter().cloned().unzip();
        Ok(MarkedNamesOutputs { text, tags })
    }
}
