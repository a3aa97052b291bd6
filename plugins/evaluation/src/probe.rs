//! What a linear model finds in features.

use crate::shares::locked;
use std::sync::Mutex;
use zoo_plugin::prelude::*;

/// Features and classes of an evaluation so far.
#[derive(Debug, Default)]
pub struct Examples {
    features: Vec<Tensor>,
    labels: Vec<i64>,
}

/// Accuracy of a ridge regression on frozen features.
///
/// The first `fitted` examples of the evaluation train it, the others test it; examples with a class below 0 are left
/// out of both, so that states of tokens can be probed of which some have no label. Features are brought to mean 0 and
/// variance 1 over the former; one-hot classes, less their mean, are regressed on them with a penalty of `penalty`
/// times the squared weights; the largest prediction is the class.
///
/// # Paper
/// Alain, Bengio: Understanding Intermediate Layers using Linear Classifier Probes, 2016.
///
/// # Example
/// ```mlm
/// metric probe = evaluation.ridge_probe(fitted: 3)
/// ```
#[component(
    metric,
    name = "evaluation.ridge_probe",
    inputs(
        features: "float[..., hidden]" = "one vector an example",
        labels: "int[...]" = "its class, from 0; below 0 for none",
    ),
    outputs(value: "real"? = "share of the examples that the probe gets right" better = "higher"),
    state,
)]
pub struct RidgeProbe {
    /// Examples that train the probe.
    #[param(range = ">= 1")]
    pub fitted: usize,
    /// Penalty on squared weights.
    #[param(default = 1.0, range = "> 0")]
    pub penalty: f64,
}

impl Examples {
    /// Adds rows `[..., hidden]` and their classes, those that have one.
    ///
    /// # Errors
    ///
    /// As many classes as rows are needed; libtorch's.
    pub fn add(&mut self, features: &Tensor, labels: &Tensor) -> Result<()> {
        let size = features.size().last().copied().unwrap_or(1);
        let features = features.f_detach()?.f_reshape([-1, size])?.f_to_device(Device::Cpu)?;
        let labels = labels.f_reshape([-1])?.f_to_device(Device::Cpu)?;
        if labels.size() != features.size()[..1] {
            let text = format!("{} vectors and {} classes", features.size()[0], labels.numel());
            return Err(Error::new(text).at("in.labels"));
        }
        // Selecting copies: a view would keep all that it is a view of.
        let chosen = labels.f_ge(0)?.f_nonzero()?.f_reshape([-1])?;
        self.features.push(features.f_index_select(0, &chosen)?);
        self.labels.extend(Vec::<i64>::try_from(&labels.f_index_select(0, &chosen)?)?);
        Ok(())
    }
}

impl RidgeProbe {
    /// The accuracy on the examples after the first `fitted`.
    ///
    /// # Errors
    ///
    /// No example is left to test.
    pub fn accuracy(&self, examples: &Examples) -> Result<f64> {
        let count = examples.labels.len();
        if count <= self.fitted {
            let text = format!("{count} examples came, of which {} train the probe", self.fitted);
            return Err(Error::new(text).at("fitted").help("evaluate on more examples, or fit fewer"));
        }
        let (fitted, rest) = (self.fitted as i64, (count - self.fitted) as i64);
        let features = Tensor::f_cat(&examples.features, 0)?.f_to_kind(Kind::Double)?;
        let classes = Tensor::f_from_slice(&examples.labels)?;
        let own = features.f_narrow(0, 0, fitted)?;
        let mean = own.f_mean_dim([0_i64].as_slice(), true, Kind::Double)?;
        let deviation = own.f_var_dim([0_i64].as_slice(), false, true)?.f_add_scalar(1e-12)?.f_sqrt()?;
        let scaled = features.f_sub(&mean)?.f_div(&deviation)?;
        let own = scaled.f_narrow(0, 0, fitted)?;
        let number = examples.labels.iter().max().map_or(1, |class| class + 1);
        let targets = classes.f_narrow(0, 0, fitted)?.f_one_hot(number)?.f_to_kind(Kind::Double)?;
        let prior = targets.f_mean_dim([0_i64].as_slice(), true, Kind::Double)?;
        let size = features.size2()?.1;
        let penalty = Tensor::f_eye(size, (Kind::Double, Device::Cpu))?.f_mul_scalar(self.penalty)?;
        let gram = own.f_transpose(0, 1)?.f_matmul(&own)?.f_add(&penalty)?;
        let weights =
            Tensor::f_linalg_solve(&gram, &own.f_transpose(0, 1)?.f_matmul(&targets.f_sub(&prior)?)?, true)?;
        let scores = scaled.f_narrow(0, fitted, rest)?.f_matmul(&weights)?.f_add(&prior)?;
        let right = scores.f_argmax(1, false)?.f_eq_tensor(&classes.f_narrow(0, fitted, rest)?)?;
        Ok(f64::try_from(right.f_sum(Kind::Double)?)? / rest as f64)
    }
}

impl Component for RidgeProbe {
    type State = Mutex<Examples>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(
        &self,
        state: &Self::State,
        x: RidgeProbeInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<RidgeProbeOutputs> {
        locked(state).add(x.features, x.labels)?;
        // Of all examples together: it is there when the evaluation is through.
        Ok(RidgeProbeOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        self.accuracy(&locked(state))
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *locked(state) = Examples::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]
    use super::*;

    fn examples(noise: f64) -> Examples {
        let mut examples = Examples::default();
        for part in 0..6 {
            let labels: Vec<i64> = (0..10).map(|i| (i + part) % 3).collect();
            let labels = Tensor::from_slice(&labels);
            let clean = labels.one_hot(3).to_kind(Kind::Double) * 5.0 + 2.0;
            let wave =
                (Tensor::arange(30, (Kind::Double, Device::Cpu)) * 1.7 + part as f64).sin().view([10, 3]);
            examples.add(&(clean + wave * noise), &labels).unwrap();
        }
        examples
    }

    #[test]
    fn what_is_linear_is_found() {
        let probe = RidgeProbe { fitted: 20, penalty: 1.0 };
        assert_eq!(probe.accuracy(&examples(0.1)).unwrap(), 1.0);
        // Where noise is all there is to see, one class in three is right.
        assert!(probe.accuracy(&examples(1e6)).unwrap() < 0.7);
    }

    #[test]
    fn tokens_without_a_class_are_left_out() {
        let mut some = Examples::default();
        let labels = Tensor::from_slice(&[0_i64, -100, 1, -1, 0, 1]).view([2, 3]);
        some.add(&labels.unsqueeze(-1).to_kind(Kind::Float), &labels).unwrap();
        assert_eq!(some.labels, [0, 1, 0, 1]);
        assert_eq!(RidgeProbe { fitted: 2, penalty: 0.1 }.accuracy(&some).unwrap(), 1.0);
        assert_eq!(
            some.add(&Tensor::zeros([3, 2], (Kind::Float, Device::Cpu)), &labels).unwrap_err().at,
            "in.labels"
        );
    }

    #[test]
    fn something_must_be_left_to_test() {
        let probe = RidgeProbe { fitted: 60, penalty: 1.0 };
        let error = probe.accuracy(&examples(0.1)).unwrap_err();
        assert!(error.message.contains("60 examples came"), "{error:?}");
    }
}
