//! A model with sites, and an adapter for them.

use zoo_plugin::prelude::*;

/// Linear maps one after the other.
///
/// # Example
/// ```mlm
/// model net = probe.projection(size: 8, layers: 2)
/// ```
#[component(
    architecture,
    name = "probe.projection",
    inputs(x: "float[B, size]" = "vectors"),
    outputs(y: "float[B, size]" = "mapped vectors"),
    sites("layers.{layers}.map": "size" => "size"),
    parameters
)]
pub struct Projection {
    /// Size of the vectors.
    #[param(default = 4, range = ">= 1")]
    pub size: usize,
    /// Number of maps.
    #[param(default = 1, range = ">= 0")]
    pub layers: usize,
    /// Maps that announce no site.
    #[param(default = 0)]
    pub silent: usize,
}

impl Component for Projection {
    type State = (Vec<Linear>, Tensor);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let size = self.size as i64;
        let init = Init::Normal { mean: 0.0, std: 0.5 };
        let layers = (0..self.layers)
            .map(|i| Linear::new(cx, &format!("net.layers.{i}.map"), size, size, true, init))
            .collect::<Result<_>>()?;
        Ok((layers, cx.buffer("net.steps", &[1], Kind::Int64, Init::Zeros)?))
    }

    fn call(
        &self,
        (layers, _): &Self::State,
        x: ProjectionInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<ProjectionOutputs> {
        let mut y = x.x.shallow_clone();
        for (i, layer) in layers.iter().enumerate() {
            let mapped = layer.forward(&y)?;
            y = if i < self.layers - self.silent.min(self.layers) {
                cx.site(&format!("layers.{i}.map"), &y, mapped)?
            } else {
                mapped
            };
        }
        Ok(ProjectionOutputs { y })
    }
}

/// Adds a product of two thin matrices to a site's output.
///
/// # Paper
/// Hu et al., 2021, section 4.1.
///
/// # Example
/// ```mlm
/// model net = probe.projection(size: 8, layers: 2)
/// adapter low = probe.low_rank(rank: 2) on net.layers[*].map
/// ```
#[component(
    adapter,
    name = "probe.low_rank",
    inputs(x: "float[..., N]" = "the site's input", y: "float[..., M]" = "the site's output"),
    outputs(y: "float[..., M]" = "the changed output"),
    parameters
)]
pub struct LowRank {
    /// Number of columns.
    #[param(default = 2, range = ">= 1")]
    pub rank: usize,
    /// Added to every element, so that a change shows before any training.
    #[param(default = 0.0)]
    pub shift: f64,
}

impl Component for LowRank {
    type State = (Tensor, Tensor);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let site = cx.site().ok_or_else(|| Error::new("an adapter needs a site"))?;
        let (Some(input), Some(output)) = (site.input, site.output) else {
            return Err(Error::new(format!("the sizes of site `{}` are not known", site.name)));
        };
        let rank = self.rank as i64;
        let down = cx.parameter("down", &[rank, input], Init::Normal { mean: 0.0, std: 0.1 })?;
        Ok((down, cx.parameter("up", &[output, rank], Init::Zeros)?))
    }

    fn call(
        &self,
        (down, up): &Self::State,
        x: LowRankInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<LowRankOutputs> {
        let change = x.x.f_linear(down, None::<&Tensor>)?.f_linear(up, None::<&Tensor>)?;
        Ok(LowRankOutputs { y: x.y.f_add(&change)?.f_add_scalar(self.shift)? })
    }
}
