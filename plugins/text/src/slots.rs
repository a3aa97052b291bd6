//! Several texts in one row, each in a slot of its own.

use crate::tokenizer::Tokenizer;
use zoo_plugin::prelude::*;

/// Puts the lines of a text into slots of equal length, side by side in one row of tokens.
///
/// A slot is `[CLS] line [SEP]`, cut and padded to `slot_length`; its number is the segment of its tokens. So every
/// line's [CLS] stands at a multiple of `slot_length`, and an encoder with as many `segments` as slots reads all lines
/// together. An empty line is a slot with [CLS] and [SEP] alone.
///
/// # Paper
/// Di Liello, Garg, Soldaini, Moschitti: Paragraph-based Transformer Pre-training for Multi-Sentence Inference, NAACL
/// 2022, section 3 (5 candidates in slots of 64 tokens).
///
/// # Example
/// ```mlm
/// data corpus = text.lines(file: asset("corpus.txt"))
/// tokenizer words = text.words(corpus: corpus, vocabulary: 400)
/// model joint = text.slots(tokenizer: words, slots: 1, slot_length: 16 tok)
/// ```
#[component(
    function,
    name = "text.slots",
    inputs(text: "text[B]" = "texts of as many lines as there are slots"),
    outputs(
        ids: "int[B, slots * slot_length]" = "token ids",
        attention_mask: "int[B, slots * slot_length]" = "1 for tokens, 0 for padding",
        segment_ids: "int[B, slots * slot_length]" = "the slot of each place, from 0",
    ),
    loader,
)]
pub struct Slots {
    /// What makes tokens of lines.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Slots of a row.
    #[param(default = 6, range = ">= 1")]
    pub slots: usize,
    /// Tokens of a slot, special ones included.
    #[param(default = 64, range = ">= 3", kind = "tokens")]
    pub slot_length: usize,
}

impl Component for Slots {
    type State = Tokenizer;

    fn build(&self, cx: &mut Build<'_>) -> Result<Tokenizer> {
        let tokenizer = Tokenizer::of(cx, self.tokenizer)?;
        tokenizer.frame()?;
        Ok(tokenizer)
    }

    fn call(&self, tokenizer: &Tokenizer, x: SlotsInputs<'_>, _: &mut Call<'_>) -> Result<SlotsOutputs> {
        let frame = tokenizer.frame()?;
        let size = x.text.len() * self.slots * self.slot_length;
        let (mut ids, mut mask, mut segments) =
            (Vec::with_capacity(size), Vec::with_capacity(size), Vec::with_capacity(size));
        for text in x.text.iter() {
            // Split, and not `lines`, which knows no empty last line.
            let lines: Vec<&str> = text.split('\n').collect();
            if lines.len() != self.slots {
                let text = format!("a text has {} lines, and there are {} slots", lines.len(), self.slots);
                return Err(Error::new(text).at("in.text").help("give `slots` one for every line"));
            }
            for (slot, line) in lines.into_iter().enumerate() {
                let mut inner = tokenizer.ids(line)?;
                inner.truncate(self.slot_length - 2);
                let used = inner.len() + 2;
                ids.push(i64::from(frame.begin));
                ids.extend(inner.into_iter().map(i64::from));
                ids.push(i64::from(frame.end));
                ids.extend(std::iter::repeat_n(i64::from(frame.pad), self.slot_length - used));
                mask.extend((0..self.slot_length).map(|place| i64::from(place < used)));
                segments.extend(std::iter::repeat_n(slot as i64, self.slot_length));
            }
        }
        let shape = [x.text.len() as i64, (self.slots * self.slot_length) as i64];
        let tensor =
            |values: &[i64]| -> Result<Tensor> { Ok(Tensor::f_from_slice(values)?.f_reshape(shape)?) };
        Ok(SlotsOutputs {
            ids: tensor(&ids)?,
            attention_mask: tensor(&mask)?,
            segment_ids: tensor(&segments)?,
        })
    }
}
