//! Recorded texts of agents, as what a model is trained on.

use crate::spelling::tokenized;
use crate::tools::Protocol;
use zoo_plugin::prelude::*;
use zoo_plugin::{Description, Handle};

/// Prompts with texts that an agent should write: rows of tokens with what is to be learnt of them.
///
/// A response is taken apart where tools answered, and every piece tokenized for itself, as when an agent writes
/// it. Results, with their markers, and the prompt are read and not learnt: `labels` has the next token at each
/// place, and -100 where that is not the agent's own.
///
/// # Paper
/// Wu et al.: MaskSearch, arXiv 2505.20285, section 3.2.
///
/// # Example
/// ```mlm
/// data      words   = text.lines(file: asset("corpus.txt"))
/// tokenizer plain   = text.words(corpus: words, special_tokens: false)
/// masker    learn   = decoding.demonstrations(tokenizer: plain)
/// ```
#[component(
    masker,
    name = "decoding.demonstrations",
    inputs(
        prompt: "text[B]" = "prompts",
        response: "text[B]" = "what the agent should write after each, with calls and their results",
    ),
    outputs(
        ids: "int[B, T]" = "prompts and responses, filled up on the right",
        attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
        loss_mask: "int[B, T]" = "1 for the agent's own tokens",
        labels: "int[B, T]" = "the next token of the agent at each place; -100 for none",
    ),
    loader,
    bounds(T = "maximum_length"),
)]
pub struct Demonstrations {
    /// Texts to tokens, without special tokens.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Begins a call.
    #[param(default = "<search>")]
    pub call_open: String,
    /// Ends a call.
    #[param(default = "</search>")]
    pub call_close: String,
    /// Begins a result; nothing, when empty.
    #[param(default = "<information>")]
    pub result_open: String,
    /// Ends a result; where it is empty, a result reaches to the next call or to the answer.
    #[param(default = "</information>")]
    pub result_close: String,
    /// Begins the answer.
    #[param(default = "<answer>")]
    pub answer_open: String,
    /// Put at the end of each response.
    #[param(default = "")]
    pub end: String,
    /// Longer rows are cut.
    #[param(default = 512, range = ">= 2", kind = "tokens")]
    pub maximum_length: usize,
    /// The token that rows are filled up with.
    #[param(default = 0, range = ">= 0")]
    pub padding: i64,
}

impl Demonstrations {
    fn protocol(&self) -> Protocol {
        Protocol {
            call_open: self.call_open.clone(),
            call_close: self.call_close.clone(),
            result_open: self.result_open.clone(),
            result_close: self.result_close.clone(),
            maximum_calls: usize::MAX,
        }
    }
}

impl Component for Demonstrations {
    type State = Description;

    fn build(&self, cx: &mut Build<'_>) -> Result<Description> {
        if self.call_close.trim().is_empty() {
            return Err(Error::new("a call ends with a marker, and this is empty").at("call_close"));
        }
        cx.describe(self.tokenizer)
    }

    fn call(
        &self,
        tokenizer: &Description,
        x: DemonstrationsInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<DemonstrationsOutputs> {
        if x.prompt.len() != x.response.len() {
            let text = format!("there are {} prompts and {} responses", x.prompt.len(), x.response.len());
            return Err(Error::new(text).at("in.response"));
        }
        let protocol = self.protocol();
        let (mut texts, mut owners, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (prompt, response) in x.prompt.iter().zip(x.response.iter()) {
            let response = format!("{response}{}{}", if self.end.is_empty() { "" } else { " " }, self.end);
            let pieces = protocol.pieces(&response, &[self.answer_open.as_str()]);
            let all = std::iter::once((prompt, false)).chain(pieces);
            let before = texts.len();
            for (piece, own) in all {
                texts.push(piece.trim().to_owned());
                owners.push(own);
            }
            rows.push(before..texts.len());
        }
        let ids = tokenized(cx, (self.tokenizer, tokenizer), texts)?;
        let rows: Vec<Vec<(i64, bool)>> = rows
            .into_iter()
            .map(|range| {
                let tokens = range.flat_map(|piece| ids[piece].iter().map(move |id| (*id, piece)));
                tokens.take(self.maximum_length).map(|(id, piece)| (id, owners[piece])).collect()
            })
            .collect();
        let width = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let count = rows.len() * width;
        let (mut ids, mut mask) = (vec![self.padding; count], vec![0_i64; count]);
        let (mut loss, mut labels) = (vec![0_i64; count], vec![-100_i64; count]);
        for (row, tokens) in rows.iter().enumerate() {
            for (at, (id, own)) in tokens.iter().enumerate() {
                let place = row * width + at;
                (ids[place], mask[place], loss[place]) = (*id, 1, i64::from(*own));
                if *own && at > 0 {
                    labels[place - 1] = *id;
                }
            }
        }
        let tensor = |values: &[i64]| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(values)?.f_view([rows.len() as i64, width as i64])?)
        };
        Ok(DemonstrationsOutputs {
            ids: tensor(&ids)?,
            attention_mask: tensor(&mask)?,
            loss_mask: tensor(&loss)?,
            labels: tensor(&labels)?,
        })
    }
}
