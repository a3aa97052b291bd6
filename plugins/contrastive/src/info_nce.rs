//! The contrastive loss over the examples of a batch.

use crate::cosine::normalized;
use zoo_plugin::prelude::*;
use zoo_torch::modes::Autocast;

/// Contrastive loss with the other examples of the batch as negatives.
///
/// Every example comes as two vectors: two dropout masks, two augmentations, a question and its answer.
/// A vector, the *anchor*, is to be nearer to its partner, the *positive*, than to the vectors of all
/// other examples, the *negatives*: for similarities `s` (cosines divided by the temperature) an anchor
/// costs `-s(positive) + log Σ exp(s)`, summed over its negatives and, unless told otherwise, the positive.
///
/// With its defaults this is NT-Xent: both vectors of an example are anchors, and an anchor's negatives
/// are *both* vectors of the N - 1 other examples. Other forms are a matter of parameters:
///
/// * `negatives: "other_view"`: only the second vectors of other examples for a first vector and the
///   reverse, as CLIP has it;
/// * that and `anchors: "first_view"`: unsupervised SimCSE, and retrieval with in-batch negatives;
/// * `positive_in_denominator: false`: equation 1 of Mirror-BERT as printed. Such a loss can be negative.
///
/// The loss is a sum over anchors; the update divides by their number. Negatives are the examples of the
/// *whole* update, however many parts it is computed in. Softmax and similarities are float32 under
/// autocast too: a temperature of 0.04 makes logits of ±25.
///
/// # Paper
/// van den Oord, Li, Vinyals: Representation Learning with Contrastive Predictive Coding, 2018, equation 4;
/// Chen, Kornblith, Norouzi, Hinton: SimCLR, ICML 2020, equation 1; Liu, Vulić, Korhonen, Collier:
/// Mirror-BERT, EMNLP 2021, equation 1 and the authors' code.
///
/// # Example
/// ```mlm
/// objective contrast = contrastive.info_nce(temperature: 0.04)
/// ```
#[component(
    objective,
    name = "contrastive.info_nce",
    inputs(
        first: "float[B, hidden]" = "one vector of every example",
        second: "float[B, hidden]" = "the other vector of the same examples, in the same order",
    ),
    outputs(loss: "float[]" = "sum over the anchors"),
    count_inputs(first),
    whole_update,
    cost(
        flops = "8 * B * B * hidden + 20 * B * B + 12 * B * hidden",
        activations = "4 * B * hidden + 4 * B * B",
        workspace = "4 * B * hidden + 9 * B * B",
    ),
)]
pub struct InfoNce {
    /// What cosines are divided by: the smaller, the more the nearest negatives count.
    #[param(default = 0.05, range = "> 0")]
    pub temperature: Varying,
    /// Whether the sum under the logarithm has the positive in it, as in the authors' code and most
    /// others.
    #[param(default = true)]
    pub positive_in_denominator: bool,
    /// Whose vectors are pushed away from an anchor: both vectors of every other example, or of those
    /// only the vector from the other side.
    #[param(default = "both_views", one_of("both_views", "other_view"))]
    pub negatives: String,
    /// Which vectors are anchors: both of every example, or only the first.
    #[param(default = "both_views", one_of("both_views", "first_view"))]
    pub anchors: String,
}

impl InfoNce {
    fn both_anchors(&self) -> bool {
        self.anchors == "both_views"
    }

    /// The number of anchors among `examples`.
    pub fn anchor_count(&self, examples: i64) -> i64 {
        if self.both_anchors() { 2 * examples } else { examples }
    }

    /// The loss of every anchor: float32 [2B], those of the first vectors before those of the second,
    /// or [B]. `first` and `second` are [B, hidden].
    pub fn anchor_losses(&self, first: &Tensor, second: &Tensor, temperature: f64) -> Result<Tensor> {
        let (size, _) = first.size2()?;
        let ends = if self.negatives == "both_views" { 2 } else { 1 };
        if !self.positive_in_denominator && size < 2 {
            return Err(Error::new("a single example has no negatives, and the sum over them is empty")
                .at("positive_in_denominator")
                .help("give the phase a batch of at least 2"));
        }
        // Products of float32 matrices would be narrowed by autocast.
        let _full_width = Autocast::pause(first.device()).map_err(|e| Error::new(e.to_string()))?;
        let (first, second) = (normalized(first)?, normalized(second)?);
        // The positive of row i stands in column i of the view opposite to the anchor's.
        let one_side = |anchors: &Tensor, others: &Tensor| -> Result<Tensor> {
            let across = anchors.f_matmul(&others.f_transpose(0, 1)?)?.f_div_scalar(temperature)?;
            let positive = across.f_diagonal(0, 0, 1)?;
            let own = Tensor::f_eye(size, (Kind::Bool, anchors.device()))?;
            let minus_infinity = f64::NEG_INFINITY;
            let across = if self.positive_in_denominator {
                across
            } else {
                across.f_masked_fill(&own, minus_infinity)?
            };
            let candidates = if ends == 2 {
                let within = anchors.f_matmul(&anchors.f_transpose(0, 1)?)?.f_div_scalar(temperature)?;
                Tensor::f_cat(&[across, within.f_masked_fill(&own, minus_infinity)?], 1)?
            } else {
                across
            };
            Ok(candidates.f_logsumexp([1_i64].as_slice(), false)?.f_sub(&positive)?)
        };
        let losses = one_side(&first, &second)?;
        if self.both_anchors() {
            Ok(Tensor::f_cat(&[losses, one_side(&second, &first)?], 0)?)
        } else {
            Ok(losses)
        }
    }
}

impl Component for InfoNce {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: InfoNceInputs<'_>, cx: &mut Call<'_>) -> Result<InfoNceOutputs> {
        let temperature = self.temperature.at("temperature", cx);
        let losses = self.anchor_losses(x.first, x.second, temperature)?;
        Ok(InfoNceOutputs { loss: losses.f_sum(Kind::Float)? })
    }

    fn count(&self, _: &(), ports: &Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        let (examples, _) = ports.required("first")?.tensor("first")?.size2()?;
        Ok(self.anchor_count(examples) as f64)
    }
}
