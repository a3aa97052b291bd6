//! AdamW, fused over the parameters.

use crate::groups::groups;
use crate::{Update, failed};
use zoo_plugin::prelude::*;
use zoo_torch::lists;

/// AdamW: running means of gradient and squared gradient, with decoupled weight decay.
///
/// In update t, with gradient g, `m = b1 m + (1 - b1) g` and `v = b2 v + (1 - b2) g²`; the parameter
/// is first scaled by `1 - rate * weight_decay`, then moved by
/// `-rate * (m / c1) / (sqrt(v / c2) + epsilon)`. The corrections are `c1 = 1 - b1^t`,
/// `c2 = 1 - b2^t`, or 1 without `bias_correction`: then the first steps are about three times as
/// large, as BERT and ELECTRA were trained.
///
/// # Paper
/// Loshchilov, Hutter: Decoupled Weight Decay Regularization, ICLR 2019; Kingma, Ba: Adam, ICLR 2015.
///
/// # Example
/// ```mlm
/// optimizer = optimization.adamw(learning_rate: 2e-4, weight_decay: 0.01)
/// ```
#[component(
    optimizer,
    name = "optimization.adamw",
    inputs(
        step: "integer" = "number of the update, counted from 1",
        rate: "real" = "the present learning rate",
        names: "text[N]" = "names of the parameters",
        parameters: "float[...]"* = "values, changed in place",
        gradients: "float[...]"* = "their gradients",
        states: "float[...]"* = "the means, changed in place",
    ),
    writes(parameters, states),
    states(first_moment, second_moment),
)]
pub struct AdamW {
    /// Peak learning rate, a step's size per parameter; the schedule's factor multiplies it.
    #[param(default = 1e-3, range = ">= 0")]
    pub learning_rate: f64,
    /// Decay of the means of gradient and squared gradient, two numbers below 1.
    #[param(default = [0.9, 0.999])]
    pub betas: Vec<f64>,
    /// Added to the denominator.
    #[param(default = 1e-8, range = ">= 0")]
    pub epsilon: f64,
    /// Share of a parameter that is taken off per unit of learning rate.
    #[param(default = 0.01, range = ">= 0")]
    pub weight_decay: f64,
    /// Whether the means are corrected for their start at zero.
    #[param(default = true)]
    pub bias_correction: bool,
    /// Words in the last two parts of a parameter's name that exempt it from weight decay.
    #[param(default = ["bias", "norm"])]
    pub no_decay: Vec<String>,
    /// Factor of the learning rate from one layer to the next lower one.
    #[param(default = 1.0, range = "(0, 1]")]
    pub layer_decay: f64,
}

/// Two numbers in [0, 1).
pub(crate) fn betas(betas: &[f64]) -> Result<(f64, f64)> {
    match betas {
        [first, second] if [first, second].into_iter().all(|beta| (0.0..1.0).contains(beta)) => {
            Ok((*first, *second))
        }
        _ => Err(Error::new(format!("betas are two numbers of at least 0 and below 1, not {betas:?}"))
            .at("betas")
            .help("write for example `betas: [0.9, 0.999]`")),
    }
}

impl AdamW {
    /// Changes the parameters and the two means of an update.
    ///
    /// # Errors
    ///
    /// Betas out of range; what libtorch refuses.
    pub fn update(&self, x: &Update<'_>) -> Result<()> {
        let (beta1, beta2) = betas(&self.betas)?;
        for group in groups(&x.names, &self.no_decay, self.layer_decay) {
            let options = lists::AdamW {
                learning_rate: x.rate * group.factor,
                beta1,
                beta2,
                epsilon: self.epsilon,
                weight_decay: if group.decayed { self.weight_decay } else { 0.0 },
                step: x.step,
                bias_correction: self.bias_correction,
            };
            lists::adamw_(
                &options,
                &Update::pick(&x.parameters, &group.members),
                &Update::pick(&x.gradients, &group.members),
                &Update::pick(&x.states[0], &group.members),
                &Update::pick(&x.states[1], &group.members),
            )
            .map_err(failed)?;
        }
        Ok(())
    }
}

impl Component for AdamW {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        betas(&self.betas).map(|_| ())
    }

    fn call(&self, _: &(), x: AdamWInputs<'_>, _: &mut Call<'_>) -> Result<AdamWOutputs> {
        let names = x.names.iter().collect();
        self.update(&Update::new(x.step, x.rate, names, x.parameters, x.gradients, &x.states, 2)?)?;
        Ok(AdamWOutputs {})
    }
}
