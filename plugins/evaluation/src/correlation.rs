//! Correlations of predictions with gold scores.

use std::sync::{Mutex, MutexGuard, PoisonError};
use zoo_plugin::prelude::*;

/// Predictions and gold scores of an evaluation so far.
#[derive(Debug, Default)]
pub struct Scores {
    predicted: Vec<f64>,
    gold: Vec<f64>,
}

impl Scores {
    /// Adds examples; both sides have as many.
    pub fn add(&mut self, predicted: &Tensor, gold: &Tensor) -> Result<()> {
        let numbers = |x: &Tensor| -> Result<Vec<f64>> {
            Ok(Vec::try_from(
                x.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_flatten(0, -1)?,
            )?)
        };
        let (predicted, gold) = (numbers(predicted)?, numbers(gold)?);
        if predicted.len() != gold.len() {
            let text =
                format!("{} predictions cannot be compared with {} gold scores", predicted.len(), gold.len());
            return Err(Error::new(text).at("in.gold"));
        }
        self.predicted.extend(predicted);
        self.gold.extend(gold);
        Ok(())
    }

    fn checked(&self) -> Result<()> {
        if self.predicted.len() < 2 {
            let text = format!("a correlation is of at least two examples; {} came", self.predicted.len());
            return Err(Error::new(text).help("evaluate on more examples"));
        }
        if let Some(at) = self.predicted.iter().chain(&self.gold).position(|x| x.is_nan()) {
            let at = at % self.predicted.len();
            return Err(Error::new(format!("a score of example {at} of the evaluation is not a number")));
        }
        Ok(())
    }

    /// Pearson's correlation: of the scores themselves. 0 where one side is constant.
    pub fn pearson(&self) -> Result<f64> {
        self.checked()?;
        Ok(correlation(&self.predicted, &self.gold))
    }

    /// Spearman's rank correlation: of the ranks, ties taking the mean of theirs. 0 where one side is
    /// constant.
    pub fn spearman(&self) -> Result<f64> {
        self.checked()?;
        Ok(correlation(&ranks(&self.predicted), &ranks(&self.gold)))
    }
}

/// 0 where a side does not vary: it then says nothing of the other.
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    if xx == 0.0 || yy == 0.0 { 0.0 } else { (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0) }
}

/// Ranks from 1, equal values sharing the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        for place in &order[start..end] {
            ranks[*place] = (start + 1 + end) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

fn locked(state: &Mutex<Scores>) -> MutexGuard<'_, Scores> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! correlation_metric {
    ($name:ident, $inputs:ident, $outputs:ident, $method:ident) => {
        impl Component for $name {
            type State = Mutex<Scores>;

            fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
                Ok(Mutex::default())
            }

            fn call(&self, state: &Self::State, x: $inputs<'_>, _: &mut Call<'_>) -> Result<$outputs> {
                locked(state).add(x.predicted, x.gold)?;
                // A correlation is of all examples: it is there when the evaluation is through.
                Ok($outputs { value: None })
            }

            fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
                locked(state).$method()
            }

            fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
                *locked(state) = Scores::default();
                Ok(())
            }
        }
    };
}

/// Spearman's rank correlation between predictions and gold scores: 1 where both have the same order, -1
/// where it is reversed.
///
/// Equal scores take the mean of their ranks. It is the usual measure of sentence similarity against
/// human judgements, because only the order counts and not the scale. Where one side is constant it is 0.
///
/// # Paper
/// Spearman: The Proof and Measurement of Association between Two Things, 1904.
///
/// # Example
/// ```mlm
/// metric spearman = evaluation.spearman()
/// ```
#[component(
    metric,
    name = "evaluation.spearman",
    inputs(predicted: "float[B]" = "scores of the model", gold: "float[B]" = "scores that it should give"),
    outputs(value: "real"? = "rank correlation" better = "higher"),
    state,
)]
pub struct Spearman;

correlation_metric!(Spearman, SpearmanInputs, SpearmanOutputs, spearman);

/// Pearson's correlation between predictions and gold scores: 1 where one is a rising straight line of the
/// other.
///
/// Where one side is constant it is 0.
///
/// # Paper
/// Pearson: Note on Regression and Inheritance in the Case of Two Parents, 1895.
///
/// # Example
/// ```mlm
/// metric pearson = evaluation.pearson()
/// ```
#[component(
    metric,
    name = "evaluation.pearson",
    inputs(predicted: "float[B]" = "scores of the model", gold: "float[B]" = "scores that it should give"),
    outputs(value: "real"? = "correlation" better = "higher"),
    state,
)]
pub struct Pearson;

correlation_metric!(Pearson, PearsonInputs, PearsonOutputs, pearson);
