//! The two models of ELECTRA (Clark et al., ICLR 2020).

use crate::encoder::{Encoder, encoder_component, tokens};
use crate::heads::{TokenScoreHead, VocabularyHead, VocabularyNames};
use zoo_plugin::prelude::*;

const NAMES: VocabularyNames = VocabularyNames {
    dense: "generator_predictions.dense",
    norm: "generator_predictions.LayerNorm",
    bias: "generator_lm_head.bias",
};

encoder_component! {
    /// The generator of ELECTRA: a small encoder with scores over the vocabulary.
    ///
    /// As `transformer.masked_lm`, with embeddings that are usually those of the discriminator
    /// (`share: [discriminator.electra.embeddings]`) and a linear map where its width differs from theirs.
    /// Parameters are named as in an `ElectraForMaskedLM` checkpoint.
    ///
    /// # Paper
    /// Clark, Luong, Le, Manning: ELECTRA, ICLR 2020, section 2.
    ///
    /// # Example
    /// ```mlm
    /// model generator = transformer.electra_generator(vocabulary: 30522, hidden: 64, heads: 1, embedding: 128)
    /// ```
    #[component(
        architecture,
        name = "transformer.electra_generator",
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
        parts("electra.embeddings" = "(vocabulary + maximum_length + segments + 2) * embedding"),
    )]
    pub struct ElectraGenerator;
}

impl Component for ElectraGenerator {
    type State = (Encoder, VocabularyHead);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let shape = self.shape()?;
        let encoder = Encoder::new(cx, "electra.", &shape, self.causal()?)?;
        Ok((encoder, VocabularyHead::new(cx, &NAMES, &shape)?))
    }

    fn export(&self, _state: &Self::State) -> Result<Vec<u8>> {
        self.hub_config("electra", "ElectraForMaskedLM")
    }

    fn call(
        &self,
        (encoder, head): &Self::State,
        x: ElectraGeneratorInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<ElectraGeneratorOutputs> {
        let states = encoder.forward(tokens!(x), cx)?;
        let logits = if cx.wants("logits") {
            Some(head.forward(&states, x.positions, encoder.words())?)
        } else {
            None
        };
        let hidden = if cx.wants("hidden") { Some(states.rows()?) } else { None };
        Ok(ElectraGeneratorOutputs { hidden, logits })
    }
}

encoder_component! {
    /// The discriminator of ELECTRA: an encoder with one score a token, high for replaced ones.
    ///
    /// The encoder of `transformer.encoder`; on top of it a dense layer, GELU and a linear map to one
    /// number. Parameters are named as in an `ElectraForPreTraining` checkpoint.
    ///
    /// # Paper
    /// Clark, Luong, Le, Manning: ELECTRA, ICLR 2020, section 2.
    ///
    /// # Example
    /// ```mlm
    /// model discriminator = transformer.electra_discriminator(vocabulary: 30522, hidden: 256, heads: 4, embedding: 128)
    /// ```
    #[component(
        architecture,
        name = "transformer.electra_discriminator",
        inputs(
            ids: "int[B, T]" = "token ids",
            attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding; all ones, when absent",
            segment_ids: "int[B, T]"? = "segment of each token; all zero, when absent",
            document_ids: "int[B, T]"? = "document of each token, which sees no other, with positions from 0; 0 for padding; a row is one document, when absent",
        ),
        outputs(
            hidden: "float[B, T, hidden]"? = "states of the last layer",
            logits: "float[B, T]"? = "log-odds that the token is replaced",
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
            flops = "B * T * layers * (8 * hidden * hidden + 4 * T * hidden + 4 * hidden * feed_forward) + 2 * B * T * embedding * hidden * min(1, max(embedding - hidden, hidden - embedding)) + B * T * (2 * hidden * hidden + 2 * hidden)",
            parameters = "(vocabulary + maximum_length + segments + 2) * embedding + (embedding * hidden + hidden) * min(1, max(embedding - hidden, hidden - embedding)) + layers * (4 * hidden * hidden + 9 * hidden + 2 * hidden * feed_forward + feed_forward) + hidden * hidden + 2 * hidden + 1",
            activations = "B * T * (embedding * (1 + min(1, dropout * 1000) + min(1, max(embedding - hidden, hidden - embedding))) + layers * (hidden * (8 + 2 * min(1, dropout * 1000) + min(1, head_dropout * 1000)) + 2 * feed_forward + 4 + 3 * heads * T * min(1, attention_dropout * 1000))) + 3 * B * T * hidden",
            workspace = "max(B * T * (6 * hidden + 2 * feed_forward), 5 * B * T * embedding)",
        ),
        bounds(T = "maximum_length"),
        parts("electra.embeddings" = "(vocabulary + maximum_length + segments + 2) * embedding"),
    )]
    pub struct ElectraDiscriminator;
}

impl Component for ElectraDiscriminator {
    type State = (Encoder, TokenScoreHead);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let shape = self.shape()?;
        let encoder = Encoder::new(cx, "electra.", &shape, self.causal()?)?;
        Ok((encoder, TokenScoreHead::new(cx, "discriminator_predictions", &shape)?))
    }

    fn export(&self, _state: &Self::State) -> Result<Vec<u8>> {
        self.hub_config("electra", "ElectraForPreTraining")
    }

    fn call(
        &self,
        (encoder, head): &Self::State,
        x: ElectraDiscriminatorInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<ElectraDiscriminatorOutputs> {
        let states = encoder.forward(tokens!(x), cx)?;
        let logits = if cx.wants("logits") { Some(head.forward(&states)?) } else { None };
        let hidden = if cx.wants("hidden") { Some(states.rows()?) } else { None };
        Ok(ElectraDiscriminatorOutputs { hidden, logits })
    }
}
