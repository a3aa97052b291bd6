//! BERT (Devlin et al., 2019) and those that keep its layers: RoBERTa (Liu et al., 2019), XLM-R
//! (Conneau et al., 2020), ELECTRA (Clark et al., 2020).

use super::{head_size, style};
use crate::blocks::activation::Activation;
use crate::blocks::attention::{AttentionSpecification, Inputs};
use crate::blocks::embeddings::{EmbeddingsSpecification, PositionTable};
use crate::blocks::feed_forward::{FeedForwardKind, FeedForwardSpecification};
use crate::blocks::heads::{ClassesSpecification, Pooling, TransformSpecification, VocabularySpecification};
use crate::blocks::layer::{LayerSpecification, Placement};
use crate::blocks::mask::Reach;
use crate::blocks::norm::{NormKind, NormSpecification};
use crate::config::Config;
use crate::specification::{Direction, Specification};
use zoo_plugin::Result;

pub(super) fn norm(config: &Config) -> Result<NormSpecification> {
    Ok(NormSpecification {
        kind: NormKind::Layer { bias: true },
        epsilon: config.real_or("layer_norm_eps", 1e-12)?,
    })
}

/// The layers of BERT, whose names and sizes its relatives keep.
pub(super) fn layer(config: &Config) -> Result<LayerSpecification> {
    let hidden = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let head = head_size(hidden, heads)?;
    let (style, dropout) = (style(config)?, config.rate_or("hidden_dropout_prob", 0.1)?);
    Ok(LayerSpecification {
        attention: AttentionSpecification {
            hidden,
            heads,
            key_heads: heads,
            head,
            inputs: Inputs::Separate {
                query: "attention.self.query",
                key: "attention.self.key",
                value: "attention.self.value",
            },
            inputs_bias: true,
            key_bias: true,
            output: "attention.output.dense",
            style,
            head_norms: None,
            scale: (head as f64).powf(-0.5),
            soft_cap: None,
            rotary: None,
            rotary_inputs: false,
            relative: None,
            reach: Reach { causal: config.flag_or("is_decoder", false)?, window: None },
            disentangled: None,
            dropout: config.rate_or("attention_probs_dropout_prob", 0.1)?,
        },
        cross: None,
        scales: None,
        drop_path: 0.0,
        feed_forward: FeedForwardSpecification {
            kind: FeedForwardKind::Plain { inner: "intermediate.dense" },
            outer: "output.dense",
            hidden,
            inner: config.size("intermediate_size")?,
            activation: config.activation("hidden_act", "gelu")?,
            style,
            dropout: 0.0,
        },
        placement: Placement::After {
            attention: "attention.output.LayerNorm",
            feed_forward: "output.LayerNorm",
        },
        norm: norm(config)?,
        attention_output_dropout: dropout,
        dropout,
    })
}

/// BERT's base model, and the heads whose names its relatives keep.
pub(super) fn base(config: &Config, family: &'static str, prefix: &'static str) -> Result<Specification> {
    let layer = layer(config)?;
    let (hidden, style, norm) = (layer.attention.hidden, layer.attention.style, layer.norm);
    let vocabulary = config.size("vocab_size")?;
    if config.text_or("position_embedding_type", "absolute")? != "absolute" && family != "esm" {
        return Err(config.unsupported("position_embedding_type", "absolute"));
    }
    let segments = config.whole_or("type_vocab_size", 2)?;
    let dropout = config.rate_or("classifier_dropout", layer.dropout)?;
    let dense = |name| TransformSpecification {
        dense: name,
        size: hidden,
        style,
        activation: Activation::Tanh,
        norm: None,
    };
    let classes = ClassesSpecification {
        pooling: Some(Pooling::First),
        first_dropout: 0.0,
        transform: Some((dense("pooler.dense"), true)),
        dropout,
        classifier: "classifier",
        style,
        classes: config.classes()?,
    };
    Ok(Specification {
        family,
        hidden,
        prefix,
        embeddings: EmbeddingsSpecification {
            words: "embeddings.word_embeddings",
            vocabulary,
            padding: config.padding(0)?,
            size: hidden,
            positions: Some(PositionTable {
                name: "embeddings.position_embeddings",
                count: config.size("max_position_embeddings")?,
                after_padding: None,
                offset: 0,
            }),
            segments: (segments > 0).then_some(("embeddings.token_type_embeddings", segments)),
            norm: Some(("embeddings.LayerNorm", norm)),
            projection: None,
            scale: 1.0,
            token_dropout: None,
            zero_padding: false,
            dropout: layer.dropout,
            deviation: style.deviation,
        },
        layer_path: "encoder.layer",
        layers: vec![layer; config.layers("num_hidden_layers")? as usize],
        final_norm: None,
        rotary: Vec::new(),
        relations: None,
        buckets: None,
        convolution: None,
        padding_is_blind: false,
        final_dropout: 0.0,
        sites: "",
        deviation: style.deviation,
        vocabulary: None,
        replaced: None,
        pooler: Some(dense("pooler.dense")),
        sequence: Some(classes),
        tokens: Some(ClassesSpecification { pooling: None, transform: None, ..classes }),
    })
}

/// Names of a head over the vocabulary: dense layer, norm, output weights, bias where these are tied, bias
/// where not.
pub(super) fn vocabulary(
    config: &Config,
    base: &Specification,
    activation: Activation,
    names: [&'static str; 5],
) -> Result<Option<(VocabularySpecification, Direction)>> {
    let [dense, norm_name, untied, bias, untied_bias] = names;
    let transform = TransformSpecification {
        dense,
        size: base.embeddings.size,
        style: style(config)?,
        activation,
        norm: Some((norm_name, norm(config)?)),
    };
    let tied = config.flag_or("tie_word_embeddings", true)?;
    let head = VocabularySpecification {
        transform: Some(transform),
        untied: (!tied).then_some(untied),
        bias: Some(if tied { bias } else { untied_bias }),
        fixed_bias: None,
        scale: 1.0,
        soft_cap: None,
    };
    Ok(Some((head, Direction::Masked)))
}

pub(super) fn bert(config: &Config) -> Result<Specification> {
    let mut base = base(config, "bert", "bert.")?;
    let activation = base_activation(config)?;
    base.vocabulary = vocabulary(config, &base, activation, BERT_NAMES)?;
    Ok(base)
}

pub(super) const BERT_NAMES: [&str; 5] = [
    "cls.predictions.transform.dense",
    "cls.predictions.transform.LayerNorm",
    "cls.predictions.decoder",
    "cls.predictions.bias",
    "cls.predictions.decoder.bias",
];

pub(super) const ROBERTA_NAMES: [&str; 5] =
    ["lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias", "lm_head.decoder.bias"];

pub(super) fn base_activation(config: &Config) -> Result<Activation> {
    config.activation("hidden_act", "gelu")
}

/// A head over texts of its own, as RoBERTa has it: dropout, dense, an activation, dropout, a map.
pub(super) fn own_classes(base: &mut Specification, activation: Activation) {
    if let Some(classes) = &mut base.sequence {
        classes.first_dropout = classes.dropout;
        classes.classifier = "classifier.out_proj";
        if let Some((transform, inside)) = &mut classes.transform {
            (transform.dense, transform.activation, *inside) = ("classifier.dense", activation, false);
        }
    }
}

pub(super) fn roberta(config: &Config) -> Result<Specification> {
    let mut base = base(config, "roberta", "roberta.")?;
    let padding = Some(config.whole_or("pad_token_id", 1)?);
    base.embeddings.padding = padding;
    if let Some(positions) = &mut base.embeddings.positions {
        positions.after_padding = padding;
    }
    base.vocabulary = vocabulary(config, &base, Activation::Gelu, ROBERTA_NAMES)?;
    own_classes(&mut base, Activation::Tanh);
    Ok(base)
}

pub(super) fn electra(config: &Config) -> Result<Specification> {
    let mut base = base(config, "electra", "electra.")?;
    let style = style(config)?;
    base.embeddings.size = config.size_or("embedding_size", 128)?;
    if base.embeddings.size != base.hidden {
        base.embeddings.projection = Some(("embeddings_project", false, style));
    }
    let names = [
        "generator_predictions.dense",
        "generator_predictions.LayerNorm",
        "generator_lm_head",
        "generator_lm_head.bias",
        "generator_lm_head.bias",
    ];
    base.vocabulary = vocabulary(config, &base, Activation::Gelu, names)?;
    let transform = TransformSpecification {
        dense: "discriminator_predictions.dense",
        size: base.hidden,
        style,
        activation: base_activation(config)?,
        norm: None,
    };
    base.replaced = Some((transform, "discriminator_predictions.dense_prediction"));
    base.pooler = None;
    own_classes(&mut base, Activation::Gelu);
    Ok(base)
}
