//! A model beside the numbers that its makers' program computed: outputs, hidden states, loss, and
//! the gradient of every parameter.

use crate::model::{Head, Model};
use crate::{Error, Result};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use tch::{Device, Kind, Reduction, Tensor};
use zoo_host::Value;
use zoo_torch::modes::Autocast;

/// In what precision the model is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// All in float32.
    Float32,
    /// Weights in float32, products in bfloat16, as a recipe's `precision: bf16` trains.
    Bfloat16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bf16",
        })
    }
}

/// Largest errors that count as equal.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// In what precision.
    pub precision: Precision,
    /// Of outputs: absolute, or relative to the tensor's largest value where that exceeds 1.
    pub output: f64,
    /// Of the loss, relative.
    pub loss: f64,
    /// Of gradients: in float32 relative to each tensor's largest value, in bfloat16 of the difference's
    /// Euclidean norm relative to the tensor's.
    pub gradient: f64,
}

/// Float32, whose rounding is far below these.
impl Default for Tolerance {
    fn default() -> Self {
        Self { precision: Precision::Float32, output: 2e-5, loss: 1e-5, gradient: 1e-4 }
    }
}

/// Largest relative error of one rounding to bfloat16, which has 8 digits.
const ROUNDING: f64 = 1.0 / 256.0;

/// How often a number is rounded to bfloat16 on the longest way through a model.
///
/// A product rounds both operands and its result, a function after it once more. That is 14 times in a
/// layer: query 3 (state, weight, result), scores 1, shares 1, context 1, output 2 (weight, result), and
/// in the feed-forward block 3, the activation 1, 2. Attention to another text adds 8; a conformer's second
/// feed-forward block and its convolutions 14. Embeddings and heads are 8 together.
fn roundings(config: &Map<String, Json>) -> f64 {
    let layers = |keys: &[&str]| keys.iter().find_map(|key| config.get(*key)?.as_f64()).unwrap_or(0.0);
    let inner = |key: &str| config.get(key).and_then(Json::as_object).map_or(0.0, roundings);
    let first = layers(&["num_hidden_layers", "n_layer", "num_layers", "encoder_layers"]);
    let per_layer = if config.contains_key("conv_depthwise_kernel_size") { 28.0 } else { 14.0 };
    let mut second = 22.0 * layers(&["num_decoder_layers", "decoder_layers"]);
    if second == 0.0 && config.contains_key("decoder_start_token_id") {
        second = 22.0 * first;
    }
    let decoder = 14.0 * layers(&["decoder_num_hidden_layers"]);
    per_layer * first + second + decoder + inner("text_config") + inner("vision_config") + 8.0
}

/// Whether a function of the model has a kink.
fn kinked(config: &Map<String, Json>) -> bool {
    let key = |key: &str| key.contains("act") || key == "feed_forward_proj";
    config.iter().any(|(name, value)| match value {
        Json::String(value) => key(name) && value.contains("relu"),
        Json::Object(inner) => kinked(inner),
        _ => false,
    })
}

impl Tolerance {
    /// What bfloat16 explains in a model of that configuration.
    ///
    /// R roundings of at most 2⁻⁸ each, which know nothing of each other, add up to 2⁻⁸ √R. Backward
    /// each product becomes two, so that a gradient has seen 3 R of them. A ReLU adds to that: of inputs
    /// whose error is a share e of their spread, about 2 φ(0) e = 0.8 e change their side, and what
    /// passes there is all or nothing, an error √(0.8 e) of the gradient's norm.
    ///
    /// On the 27 reference models, torch's own autocast on the CPU, beside itself in float32, has errors of
    /// 0.001 to 0.015 in outputs, up to 0.008 in losses, and 0.006 to 0.038 in gradients (T5, which has
    /// ReLUs: 0.12); this says 0.023 to 0.036, and 0.041 to 0.062 (T5: 0.17).
    pub fn bfloat16(config: &Map<String, Json>) -> Self {
        let roundings = roundings(config);
        let output = ROUNDING * roundings.sqrt();
        let smooth = ROUNDING * (3.0 * roundings).sqrt();
        let gradient = if kinked(config) { smooth.max((0.8 * output).sqrt()) } else { smooth };
        Self { precision: Precision::Bfloat16, output, loss: output, gradient }
    }

    /// That of a precision.
    pub fn of(precision: Precision, model: &Model) -> Self {
        match precision {
            Precision::Float32 => Self::default(),
            Precision::Bfloat16 => Self::bfloat16(model.config()),
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An output or a hidden state.
    Output,
    /// The loss.
    Loss,
    /// The gradient of a parameter.
    Gradient,
}

/// One comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What is compared.
    pub part: Part,
    /// The output, or the parameter.
    pub name: String,
    /// The error; infinite where a tensor is missing, has another shape, or is not finite.
    pub error: f64,
    /// The error that is allowed.
    pub tolerance: f64,
    /// Why the error is infinite; empty else.
    pub reason: String,
}

impl Comparison {
    /// Whether the error is allowed.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// All comparisons of a model.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order outputs, loss, gradients.
    pub comparisons: Vec<Comparison>,
}

impl Report {
    /// Whether every error is allowed, and there was something to compare.
    pub fn passed(&self) -> bool {
        !self.comparisons.is_empty() && self.comparisons.iter().all(Comparison::passed)
    }

    /// The comparison with the largest error of its part.
    pub fn worst(&self, part: Part) -> Option<&Comparison> {
        self.comparisons.iter().filter(|c| c.part == part).max_by(|a, b| a.error.total_cmp(&b.error))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, c: &Comparison, what: &str| {
            let verdict = if c.passed() { "equal" } else { "DIFFERENT" };
            write!(f, "{what:<44} {:>10.3e}  of {:.1e}  {verdict}", c.error, c.tolerance)?;
            if !c.reason.is_empty() {
                write!(f, ": {}", c.reason)?;
            }
            writeln!(f)
        };
        for c in self.comparisons.iter().filter(|c| c.part != Part::Gradient) {
            line(f, c, &c.name)?;
        }
        let gradients: Vec<_> = self.comparisons.iter().filter(|c| c.part == Part::Gradient).collect();
        if let Some(worst) = self.worst(Part::Gradient) {
            line(f, worst, &format!("gradients of {} parameters", gradients.len()))?;
            if worst.passed() {
                writeln!(f, "  the largest error is that of {}", worst.name)?;
            }
        }
        for c in gradients.iter().filter(|c| !c.passed()) {
            line(f, c, &format!("  {}", c.name))?;
        }
        Ok(())
    }
}

fn narrow(error: zoo_torch::Error) -> Error {
    Error::Unknown(format!("the model cannot be computed in bfloat16: {error}"))
}

fn norm(tensor: &Tensor) -> Result<f64> {
    Ok(f64::try_from(tensor.f_to_kind(Kind::Double)?.f_norm()?)?)
}

fn largest(tensor: &Tensor) -> Result<f64> {
    if tensor.numel() == 0 {
        return Ok(0.0);
    }
    Ok(f64::try_from(tensor.f_abs()?.f_max()?.f_to_kind(Kind::Double)?)?)
}

fn compare(
    part: Part,
    name: &str,
    ours: Option<&Tensor>,
    theirs: &Tensor,
    tolerance: f64,
) -> Result<Comparison> {
    let mut made =
        Comparison { part, name: name.to_owned(), error: f64::INFINITY, tolerance, reason: String::new() };
    let Some(ours) = ours else {
        "the model has none".clone_into(&mut made.reason);
        return Ok(made);
    };
    if ours.size() != theirs.size() {
        // Scores of masked places come flat.
        if ours.numel() != theirs.numel() || part != Part::Output {
            made.reason = format!("it is {:?} and should be {:?}", ours.size(), theirs.size());
            return Ok(made);
        }
    }
    let theirs = theirs.f_to_kind(Kind::Double)?;
    let ours =
        ours.f_detach()?.f_to_kind(Kind::Double)?.f_to_device(theirs.device())?.f_reshape(theirs.size())?;
    let error = largest(&ours.f_sub(&theirs)?)?;
    if !error.is_finite() {
        "it holds numbers that are not finite".clone_into(&mut made.reason);
        return Ok(made);
    }
    let size = largest(&theirs)?;
    made.error = match part {
        Part::Output => error / size.max(1.0),
        // A gradient of nothing but zeros has no size to be compared with.
        Part::Loss | Part::Gradient => error / if size > 0.0 { size } else { 1.0 },
    };
    Ok(made)
}

/// A gradient that is all below this share of the model's largest is nothing but rounding: 8 units in
/// the last place of float32.
const NOISE: f64 = 8.0 * 1.1920929e-7;

/// Cross entropy over the last dimension of scores, of targets that are not -100.
fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let classes = logits.size().last().copied().unwrap_or(1);
    Ok(logits.f_reshape([-1, classes])?.f_cross_entropy_loss(
        &labels.f_reshape([-1])?,
        None::<&Tensor>,
        Reduction::Mean,
        -100,
        0.0,
    )?)
}

/// The loss that transformers computes from these labels.
fn loss(model: &Model, logits: &Tensor, labels: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    match model.head() {
        Head::CausalLm | Head::VisionLanguage => {
            let length = logits.size3()?.1;
            cross_entropy(&logits.f_narrow(1, 0, length - 1)?, &labels.f_narrow(1, 1, length - 1)?)
        }
        Head::ReplacedToken => {
            let labels = labels.f_to_kind(Kind::Float)?;
            let all =
                logits.f_binary_cross_entropy_with_logits::<Tensor>(&labels, None, None, Reduction::None)?;
            match mask {
                None => Ok(all.f_mean(Kind::Float)?),
                Some(mask) => {
                    let weights = mask.f_to_kind(Kind::Float)?;
                    Ok(all.f_mul(&weights)?.f_sum(Kind::Float)?.f_div(&weights.f_sum(Kind::Float)?)?)
                }
            }
        }
        Head::SequenceClassifier => {
            let kind = model.config().get("problem_type").and_then(|v| v.as_str());
            match kind {
                Some("regression") => Ok(logits
                    .f_reshape([-1])?
                    .f_mse_loss(&labels.f_reshape([-1])?.f_to_kind(Kind::Float)?, Reduction::Mean)?),
                Some("multi_label_classification") => Ok(logits
                    .f_binary_cross_entropy_with_logits::<Tensor>(
                        &labels.f_to_kind(Kind::Float)?,
                        None,
                        None,
                        Reduction::Mean,
                    )?),
                _ => cross_entropy(logits, labels),
            }
        }
        _ => cross_entropy(logits, labels),
    }
}

/// The loss of hidden patches: of their pixels where there are some to predict, else of their labels.
fn masked_patches(
    logits: &Tensor,
    mask: Option<&Tensor>,
    targets: Option<&Tensor>,
    labels: Option<&Tensor>,
) -> Result<Option<Tensor>> {
    let Some(mask) = mask else { return Ok(None) };
    if let Some(targets) = targets {
        let errors =
            logits.f_sub(targets)?.f_square()?.f_mean_dim([-1_i64].as_slice(), false, Kind::Float)?;
        let mask = mask.f_to_kind(Kind::Float)?;
        let sum = errors.f_mul(&mask)?.f_sum(Kind::Float)?;
        return Ok(Some(sum.f_div(&mask.f_sum(Kind::Float)?)?));
    }
    let Some(labels) = labels else { return Ok(None) };
    let classes = logits.size().last().copied().unwrap_or(1);
    let places = mask.f_reshape([-1])?.f_nonzero()?.f_squeeze_dim(1)?;
    let hidden = logits.f_reshape([-1, classes])?.f_index_select(0, &places)?;
    Ok(Some(cross_entropy(&hidden, labels)?))
}

/// The loss of letters (Graves et al., 2006): labels below 0 are padding.
fn letters(model: &Model, logits: &Tensor, labels: &Tensor, mask: Option<&Tensor>) -> Result<Option<Tensor>> {
    let Some(mask) = mask else { return Ok(None) };
    let count = |t: &Tensor| t.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64);
    let said = labels.f_ge(0)?;
    let whole = |key: &str| model.config().get(key).and_then(|v| v.as_i64());
    let reduction = match model.config().get("ctc_loss_reduction").and_then(|v| v.as_str()) {
        Some("mean") => Reduction::Mean,
        _ => Reduction::Sum,
    };
    let zero = model.config().get("ctc_zero_infinity").and_then(|v| v.as_bool()).unwrap_or(false);
    Ok(Some(Tensor::f_ctc_loss_tensor(
        &logits.f_log_softmax(-1, Kind::Float)?.f_transpose(0, 1)?,
        &labels.f_masked_select(&said)?,
        &count(mask)?,
        &count(&said)?,
        whole("pad_token_id").unwrap_or(0),
        reduction,
        zero,
    )?))
}

/// What transformers 5 calls a parameter in memory, which files call by an older name.
const RENAMED: &[(&str, &str)] = &[
    ("decoder.decoder_encoder.layer.", "decoder.decoder_layers."),
    ("encoder.layer.", "layers."),
    ("encoder.relative_position_bias.", "shared_position_bias."),
    ("attention.attention.relative_position_bias.", "relative_position_bias."),
    ("attention.attention.query.", "attention.q_proj."),
    ("attention.attention.key.", "attention.k_proj."),
    ("attention.attention.value.", "attention.v_proj."),
    ("attention.output.dense.", "attention.o_proj."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
];

/// The name that transformers 5 has in memory for a parameter of a file.
pub fn renamed(name: &str) -> String {
    RENAMED.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// The model's port for an input of transformers.
fn port(name: &str) -> &str {
    match name {
        "input_ids" => "ids",
        "token_type_ids" => "segment_ids",
        "input_features" => "sound",
        other => other,
    }
}

/// Compares the model with the oracle file: `in.*` are its inputs, `out.*` outputs, `loss`, and
/// `grad.*` gradients by parameter.
///
/// # Errors
/// A file that cannot be read, and everything that a call can end in.
pub fn run(model: &Model, oracle: &Path, device: Device, tolerance: Tolerance) -> Result<Report> {
    let tensors = zoo_host::read_weights(oracle)
        .map_err(|e| Error::File { path: oracle.display().to_string(), reason: e.to_string() })?;
    let mut oracle: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, tensor) in tensors {
        oracle.insert(name, tensor.f_to_device(device)?);
    }
    let mut inputs: Vec<(&str, Value)> = Vec::new();
    for (name, tensor) in &oracle {
        match name.strip_prefix("in.") {
            Some("labels") if model.head() == Head::Seq2Seq => {
                inputs.push(("labels", Value::Tensor(tensor.shallow_clone())));
            }
            None | Some("labels" | "probe") => {}
            // Samples are frames of size 1.
            Some("input_values") => inputs.push(("sound", Value::Tensor(tensor.f_unsqueeze(-1)?))),
            Some(name) => inputs.push((port(name), Value::Tensor(tensor.shallow_clone()))),
        }
    }
    let borrowed: Vec<(&str, &Value)> = inputs.iter().map(|(name, value)| (*name, value)).collect();
    let mut wanted = vec!["hidden", "hidden_states"];
    if !matches!(model.head(), Head::Encoder | Head::VisionEncoder | Head::SpeechEncoder) {
        wanted.push("logits");
    } else if oracle.contains_key("out.pooler_output") {
        wanted.push("pooled");
    }
    if model.head() == Head::Seq2Seq {
        wanted.push("encoder_hidden_states");
    }
    if model.head() == Head::Ctc {
        wanted.push("mask");
    }
    if model.head() == Head::MaskedImage {
        // Pixels are their own labels.
        wanted.push("mask");
        if !oracle.contains_key("in.labels") {
            wanted.push("targets");
        }
    }
    let region = match tolerance.precision {
        Precision::Float32 => None,
        Precision::Bfloat16 => Some(Autocast::enter(device, Kind::BFloat16).map_err(narrow)?),
    };
    let mut outputs = model.call(&borrowed, &wanted, true)?;
    // The loss is computed in float32, as in training.
    drop(region);
    let mut single = |name: &str| -> Result<Option<Tensor>> {
        Ok(outputs.take_tensor(name).map(|tensor| tensor.f_to_kind(Kind::Float)).transpose()?)
    };
    let (hidden, logits, pooled) = (single("hidden")?, single("logits")?, single("pooled")?);
    let mask = outputs.take_tensor("mask");
    let targets = outputs.take_tensor("targets");
    let mut list = |name: &str| -> Vec<Tensor> {
        match outputs.take(name) {
            Some(Value::List(list)) => {
                list.into_iter().filter_map(|v| v.tensor().map(Tensor::shallow_clone)).collect()
            }
            Some(Value::Tensor(single)) => vec![single],
            _ => Vec::new(),
        }
    };
    let (first, second) = (list("hidden_states"), list("encoder_hidden_states"));
    // Of two texts, what is compared as `hidden_states` is the encoder's.
    let (states, decoder_states) =
        if model.head() == Head::Seq2Seq { (second, first) } else { (first, second) };
    let mut report = Report::default();
    for (full, theirs) in &oracle {
        let Some(name) = full.strip_prefix("out.") else { continue };
        let ours = match name {
            "logits" => logits.as_ref(),
            "last_hidden_state" => hidden.as_ref(),
            "pooler_output" => pooled.as_ref(),
            _ => match name.rsplit_once('.') {
                Some(("hidden_states", i)) => i.parse::<usize>().ok().and_then(|i| states.get(i)),
                Some(("decoder_hidden_states", i)) => {
                    i.parse::<usize>().ok().and_then(|i| decoder_states.get(i))
                }
                _ => None,
            },
        };
        report.comparisons.push(compare(Part::Output, name, ours, theirs, tolerance.output)?);
    }
    let lead = logits.as_ref().or(hidden.as_ref());
    let computed = match (lead, oracle.get("in.labels"), oracle.get("in.probe")) {
        (Some(lead), labels, _) if model.head() == Head::MaskedImage => {
            masked_patches(lead, mask.as_ref(), targets.as_ref(), labels)?
        }
        (Some(lead), Some(labels), _) if model.head() == Head::Ctc => {
            letters(model, lead, labels, mask.as_ref())?
        }
        (Some(lead), Some(labels), _) => Some(loss(model, lead, labels, oracle.get("in.attention_mask"))?),
        (Some(lead), None, Some(probe)) => Some(lead.f_mul(probe)?.f_sum(Kind::Float)?),
        _ => None,
    };
    if let (Some(computed), Some(theirs)) = (computed, oracle.get("loss")) {
        let ours = computed.f_reshape(theirs.size())?;
        report.comparisons.push(compare(Part::Loss, "loss", Some(&ours), theirs, tolerance.loss)?);
        computed.f_backward()?;
        gradients(model, &oracle, tolerance, &mut report)?;
    }
    Ok(report)
}

fn gradients(
    model: &Model,
    oracle: &BTreeMap<String, Tensor>,
    tolerance: Tolerance,
    report: &mut Report,
) -> Result<()> {
    let mut ours: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, parameter) in model.parameters() {
        let gradient = parameter.tensor.grad();
        if gradient.defined() {
            ours.insert(name, gradient);
        }
    }
    let theirs: Vec<(&str, &Tensor)> =
        oracle.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("grad.")?, tensor))).collect();
    let present: BTreeMap<String, &Tensor> =
        ours.iter().map(|(name, gradient)| (renamed(name), gradient)).collect();
    let narrow = tolerance.precision == Precision::Bfloat16;
    let mut greatest: f64 = 0.0;
    for (_, tensor) in &theirs {
        greatest = greatest.max(if narrow { norm(tensor)? } else { largest(tensor)? });
    }
    for (name, tensor) in &theirs {
        let mut found = ours.get(*name).or_else(|| present.get(*name).copied());
        if found.is_none() {
            // Tied weights have two names, of which a file keeps one.
            let mut others = ours.iter().filter(|(other, gradient)| {
                gradient.size() == tensor.size() && !theirs.iter().any(|(name, _)| *name == other.as_str())
            });
            found = others.next().map(|(_, gradient)| gradient);
            if others.next().is_some() {
                found = None;
            }
        }
        let mut compared = compare(Part::Gradient, name, found, tensor, tolerance.gradient)?;
        if let (true, true, Some(found)) = (narrow, compared.error.is_finite(), found) {
            // A gradient below what rounding makes of the greatest is held against that.
            let size = norm(tensor)?.max(tolerance.gradient * greatest);
            let difference = norm(&found.f_detach()?.f_to_device(tensor.device())?.f_sub(tensor)?)?;
            compared.error = if size > 0.0 { difference / size } else { difference };
            report.comparisons.push(compared);
            continue;
        }
        let size = largest(tensor)?;
        if compared.error.is_finite() && size <= NOISE * greatest {
            // What should be zero, as the gradient of a key's bias, is rounding on both sides.
            // It may differ by as much as that rounding.
            compared.error *= size / (NOISE * greatest) * tolerance.gradient;
        }
        report.comparisons.push(compared);
    }
    Ok(())
}
