//! Components that keep to the ABI and not to what they promise: each fails one check of the
//! conformance suite.

use std::sync::atomic::{AtomicU64, Ordering};
use zoo_plugin::prelude::*;

/// Divides by its own number of targets, so that a split update is another one.
///
/// # Example
/// ```mlm
/// objective bad = misbehaving.mean_loss()
/// ```
#[component(
    objective,
    name = "misbehaving.mean_loss",
    inputs(x: "float[B]" = "numbers", y: "float[B]" = "what they should be"),
    outputs(loss: "float[]" = "the mean of squared differences"),
    count_inputs(y)
)]
pub struct MeanLoss;

impl Component for MeanLoss {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: MeanLossInputs<'_>, _: &mut Call<'_>) -> Result<MeanLossOutputs> {
        Ok(MeanLossOutputs { loss: x.x.f_sub(x.y)?.f_square()?.f_mean(None)? })
    }

    fn count(&self, _: &(), ports: &Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        Ok(ports.required("y")?.tensor("y")?.size()[0] as f64)
    }
}

/// Cuts its gradient in half.
///
/// # Example
/// ```mlm
/// model bad = misbehaving.wrong_gradient()
/// ```
#[component(
    function,
    name = "misbehaving.wrong_gradient",
    inputs(x: "float[B]" = "numbers"),
    outputs(y: "float[B]" = "their squares")
)]
pub struct WrongGradient;

impl Component for WrongGradient {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: WrongGradientInputs<'_>, _: &mut Call<'_>) -> Result<WrongGradientOutputs> {
        Ok(WrongGradientOutputs { y: x.x.f_mul(&x.x.f_detach()?)? })
    }
}

/// Takes the mean over all tokens, padding included.
///
/// # Example
/// ```mlm
/// model bad = misbehaving.unmasked()
/// ```
#[component(
    pooler,
    name = "misbehaving.unmasked",
    inputs(hidden: "float[B, T, H]" = "states", attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding"),
    outputs(embedding: "float[B, H]" = "one vector a sequence")
)]
pub struct Unmasked;

impl Component for Unmasked {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: UnmaskedInputs<'_>, _: &mut Call<'_>) -> Result<UnmaskedOutputs> {
        Ok(UnmaskedOutputs { embedding: x.hidden.f_mean_dim([1_i64].as_slice(), false, None)? })
    }
}

/// Counts its calls and says nothing about a state.
///
/// # Example
/// ```mlm
/// model bad = misbehaving.drifting()
/// ```
#[component(
    function,
    name = "misbehaving.drifting",
    inputs(x: "float[B]" = "numbers"),
    outputs(y: "float[B]" = "the numbers and the number of calls")
)]
pub struct Drifting;

impl Component for Drifting {
    type State = AtomicU64;

    fn build(&self, _: &mut Build<'_>) -> Result<AtomicU64> {
        Ok(AtomicU64::new(0))
    }

    fn call(&self, calls: &AtomicU64, x: DriftingInputs<'_>, _: &mut Call<'_>) -> Result<DriftingOutputs> {
        Ok(DriftingOutputs { y: x.x.f_add_scalar(calls.fetch_add(1, Ordering::Relaxed) as f64)? })
    }
}

/// Says that it draws, and does not.
///
/// # Example
/// ```mlm
/// model bad = misbehaving.sleeper()
/// ```
#[component(
    function,
    name = "misbehaving.sleeper",
    inputs(x: "float[B]" = "numbers"),
    outputs(y: "float[B]" = "the same numbers"),
    random
)]
pub struct Sleeper;

impl Component for Sleeper {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: SleeperInputs<'_>, _: &mut Call<'_>) -> Result<SleeperOutputs> {
        Ok(SleeperOutputs { y: x.x.f_add_scalar(1.0)? })
    }
}

/// Divides by the number of tokens, of which there may be none.
///
/// # Example
/// ```mlm
/// model bad = misbehaving.not_a_number()
/// ```
#[component(
    pooler,
    name = "misbehaving.not_a_number",
    inputs(hidden: "float[B, T, H]" = "states", attention_mask: "int[B, T]" = "1 for tokens, 0 for padding"),
    outputs(embedding: "float[B, H]" = "one vector a sequence")
)]
pub struct NotANumber;

impl Component for NotANumber {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: NotANumberInputs<'_>, _: &mut Call<'_>) -> Result<NotANumberOutputs> {
        let mask = x.attention_mask.f_to_kind(x.hidden.kind())?.f_unsqueeze(-1)?;
        let sum = x.hidden.f_mul(&mask)?.f_sum_dim_intlist([1_i64].as_slice(), false, None)?;
        let count = mask.f_sum_dim_intlist([1_i64].as_slice(), false, None)?;
        Ok(NotANumberOutputs { embedding: sum.f_div(&count)? })
    }
}

/// Takes the mean of its batch away, and does not say that rows see each other.
///
/// # Example
/// ```mlm
/// model bad = misbehaving.neighbour()
/// ```
#[component(
    function,
    name = "misbehaving.neighbour",
    inputs(x: "float[B, N]" = "vectors"),
    outputs(y: "float[B, N]" = "vectors around zero")
)]
pub struct Neighbour;

impl Component for Neighbour {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: NeighbourInputs<'_>, _: &mut Call<'_>) -> Result<NeighbourOutputs> {
        let mean = x.x.f_mean_dim([0_i64].as_slice(), true, None)?;
        Ok(NeighbourOutputs { y: x.x.f_sub(&mean)? })
    }
}

/// Takes documents apart and counts places from the beginning of the row.
///
/// # Example
/// ```mlm
/// model bad = misbehaving.unrestarted()
/// ```
#[component(
    function,
    name = "misbehaving.unrestarted",
    inputs(
        x: "float[B, T]" = "numbers",
        document_ids: "int[B, T]"? = "document of each number; a row is one document, when absent",
    ),
    outputs(y: "float[B, T]" = "numbers, by their places")
)]
pub struct Unrestarted;

impl Component for Unrestarted {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: UnrestartedInputs<'_>, _: &mut Call<'_>) -> Result<UnrestartedOutputs> {
        let places = Tensor::f_arange(x.x.size()[1], (x.x.kind(), x.x.device()))?;
        let weighted = x.x.f_mul(&places)?;
        Ok(UnrestartedOutputs {
            y: match x.document_ids {
                Some(documents) => weighted.f_mul(&documents.f_gt(0)?)?,
                None => weighted,
            },
        })
    }
}

/// Lets the gradient of a document through to the others in its row.
///
/// # Example
/// ```mlm
/// model bad = misbehaving.across_documents()
/// ```
#[component(
    function,
    name = "misbehaving.across_documents",
    inputs(
        x: "float[B, T]" = "numbers",
        document_ids: "int[B, T]"? = "document of each number; a row is one document, when absent",
    ),
    outputs(y: "float[B, T]" = "numbers that see the others in their gradient alone")
)]
pub struct AcrossDocuments;

impl Component for AcrossDocuments {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: AcrossDocumentsInputs<'_>, _: &mut Call<'_>) -> Result<AcrossDocumentsOutputs> {
        let mean = x.x.f_mean_dim([1_i64].as_slice(), true, None)?;
        // Nothing in value; in the gradient, the mean of the row.
        let leak = mean.f_sub(&mean.f_detach()?)?;
        Ok(AcrossDocumentsOutputs { y: x.x.f_add(&leak)? })
    }
}
