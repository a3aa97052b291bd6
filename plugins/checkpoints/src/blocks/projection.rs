//! Linear maps, stored either way round.

use zoo_plugin::prelude::*;

/// What a linear map is apart from its sizes.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether it adds a bias.
    pub bias: bool,
    /// Whether the weight is stored [input, output], as the first GPT had it.
    pub transposed: bool,
    /// Standard deviation of the normal distribution that a new weight is drawn from.
    pub deviation: f64,
}

impl Style {
    /// The same with or without bias.
    #[must_use]
    pub fn biased(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// How new weights are drawn.
    pub fn init(self) -> Init {
        Init::Normal { mean: 0.0, std: self.deviation }
    }
}

/// y = x Wᵀ + b.
#[derive(Debug)]
pub struct Projection {
    weight: Tensor,
    bias: Option<Tensor>,
    transposed: bool,
}

impl Projection {
    /// Parameters `NAME.weight` and, with bias, `NAME.bias`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, name: &str, input: i64, output: i64, style: Style) -> Result<Self> {
        Self::named(cx, [format!("{name}.weight"), format!("{name}.bias")], input, output, style)
    }

    /// The same with full names of weight and bias.
    ///
    /// # Errors
    /// The host's.
    pub fn named(
        cx: &mut Build<'_>,
        [weight, bias]: [String; 2],
        input: i64,
        output: i64,
        style: Style,
    ) -> Result<Self> {
        let shape = if style.transposed { [input, output] } else { [output, input] };
        let weight = cx.parameter(&weight, &shape, style.init())?;
        let bias = if style.bias { Some(cx.parameter(&bias, &[output], Init::Zeros)?) } else { None };
        Ok(Self { weight, bias, transposed: style.transposed })
    }

    /// The same map, with the same parameters.
    #[must_use]
    pub fn again(&self) -> Self {
        let bias = self.bias.as_ref().map(|bias| bias.shallow_clone());
        Self { weight: self.weight.shallow_clone(), bias, transposed: self.transposed }
    }

    /// The map to `size` outputs from `first` on, with the same parameters.
    ///
    /// # Errors
    /// libtorch's.
    pub fn part(&self, first: i64, size: i64) -> Result<Self> {
        let weight = self.weight.f_narrow(i64::from(self.transposed), first, size)?;
        let bias = self.bias.as_ref().map(|bias| bias.f_narrow(0, first, size)).transpose()?;
        Ok(Self { weight, bias, transposed: self.transposed })
    }

    /// x [..., input] to [..., output].
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.transposed {
            return Ok(x.f_linear(&self.weight.f_tr()?, self.bias.as_ref())?);
        }
        Ok(x.f_linear(&self.weight, self.bias.as_ref())?)
    }
}
