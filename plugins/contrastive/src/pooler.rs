//! One vector of a sequence.

use zoo_plugin::prelude::*;

/// Makes one vector of the hidden states of a sequence.
///
/// * `mean`: the mean over the tokens that are no padding;
/// * `mean_with_padding`: the mean over all positions, padding included. The scripts of Mirror-BERT pool so:
///   the vector then depends on what the sequence is padded to. For comparison with them only;
/// * `first`: the first token, `[CLS]` in models of BERT's kind;
/// * `last`: the last token that is no padding, for causal models;
/// * `maximum`: the largest value of each dimension over the tokens that are no padding.
///
/// It has no parameters of its own: the dense layer with tanh that BERT trains for its next-sentence task
/// is not part of it. A sequence of padding alone gives zeros.
///
/// # Paper
/// Reimers, Gurevych: Sentence-BERT, EMNLP 2019, section 3.
///
/// # Example
/// ```mlm
/// model pool = contrastive.pooler(method: "mean")
/// ```
#[component(
    pooler,
    name = "contrastive.pooler",
    inputs(
        hidden: "float[B, T, hidden]" = "hidden states",
        attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding; all ones, when absent",
    ),
    outputs(embedding: "float[B, hidden]" = "one vector a sequence"),
    cost(flops = "2 * B * T * hidden", activations = "B * T + B * hidden", workspace = "B * T * hidden"),
)]
pub struct Pooler {
    /// How.
    #[param(default = "mean", one_of("mean", "mean_with_padding", "first", "last", "maximum"))]
    pub method: String,
}

impl Pooler {
    /// hidden [B, T, hidden], mask [B, T] to [B, hidden].
    pub fn pool(&self, hidden: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, length, _) = hidden.size3()?;
        let all = || Tensor::f_ones([batch, length], (Kind::Int64, hidden.device()));
        let keep = match mask {
            Some(mask) => mask.f_ne(0)?,
            None => all()?.f_ne(0)?,
        };
        Ok(match self.method.as_str() {
            "mean_with_padding" => hidden.f_mean_dim([1_i64].as_slice(), false, None)?,
            // A copy: a view would keep the states of all tokens.
            "first" => hidden.f_select(1, 0)?.f_contiguous()?,
            "last" => {
                // The largest position that is kept, wherever the padding stands.
                let places = Tensor::f_arange(length, (Kind::Int64, hidden.device()))?;
                let kept = places.f_unsqueeze(0)?.f_mul(&keep.f_to_kind(Kind::Int64)?)?;
                let last = kept.f_amax([1_i64].as_slice(), false)?;
                let rows = Tensor::f_arange(batch, (Kind::Int64, hidden.device()))?;
                hidden.f_index(&[Some(rows), Some(last)])?
            }
            "maximum" => {
                let hide = keep.f_logical_not()?.f_unsqueeze(2)?;
                let largest =
                    hidden.f_masked_fill(&hide, f64::NEG_INFINITY)?.f_amax([1_i64].as_slice(), false)?;
                let empty = keep.f_any_dim(1, true)?.f_logical_not()?;
                largest.f_masked_fill(&empty, 0.0)?
            }
            _ => {
                let weight = keep.f_to_kind(hidden.kind())?.f_unsqueeze(2)?;
                let sum = hidden.f_mul(&weight)?.f_sum_dim_intlist([1_i64].as_slice(), false, None)?;
                let count = weight.f_sum_dim_intlist([1_i64].as_slice(), false, None)?.f_clamp_min(1.0)?;
                sum.f_div(&count)?
            }
        })
    }
}

impl Component for Pooler {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: PoolerInputs<'_>, _: &mut Call<'_>) -> Result<PoolerOutputs> {
        Ok(PoolerOutputs { embedding: self.pool(x.hidden, x.attention_mask)? })
    }
}
