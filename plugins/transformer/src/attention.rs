//! Multi-head self-attention through libtorch's scaled-dot-product kernels.

use crate::layout::Layout;
use zoo_plugin::prelude::*;

/// Sizes and rates of one attention block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    pub(crate) hidden: i64,
    pub(crate) heads: i64,
    /// Dropout of the attention probabilities.
    pub(crate) dropout: f64,
    /// Probability that a whole head is dropped for an example.
    pub(crate) head_dropout: f64,
}

#[derive(Debug)]
pub(crate) struct SelfAttention {
    shape: AttentionShape,
    query: Linear,
    key: Linear,
    value: Linear,
    site: String,
}

/// What attention may look at.
#[derive(Debug)]
pub(crate) struct AttentionMask {
    /// True where a token may be attended to, bool[B, 1, 1 or T, T]; absent where nothing is hidden.
    visible: Option<Tensor>,
    /// Place in the row of the first token of each token's document, int[B, T]; absent where a row is
    /// one document.
    beginnings: Option<Tensor>,
    /// Whether a token sees none of those after it, where `visible` does not say so.
    causal: bool,
}

impl AttentionMask {
    /// From 1 for real tokens and 0 for padding, int[B, T], and the documents in rows that have several.
    /// On the CPU a mask that hides nothing is dropped, which spares the slower masked kernel.
    pub(crate) fn new(mask: Option<&Tensor>, documents: Option<&Documents>) -> Result<Self> {
        let (keep, beginnings) = match (documents, mask) {
            (Some(documents), mask) => (documents.visible(mask)?, Some(documents.beginnings()?)),
            (None, Some(mask)) => (mask.f_ne(0)?.f_unsqueeze(1)?, None),
            (None, None) => return Ok(Self { visible: None, beginnings: None, causal: false }),
        };
        if keep.device() == Device::Cpu && bool::try_from(keep.f_all()?)? {
            return Ok(Self { visible: None, beginnings: None, causal: false });
        }
        Ok(Self { visible: Some(keep.f_unsqueeze(1)?), beginnings, causal: false })
    }

    /// The same without what stands after each of `length` tokens.
    pub(crate) fn causal(&self, length: i64) -> Result<Self> {
        let beginnings = self.beginnings.as_ref().map(Tensor::shallow_clone);
        let Some(visible) = &self.visible else {
            return Ok(Self { visible: None, beginnings, causal: true });
        };
        let before = Tensor::f_ones([length, length], (Kind::Bool, visible.device()))?.f_tril(0)?;
        Ok(Self { visible: Some(visible.f_logical_and(&before)?), beginnings, causal: false })
    }
}

impl AttentionMask {
    /// What each token pays to every other, [B, heads, T, T], from queries and keys [B, heads, T, size].
    fn probabilities(&self, query: &Tensor, key: &Tensor) -> Result<Tensor> {
        let (_, _, length, size) = query.size4()?;
        let scores = query.f_matmul(&key.f_transpose(2, 3)?)?.f_to_kind(Kind::Float)?;
        let mut scores = scores.f_div_scalar((size as f64).sqrt())?;
        if let Some(visible) = &self.visible {
            scores = scores.f_masked_fill(&visible.f_logical_not()?, f64::NEG_INFINITY)?;
        }
        if self.causal {
            let later = Tensor::f_ones([length, length], (Kind::Bool, scores.device()))?.f_triu(1)?;
            scores = scores.f_masked_fill(&later, f64::NEG_INFINITY)?;
        }
        Ok(scores.f_softmax(-1, Kind::Float)?)
    }
}

/// Drops whole heads of single examples and scales the others up by `heads / alive`; where all of an
/// example's heads would be dropped, none is. `context`: [B, heads, T, size]; `alive`: [B, heads, 1], or
/// [B, heads, T] where a row has several examples, 1 or 0.
pub(crate) fn scale_heads(context: &Tensor, alive: &Tensor) -> Result<Tensor> {
    let heads = alive.size()[1] as f64;
    let count = alive.f_sum_dim_intlist([1_i64].as_slice(), true, None)?;
    let none = count.f_eq(0.0)?;
    let alive = alive.f_masked_fill(&none, 1.0)?;
    let count = count.f_masked_fill(&none, heads)?;
    let scale = alive.f_mul_scalar(heads)?.f_div(&count)?;
    Ok(context.f_mul(&scale.f_unsqueeze(3)?)?)
}

/// Drops every head of every example with probability `rate` while training; else the context itself.
/// `context`: [B, heads, T, size]; `beginnings`: where the example of each token begins, int[B, T]; a row
/// is one example, when absent.
pub(crate) fn drop_heads(
    context: Tensor,
    rate: f64,
    training: bool,
    beginnings: Option<&Tensor>,
) -> Result<Tensor> {
    if rate <= 0.0 || !training {
        return Ok(context);
    }
    let (batch, heads, length, _) = context.size4()?;
    let draws = if beginnings.is_some() { length } else { 1 };
    let keep = Tensor::f_full([batch, heads, draws], 1.0 - rate, (Kind::Float, context.device()))?;
    let mut alive = keep.f_bernoulli()?.f_to_kind(context.kind())?;
    if let Some(beginnings) = beginnings {
        let index = beginnings.f_unsqueeze(1)?.f_expand([batch, heads, length], false)?;
        alive = alive.f_gather(2, &index, false)?;
    }
    scale_heads(&context, &alive)
}

/// What the tokens of a layer see.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sight<'a> {
    /// Rows with their padding.
    Rows(&'a AttentionMask),
    /// Each text itself.
    Texts {
        /// Where the texts are.
        layout: &'a Layout,
        /// Whether a token sees none of those after it.
        causal: bool,
        /// What the rows see, where what tokens pay to others is asked for.
        mask: Option<&'a AttentionMask>,
    },
}

impl SelfAttention {
    pub(crate) fn new(
        cx: &mut Build<'_>,
        name: &str,
        site: String,
        shape: AttentionShape,
        init: Init,
    ) -> Result<Self> {
        let mut linear =
            |part: &str| Linear::new(cx, &format!("{name}.{part}"), shape.hidden, shape.hidden, true, init);
        Ok(Self { shape, query: linear("query")?, key: linear("key")?, value: linear("value")?, site })
    }

    /// x [B, T, hidden] to the heads' contexts, [B, T, hidden], before the output projection. The heads' attention
    /// without dropout, [B, heads, T, T], goes into `probabilities`, where they are asked for.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        sight: Sight<'_>,
        probabilities: Option<&mut Vec<Tensor>>,
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let project = |linear: &Linear, part: &str| -> Result<Tensor> {
            cx.site(&format!("{}.{part}", self.site), x, linear.forward(x)?)
        };
        let projected =
            [project(&self.query, "query")?, project(&self.key, "key")?, project(&self.value, "value")?];
        match sight {
            Sight::Rows(mask) => {
                let (batch, length, _) = x.size3()?;
                if let Some(probabilities) = probabilities {
                    let [query, key, _] = &projected;
                    let by_heads = |y: &Tensor| self.by_heads(y, (batch, length));
                    probabilities.push(mask.probabilities(&by_heads(query)?, &by_heads(key)?)?);
                }
                self.attend(&projected, (batch, length), mask, cx)
            }
            Sight::Texts { layout, causal, mask } => {
                if let (Some(probabilities), Some(mask)) = (probabilities, mask) {
                    let [query, key, _] = &projected;
                    let by_heads = |y: &Tensor| -> Result<Tensor> {
                        let rows = layout.rows(y)?;
                        let (batch, length, _) = rows.size3()?;
                        self.by_heads(&rows, (batch, length))
                    };
                    probabilities.push(mask.probabilities(&by_heads(query)?, &by_heads(key)?)?);
                }
                let mask = AttentionMask { visible: None, beginnings: None, causal };
                let sizes: Vec<i64> = layout.groups().iter().map(|(texts, length)| texts * length).collect();
                // The gradients of the pieces are put together once, not added up one by one.
                let split = |y: &Tensor| y.f_split_with_sizes(sizes.as_slice(), 1);
                let [query, key, value] = &projected;
                let pieces = split(query)?.into_iter().zip(split(key)?).zip(split(value)?);
                let contexts = pieces
                    .zip(layout.groups())
                    .map(|(((query, key), value), (texts, length))| {
                        let context = self.attend(&[query, key, value], (*texts, *length), &mask, cx)?;
                        Ok(context.f_view([1, texts * length, self.shape.hidden])?)
                    })
                    .collect::<Result<Vec<_>>>()?;
                Ok(Tensor::f_cat(&contexts, 1)?)
            }
        }
    }

    /// [B, T, hidden] to [B, heads, T, hidden / heads].
    fn by_heads(&self, y: &Tensor, (batch, length): (i64, i64)) -> Result<Tensor> {
        let AttentionShape { hidden, heads, .. } = self.shape;
        Ok(y.f_view([batch, length, heads, hidden / heads])?.f_transpose(1, 2)?)
    }

    /// Query, key and value of B texts of T tokens to the heads' contexts, [B, T, hidden].
    fn attend(
        &self,
        projected: &[Tensor; 3],
        (batch, length): (i64, i64),
        mask: &AttentionMask,
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let AttentionShape { hidden, dropout, head_dropout, .. } = self.shape;
        let by_heads = |y: &Tensor| self.by_heads(y, (batch, length));
        let [query, key, value] = projected;
        let rate = if cx.training() { dropout } else { 0.0 };
        let context = Tensor::f_scaled_dot_product_attention(
            &by_heads(query)?,
            &by_heads(key)?,
            &by_heads(value)?,
            mask.visible.as_ref(),
            rate,
            mask.causal,
            None::<f64>,
            false,
        )?;
        let context = drop_heads(context, head_dropout, cx.training(), mask.beginnings.as_ref())?;
        Ok(context.f_transpose(1, 2)?.f_reshape([batch, length, hidden])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surviving_heads_are_scaled_and_never_all_dropped() {
        let context = Tensor::ones([2, 4, 1, 1], (Kind::Float, Device::Cpu));
        let alive = Tensor::from_slice2(&[[1.0_f32, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]);
        let scaled: Vec<f32> =
            Vec::try_from(scale_heads(&context, &alive.unsqueeze(2)).unwrap().reshape([-1])).unwrap();
        let third = 4.0 / 3.0;
        assert_eq!(scaled, [third, 0.0, third, third, 1.0, 1.0, 1.0, 1.0]);
    }

    /// All scores zero: shares of a row are one over what it may see.
    #[test]
    fn who_sees_whom() {
        let shares = |mask: &AttentionMask| -> Vec<Vec<f64>> {
            let zeros = Tensor::zeros([1, 1, 4, 4], (Kind::Double, Device::Cpu));
            let values = Tensor::eye(4, (Kind::Double, Device::Cpu)).view([1, 1, 4, 4]);
            let visible = mask.visible.as_ref();
            let y = Tensor::scaled_dot_product_attention(
                &zeros,
                &zeros,
                &values,
                visible,
                0.0,
                mask.causal,
                None::<f64>,
                false,
            );
            (0..4).map(|i| Vec::try_from(y.select(2, i).reshape([-1])).unwrap()).collect()
        };
        let full = AttentionMask::new(None, None).unwrap();
        assert_eq!(shares(&full), vec![vec![0.25; 4]; 4]);
        let third = 1.0 / 3.0;
        let causal = vec![
            vec![1.0, 0.0, 0.0, 0.0],
            vec![0.5, 0.5, 0.0, 0.0],
            vec![third, third, third, 0.0],
            vec![0.25; 4],
        ];
        assert_eq!(shares(&full.causal(4).unwrap()), causal);
        let padding = Tensor::from_slice2(&[[1_i64, 1, 1, 0]]);
        let padded = AttentionMask::new(Some(&padding), None).unwrap();
        assert_eq!(shares(&padded), vec![vec![third, third, third, 0.0]; 4]);
        assert_eq!(shares(&padded.causal(4).unwrap())[..3], causal[..3]);
    }

    /// Equal scores over 20 keys give 0.05 each; where 3 are hidden, the others have 1 / 17.
    #[test]
    fn probabilities_are_those_of_the_mask() {
        let zeros = Tensor::zeros([1, 2, 20, 4], (Kind::Float, Device::Cpu));
        let row = |mask: &AttentionMask, i: i64| -> Vec<f64> {
            let all = mask.probabilities(&zeros, &zeros).unwrap();
            Vec::try_from(all.select(1, 1).select(1, i).reshape([-1]).to_kind(Kind::Double)).unwrap()
        };
        let near = |a: f64, b: f64| (a - b).abs() < 1e-7;
        let full = AttentionMask::new(None, None).unwrap();
        assert!(row(&full, 3).iter().all(|p| near(*p, 0.05)));
        let causal = row(&full.causal(20).unwrap(), 3);
        assert!(causal[..4].iter().all(|p| near(*p, 0.25)) && causal[4..].iter().all(|p| *p == 0.0));
        let three = Tensor::from_slice(&[[1_i64; 17].as_slice(), &[0; 3]].concat()).unsqueeze(0);
        let hidden = row(&AttentionMask::new(Some(&three), None).unwrap(), 19);
        assert!(hidden[..17].iter().all(|p| near(*p, 1.0 / 17.0)) && hidden[17..].iter().all(|p| *p == 0.0));
    }

    #[test]
    fn without_a_rate_or_outside_of_training_no_head_is_dropped() {
        let context = Tensor::rand([2, 4, 3, 5], (Kind::Float, Device::Cpu));
        for (rate, training) in [(0.0, true), (0.5, false)] {
            assert_eq!(drop_heads(context.shallow_clone(), rate, training, None).unwrap(), context);
        }
    }

    #[test]
    fn heads_are_dropped_whole_and_for_each_example_alone() {
        let ones = Tensor::ones([4000, 4, 2, 3], (Kind::Float, Device::Cpu));
        let dropped = drop_heads(ones, 0.25, true, None).unwrap();
        // All elements of a head have the factor of their head.
        let factors = dropped.select(3, 0).select(2, 0);
        assert_eq!(dropped, factors.view([4000, 4, 1, 1]).expand([4000, 4, 2, 3], false));
        // Every example keeps its sum: survivors are scaled by heads / alive.
        let sums = factors.sum_dim_intlist(1, false, Kind::Float);
        assert!(f64::try_from((sums - 4.0).abs().max()).unwrap() < 1e-5);
        let alive = f64::try_from(factors.ne(0.0).to_kind(Kind::Float).mean(Kind::Float)).unwrap();
        // 0.25⁴ of the examples would have none left and keep all.
        let expected = 0.75 + 0.25f64.powi(4);
        assert!((alive - expected).abs() < 0.02, "{alive} is not {expected}");
    }

    #[test]
    fn heads_are_dropped_for_each_document_of_a_row_alone() {
        let ones = Tensor::ones([500, 2, 4, 1], (Kind::Float, Device::Cpu));
        let beginnings = Tensor::from_slice(&[0_i64, 0, 2, 2]).expand([500, 4], false);
        let dropped = drop_heads(ones, 0.5, true, Some(&beginnings)).unwrap().squeeze_dim(3);
        let token = |t: i64| dropped.select(2, t);
        assert_eq!((token(0), token(2)), (token(1), token(3)));
        assert_ne!(token(0), token(2));
    }
}
