//! Prediction of tokens: masked language modelling, and its variants over all tokens.

use zoo_plugin::prelude::*;

/// Cross-entropy of tokens at chosen places: the loss of a masked language model.
///
/// For scores z and target y a place's term is `log sum exp z - z[y]`, in nats, computed in 32 bits
/// whatever the precision of the scores. The loss is the sum over the targets, the number of targets is
/// theirs; negative targets are left out of both.
///
/// # Paper
/// Devlin, Chang, Lee, Toutanova: BERT, NAACL 2019, section 3.1.
///
/// # Example
/// ```mlm
/// objective mlm = language_modelling.masked_cross_entropy()
/// ```
#[component(
    objective,
    name = "language_modelling.masked_cross_entropy",
    inputs(
        logits: "float[M, V]" = "scores of every token at each place",
        labels: "int[M]" = "the right token at each place; below 0 for none",
    ),
    outputs(loss: "float[]" = "sum over the targets, in nats"),
    count_inputs(labels),
    cost(flops = "5 * M * V", activations = "M * V"),
)]
pub struct MaskedCrossEntropy {
    /// Share of the probability that is spread over all tokens (Szegedy et al., 2016).
    #[param(default = 0.0, range = "[0%, 100%)", kind = "fraction")]
    pub label_smoothing: f64,
}

impl MaskedCrossEntropy {
    /// Scores [M, V] and targets [M] to the sum over the targets, a scalar.
    ///
    /// # Errors
    ///
    /// Those of libtorch: shapes that do not fit, a target beyond the vocabulary.
    pub fn loss(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let logits = logits.f_to_kind(Kind::Float)?;
        if labels.size().first() == Some(&0) {
            // Keeps the graph whole where a part of a batch has no target.
            return Ok(logits.f_sum(None::<Kind>)?);
        }
        // Any negative target is one to ignore; libtorch knows one of them.
        let ignored = labels.f_clamp_min(-1)?;
        Ok(logits.f_cross_entropy_loss(
            &ignored,
            None::<&Tensor>,
            tch::Reduction::Sum,
            -1,
            self.label_smoothing,
        )?)
    }
}

/// How many of the labels are targets.
fn targets(labels: &Tensor) -> Result<f64> {
    Ok(f64::try_from(labels.f_ge(0)?.f_sum(Kind::Int64)?.f_to_kind(Kind::Double)?)?)
}

impl Component for MaskedCrossEntropy {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: MaskedCrossEntropyInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<MaskedCrossEntropyOutputs> {
        Ok(MaskedCrossEntropyOutputs { loss: self.loss(x.logits, x.labels)? })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        targets(ports.required("labels")?.tensor("labels")?)
    }
}

/// Prediction of every token of a partly replaced text, with a way to copy.
///
/// A gate says for each place how likely the token there is the original, `c = sigmoid(copy)`; the
/// model's distribution is `c` on the token that stands there and `(1 - c) softmax(logits)` elsewhere
/// beside it. The loss is the sum of the negative logarithms of the probabilities of the original tokens.
/// It is the ablation All-Tokens MLM of ELECTRA, between masked language modelling and replaced-token
/// detection.
///
/// # Paper
/// Clark, Luong, Le, Manning: ELECTRA, ICLR 2020, section 3.4.
///
/// # Example
/// ```mlm
/// objective everywhere = language_modelling.all_tokens_cross_entropy()
/// ```
#[component(
    objective,
    name = "language_modelling.all_tokens_cross_entropy",
    inputs(
        logits: "float[M, V]" = "scores of every token at every place b * T + t",
        copy: "float[B, T]" = "log-odds that the token is the original",
        ids: "int[B, T]" = "the tokens that the model read",
        labels: "int[B, T]" = "the original tokens",
        attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
    ),
    outputs(loss: "float[]" = "sum over the tokens, in nats"),
    count_inputs(attention_mask),
    cost(flops = "6 * M * V", activations = "M * V", workspace = "2 * M * V"),
)]
pub struct AllTokensCrossEntropy {}

impl AllTokensCrossEntropy {
    /// The sum over real tokens, a scalar; shapes as the ports have them.
    ///
    /// # Errors
    ///
    /// Those of libtorch.
    pub fn loss(
        &self,
        logits: &Tensor,
        copy: &Tensor,
        ids: &Tensor,
        labels: &Tensor,
        attention_mask: &Tensor,
    ) -> Result<Tensor> {
        let logits = logits.f_to_kind(Kind::Float)?;
        let copy = copy.f_to_kind(Kind::Float)?.f_reshape([-1])?;
        let (ids, labels) = (ids.f_reshape([-1])?, labels.f_reshape([-1])?);
        let chosen = logits.f_log_softmax(-1, Kind::Float)?.f_gather(1, &labels.f_unsqueeze(1)?, false)?;
        let written = copy.f_neg()?.f_log_sigmoid()?.f_add(&chosen.f_squeeze_dim(1)?)?;
        let both = copy.f_log_sigmoid()?.f_logaddexp(&written)?;
        let log = both.f_where_self(&ids.f_eq_tensor(&labels)?, &written)?;
        let real = attention_mask.f_reshape([-1])?.f_ne(0)?;
        Ok(log.f_masked_select(&real)?.f_sum(Kind::Float)?.f_neg()?)
    }
}

impl Component for AllTokensCrossEntropy {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: AllTokensCrossEntropyInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<AllTokensCrossEntropyOutputs> {
        let loss = self.loss(x.logits, x.copy, x.ids, x.labels, x.attention_mask)?;
        Ok(AllTokensCrossEntropyOutputs { loss })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        let mask = ports.required("attention_mask")?.tensor("attention_mask")?;
        Ok(f64::try_from(mask.f_ne(0)?.f_sum(Kind::Int64)?.f_to_kind(Kind::Double)?)?)
    }
}

/// Cross-entropy of classes: the loss of a classifier.
///
/// # Example
/// ```mlm
/// objective topic = language_modelling.class_cross_entropy()
/// ```
#[component(
    objective,
    name = "language_modelling.class_cross_entropy",
    inputs(
        logits: "float[B, classes]" = "scores of the classes",
        labels: "int[B]" = "the right class; below 0 for none",
    ),
    outputs(loss: "float[]" = "sum over the examples, in nats"),
    count_inputs(labels),
    cost(flops = "5 * B * classes"),
)]
pub struct ClassCrossEntropy {
    /// Share of the probability that is spread over all classes.
    #[param(default = 0.0, range = "[0%, 100%)", kind = "fraction")]
    pub label_smoothing: f64,
}

impl Component for ClassCrossEntropy {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: ClassCrossEntropyInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<ClassCrossEntropyOutputs> {
        let tokens = MaskedCrossEntropy { label_smoothing: self.label_smoothing };
        Ok(ClassCrossEntropyOutputs { loss: tokens.loss(x.logits, x.labels)? })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        targets(ports.required("labels")?.tensor("labels")?)
    }
}

/// Cross-entropy of each token's class: the loss of sequence labelling.
///
/// # Example
/// ```mlm
/// objective tags = language_modelling.token_cross_entropy()
/// ```
#[component(
    objective,
    name = "language_modelling.token_cross_entropy",
    inputs(
        logits: "float[B, T, classes]" = "scores of the classes",
        labels: "int[B, T]" = "the right class; below 0 for none, as for padding and the later pieces of a word",
    ),
    outputs(loss: "float[]" = "sum over the labelled tokens, in nats"),
    count_inputs(labels),
    cost(flops = "5 * B * T * classes"),
)]
pub struct TokenCrossEntropy {
    /// Share of the probability that is spread over all classes.
    #[param(default = 0.0, range = "[0%, 100%)", kind = "fraction")]
    pub label_smoothing: f64,
}

impl Component for TokenCrossEntropy {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: TokenCrossEntropyInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<TokenCrossEntropyOutputs> {
        let tokens = MaskedCrossEntropy { label_smoothing: self.label_smoothing };
        let classes = x.logits.size().last().copied().unwrap_or(1);
        let loss = tokens.loss(&x.logits.f_reshape([-1, classes])?, &x.labels.f_reshape([-1])?)?;
        Ok(TokenCrossEntropyOutputs { loss })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        targets(ports.required("labels")?.tensor("labels")?)
    }
}
