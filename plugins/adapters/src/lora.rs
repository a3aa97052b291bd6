//! Low-rank adaptation.

use crate::sizes;
use zoo_plugin::prelude::*;

/// LoRA: adds a product of two thin matrices to a linear map.
///
/// A site that gives y from x gives `y + alpha / rank · B A dropout(x)`, with A [rank, input] and B [output,
/// rank]. B starts at zero, so that the model is unchanged at first; A starts as a linear layer's weight of
/// PyTorch does, uniform within 1 / √input. The paper adapts queries and values alone. Frozen weights are the
/// recipe's business: a phase trains what its `train` lists.
///
/// # Paper
/// Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen: LoRA, ICLR 2022, section 4.1.
///
/// # Example
/// ```mlm
/// model bert = transformer.masked_lm(vocabulary: 300, layers: 2, hidden: 64)
/// adapter lora = adapters.lora(rank: 8, alpha: 16) on bert.layers[*].attention.{query,value}
/// ```
#[component(
    adapter,
    name = "adapters.lora",
    inputs(x: "float[..., input]" = "what the site read", y: "float[..., output]" = "what it gave"),
    outputs(y: "float[..., output]" = "what it gives instead"),
    parameters,
    random,
)]
pub struct LowRank {
    /// Rank of the change, r.
    #[param(default = 8, range = ">= 1")]
    pub rank: usize,
    /// α: the change is scaled by α / r.
    #[param(default_formula = "2 * rank", range = ">= 0")]
    pub alpha: f64,
    /// Dropout of what the change reads.
    #[param(default = 0.0, range = "[0%, 100%)", kind = "fraction")]
    pub dropout: f64,
    /// Whether the scale is α / √r, which keeps the gradients' size at large ranks (Kalajdzievski, 2023).
    #[param(default = false)]
    pub rank_stabilized: bool,
}

/// A and B of one site.
#[derive(Debug)]
pub struct LowRankFactors {
    /// A, [rank, input].
    pub down: Tensor,
    /// B, [output, rank].
    pub up: Tensor,
}

impl LowRankFactors {
    /// The change of the site's weight as one matrix, `scale · B A`, [output, input]: what is added to it where
    /// a model is saved without its adapter.
    ///
    /// # Errors
    /// libtorch's.
    pub fn merged(&self, scale: f64) -> Result<Tensor> {
        Ok(self.up.f_matmul(&self.down)?.f_mul_scalar(scale)?)
    }
}

impl LowRank {
    /// The factor of the change.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rank_stabilized { rank.sqrt() } else { rank }
    }
}

impl Component for LowRank {
    type State = LowRankFactors;

    fn build(&self, cx: &mut Build<'_>) -> Result<LowRankFactors> {
        let (input, output) = sizes(cx)?;
        let rank = self.rank as i64;
        let bound = 1.0 / (input.max(1) as f64).sqrt();
        Ok(LowRankFactors {
            down: cx.parameter(
                "lora_A.weight",
                &[rank, input],
                Init::Uniform { low: -bound, high: bound },
            )?,
            up: cx.parameter("lora_B.weight", &[output, rank], Init::Zeros)?,
        })
    }

    fn call(
        &self,
        factors: &LowRankFactors,
        x: LowRankInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<LowRankOutputs> {
        let read = dropout(x.x.shallow_clone(), self.dropout, cx)?;
        let change = read.f_linear(&factors.down, None::<&Tensor>)?.f_linear(&factors.up, None::<&Tensor>)?;
        Ok(LowRankOutputs { y: x.y.f_add(&change.f_mul_scalar(self.scale())?)? })
    }
}
