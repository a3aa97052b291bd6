//! Images to patches.

use zoo_plugin::prelude::*;

/// Cuts images into square patches, row by row.
///
/// An image is the numbers of its first channel, row by row, then those of the next. A patch has its pixels row by
/// row, and of each pixel the channels. With `normalized` every patch has mean 0 and variance 1 (unbiased, 10⁻⁶ added):
/// what masked autoencoders predict.
///
/// # Paper
/// Dosovitskiy et al.: An Image is Worth 16x16 Words, ICLR 2021; He et al.: Masked Autoencoders Are Scalable Vision
/// Learners, CVPR 2022, section 3.
///
/// # Example
/// ```mlm
/// model cut = vision.patches(height: 8, width: 8, patch: 2)
/// ```
#[component(
    function,
    name = "vision.patches",
    inputs(pixels: "float[B, channels*height*width]" = "images, channel by channel and row by row"),
    outputs(
        patches: "float[B, height*width/patch/patch, channels*patch*patch]" = "their patches, row by row",
    ),
)]
pub struct Patches {
    /// Pixels from top to bottom; a multiple of `patch`.
    #[param(range = ">= 1")]
    pub height: usize,
    /// Pixels from left to right; a multiple of `patch`.
    #[param(range = ">= 1")]
    pub width: usize,
    /// Numbers of a pixel.
    #[param(default = 1, range = ">= 1")]
    pub channels: usize,
    /// Pixels of a patch's side.
    #[param(range = ">= 1")]
    pub patch: usize,
    /// Whether each patch gets mean 0 and variance 1.
    #[param(default = false)]
    pub normalized: bool,
}

impl Patches {
    /// Images [B, channels height width] to [B, patches, pixels].
    ///
    /// # Errors
    ///
    /// libtorch's.
    pub fn cut(&self, pixels: &Tensor) -> Result<Tensor> {
        let [channels, height, width, side] =
            [self.channels, self.height, self.width, self.patch].map(|n| n as i64);
        let (rows, columns) = (height / side, width / side);
        let patches = pixels
            .f_reshape([-1, channels, rows, side, columns, side])?
            .f_permute([0, 2, 4, 3, 5, 1])?
            .f_reshape([-1, rows * columns, side * side * channels])?;
        if !self.normalized {
            return Ok(patches);
        }
        let mean = patches.f_mean_dim([-1_i64].as_slice(), true, patches.kind())?;
        let variance = patches.f_var_dim([-1_i64].as_slice(), true, true)?;
        Ok(patches.f_sub(&mean)?.f_div(&variance.f_add_scalar(1e-6)?.f_sqrt()?)?)
    }
}

impl Component for Patches {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        for (name, size) in [("height", self.height), ("width", self.width)] {
            if !size.is_multiple_of(self.patch) {
                let text = format!("patches of {} pixels do not fill a {name} of {size}", self.patch);
                return Err(Error::new(text).at("patch").help("choose a divisor of height and width"));
            }
        }
        if self.normalized && self.patch * self.patch * self.channels < 2 {
            return Err(Error::new("one number has no variance to be divided by").at("normalized"));
        }
        Ok(())
    }

    fn call(&self, _: &(), x: PatchesInputs<'_>, _: &mut Call<'_>) -> Result<PatchesOutputs> {
        Ok(PatchesOutputs { patches: self.cut(x.pixels)? })
    }
}
