//! Tensors in files of the safetensors format.

use super::{io, unusable};
use crate::Result;
use safetensors::tensor::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use tch::{Kind, Tensor};

const KINDS: [(Kind, Dtype); 9] = [
    (Kind::Bool, Dtype::BOOL),
    (Kind::Uint8, Dtype::U8),
    (Kind::Int8, Dtype::I8),
    (Kind::Int, Dtype::I32),
    (Kind::Int64, Dtype::I64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
];

/// A contiguous tensor on the CPU, as the format wants it.
struct OfTensor<'a> {
    tensor: &'a Tensor,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl View for OfTensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.data_len()];
        // The length fits; what is left to fail is a tensor without memory, which has no bytes.
        let _ = self.tensor.f_copy_data_u8(&mut bytes, self.tensor.numel());
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

/// Writes tensors, contiguous and on the CPU; the same tensors give the same bytes in whatever order.
pub(crate) fn write_tensors(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let views = tensors
        .iter()
        .map(|(name, tensor)| {
            let dtype = KINDS.iter().find(|(kind, _)| *kind == tensor.kind()).map(|(_, dtype)| *dtype);
            let dtype = dtype.ok_or_else(|| unusable(path, format!("`{name}` is {:?}", tensor.kind())))?;
            let shape = tensor.size().iter().map(|size| *size as usize).collect();
            Ok((name.as_str(), OfTensor { tensor, dtype, shape }))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path)
        .map_err(|e| io("write", path, std::io::Error::other(e.to_string())))
}

/// Puts a file's content on the disk; gives its length.
pub(super) fn sync(path: &Path) -> Result<u64> {
    let synced = File::open(path).and_then(|file| {
        file.sync_all()?;
        file.metadata()
    });
    Ok(synced.map_err(|e| io("sync", path, e))?.len())
}

/// Reads all tensors of a file; none where there is no such file.
pub(crate) fn read_tensors_if_there(path: &Path) -> Result<Vec<(String, Tensor)>> {
    if path.exists() { read_tensors(path) } else { Ok(Vec::new()) }
}

/// Reads all tensors of a file.
pub(crate) fn read_tensors(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let bytes = std::fs::read(path).map_err(|e| unusable(path, e))?;
    let read = SafeTensors::deserialize(&bytes).map_err(|e| unusable(path, e))?;
    read.iter()
        .map(|(name, view)| {
            let kind = KINDS.iter().find(|(_, dtype)| *dtype == view.dtype()).map(|(kind, _)| *kind);
            let kind = kind.ok_or_else(|| unusable(path, format!("`{name}` is {:?}", view.dtype())))?;
            let shape: Vec<i64> = view.shape().iter().map(|size| *size as i64).collect();
            Ok((name.to_owned(), Tensor::f_from_data_size(view.data(), &shape, kind)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn tensors_come_back_and_their_order_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let tensors = || {
            vec![
                ("b".to_owned(), Tensor::arange(6, (Kind::Float, Device::Cpu)).reshape([2, 3])),
                ("a".to_owned(), Tensor::from_slice(&[1_i64])),
                ("none".to_owned(), Tensor::zeros([0], (Kind::Float, Device::Cpu))),
            ]
        };
        write_tensors(&one, &tensors()).unwrap();
        write_tensors(&two, &tensors().into_iter().rev().collect::<Vec<_>>()).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        let read: HashMap<String, Tensor> = read_tensors(&one).unwrap().into_iter().collect();
        for (name, tensor) in tensors() {
            assert_eq!(read[&name], tensor);
            assert_eq!(read[&name].kind(), tensor.kind());
        }
        std::fs::write(&one, b"12345678").unwrap();
        assert!(read_tensors(&one).unwrap_err().to_string().contains("cannot be used"));
    }
}
