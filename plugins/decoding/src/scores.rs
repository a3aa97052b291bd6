//! What scores go through before a token is chosen, in the order in which transformers does it:
//! repetition penalty, temperature, top-k, top-p, min-p.

use crate::options::Sampling;
use tch::{Kind, TchError, Tensor};

/// Positive scores of tokens that a row has are divided by the penalty, negative ones multiplied.
///
/// `scores` float[R, V]; `ids` int[R, S]; `mask` int[R, S], 0 where `ids` are padding.
///
/// # Errors
/// libtorch's.
pub fn penalised(
    scores: &Tensor,
    ids: &Tensor,
    mask: Option<&Tensor>,
    penalty: f64,
) -> Result<Tensor, TchError> {
    if penalty == 1.0 {
        return Ok(scores.shallow_clone());
    }
    let (rows, vocabulary) = scores.size2()?;
    // Padding marks a token that is none.
    let ids = match mask {
        Some(mask) => ids.f_masked_fill(&mask.f_eq(0)?, vocabulary)?,
        None => ids.shallow_clone(),
    };
    let seen = Tensor::f_zeros([rows, vocabulary + 1], (Kind::Bool, scores.device()))?
        .f_scatter_value_(1, &ids, 1)?
        .f_narrow(1, 0, vocabulary)?;
    let changed =
        scores.f_mul_scalar(penalty)?.f_where_self(&scores.f_lt(0.0)?, &scores.f_div_scalar(penalty)?)?;
    changed.f_where_self(&seen, scores)
}

/// Scores at a temperature, minus infinity for tokens that are not to be drawn: float[R, V].
///
/// # Errors
/// libtorch's.
pub fn warped(scores: &Tensor, sampling: &Sampling) -> Result<Tensor, TchError> {
    let mut scores = scores.f_to_kind(Kind::Float)?;
    if sampling.temperature != 1.0 {
        scores = scores.f_div_scalar(sampling.temperature)?;
    }
    let vocabulary = scores.size().last().copied().unwrap_or(0);
    if let Some(count) = sampling.top_k.map(|k| k as i64).filter(|k| *k < vocabulary) {
        let least = scores.f_topk(count, -1, true, true)?.0.f_narrow(-1, count - 1, 1)?;
        scores = scores.f_masked_fill(&scores.f_lt_tensor(&least)?, f64::NEG_INFINITY)?;
    }
    if let Some(share) = sampling.top_p.filter(|share| *share < 1.0) {
        let (sorted, places) = scores.f_sort(-1, false)?;
        let tail = sorted.f_softmax(-1, Kind::Float)?.f_cumsum(-1, Kind::Float)?.f_le(1.0 - share)?;
        // The likeliest token stays.
        let _ = tail.f_narrow(-1, vocabulary - 1, 1)?.f_fill_(0)?;
        let out = tail.f_zeros_like()?.f_scatter_(-1, &places, &tail)?;
        scores = scores.f_masked_fill(&out, f64::NEG_INFINITY)?;
    }
    if let Some(share) = sampling.min_p {
        let chances = scores.f_softmax(-1, Kind::Float)?;
        let least = chances.f_amax([-1_i64].as_slice(), true)?.f_mul_scalar(share)?;
        scores = scores.f_masked_fill(&chances.f_lt_tensor(&least)?, f64::NEG_INFINITY)?;
    }
    Ok(scores)
}

/// A number in (0, 1) for the `place`-th draw of a row with that seed: two rounds of splitmix64's
/// finaliser, of which the upper 52 bits count.
pub fn uniform(seed: u64, place: u64) -> f64 {
    let finalised = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let counter = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = finalised(finalised(seed.wrapping_add(counter)) ^ seed);
    ((bits >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// For each row the token at which the cumulated probability passes its number in `at`: `int[R]`.
///
/// # Errors
/// libtorch's.
pub fn drawn(scores: &Tensor, at: &[f64]) -> Result<Tensor, TchError> {
    // Sums of tens of thousands of small numbers: float64 keeps improbable tokens in their place.
    let cumulated = scores.f_softmax(-1, Kind::Double)?.f_cumsum(-1, Kind::Double)?;
    let last = scores.size().last().copied().unwrap_or(1) - 1;
    let total = cumulated.f_narrow(1, -1, 1)?;
    let wanted = Tensor::f_from_slice(at)?.f_unsqueeze(1)?.f_to_device(scores.device())?.f_mul(&total)?;
    let found = wanted.f_searchsorted(&cumulated, false, true, "right", None::<&Tensor>)?;
    found.f_squeeze_dim(1)?.f_clamp_max(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).unsqueeze(0)
    }

    fn kept(scores: &Tensor) -> Vec<i64> {
        Vec::try_from(scores.isfinite().nonzero().select(1, 1)).unwrap()
    }

    #[test]
    fn the_penalty_is_for_tokens_of_the_text_and_not_for_padding() {
        let scores = row(&[2.0, -2.0, 4.0, 1.0]);
        let (ids, mask) = (Tensor::from_slice2(&[[3_i64, 0, 1]]), Tensor::from_slice2(&[[0_i64, 1, 1]]));
        let changed = penalised(&scores, &ids, Some(&mask), 2.0).unwrap();
        assert_eq!(Vec::<f32>::try_from(changed.squeeze()).unwrap(), [1.0, -4.0, 4.0, 1.0]);
        assert_eq!(Vec::<f32>::try_from(scores.squeeze()).unwrap(), [2.0, -2.0, 4.0, 1.0]);
    }

    #[test]
    fn improbable_tokens_are_not_drawn() {
        // Probabilities 0.5, 0.25, 0.125, 0.125.
        let scores = row(&[4.0, 2.0, 1.0, 1.0]).log();
        let with = |sampling: Sampling| kept(&warped(&scores, &sampling).unwrap());
        let plain = Sampling::default();
        assert_eq!(with(plain), [0, 1, 2, 3]);
        assert_eq!(with(Sampling { top_k: Some(2), ..plain }), [0, 1]);
        // Equal ones stay together.
        assert_eq!(with(Sampling { top_k: Some(3), ..plain }), [0, 1, 2, 3]);
        assert_eq!(with(Sampling { top_p: Some(0.6), ..plain }), [0, 1]);
        assert_eq!(with(Sampling { top_p: Some(0.0), ..plain }), [0]);
        assert_eq!(with(Sampling { min_p: Some(0.4), ..plain }), [0, 1]);
        assert_eq!(with(Sampling { min_p: Some(1.0), ..plain }), [0]);
        // Squared probabilities: 16, 4, 1, 1 of 22.
        assert_eq!(with(Sampling { temperature: 0.5, min_p: Some(0.3), ..plain }), [0]);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let scores = row(&[4.0, 2.0, 0.0, 2.0]).log();
        let at: Vec<f64> = (0..4000).map(|place| uniform(7, place)).collect();
        let scores = scores.repeat([4000, 1]);
        let tokens: Vec<i64> = Vec::try_from(drawn(&scores, &at).unwrap()).unwrap();
        let share = |token| tokens.iter().filter(|t| **t == token).count() as f64 / 4000.0;
        assert!((share(0) - 0.5).abs() < 0.03 && (share(1) - 0.25).abs() < 0.03, "{}", share(0));
        assert_eq!(share(2), 0.0);
        // The ends of the interval.
        let ends = drawn(&scores.narrow(0, 0, 2), &[0.0, 1.0]).unwrap();
        assert_eq!(Vec::<i64>::try_from(ends).unwrap(), [0, 3]);
    }
}
