//! Targets of causal language models.

use zoo_plugin::prelude::*;

/// The token after each: the targets of a causal language model.
///
/// The last token of a row, and one whose next is padding or not among those to predict, has none: -100. Scores at place b T + t, of the token
/// after t, and these labels make the loss of `language_modelling.masked_cross_entropy`.
///
/// # Paper
/// Radford, Narasimhan, Salimans, Sutskever: Improving Language Understanding by Generative Pre-Training, 2018,
/// equation 1.
///
/// # Example
/// ```mlm
/// model next = language_modelling.next_tokens()
/// ```
#[component(
    function,
    name = "language_modelling.next_tokens",
    inputs(
        ids: "int[B, T]" = "token ids",
        attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
        prediction_mask: "int[B, T]"? = "1 for tokens that are to be predicted; all, when absent",
    ),
    outputs(labels: "int[B*T]" = "the next token at every place b * T + t; -100 for none"),
)]
pub struct NextTokens {}

/// The next token of each, `int[B T]`; -100 where there is none. `wanted`, `int[B, T]`, is 1 for tokens that are to be
/// predicted.
///
/// # Errors
/// libtorch's.
pub fn next_tokens(ids: &Tensor, wanted: &Tensor) -> Result<Tensor> {
    let (batch, length) = ids.size2()?;
    let labels = Tensor::f_full([batch, length], -100, (Kind::Int64, ids.device()))?;
    if length > 1 {
        let hidden = wanted.f_narrow(1, 1, length - 1)?.f_eq(0)?;
        let next = ids.f_narrow(1, 1, length - 1)?.f_masked_fill(&hidden, -100)?;
        labels.f_narrow(1, 0, length - 1)?.f_copy_(&next)?;
    }
    Ok(labels.f_reshape([-1])?)
}

impl Component for NextTokens {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: NextTokensInputs<'_>, _: &mut Call<'_>) -> Result<NextTokensOutputs> {
        // What is padding is not predicted, whatever the other mask says of it.
        let wanted = match x.prediction_mask {
            Some(wanted) => &wanted.f_mul(x.attention_mask)?,
            None => x.attention_mask,
        };
        Ok(NextTokensOutputs { labels: next_tokens(x.ids, wanted)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_token_and_padding_have_no_next() {
        let ids = Tensor::from_slice2(&[[2_i64, 7, 8, 3], [2, 9, 3, 0]]);
        let mask = Tensor::from_slice2(&[[1_i64, 1, 1, 1], [1, 1, 1, 0]]);
        let labels = Vec::<i64>::try_from(next_tokens(&ids, &mask).unwrap()).unwrap();
        assert_eq!(labels, [7, 8, 3, -100, 9, 3, -100, -100]);
    }

    #[test]
    fn what_is_not_to_be_predicted_is_no_target() {
        let ids = Tensor::from_slice2(&[[2_i64, 7, 8, 3], [2, 9, 3, 4]]);
        let wanted = Tensor::from_slice2(&[[1_i64, 0, 1, 1], [1, 1, 0, 0]]);
        let labels = Vec::<i64>::try_from(next_tokens(&ids, &wanted).unwrap()).unwrap();
        assert_eq!(labels, [-100, 8, 3, -100, 9, -100, -100, -100]);
    }
}
