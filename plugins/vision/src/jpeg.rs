//! Photographs of a hub's data set.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zoo_plugin::prelude::*;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Photographs (JPEG) with a class, from the Parquet files in which hubs keep image data sets.
///
/// The shorter side is brought to the size that is asked for, bilinear with anti-aliasing, and the middle is cut out.
/// Numbers are from 0 (black) to 1, less `mean`, divided by `deviation`. A group of rows, mostly a hundred, is read when
/// one of them is needed, and the last few groups are kept. Files of a folder stand in the order of their names.
///
/// # Example
/// ```mlm
/// data photographs = vision.parquet_images(
///   file: asset("file:photographs.parquet"), height: 16, width: 16,
/// )
/// ```
#[component(
    data,
    name = "vision.parquet_images",
    outputs(
        features: "float[B, 3*height*width]" = "red, then green, then blue, each row by row",
        label: "int[B]" = "the class",
    ),
    loader,
)]
pub struct ParquetImages {
    /// The file, or a folder of files.
    #[param(kind = "asset")]
    pub file: String,
    /// What the names of the files of a folder begin with.
    #[param(default = "")]
    pub matching: String,
    /// The column with the image: bytes, or a group with a field `bytes`.
    #[param(default = "image")]
    pub image: String,
    /// The column with the class.
    #[param(default = "label")]
    pub label: String,
    /// Pixels from top to bottom.
    #[param(range = ">= 1")]
    pub height: usize,
    /// Pixels from left to right.
    #[param(range = ">= 1")]
    pub width: usize,
    /// Taken off red, green and blue.
    #[param(default = [0.0, 0.0, 0.0])]
    pub mean: Vec<f64>,
    /// What red, green and blue are then divided by.
    #[param(default = [1.0, 1.0, 1.0])]
    pub deviation: Vec<f64>,
}

/// Groups of rows that are kept.
const KEPT: usize = 16;

/// Images as bytes, with their classes.
type Group = Arc<Vec<(Vec<u8>, i64)>>;

/// Open files.
pub struct Photographs {
    files: Vec<(PathBuf, SerializedFileReader<File>)>,
    /// File, number in it, and first row of every group.
    groups: Vec<(usize, usize, usize)>,
    length: usize,
    kept: Mutex<Vec<(usize, Group)>>,
}

impl std::fmt::Debug for Photographs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Photographs").field("length", &self.length).finish_non_exhaustive()
    }
}

fn failed(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::new(format!("{}: {reason}", path.display())).at("file")
}

/// Red, green and blue of every pixel, as `float[3, height, width]` from 0 to 1.
///
/// # Errors
///
/// What is no JPEG, with the decoder's reason.
pub fn decode(bytes: &[u8]) -> Result<Tensor> {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode().map_err(|error| Error::new(format!("no JPEG: {error:?}")))?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    let image = Tensor::f_from_slice(&pixels)?.f_reshape([height as i64, width as i64, 3])?;
    Ok(image.f_permute([2, 0, 1])?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?)
}

impl ParquetImages {
    /// `float[3, H, W]` to `float[3 height width]`: scaled so that it covers the size, and its middle.
    ///
    /// # Errors
    ///
    /// libtorch's.
    pub fn fit(&self, image: &Tensor) -> Result<Tensor> {
        let (_, rows, columns) = image.size3()?;
        let (height, width) = (self.height as i64, self.width as i64);
        let scale = f64::max(height as f64 / rows.max(1) as f64, width as f64 / columns.max(1) as f64);
        let size = [
            height.max((rows as f64 * scale).round() as i64),
            width.max((columns as f64 * scale).round() as i64),
        ];
        let scaled =
            image.f_unsqueeze(0)?.f_internal_upsample_bilinear2d_aa(size, false, None::<f64>, None::<f64>)?;
        let middle = scaled.f_squeeze_dim(0)?.f_narrow(1, (size[0] - height) / 2, height)?.f_narrow(
            2,
            (size[1] - width) / 2,
            width,
        )?;
        let colours = |values: &[f64]| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(values)?.f_to_kind(Kind::Float)?.f_view([3, 1, 1])?)
        };
        let numbers = middle.f_sub(&colours(&self.mean)?)?.f_div(&colours(&self.deviation)?)?;
        Ok(numbers.f_reshape([-1])?)
    }

    fn group(&self, state: &Photographs, number: usize) -> Result<Group> {
        let locked = || state.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, group)) = locked().iter().find(|(kept, _)| *kept == number) {
            return Ok(Arc::clone(group));
        }
        let (file, within, _) = state.groups[number];
        let (path, reader) = &state.files[file];
        let wrong = |error: parquet::errors::ParquetError| failed(path, error);
        let mut rows = Vec::new();
        for row in reader.get_row_group(within).map_err(wrong)?.get_row_iter(None).map_err(wrong)? {
            let (mut image, mut label) = (None, None);
            for (name, value) in row.map_err(wrong)?.into_columns() {
                if name == self.image {
                    image = bytes(&value);
                } else if name == self.label {
                    label = whole(&value);
                }
            }
            let lacking = |name: &str, what: &str| failed(path, format!("column `{name}` has no {what}"));
            rows.push((
                image.ok_or_else(|| lacking(&self.image, "bytes"))?,
                label.ok_or_else(|| lacking(&self.label, "whole number"))?,
            ));
        }
        let group = Arc::new(rows);
        let mut kept = locked();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((number, Arc::clone(&group)));
        Ok(group)
    }
}

fn bytes(value: &Field) -> Option<Vec<u8>> {
    match value {
        Field::Bytes(bytes) => Some(bytes.data().to_vec()),
        Field::Group(row) => {
            row.get_column_iter().find(|(name, _)| *name == "bytes").and_then(|(_, value)| bytes(value))
        }
        _ => None,
    }
}

fn whole(value: &Field) -> Option<i64> {
    match value {
        Field::Int(n) => Some(i64::from(*n)),
        Field::Long(n) => Some(*n),
        Field::UInt(n) => Some(i64::from(*n)),
        Field::Short(n) => Some(i64::from(*n)),
        Field::Byte(n) => Some(i64::from(*n)),
        _ => None,
    }
}

impl Component for ParquetImages {
    type State = Photographs;

    fn build(&self, cx: &mut Build<'_>) -> Result<Photographs> {
        for (name, values) in [("mean", &self.mean), ("deviation", &self.deviation)] {
            if values.len() != 3 {
                let text = format!("{} numbers for red, green and blue", values.len());
                return Err(Error::new(text).at(name).help("write three of them"));
            }
        }
        let path = cx.asset(&self.file)?;
        let mut paths = vec![path.clone()];
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).map_err(|error| failed(&path, error))?;
            paths = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            paths.retain(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.ends_with(".parquet") && name.starts_with(&self.matching)
            });
            paths.sort();
        }
        let (mut files, mut groups, mut length) = (Vec::new(), Vec::new(), 0);
        for (number, path) in paths.into_iter().enumerate() {
            let file = File::open(&path).map_err(|error| failed(&path, error))?;
            let reader = SerializedFileReader::new(file).map_err(|error| failed(&path, error))?;
            for (within, group) in reader.metadata().row_groups().iter().enumerate() {
                groups.push((number, within, length));
                length += usize::try_from(group.num_rows()).unwrap_or(0);
            }
            files.push((path, reader));
        }
        if length == 0 {
            return Err(failed(&path, format!("no rows in files that begin with `{}`", self.matching)));
        }
        Ok(Photographs { files, groups, length, kept: Mutex::default() })
    }

    fn length(&self, state: &Photographs, _: &mut Call<'_>) -> Result<usize> {
        Ok(state.length)
    }

    fn read(&self, state: &Photographs, indices: &[i64], _: &mut Call<'_>) -> Result<ParquetImagesOutputs> {
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        for index in indices {
            let row = usize::try_from(*index).ok().filter(|row| *row < state.length).ok_or_else(|| {
                Error::new(format!("there is no image {index}: the data have {}", state.length))
            })?;
            let number = state.groups.partition_point(|(_, _, start)| *start <= row).saturating_sub(1);
            let group = self.group(state, number)?;
            let (image, label) = group.get(row - state.groups[number].2).ok_or_else(|| {
                Error::new(format!("image {index}: the group is shorter than the file says"))
            })?;
            let at = |error: Error| Error::new(format!("image {index}: {}", error.message));
            features.push(self.fit(&decode(image).map_err(at)?)?);
            labels.push(*label);
        }
        Ok(ParquetImagesOutputs {
            features: Tensor::f_stack(&features, 0)?,
            label: Tensor::f_from_slice(&labels)?,
        })
    }
}
