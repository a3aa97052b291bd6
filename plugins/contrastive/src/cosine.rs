//! Cosine similarity.

use zoo_plugin::prelude::*;

/// Rows of length one, float32: [B, hidden] to the same shape. A row of zeros stays one.
pub(crate) fn normalized(x: &Tensor) -> Result<Tensor> {
    let x = x.f_to_kind(Kind::Float)?;
    // The floor keeps the gradient of a zero row finite; no other row is that short.
    let norm = x.f_norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true)?.f_clamp_min(1e-12)?;
    Ok(x.f_div(&norm)?)
}

/// The cosine of the angle between two vectors, row by row.
///
/// Between -1 and 1, in float32 whatever the vectors' precision. A vector of zeros has similarity 0 to
/// every other.
///
/// # Example
/// ```mlm
/// model similarity = contrastive.cosine_similarity()
/// ```
#[component(
    function,
    name = "contrastive.cosine_similarity",
    inputs(
        first: "float[B, hidden]" = "one vector an example",
        second: "float[B, hidden]" = "what it is compared with",
    ),
    outputs(similarity: "float[B]" = "cosine of the two"),
    cost(flops = "6 * B * hidden", activations = "4 * B * hidden"),
)]
pub struct CosineSimilarity;

impl CosineSimilarity {
    /// Two matrices [B, hidden] to [B].
    pub fn similarity(first: &Tensor, second: &Tensor) -> Result<Tensor> {
        let product = normalized(first)?.f_mul(&normalized(second)?)?;
        Ok(product.f_sum_dim_intlist([-1_i64].as_slice(), false, None)?)
    }
}

impl Component for CosineSimilarity {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: CosineSimilarityInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<CosineSimilarityOutputs> {
        Ok(CosineSimilarityOutputs { similarity: Self::similarity(x.first, x.second)? })
    }
}
