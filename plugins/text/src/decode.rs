//! From token ids back to texts.

use crate::tokenizer::Tokenizer;
use zoo_plugin::prelude::*;

/// The texts of rows of token ids.
///
/// # Example
/// ```mlm
/// data corpus = text.lines(file: asset("corpus.txt"))
/// tokenizer words = text.words(corpus: corpus, vocabulary: 500)
/// model spell = text.decode(tokenizer: words)
/// ```
#[component(
    function,
    name = "text.decode",
    inputs(
        ids: "int[B, T]" = "token ids",
        mask: "int[B, T]"? = "tokens count where this is not 0: an attention mask, or that of new tokens; all, when absent",
    ),
    outputs(text: "text[B]" = "the text of each row"),
    stops_gradient,
)]
pub struct Decode {
    /// What the ids are of.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Whether special tokens are written too.
    #[param(default = true)]
    pub special_tokens: bool,
}

/// The numbers of a tensor.
fn numbers(tensor: &Tensor) -> Result<Vec<i64>> {
    Ok(Vec::try_from(tensor.f_reshape([-1])?.f_to_device(Device::Cpu)?)?)
}

impl Component for Decode {
    type State = Tokenizer;

    fn build(&self, cx: &mut Build<'_>) -> Result<Tokenizer> {
        Tokenizer::of(cx, self.tokenizer)
    }

    fn call(&self, tokenizer: &Tokenizer, x: DecodeInputs<'_>, _: &mut Call<'_>) -> Result<DecodeOutputs> {
        let (count, width) = x.ids.size2()?;
        let (ids, mask) = (numbers(x.ids)?, x.mask.map(numbers).transpose()?);
        let text = (0..count as usize)
            .map(|row| {
                let range = row * width as usize..(row + 1) * width as usize;
                let shown = |place: &usize| mask.as_ref().is_none_or(|mask| mask[*place] != 0);
                let ids = range.filter(shown).map(|place| {
                    u32::try_from(ids[place])
                        .map_err(|_| Error::new(format!("{} is no token id", ids[place])).at("in.ids"))
                });
                tokenizer.text(&ids.collect::<Result<Vec<_>>>()?, self.special_tokens)
            })
            .collect::<Result<_>>()?;
        Ok(DecodeOutputs { text })
    }
}

#[cfg(test)]
mod tests {
    use crate::tokenizer::Tokenizer;

    #[test]
    fn texts_come_back_with_and_without_special_tokens() {
        let json = r#"{"version":"1.0","added_tokens":[{"id":0,"content":"[PAD]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":null,"pre_tokenizer":{"type":"WhitespaceSplit"},"post_processor":null,"decoder":null,"model":{"type":"WordLevel","vocab":{"[PAD]":0,"a":1,"b":2},"unk_token":"[PAD]"}}"#;
        let tokenizer = Tokenizer::new(json.as_bytes(), "test").unwrap();
        assert_eq!(tokenizer.text(&[1, 0, 2], true).unwrap(), "a [PAD] b");
        assert_eq!(tokenizer.text(&[1, 0, 2], false).unwrap(), "a b");
    }
}
