//! Optimizers and schedules of the learning rate.
//!
//! An optimizer is given the number of the update, the present rate (the peak times the schedule's
//! factor), and lists over the trained parameters: names, values, gradients and states. It changes
//! values and states in place. The arithmetic of each stands in a method `update`, apart from the
//! ports, for tests and for other plugins.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod adafactor;
mod adamw;
pub mod groups;
mod lamb;
mod schedules;
mod sgd;

pub use adafactor::Adafactor;
pub use adamw::AdamW;
pub use lamb::Lamb;
pub use schedules::{Constant, Cosine, InverseSquareRoot, Linear, WarmupStableDecay};
pub use sgd::StochasticGradientDescent;

use zoo_plugin::{Error, Result};

/// What an update works on. Lists are of equal length, one entry a parameter.
#[derive(Debug)]
pub struct Update<'a> {
    /// Number of the update, counted from 1.
    pub step: u64,
    /// The present learning rate.
    pub rate: f64,
    /// `instance.name.in.the.model`.
    pub names: Vec<&'a str>,
    /// Changed in place.
    pub parameters: Vec<&'a tch::Tensor>,
    /// Of the parameters' shapes; not changed.
    pub gradients: Vec<&'a tch::Tensor>,
    /// One list for every state that the schema declares, in that order; changed in place.
    pub states: Vec<Vec<&'a tch::Tensor>>,
}

impl<'a> Update<'a> {
    /// Checks the lists and splits the states by kind.
    ///
    /// # Errors
    ///
    /// A step below 1, a rate that is negative or not finite, lists of different lengths.
    pub fn new(
        step: i64,
        rate: f64,
        names: Vec<&'a str>,
        parameters: Vec<&'a tch::Tensor>,
        gradients: Vec<&'a tch::Tensor>,
        states: &[&'a tch::Tensor],
        kinds: usize,
    ) -> Result<Self> {
        let step = u64::try_from(step)
            .ok()
            .filter(|step| *step > 0)
            .ok_or_else(|| Error::new(format!("step {step}: updates are counted from 1")).at("in.step"))?;
        if !rate.is_finite() || rate < 0.0 {
            return Err(Error::new(format!("a learning rate of {rate}")).at("in.rate"));
        }
        let count = parameters.len();
        for (port, length, wanted) in [
            ("in.names", names.len(), count),
            ("in.gradients", gradients.len(), count),
            ("in.states", states.len(), count * kinds),
        ] {
            if length != wanted {
                let message = format!("{count} parameters need {wanted} entries here, not {length}");
                return Err(Error::new(message).at(port));
            }
        }
        let states = (0..kinds).map(|kind| states[kind * count..(kind + 1) * count].to_vec()).collect();
        Ok(Self { step, rate, names, parameters, gradients, states })
    }

    /// The entries of a list that a group takes.
    pub(crate) fn pick<'t>(list: &[&'t tch::Tensor], indices: &[usize]) -> Vec<&'t tch::Tensor> {
        indices.iter().map(|i| list[*i]).collect()
    }
}

pub(crate) fn failed(error: zoo_torch::Error) -> Error {
    Error { status: zoo_plugin::abi::status::TORCH, ..Error::new(error.to_string()) }
}

zoo_plugin::export_plugin!(zoo_optimization);
