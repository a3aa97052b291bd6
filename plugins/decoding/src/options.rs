//! How to write.

/// How next tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Scores are divided by it: below 1 the distribution is sharper, above 1 flatter.
    pub temperature: f64,
    /// Only so many of the likeliest tokens; all, when absent.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together have this probability (Holtzman et al., 2020).
    pub top_p: Option<f64>,
    /// Only tokens at least this probable, as a share of the likeliest one's probability (Nguyen et al.,
    /// 2024).
    pub min_p: Option<f64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: None, min_p: None }
    }
}

/// How to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Most tokens to add to each prompt.
    pub new_tokens: usize,
    /// Tokens that end a text; they are part of it.
    pub ends: Vec<i64>,
    /// Draws; the likeliest token each time, when absent.
    pub sampling: Option<Sampling>,
    /// Positive scores of tokens that the text has are divided by it, negative ones multiplied (Keskar et
    /// al., 2019); 1 changes nothing.
    pub repetition_penalty: f64,
    /// Texts that are followed side by side; 1 is no beam search.
    pub beams: usize,
    /// Beam search divides the logarithm of a text's probability by the number of its new tokens to
    /// this power.
    pub length_penalty: f64,
    /// Texts for each prompt: independent draws, or the best beams.
    pub samples: usize,
    /// What shorter prompts are filled up with, on the left; it is hidden from the model.
    pub padding: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            new_tokens: 20,
            ends: Vec::new(),
            sampling: None,
            repetition_penalty: 1.0,
            beams: 1,
            length_penalty: 1.0,
            samples: 1,
            padding: 0,
        }
    }
}

/// Options or prompts that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OptionsError {
    /// Which, and what is expected.
    pub message: String,
    /// The option, as it is spelled in [`Options`] and [`Sampling`]; empty where it is none.
    pub at: &'static str,
}

impl OptionsError {
    pub(crate) fn new(at: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), at }
    }
}

impl Options {
    /// Whether they make sense together.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn check(&self) -> Result<(), OptionsError> {
        let positive = |at, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(OptionsError::new(at, format!("the {at} must be above 0, and is {value}"))),
        };
        positive("repetition_penalty", self.repetition_penalty)?;
        if self.beams == 0 || self.samples == 0 {
            let at = if self.beams == 0 { "beams" } else { "samples" };
            return Err(OptionsError::new(at, format!("the number of {at} must be at least 1")));
        }
        if !self.length_penalty.is_finite() {
            return Err(OptionsError::new("length_penalty", "the length penalty must be a number"));
        }
        if self.beams > 1 && self.samples > self.beams {
            let (beams, samples) = (self.beams, self.samples);
            return Err(OptionsError::new("samples", format!("{beams} beams give no {samples} texts")));
        }
        let Some(sampling) = &self.sampling else {
            if self.beams == 1 && self.samples > 1 {
                let text = "the likeliest text is the same each time: several samples need a temperature";
                return Err(OptionsError::new("samples", text));
            }
            return Ok(());
        };
        if self.beams > 1 {
            return Err(OptionsError::new(
                "beams",
                "beam search follows the likeliest texts and draws nothing",
            ));
        }
        positive("temperature", sampling.temperature)?;
        if sampling.top_k == Some(0) {
            return Err(OptionsError::new("top_k", "top_k must be at least 1"));
        }
        for (at, share) in [("top_p", sampling.top_p), ("min_p", sampling.min_p)] {
            if let Some(share) = share.filter(|share| !(0.0..=1.0).contains(share)) {
                return Err(OptionsError::new(at, format!("{at} must be from 0 to 1, and is {share}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_named() {
        Options::default().check().unwrap();
        let sampling = |change: fn(&mut Sampling)| {
            let mut sampling = Sampling::default();
            change(&mut sampling);
            Options { sampling: Some(sampling), ..Options::default() }
        };
        for (options, at) in [
            (Options { beams: 0, ..Options::default() }, "beams"),
            (Options { samples: 0, ..Options::default() }, "samples"),
            (Options { samples: 2, ..Options::default() }, "samples"),
            (Options { samples: 3, beams: 2, ..Options::default() }, "samples"),
            (Options { repetition_penalty: 0.0, ..Options::default() }, "repetition_penalty"),
            (Options { length_penalty: f64::NAN, ..Options::default() }, "length_penalty"),
            (Options { beams: 2, ..sampling(|_| ()) }, "beams"),
            (sampling(|s| s.temperature = 0.0), "temperature"),
            (sampling(|s| s.top_k = Some(0)), "top_k"),
            (sampling(|s| s.top_p = Some(1.5)), "top_p"),
            (sampling(|s| s.min_p = Some(-0.1)), "min_p"),
        ] {
            let error = options.check().unwrap_err();
            assert_eq!(error.at, at, "{error}");
        }
        sampling(|s| s.top_p = Some(1.0)).check().unwrap();
    }
}
