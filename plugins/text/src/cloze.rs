//! Classification as a cloze test: a text is put into a pattern with gaps, and classes are words in the gaps.

use crate::tokenizer::Tokenizer;
use zoo_plugin::prelude::*;

/// Puts each text into a pattern.
///
/// `{text}` in the pattern stands for the text; masks are written as the tokenizer reads them, `[MASK]` or `<mask>`.
/// Where a text may be cut to fit the model, the gaps should stand before it.
///
/// # Paper
/// Schick, Schütze: Exploiting Cloze Questions for Few Shot Text Classification (PET), EACL 2021, section 3.1.
///
/// # Example
/// ```mlm
/// masker question = text.pattern(pattern: "{text} This is an [MASK] [MASK] it.")
/// ```
#[component(
    augmenter,
    name = "text.pattern",
    inputs(text: "text[B]" = "texts"),
    outputs(text: "text[B]" = "the pattern with each of them in it"),
    loader,
)]
pub struct Pattern {
    /// The pattern, with `{text}` once.
    pub pattern: String,
}

impl Component for Pattern {
    type State = (String, String);

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        let parts: Vec<&str> = self.pattern.split("{text}").collect();
        match parts.as_slice() {
            [before, after] => Ok(((*before).to_owned(), (*after).to_owned())),
            _ => Err(Error::new(format!(
                "the pattern holds `{{text}}` {} times, and must hold it once",
                parts.len() - 1
            ))
            .at("pattern")),
        }
    }

    fn call(
        &self,
        (before, after): &Self::State,
        x: PatternInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<PatternOutputs> {
        Ok(PatternOutputs { text: x.text.iter().map(|text| format!("{before}{text}{after}")).collect() })
    }
}

/// Replaces given words by a placeholder: the names of speakers, for example.
///
/// A word is what stands between white space, with marks before and behind it left aside; case counts. What a
/// model must not learn is so hidden in training and test alike. Texts without such a word stay as they are.
///
/// # Paper
/// Rieger et al.: Few-shot learning for automated content analysis, 2023: the pull of prominent people's names.
///
/// # Example
/// ```mlm
/// masker anonymous = text.replace_words(words: ["Scholz", "Merz"], placeholder: "someone")
/// ```
#[component(
    augmenter,
    name = "text.replace_words",
    inputs(text: "text[B]" = "texts"),
    outputs(text: "text[B]" = "the same with the words replaced"),
    loader,
)]
pub struct ReplaceWords {
    /// The words; none leave every text as it is.
    #[param(default = [])]
    pub words: Vec<String>,
    /// What stands in their place.
    #[param(default = "[UNK]")]
    pub placeholder: String,
}

impl ReplaceWords {
    /// The text with the words replaced.
    pub fn apply(&self, text: &str) -> String {
        let mut made = String::with_capacity(text.len());
        for piece in text.split_inclusive(char::is_whitespace) {
            let word = piece.trim_matches(|c: char| !c.is_alphanumeric());
            if !word.is_empty() && self.words.iter().any(|w| w == word) {
                made.push_str(&piece.replacen(word, &self.placeholder, 1));
            } else {
                made.push_str(piece);
            }
        }
        made
    }
}

impl Component for ReplaceWords {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: ReplaceWordsInputs<'_>, _: &mut Call<'_>) -> Result<ReplaceWordsOutputs> {
        Ok(ReplaceWordsOutputs { text: x.text.iter().map(|text| self.apply(text)).collect() })
    }
}

/// Where the gaps of rows of tokens are.
///
/// Every row must have exactly `masks` mask tokens. The places go into a masked language model's `positions`, and
/// its scores there into `text.verbalizer`.
///
/// # Example
/// ```mlm
/// data corpus = synthetic.debate(sentences: 100)
/// tokenizer words = text.words(corpus: corpus, vocabulary: 400)
/// model gaps = text.mask_places(tokenizer: words, masks: 2)
/// ```
#[component(
    function,
    name = "text.mask_places",
    inputs(ids: "int[B, T]" = "token ids"),
    outputs(positions: "int[B * masks]" = "flat places b * T + t of the masks, row after row, from left to right"),
    loader,
)]
pub struct MaskPlaces {
    /// Its mask token is looked for.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Masks in a row.
    #[param(default = 1, range = ">= 1")]
    pub masks: usize,
}

impl Component for MaskPlaces {
    type State = i64;

    fn build(&self, cx: &mut Build<'_>) -> Result<i64> {
        let tokenizer = Tokenizer::of(cx, self.tokenizer)?;
        tokenizer
            .mask(None)
            .map(i64::from)
            .ok_or_else(|| Error::new("the tokenizer has no [MASK] or <mask> token").at("tokenizer"))
    }

    fn call(&self, mask: &i64, x: MaskPlacesInputs<'_>, _: &mut Call<'_>) -> Result<MaskPlacesOutputs> {
        let (_, length) = x.ids.size2()?;
        let ids: Vec<i64> = Vec::try_from(x.ids.f_reshape([-1])?)?;
        let mut places = Vec::new();
        for (row, ids) in ids.chunks(length.max(1) as usize).enumerate() {
            let found: Vec<i64> = (0_i64..).zip(ids).filter(|(_, id)| *id == mask).map(|(t, _)| t).collect();
            if found.len() != self.masks {
                let text = format!(
                    "a row has {} masks where {} are expected: {row} in the batch",
                    found.len(),
                    self.masks
                );
                return Err(Error::new(text)
                    .at("masks")
                    .help("a text that was cut may have lost them: let the pattern begin with its gaps"));
            }
            places.extend(found.into_iter().map(|t| row as i64 * length + t));
        }
        Ok(MaskPlacesOutputs { positions: Tensor::f_from_slice(&places)? })
    }
}

/// The tokens of every class's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verbalized {
    /// By class, `masks` columns of scores each.
    columns: Vec<Vec<i64>>,
    /// Different tokens in all.
    distinct: usize,
}

/// Scores of classes from scores of tokens at the gaps.
///
/// A class has words, `masks` tokens in all. Its score is the sum over the gaps k of the score of its k-th token at
/// the k-th gap: s(c) = Σ z_k[v_{c,k}]. Classes may share tokens at a gap: "argument for" and "argument against"
/// agree at the first and "for" and "against" are told at the second, whatever the first. All classes must have
/// different tokens, as a row.
///
/// `over` says which scores come in: of the whole vocabulary, as a masked language model has them, or of the
/// verbalizer's own tokens alone, in the order in which classes name them, as a head made for the task has them.
///
/// # Paper
/// Schick, Schütze: PET, EACL 2021, section 3.1, with several gaps; Rieger et al.: PETapter, 2024.
///
/// # Example
/// ```mlm
/// data corpus = synthetic.debate(sentences: 100, remarks: 100%)
/// tokenizer words = text.words(corpus: corpus, vocabulary: 400)
/// model classes = text.verbalizer(tokenizer: words, words: ["argument for", "argument against"], masks: 2)
/// ```
#[component(
    function,
    name = "text.verbalizer",
    inputs(logits: "float[B * masks, V]" = "scores of tokens at the gaps, row after row"),
    outputs(
        scores: "float[B, C]" = "scores of the classes, in the order of `words`",
        predicted: "int[B]"? = "the class with the highest score, the first of several",
    ),
    cost(flops = "B * masks * V", activations = "B * masks * V"),
)]
pub struct Verbalizer {
    /// What makes tokens of the words.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Words of each class, in the order of the classes' numbers.
    pub words: Vec<String>,
    /// Gaps of the pattern.
    #[param(default = 1, range = ">= 1")]
    pub masks: usize,
    /// Which scores are given: of the whole vocabulary, or of the verbalizer's own tokens.
    #[param(default = "vocabulary", one_of("vocabulary", "own"))]
    pub over: String,
    /// Whether words of more tokens than there are gaps are cut; else they are an error.
    #[param(default = false)]
    pub cut: bool,
}

impl Verbalizer {
    /// Columns of scores from the ids of each class's words.
    ///
    /// # Errors
    /// Words with too few tokens, or too many where they are not cut; two classes with the same tokens.
    pub fn verbalized(&self, mut ids: Vec<Vec<i64>>) -> Result<Verbalized> {
        if ids.len() < 2 {
            return Err(Error::new("a verbalizer needs two classes at least").at("words"));
        }
        for (words, ids) in self.words.iter().zip(&mut ids) {
            if ids.len() < self.masks || (ids.len() > self.masks && !self.cut) {
                let text =
                    format!("`{words}` is {} tokens, and the pattern has {} gaps", ids.len(), self.masks);
                let error = Error::new(text).at("words");
                return Err(if ids.len() < self.masks {
                    error.help("use longer words, or fewer gaps")
                } else {
                    error.help("use shorter words, or `cut: true`, which takes the first tokens")
                });
            }
            ids.truncate(self.masks);
        }
        for (i, one) in ids.iter().enumerate() {
            if let Some(other) = ids[..i].iter().position(|other| other == one) {
                let text = format!("`{}` and `{}` are the same tokens", self.words[other], self.words[i]);
                return Err(Error::new(text).at("words").help("classes must differ in one token at least"));
            }
        }
        let mut distinct: Vec<i64> = Vec::new();
        for id in ids.iter().flatten() {
            if !distinct.contains(id) {
                distinct.push(*id);
            }
        }
        if self.over == "own" {
            for id in ids.iter_mut().flatten() {
                *id = distinct.iter().position(|other| other == id).unwrap_or_default() as i64;
            }
        }
        Ok(Verbalized { columns: ids, distinct: distinct.len() })
    }
}

/// Scores [B · K, V] and each class's columns to scores [B, C].
///
/// # Errors
/// libtorch's.
pub fn class_scores(logits: &Tensor, classes: &[Vec<i64>]) -> Result<Tensor> {
    let (_, width) = logits.size2()?;
    let masks = classes.first().map_or(1, Vec::len) as i64;
    let by_row = logits.f_reshape([-1, masks * width])?;
    let mut sum: Option<Tensor> = None;
    for gap in 0..masks {
        let columns: Vec<i64> = classes.iter().map(|class| gap * width + class[gap as usize]).collect();
        let columns = Tensor::f_from_slice(&columns)?.f_to_device(logits.device())?;
        let at_gap = by_row.f_index_select(1, &columns)?.f_to_kind(Kind::Float)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&at_gap)?,
            None => at_gap,
        });
    }
    sum.ok_or_else(|| Error::new("a verbalizer without gaps"))
}

impl Component for Verbalizer {
    type State = Verbalized;

    fn build(&self, cx: &mut Build<'_>) -> Result<Verbalized> {
        let tokenizer = Tokenizer::of(cx, self.tokenizer)?;
        let known = tokenizer.unknown();
        let mut ids = Vec::new();
        for words in &self.words {
            // Behind a space, as they stand in the pattern.
            let of_class = tokenizer.ids(&format!(" {words}"))?;
            if of_class.iter().any(|id| Some(*id) == known) {
                let text = format!("the tokenizer does not know all of `{words}`");
                return Err(Error::new(text).at("words").help("choose words of its vocabulary"));
            }
            ids.push(of_class.into_iter().map(i64::from).collect());
        }
        self.verbalized(ids)
    }

    fn call(
        &self,
        state: &Verbalized,
        x: VerbalizerInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<VerbalizerOutputs> {
        let (_, width) = x.logits.size2()?;
        if self.over == "own" && width != state.distinct as i64 {
            let text = format!(
                "scores of {width} tokens came, and the verbalizer has {} different ones",
                state.distinct
            );
            return Err(Error::new(text).at("in.logits").help("give the head that many scores"));
        }
        if state.columns.iter().flatten().any(|column| *column >= width) {
            let text = format!("scores of {width} tokens came, and the words of the classes have larger ids");
            return Err(Error::new(text).at("in.logits").help("model and tokenizer must belong together"));
        }
        let scores = class_scores(x.logits, &state.columns)?;
        let predicted = if cx.wants("predicted") { Some(scores.f_argmax(-1, false)?) } else { None };
        Ok(VerbalizerOutputs { scores, predicted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbalizer(over: &str, cut: bool) -> Verbalizer {
        let words = ["argument for", "argument against", "claim for"].map(str::to_owned).to_vec();
        Verbalizer { tokenizer: Handle(1), words, masks: 2, over: over.to_owned(), cut }
    }

    fn close(tensor: &Tensor, expected: &[f64], tolerance: f64) {
        let found: Vec<f64> = Vec::try_from(tensor.to_kind(Kind::Double).reshape([-1])).unwrap();
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < tolerance, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn a_class_scores_what_its_tokens_score_at_their_gaps() {
        // After gathering per class: z1 = [1, 2, 0], z2 = [.5, -.5, 1].
        let logits = Tensor::from_slice(&[1.0_f32, 2.0, 0.0, 0.5, -0.5, 1.0]).reshape([2, 3]);
        let scores = class_scores(&logits, &[vec![0, 0], vec![1, 1], vec![2, 2]]).unwrap();
        close(&scores, &[1.5, 1.5, 1.0], 1e-6);
        close(&scores.softmax(-1, Kind::Float), &[0.38365, 0.38365, 0.23270], 1e-5);
        close(&scores.log_softmax(-1, Kind::Float).get(0).get(0).neg(), &[0.95802], 1e-5);
    }

    #[test]
    fn classes_that_share_a_token_are_told_by_the_other_alone() {
        // Columns: argument, claim, for, against.
        let logits = Tensor::from_slice(&[2.0_f32, 0.0, 9.0, 9.0, 7.0, 7.0, 1.0, -1.0]).reshape([2, 4]);
        let classes = [vec![0, 2], vec![0, 3], vec![1, 2], vec![1, 3]];
        close(&class_scores(&logits, &classes).unwrap(), &[3.0, 1.0, 1.0, -1.0], 1e-6);
    }

    #[test]
    fn verbalizers_are_checked() {
        let ids = vec![vec![40, 50], vec![40, 51], vec![41, 50]];
        let made = verbalizer("vocabulary", false).verbalized(ids.clone()).unwrap();
        assert_eq!((made.columns, made.distinct), (ids.clone(), 4));
        let own = verbalizer("own", false).verbalized(ids).unwrap();
        assert_eq!(own.columns, [vec![0, 1], vec![0, 2], vec![3, 1]]);
        let long = vec![vec![40, 50, 9], vec![40, 51], vec![41, 50]];
        let error = verbalizer("own", false).verbalized(long.clone()).unwrap_err();
        assert!(error.message.contains("`argument for` is 3 tokens"), "{}", error.message);
        assert!(verbalizer("own", true).verbalized(long).is_ok());
        // What is cut away may have been all that told two classes apart.
        let same = vec![vec![40, 50, 9], vec![40, 51], vec![40, 50, 8]];
        let error = verbalizer("own", true).verbalized(same).unwrap_err();
        assert!(error.message.contains("`argument for` and `claim for` are the same"), "{}", error.message);
        assert!(verbalizer("own", true).verbalized(vec![vec![1], vec![1, 2], vec![2, 1]]).is_err());
    }

    #[test]
    fn words_are_replaced_and_marks_beside_them_stay() {
        let replace = ReplaceWords { words: vec!["Scholz".to_owned()], placeholder: "[NAME]".to_owned() };
        let text = "Scholz, said (Scholz)  that Scholzens\nScholz";
        assert_eq!(replace.apply(text), "[NAME], said ([NAME])  that Scholzens\n[NAME]");
    }
}
