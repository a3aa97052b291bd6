//! Cosines that are to have given values.

use crate::cosine::CosineSimilarity;
use zoo_plugin::prelude::*;

/// Squared error of the cosine of two vectors: (cos(a, b) - t)², summed over the pairs.
///
/// With targets of 1 for two texts of a class and 0 for texts of two it is what SetFit tunes a sentence encoder with;
/// with graded targets it learns from scores of similarity.
///
/// # Paper
/// Reimers, Gurevych: Sentence-BERT, EMNLP 2019, section 3; Tunstall et al.: SetFit, 2022, section 3.
///
/// # Example
/// ```mlm
/// objective pairs = contrastive.cosine_regression()
/// ```
#[component(
    objective,
    name = "contrastive.cosine_regression",
    inputs(
        first: "float[B, hidden]" = "one vector an example",
        second: "float[B, hidden]" = "what it is compared with",
        target: "float[B]" = "the cosine that the two shall have",
    ),
    outputs(loss: "float[]" = "sum over the pairs"),
    count_inputs(target),
    cost(flops = "9 * B * hidden", activations = "4 * B * hidden"),
)]
pub struct CosineRegression {}

impl CosineRegression {
    /// Two matrices [B, hidden] and targets [B] to a scalar.
    ///
    /// # Errors
    /// libtorch's.
    pub fn loss(first: &Tensor, second: &Tensor, target: &Tensor) -> Result<Tensor> {
        let cosine = CosineSimilarity::similarity(first, second)?;
        Ok(cosine.f_sub(&target.f_to_kind(Kind::Float)?)?.f_square()?.f_sum(Kind::Float)?)
    }
}

impl Component for CosineRegression {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: CosineRegressionInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<CosineRegressionOutputs> {
        Ok(CosineRegressionOutputs { loss: Self::loss(x.first, x.second, x.target)? })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        Ok(ports.required("target")?.tensor("target")?.numel() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_held_against_their_targets() {
        // Cosines 1, 0 and 3/5.
        let first = Tensor::from_slice(&[2.0_f32, 0.0, 1.0, 0.0, 1.0, 0.0]).reshape([3, 2]);
        let second = Tensor::from_slice(&[5.0_f32, 0.0, 0.0, 3.0, 3.0, 4.0]).reshape([3, 2]);
        let target = Tensor::from_slice(&[1.0_f32, 1.0, 0.5]);
        let loss = CosineRegression::loss(&first, &second, &target).unwrap();
        assert!((f64::try_from(&loss).unwrap() - (0.0 + 1.0 + 0.01)).abs() < 1e-6);
    }
}
