//! Bottleneck adapters.

use crate::sizes;
use zoo_plugin::prelude::*;

/// A narrow network behind a block: `y + W_up f(W_down y)`.
///
/// With biases; W_up starts at zero, so that the model is unchanged at first (and W_down has no gradient in
/// the first update). Houlsby et al. put one behind attention and one behind the feed-forward block of every
/// layer, Pfeiffer et al. behind the feed-forward block alone: that is the choice of sites.
///
/// # Paper
/// Houlsby et al.: Parameter-Efficient Transfer Learning for NLP, ICML 2019, section 2.1; Pfeiffer, Vulić,
/// Gurevych, Ruder: MAD-X, EMNLP 2020, section 5.1.
///
/// # Example
/// As Pfeiffer et al. place it.
/// ```mlm
/// model bert = transformer.masked_lm(vocabulary: 300, layers: 2, hidden: 64)
/// adapter pfeiffer = adapters.bottleneck(reduction: 16) on bert.layers[*].feed_forward.outer
/// ```
#[component(
    adapter,
    name = "adapters.bottleneck",
    inputs(x: "float[..., input]" = "what the site read", y: "float[..., output]" = "what it gave"),
    outputs(y: "float[..., output]" = "what it gives instead"),
    parameters,
)]
pub struct Bottleneck {
    /// How many times narrower than the site's output the bottleneck is, rounded down.
    #[param(default = 16, range = ">= 1")]
    pub reduction: usize,
    /// Size of the bottleneck; by `reduction`, when absent.
    #[param(range = ">= 1")]
    pub size: Option<usize>,
    /// The function in the bottleneck.
    #[param(default = "relu", one_of("relu", "gelu"))]
    pub activation: String,
    /// Standard deviation of the normal that W_down starts from.
    #[param(default = 0.02, range = ">= 0")]
    pub initial_deviation: f64,
}

/// The two maps of one site.
#[derive(Debug)]
pub struct BottleneckParts {
    down: Linear,
    up: Linear,
}

impl Component for Bottleneck {
    type State = BottleneckParts;

    fn build(&self, cx: &mut Build<'_>) -> Result<BottleneckParts> {
        let (_, output) = sizes(cx)?;
        let size = self.size.unwrap_or(output as usize / self.reduction) as i64;
        if size < 1 {
            let text = format!("a reduction of {} leaves nothing of a size of {output}", self.reduction);
            return Err(Error::new(text).at("reduction").help("choose a smaller one, or give the `size`"));
        }
        let init = Init::Normal { mean: 0.0, std: self.initial_deviation };
        Ok(BottleneckParts {
            down: Linear::new(cx, "down", output, size, true, init)?,
            up: Linear::new(cx, "up", size, output, true, Init::Zeros)?,
        })
    }

    fn call(
        &self,
        parts: &BottleneckParts,
        x: BottleneckInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<BottleneckOutputs> {
        let narrow = parts.down.forward(x.y)?;
        let narrow = if self.activation == "gelu" { narrow.f_gelu("none")? } else { narrow.f_relu()? };
        Ok(BottleneckOutputs { y: x.y.f_add(&parts.up.forward(&narrow)?)? })
    }
}
