//! A text model as plain data: what a family makes of its `config.json`.

use crate::blocks::attention::AttentionSpecification;
use crate::blocks::buckets::BucketsSpecification;
use crate::blocks::convolution::ConvolutionSpecification;
use crate::blocks::disentangled::RelationsSpecification;
use crate::blocks::embeddings::EmbeddingsSpecification;
use crate::blocks::feed_forward::FeedForwardKind;
use crate::blocks::heads::{ClassesSpecification, TransformSpecification, VocabularySpecification};
use crate::blocks::layer::LayerSpecification;
use crate::blocks::norm::NormSpecification;
use crate::blocks::rotary::RotarySpecification;
use zoo_plugin::{Error, Result};

/// Embeddings, layers and heads.
#[derive(Clone, Debug)]
pub struct Specification {
    /// The `model_type`.
    pub family: &'static str,
    /// Size of the states.
    pub hidden: i64,
    /// What the names of the base model begin with in a model with a head: `bert.`.
    pub prefix: &'static str,
    /// Embeddings.
    pub embeddings: EmbeddingsSpecification,
    /// What the names of layers begin with, before their number: `encoder.layer`.
    pub layer_path: &'static str,
    /// Layers.
    pub layers: Vec<LayerSpecification>,
    /// A norm after the last layer, under that name.
    pub final_norm: Option<(&'static str, NormSpecification)>,
    /// Rotary embeddings, to which layers refer by number.
    pub rotary: Vec<RotarySpecification>,
    /// A table of relative positions, below that path.
    pub relations: Option<(&'static str, RelationsSpecification)>,
    /// A table of scores by distance, which all layers share.
    pub buckets: Option<BucketsSpecification>,
    /// A convolution beside the first layer, below that path.
    pub convolution: Option<(&'static str, ConvolutionSpecification)>,
    /// Whether padding sees nobody, as in DeBERTa; else it sees tokens like everybody.
    pub padding_is_blind: bool,
    /// Dropout of the last states.
    pub final_dropout: f64,
    /// What the names of sites begin with: `encoder.` in a model that has a decoder, too.
    pub sites: &'static str,
    /// Standard deviation of new weights.
    pub deviation: f64,
    /// Scores over the vocabulary, and whether each token's are those of the next one.
    pub vocabulary: Option<(VocabularySpecification, Direction)>,
    /// Scores of replaced tokens: what stands before, and the name of the last map.
    pub replaced: Option<(TransformSpecification, &'static str)>,
    /// The vector of the first token that the base model adds.
    pub pooler: Option<TransformSpecification>,
    /// Classes of texts.
    pub sequence: Option<ClassesSpecification>,
    /// Classes of tokens.
    pub tokens: Option<ClassesSpecification>,
}

/// Two text models, of which the second looks at the first and writes.
#[derive(Clone, Debug)]
pub struct PairSpecification {
    /// What reads.
    pub encoder: Specification,
    /// What writes.
    pub decoder: Specification,
    /// Whether it has a token table of its own; else the encoder's.
    pub own_words: bool,
    /// Scores of the next token.
    pub head: VocabularySpecification,
    /// The token that a text begins with.
    pub start: i64,
    /// The token that stands where a label is -100.
    pub padding: i64,
}

impl PairSpecification {
    /// Applies what a recipe changes, to both.
    ///
    /// # Errors
    /// As [`Specification::changed`].
    pub fn changed(mut self, overrides: Overrides<'_>) -> Result<Self> {
        self.encoder = self.encoder.changed(overrides)?;
        self.decoder = self.decoder.changed(overrides)?;
        Ok(self)
    }
}

/// Which token scores over the vocabulary are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The token itself, hidden from the model.
    Masked,
    /// The next one.
    Causal,
}

/// What a recipe changes when it loads a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides<'o> {
    /// Dropout of embeddings, residual branches and heads.
    pub dropout: Option<f64>,
    /// Dropout of attention probabilities.
    pub attention_dropout: Option<f64>,
    /// `causal` or `bidirectional`: one for all layers, or one each.
    pub attention: Option<&'o [String]>,
}

impl Specification {
    /// Applies what a recipe changes.
    ///
    /// # Errors
    /// A list of the wrong length, or an unknown way of attention.
    pub fn changed(mut self, overrides: Overrides<'_>) -> Result<Self> {
        if let Some(rate) = overrides.dropout {
            self.embeddings.dropout = rate;
            self.final_dropout = if self.final_dropout > 0.0 { rate } else { 0.0 };
            for layer in &mut self.layers {
                (layer.dropout, layer.attention_output_dropout) = (rate, rate);
                layer.feed_forward.dropout = if layer.feed_forward.dropout > 0.0 { rate } else { 0.0 };
            }
            for head in [&mut self.sequence, &mut self.tokens].into_iter().flatten() {
                (head.first_dropout, head.dropout) = (rate, rate);
            }
        }
        if let Some(rate) = overrides.attention_dropout {
            self.each_attention(|attention| attention.dropout = rate);
        }
        if let Some(ways) = overrides.attention {
            let count = self.layers.len();
            if ways.len() != 1 && ways.len() != count {
                return Err(Error::new(format!("`attention` has {} entries for {count} layers", ways.len()))
                    .help("give one entry for all layers, or one each")
                    .at("attention"));
            }
            for (i, layer) in self.layers.iter_mut().enumerate() {
                let way = ways.get(i).or(ways.first()).map_or("", String::as_str);
                layer.attention.reach.causal = match way {
                    "causal" => true,
                    "bidirectional" => false,
                    other => {
                        let text = format!("attention is `causal` or `bidirectional`, not `{other}`");
                        return Err(Error::new(text).at("attention"));
                    }
                };
            }
        }
        Ok(self)
    }

    /// The sizes that sites and costs are told by, under the names of the components' parameters; of a model
    /// without layers those of the states and tokens alone.
    pub fn sizes(&self) -> Vec<(&'static str, i64)> {
        let mut sizes = vec![
            ("layers", self.layers.len() as i64),
            ("hidden", self.hidden),
            ("vocabulary", self.embeddings.vocabulary),
        ];
        if let Some(first) = self.layers.first() {
            let plain = matches!(first.feed_forward.kind, FeedForwardKind::Plain { .. });
            sizes.extend([
                ("queries", first.attention.heads * first.attention.head),
                ("keys", first.attention.key_heads * first.attention.head),
                ("feed_forward", first.feed_forward.inner),
                ("feed_forward_maps", if plain { 2 } else { 3 }),
            ]);
        }
        sizes
    }

    /// Whether sizes that a recipe gives are those of the configuration.
    ///
    /// # Errors
    /// One that is another, with what it is.
    pub fn has_sizes(&self, given: &[(&str, Option<usize>)]) -> Result<()> {
        let sizes = self.sizes();
        for (name, size) in given {
            let Some(size) = size else { continue };
            let real = sizes.iter().find(|(known, _)| known == name).map(|(_, real)| *real);
            if let Some(real) = real.filter(|real| *real != *size as i64) {
                let text = format!("the configuration has {real} for `{name}`, and the recipe {size}");
                return Err(Error::new(text).at(*name).help(format!("write `{name}: {real}`")));
            }
        }
        Ok(())
    }

    /// Changes every layer's attention.
    pub fn each_attention(&mut self, change: impl Fn(&mut AttentionSpecification)) {
        for layer in &mut self.layers {
            change(&mut layer.attention);
            layer.cross.iter_mut().for_each(|cross| change(&mut cross.attention));
        }
    }

    /// A part that the family has, or an error that says which family has none.
    ///
    /// # Errors
    /// When it is none.
    pub fn needed<'s, T>(&self, part: Option<&'s T>, what: &str) -> Result<&'s T> {
        part.ok_or_else(|| Error::new(format!("family `{}` has no {what}", self.family)).at("config"))
    }
}
