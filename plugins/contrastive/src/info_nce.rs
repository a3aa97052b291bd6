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
/// * `positive_in_denominator: false`: equation 1 of Mirror-BERT as printed. Such a loss can be negative;
/// * `groups`, `codes` and `negative_samples` together with `"other_view"` and `"first_view"`: wav2vec 2.0, where
///   the states of masked frames find their quantized frames among others of the same utterance.
///
/// The loss is a sum over anchors; the update divides by their number. Negatives are the examples of the
/// *whole* update, however many parts it is computed in. Softmax and similarities are float32 under
/// autocast too: a temperature of 0.04 makes logits of ±25.
///
/// # Paper
/// van den Oord, Li, Vinyals: Representation Learning with Contrastive Predictive Coding, 2018, equation 4;
/// Chen, Kornblith, Norouzi, Hinton: SimCLR, ICML 2020, equation 1; Liu, Vulić, Korhonen, Collier:
/// Mirror-BERT, EMNLP 2021, equation 1 and the authors' code; Baevski, Zhou, Mohamed, Auli: wav2vec 2.0, NeurIPS 2020,
/// equation 3 and the authors' code, for groups.
///
/// # Example
/// ```mlm
/// objective contrast = contrastive.info_nce(temperature: 0.04, negative_samples: 2)
/// ```
#[component(
    objective,
    name = "contrastive.info_nce",
    inputs(
        first: "float[B, hidden]" = "one vector of every example",
        second: "float[B, hidden]" = "the other vector of the same examples, in the same order",
        groups: "int[B]"? = "only examples of the same group are negatives; all are one group, when absent",
        codes: "int[B]"? = "examples with the same code as the anchor's are no negatives of it",
    ),
    outputs(loss: "float[]" = "sum over the anchors"),
    count_inputs(first),
    whole_update,
    random,
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
    /// Negatives of an anchor, drawn at random without replacement from each view that has them; fewer where there
    /// are no more, and all when absent.
    #[param(range = ">= 1")]
    pub negative_samples: Option<usize>,
}

/// Examples that are compared with each other alone: groups as rows of one table.
struct Groups {
    /// Places of the examples, int[G, L]; padding is place 0.
    places: Tensor,
    /// Flat places of this table that are no padding, in the order of the examples.
    real: Tensor,
    /// True for padding, bool[G, L].
    padding: Tensor,
}

impl Groups {
    /// Groups by their numbers, int[B], in any order.
    fn new(numbers: &Tensor) -> Result<Self> {
        let (device, numbers) =
            (numbers.device(), Vec::<i64>::try_from(&numbers.f_reshape([-1])?.f_to_device(Device::Cpu)?)?);
        let mut rows: Vec<Vec<i64>> = Vec::new();
        let mut known = std::collections::HashMap::new();
        let mut at = Vec::with_capacity(numbers.len());
        for (place, number) in numbers.iter().enumerate() {
            let row = *known.entry(*number).or_insert_with(|| {
                rows.push(Vec::new());
                rows.len() - 1
            });
            at.push((row, rows[row].len()));
            rows[row].push(place as i64);
        }
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let count = rows.len() as i64;
        let padding: Vec<bool> =
            rows.iter().flat_map(|row| (0..longest).map(|place| place >= row.len())).collect();
        let places: Vec<i64> = rows
            .iter()
            .flat_map(|row| (0..longest).map(|place| row.get(place).copied().unwrap_or(0)))
            .collect();
        let real: Vec<i64> = at.into_iter().map(|(row, place)| (row * longest + place) as i64).collect();
        let shape = [count, longest as i64];
        Ok(Self {
            places: Tensor::f_from_slice(&places)?.f_reshape(shape)?.f_to_device(device)?,
            real: Tensor::f_from_slice(&real)?.f_to_device(device)?,
            padding: Tensor::f_from_slice(&padding)?.f_reshape(shape)?.f_to_device(device)?,
        })
    }

    /// Rows [B, ...] as [G, L, ...].
    fn spread(&self, rows: &Tensor) -> Result<Tensor> {
        let shape = [self.places.size().as_slice(), &rows.size()[1..]].concat();
        Ok(rows.f_index_select(0, &self.places.f_reshape([-1])?)?.f_reshape(shape)?)
    }
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
        self.anchor_losses_among(first, second, None, None, temperature)
    }

    /// The same with groups and codes, int[B] each.
    pub fn anchor_losses_among(
        &self,
        first: &Tensor,
        second: &Tensor,
        groups: Option<&Tensor>,
        codes: Option<&Tensor>,
        temperature: f64,
    ) -> Result<Tensor> {
        let (size, _) = first.size2()?;
        if !self.positive_in_denominator
            && (size < 2 || groups.is_some() || codes.is_some() || self.negative_samples.is_some())
        {
            let text = if size < 2 {
                "a single example has no negatives, and the sum over them is empty"
            } else {
                "with groups, codes or samples an example may have no negatives, and the sum over them is empty"
            };
            return Err(Error::new(text).at("positive_in_denominator").help(if size < 2 {
                "give the phase a batch of at least 2"
            } else {
                "leave the positive in the sum"
            }));
        }
        // Products of float32 matrices would be narrowed by autocast.
        let _full_width = Autocast::pause(first.device()).map_err(|e| Error::new(e.to_string()))?;
        let (first, second) = (normalized(first)?, normalized(second)?);
        let Some(numbers) = groups.filter(|_| size > 0) else {
            return self.within(&first, &second, None, codes, temperature);
        };
        let groups = Groups::new(numbers)?;
        let codes = codes.map(|codes| groups.spread(codes)).transpose()?;
        let (first, second) = (groups.spread(&first)?, groups.spread(&second)?);
        let losses = self.within(&first, &second, Some(&groups.padding), codes.as_ref(), temperature)?;
        let of_examples = |losses: &Tensor| losses.f_reshape([-1])?.f_index_select(0, &groups.real);
        let (count, ends) = (groups.padding.size()[0], if self.both_anchors() { 2 } else { 1 });
        let sides: Vec<Tensor> = (0..ends)
            .map(|end| of_examples(&losses.f_narrow(0, end * count, count)?))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Tensor::f_cat(&sides, 0)?)
    }

    /// Losses [.., L] of anchors that are compared within the last but one dimension, vectors [.., L, hidden] of
    /// length 1; both sides one after the other. `padding` is true for what is none, and `codes` are int, both [.., L].
    fn within(
        &self,
        first: &Tensor,
        second: &Tensor,
        padding: Option<&Tensor>,
        codes: Option<&Tensor>,
        temperature: f64,
    ) -> Result<Tensor> {
        let size = first.size()[first.dim() - 2];
        let minus_infinity = f64::NEG_INFINITY;
        // The positive of row i stands in column i of the view opposite to the anchor's.
        let own = Tensor::f_eye(size, (Kind::Bool, first.device()))?;
        let alike =
            codes.map(|codes| codes.f_unsqueeze(-1)?.f_eq_tensor(&codes.f_unsqueeze(-2)?)).transpose()?;
        let no_negative = [alike, padding.map(|padding| padding.f_unsqueeze(-2)).transpose()?]
            .into_iter()
            .flatten()
            .try_fold(own.shallow_clone(), |all, some| all.f_logical_or(&some))?;
        // The columns that are left out of a row's sum.
        let left_out = |shape: &[i64]| -> Result<Tensor> {
            let Some(wanted) = self.negative_samples.filter(|wanted| (*wanted as i64) < size) else {
                return Ok(no_negative.shallow_clone());
            };
            let draws = Tensor::f_rand(shape, (Kind::Float, first.device()))?;
            let draws = draws.f_masked_fill(&no_negative, -1.0)?;
            let (_, drawn) = draws.f_topk(wanted as i64, -1, true, false)?;
            let others = no_negative.f_zeros_like()?.f_expand(shape, false)?.f_logical_not()?;
            Ok(others.f_scatter_value(-1, &drawn, 0)?.f_logical_or(&no_negative)?)
        };
        let one_side = |anchors: &Tensor, others: &Tensor| -> Result<Tensor> {
            let across = anchors.f_matmul(&others.f_transpose(-2, -1)?)?.f_div_scalar(temperature)?;
            let positive = across.f_diagonal(0, -2, -1)?;
            let shape = across.size();
            let mut outside = left_out(&shape)?;
            if self.positive_in_denominator {
                outside = outside.f_logical_and(&own.f_logical_not()?)?;
            }
            let across = across.f_masked_fill(&outside, minus_infinity)?;
            let candidates = if self.negatives == "both_views" {
                let within = anchors.f_matmul(&anchors.f_transpose(-2, -1)?)?.f_div_scalar(temperature)?;
                Tensor::f_cat(&[across, within.f_masked_fill(&left_out(&shape)?, minus_infinity)?], -1)?
            } else {
                across
            };
            Ok(candidates.f_logsumexp([-1_i64].as_slice(), false)?.f_sub(&positive)?)
        };
        let losses = one_side(first, second)?;
        if self.both_anchors() {
            Ok(Tensor::f_cat(&[losses, one_side(second, first)?], 0)?)
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
        let losses = self.anchor_losses_among(x.first, x.second, x.groups, x.codes, temperature)?;
        Ok(InfoNceOutputs { loss: losses.f_sum(Kind::Float)? })
    }

    fn count(&self, _: &(), ports: &Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        let (examples, _) = ports.required("first")?.tensor("first")?.size2()?;
        Ok(self.anchor_count(examples) as f64)
    }
}
