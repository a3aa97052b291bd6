//! Objectives and a metric.

use std::sync::Mutex;
use zoo_plugin::prelude::*;

/// The sum of squared differences; as many targets as rows of weight 1.
///
/// # Example
/// ```mlm
/// objective squared_error = toy.squared_error()
/// ```
#[component(
    objective,
    name = "toy.squared_error",
    inputs(
        predicted: "float[B]" = "predictions",
        wanted: "float[B]" = "targets",
        weight: "float[B]"? = "0 or 1; ones, when absent",
    ),
    outputs(
        loss: "float[]" = "sum over the targets",
        largest: "float[]" = "the largest difference",
    ),
    count_inputs(wanted, weight),
)]
pub struct SquaredError {}

impl Component for SquaredError {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: SquaredErrorInputs<'_>, _: &mut Call<'_>) -> Result<SquaredErrorOutputs> {
        let difference = x.predicted.f_sub(x.wanted)?;
        let mut squares = difference.f_square()?;
        if let Some(weight) = x.weight {
            squares = squares.f_mul(weight)?;
        }
        Ok(SquaredErrorOutputs {
            loss: squares.f_sum(Kind::Float)?,
            largest: difference.f_abs()?.f_max()?.f_detach()?,
        })
    }

    fn count(&self, _: &(), ports: &Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        match ports.optional("weight") {
            Some(weight) => Ok(weight.tensor("weight")?.f_sum(Kind::Double)?.f_double_value(&[])?),
            None => Ok(ports.required("wanted")?.tensor("wanted")?.size()[0] as f64),
        }
    }
}

/// Squared differences weighted by what the model says: its targets are known only afterwards.
///
/// # Example
/// ```mlm
/// objective weighted_error = toy.weighted_error()
/// ```
#[component(
    objective,
    name = "toy.weighted_error",
    inputs(
        predicted: "float[B]" = "predictions",
        wanted: "float[B]" = "targets",
        importance: "float[B]" = "how much each counts",
    ),
    outputs(loss: "float[]" = "sum over the targets"),
    count_inputs(importance),
)]
pub struct WeightedError {}

impl Component for WeightedError {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: WeightedErrorInputs<'_>, _: &mut Call<'_>) -> Result<WeightedErrorOutputs> {
        let squares = x.predicted.f_sub(x.wanted)?.f_square()?;
        let weight = x.importance.f_detach()?.f_abs()?;
        Ok(WeightedErrorOutputs { loss: squares.f_mul(&weight)?.f_sum(Kind::Float)? })
    }

    fn count(&self, _: &(), ports: &Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        let weight = ports.required("importance")?.tensor("importance")?;
        Ok(weight.f_abs()?.f_sum(Kind::Double)?.f_double_value(&[])?)
    }
}

/// In-batch negatives: every row's partner among all rows of the update.
///
/// # Example
/// ```mlm
/// objective contrast = toy.contrast()
/// ```
#[component(
    objective,
    name = "toy.contrast",
    inputs(a: "float[B, D]" = "vectors", b: "float[B, D]" = "their partners"),
    outputs(
        loss: "float[]" = "sum over the rows",
        right: "bool[B]" = "the partner is the closest",
    ),
    count_inputs(a),
    whole_update,
)]
pub struct Contrast {
    /// Scores are divided by it.
    #[param(default = 0.5, range = "> 0")]
    pub temperature: f64,
}

impl Component for Contrast {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: ContrastInputs<'_>, _: &mut Call<'_>) -> Result<ContrastOutputs> {
        let scores = x.a.f_matmul(&x.b.f_transpose(0, 1)?)?.f_div_scalar(self.temperature)?;
        let own = Tensor::f_arange(scores.size()[0], (Kind::Int64, scores.device()))?;
        let loss = scores.f_log_softmax(1, None::<Kind>)?.f_diagonal(0, 0, 1)?.f_sum(Kind::Float)?.f_neg()?;
        Ok(ContrastOutputs { loss, right: scores.f_argmax(1, false)?.f_eq_tensor(&own)? })
    }

    fn count(&self, _: &(), ports: &Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        Ok(ports.required("a")?.tensor("a")?.size()[0] as f64)
    }
}

/// The root of the mean squared difference over everything seen since the last reset.
///
/// # Example
/// ```mlm
/// metric root_mean_square = toy.root_mean_square()
/// ```
#[component(
    metric,
    name = "toy.root_mean_square",
    inputs(predicted: "float[B]" = "predictions", wanted: "float[B]" = "targets"),
    outputs(value: "real" = "the root" better = "lower"),
    state,
)]
pub struct RootMeanSquare {}

impl Component for RootMeanSquare {
    type State = Mutex<(f64, f64)>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(
        &self,
        state: &Self::State,
        x: RootMeanSquareInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<RootMeanSquareOutputs> {
        let sum = x.predicted.f_sub(x.wanted)?.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        let mut state = state.lock().map_err(|_| Error::new("poisoned"))?;
        *state = (state.0 + sum, state.1 + x.wanted.size()[0] as f64);
        Ok(RootMeanSquareOutputs { value: (state.0 / state.1).sqrt() })
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *state.lock().map_err(|_| Error::new("poisoned"))? = (0.0, 0.0);
        Ok(())
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        let state = state.lock().map_err(|_| Error::new("poisoned"))?;
        Ok((state.0 / state.1).sqrt())
    }

    fn save(&self, state: &Self::State) -> Result<Option<Vec<u8>>> {
        let state = state.lock().map_err(|_| Error::new("poisoned"))?;
        Ok(Some([state.0.to_le_bytes(), state.1.to_le_bytes()].concat()))
    }

    fn load(&self, state: &Self::State, saved: &[u8]) -> Result<()> {
        let number = |range: std::ops::Range<usize>| -> Result<f64> {
            let bytes = saved.get(range).and_then(|bytes| bytes.try_into().ok());
            Ok(f64::from_le_bytes(bytes.ok_or_else(|| Error::new("a state of sixteen bytes"))?))
        };
        *state.lock().map_err(|_| Error::new("poisoned"))? = (number(0..8)?, number(8..16)?);
        Ok(())
    }
}
