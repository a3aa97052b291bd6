//! Adafactor.

use crate::groups::groups;
use crate::{Update, failed};
use zoo_plugin::prelude::*;
use zoo_torch::modes::Gradients;

/// Adafactor: the mean of squared gradients of a matrix is kept as row and column means alone.
///
/// A matrix of n x m needs n + m numbers of state; vectors keep all. The decay of the means in update
/// t is `1 - t^-decay_rate`. The direction u = g / sqrt(v) is divided by
/// `max(1, rms(u) / clip_threshold)`; the step is `rate * u`, with `scale_parameter` times
/// `max(epsilon_scale, rms(p))`. There is no first moment. Rates come from the recipe and its
/// schedule; the paper's own is `learning_rate: 1e-2` with `optimization.inverse_sqrt(warmup: 10k steps)`.
///
/// # Paper
/// Shazeer, Stern: Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, ICML 2018,
/// algorithms 4 to 6.
///
/// # Example
/// ```mlm
/// optimizer = optimization.adafactor(learning_rate: 1e-2)
/// ```
#[component(
    optimizer,
    name = "optimization.adafactor",
    inputs(
        step: "integer" = "number of the update, counted from 1",
        rate: "real" = "the present learning rate",
        names: "text[N]" = "names of the parameters",
        parameters: "float[...]"* = "values, changed in place",
        gradients: "float[...]"* = "their gradients",
        states: "float[...]"* = "the means, changed in place",
    ),
    writes(parameters, states),
    states(row_moment: "rows", column_moment: "columns", second_moment: "vectors"),
)]
pub struct Adafactor {
    /// Peak learning rate, relative to a tensor's size with `scale_parameter`; the schedule's factor
    /// multiplies it.
    #[param(default = 1e-2, range = ">= 0")]
    pub learning_rate: f64,
    /// Added to squared gradients.
    #[param(default = 1e-30, range = "> 0")]
    pub epsilon: f64,
    /// Smallest size of a tensor that `scale_parameter` reckons with.
    #[param(default = 1e-3, range = ">= 0")]
    pub epsilon_scale: f64,
    /// Largest root mean square of a direction; larger ones are scaled down.
    #[param(default = 1.0, range = "> 0")]
    pub clip_threshold: f64,
    /// How fast the decay of the means approaches 1.
    #[param(default = 0.8, range = "[0, 1]")]
    pub decay_rate: f64,
    /// Whether steps are relative to the root mean square of the tensor.
    #[param(default = true)]
    pub scale_parameter: bool,
    /// Share of a parameter that is taken off per unit of learning rate.
    #[param(default = 0.0, range = ">= 0")]
    pub weight_decay: f64,
    /// Words in the last two parts of a parameter's name that exempt it from weight decay.
    #[param(default = ["bias", "norm"])]
    pub no_decay: Vec<String>,
    /// Factor of the learning rate from one layer to the next lower one.
    #[param(default = 1.0, range = "(0, 1]")]
    pub layer_decay: f64,
}

fn mean(x: &Tensor, dimension: i64, keep: bool) -> Result<Tensor> {
    Ok(x.f_mean_dim([dimension].as_slice(), keep, None::<Kind>)?)
}

fn root_mean_square(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_square()?.f_mean(None::<Kind>)?.f_sqrt()?)
}

impl Adafactor {
    /// Changes the parameters and means of an update.
    ///
    /// # Errors
    ///
    /// What libtorch refuses.
    pub fn update(&self, x: &Update<'_>) -> Result<()> {
        let _off = Gradients::set(false).map_err(failed)?;
        let kept = 1.0 - (x.step as f64).powf(-self.decay_rate);
        for group in groups(&x.names, &self.no_decay, self.layer_decay) {
            for i in group.members {
                let mut parameter = x.parameters[i].shallow_clone();
                if parameter.numel() == 0 {
                    continue;
                }
                let gradient = x.gradients[i];
                let square = gradient.f_square()?.f_add_scalar(self.epsilon)?;
                let average = |state: &Tensor, now: &Tensor| -> Result<Tensor> {
                    let mut state = state.shallow_clone();
                    Ok(state.f_mul_scalar_(kept)?.f_add_(&now.f_mul_scalar(1.0 - kept)?)?)
                };
                let direction = if parameter.dim() >= 2 {
                    let row = average(x.states[0][i], &mean(&square, -1, false)?)?;
                    let column = average(x.states[1][i], &mean(&square, -2, false)?)?;
                    let row = row.f_div(&mean(&row, -1, true)?)?.f_rsqrt()?.f_unsqueeze(-1)?;
                    gradient.f_mul(&row)?.f_mul(&column.f_rsqrt()?.f_unsqueeze(-2)?)?
                } else {
                    gradient.f_mul(&average(x.states[2][i], &square)?.f_rsqrt()?)?
                };
                let excess =
                    root_mean_square(&direction)?.f_div_scalar(self.clip_threshold)?.f_clamp_min(1.0)?;
                let rate = x.rate * group.factor;
                let mut step = direction.f_div(&excess)?.f_mul_scalar(rate)?;
                if self.scale_parameter {
                    step = step.f_mul(&root_mean_square(&parameter)?.f_clamp_min(self.epsilon_scale)?)?;
                }
                if group.decayed && self.weight_decay != 0.0 {
                    parameter = parameter.f_mul_scalar_(1.0 - rate * self.weight_decay)?;
                }
                let _ = parameter.f_sub_(&step)?;
            }
        }
        Ok(())
    }
}

impl Component for Adafactor {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: AdafactorInputs<'_>, _: &mut Call<'_>) -> Result<AdafactorOutputs> {
        let names = x.names.iter().collect();
        self.update(&Update::new(x.step, x.rate, names, x.parameters, x.gradients, &x.states, 3)?)?;
        Ok(AdafactorOutputs {})
    }
}
