//! Heads of encoders that read a question together with several candidates.

use zoo_plugin::prelude::*;

/// Scores of classes for the candidates of a row, or for the row as a whole, from the states of slots.
///
/// A row is a question and its candidates in slots of equal length, each beginning with its own [CLS]
/// (`text.slots`). Dropout, a linear map, tanh, dropout and another linear map stand on
///
/// * `individual` (IE_1): the question's [CLS];
/// * `aggregated` (AE_1): the sum of all [CLS], the question's among them;
/// * `individual_candidates` (IE_k): every candidate's [CLS];
/// * `aggregated_candidates` (AE_k): the question's [CLS] and a candidate's side by side, twice as wide.
///
/// The first two give `logits`, the others `candidates`.
///
/// # Paper
/// Di Liello, Garg, Soldaini, Moschitti: Paragraph-based Transformer Pre-training for Multi-Sentence Inference, NAACL
/// 2022, section 3.
///
/// # Example
/// ```mlm
/// model answers = transformer.joint_classifier(hidden: 8, slots: 3, slot_length: 4 tok)
/// ```
#[component(
    head,
    name = "transformer.joint_classifier",
    inputs(states: "float[B, slots * slot_length, hidden]" = "states of an encoder's last layer, slot after slot"),
    outputs(
        candidates: "float[B, K, classes]"? = "scores of the classes of every candidate, of K = slots - 1",
        logits: "float[B, classes]"? = "scores of the classes of a row",
    ),
    parameters,
    random,
    cost(
        flops = "2 * B * slots * hidden * (hidden + classes)",
        parameters = "hidden * hidden + hidden + hidden * classes + classes",
        activations = "4 * B * slots * hidden",
    ),
)]
pub struct JointClassifier {
    /// Size of the states.
    #[param(range = ">= 1")]
    pub hidden: usize,
    /// Number of classes.
    #[param(default = 2, range = ">= 2")]
    pub classes: usize,
    /// Slots of a row: the question and its candidates.
    #[param(default = 6, range = ">= 2")]
    pub slots: usize,
    /// Tokens of a slot.
    #[param(default = 64, range = ">= 1", kind = "tokens")]
    pub slot_length: usize,
    /// What is classified, and from what.
    #[param(
        default = "individual_candidates",
        one_of("individual", "aggregated", "individual_candidates", "aggregated_candidates")
    )]
    pub method: String,
    /// Dropout before each linear map.
    #[param(default = 0.1, range = "[0%, 100%)", kind = "fraction")]
    pub dropout: f64,
    /// Standard deviation of the truncated normal that the weights start from.
    #[param(default = 0.02, range = ">= 0")]
    pub initial_deviation: f64,
}

impl JointClassifier {
    /// States [B, T, hidden] to what the classifier reads: [B, hidden], or [B, K, hidden] or [B, K, 2 hidden].
    ///
    /// # Errors
    ///
    /// Rows of another length; libtorch's.
    pub fn read(&self, states: &Tensor) -> Result<Tensor> {
        let (batch, length, hidden) = states.size3()?;
        let each = self.slot_length as i64;
        let slots = length / each;
        if slots < 2 || slots * each != length {
            let text =
                format!("rows of {length} tokens are no slots of {each} for a question and candidates");
            return Err(Error::new(text).at("in.states").help("give `slot_length` as `text.slots` has it"));
        }
        let first = states.f_reshape([batch, slots, each, hidden])?.f_select(2, 0)?;
        let (question, candidates) = (first.f_select(1, 0)?, first.f_narrow(1, 1, slots - 1)?);
        Ok(match self.method.as_str() {
            "individual" => question,
            "aggregated" => first.f_sum_dim_intlist([1_i64].as_slice(), false, None)?,
            "aggregated_candidates" => {
                let question = question.f_unsqueeze(1)?.f_expand_as(&candidates)?;
                Tensor::f_cat(&[question, candidates], -1)?
            }
            _ => candidates,
        })
    }
}

impl Component for JointClassifier {
    type State = (Linear, Linear);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let init = Init::TruncatedNormal { mean: 0.0, std: self.initial_deviation };
        let hidden = self.hidden as i64;
        let width = if self.method == "aggregated_candidates" { 2 * hidden } else { hidden };
        Ok((
            Linear::new(cx, "dense", width, hidden, true, init)?,
            Linear::new(cx, "classifier", hidden, self.classes as i64, true, init)?,
        ))
    }

    fn call(
        &self,
        (dense, classifier): &Self::State,
        x: JointClassifierInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<JointClassifierOutputs> {
        let read = dropout(self.read(x.states)?, self.dropout, cx)?;
        let inner = dropout(dense.forward(&read)?.f_tanh()?, self.dropout, cx)?;
        let scores = classifier.forward(&inner)?;
        Ok(match self.method.as_str() {
            "individual" | "aggregated" => JointClassifierOutputs { candidates: None, logits: Some(scores) },
            _ => JointClassifierOutputs { candidates: Some(scores), logits: None },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]
    use super::*;

    fn head(method: &str) -> JointClassifier {
        JointClassifier {
            hidden: 8,
            classes: 2,
            slots: 6,
            slot_length: 64,
            method: method.to_owned(),
            dropout: 0.0,
            initial_deviation: 0.02,
        }
    }

    /// Five candidates of 64 tokens: 384 tokens, [CLS] at 0, 64, … 320.
    #[test]
    fn heads_read_the_first_state_of_every_slot() {
        let states = Tensor::arange(2 * 384 * 8, (Kind::Float, Device::Cpu)).view([2, 384, 8]);
        let at = |place: i64| states.select(1, place);
        assert!(head("individual").read(&states).unwrap().equal(&at(0)));
        let candidates = head("individual_candidates").read(&states).unwrap();
        assert_eq!(candidates.size(), [2, 5, 8]);
        let both = head("aggregated_candidates").read(&states).unwrap();
        assert_eq!(both.size(), [2, 5, 16]);
        for (k, place) in (0_i64..).zip([64, 128, 192, 256, 320]) {
            assert!(candidates.select(1, k).equal(&at(place)));
            assert!(both.select(1, k).equal(&Tensor::cat(&[at(0), at(place)], -1)));
        }
        let sum = (0..6).fold(Tensor::zeros([2, 8], (Kind::Float, Device::Cpu)), |sum, k| sum + at(64 * k));
        assert!(head("aggregated").read(&states).unwrap().allclose(&sum, 1e-5, 1e-8, false));
        // Where the candidates' states are zero both read the same.
        let alone = states.copy();
        let _ = alone.narrow(1, 64, 320).zero_();
        let (one, other) = (head("individual").read(&alone), head("aggregated").read(&alone));
        assert!(one.unwrap().equal(&other.unwrap()));
        assert_eq!(head("individual").read(&states.narrow(1, 0, 100)).unwrap_err().at, "in.states");
        assert_eq!(head("individual").read(&states.narrow(1, 0, 64)).unwrap_err().at, "in.states");
    }
}
