//! BERT with its masked-language-model head.

use crate::encoder::{Encoder, encoder_component, tokens};
use crate::heads::{VocabularyHead, VocabularyNames};
use zoo_plugin::prelude::*;

const NAMES: VocabularyNames = VocabularyNames {
    dense: "cls.predictions.transform.dense",
    norm: "cls.predictions.transform.LayerNorm",
    bias: "cls.predictions.bias",
};

encoder_component! {
    /// BERT: a bidirectional encoder with scores over the vocabulary.
    ///
    /// The encoder of `transformer.encoder`; on top of it a dense layer, GELU, a layer norm, and the word
    /// embeddings again as output weights, with a bias. Scores are computed at `positions` alone.
    /// Parameters are named as in a `BertForMaskedLM` checkpoint.
    ///
    /// # Paper
    /// Devlin, Chang, Lee, Toutanova: BERT, NAACL 2019, section 3.1.
    ///
    /// # Example
    /// ```mlm
    /// model bert = transformer.masked_lm(vocabulary: 30522, layers: 4, hidden: 256)
    /// ```
    #[component(
        architecture,
        name = "transformer.masked_lm",
        inputs(
            ids: "int[B, T]" = "token ids",
            attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding; all ones, when absent",
            segment_ids: "int[B, T]"? = "segment of each token; all zero, when absent",
            positions: "int[M]"? = "flat places b * T + t to score; every token, when absent",
            document_ids: "int[B, T]"? = "document of each token, which sees no other, with positions from 0; 0 for padding; a row is one document, when absent",
        ),
        outputs(
            hidden: "float[B, T, hidden]"? = "states of the last layer",
            logits: "float[M, vocabulary]"? = "scores of every token id at the positions",
            attentions: "float[B, heads, T, T]"* = "what each token (third axis) pays to every other, without dropout, layer by layer",
        ),
        sites(
            "layers.{layers}.attention.query": "hidden" => "hidden",
            "layers.{layers}.attention.key": "hidden" => "hidden",
            "layers.{layers}.attention.value": "hidden" => "hidden",
            "layers.{layers}.attention.output": "hidden" => "hidden",
            "layers.{layers}.feed_forward.inner": "hidden" => "feed_forward",
            "layers.{layers}.feed_forward.outer": "feed_forward" => "hidden",
        ),
        parameters,
        random,
        cost(
            flops = "B * T * layers * (8 * hidden * hidden + 4 * T * hidden + 4 * hidden * feed_forward) + 2 * B * T * embedding * hidden * min(1, max(embedding - hidden, hidden - embedding)) + M * (2 * hidden * embedding + 2 * embedding * vocabulary)",
            parameters = "(vocabulary + maximum_length + segments + 2) * embedding + (embedding * hidden + hidden) * min(1, max(embedding - hidden, hidden - embedding)) + layers * (4 * hidden * hidden + 9 * hidden + 2 * hidden * feed_forward + feed_forward) + hidden * embedding + 3 * embedding + vocabulary",
            activations = "B * T * (embedding * (1 + min(1, dropout * 1000) + min(1, max(embedding - hidden, hidden - embedding))) + layers * (hidden * (8 + 2 * min(1, dropout * 1000) + min(1, head_dropout * 1000)) + 2 * feed_forward + 4 + 3 * heads * T * min(1, attention_dropout * 1000))) + M * (hidden + 3 * embedding)",
            workspace = "max(max(B * T * (6 * hidden + 2 * feed_forward), 5 * B * T * embedding), B * T * hidden + M * (hidden + 3 * embedding + vocabulary))",
        ),
        bounds(T = "maximum_length"),
        parts("bert.embeddings" = "(vocabulary + maximum_length + segments + 2) * embedding"),
    )]
    pub struct MaskedLanguageModel;
}

impl Component for MaskedLanguageModel {
    type State = (Encoder, VocabularyHead);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let shape = self.shape()?;
        let encoder = Encoder::new(cx, "bert.", &shape, self.causal()?)?;
        Ok((encoder, VocabularyHead::new(cx, &NAMES, &shape)?))
    }

    fn export(&self, _state: &Self::State) -> Result<Vec<u8>> {
        self.hub_config("bert", "BertForMaskedLM")
    }

    fn call(
        &self,
        (encoder, head): &Self::State,
        x: MaskedLanguageModelInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<MaskedLanguageModelOutputs> {
        let mut attentions = Vec::new();
        let probabilities = cx.wants("attentions").then_some(&mut attentions);
        let states = encoder.forward_with(tokens!(x), probabilities, cx)?;
        let logits = if cx.wants("logits") {
            Some(head.forward(&states, x.positions, encoder.words())?)
        } else {
            None
        };
        let hidden = if cx.wants("hidden") { Some(states.rows()?) } else { None };
        Ok(MaskedLanguageModelOutputs { hidden, logits, attentions })
    }
}
