//! Which patches are hidden.

use rand::seq::SliceRandom;
use zoo_plugin::prelude::*;

/// Hides patches of images: exactly `rate` of them, rounded, in every image.
///
/// `"random"`: units of `unit` × `unit` patches, each as likely as any other (masked autoencoders: single patches;
/// SimMIM: 2 × 2). `"blockwise"`: rectangles of at least 16 patches (or a quarter of what is to be hidden, where that
/// is less) and an aspect ratio from 0.3 to 1/0.3, until enough are hidden, as in BEiT; what no rectangle fits is
/// filled by single patches.
///
/// # Paper
/// He et al.: Masked Autoencoders, CVPR 2022; Xie et al.: SimMIM, CVPR 2022, section 3.2; Bao et al.: BEiT, ICLR 2022,
/// algorithm 1.
///
/// # Example
/// ```mlm
/// masker hide = vision.patch_mask(rows: 4, columns: 4, rate: 62.5%)
/// ```
#[component(
    masker,
    name = "vision.patch_mask",
    inputs(pixels: "float[B, P]" = "images; only their number matters"),
    outputs(is_hidden: "bool[B, rows*columns]" = "true for patches that are hidden, row by row"),
    loader,
    random,
)]
pub struct PatchMask {
    /// Patches from top to bottom.
    #[param(range = ">= 1")]
    pub rows: usize,
    /// Patches from left to right.
    #[param(range = ">= 1")]
    pub columns: usize,
    /// Share of the patches that is hidden.
    #[param(default = 0.6, range = "[0%, 100%]", kind = "fraction")]
    pub rate: f64,
    /// How they are chosen.
    #[param(default = "random", one_of("random", "blockwise"))]
    pub selection: String,
    /// Patches of the side of what is hidden together, with `selection: "random"`.
    #[param(default = 1, range = ">= 1")]
    pub unit: usize,
}

/// Draws of a rectangle before single patches are taken.
const TRIES: usize = 10;

impl PatchMask {
    /// How many patches of an image are hidden.
    pub fn count(&self) -> usize {
        let units = (self.rows / self.unit) * (self.columns / self.unit);
        (self.rate * units as f64).round() as usize * self.unit * self.unit
    }

    /// Which patches of an image are hidden.
    pub fn hidden(&self, random: &mut ChaCha8Rng) -> Vec<bool> {
        let mut hidden = vec![false; self.rows * self.columns];
        if self.selection == "blockwise" {
            self.blocks(&mut hidden, random);
        } else {
            let across = self.columns / self.unit;
            let mut units: Vec<usize> = (0..(self.rows / self.unit) * across).collect();
            units.shuffle(random);
            let wanted = self.count() / (self.unit * self.unit);
            for unit in units.into_iter().take(wanted) {
                let (top, left) = (unit / across * self.unit, unit % across * self.unit);
                self.cover(&mut hidden, (top, left), (self.unit, self.unit));
            }
        }
        hidden
    }

    fn cover(&self, hidden: &mut [bool], (top, left): (usize, usize), (height, width): (usize, usize)) {
        for row in top..top + height {
            hidden[row * self.columns + left..][..width].fill(true);
        }
    }

    fn blocks(&self, hidden: &mut [bool], random: &mut ChaCha8Rng) {
        let wanted = self.count();
        let smallest = 16.min(wanted / 4).max(1);
        let mut missing = wanted;
        'blocks: while missing > 0 {
            for _ in 0..TRIES {
                let area = if missing <= smallest {
                    smallest as f64
                } else {
                    random.random_range(smallest as f64..=missing as f64)
                };
                let edge = (1.0_f64 / 0.3).ln();
                let aspect = random.random_range(-edge..=edge).exp();
                let height = ((area * aspect).sqrt().round() as usize).clamp(1, self.rows);
                let width = ((area / aspect).sqrt().round() as usize).clamp(1, self.columns);
                let top = random.random_range(0..=self.rows - height);
                let left = random.random_range(0..=self.columns - width);
                let mut next = hidden.to_vec();
                self.cover(&mut next, (top, left), (height, width));
                let count = next.iter().filter(|hidden| **hidden).count();
                if count > wanted - missing && count <= wanted {
                    hidden.copy_from_slice(&next);
                    missing = wanted - count;
                    continue 'blocks;
                }
            }
            let mut open: Vec<usize> = (0..hidden.len()).filter(|place| !hidden[*place]).collect();
            open.shuffle(random);
            open.into_iter().take(missing).for_each(|place| hidden[place] = true);
            return;
        }
    }
}

impl Component for PatchMask {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        for (name, size) in [("rows", self.rows), ("columns", self.columns)] {
            if !size.is_multiple_of(self.unit) {
                let text = format!("units of {} patches do not fill {size} {name}", self.unit);
                return Err(Error::new(text).at("unit").help("choose a divisor of rows and columns"));
            }
        }
        if self.unit > 1 && self.selection == "blockwise" {
            return Err(Error::new("blocks are rectangles of any size, and `unit` is of no use").at("unit"));
        }
        Ok(())
    }

    fn call(&self, _: &(), x: PatchMaskInputs<'_>, cx: &mut Call<'_>) -> Result<PatchMaskOutputs> {
        let batch = x.pixels.size2()?.0;
        let hidden: Vec<bool> =
            (0..batch as usize).flat_map(|row| self.hidden(&mut cx.rng("hide", row))).collect();
        let patches = (self.rows * self.columns) as i64;
        Ok(PatchMaskOutputs { is_hidden: Tensor::f_from_slice(&hidden)?.f_reshape([batch, patches])? })
    }
}
