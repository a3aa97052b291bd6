//! Blocks with a layer norm before attention and feed-forward, and how they know of positions.

use zoo_plugin::prelude::*;

/// Sizes of a stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) hidden: i64,
    pub(crate) heads: i64,
    pub(crate) feed_forward: i64,
    pub(crate) epsilon: f64,
    pub(crate) dropout: f64,
    pub(crate) relu: bool,
    /// Base of rotary positions; none, where positions are learned.
    pub(crate) rotary: Option<f64>,
}

impl Sizes {
    /// Turns of the places before `length`, where positions are rotary, for numbers like those of `weight`.
    pub(crate) fn turning(&self, length: i64, weight: &Tensor) -> Result<Option<Rotary>> {
        let size = self.hidden / self.heads;
        self.rotary.map(|base| Rotary::new(length, size, base, (weight.kind(), weight.device()))).transpose()
    }
}

/// Sines and cosines, `float[T, size / 2]` each, in 32 bits at least: narrower ones lose far positions.
#[derive(Debug)]
pub(crate) struct Rotary {
    cosines: Tensor,
    sines: Tensor,
}

impl Rotary {
    /// For vectors of `size` numbers of `kind` at places before `length`.
    pub(crate) fn new(length: i64, size: i64, base: f64, (kind, device): (Kind, Device)) -> Result<Self> {
        // In 32 bits alone, a model in 64 would be neither as exact nor as smooth as it says.
        let wide = (if kind == Kind::Double { kind } else { Kind::Float }, device);
        let exponents = Tensor::f_arange(size / 2, wide)?.f_mul_scalar(-2.0 / size as f64)?;
        let frequencies = exponents.f_mul_scalar(base.ln())?.f_exp()?;
        let places = Tensor::f_arange(length, wide)?;
        let angles = places.f_outer(&frequencies)?;
        Ok(Self { cosines: angles.f_cos()?, sines: angles.f_sin()? })
    }

    /// `x[B, heads, T, size]`, turned; halves of a vector are the two coordinates of its planes.
    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let kind = x.kind();
        let x = x.f_to_kind(self.cosines.kind())?;
        let half = x.size()[3] / 2;
        let (a, b) = (x.f_narrow(3, 0, half)?, x.f_narrow(3, half, half)?);
        let first = a.f_mul(&self.cosines)?.f_sub(&b.f_mul(&self.sines)?)?;
        let second = b.f_mul(&self.cosines)?.f_add(&a.f_mul(&self.sines)?)?;
        Ok(Tensor::f_cat(&[first, second], 3)?.f_to_kind(kind)?)
    }
}

/// Attention and feed-forward, each after a layer norm and beside a residual.
#[derive(Debug)]
pub(crate) struct Block {
    norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    feed_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    sizes: Sizes,
}

impl Block {
    pub(crate) fn new(cx: &mut Build<'_>, name: &str, sizes: Sizes, init: Init) -> Result<Self> {
        let Sizes { hidden, feed_forward, epsilon, .. } = sizes;
        let mut linear =
            |part: &str, from: i64, to: i64| Linear::new(cx, &format!("{name}.{part}"), from, to, true, init);
        let (query, key) =
            (linear("attention.query", hidden, hidden)?, linear("attention.key", hidden, hidden)?);
        let (value, output) =
            (linear("attention.value", hidden, hidden)?, linear("attention.output", hidden, hidden)?);
        let inner = linear("feed_forward.inner", hidden, feed_forward)?;
        let outer = linear("feed_forward.outer", feed_forward, hidden)?;
        Ok(Self {
            norm: LayerNorm::new(cx, &format!("{name}.attention.norm"), hidden, epsilon)?,
            feed_norm: LayerNorm::new(cx, &format!("{name}.feed_forward.norm"), hidden, epsilon)?,
            query,
            key,
            value,
            output,
            inner,
            outer,
            sizes,
        })
    }

    /// `[B, T, hidden]` to `[B, heads, T, size]`.
    fn split(&self, y: &Tensor) -> Result<Tensor> {
        let Sizes { hidden, heads, .. } = self.sizes;
        let (batch, length, _) = y.size3()?;
        Ok(y.f_view([batch, length, heads, hidden / heads])?.f_transpose(1, 2)?)
    }

    /// How `x[B, T, hidden]` attends to itself: shares `float[B, heads, T, T]`, with `bias` added to the products.
    pub(crate) fn shares(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let normed = self.norm.forward(x)?;
        let query = self.split(&self.query.forward(&normed)?)?;
        let key = self.split(&self.key.forward(&normed)?)?;
        let size = (self.sizes.hidden / self.sizes.heads) as f64;
        let products = query.f_matmul(&key.f_transpose(2, 3)?)?.f_div_scalar(size.sqrt())?;
        let products = match bias {
            Some(bias) => products.f_add(bias)?,
            None => products,
        };
        Ok(products.f_softmax(-1, products.kind())?)
    }

    /// `x[B, Q, hidden]` attends to `memory[B, T, hidden]`, or to its own norm where there is none, at places
    /// where `visible` (`bool[B, 1, 1 or Q, T]`, or numbers that are added to the products) is true, or before and at its own with `causal`.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        memory: Option<&Tensor>,
        visible: Option<&Tensor>,
        causal: bool,
        rotary: Option<&Rotary>,
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let hidden = self.sizes.hidden;
        let normed = self.norm.forward(x)?;
        let read = memory.unwrap_or(&normed);
        let split = |y| self.split(&y);
        let turned = |y: Tensor| match rotary {
            Some(rotary) => rotary.turn(&y),
            None => Ok(y),
        };
        let query = turned(split(self.query.forward(&normed)?)?)?;
        let key = turned(split(self.key.forward(read)?)?)?;
        let value = split(self.value.forward(read)?)?;
        let context = Tensor::f_scaled_dot_product_attention(
            &query,
            &key,
            &value,
            visible,
            0.0,
            causal,
            None::<f64>,
            false,
        )?;
        let (batch, length, _) = x.size3()?;
        let context = context.f_transpose(1, 2)?.f_reshape([batch, length, hidden])?;
        let x = x.f_add(&dropout(self.output.forward(&context)?, self.sizes.dropout, cx)?)?;
        let inner = self.inner.forward(&self.feed_norm.forward(&x)?)?;
        let inner = if self.sizes.relu { inner.f_relu()? } else { inner.f_gelu("none")? };
        Ok(x.f_add(&dropout(self.outer.forward(&inner)?, self.sizes.dropout, cx)?)?)
    }
}

/// Tokens to vectors and back: one table for both, a bias, and a second table for tokens that have a partner.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) tokens: Embedding,
    partners: Option<Embedding>,
    pub(crate) positions: Option<Embedding>,
    bias: Tensor,
}

impl Vocabulary {
    pub(crate) fn new(
        cx: &mut Build<'_>,
        (words, hidden, positions): (i64, i64, Option<i64>),
        partners: bool,
        init: Init,
    ) -> Result<Self> {
        let mut table =
            |name: &str, count: i64| Embedding::new(cx, &format!("embeddings.{name}"), count, hidden, init);
        let tokens = table("tokens", words)?;
        let partners = if partners { Some(table("partners", words)?) } else { None };
        let positions = positions.map(|count| table("positions", count)).transpose()?;
        Ok(Self { tokens, partners, positions, bias: cx.parameter("bias", &[words], Init::Zeros)? })
    }

    /// ids and partners [B, T] to [B, T, hidden]. A partner of 0 is none.
    pub(crate) fn read(&self, ids: &Tensor, partners: Option<&Tensor>) -> Result<Tensor> {
        let mut x = self.tokens.forward(ids)?;
        match (&self.partners, partners) {
            (Some(table), Some(partners)) => {
                let there = partners.f_ne(0)?.f_unsqueeze(-1)?;
                x = x.f_add(&table.forward(partners)?.f_mul(&there)?)?;
            }
            (Some(_), None) => {
                return Err(Error::new("the model reads pairs of tokens and got no partners")
                    .at("in.partners")
                    .help("give `partners`, or set `partners: false`"));
            }
            // Without a table for them, what a token is paired with cannot be read.
            (None, _) => {}
        }
        Ok(x)
    }

    /// The vectors of the positions before `length`, [length, hidden].
    pub(crate) fn places(&self, length: i64) -> Result<Option<Tensor>> {
        let Some(table) = &self.positions else { return Ok(None) };
        let longest = table.weight.size()[0];
        if length > longest {
            let text = format!("{length} tokens are more than the {longest} positions of the model");
            return Err(Error::new(text).at("in.ids").help("give the model a larger `maximum_length`"));
        }
        Ok(Some(table.weight.f_narrow(0, 0, length)?))
    }

    /// States [B, T, hidden] to scores [M, vocabulary] at flat positions, or everywhere.
    pub(crate) fn score(&self, hidden: &Tensor, positions: Option<&Tensor>) -> Result<Tensor> {
        let size = hidden.size()[2];
        let flat = hidden.f_reshape([-1, size])?;
        let chosen = match positions {
            Some(positions) => flat.f_index_select(0, positions)?,
            None => flat,
        };
        Ok(chosen.f_linear(&self.tokens.weight, Some(&self.bias))?)
    }
}

/// Checks that heads divide the hidden size, and that each can be turned.
pub(crate) fn check_heads(hidden: usize, heads: usize, rotary: bool) -> Result<()> {
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(Error::new(format!("{heads} heads do not divide a hidden size of {hidden}"))
            .at("heads")
            .help("choose heads so that hidden / heads is whole"));
    }
    if rotary && !(hidden / heads).is_multiple_of(2) {
        return Err(Error::new(format!(
            "rotary positions turn pairs, and a head has {} numbers",
            hidden / heads
        ))
        .at("heads")
        .help("choose heads so that hidden / heads is even"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Products of turned vectors depend on the distance of their places alone, far out too.
    #[test]
    fn products_depend_on_distances() {
        let rotary = Rotary::new(3000, 8, 10_000.0, (Kind::Float, Device::Cpu)).unwrap();
        let turned = |x: &Tensor| rotary.turn(&x.expand([1, 1, 3000, 8], false)).unwrap();
        let float = (Kind::Float, Device::Cpu);
        let (a, b) = (turned(&Tensor::randn([8], float)), turned(&Tensor::randn([8], float)));
        let product = |i: i64, j: i64| {
            let of = |x: &Tensor, place| x.select(2, place).flatten(0, -1);
            of(&a, i).dot(&of(&b, j)).double_value(&[])
        };
        for (i, j) in [(5, 2), (0, 7), (40, 40)] {
            assert!((product(i, j) - product(i + 2900, j + 2900)).abs() < 1e-3);
        }
        assert!((product(5, 2) - product(5, 3)).abs() > 1e-4);
    }
}
