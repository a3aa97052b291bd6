//! What several models think of the same examples, and models that learn it.

use zoo_plugin::prelude::*;

/// Cross-entropy against the classes' probabilities of a teacher, softened by a temperature.
///
/// The teacher's scores t give q = softmax(t / T); an example costs -Σ q_c log softmax(z)_c, in nats. Gradients reach a
/// teacher that is trained; freeze it, or take its scores from an earlier phase, where it should stay.
///
/// # Paper
/// Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015; Schick, Schütze: PET, EACL 2021,
/// section 3.3, where T = 2.
///
/// # Example
/// ```mlm
/// objective distil = language_modelling.soft_cross_entropy(temperature: 2.0)
/// ```
#[component(
    objective,
    name = "language_modelling.soft_cross_entropy",
    inputs(
        logits: "float[M, C]" = "scores of the classes",
        teacher: "float[M, C]" = "the teacher's scores of them",
    ),
    outputs(loss: "float[]" = "sum over the examples, in nats"),
    count_inputs(teacher),
    cost(flops = "9 * M * C", activations = "2 * M * C"),
)]
pub struct SoftCrossEntropy {
    /// T: the teacher's scores are divided by it.
    #[param(default = 2.0, range = "> 0")]
    pub temperature: f64,
}

impl SoftCrossEntropy {
    /// The teacher's probabilities, [M, C].
    ///
    /// # Errors
    /// libtorch's.
    pub fn targets(&self, teacher: &Tensor) -> Result<Tensor> {
        Ok(teacher.f_div_scalar(self.temperature)?.f_softmax(-1, Kind::Float)?)
    }

    /// Two matrices [M, C] to a scalar.
    ///
    /// # Errors
    /// libtorch's.
    pub fn loss(&self, logits: &Tensor, teacher: &Tensor) -> Result<Tensor> {
        let log = logits.f_log_softmax(-1, Kind::Float)?;
        Ok(log.f_mul(&self.targets(teacher)?)?.f_sum(Kind::Float)?.f_neg()?)
    }
}

impl Component for SoftCrossEntropy {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: SoftCrossEntropyInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<SoftCrossEntropyOutputs> {
        Ok(SoftCrossEntropyOutputs { loss: self.loss(x.logits, x.teacher)? })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        let teacher = ports.required("teacher")?.tensor("teacher")?;
        Ok(teacher.size().first().copied().unwrap_or(0) as f64)
    }
}

/// The weighted mean of the scores that two to four models give: PET's ensemble over patterns.
///
/// Weights need not add up to 1; they are divided by their sum. PET weighs a pattern alike with all others, or by its
/// accuracy before training.
///
/// # Paper
/// Schick, Schütze: PET, EACL 2021, section 3.3.
///
/// # Example
/// ```mlm
/// model ensemble = language_modelling.mean_scores(weights: [0.8, 0.6])
/// ```
#[component(
    function,
    name = "language_modelling.mean_scores",
    inputs(
        first: "float[M, C]" = "scores of one model",
        second: "float[M, C]" = "of another",
        third: "float[M, C]"? = "of a third",
        fourth: "float[M, C]"? = "of a fourth",
    ),
    outputs(scores: "float[M, C]" = "their weighted mean"),
    cost(flops = "8 * M * C", activations = "M * C"),
)]
pub struct MeanScores {
    /// A weight for each, in their order; all alike, when empty.
    #[param(default = [])]
    pub weights: Vec<f64>,
}

/// The weighted mean of matrices; all alike without weights.
///
/// # Errors
/// Another number of weights than of matrices, or weights that do not add up to more than 0.
pub fn mean_scores(scores: &[&Tensor], weights: &[f64]) -> Result<Tensor> {
    let all_alike = vec![1.0; scores.len()];
    let weights = if weights.is_empty() { &all_alike } else { weights };
    let sum: f64 = weights.iter().sum();
    let [first, ..] = scores else { return Err(Error::new("no scores are given")) };
    if weights.len() != scores.len() || weights.iter().any(|w| *w < 0.0) || sum <= 0.0 {
        let text = format!("{} scores and the weights {weights:?}", scores.len());
        return Err(Error::new(text).at("weights").help("give each one weight, none below 0, not all 0"));
    }
    let mut mean = first.f_mul_scalar(weights[0] / sum)?;
    for (scores, weight) in scores.iter().zip(weights).skip(1) {
        mean = mean.f_add(&scores.f_mul_scalar(weight / sum)?)?;
    }
    Ok(mean)
}

impl Component for MeanScores {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: MeanScoresInputs<'_>, _: &mut Call<'_>) -> Result<MeanScoresOutputs> {
        let all: Vec<&Tensor> =
            [Some(x.first), Some(x.second), x.third, x.fourth].into_iter().flatten().collect();
        Ok(MeanScoresOutputs { scores: mean_scores(&all, &self.weights)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(tensor: &Tensor, expected: &[f64]) {
        let found: Vec<f64> = Vec::try_from(tensor.to_kind(Kind::Double).reshape([-1])).unwrap();
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {expected:?}");
    }

    #[test]
    fn an_ensemble_is_a_weighted_mean_and_its_pupil_learns_it_softened() {
        let first = Tensor::from_slice(&[2.0_f32, 0.0, 1.0]).reshape([1, 3]);
        let second = Tensor::from_slice(&[0.0_f32, 1.0, 1.0]).reshape([1, 3]);
        let mean = mean_scores(&[&first, &second], &[0.8, 0.6]).unwrap();
        close(&mean, &[1.142_857, 0.428_571, 1.0]);
        let soft = SoftCrossEntropy { temperature: 2.0 };
        close(&soft.targets(&mean).unwrap(), &[0.380_122, 0.265_961, 0.353_917]);
        // Scores that are all alike cost ln 3, whatever the teacher says.
        let flat = Tensor::from_slice(&[4.0_f32, 4.0, 4.0]).reshape([1, 3]);
        close(&soft.loss(&flat, &mean).unwrap(), &[3f64.ln()]);
        close(&mean_scores(&[&first, &second], &[]).unwrap(), &[1.0, 0.5, 1.0]);
        assert_eq!(mean_scores(&[&first, &second], &[1.0]).unwrap_err().at, "weights");
    }
}
