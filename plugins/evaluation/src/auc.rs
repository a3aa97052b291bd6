//! How well scores tell two kinds apart.

use crate::shares::{chosen, locked};
use std::sync::Mutex;
use zoo_plugin::prelude::*;

/// Scores of an evaluation so far, with what each belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    scores: Vec<(f32, bool)>,
}

impl Ranked {
    /// Adds scores with whether each is of a positive.
    ///
    /// # Errors
    ///
    /// Different numbers of scores and truths, a score that is no number.
    pub fn add(&mut self, scores: &Tensor, positive: &Tensor, mask: Option<&Tensor>) -> Result<()> {
        if scores.numel() != positive.numel() {
            let text = format!("{} scores and {} truths", scores.numel(), positive.numel());
            return Err(Error::new(text).at("in.positive"));
        }
        let scores = chosen(scores, mask)?.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?;
        let positive = chosen(positive, mask)?.f_to_device(Device::Cpu)?;
        let (scores, positive) = (Vec::<f32>::try_from(scores)?, Vec::<bool>::try_from(positive)?);
        if scores.iter().any(|score| score.is_nan()) {
            return Err(Error::new("a score is not a number").at("in.scores"));
        }
        self.scores.extend(scores.into_iter().zip(positive));
        Ok(())
    }

    /// The probability that a positive has the higher score; ties count a half.
    ///
    /// # Errors
    ///
    /// All positive or all negative.
    pub fn area(&self) -> Result<f64> {
        let positives = self.scores.iter().filter(|(_, positive)| *positive).count() as f64;
        let negatives = self.scores.len() as f64 - positives;
        if positives == 0.0 || negatives == 0.0 {
            let text = format!(
                "there are {positives} positive and {negatives} negative elements, and both are needed"
            );
            return Err(Error::new(text).help("evaluate on more examples"));
        }
        let mut sorted = self.scores.clone();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        // Twice the sum of ranks keeps the sum whole.
        let (mut twice, mut start) = (0.0, 0);
        while start < sorted.len() {
            let mut end = start + 1;
            while end < sorted.len() && sorted[end].0 == sorted[start].0 {
                end += 1;
            }
            let here = sorted[start..end].iter().filter(|(_, positive)| *positive).count() as f64;
            twice += here * (start + 1 + end) as f64;
            start = end;
        }
        Ok((twice / 2.0 - positives * (positives + 1.0) / 2.0) / (positives * negatives))
    }
}

/// The area under the receiver operating characteristic: the probability that a positive element has a
/// higher score than a negative one, ties counting a half.
///
/// It is exact over all batches. 50% is chance, 100% is perfect.
///
/// # Paper
/// Hanley, McNeil: The Meaning and Use of the Area under a Receiver Operating Characteristic Curve, 1982.
///
/// # Example
/// ```mlm
/// metric auc = evaluation.auc()
/// ```
#[component(
    metric,
    name = "evaluation.auc",
    inputs(
        scores: "float[...]" = "scores, higher for positives",
        positive: "bool[...]" = "whether it is positive, in the same shape",
        mask: "any[...]"? = "elements count where this is not 0; all, when absent",
    ),
    outputs(value: "real"? = "area under the curve" better = "higher" unit = "fraction"),
    state,
)]
pub struct Auc;

impl Component for Auc {
    type State = Mutex<Ranked>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(&self, state: &Self::State, x: AucInputs<'_>, _: &mut Call<'_>) -> Result<AucOutputs> {
        locked(state).add(x.scores, x.positive, x.mask)?;
        Ok(AucOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        locked(state).area()
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *locked(state) = Ranked::default();
        Ok(())
    }
}
