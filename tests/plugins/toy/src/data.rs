//! Rows of numbers, and what a loader does to them.

use zoo_plugin::prelude::*;

/// Rows of features, each drawn from the row's own stream, with a linear target.
///
/// Row r has features in [-1, 1), the target `sum over i of (i + 1) * features[i] / width`, and a weight
/// of 0 for every third row, else 1.
///
/// # Example
/// ```mlm
/// data rows = toy.rows()
/// ```
#[component(
    data,
    name = "toy.rows",
    outputs(
        x: "float[B, width]" = "features",
        y: "float[B]" = "targets",
        weight: "float[B]" = "0 or 1",
        row: "int[B]" = "the row's number",
    ),
    random,
)]
pub struct Rows {
    /// How many.
    #[param(default = 64)]
    pub rows: usize,
    /// Features of a row.
    #[param(default = 3, range = ">= 1")]
    pub width: usize,
    /// A row whose target is not a number; none below zero.
    #[param(default = -1)]
    pub broken: i64,
    /// A row that cannot be read; none below zero.
    #[param(default = -1)]
    pub missing: i64,
    /// A row at which reading panics; none below zero.
    #[param(default = -1)]
    pub panics: i64,
    /// Every target is weighted 0.
    #[param(default = false)]
    pub weightless: bool,
}

impl Component for Rows {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn length(&self, _: &(), _: &mut Call<'_>) -> Result<usize> {
        Ok(self.rows)
    }

    fn read(&self, _: &(), indices: &[i64], _: &mut Call<'_>) -> Result<RowsOutputs> {
        let (mut x, mut y, mut weight) = (Vec::new(), Vec::new(), Vec::new());
        for row in indices {
            if *row == self.missing {
                return Err(Error::new(format!("row {row} cannot be read")));
            }
            assert!(*row != self.panics, "row {row} is too much");
            let mut stream = mixed(*row);
            let features: Vec<f32> = (0..self.width)
                .map(|_| {
                    stream = stream
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (stream >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
                })
                .collect();
            let target: f32 = features.iter().zip(1_u16..).map(|(f, i)| f * f32::from(i)).sum();
            y.push(if *row == self.broken { f32::NAN } else { target / self.width as f32 });
            weight.push(if self.weightless || row % 3 == 0 { 0.0_f32 } else { 1.0 });
            x.extend(features);
        }
        let shape = [indices.len() as i64, self.width as i64];
        Ok(RowsOutputs {
            x: Tensor::f_from_slice(&x)?.f_reshape(shape)?,
            y: Tensor::f_from_slice(&y)?,
            weight: Tensor::f_from_slice(&weight)?,
            row: Tensor::f_from_slice(indices)?,
        })
    }
}

fn mixed(row: i64) -> u64 {
    (row as u64 ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Adds noise to every feature, from a stream of the row's own.
///
/// # Example
/// ```mlm
/// masker jitter = toy.jitter()
/// ```
#[component(
    augmenter,
    name = "toy.jitter",
    inputs(x: "float[B, W]" = "features"),
    outputs(x: "float[B, W]" = "with noise"),
    random,
    loader,
)]
pub struct Jitter {
    /// Noise lies between plus and minus this.
    #[param(default = 0.1, range = ">= 0", varies)]
    pub size: Varying,
}

impl Component for Jitter {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: JitterInputs<'_>, cx: &mut Call<'_>) -> Result<JitterOutputs> {
        let size = self.size.at("size", cx) as f32;
        let shape = x.x.size();
        let mut values = Vec::<f32>::try_from(x.x.f_reshape([-1])?)?;
        for (row, features) in values.chunks_mut(shape[1].max(1) as usize).enumerate() {
            let mut rng = cx.rng("noise", row);
            for feature in features {
                *feature += size * (rng.random::<f32>() * 2.0 - 1.0);
            }
        }
        Ok(JitterOutputs { x: Tensor::f_from_slice(&values)?.f_reshape(shape)? })
    }
}
