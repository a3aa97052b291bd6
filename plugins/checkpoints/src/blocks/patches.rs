//! Images as rows of patches (Dosovitskiy et al., 2021): each patch is a token, after a class token
//! where there is one.

use zoo_plugin::prelude::*;

/// A trained vector or table, under its full name.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Name.
    pub name: &'static str,
    /// Dimensions of size 1 that its shape begins with.
    pub leading: usize,
}

/// How an image becomes tokens.
#[derive(Clone, Copy, Debug)]
pub struct PatchesSpecification {
    /// Name of the map of patches.
    pub map: &'static str,
    /// Whether it has a bias.
    pub bias: bool,
    /// Colours.
    pub channels: i64,
    /// Height and width of images.
    pub image: [i64; 2],
    /// Height and width of a patch.
    pub patch: [i64; 2],
    /// Size of the states.
    pub hidden: i64,
    /// The token before all patches.
    pub class: Option<Named>,
    /// A vector for each place, that of the class token first.
    pub positions: Option<Named>,
    /// Whether those are waves of fixed lengths, which are not trained.
    pub fixed: bool,
    /// What stands in the place of hidden patches.
    pub mask: Option<Named>,
    /// Dropout of the sum.
    pub dropout: f64,
    /// Standard deviation of new weights.
    pub deviation: f64,
}

impl PatchesSpecification {
    /// Rows and columns of patches.
    pub fn grid(&self) -> [i64; 2] {
        [self.image[0] / self.patch[0], self.image[1] / self.patch[1]]
    }

    /// How many patches an image has.
    pub fn count(&self) -> i64 {
        self.grid().iter().product()
    }

    /// How many tokens an image has.
    pub fn tokens(&self) -> i64 {
        self.count() + i64::from(self.class.is_some())
    }
}

/// Makes the parameter of that name, whose shape ends in `shape`.
pub(crate) fn named(
    cx: &mut Build<'_>,
    prefix: &str,
    named: Named,
    shape: &[i64],
    init: Init,
) -> Result<Tensor> {
    let shape: Vec<i64> = std::iter::repeat_n(1, named.leading).chain(shape.iter().copied()).collect();
    cx.parameter(&format!("{prefix}{}", named.name), &shape, init)
}

/// A table [1, tokens, size] of waves over rows and columns (He et al., 2022, as its code has them:
/// those of columns first); the class token's row is zero. It is saved, and not trained.
pub(crate) fn waves(cx: &mut Build<'_>, name: &str, [rows, columns]: [i64; 2], size: i64) -> Result<Tensor> {
    if size % 4 != 0 {
        return Err(Error::new(format!(
            "waves over rows and columns need a size that 4 divides, which {size} is not"
        )));
    }
    let table = cx.buffer(name, &[1, rows * columns + 1, size], Kind::Float, Init::Zeros)?;
    if f64::try_from(table.f_abs()?.f_max()?)? == 0.0 {
        let quarter = size / 4;
        let mut values = vec![0_f32; size as usize];
        for row in 0..rows {
            for column in 0..columns {
                for place in [column, row] {
                    let angle = |i: i64| place as f64 / 10000_f64.powf(i as f64 / quarter as f64);
                    values.extend((0..quarter).map(|i| angle(i).sin() as f32));
                    values.extend((0..quarter).map(|i| angle(i).cos() as f32));
                }
            }
        }
        let values = Tensor::f_from_slice(&values)?.f_view(table.size().as_slice())?;
        let mut table = table.shallow_clone();
        table.f_copy_(&values)?;
    }
    Ok(table)
}

/// Patches with their parameters.
#[derive(Debug)]
pub struct Patches {
    specification: PatchesSpecification,
    weight: Tensor,
    bias: Option<Tensor>,
    class: Option<Tensor>,
    positions: Option<Tensor>,
    mask: Option<Tensor>,
}

impl Patches {
    /// Parameters below `prefix` (with its dot, or empty).
    ///
    /// # Errors
    /// Images that patches do not fill, and the host's errors.
    pub fn new(cx: &mut Build<'_>, prefix: &str, s: &PatchesSpecification) -> Result<Self> {
        if s.image[0] < s.patch[0] || s.image[1] < s.patch[1] {
            return Err(Error::new(format!(
                "images of {} x {} are smaller than patches of {} x {}",
                s.image[0], s.image[1], s.patch[0], s.patch[1]
            ))
            .at("config"));
        }
        let init = Init::Normal { mean: 0.0, std: s.deviation };
        let shape = [s.hidden, s.channels, s.patch[0], s.patch[1]];
        let weight = cx.parameter(&format!("{prefix}{}.weight", s.map), &shape, init)?;
        let bias = if s.bias {
            Some(cx.parameter(&format!("{prefix}{}.bias", s.map), &[s.hidden], Init::Zeros)?)
        } else {
            None
        };
        let class = s.class.map(|n| named(cx, prefix, n, &[s.hidden], init)).transpose()?;
        let positions = match s.positions {
            Some(n) if s.fixed => Some(waves(cx, &format!("{prefix}{}", n.name), s.grid(), s.hidden)?),
            Some(n) => Some(named(cx, prefix, n, &[s.tokens(), s.hidden], init)?),
            None => None,
        };
        let mask = s.mask.map(|n| named(cx, prefix, n, &[s.hidden], Init::Zeros)).transpose()?;
        Ok(Self { specification: *s, weight, bias, class, positions, mask })
    }

    /// What it was made from.
    pub fn specification(&self) -> &PatchesSpecification {
        &self.specification
    }

    /// Positions for `grid` patches, [1, tokens, hidden]: those of the patches are interpolated where
    /// the grid is not the model's own.
    fn places(&self, table: &Tensor, grid: [i64; 2]) -> Result<Tensor> {
        let s = &self.specification;
        let table = table.f_view([1, s.tokens(), s.hidden])?;
        let own = s.grid();
        if grid == own {
            return Ok(table);
        }
        let first = s.tokens() - s.count();
        let patches = table
            .f_narrow(1, first, s.count())?
            .f_view([1, own[0], own[1], s.hidden])?
            .f_permute([0, 3, 1, 2])?
            .f_upsample_bicubic2d(grid, false, None, None)?
            .f_permute([0, 2, 3, 1])?
            .f_reshape([1, grid[0] * grid[1], s.hidden])?;
        Ok(Tensor::f_cat(&[&table.f_narrow(1, 0, first)?, &patches], 1)?)
    }

    /// The patches of `images` [B, C, H, W] with their positions, [B, N, hidden], and the class token
    /// with its own, [1, 1, hidden]. Hidden patches (`mask`, bool[B, N]) are the mask token.
    ///
    /// # Errors
    /// Images that do not fit the model, a mask of another shape, and libtorch's errors.
    pub fn parts(&self, images: &Tensor, mask: Option<&Tensor>) -> Result<(Tensor, Option<Tensor>)> {
        let s = &self.specification;
        let (_, channels, height, width) = images.size4()?;
        if channels != s.channels || height < s.patch[0] || width < s.patch[1] {
            return Err(Error::new(format!(
                "images of {channels} x {height} x {width} do not fit a model of {} colours and patches of {} x {}",
                s.channels, s.patch[0], s.patch[1]
            ))
            .at("in.pixel_values"));
        }
        let x = images
            .f_conv2d(&self.weight, self.bias.as_ref(), s.patch, [0, 0], [1, 1], 1)?
            .f_flatten(2, 3)?
            .f_transpose(1, 2)?;
        let x = match mask {
            None => x,
            Some(mask) => {
                let token = self.mask.as_ref().ok_or_else(|| {
                    Error::new("the model has no mask token: `use_mask_token` of its config.json is not set")
                        .at("in.bool_masked_pos")
                })?;
                if mask.size() != x.size()[..2] {
                    return Err(Error::new(format!(
                        "the mask is {:?} and must be {:?}: one entry a patch",
                        mask.size(),
                        &x.size()[..2]
                    ))
                    .at("in.bool_masked_pos"));
                }
                let mask = mask.f_to_kind(Kind::Bool)?.f_unsqueeze(-1)?;
                token.f_view([1, 1, s.hidden])?.f_where_self(&mask, &x)?
            }
        };
        let class = self.class.as_ref().map(|class| class.f_view([1, 1, s.hidden])).transpose()?;
        let Some(table) = &self.positions else { return Ok((x, class)) };
        let places = self.places(table, [height / s.patch[0], width / s.patch[1]])?;
        let first = i64::from(class.is_some());
        let x = x.f_add(&places.f_narrow(1, first, places.size()[1] - first)?)?;
        let class = class.map(|class| class.f_add(&places.f_narrow(1, 0, 1)?)).transpose()?;
        Ok((x, class))
    }

    /// The tokens of patches, after the class token: [B, N, hidden] to [B, tokens, hidden].
    ///
    /// # Errors
    /// libtorch's.
    pub fn joined(&self, x: Tensor, class: Option<Tensor>, cx: &Call<'_>) -> Result<Tensor> {
        let x = match class {
            Some(class) => Tensor::f_cat(&[&class.f_expand([x.size()[0], -1, -1], false)?, &x], 1)?,
            None => x,
        };
        dropout(x, self.specification.dropout, cx)
    }

    /// Images as numbers of patches: [B, C, H, W] to [B, N, patch height, patch width, C] with the last
    /// three in one.
    ///
    /// # Errors
    /// Images of another size than the model's, and libtorch's errors.
    pub fn pixels(&self, images: &Tensor) -> Result<Tensor> {
        let s = &self.specification;
        let (batch, channels, height, width) = images.size4()?;
        if [height, width] != s.image || channels != s.channels {
            return Err(Error::new(format!(
                "images are {channels} x {height} x {width} and must be {} x {} x {}",
                s.channels, s.image[0], s.image[1]
            ))
            .at("in.pixel_values"));
        }
        let ([rows, columns], [high, wide]) = (s.grid(), s.patch);
        Ok(images
            .f_reshape([batch, channels, rows, high, columns, wide])?
            .f_permute([0, 2, 4, 3, 5, 1])?
            .f_reshape([batch, rows * columns, high * wide * channels])?)
    }
}
