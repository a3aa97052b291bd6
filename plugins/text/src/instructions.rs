//! Prompts with answers, as rows for a causal language model.

use crate::tokenizer::Tokenizer;
use zoo_plugin::prelude::*;

/// Rows of a prompt and its answer, of which only the answer is to be predicted: supervised fine-tuning.
///
/// A row is `[CLS] prompt answer [SEP]`, each part tokenized by itself, or with `<s>` and `</s>`. `targets` is 1 on the tokens that
/// are predicted: the answer's and the end. `ids` is what the model reads and `originals` what is predicted; the two
/// differ in masked copies. Rows are cut to `length`; one whose answer is cut away is left out.
///
/// With `masked_copies` every row whose answer has more than `minimum` tokens has a copy behind it, in which
/// `max(1, floor(rate * n))` of the n answer tokens are replaced by the mask token in `ids`; those alone are its targets.
/// The places are drawn once for a run. To predict a token from those before it, give `originals` and `targets` to
/// `language_modelling.next_tokens`.
///
/// # Paper
/// Zhuang, Jia, Li, Zhang, Shen, Cao, Liu: Mask-Enhanced Autoregressive Prediction, ICML 2025, section 3.2.
///
/// # Example
/// ```mlm
/// data pairs = text.csv(file: asset("pairs.tsv"), separator: "\t", columns: ["left", "right"])
/// tokenizer wordpiece = text.wordpiece(corpus: pairs, column: "left", vocabulary: 4000)
/// data tuning = text.instructions(
///   source: pairs,
///   tokenizer: wordpiece,
///   length: 64 tok,
///   prompt: "left",
///   answer: "right",
///   masked_copies: true,
///   minimum: 3,
/// )
/// ```
#[component(
    data,
    name = "text.instructions",
    outputs(
        ids: "int[B, length]" = "what the model reads",
        attention_mask: "int[B, length]" = "1 for tokens, 0 for padding",
        originals: "int[B, length]" = "the tokens as they are without masks",
        targets: "int[B, length]" = "1 for tokens that are predicted, else 0",
    ),
    random,
)]
pub struct Instructions {
    /// Prompts and answers.
    #[param(component = "data")]
    pub source: Handle,
    /// What makes tokens of them.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Tokens in a row, special ones included.
    #[param(default = 512, range = ">= 3", kind = "tokens")]
    pub length: usize,
    /// The source's column of prompts.
    #[param(default = "prompt")]
    pub prompt: String,
    /// The source's column of answers.
    #[param(default = "answer")]
    pub answer: String,
    /// Whether long answers have a masked copy.
    #[param(default = false)]
    pub masked_copies: bool,
    /// Share of a copy's answer that is masked.
    #[param(default = 0.1, range = "[0%, 100%]", kind = "fraction")]
    pub rate: f64,
    /// Answers of more tokens than this have a copy.
    #[param(default = 50)]
    pub minimum: usize,
    /// The mask token, where it is not [MASK] or <mask>.
    pub mask_token: Option<String>,
}

/// A row before it is padded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Ids as they are.
    pub originals: Vec<u32>,
    /// The place of the answer's first token.
    pub answer: usize,
    /// Masked places; none in a row that is no copy.
    pub masked: Option<Vec<usize>>,
}

impl Row {
    /// The places that are predicted.
    pub fn targets(&self) -> Vec<usize> {
        self.masked.clone().unwrap_or_else(|| (self.answer..self.originals.len()).collect())
    }
}

/// The rows and the ids that they are made with.
#[derive(Debug)]
pub struct InstructionRows {
    rows: Vec<Row>,
    pad: u32,
    mask: u32,
}

impl Instructions {
    /// The row of a prompt and an answer, and its masked copy where it has one.
    pub fn rows(
        &self,
        (begin, end): (u32, u32),
        prompt: &[u32],
        answer: &[u32],
        random: &mut impl RngExt,
    ) -> Vec<Row> {
        let mut originals = vec![begin];
        originals.extend(prompt);
        let from = originals.len();
        originals.extend(answer);
        originals.push(end);
        originals.truncate(self.length);
        if originals.len() <= from {
            return Vec::new();
        }
        let normal = Row { originals, answer: from, masked: None };
        if !self.masked_copies || answer.len() <= self.minimum {
            return vec![normal];
        }
        // Only what was not cut can be masked; the end never is.
        let mut places: Vec<usize> = (from..normal.originals.len().min(from + answer.len())).collect();
        let number = ((self.rate * answer.len() as f64 + 1e-9) as usize).max(1).min(places.len());
        for i in 0..number {
            let other = random.random_range(i..places.len());
            places.swap(i, other);
        }
        places.truncate(number);
        places.sort_unstable();
        let copy = Row { masked: Some(places), ..normal.clone() };
        vec![normal, copy]
    }
}

impl Component for Instructions {
    type State = InstructionRows;

    fn build(&self, cx: &mut Build<'_>) -> Result<InstructionRows> {
        let tokenizer = Tokenizer::of(cx, self.tokenizer)?;
        let frame = tokenizer.frame()?;
        let mask = match tokenizer.mask(self.mask_token.as_deref()) {
            None if self.masked_copies => {
                let text =
                    format!("the tokenizer has no token {}", self.mask_token.as_deref().unwrap_or("[MASK]"));
                return Err(Error::new(text).at("tokenizer").help("name its mask token in `mask_token`"));
            }
            mask => mask.unwrap_or(frame.pad),
        };
        let length = cx.length(self.source)?;
        let mut rows = Vec::new();
        for from in (0..length).step_by(256) {
            if cx.cancelled() {
                return Err(Error::cancelled());
            }
            let indices: Vec<i64> = (from as i64..length.min(from + 256) as i64).collect();
            let columns = cx.read(self.source, &indices)?;
            let pairs: Vec<_> =
                columns.texts(&self.prompt)?.iter().zip(columns.texts(&self.answer)?).collect();
            let pairs =
                tokenizer.in_threads(&pairs, |t, (prompt, answer)| Ok((t.ids(prompt)?, t.ids(answer)?)))?;
            for (row, (prompt, answer)) in (from..).zip(pairs) {
                let random = &mut cx.rng("mask", row);
                rows.extend(self.rows((frame.begin, frame.end), &prompt, &answer, random));
            }
        }
        if rows.is_empty() {
            return Err(Error::new(format!("no answer fits into {} tokens behind its prompt", self.length))
                .at("length"));
        }
        Ok(InstructionRows { rows, pad: frame.pad, mask })
    }

    fn length(&self, state: &InstructionRows, _: &mut Call<'_>) -> Result<usize> {
        Ok(state.rows.len())
    }

    fn read(
        &self,
        state: &InstructionRows,
        indices: &[i64],
        _: &mut Call<'_>,
    ) -> Result<InstructionsOutputs> {
        let size = indices.len() * self.length;
        let mut originals = vec![i64::from(state.pad); size];
        let (mut mask, mut targets) = (vec![0_i64; size], vec![0_i64; size]);
        let mut ids = originals.clone();
        for (i, index) in indices.iter().enumerate() {
            let row = &state.rows[crate::file::row(*index, state.rows.len())?];
            let at = i * self.length;
            for (t, id) in row.originals.iter().enumerate() {
                (originals[at + t], ids[at + t], mask[at + t]) = (i64::from(*id), i64::from(*id), 1);
            }
            for place in row.masked.iter().flatten() {
                ids[at + place] = i64::from(state.mask);
            }
            row.targets().into_iter().for_each(|place| targets[at + place] = 1);
        }
        let shape = [indices.len() as i64, self.length as i64];
        let tensor =
            |values: &[i64]| -> Result<Tensor> { Ok(Tensor::f_from_slice(values)?.f_reshape(shape)?) };
        Ok(InstructionsOutputs {
            ids: tensor(&ids)?,
            attention_mask: tensor(&mask)?,
            originals: tensor(&originals)?,
            targets: tensor(&targets)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(length: usize, answer: usize) -> Vec<Row> {
        let instructions = Instructions {
            source: Handle(1),
            tokenizer: Handle(2),
            length,
            prompt: "prompt".to_owned(),
            answer: "answer".to_owned(),
            masked_copies: true,
            rate: 0.1,
            minimum: 50,
            mask_token: None,
        };
        let (prompt, answer) = ([7_u32; 5], vec![8_u32; answer]);
        instructions.rows((2, 3), &prompt, &answer, &mut ChaCha8Rng::seed_from_u64(4))
    }

    /// Zhuang et al.: more than 50 tokens have a copy, of which a tenth is masked.
    #[test]
    fn long_answers_have_a_masked_copy() {
        let rows = made(128, 60);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].originals.len(), rows[0].answer), (67, 6));
        assert_eq!(rows[0].targets(), (6..67).collect::<Vec<_>>(), "the answer and its end");
        let masked = rows[1].targets();
        assert_eq!(masked.len(), 6);
        assert!(
            masked.iter().all(|place| (6..66).contains(place)),
            "neither the prompt nor the end: {masked:?}"
        );
        assert!(masked.is_sorted_by(|a, b| a < b));
        assert_eq!(made(128, 50).len(), 1, "strictly more");
        assert_eq!(made(128, 51)[1].targets().len(), 5);
    }

    #[test]
    fn what_is_cut_is_neither_masked_nor_predicted() {
        let rows = made(9, 60);
        assert_eq!(rows[0].targets(), [6, 7, 8]);
        assert_eq!(rows[1].targets(), [6, 7, 8]);
        assert!(made(6, 60).is_empty());
    }
}
