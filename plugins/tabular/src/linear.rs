//! A linear model.

use zoo_plugin::prelude::*;

/// Multinomial logistic regression: scores of classes as a linear function of a row.
///
/// # Example
/// ```mlm
/// model digit = tabular.linear_classifier(width: 64, classes: 10)
/// ```
#[component(
    architecture,
    name = "tabular.linear_classifier",
    inputs(features: "float[B, width]" = "the numbers of a row"),
    outputs(logits: "float[B, classes]" = "scores of the classes"),
    parameters,
    cost(
        flops = "2 * B * width * classes",
        parameters = "width * classes + classes",
        activations = "B * classes",
    ),
)]
pub struct LinearClassifier {
    /// Numbers in a row.
    #[param(range = ">= 1")]
    pub width: usize,
    /// Number of classes.
    #[param(range = ">= 2")]
    pub classes: usize,
    /// Standard deviation of the normal that the weights start from.
    #[param(default = 0.0, range = ">= 0")]
    pub initial_deviation: f64,
}

impl Component for LinearClassifier {
    type State = Linear;

    fn build(&self, cx: &mut Build<'_>) -> Result<Linear> {
        let init = match self.initial_deviation {
            0.0 => Init::Zeros,
            std => Init::Normal { mean: 0.0, std },
        };
        Linear::new(cx, "linear", self.width as i64, self.classes as i64, true, init)
    }

    fn call(
        &self,
        linear: &Linear,
        x: LinearClassifierInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<LinearClassifierOutputs> {
        Ok(LinearClassifierOutputs { logits: linear.forward(x.features)? })
    }
}
