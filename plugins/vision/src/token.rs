//! What a mask token is to visible tokens.

use zoo_plugin::prelude::*;

/// How far each image's masked tokens are from resembling any one visible token, `float[B]` in [0, 1].
///
/// `tokens` is `float[B, N, D]`, `is_hidden` `bool[B, N]`. For each masked token the entropy of the softmax over visible
/// tokens of the cosines divided by `temperature`, as a share of the logarithm of their number; then the mean over
/// masked tokens. 1, where nothing is masked or fewer than two tokens are visible.
///
/// # Errors
///
/// libtorch's.
pub fn heterogeneity(tokens: &Tensor, is_hidden: &Tensor, temperature: f64) -> Result<Tensor> {
    let kind = if tokens.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let tokens = tokens.f_to_kind(kind)?;
    // Blank patches have vectors of length 0, where a plain norm has no gradient.
    let length = tokens.f_square()?.f_sum_dim_intlist([-1_i64].as_slice(), true, kind)?;
    let unit = tokens.f_div(&length.f_add_scalar(1e-6)?.f_sqrt()?)?;
    let cosines = unit.f_matmul(&unit.f_transpose(1, 2)?)?;
    let hidden = is_hidden.f_to_kind(kind)?;
    let sum = |x: &Tensor| x.f_sum_dim_intlist([-1_i64].as_slice(), false, kind);
    let masked = sum(&hidden)?;
    let visible = hidden.f_neg()?.f_add_scalar(1.0)?;
    let visible = sum(&visible)?;
    // A large number in place of infinity: the entropy's term is 0 and not 0 times infinity.
    let log = cosines
        .f_div_scalar(temperature)?
        .f_masked_fill(&is_hidden.f_unsqueeze(1)?, -1e9)?
        .f_log_softmax(-1, kind)?;
    let entropy = sum(&log.f_exp()?.f_mul(&log)?.f_neg()?)?;
    let share = entropy.f_div(&visible.f_clamp_min(2.0)?.f_log()?.f_unsqueeze(1)?)?;
    let mean = sum(&share.f_mul(&hidden)?)?.f_div(&masked.f_clamp_min(1.0)?)?;
    let defined = masked.f_ge(1.0)?.f_logical_and(&visible.f_ge(2.0)?)?;
    Ok(mean.f_where_self(&defined, &mean.f_ones_like()?)?)
}

/// How little masked tokens resemble any one visible token.
///
/// For every masked token the entropy of its affinities to visible tokens, softmax(cosine / temperature), as a share of
/// the largest there can be: 1 where it is no nearer to one of them than to others. Of tokens as they go into an encoder
/// before positions are added, it says how singular the mask token is.
///
/// # Paper
/// Choi et al.: Emerging Property of Masked Token for Effective Pre-training, ECCV 2024. That it is based on entropy is
/// the paper's; the formula is one that fits.
///
/// # Example
/// ```mlm
/// model singular = vision.heterogeneity()
/// ```
#[component(
    function,
    name = "vision.heterogeneity",
    inputs(
        tokens: "float[B, N, D]" = "tokens, masked ones replaced",
        is_hidden: "bool[B, N]" = "true for masked ones",
    ),
    outputs(heterogeneity: "float[B]" = "mean over an image's masked tokens, from 0 to 1"),
)]
pub struct Heterogeneity {
    /// What cosines are divided by.
    #[param(default = 0.1, range = "> 0")]
    pub temperature: f64,
}

impl Component for Heterogeneity {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: HeterogeneityInputs<'_>, _: &mut Call<'_>) -> Result<HeterogeneityOutputs> {
        Ok(HeterogeneityOutputs { heterogeneity: heterogeneity(x.tokens, x.is_hidden, self.temperature)? })
    }
}

/// Losses that keep the mask token apart from visible tokens, for any masked image modelling.
///
/// The sum over images of three terms, each with its weight: 1 - heterogeneity of the tokens (`vision.heterogeneity`);
/// the share of attention that visible tokens pay to masked ones in the first block that sees them; and, with `gates`
/// of L blocks, the mean of (g - l / (L - 1))², which lets masked tokens count more the deeper a block is. Images are
/// counted.
///
/// # Paper
/// Choi et al.: Emerging Property of Masked Token for Effective Pre-training, ECCV 2024. That there are these three
/// losses is the paper's; the formulas are ones that do what it says of them.
///
/// # Example
/// ```mlm
/// objective apart = vision.masked_token_optimization()
/// ```
#[component(
    objective,
    name = "vision.masked_token_optimization",
    inputs(
        tokens: "float[B, N, D]" = "tokens before positions are added, masked ones replaced",
        hidden_attention: "float[B]" = "share of attention from visible to masked tokens in the first block",
        is_hidden: "bool[B, N]" = "true for masked tokens",
        gates: "float[L]"? = "of each block, from 0 (masked tokens are not attended to) to 1",
    ),
    outputs(loss: "float[]" = "sum over the images"),
    count_inputs(tokens),
)]
pub struct MaskedTokenOptimization {
    /// Weight of the entropy.
    #[param(default = 0.1, range = ">= 0")]
    pub entropy_weight: f64,
    /// Weight of the attention to masked tokens.
    #[param(default = 0.1, range = ">= 0")]
    pub attention_weight: f64,
    /// Weight of the gates.
    #[param(default = 0.1, range = ">= 0")]
    pub gate_weight: f64,
    /// What cosines are divided by.
    #[param(default = 0.1, range = "> 0")]
    pub temperature: f64,
}

impl MaskedTokenOptimization {
    /// The sum over images, a scalar; shapes as the ports have them.
    ///
    /// # Errors
    ///
    /// libtorch's.
    pub fn loss(
        &self,
        tokens: &Tensor,
        hidden_attention: &Tensor,
        is_hidden: &Tensor,
        gates: Option<&Tensor>,
    ) -> Result<Tensor> {
        let entropy = heterogeneity(tokens, is_hidden, self.temperature)?.f_neg()?.f_add_scalar(1.0)?;
        let attention = hidden_attention.f_to_kind(entropy.kind())?;
        let each = entropy
            .f_mul_scalar(self.entropy_weight)?
            .f_add(&attention.f_mul_scalar(self.attention_weight)?)?;
        let loss = each.f_sum(each.kind())?;
        let Some(gates) = gates else { return Ok(loss) };
        let blocks = gates.size1()?;
        let depth = Tensor::f_arange(blocks, (each.kind(), gates.device()))?
            .f_div_scalar((blocks - 1).max(1) as f64)?;
        let gap = gates.f_to_kind(each.kind())?.f_sub(&depth)?.f_square()?.f_mean(each.kind())?;
        Ok(loss.f_add(&gap.f_mul_scalar(self.gate_weight * tokens.size3()?.0 as f64)?)?)
    }
}

impl Component for MaskedTokenOptimization {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: MaskedTokenOptimizationInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<MaskedTokenOptimizationOutputs> {
        let loss = self.loss(x.tokens, x.hidden_attention, x.is_hidden, x.gates)?;
        Ok(MaskedTokenOptimizationOutputs { loss })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        Ok(ports.required("tokens")?.tensor("tokens")?.size3()?.0 as f64)
    }
}
