//! The component of models that read one text and write another.

use crate::blocks::embeddings::TextInputs;
use crate::blocks::heads::VocabularyHead;
use crate::blocks::mask::Masks;
use crate::blocks::pass::{Cache, Memory};
use crate::config::Config;
use crate::families;
use crate::model::{Answer, Request, Stack};
use crate::specification::Overrides;
use zoo_plugin::prelude::*;

/// A model of a hub checkpoint that reads one text and writes another: scores of the next token.
///
/// Families are t5 and bart; `config.json` says which. The text written so far is `decoder_ids`, or is
/// made from `labels` as in training: moved one place to the right, after the start token.
///
/// When texts are generated, a first call gives `memory` (keys and values of the text that is read) and
/// `cache` (those of the text that is written). Given back as `memory` and `past`, they spare computing
/// anything again; `ids` is then left out.
///
/// # Example
/// ```mlm
/// model translator = checkpoint.seq2seq(config: "file:t5.json")
/// ```
#[component(
    architecture,
    name = "checkpoint.seq2seq",
    inputs(
        ids: "int[B, T]"? = "token ids of the text that is read; needed without `memory` and `encoded`",
        attention_mask: "int[B, T]"? = "1 for tokens of that text, 0 for padding; all ones, when absent",
        encoded: "float[B, T, hidden]"? = "states of that text, as an earlier call gave them",
        memory: "float[B, H, T, size]"* = "keys and values of that text, as an earlier call gave them",
        decoder_ids: "int[B, U]"? = "token ids of the text that is written; made from `labels`, when absent",
        labels: "int[B, U]"? = "the tokens that should be written, -100 where none is scored",
        decoder_attention_mask: "int[B, S]"? = "1 for tokens of the text that is written, 0 for padding, over those of the past and U more; all ones, when absent",
        decoder_position_ids: "int[B, U]"? = "position of each token; counted from the past's end, when absent",
        past: "float[B, H, P, size]"* = "keys and values of earlier tokens of the text that is written",
    ),
    outputs(
        hidden: "float[B, U, hidden]"? = "the decoder's last states",
        logits: "float[B, U, vocabulary]"? = "scores of the token after each",
        hidden_states: "float[B, U, hidden]"* = "the decoder's embeddings, then each layer's states",
        encoded: "float[B, T, hidden]"? = "the encoder's last states",
        encoder_hidden_states: "float[B, T, hidden]"* = "the encoder's embeddings, then each layer's states",
        memory: "float[B, H, T, size]"* = "keys and values of the text that is read: key and value of the decoder's first layer, of the second, …",
        cache: "float[B, H, S, size]"* = "keys and values of the text that is written, likewise",
    ),
    parameters,
    random,
)]
pub struct Seq2Seq {
    /// The `config.json`, or the folder that has one.
    #[param(kind = "asset")]
    pub config: String,
    /// Dropout of embeddings and residual branches; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub dropout: Option<f64>,
    /// Dropout of attention probabilities; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub attention_dropout: Option<f64>,
}

/// Encoder, decoder and head.
#[derive(Debug)]
pub struct Pair {
    encoder: Stack,
    decoder: Stack,
    head: VocabularyHead,
    start: i64,
    padding: i64,
}

impl Pair {
    /// The text written so far, as training has it: the labels after the start token, [B, U].
    fn shifted(&self, labels: &Tensor) -> Result<Tensor> {
        let (batch, length) = labels.size2()?;
        let start = Tensor::f_full([batch, 1], self.start, (Kind::Int64, labels.device()))?;
        let moved = Tensor::f_cat(&[&start, &labels.f_narrow(1, 0, (length - 1).max(0))?], 1)?;
        Ok(moved.f_masked_fill(&moved.f_eq(-100)?, self.padding)?)
    }
}

fn tensors(list: &[&Tensor]) -> Cache {
    Cache { tensors: list.iter().map(|t| t.shallow_clone()).collect() }
}

impl Component for Seq2Seq {
    type State = Pair;

    fn build(&self, cx: &mut Build<'_>) -> Result<Pair> {
        let path = cx.asset(&self.config).map_err(|e| e.at("config"))?;
        let config = Config::read(&path).map_err(|e| e.at("config"))?;
        let overrides =
            Overrides { dropout: self.dropout, attention_dropout: self.attention_dropout, attention: None };
        let s = families::pair(&config)
            .map_err(|e| if e.at.is_empty() { e.at("config") } else { e })?
            .changed(overrides)?;
        let encoder = Stack::new(cx, s.encoder.prefix, &s.encoder)?.described(&config);
        let words = (!s.own_words).then(|| encoder.words().shallow_clone());
        let decoder = Stack::sharing(cx, s.decoder.prefix, &s.decoder, words)?;
        let init = Init::Normal { mean: 0.0, std: s.decoder.embeddings.deviation };
        let head = VocabularyHead::new(cx, s.decoder.hidden, s.decoder.embeddings.vocabulary, init, &s.head)?;
        Ok(Pair { encoder, decoder, head, start: s.start, padding: s.padding })
    }

    fn export(&self, pair: &Pair) -> Result<Vec<u8>> {
        pair.encoder.export(&["ForConditionalGeneration"], None)
    }

    fn call(&self, pair: &Pair, x: Seq2SeqInputs<'_>, cx: &mut Call<'_>) -> Result<Seq2SeqOutputs> {
        let mut encoder_states = Vec::new();
        let encoded = match (x.encoded, x.ids) {
            (Some(encoded), _) => Some(encoded.shallow_clone()),
            (None, Some(ids)) => {
                let text = TextInputs {
                    ids,
                    attention_mask: x.attention_mask,
                    segments: None,
                    positions: None,
                    documents: None,
                };
                let request = Request { states: cx.wants("encoder_hidden_states"), ..Request::default() };
                let Answer { hidden, states, .. } = pair.encoder.forward(&text, request, cx)?;
                encoder_states = states;
                Some(hidden)
            }
            (None, None) if x.memory.is_empty() => {
                return Err(Error::new("there is no text to read")
                    .help("give `ids`, `encoded` or `memory`")
                    .at("in.ids"));
            }
            (None, None) => None,
        };
        let mut answer = Seq2SeqOutputs {
            hidden: None,
            logits: None,
            hidden_states: Vec::new(),
            encoded: encoded.as_ref().map(Tensor::shallow_clone),
            encoder_hidden_states: encoder_states,
            memory: Vec::new(),
            cache: Vec::new(),
        };
        if !["hidden", "logits", "hidden_states", "memory", "cache"].iter().any(|name| cx.wants(name)) {
            return Ok(answer);
        }
        let ids = match (x.decoder_ids, x.labels) {
            (Some(ids), _) => ids.shallow_clone(),
            (None, Some(labels)) => pair.shifted(labels)?,
            (None, None) => {
                return Err(Error::new("there is no text to write on")
                    .help("give `decoder_ids` or `labels`")
                    .at("in.decoder_ids"));
            }
        };
        let memory = tensors(&x.memory);
        let (states, length) = match &encoded {
            Some(states) => (Some(states.shallow_clone()), states.size3()?.1),
            None => (None, memory.length()),
        };
        let options = (pair.decoder.words().kind(), ids.device());
        let kept = cx.wants("memory").then(Cache::default);
        let masks = Masks::new(x.attention_mask, ids.size2()?.1, length, options)?;
        let request = Request {
            states: cx.wants("hidden_states"),
            cache: cx.wants("cache"),
            past: tensors(&x.past),
            memory: Some(Memory { states, masks, cache: memory, kept }),
            replaced: None,
        };
        let text = TextInputs {
            ids: &ids,
            attention_mask: x.decoder_attention_mask,
            segments: None,
            positions: x.decoder_position_ids,
            documents: None,
        };
        let Answer { hidden, states, cache, memory } = pair.decoder.forward(&text, request, cx)?;
        if cx.wants("logits") {
            answer.logits = Some(pair.head.forward(&hidden, pair.decoder.words())?);
        }
        answer.hidden = Some(hidden);
        (answer.hidden_states, answer.cache, answer.memory) = (states, cache.tensors, memory.tensors);
        Ok(answer)
    }
}
