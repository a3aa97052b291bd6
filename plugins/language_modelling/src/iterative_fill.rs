//! Writing one token at a time, wherever it is asked for.

use zoo_plugin::prelude::*;
use zoo_plugin::{Description, Output};

/// Fills the places of a mask with a model's tokens, one for every row at a time.
///
/// In every pass the model scores all places; each row takes the most likely token at one of its open places,
/// which is visible from then on: from left to right, or where the model is most confident. A row of n places
/// takes n passes. Of places that are equally sure, to 10⁻⁴ in the log-likelihood, the leftmost is taken. Greedy:
/// nothing is drawn, nothing is taken back.
///
/// `model` has the inputs `ids` and `attention_mask`, and `partners` where they are given, and the output
/// `logits` for every place; open places are 0 in `attention_mask`, and 0 is their id. With `predicts: "next"` scores at a place
/// are of the token after it, as a causal model has them.
///
/// # Paper
/// Ghazvininejad, Levy, Liu, Zettlemoyer: Mask-Predict, EMNLP 2019; Nolte et al.: Transformers Can Navigate Mazes
/// With Multi-Step Prediction, 2024.
///
/// # Example
/// ```mlm
/// model past = transformer.query_decoder(vocabulary: 23, encoder_layers: 2, hidden: 64)
/// model fill = language_modelling.iterative_fill(model: past, order: "most_confident")
/// ```
#[component(
    function,
    name = "language_modelling.iterative_fill",
    inputs(
        ids: "int[B, T]" = "tokens; those at open places are not looked at",
        attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
        prediction_mask: "int[B, T]" = "1 for places to fill",
        partners: "int[B, T]"? = "what a token is paired with, 0 for nothing",
    ),
    outputs(ids: "int[B, T]" = "tokens, with the places filled"),
    stops_gradient,
)]
pub struct IterativeFill {
    /// The model.
    #[param(component = "architecture")]
    pub model: Handle,
    /// Which open place is next.
    #[param(default = "left_to_right", one_of("left_to_right", "most_confident"))]
    pub order: String,
    /// Which token the scores at a place are of: the one there, or the one after it.
    #[param(default = "itself", one_of("itself", "next"))]
    pub predicts: String,
}

/// Log-likelihoods that differ by less count as equal. Places that a model cannot tell apart, as before anything is
/// known of them, are equal in truth, and by rounding they would be filled in an order that depends on what else is
/// in the batch.
const EQUALLY_SURE: f64 = 1e-4;

impl IterativeFill {
    /// Fills with `score`: ids and visible places [B, T] to scores [B, T, V].
    ///
    /// # Errors
    ///
    /// Those of the model and of libtorch; `most_confident` with scores of the next token.
    pub fn fill(
        &self,
        ids: &Tensor,
        real: &Tensor,
        wanted: &Tensor,
        mut score: impl FnMut(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut open = wanted.f_ne(0)?;
        let mut ids = ids.f_masked_fill(&open, 0)?;
        let passes = open.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64)?.f_max()?;
        let length = ids.size2()?.1;
        let places = Tensor::f_arange(length, (Kind::Int64, ids.device()))?.f_unsqueeze(0)?;
        for _ in 0..i64::try_from(passes)? {
            let visible = real.f_ne(0)?.f_logical_and(&open.f_logical_not()?)?.f_to_kind(Kind::Int64)?;
            let mut scores = score(&ids, &visible)?.f_to_kind(Kind::Float)?;
            if self.predicts == "next" {
                // What stands first is never asked for.
                scores = scores.f_roll([1_i64], [1_i64])?;
            }
            let (likely, tokens) = scores.f_log_softmax(-1, Kind::Float)?.f_max_dim(-1, false)?;
            let candidates = if self.order == "most_confident" {
                let likely = likely.f_masked_fill(&open.f_logical_not()?, f64::NEG_INFINITY)?;
                let surest = likely.f_amax([1_i64].as_slice(), true)?;
                likely.f_ge_tensor(&surest.f_sub_scalar(EQUALLY_SURE)?)?.f_logical_and(&open)?
            } else {
                open.shallow_clone()
            };
            let next = places
                .f_expand_as(&candidates)?
                .f_masked_fill(&candidates.f_logical_not()?, length)?
                .f_amin([1_i64].as_slice(), true)?;
            let chosen = places.f_eq_tensor(&next)?;
            ids = tokens.f_where_self(&chosen, &ids)?;
            open = open.f_logical_and(&chosen.f_logical_not()?)?;
        }
        Ok(ids)
    }
}

impl Component for IterativeFill {
    /// The model.
    type State = Description;

    fn build(&self, cx: &mut Build<'_>) -> Result<Description> {
        if self.order == "most_confident" && self.predicts == "next" {
            return Err(Error::new("a causal model cannot be asked for places in any order")
                .at("order")
                .help("set `order: \"left_to_right\"`"));
        }
        let model = cx.describe(self.model)?;
        let lacking = |what: &str, names: &[String]| {
            let text = format!("`{}` ({}) has no {what}: {}", model.name, model.component, names.join(", "));
            Error::new(text).at("model")
        };
        if !model.outputs.iter().any(|name| name == "logits") {
            return Err(lacking("output `logits`", &model.outputs));
        }
        if !["ids", "attention_mask"].iter().all(|name| model.inputs.iter().any(|input| input == name)) {
            return Err(lacking("inputs `ids` and `attention_mask`", &model.inputs));
        }
        Ok(model)
    }

    fn call(
        &self,
        model: &Description,
        x: IterativeFillInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<IterativeFillOutputs> {
        let (batch, length) = x.ids.size2()?;
        let score = |ids: &Tensor, visible: &Tensor| -> Result<Tensor> {
            let tensor = |tensor: &Tensor| Output::Tensor(tensor.shallow_clone());
            let mut inputs = vec![("ids", tensor(ids)), ("attention_mask", tensor(visible))];
            inputs.extend(x.partners.map(|partners| ("partners", tensor(partners))));
            match cx.call_by_name(self.model, model, inputs, &["logits"])?.pop() {
                Some(Some(Output::Tensor(logits))) => Ok(logits.f_view([batch, length, -1])?),
                _ => Err(Error::new("the model gave no `logits`").at("model")),
            }
        };
        Ok(IterativeFillOutputs { ids: self.fill(x.ids, x.attention_mask, x.prediction_mask, score)? })
    }
}
