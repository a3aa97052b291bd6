//! Stochastic gradient descent.

use crate::groups::groups;
use crate::{Update, failed};
use zoo_plugin::prelude::*;
use zoo_torch::lists;

/// Stochastic gradient descent with momentum.
///
/// With d = gradient + weight_decay * parameter, the velocity is `v = momentum * v + d`; the
/// parameter is moved by `-rate * v`, or with `nesterov` by `-rate * (d + momentum * v)`.
///
/// # Paper
/// Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep
/// learning, ICML 2013.
///
/// # Example
/// ```mlm
/// optimizer = optimization.sgd(learning_rate: 0.1, momentum: 0.9, nesterov: true)
/// ```
#[component(
    optimizer,
    name = "optimization.sgd",
    inputs(
        step: "integer" = "number of the update, counted from 1",
        rate: "real" = "the present learning rate",
        names: "text[N]" = "names of the parameters",
        parameters: "float[...]"* = "values, changed in place",
        gradients: "float[...]"* = "their gradients",
        states: "float[...]"* = "the velocities, changed in place",
    ),
    writes(parameters, states),
    states(velocity),
)]
pub struct StochasticGradientDescent {
    /// Peak learning rate; the schedule's factor multiplies it.
    #[param(range = ">= 0")]
    pub learning_rate: f64,
    /// Share of the velocity that is kept from one update to the next.
    #[param(default = 0.0, range = "[0, 1)")]
    pub momentum: f64,
    /// Looks ahead along the velocity.
    #[param(default = false)]
    pub nesterov: bool,
    /// Factor of the parameter that is added to its gradient.
    #[param(default = 0.0, range = ">= 0")]
    pub weight_decay: f64,
    /// Words in the last two parts of a parameter's name that exempt it from weight decay.
    #[param(default = ["bias", "norm"])]
    pub no_decay: Vec<String>,
    /// Factor of the learning rate from one layer to the next lower one.
    #[param(default = 1.0, range = "(0, 1]")]
    pub layer_decay: f64,
}

impl StochasticGradientDescent {
    /// Changes the parameters and velocities of an update.
    ///
    /// # Errors
    ///
    /// What libtorch refuses.
    pub fn update(&self, x: &Update<'_>) -> Result<()> {
        for group in groups(&x.names, &self.no_decay, self.layer_decay) {
            let parameters = Update::pick(&x.parameters, &group.members);
            let gradients = Update::pick(&x.gradients, &group.members);
            let velocity = Update::pick(&x.states[0], &group.members);
            let rate = x.rate * group.factor;
            let decay = if group.decayed { self.weight_decay } else { 0.0 };
            let step = || -> zoo_torch::Result<()> {
                lists::scale_(&velocity, self.momentum)?;
                lists::add_(&velocity, &gradients, 1.0)?;
                if decay != 0.0 {
                    lists::add_(&velocity, &parameters, decay)?;
                }
                if !self.nesterov {
                    return lists::add_(&parameters, &velocity, -rate);
                }
                // p - rate * (g + decay * p + momentum * v), without a copy of the gradients
                if decay != 0.0 {
                    lists::scale_(&parameters, 1.0 - rate * decay)?;
                }
                lists::add_(&parameters, &gradients, -rate)?;
                lists::add_(&parameters, &velocity, -rate * self.momentum)
            };
            step().map_err(failed)?;
        }
        Ok(())
    }
}

impl Component for StochasticGradientDescent {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        if self.nesterov && self.momentum == 0.0 {
            return Err(Error::new("nesterov looks ahead along the velocity, and momentum is 0")
                .at("momentum")
                .help("set `momentum: 0.9`, or leave out `nesterov`"));
        }
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: StochasticGradientDescentInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<StochasticGradientDescentOutputs> {
        let names = x.names.iter().collect();
        self.update(&Update::new(x.step, x.rate, names, x.parameters, x.gradients, &x.states, 1)?)?;
        Ok(StochasticGradientDescentOutputs {})
    }
}
