//! Shares and means over the elements of an evaluation.

use std::sync::{Mutex, MutexGuard, PoisonError};
use zoo_plugin::prelude::*;

/// A sum and the number of elements it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Of the values.
    pub total: f64,
    /// How many there were.
    pub count: f64,
}

pub(crate) fn locked<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The elements that count, one after the other: all, or those where the mask is not 0.
pub(crate) fn chosen(values: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let values = values.f_detach()?.f_reshape([-1])?;
    let Some(mask) = mask else { return Ok(values) };
    let mask = mask.f_reshape([-1])?.f_ne(0)?;
    if mask.size() != values.size() {
        let text = format!("{} values and a mask of {}", values.numel(), mask.numel());
        return Err(Error::new(text).at("in.mask"));
    }
    Ok(values.f_masked_select(&mask)?)
}

impl Sum {
    /// Adds elements of any type; true counts as 1.
    ///
    /// # Errors
    ///
    /// A mask of another size.
    pub fn add(&mut self, values: &Tensor, mask: Option<&Tensor>) -> Result<()> {
        let values = chosen(values, mask)?;
        self.count += values.numel() as f64;
        self.total += f64::try_from(values.f_sum(Kind::Double)?)?;
        Ok(())
    }

    /// The mean.
    ///
    /// # Errors
    ///
    /// No element at all.
    pub fn mean(&self) -> Result<f64> {
        if self.count == 0.0 {
            return Err(Error::new("nothing was measured: not one element counts")
                .help("look at the data and at the mask"));
        }
        Ok(self.total / self.count)
    }

    /// The entropy of a truth value that is true as often as the mean says, in nats.
    ///
    /// # Errors
    ///
    /// No element at all.
    pub fn entropy(&self) -> Result<f64> {
        let share = self.mean()?;
        let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
        Ok(term(share) + term(1.0 - share))
    }
}

macro_rules! sum_metric {
    ($name:ident, $inputs:ident, $outputs:ident, $method:ident) => {
        impl Component for $name {
            type State = Mutex<Sum>;

            fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
                Ok(Mutex::default())
            }

            fn call(&self, state: &Self::State, x: $inputs<'_>, _: &mut Call<'_>) -> Result<$outputs> {
                locked(state).add(x.values, x.mask)?;
                Ok($outputs { value: None })
            }

            fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
                locked(state).$method()
            }

            fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
                *locked(state) = Sum::default();
                Ok(())
            }
        }
    };
}

/// How often something is true, over all elements that count.
///
/// # Example
/// ```mlm
/// metric rate = evaluation.rate()
/// ```
#[component(
    metric,
    name = "evaluation.rate",
    inputs(
        values: "bool[...]" = "whether it is true",
        mask: "any[...]"? = "elements count where this is not 0; all, when absent",
    ),
    outputs(value: "real"? = "share of true ones" unit = "fraction"),
    state,
)]
pub struct Rate;

sum_metric!(Rate, RateInputs, RateOutputs, mean);

/// The mean over all elements that count, however the batches are cut.
///
/// # Example
/// ```mlm
/// metric mean = evaluation.mean()
/// ```
#[component(
    metric,
    name = "evaluation.mean",
    inputs(
        values: "float[...]" = "the values",
        mask: "any[...]"? = "elements count where this is not 0; all, when absent",
    ),
    outputs(value: "real"? = "their mean"),
    state,
)]
pub struct Mean;

sum_metric!(Mean, MeanInputs, MeanOutputs, mean);

/// What the best constant answer to a yes-or-no question would cost: the entropy of its share of yes, in
/// nats.
///
/// With a share f it is `-f ln f - (1 - f) ln(1 - f)`: a detector whose cross-entropy is no lower has
/// learned nothing but the share.
///
/// # Example
/// ```mlm
/// metric constant = evaluation.binary_entropy()
/// ```
#[component(
    metric,
    name = "evaluation.binary_entropy",
    inputs(
        values: "bool[...]" = "whether it is true",
        mask: "any[...]"? = "elements count where this is not 0; all, when absent",
    ),
    outputs(value: "real"? = "entropy of the share of true ones, in nats"),
    state,
)]
pub struct BinaryEntropy;

sum_metric!(BinaryEntropy, BinaryEntropyInputs, BinaryEntropyOutputs, entropy);
