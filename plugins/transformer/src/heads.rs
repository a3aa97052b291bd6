//! What stands on top of an encoder.

use crate::encoder::Shape;
use crate::layout::States;
use zoo_plugin::prelude::*;

/// Scores over the vocabulary: dense, GELU, layer norm, the word embeddings again, a bias.
#[derive(Debug)]
pub struct VocabularyHead {
    dense: Linear,
    norm: LayerNorm,
    bias: Tensor,
}

/// Names of a vocabulary head's parameters, which differ between families.
pub(crate) struct VocabularyNames {
    pub(crate) dense: &'static str,
    pub(crate) norm: &'static str,
    pub(crate) bias: &'static str,
}

impl VocabularyHead {
    pub(crate) fn new(cx: &mut Build<'_>, names: &VocabularyNames, shape: &Shape) -> Result<Self> {
        Ok(Self {
            dense: Linear::new(cx, names.dense, shape.hidden, shape.embedding, true, shape.init())?,
            norm: LayerNorm::new(cx, names.norm, shape.embedding, shape.epsilon)?,
            bias: cx.parameter(names.bias, &[shape.vocabulary], Init::Zeros)?,
        })
    }

    /// States to scores [M, vocabulary] at the flat positions b·T + t, or at every place where none are
    /// given.
    pub(crate) fn forward(
        &self,
        states: &States,
        positions: Option<&Tensor>,
        words: &Tensor,
    ) -> Result<Tensor> {
        // Only the masked positions: the head is the most expensive part of a small model.
        let chosen = states.at(positions)?;
        let x = self.norm.forward(&self.dense.forward(&chosen)?.f_gelu("none")?)?;
        Ok(x.f_linear(words, Some(&self.bias))?)
    }
}

/// One score a token: dense, GELU, a vector.
#[derive(Debug)]
pub struct TokenScoreHead {
    dense: Linear,
    score: Linear,
}

impl TokenScoreHead {
    pub(crate) fn new(cx: &mut Build<'_>, name: &str, shape: &Shape) -> Result<Self> {
        let init = shape.init();
        Ok(Self {
            dense: Linear::new(cx, &format!("{name}.dense"), shape.hidden, shape.hidden, true, init)?,
            score: Linear::new(cx, &format!("{name}.dense_prediction"), shape.hidden, 1, true, init)?,
        })
    }

    /// States to scores [B, T].
    pub(crate) fn forward(&self, states: &States) -> Result<Tensor> {
        let x = self.dense.forward(&states.states)?.f_gelu("none")?;
        Ok(states.in_rows(&self.score.forward(&x)?)?.f_squeeze_dim(-1)?)
    }
}

/// Scores of classes from the state of the first token: dropout and a linear map.
///
/// It is what stands on an encoder when a text, or a pair of texts, is classified.
///
/// # Paper
/// Devlin, Chang, Lee, Toutanova: BERT, NAACL 2019, section 4.1.
///
/// # Example
/// ```mlm
/// model topic = transformer.classifier(hidden: 256, classes: 5)
/// ```
#[component(
    head,
    name = "transformer.classifier",
    inputs(states: "float[B, T, hidden]" = "states of an encoder's last layer"),
    outputs(logits: "float[B, classes]" = "scores of the classes"),
    parameters,
    random,
    cost(
        flops = "2 * B * hidden * classes",
        parameters = "hidden * classes + classes",
        activations = "2 * B * hidden + B * classes",
    ),
)]
pub struct Classifier {
    /// Size of the states.
    #[param(range = ">= 1")]
    pub hidden: usize,
    /// Number of classes.
    #[param(range = ">= 2")]
    pub classes: usize,
    /// Dropout of the first token's state.
    #[param(default = 0.1, range = "[0%, 100%)", kind = "fraction")]
    pub dropout: f64,
    /// Standard deviation of the truncated normal that the weights start from.
    #[param(default = 0.02, range = ">= 0")]
    pub initial_deviation: f64,
}

impl Component for Classifier {
    type State = Linear;

    fn build(&self, cx: &mut Build<'_>) -> Result<Linear> {
        let init = Init::TruncatedNormal { mean: 0.0, std: self.initial_deviation };
        Linear::new(cx, "classifier", self.hidden as i64, self.classes as i64, true, init)
    }

    fn call(&self, linear: &Linear, x: ClassifierInputs<'_>, cx: &mut Call<'_>) -> Result<ClassifierOutputs> {
        let first = dropout(x.states.f_select(1, 0)?, self.dropout, cx)?;
        Ok(ClassifierOutputs { logits: linear.forward(&first)? })
    }
}

/// Scores of classes for every token: dropout and a linear map.
///
/// What stands on an encoder, or a decoder, when a sequence is labelled.
///
/// # Paper
/// Devlin, Chang, Lee, Toutanova: BERT, NAACL 2019, section 5.3.
///
/// # Example
/// ```mlm
/// model tagger = transformer.token_classifier(hidden: 256, classes: 9)
/// ```
#[component(
    head,
    name = "transformer.token_classifier",
    inputs(states: "float[B, T, hidden]" = "states of a model's last layer"),
    outputs(
        logits: "float[B, T, classes]" = "scores of the classes",
        predicted: "int[B, T]"? = "the class with the highest score, the first of several",
    ),
    parameters,
    random,
    cost(
        flops = "2 * B * T * hidden * classes",
        parameters = "hidden * classes + classes",
        activations = "2 * B * T * hidden + B * T * classes",
    ),
)]
pub struct TokenClassifier {
    /// Size of the states.
    #[param(range = ">= 1")]
    pub hidden: usize,
    /// Number of classes.
    #[param(range = ">= 2")]
    pub classes: usize,
    /// Dropout of the states.
    #[param(default = 0.1, range = "[0%, 100%)", kind = "fraction")]
    pub dropout: f64,
    /// Standard deviation of the truncated normal that the weights start from.
    #[param(default = 0.02, range = ">= 0")]
    pub initial_deviation: f64,
}

impl Component for TokenClassifier {
    type State = Linear;

    fn build(&self, cx: &mut Build<'_>) -> Result<Linear> {
        let init = Init::TruncatedNormal { mean: 0.0, std: self.initial_deviation };
        Linear::new(cx, "classifier", self.hidden as i64, self.classes as i64, true, init)
    }

    fn call(
        &self,
        linear: &Linear,
        x: TokenClassifierInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<TokenClassifierOutputs> {
        let states = dropout(x.states.shallow_clone(), self.dropout, cx)?;
        let logits = linear.forward(&states)?;
        let predicted = if cx.wants("predicted") { Some(logits.f_argmax(-1, false)?) } else { None };
        Ok(TokenClassifierOutputs { logits, predicted })
    }
}

/// Scores of a few tokens of its own at chosen places: dense, GELU, layer norm, a linear map.
///
/// It stands where the head of masked language modelling would, made for the words of one task: one output for each
/// token of a verbalizer, the same at every gap. It begins at random, and so knows nothing of what the words mean,
/// unlike the pre-trained head.
///
/// # Paper
/// Rieger, Ruckdeschel, Wiedemann: PETapter, 2024; the authors' code.
///
/// # Example
/// ```mlm
/// model words = transformer.cloze_head(hidden: 256, tokens: 6)
/// ```
#[component(
    head,
    name = "transformer.cloze_head",
    inputs(
        states: "float[B, T, hidden]" = "states of an encoder's last layer",
        positions: "int[M]" = "flat places b * T + t that are scored",
    ),
    outputs(logits: "float[M, tokens]" = "scores of the tokens at the places"),
    parameters,
    cost(
        flops = "2 * M * hidden * (hidden + tokens)",
        parameters = "hidden * hidden + 3 * hidden + hidden * tokens + tokens",
        activations = "4 * M * hidden + M * tokens",
    ),
)]
pub struct ClozeHead {
    /// Size of the states.
    #[param(range = ">= 1")]
    pub hidden: usize,
    /// Number of tokens.
    #[param(range = ">= 2")]
    pub tokens: usize,
    /// ε of the layer norm.
    #[param(default = 1e-12, range = "> 0")]
    pub epsilon: f64,
    /// Standard deviation of the truncated normal that the weights start from.
    #[param(default = 0.02, range = ">= 0")]
    pub initial_deviation: f64,
}

/// Its two maps and the layer norm between them.
#[derive(Debug)]
pub struct ClozeParts {
    dense: Linear,
    norm: LayerNorm,
    decoder: Linear,
}

impl Component for ClozeHead {
    type State = ClozeParts;

    fn build(&self, cx: &mut Build<'_>) -> Result<ClozeParts> {
        let (hidden, tokens) = (self.hidden as i64, self.tokens as i64);
        let init = Init::TruncatedNormal { mean: 0.0, std: self.initial_deviation };
        Ok(ClozeParts {
            dense: Linear::new(cx, "dense", hidden, hidden, true, init)?,
            norm: LayerNorm::new(cx, "layer_norm", hidden, self.epsilon)?,
            decoder: Linear::new(cx, "decoder", hidden, tokens, true, init)?,
        })
    }

    fn call(&self, parts: &ClozeParts, x: ClozeHeadInputs<'_>, _: &mut Call<'_>) -> Result<ClozeHeadOutputs> {
        let flat = x.states.f_reshape([-1, self.hidden as i64])?.f_index_select(0, x.positions)?;
        let inner = parts.norm.forward(&parts.dense.forward(&flat)?.f_gelu("none")?)?;
        Ok(ClozeHeadOutputs { logits: parts.decoder.forward(&inner)? })
    }
}
