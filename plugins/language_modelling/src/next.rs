//! Targets of causal language models.

use zoo_plugin::prelude::*;

/// The token after each: the targets of a causal language model.
///
/// The last token of a row, and one whose next is padding, has none: -100. Scores at place b T + t, of the token
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
    ),
    outputs(labels: "int[M]" = "the next token at every place b * T + t; -100 for none"),
)]
pub struct NextTokens {}

/// The next token of each, [B T]; -100 where there is none.
///
/// # Errors
/// libtorch's.
pub fn next_tokens(ids: &Tensor, attention_mask: &Tensor) -> Result<Tensor> {
    let (batch, length) = ids.size2()?;
    let labels = Tensor::f_full([batch, length], -100, (Kind::Int64, ids.device()))?;
    if length > 1 {
        let hidden = attention_mask.f_narrow(1, 1, length - 1)?.f_eq(0)?;
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
        Ok(NextTokensOutputs { labels: next_tokens(x.ids, x.attention_mask)? })
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
}
