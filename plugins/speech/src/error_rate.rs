//! How far what was heard is from what was said.

use crate::ctc::masked;
use std::sync::{Mutex, PoisonError};
use zoo_plugin::prelude::*;

/// The least number of insertions, deletions and substitutions between two sequences (Levenshtein).
pub fn edit_distance<T: PartialEq>(heard: &[T], said: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=said.len()).collect();
    for (i, a) in heard.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in said.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[said.len()]
}

/// Edits and lengths of an evaluation so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edits {
    edits: usize,
    length: usize,
}

/// The error rate of recognition: insertions, deletions and substitutions, in all utterances, over what was said in
/// them. It can be more than 1.
///
/// Of phones it is the phone error rate, of letters the character error rate. With `word_separator`, the label that
/// stands between words, words are compared in place of labels: the word error rate.
///
/// # Paper
/// Levenshtein: Binary Codes Capable of Correcting Deletions, Insertions, and Reversals, 1966.
///
/// # Example
/// ```mlm
/// metric phone_error_rate = speech.error_rate()
/// ```
#[component(
    metric,
    name = "speech.error_rate",
    inputs(
        predicted: "int[B, T]" = "labels that were heard; below 0 for padding after them",
        labels: "int[B, L]" = "labels that were said; below 0 for none",
        is_label: "int[B, L]"? = "1 for labels that were said, 0 for padding; all ones, when absent",
    ),
    outputs(value: "real"? = "edits over labels or words" better = "lower" unit = "fraction"),
    state,
)]
pub struct ErrorRate {
    /// The label between words.
    #[param(range = ">= 0")]
    pub word_separator: Option<usize>,
}

impl ErrorRate {
    /// Edits between one utterance's labels, and the number of those (or of words) that were said.
    pub fn edits(&self, heard: &[i64], said: &[i64]) -> (usize, usize) {
        let Some(separator) = self.word_separator else {
            return (edit_distance(heard, said), said.len());
        };
        let words = |labels: &[i64]| -> Vec<Vec<i64>> {
            let words = labels.split(|label| *label == separator as i64);
            words.filter(|word| !word.is_empty()).map(<[i64]>::to_vec).collect()
        };
        let said = words(said);
        (edit_distance(&words(heard), &said), said.len())
    }
}

/// Rows of a matrix of labels, without padding.
fn rows(labels: &Tensor) -> Result<Vec<Vec<i64>>> {
    let (_, length) = labels.size2()?;
    let all = Vec::<i64>::try_from(&labels.f_detach()?.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
    let row = |row: &[i64]| row.iter().copied().filter(|label| *label >= 0).collect();
    Ok(all.chunks(length.max(1) as usize).map(row).collect())
}

impl Component for ErrorRate {
    type State = Mutex<Edits>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(
        &self,
        state: &Self::State,
        x: ErrorRateInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<ErrorRateOutputs> {
        let mut sum = state.lock().unwrap_or_else(PoisonError::into_inner);
        for (heard, said) in rows(x.predicted)?.iter().zip(rows(&masked(x.labels, x.is_label)?)?.iter()) {
            let (edits, length) = self.edits(heard, said);
            sum.edits += edits;
            sum.length += length;
        }
        Ok(ErrorRateOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        let sum = *state.lock().unwrap_or_else(PoisonError::into_inner);
        if sum.length == 0 {
            return Err(Error::new("nothing was said in the utterances of the evaluation")
                .at("in.labels")
                .help("evaluate on utterances with labels"));
        }
        Ok(sum.edits as f64 / sum.length as f64)
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *state.lock().unwrap_or_else(PoisonError::into_inner) = Edits::default();
        Ok(())
    }
}
