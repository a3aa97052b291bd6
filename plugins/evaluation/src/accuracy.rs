//! How often predictions are right.

use crate::shares::{Sum, locked};
use std::sync::Mutex;
use zoo_plugin::prelude::*;

/// How often the highest score is that of the right class.
///
/// Targets below 0 do not count. Where several classes share the highest score, the first of them is the
/// prediction.
///
/// # Example
/// ```mlm
/// metric accuracy = evaluation.accuracy()
/// ```
#[component(
    metric,
    name = "evaluation.accuracy",
    inputs(
        logits: "float[M, classes]" = "scores of the classes",
        labels: "int[M]" = "the right class; below 0 for none",
    ),
    outputs(value: "real"? = "share of right predictions" better = "higher" unit = "fraction"),
    state,
)]
pub struct Accuracy;

impl Component for Accuracy {
    type State = Mutex<Sum>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(&self, state: &Self::State, x: AccuracyInputs<'_>, _: &mut Call<'_>) -> Result<AccuracyOutputs> {
        if x.labels.numel() > 0 {
            let right = x.logits.f_argmax(-1, false)?.f_eq_tensor(x.labels)?;
            locked(state).add(&right, Some(&x.labels.f_ge(0)?))?;
        }
        Ok(AccuracyOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        locked(state).mean()
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *locked(state) = Sum::default();
        Ok(())
    }
}

/// How often two whole numbers are the same: predicted ids and the right ones, for example.
///
/// # Example
/// ```mlm
/// metric agreement = evaluation.agreement()
/// ```
#[component(
    metric,
    name = "evaluation.agreement",
    inputs(
        predicted: "int[...]" = "predictions",
        labels: "int[...]" = "what is right, in the same shape",
        mask: "any[...]"? = "elements count where this is not 0; all, when absent",
    ),
    outputs(value: "real"? = "share of equal ones" better = "higher" unit = "fraction"),
    state,
)]
pub struct Agreement;

impl Component for Agreement {
    type State = Mutex<Sum>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(
        &self,
        state: &Self::State,
        x: AgreementInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<AgreementOutputs> {
        if x.predicted.size() != x.labels.size() {
            let text =
                format!("predictions of shape {:?} and labels of {:?}", x.predicted.size(), x.labels.size());
            return Err(Error::new(text).at("in.labels"));
        }
        locked(state).add(&x.predicted.f_eq_tensor(x.labels)?, x.mask)?;
        Ok(AgreementOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        locked(state).mean()
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *locked(state) = Sum::default();
        Ok(())
    }
}
