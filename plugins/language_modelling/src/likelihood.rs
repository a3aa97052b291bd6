//! How likely a model finds the tokens of texts.

use zoo_plugin::prelude::*;

/// The logarithm of the probability of every token, given those before it.
///
/// Scores at place t are of the token after it. The first token of a row has nothing before it, and gets 0. With a
/// temperature it is the probability in the distribution that tokens are drawn from at that temperature. It is
/// computed in 32 bits.
///
/// # Example
/// ```mlm
/// model likelihood = language_modelling.token_log_probabilities()
/// ```
#[component(
    function,
    name = "language_modelling.token_log_probabilities",
    inputs(
        logits: "float[B, T, V]" = "scores of the token after each",
        ids: "int[B, T]" = "the tokens",
    ),
    outputs(log_probabilities: "float[B, T]" = "logarithm of each token's probability, in nats; 0 for the first"),
    cost(flops = "5 * B * T * V", activations = "B * T * V"),
)]
pub struct TokenLogProbabilities {
    /// Scores are divided by it.
    #[param(default = 1.0, range = "> 0")]
    pub temperature: f64,
}

impl TokenLogProbabilities {
    /// Scores `float[B, T, V]` and tokens `int[B, T]` to `float[B, T]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn log_probabilities(&self, logits: &Tensor, ids: &Tensor) -> Result<Tensor> {
        let (_, length) = ids.size2()?;
        if length == 0 {
            return Ok(logits.f_sum_dim_intlist([2_i64].as_slice(), false, Kind::Float)?);
        }
        let mut before = logits.f_narrow(1, 0, length - 1)?.f_to_kind(Kind::Float)?;
        if self.temperature != 1.0 {
            before = before.f_div_scalar(self.temperature)?;
        }
        let next = ids.f_narrow(1, 1, length - 1)?.f_unsqueeze(2)?;
        let chosen = before.f_gather(2, &next, false)?.f_squeeze_dim(2)?;
        let likely = chosen.f_sub(&before.f_logsumexp([2_i64].as_slice(), false)?)?;
        Ok(likely.f_constant_pad_nd([1_i64, 0].as_slice())?)
    }
}

impl Component for TokenLogProbabilities {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: TokenLogProbabilitiesInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<TokenLogProbabilitiesOutputs> {
        Ok(TokenLogProbabilitiesOutputs { log_probabilities: self.log_probabilities(x.logits, x.ids)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_as_likely_as_the_scores_before_it_say() {
        // At the first place 1/2, 1/4, 1/4; at the second 1/8, 1/8, 3/4.
        let logits =
            Tensor::from_slice(&[2_f32, 1.0, 1.0, 1.0, 1.0, 6.0, 9.0, 9.0, 9.0]).log().reshape([1, 3, 3]);
        let ids = Tensor::from_slice2(&[[1_i64, 0, 2]]);
        let of = |temperature: f64| {
            let likely = TokenLogProbabilities { temperature }.log_probabilities(&logits, &ids).unwrap();
            Vec::<f32>::try_from(likely.exp().squeeze()).unwrap()
        };
        let close = |got: Vec<f32>, wanted: [f32; 3]| {
            assert!(got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?}");
        };
        close(of(1.0), [1.0, 0.5, 0.75]);
        // Squared: 4 of 6, 36 of 38.
        close(of(0.5), [1.0, 4.0 / 6.0, 36.0 / 38.0]);
    }
}
