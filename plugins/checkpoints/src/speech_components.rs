//! The components of speech models.

use crate::blocks::projection::Projection;
use crate::config::Config;
use crate::families;
use crate::speech::{SpeechAnswer, SpeechInputs, SpeechSpecification, SpeechStack};
use zoo_plugin::prelude::*;

/// Rates that a recipe changes: dropout, attention dropout, layers left out.
type Rates = [Option<f64>; 3];

fn specification(cx: &mut Build<'_>, config: &str, rates: Rates) -> Result<(SpeechSpecification, Config)> {
    let path = cx.asset(config).map_err(|e| e.at("config"))?;
    let config = Config::read(&path).map_err(|e| e.at("config"))?;
    let read = families::speech(&config).map_err(|e| if e.at.is_empty() { e.at("config") } else { e })?;
    let [dropout, attention_dropout, layer_drop] = rates;
    Ok((read.changed(dropout, attention_dropout, layer_drop), config))
}

/// Sizes that a recipe tells, held against those of the configuration.
fn has_sizes(sizes: &[(&str, Option<usize>, i64)]) -> Result<()> {
    match sizes.iter().find(|(_, told, own)| told.is_some_and(|told| told as i64 != *own)) {
        Some((name, told, own)) => Err(Error::new(format!(
            "the recipe says {}, and the configuration {own}",
            told.unwrap_or_default()
        ))
        .at(*name)
        .help("give the configuration's, or leave the size away")),
        None => Ok(()),
    }
}

/// A speech model of a hub checkpoint: sound to states of its frames.
///
/// Families are wav2vec2-bert, which takes filter banks, and wav2vec2-conformer, which takes samples;
/// `config.json` says which. Frames are hidden where `mask_time_indices`
/// says so, and not on its own in training. wav2vec2-conformer normalises over the batch in training.
///
/// # Example
/// ```mlm
/// model listener = checkpoint.speech_encoder(config: "file:wav2vec2_bert.json")
/// ```
#[component(
    architecture,
    name = "checkpoint.speech_encoder",
    inputs(
        sound: "float[B, T, F]" = "frames of filter banks, or samples as frames of size 1, scaled as the checkpoint's makers did",
        attention_mask: "int[B, T]"? = "1 for them, 0 for padding after them; all ones, when absent",
        mask_time_indices: "bool[B, N]"? = "whether a frame is hidden; none is, when absent",
    ),
    outputs(
        hidden: "float[B, K, size]" = "states of the last layer, or of what shortens them",
        mask: "int[B, K]"? = "1 for states, 0 for those of padding",
        features: "float[B, N, features]"? = "frames after their norm, before their map",
        tapped: "float[B, N, hidden]"? = "states after the layers that `tap` says",
        hidden_states: "float[B, N, hidden]"* = "what goes into the first layer, then each layer's states",
    ),
    parameters,
    random,
    cost(
        flops = "B * T * (layers * (8 * hidden * feed_forward + 14 * hidden * hidden + 6 * T * hidden + 2 * kernel * hidden) + 2 * F * hidden)",
        parameters = "layers * (4 * hidden * feed_forward + 2 * feed_forward + 7 * hidden * hidden + (18 + kernel) * hidden)",
        activations = "B * T * (layers * (40 * hidden + 4 * feed_forward) + 2 * hidden)",
        workspace = "B * T * (12 * hidden + 4 * feed_forward)",
    ),
)]
pub struct SpeechEncoder {
    /// The `config.json`, or the folder that has one.
    #[param(kind = "asset")]
    pub config: String,
    /// Dropout of frames, residual branches and inside blocks; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub dropout: Option<f64>,
    /// Dropout of attention probabilities; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub attention_dropout: Option<f64>,
    /// How likely a layer is left out in training; the configuration's `layerdrop`, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub layer_drop: Option<f64>,
    /// After how many layers `tapped` is taken: 0 for what goes into the first, all when absent.
    #[param(range = ">= 0")]
    pub tap: Option<usize>,
    /// Number of layers. It and the sizes below must be the configuration's, and are needed only where costs are asked
    /// for: a recipe is checked without its files. Costs are those of families that take frames.
    #[param(range = ">= 1")]
    pub layers: Option<usize>,
    /// Size of the states.
    #[param(range = ">= 1")]
    pub hidden: Option<usize>,
    /// Inner size of the feed-forward blocks.
    #[param(range = ">= 1")]
    pub feed_forward: Option<usize>,
    /// Frames that a layer's convolution spans.
    #[param(range = ">= 1")]
    pub kernel: Option<usize>,
}

impl Component for SpeechEncoder {
    type State = (SpeechStack, Config);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let rates = [self.dropout, self.attention_dropout, self.layer_drop];
        let (s, config) = specification(cx, &self.config, rates)?;
        let first = s.layers.first();
        has_sizes(&[
            ("layers", self.layers, s.layers.len() as i64),
            ("hidden", self.hidden, s.hidden),
            ("feed_forward", self.feed_forward, first.map_or(0, |layer| layer.first.inner)),
            ("kernel", self.kernel, first.map_or(0, |layer| layer.convolution.width)),
        ])?;
        if let Some(tap) = self.tap.filter(|tap| *tap > s.layers.len()) {
            let text = format!("the states after {tap} layers, of {}", s.layers.len());
            return Err(Error::new(text).at("tap").help("take those after a layer that there is"));
        }
        Ok((SpeechStack::new(cx, "", &s)?, config))
    }

    fn export(&self, (_, config): &Self::State) -> Result<Vec<u8>> {
        config.of_class(&["Model"], None)
    }

    fn call(
        &self,
        (stack, _): &Self::State,
        x: SpeechEncoderInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<SpeechEncoderOutputs> {
        let inputs =
            SpeechInputs { sound: x.sound, attention_mask: x.attention_mask, hidden: x.mask_time_indices };
        let SpeechAnswer { hidden, mask, features, states } =
            stack.forward(&inputs, cx.wants("hidden_states") || cx.wants("tapped"), cx)?;
        let tapped = self.tap.map_or(states.last(), |tap| states.get(tap)).map(Tensor::shallow_clone);
        Ok(SpeechEncoderOutputs {
            hidden,
            mask: Some(mask),
            features: Some(features),
            tapped,
            hidden_states: states,
        })
    }
}

/// A speech recogniser of a hub checkpoint: scores of letters, and of silence between them, for each frame
/// (Graves et al., 2006).
///
/// Families are wav2vec2-bert and wav2vec2-conformer, as in `checkpoint.speech_encoder`. The number of
/// letters is the configuration's `vocab_size`, unless `letters` says another.
///
/// # Example
/// ```mlm
/// model recogniser = checkpoint.ctc(config: "file:wav2vec2_bert.json", letters: 20)
/// ```
#[component(
    architecture,
    name = "checkpoint.ctc",
    inputs(
        sound: "float[B, T, F]" = "frames of filter banks, or samples as frames of size 1, scaled as the checkpoint's makers did",
        attention_mask: "int[B, T]"? = "1 for them, 0 for padding after them; all ones, when absent",
        mask_time_indices: "bool[B, N]"? = "whether a frame is hidden; none is, when absent",
    ),
    outputs(
        hidden: "float[B, K, size]"? = "states of the last layer, or of what shortens them",
        logits: "float[B, K, letters]"? = "scores of letters",
        mask: "int[B, K]"? = "1 for states, 0 for those of padding",
        hidden_states: "float[B, N, hidden]"* = "what goes into the first layer, then each layer's states",
    ),
    parameters,
    random,
)]
pub struct Ctc {
    /// The `config.json`, or the folder that has one.
    #[param(kind = "asset")]
    pub config: String,
    /// Dropout of frames, residual branches and inside blocks; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub dropout: Option<f64>,
    /// Dropout of attention probabilities; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub attention_dropout: Option<f64>,
    /// How likely a layer is left out in training; the configuration's `layerdrop`, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub layer_drop: Option<f64>,
    /// Number of letters, silence included; the configuration's, when absent.
    #[param(range = ">= 1")]
    pub letters: Option<usize>,
}

/// A recogniser with its parameters.
#[derive(Debug)]
pub struct Recogniser {
    stack: SpeechStack,
    head: Projection,
    dropout: f64,
    letters: i64,
    config: Config,
}

impl Component for Ctc {
    type State = Recogniser;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let rates = [self.dropout, self.attention_dropout, self.layer_drop];
        let (s, config) = specification(cx, &self.config, rates)?;
        let letters = self.letters.map(|n| n as i64).or(s.letters).ok_or_else(|| {
            Error::new("config.json does not say how many letters there are")
                .help("give `letters`, or `vocab_size` in config.json")
                .at("letters")
        })?;
        let stack = SpeechStack::new(cx, s.prefix, &s)?;
        let head = Projection::new(cx, "lm_head", s.size(), letters, s.style)?;
        Ok(Recogniser { stack, head, dropout: s.final_dropout, letters, config })
    }

    fn export(&self, state: &Self::State) -> Result<Vec<u8>> {
        state.config.with("vocab_size", state.letters).of_class(&["ForCTC"], None)
    }

    fn call(&self, state: &Self::State, x: CtcInputs<'_>, cx: &mut Call<'_>) -> Result<CtcOutputs> {
        let inputs =
            SpeechInputs { sound: x.sound, attention_mask: x.attention_mask, hidden: x.mask_time_indices };
        let SpeechAnswer { hidden, mask, states, .. } =
            state.stack.forward(&inputs, cx.wants("hidden_states"), cx)?;
        let logits = if cx.wants("logits") {
            Some(state.head.forward(&dropout(hidden.shallow_clone(), state.dropout, cx)?)?)
        } else {
            None
        };
        Ok(CtcOutputs { hidden: Some(hidden), logits, mask: Some(mask), hidden_states: states })
    }
}
