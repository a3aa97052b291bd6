//! What attention rests on.

use std::sync::Mutex;
use zoo_plugin::prelude::*;

/// What tokens pay on average to selected ones, in a causal model.
///
/// The mean of the attention over layers, heads, and all pairs of a selected token and a later one. A token's attention to
/// itself is left out, and so is the first token of a row, on which much of the attention rests whatever it is.
///
/// With the same selection in two models, a and b, (a - b) / a is the score decay of Zhuang et al.
///
/// # Paper
/// Zhuang, Jia, Li, Zhang, Shen, Cao, Liu: Mask-Enhanced Autoregressive Prediction, ICML 2025, section 5.1.
///
/// # Example
/// ```mlm
/// metric paid = evaluation.attention_to()
/// ```
#[component(
    metric,
    name = "evaluation.attention_to",
    inputs(
        attentions: "float[B, H, T, T]"* = "what each token (third axis) pays to every other, layer by layer",
        selected: "bool[B, T]" = "the tokens that are paid attention to",
        payers: "int[B, T]"? = "1 for tokens whose attention counts, 0 for padding; all, when absent",
    ),
    outputs(value: "real"? = "mean attention"),
    state,
)]
pub struct AttentionTo;

/// Sum and number of the pairs.
pub type Paid = (f64, f64);

/// The attention to selected tokens in a layer, summed, and how many heads and pairs that is.
///
/// # Errors
/// libtorch's.
pub fn paid(attention: &Tensor, selected: &Tensor, mask: Option<&Tensor>) -> Result<Paid> {
    let (_, heads, length, _) = attention.size4()?;
    let later = Tensor::f_ones([length, length], (Kind::Bool, attention.device()))?.f_tril(-1)?;
    let mut pairs = selected.f_unsqueeze(1)?.f_logical_and(&later)?;
    if length > 0 {
        let _ = pairs.f_select(2, 0)?.f_fill_(0)?;
    }
    if let Some(mask) = mask {
        pairs = pairs.f_logical_and(&mask.f_ne(0)?.f_unsqueeze(2)?)?;
    }
    let number = |tensor: Tensor| -> Result<f64> { Ok(f64::try_from(tensor.f_to_kind(Kind::Double)?)?) };
    let pairs = pairs.f_unsqueeze(1)?;
    let sum = number(attention.f_to_kind(Kind::Double)?.f_mul(&pairs)?.f_sum(Kind::Double)?)?;
    Ok((sum, heads as f64 * number(pairs.f_sum(Kind::Int64)?)?))
}

impl Component for AttentionTo {
    type State = Mutex<Paid>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(
        &self,
        state: &Self::State,
        x: AttentionToInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<AttentionToOutputs> {
        for attention in &x.attentions {
            let (sum, count) = paid(attention, x.selected, x.payers)?;
            let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *state = (state.0 + sum, state.1 + count);
        }
        Ok(AttentionToOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        let (sum, count) = *state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if count == 0.0 {
            return Err(Error::new("no token was selected that a later one could pay attention to"));
        }
        Ok(sum / count)
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = (0.0, 0.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_tokens_pay_to_selected_ones() {
        let attention = Tensor::from_slice(&[
            1.0_f64, 0.0, 0.0, 0.0, //
            0.6, 0.4, 0.0, 0.0, //
            0.5, 0.2, 0.3, 0.0, //
            0.1, 0.3, 0.2, 0.4,
        ])
        .view([1, 1, 4, 4]);
        let selected = |places: [bool; 4]| Tensor::from_slice(&places).unsqueeze(0);
        // Token 1 gets 0.2 and 0.3, token 2 gets 0.2.
        let (sum, count) = paid(&attention, &selected([false, true, true, false]), None).unwrap();
        assert!((sum - 0.7).abs() < 1e-12 && count == 3.0, "{sum} of {count}");
        // The first token does not count, nor does padding.
        let mask = Tensor::from_slice(&[1_i64, 1, 1, 0]).unsqueeze(0);
        let (sum, count) = paid(&attention, &selected([true, true, false, true]), Some(&mask)).unwrap();
        assert!((sum - 0.2).abs() < 1e-12 && count == 1.0, "{sum} of {count}");
        assert_eq!(paid(&attention, &selected([true, false, false, true]), None).unwrap(), (0.0, 0.0));
    }

    /// Zhuang et al., section 5.1: from 0.030 to 0.014 is a decay of 53.33%.
    #[test]
    fn decay_of_two_models() {
        let model = |weight: f64| {
            let attention = Tensor::zeros([1, 2, 3, 3], (Kind::Double, Device::Cpu));
            let _ = attention.select(2, 2).select(2, 1).fill_(weight);
            let selected = Tensor::from_slice(&[false, true, false]).unsqueeze(0);
            let (sum, count) = paid(&attention, &selected, None).unwrap();
            sum / count
        };
        let (a, b) = (model(0.030), model(0.014));
        assert!(((a - b) / a - 0.533_333).abs() < 1e-6);
    }
}
