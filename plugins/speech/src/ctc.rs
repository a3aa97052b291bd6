//! Connectionist temporal classification.

use zoo_plugin::prelude::*;
use zoo_torch::modes::Autocast;

/// Labels, -1 where the mask is 0.
pub(crate) fn masked(labels: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    Ok(match mask {
        Some(mask) => labels.f_masked_fill(&mask.f_eq(0)?, -1)?,
        None => labels.shallow_clone(),
    })
}

/// Connectionist temporal classification: the probability of a label sequence, summed over all ways to spread it
/// over the frames.
///
/// A way gives every frame a label or the blank; repeated labels without a blank between them are one. An utterance
/// costs the negative logarithm of the sum of its ways' probabilities, in nats. One that has more labels than its
/// frames can say has no way: it costs nothing, and is counted. The blank is the last class. The loss is the sum over
/// the utterances.
///
/// # Paper
/// Graves, Fernández, Gomez, Schmidhuber: Connectionist Temporal Classification, ICML 2006.
///
/// # Example
/// ```mlm
/// objective recognise = speech.ctc()
/// ```
#[component(
    objective,
    name = "speech.ctc",
    inputs(
        logits: "float[B, T, classes]" = "scores of the labels, and last of the blank",
        attention_mask: "int[B, T]"? = "1 for frames, 0 for padding after them; all ones, when absent",
        labels: "int[B, L]" = "the labels; below 0 for none",
        is_label: "int[B, L]"? = "1 for labels, 0 for padding; all ones, when absent",
    ),
    outputs(loss: "float[]" = "sum over the utterances, in nats"),
    count_inputs(labels),
    cost(flops = "B * T * (5 * classes + 12 * L)", activations = "B * T * (classes + 2 * L)"),
)]
pub struct Ctc;

impl Ctc {
    /// The sum over utterances, a scalar; shapes as the ports have them.
    ///
    /// # Errors
    /// A label that is the blank or beyond, and libtorch's errors.
    pub fn loss(
        logits: &Tensor,
        attention_mask: Option<&Tensor>,
        labels: &Tensor,
        is_label: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (batch, length, classes) = logits.size3()?;
        let _full_width = Autocast::pause(logits.device()).map_err(|e| Error::new(e.to_string()))?;
        let kind = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let logits = logits.f_to_kind(kind)?;
        if batch == 0 {
            return Ok(logits.f_sum(kind)?);
        }
        let blank = classes - 1;
        let (_, longest) = labels.size2()?;
        let labels = masked(labels, is_label)?;
        let said = Vec::<i64>::try_from(&labels.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
        if let Some(label) = said.iter().find(|label| **label > blank) {
            let text = format!("the label {label}, with {classes} classes of which the last is the blank");
            let help = "give the model a class for each label and one more";
            return Err(Error::new(text).at("in.labels").help(help));
        }
        // The blank as a label says nothing.
        let is_said = |label: &i64| (0..blank).contains(label);
        let rows = said.chunks(longest.max(1) as usize);
        let counts: Vec<i64> = if longest == 0 {
            vec![0; batch as usize]
        } else {
            rows.map(|row| row.iter().filter(|label| is_said(label)).count() as i64).collect()
        };
        let targets: Vec<i64> = said.iter().copied().filter(is_said).collect();
        let frames = match attention_mask {
            Some(mask) => mask.f_ne(0)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64)?,
            None => Tensor::f_full([batch], length, (Kind::Int64, logits.device()))?,
        };
        let log = logits.f_log_softmax(-1, kind)?.f_transpose(0, 1)?;
        // One utterance's labels after the other's. Lengths are read on the CPU: libtorch's loop is over them.
        Ok(Tensor::f_ctc_loss_tensor(
            &log,
            &Tensor::f_from_slice(&targets)?.f_to_device(log.device())?,
            &frames.f_to_device(Device::Cpu)?,
            &Tensor::f_from_slice(&counts)?,
            blank,
            tch::Reduction::Sum,
            true,
        )?)
    }
}

impl Component for Ctc {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: CtcInputs<'_>, _: &mut Call<'_>) -> Result<CtcOutputs> {
        Ok(CtcOutputs { loss: Self::loss(x.logits, x.attention_mask, x.labels, x.is_label)? })
    }

    fn count(&self, _: &(), ports: &Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        Ok(ports.required("labels")?.tensor("labels")?.size()[0] as f64)
    }
}

/// The labels of frames: each but the first of a repetition, without blanks.
pub fn collapse(frames: &[i64], blank: i64) -> Vec<i64> {
    let mut last = blank;
    let mut labels = Vec::new();
    for frame in frames {
        if *frame != last && *frame != blank {
            labels.push(*frame);
        }
        last = *frame;
    }
    labels
}

/// What a recogniser hears: the likeliest class of every frame, without repetitions and blanks.
///
/// # Paper
/// Graves, Fernández, Gomez, Schmidhuber: Connectionist Temporal Classification, ICML 2006, section 3.2 (best path).
///
/// # Example
/// ```mlm
/// model hear = speech.greedy_ctc()
/// ```
#[component(
    function,
    name = "speech.greedy_ctc",
    inputs(
        logits: "float[B, T, classes]" = "scores of the labels, and last of the blank",
        attention_mask: "int[B, T]"? = "1 for frames, 0 for padding after them; all ones, when absent",
    ),
    outputs(labels: "int[B, T]" = "the labels; -1 for padding after them"),
    stops_gradient,
)]
pub struct GreedyCtc;

impl Component for GreedyCtc {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: GreedyCtcInputs<'_>, _: &mut Call<'_>) -> Result<GreedyCtcOutputs> {
        let (batch, length, classes) = x.logits.size3()?;
        let mut frames = x.logits.f_detach()?.f_argmax(-1, false)?;
        if let Some(mask) = x.attention_mask {
            frames = frames.f_masked_fill(&mask.f_eq(0)?, classes - 1)?;
        }
        let frames = Vec::<i64>::try_from(&frames.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
        let mut labels = vec![-1; frames.len()];
        for (frames, labels) in
            frames.chunks(length.max(1) as usize).zip(labels.chunks_mut(length.max(1) as usize))
        {
            for (place, label) in labels.iter_mut().zip(collapse(frames, classes - 1)) {
                *place = label;
            }
        }
        let labels = Tensor::f_from_slice(&labels)?.f_reshape([batch, length])?;
        Ok(GreedyCtcOutputs { labels: labels.f_to_device(x.logits.device())? })
    }
}
