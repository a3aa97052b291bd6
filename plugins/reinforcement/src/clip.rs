//! The objective of proximal policy optimization over tokens.

use zoo_plugin::prelude::*;

/// The clipped policy objective, over tokens: PPO's, GRPO's and DAPO's.
///
/// With the ratio `r = exp(log_probabilities - old_log_probabilities)` of a token and its text's advantage A, a
/// token's term is `min(r A, clip(r, 1 - lower, 1 + upper) A)`, less `kl_weight` times the estimate
/// `exp(d) - d - 1` of the divergence from a reference, `d = reference - log_probabilities` (k3; it is never
/// negative). The loss is the sum of negative terms. Only tokens that the policy wrote count: prompt, tool text
/// and padding have 0 in `loss_mask`, and are in neither sum nor number.
///
/// `token_mean` divides by the tokens of the update (DAPO); `sequence_mean` first averages each text over its
/// own tokens, then over texts (GRPO), so that a token of a long text counts less. Where the policy wrote the
/// texts itself, r is 1 and the gradient is that of REINFORCE with these advantages.
///
/// # Paper
/// Schulman et al.: Proximal Policy Optimization Algorithms, arXiv 1707.06347, equation 7; Shao et al., arXiv
/// 2402.03300, equations 3 and 4; Yu et al.: DAPO, arXiv 2503.14476, equations 8 to 12.
///
/// # Example
/// ```mlm
/// objective dapo = reinforcement.policy_clip(lower: 0.2, upper: 0.28)
/// ```
#[component(
    objective,
    name = "reinforcement.policy_clip",
    inputs(
        log_probabilities: "float[N, S]" = "of each token, given those before it",
        old_log_probabilities: "float[N, S]" = "the same when the texts were written",
        advantages: "float[N]" = "how much better each text is than expected",
        loss_mask: "int[N, S]" = "1 for tokens that the policy wrote",
        reference_log_probabilities: "float[N, S]"? = "of a model to stay near to; needed where `kl_weight` is not 0",
    ),
    outputs(
        loss: "float[]" = "sum of the negative terms: over tokens, or over texts' means",
        clipped: "float[]" = "share of the tokens whose ratio is cut off and has no gradient",
        ratio: "float[]" = "mean ratio",
    ),
    count_inputs(loss_mask),
)]
pub struct PolicyClip {
    /// Ratios below 1 less this are cut off, where the advantage is negative.
    #[param(default = 0.2, range = "[0, 1]")]
    pub lower: f64,
    /// Ratios above 1 plus this are cut off, where the advantage is positive. DAPO has 0.28.
    #[param(default_formula = "lower", range = ">= 0")]
    pub upper: f64,
    /// What terms are averaged over.
    #[param(default = "token_mean", one_of("token_mean", "sequence_mean"))]
    pub aggregation: String,
    /// β: weight of the divergence from the reference.
    #[param(default = 0.0, range = ">= 0")]
    pub kl_weight: f64,
}

/// What a batch of texts gives.
#[derive(Debug)]
pub struct Clipped {
    /// Sum of negative terms, a scalar.
    pub loss: Tensor,
    /// Share of the tokens at which the constant branch is chosen, a scalar.
    pub clipped: Tensor,
    /// Mean ratio, a scalar.
    pub ratio: Tensor,
}

impl PolicyClip {
    /// The term of every token, `float[N, S]`, before anything is averaged; shapes as the ports have them.
    ///
    /// # Errors
    /// A missing reference, and libtorch's.
    pub fn terms(
        &self,
        log_probabilities: &Tensor,
        old: &Tensor,
        advantages: &Tensor,
        reference: Option<&Tensor>,
    ) -> Result<Tensor> {
        let advantages = advantages.f_unsqueeze(1)?;
        let ratio = log_probabilities.f_sub(old)?.f_exp()?;
        let cut = ratio.f_clamp(1.0 - self.lower, 1.0 + self.upper)?;
        let mut terms = ratio.f_mul(&advantages)?.f_minimum(&cut.f_mul(&advantages)?)?;
        if self.kl_weight > 0.0 {
            let reference = reference.ok_or_else(|| {
                Error::new("there is nothing to measure the divergence from")
                    .at("in.reference_log_probabilities")
                    .help("give the log-probabilities of a frozen model, or set `kl_weight: 0`")
            })?;
            terms = terms.f_sub(&k3(log_probabilities, reference)?.f_mul_scalar(self.kl_weight)?)?;
        }
        Ok(terms)
    }

    /// Sums and shares; shapes as the ports have them.
    ///
    /// # Errors
    /// A missing reference, and libtorch's.
    pub fn clipped(
        &self,
        log_probabilities: &Tensor,
        old: &Tensor,
        advantages: &Tensor,
        loss_mask: &Tensor,
        reference: Option<&Tensor>,
    ) -> Result<Clipped> {
        let float = |tensor: &Tensor| tensor.f_to_kind(Kind::Float);
        let mask = float(&loss_mask.f_ne(0)?)?;
        // What stands beside the mask may be anything, also infinite.
        let hidden = loss_mask.f_eq(0)?;
        let shown = |tensor: &Tensor| float(tensor)?.f_masked_fill(&hidden, 0.0);
        let (new, old) = (shown(log_probabilities)?, shown(old)?);
        let reference = reference.map(shown).transpose()?;
        let advantages = float(advantages)?;
        let terms = self.terms(&new, &old, &advantages, reference.as_ref())?.f_mul(&mask)?;
        let loss = if self.aggregation == "sequence_mean" {
            let sums = terms.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?;
            let tokens = mask.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?;
            sums.f_div(&tokens.f_clamp_min(1.0)?)?.f_sum(Kind::Float)?.f_neg()?
        } else {
            terms.f_sum(Kind::Float)?.f_neg()?
        };
        let ratio = new.f_detach()?.f_sub(&old.f_detach()?)?.f_exp()?;
        let signs = advantages.f_detach()?.f_unsqueeze(1)?;
        let above = ratio.f_gt(1.0 + self.upper)?.f_logical_and(&signs.f_gt(0.0)?)?;
        let below = ratio.f_lt(1.0 - self.lower)?.f_logical_and(&signs.f_lt(0.0)?)?;
        let tokens = mask.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
        let share = |values: &Tensor| values.f_mul(&mask)?.f_sum(Kind::Float)?.f_div(&tokens);
        Ok(Clipped { loss, clipped: share(&float(&above.f_logical_or(&below)?)?)?, ratio: share(&ratio)? })
    }

    /// What the sum is divided by: tokens, or texts with at least one.
    ///
    /// # Errors
    /// libtorch's.
    pub fn targets(&self, loss_mask: &Tensor) -> Result<f64> {
        let shown = loss_mask.f_ne(0)?;
        let counted = if self.aggregation == "sequence_mean" { shown.f_any_dim(1, false)? } else { shown };
        Ok(f64::try_from(counted.f_sum(Kind::Int64)?.f_to_kind(Kind::Double)?)?)
    }
}

/// The estimate `exp(d) - d - 1` of the divergence from a reference, `d = reference - log_probabilities`.
///
/// # Errors
/// libtorch's.
pub(crate) fn k3(log_probabilities: &Tensor, reference: &Tensor) -> Result<Tensor> {
    let difference = reference.f_sub(log_probabilities)?;
    Ok(difference.f_exp()?.f_sub(&difference)?.f_sub_scalar(1.0)?)
}

impl Component for PolicyClip {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: PolicyClipInputs<'_>, _: &mut Call<'_>) -> Result<PolicyClipOutputs> {
        let Clipped { loss, clipped, ratio } = self.clipped(
            x.log_probabilities,
            x.old_log_probabilities,
            x.advantages,
            x.loss_mask,
            x.reference_log_probabilities,
        )?;
        Ok(PolicyClipOutputs { loss, clipped, ratio })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        self.targets(ports.required("loss_mask")?.tensor("loss_mask")?)
    }
}
