//! Replaced-token detection: which tokens of a text are not the original ones.

use zoo_plugin::prelude::*;

/// Puts tokens at places of a text, and says where the text changed.
///
/// The other tokens stay what they were: give the original ids, not the masked ones. A token that is put
/// where the same token stood has changed nothing. Where a place stands several times its tokens must be
/// the same, as samplers here give them.
///
/// # Paper
/// Clark, Luong, Le, Manning: ELECTRA, ICLR 2020, section 2.
///
/// # Example
/// ```mlm
/// model fill = language_modelling.replace()
/// ```
#[component(
    function,
    name = "language_modelling.replace",
    inputs(
        ids: "int[B, T]" = "the original tokens",
        positions: "int[M]" = "flat places b * T + t",
        tokens: "int[M]" = "what is put there",
    ),
    outputs(
        ids: "int[B, T]" = "the changed tokens",
        is_replaced: "bool[B, T]" = "true where they differ from the original",
    ),
)]
pub struct Replace {}

impl Replace {
    /// The changed ids and where they differ.
    ///
    /// # Errors
    ///
    /// Those of libtorch: places beyond the text.
    pub fn put(&self, ids: &Tensor, positions: &Tensor, tokens: &Tensor) -> Result<(Tensor, Tensor)> {
        let shape = ids.size();
        let changed = ids.f_reshape([-1])?.f_scatter(0, positions, tokens)?.f_reshape(shape)?;
        let differs = changed.f_ne_tensor(ids)?;
        Ok((changed, differs))
    }
}

impl Component for Replace {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: ReplaceInputs<'_>, _: &mut Call<'_>) -> Result<ReplaceOutputs> {
        let (ids, is_replaced) = self.put(x.ids, x.positions, x.tokens)?;
        Ok(ReplaceOutputs { ids, is_replaced })
    }
}

/// Replaced-token detection: a binary cross-entropy over tokens, the loss of ELECTRA's discriminator.
///
/// With the log-odds z that a token is replaced, its term is `log(1 + exp(-z))` where it is and
/// `log(1 + exp(z))` where it is not, in nats. The loss is the sum over all real tokens; with
/// `scope: "masked"` over the selected ones alone, the paper's ablation "ELECTRA 15%".
///
/// # Paper
/// Clark, Luong, Le, Manning: ELECTRA, ICLR 2020, sections 2 and 3.4.
///
/// # Example
/// ```mlm
/// objective rtd = language_modelling.replaced_token_detection()
/// ```
#[component(
    objective,
    name = "language_modelling.replaced_token_detection",
    inputs(
        logits: "float[B, T]" = "log-odds that the token is replaced",
        is_replaced: "bool[B, T]" = "whether it is",
        attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
        selected: "bool[B, T]"? = "the places that could be replaced; needed for the scope `masked`",
    ),
    outputs(loss: "float[]" = "sum over the tokens in scope, in nats"),
    count_inputs(attention_mask, selected),
    cost(flops = "6 * B * T"),
)]
pub struct ReplacedTokenDetection {
    /// Which tokens count: every real one, or the selected ones alone.
    #[param(default = "all", one_of("all", "masked"))]
    pub scope: String,
}

impl ReplacedTokenDetection {
    /// True where a token counts.
    fn scope(&self, attention_mask: &Tensor, selected: Option<&Tensor>) -> Result<Tensor> {
        let real = attention_mask.f_ne(0)?;
        match (self.scope.as_str(), selected) {
            ("masked", Some(selected)) => Ok(real.f_logical_and(selected)?),
            ("masked", None) => Err(Error::new("the scope `masked` needs to know the selected places")
                .at("in.selected")
                .help("connect the masker's output `selected`")),
            _ => Ok(real),
        }
    }

    /// The sum over the tokens in scope, a scalar.
    ///
    /// # Errors
    ///
    /// The scope `masked` without the selected places; those of libtorch.
    pub fn loss(
        &self,
        logits: &Tensor,
        is_replaced: &Tensor,
        attention_mask: &Tensor,
        selected: Option<&Tensor>,
    ) -> Result<Tensor> {
        let logits = logits.f_to_kind(Kind::Float)?;
        let terms = logits.f_binary_cross_entropy_with_logits::<Tensor>(
            &is_replaced.f_to_kind(Kind::Float)?,
            None,
            None,
            tch::Reduction::None,
        )?;
        let weights = self.scope(attention_mask, selected)?.f_to_kind(Kind::Float)?;
        Ok(terms.f_mul(&weights)?.f_sum(Kind::Float)?)
    }
}

impl Component for ReplacedTokenDetection {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: ReplacedTokenDetectionInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<ReplacedTokenDetectionOutputs> {
        let loss = self.loss(x.logits, x.is_replaced, x.attention_mask, x.selected)?;
        Ok(ReplacedTokenDetectionOutputs { loss })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        let mask = ports.required("attention_mask")?.tensor("attention_mask")?;
        let selected = ports.optional("selected").map(|port| port.tensor("selected")).transpose()?;
        let scope = self.scope(mask, selected)?;
        Ok(f64::try_from(scope.f_sum(Kind::Int64)?.f_to_kind(Kind::Double)?)?)
    }
}
