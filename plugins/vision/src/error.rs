//! How far predicted patches are from the hidden ones.

use crate::picture::picture;
use std::sync::atomic::{AtomicBool, Ordering};
use zoo_plugin::prelude::*;

/// Distance of predicted patches from the hidden ones; of those that are visible nothing is asked.
///
/// A patch costs the mean over its numbers of |predicted - right| (`l1`: SimMIM) or its square (`l2`: masked
/// autoencoders). The loss is the sum over hidden patches, which are counted.
///
/// # Paper
/// Xie et al.: SimMIM, CVPR 2022, section 3.4; He et al.: Masked Autoencoders, CVPR 2022, section 3.
///
/// # Example
/// ```mlm
/// objective pixels = vision.reconstruction_error(distance: "l1")
/// ```
#[component(
    objective,
    name = "vision.reconstruction_error",
    inputs(
        predicted: "float[B, N, P]" = "predicted patches",
        patches: "float[B, N, P]" = "right ones",
        is_hidden: "bool[B, N]" = "true for patches that are hidden",
    ),
    outputs(loss: "float[]" = "sum over the hidden patches"),
    count_inputs(is_hidden),
)]
pub struct ReconstructionError {
    /// Of two numbers.
    #[param(default = "l1", one_of("l1", "l2"))]
    pub distance: String,
}

/// The mean over the numbers of each patch, float[B, N], in 32 bits at least.
fn distances(predicted: &Tensor, patches: &Tensor, squared: bool) -> Result<Tensor> {
    let wide = |x: &Tensor| x.f_to_kind(if x.kind() == Kind::Double { Kind::Double } else { Kind::Float });
    let gap = wide(predicted)?.f_sub(&wide(patches)?)?;
    let gap = if squared { gap.f_square()? } else { gap.f_abs()? };
    Ok(gap.f_mean_dim([-1_i64].as_slice(), false, gap.kind())?)
}

impl ReconstructionError {
    /// The sum over hidden patches, a scalar; shapes as the ports have them.
    ///
    /// # Errors
    ///
    /// libtorch's.
    pub fn loss(&self, predicted: &Tensor, patches: &Tensor, is_hidden: &Tensor) -> Result<Tensor> {
        let each = distances(predicted, patches, self.distance == "l2")?;
        Ok(each.f_mul(&is_hidden.f_to_kind(each.kind())?)?.f_sum(each.kind())?)
    }
}

impl Component for ReconstructionError {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: ReconstructionErrorInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<ReconstructionErrorOutputs> {
        Ok(ReconstructionErrorOutputs { loss: self.loss(x.predicted, x.patches, x.is_hidden)? })
    }

    fn count(&self, _: &(), ports: &zoo_plugin::Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        let hidden = ports.required("is_hidden")?.tensor("is_hidden")?;
        Ok(f64::try_from(hidden.f_sum(Kind::Int64)?.f_to_kind(Kind::Double)?)?)
    }
}

/// How well hidden patches are predicted, with pictures for the report: an image, what the model saw of it, and the
/// image with the hidden patches as the model predicts them.
///
/// # Example
/// ```mlm
/// model look = vision.reconstruction(height: 8, width: 8, patch: 2, pictures: 4)
/// ```
#[component(
    function,
    name = "vision.reconstruction",
    inputs(
        predicted: "float[B, height*width/patch/patch, channels*patch*patch]" = "predicted patches",
        patches: "float[B, height*width/patch/patch, channels*patch*patch]" = "right ones, as `vision.patches` cuts them",
        is_hidden: "bool[B, height*width/patch/patch]" = "true for patches that are hidden",
    ),
    outputs(
        absolute_error: "float[B]" = "mean over the numbers of an image's hidden patches, 0 where nothing is hidden",
    ),
)]
pub struct Reconstruction {
    /// Pixels from top to bottom.
    #[param(range = ">= 1")]
    pub height: usize,
    /// Pixels from left to right.
    #[param(range = ">= 1")]
    pub width: usize,
    /// Numbers of a pixel: 1 is grey, 3 red, green and blue.
    #[param(default = 1, range = ">= 1")]
    pub channels: usize,
    /// Pixels of a patch's side.
    #[param(range = ">= 1")]
    pub patch: usize,
    /// Images of the first batch that are drawn.
    #[param(default = 0, range = "[0, 12]")]
    pub pictures: usize,
}

impl Reconstruction {
    /// The mean error of each image's hidden patches, float[B].
    ///
    /// # Errors
    ///
    /// libtorch's.
    pub fn error(predicted: &Tensor, patches: &Tensor, is_hidden: &Tensor) -> Result<Tensor> {
        let each = distances(predicted, patches, false)?;
        let hidden = is_hidden.f_to_kind(each.kind())?;
        let sum = |x: &Tensor| x.f_sum_dim_intlist([1_i64].as_slice(), false, x.kind());
        Ok(sum(&each.f_mul(&hidden)?)?.f_div(&sum(&hidden)?.f_clamp_min(1.0)?)?)
    }

    /// Grey or red, green and blue of every pixel, row by row, from the patches [N, P] of one image.
    fn pixels(&self, patches: &[f64]) -> Vec<[f64; 3]> {
        let (across, size) = (self.width / self.patch, self.patch * self.patch * self.channels);
        let at = |row: usize, column: usize, channel: usize| {
            let place = row / self.patch * across + column / self.patch;
            let within = row % self.patch * self.patch + column % self.patch;
            patches.get(place * size + within * self.channels + channel).copied().unwrap_or(0.0)
        };
        let pixel = |row: usize, column: usize| {
            [0, 1, 2].map(|channel| at(row, column, if self.channels >= 3 { channel } else { 0 }))
        };
        (0..self.height).flat_map(|row| (0..self.width).map(move |column| pixel(row, column))).collect()
    }
}

impl Component for Reconstruction {
    /// Whether something was drawn.
    type State = AtomicBool;

    fn build(&self, _: &mut Build<'_>) -> Result<AtomicBool> {
        Ok(AtomicBool::new(self.pictures == 0))
    }

    fn call(
        &self,
        drawn: &AtomicBool,
        x: ReconstructionInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<ReconstructionOutputs> {
        if !drawn.swap(true, Ordering::Relaxed) {
            let hidden = x.is_hidden.f_unsqueeze(-1)?;
            let filled = x.predicted.f_where_self(&hidden, x.patches)?;
            let numbers = |tensor: &Tensor, image: i64| -> Result<Vec<f64>> {
                let one = tensor.f_detach()?.f_select(0, image)?.f_reshape([-1])?;
                Ok(Vec::try_from(&one.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?)?)
            };
            for image in 0..x.patches.size3()?.0.min(self.pictures as i64) {
                let right = self.pixels(&numbers(x.patches, image)?);
                let filled = self.pixels(&numbers(&filled, image)?);
                let across = hidden.f_expand_as(x.patches)?.f_to_kind(Kind::Float)?;
                let hidden: Vec<bool> =
                    self.pixels(&numbers(&across, image)?).iter().map(|pixel| pixel[0] > 0.5).collect();
                let svg = picture(self.width, &right, &hidden, &filled);
                cx.artifact(&format!("image {}", image + 1), "image/svg+xml", svg.as_bytes());
            }
        }
        Ok(ReconstructionOutputs { absolute_error: Self::error(x.predicted, x.patches, x.is_hidden)? })
    }
}
