//! LAMB.

use crate::adamw::betas;
use crate::groups::groups;
use crate::{Update, failed};
use zoo_plugin::prelude::*;
use zoo_torch::modes::Gradients;

/// LAMB: Adam's direction, scaled for every tensor to the tensor's own norm, for large batches.
///
/// With Adam's direction r = (m / c1) / (sqrt(v / c2) + epsilon) + weight_decay * p, a parameter is
/// moved by `-rate * trust * r`, trust = |p| / |r|, and 1 where either norm is 0. Parameters exempt
/// from weight decay have trust 1, as in the authors' code.
///
/// # Paper
/// You, Li, Reddi, Hseu, Kumar, Bhojanapalli, Song, Demmel, Keutzer, Hsieh: Large Batch Optimization
/// for Deep Learning: Training BERT in 76 minutes, ICLR 2020, algorithm 2.
///
/// # Example
/// ```mlm
/// optimizer = optimization.lamb(learning_rate: 2e-3)
/// ```
#[component(
    optimizer,
    name = "optimization.lamb",
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
pub struct Lamb {
    /// Peak learning rate, relative to a tensor's norm; the schedule's factor multiplies it.
    #[param(default = 1e-3, range = ">= 0")]
    pub learning_rate: f64,
    /// Decay of the means of gradient and squared gradient, two numbers below 1.
    #[param(default = [0.9, 0.999])]
    pub betas: Vec<f64>,
    /// Added to the denominator.
    #[param(default = 1e-6, range = ">= 0")]
    pub epsilon: f64,
    /// Factor of the parameter that is added to its direction.
    #[param(default = 0.01, range = ">= 0")]
    pub weight_decay: f64,
    /// Whether the means are corrected for their start at zero.
    #[param(default = true)]
    pub bias_correction: bool,
    /// Words in the last two parts of a parameter's name that exempt it from weight decay and trust.
    #[param(default = ["bias", "norm"])]
    pub no_decay: Vec<String>,
    /// Factor of the learning rate from one layer to the next lower one.
    #[param(default = 1.0, range = "(0, 1]")]
    pub layer_decay: f64,
}

impl Lamb {
    /// Changes the parameters and the two means of an update.
    ///
    /// # Errors
    ///
    /// Betas out of range; what libtorch refuses.
    pub fn update(&self, x: &Update<'_>) -> Result<()> {
        let _off = Gradients::set(false).map_err(failed)?;
        let (beta1, beta2) = betas(&self.betas)?;
        let step = x.step as f64;
        let (c1, c2) =
            if self.bias_correction { (1.0 - beta1.powf(step), 1.0 - beta2.powf(step)) } else { (1.0, 1.0) };
        for group in groups(&x.names, &self.no_decay, self.layer_decay) {
            for i in group.members {
                // Shallow copies: in-place operations of tch want one of their own.
                let mut parameter = x.parameters[i].shallow_clone();
                let mut first = x.states[0][i].shallow_clone();
                let mut second = x.states[1][i].shallow_clone();
                let gradient = x.gradients[i];
                let _ = first.f_mul_scalar_(beta1)?.f_add_(&gradient.f_mul_scalar(1.0 - beta1)?)?;
                let square = gradient.f_square()?.f_mul_scalar(1.0 - beta2)?;
                let _ = second.f_mul_scalar_(beta2)?.f_add_(&square)?;
                let scale = second.f_div_scalar(c2)?.f_sqrt()?.f_add_scalar(self.epsilon)?;
                let mut direction = first.f_div_scalar(c1)?.f_div(&scale)?;
                if group.decayed && self.weight_decay != 0.0 {
                    direction = direction.f_add(&parameter.f_mul_scalar(self.weight_decay)?)?;
                }
                if group.decayed {
                    let (size, length) = (parameter.f_norm()?, direction.f_norm()?);
                    let usable = size.f_gt(0.0)?.f_logical_and(&length.f_gt(0.0)?)?;
                    let ratio = size.f_div(&length)?;
                    let trust = ratio.f_where_self(&usable, &ratio.f_ones_like()?)?;
                    direction = direction.f_mul(&trust)?;
                }
                let _ = parameter.f_sub_(&direction.f_mul_scalar(x.rate * group.factor)?)?;
            }
        }
        Ok(())
    }
}

impl Component for Lamb {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        betas(&self.betas).map(|_| ())
    }

    fn call(&self, _: &(), x: LambInputs<'_>, _: &mut Call<'_>) -> Result<LambOutputs> {
        let names = x.names.iter().collect();
        self.update(&Update::new(x.step, x.rate, names, x.parameters, x.gradients, &x.states, 2)?)?;
        Ok(LambOutputs {})
    }
}
