//! A model beside the numbers that its makers' program computed: outputs, hidden states, loss, and
//! the gradient of every parameter.

use crate::model::{Head, Model};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use tch::{Device, Kind, Reduction, Tensor};
use zoo_host::Value;

/// Largest errors that count as equal in float32.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Of outputs: absolute, or relative to the tensor's largest value where that exceeds 1.
    pub output: f64,
    /// Of the loss, relative.
    pub loss: f64,
    /// Of gradients, relative to each tensor's largest value.
    pub gradient: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { output: 2e-5, loss: 1e-5, gradient: 1e-4 }
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
            write!(f, "{what:<44} {:>10.3e}  of {:.0e}  {verdict}", c.error, c.tolerance)?;
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
        Head::CausalLm => {
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

/// What transformers 5 calls a vision model's parameter in memory, which files call by an older name.
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
];

fn renamed(name: &str) -> String {
    RENAMED.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// The model's port for an input of transformers.
fn port(name: &str) -> &str {
    match name {
        "input_ids" => "ids",
        "token_type_ids" => "segment_ids",
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
            Some(name) => inputs.push((port(name), Value::Tensor(tensor.shallow_clone()))),
        }
    }
    let borrowed: Vec<(&str, &Value)> = inputs.iter().map(|(name, value)| (*name, value)).collect();
    let mut wanted = vec!["hidden", "hidden_states"];
    if !matches!(model.head(), Head::Encoder | Head::VisionEncoder) {
        wanted.push("logits");
    } else if oracle.contains_key("out.pooler_output") {
        wanted.push("pooled");
    }
    if model.head() == Head::Seq2Seq {
        wanted.push("encoder_hidden_states");
    }
    if model.head() == Head::MaskedImage {
        // Pixels are their own labels.
        wanted.push("mask");
        if !oracle.contains_key("in.labels") {
            wanted.push("targets");
        }
    }
    let mut outputs = model.call(&borrowed, &wanted, true)?;
    let hidden = outputs.take_tensor("hidden");
    let logits = outputs.take_tensor("logits");
    let pooled = outputs.take_tensor("pooled");
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
    let mut greatest: f64 = 0.0;
    for (_, tensor) in &theirs {
        greatest = greatest.max(largest(tensor)?);
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
