//! Drawing tokens from a model's distribution.

use zoo_plugin::prelude::*;

/// Draws one token for each place from `softmax(logits / temperature)`; no gradient flows through.
///
/// The draw for a place is the first token at which the cumulated probability passes a number in [0, 1)
/// that follows from the run's seed, the row and the place: the same distribution as adding Gumbel noise
/// to the scores and taking the largest, from one random number instead of one for every token. So a place
/// that stands twice gets the same token twice, and how a batch is split changes nothing.
///
/// # Paper
/// Clark, Luong, Le, Manning: ELECTRA, ICLR 2020, section 2.
///
/// # Example
/// ```mlm
/// model draw = language_modelling.sample(temperature: 1.0)
/// ```
#[component(
    sampler,
    name = "language_modelling.sample",
    inputs(
        logits: "float[M, V]" = "scores of every token at each place",
        positions: "int[M]" = "flat places b * T + t",
        ids: "int[B, T]" = "token ids, for their shape",
    ),
    outputs(tokens: "int[M]" = "the drawn token at each place"),
    stops_gradient,
    random,
    cost(flops = "4 * M * V", workspace = "3 * M * V"),
)]
pub struct Sample {
    /// Of the distribution: below 1 it is sharper, above 1 flatter.
    #[param(default = 1.0, range = "> 0", varies)]
    pub temperature: Varying,
}

/// 64 random bits for each pair of a seed and a counter, as tensors of 64-bit integers: two rounds of
/// splitmix64's finaliser. Integer arithmetic wraps, so all devices agree.
fn mixed(seeds: &Tensor, counters: &Tensor) -> Result<Tensor> {
    // libtorch shifts signed integers: bits that come in from above are taken away.
    let shifted = |x: &Tensor, by: i64| -> Result<Tensor> {
        let right = x.f_bitwise_right_shift_tensor_scalar(by)?;
        Ok(right.f_bitwise_and((1_i64 << (64 - by)) - 1)?)
    };
    let finalised = |x: Tensor| -> Result<Tensor> {
        let mut x = x;
        for (by, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb)] {
            x = x.f_bitwise_xor_tensor(&shifted(&x, by)?)?.f_mul_scalar(factor.cast_signed())?;
        }
        Ok(x.f_bitwise_xor_tensor(&shifted(&x, 31)?)?)
    };
    let golden = 0x9e37_79b9_7f4a_7c15_u64.cast_signed();
    let counters = counters.f_add_scalar(1)?.f_mul_scalar(golden)?;
    finalised(finalised(seeds.f_add(&counters)?)?.f_bitwise_xor_tensor(seeds)?)
}

/// Numbers in (0, 1), float64, for places b * T + t, from a seed for each row.
///
/// # Errors
///
/// Those of libtorch: a place beyond the rows.
pub fn uniform(seeds: &Tensor, positions: &Tensor, length: i64) -> Result<Tensor> {
    let rows = positions.f_floor_divide_scalar(length.max(1))?;
    let places = positions.f_remainder(length.max(1))?;
    let bits = mixed(&seeds.f_index_select(0, &rows)?, &places)?;
    // The upper 52 bits, and a half, so that neither 0 nor 1 comes out.
    let top = bits.f_bitwise_right_shift_tensor_scalar(12)?.f_bitwise_and((1_i64 << 52) - 1)?;
    Ok(top.f_to_kind(Kind::Double)?.f_add_scalar(0.5)?.f_mul_scalar(1.0 / (1_u64 << 52) as f64)?)
}

/// For each row of scores the token at which the cumulated probability passes `at`, [M].
///
/// # Errors
///
/// Those of libtorch.
pub fn draw(logits: &Tensor, temperature: f64, at: &Tensor) -> Result<Tensor> {
    let scaled = logits.f_to_kind(Kind::Float)?.f_div_scalar(temperature)?;
    let cumulated = scaled.f_softmax(-1, Kind::Float)?.f_cumsum(-1, Kind::Float)?;
    // Rounding may leave the sum a little off 1: the number is measured against the sum itself.
    let total = cumulated.f_narrow(1, -1, 1)?;
    // The clamp keeps a number that rounds to 1 from passing the end, where improbable tokens stand.
    let at = at.f_to_kind(Kind::Float)?.f_clamp_max(1.0 - 2f64.powi(-23))?;
    let wanted = at.f_unsqueeze(1)?.f_mul(&total)?;
    let last = logits.size().last().copied().unwrap_or(1) - 1;
    let found = wanted.f_searchsorted(&cumulated, false, true, "right", None::<&Tensor>)?;
    Ok(found.f_squeeze_dim(1)?.f_clamp_max(last)?)
}

impl Component for Sample {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: SampleInputs<'_>, cx: &mut Call<'_>) -> Result<SampleOutputs> {
        let _no_gradients = tch::no_grad_guard();
        let (batch, length) = x.ids.size2()?;
        let seeds: Vec<i64> = (0..batch as usize).map(|b| cx.seed("tokens", b).cast_signed()).collect();
        let seeds = Tensor::f_from_slice(&seeds)?.f_to_device(x.logits.device())?;
        let at = uniform(&seeds, x.positions, length)?;
        Ok(SampleOutputs { tokens: draw(&x.logits.detach(), self.temperature.at("temperature", cx), &at)? })
    }
}
