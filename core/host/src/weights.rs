//! Checkpoints to start from. Loading is total: every parameter of the component comes from the
//! checkpoint, or the load is an error.

use crate::error::{SHOWN, WeightsFault, nearest};
use safetensors::tensor::{Dtype, Metadata};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

const HEADER_LIMIT: u64 = 100 << 20;

/// Tensors that older exports hold or lack without meaning: index ranges that models compute.
const IGNORABLE: [&str; 4] = ["position_ids", "token_type_ids", "relative_position_index", "inv_freq"];

/// Whether a tensor may be missing or left over.
pub(crate) fn ignorable(name: &str) -> bool {
    IGNORABLE.iter().any(|i| name == *i || name.ends_with(&format!(".{i}")))
}

struct Shard {
    path: PathBuf,
    file: File,
    /// Where tensors begin.
    start: u64,
    metadata: Metadata,
}

/// What a checkpoint has for a parameter.
pub(crate) enum Taken {
    Found(Tensor),
    /// Nothing, and it need not.
    Optional,
    /// Nothing, though it should: the load will fail.
    Missing,
}

/// How names in the checkpoint differ from those of the component.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Prefix {
    Same,
    /// The checkpoint has this first component more.
    More(String),
    /// The checkpoint lacks the first component.
    Less,
}

/// An open checkpoint: one file or several.
pub(crate) struct Checkpoint {
    shards: Vec<Shard>,
    names: BTreeMap<String, usize>,
    prefix: Option<Prefix>,
    used: std::collections::BTreeSet<String>,
    missing: Vec<(String, Vec<String>)>,
}

impl Shard {
    fn open(path: &Path) -> Result<Self, WeightsFault> {
        let fail = |reason: String| WeightsFault::File { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(|e| fail(e.to_string()))?;
        let length = file.metadata().map_err(|e| fail(e.to_string()))?.len();
        let mut head = [0_u8; 8];
        file.read_exact(&mut head).map_err(|_| fail("it is shorter than a header".to_owned()))?;
        let size = u64::from_le_bytes(head);
        if size > HEADER_LIMIT || size.saturating_add(8) > length {
            return Err(fail(format!("its header claims {size} bytes")));
        }
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes).map_err(|e| fail(e.to_string()))?;
        // Only the header is read here, the tensors one by one when they are asked for.
        let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))?;
        let start = 8 + size;
        let end = metadata.tensors().values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0);
        if start.checked_add(end) != Some(length) {
            return Err(fail(format!(
                "it is {length} bytes long and its header says {}",
                start.saturating_add(end)
            )));
        }
        let file = File::open(path).map_err(|e| fail(e.to_string()))?;
        Ok(Self { path: path.to_owned(), file, start, metadata })
    }

    fn read(&self, name: &str) -> Result<Tensor, WeightsFault> {
        let fail = |reason: String| WeightsFault::File { path: self.path.clone(), reason };
        let info = self.metadata.info(name).ok_or_else(|| fail(format!("`{name}` is gone")))?;
        let kind = kind_of(info.dtype)
            .ok_or_else(|| fail(format!("`{name}` is of type {:?}, which is not read", info.dtype)))?;
        let mut bytes = vec![0_u8; info.data_offsets.1 - info.data_offsets.0];
        self.file
            .read_exact_at(&mut bytes, self.start + info.data_offsets.0 as u64)
            .map_err(|e| fail(e.to_string()))?;
        let shape: Vec<i64> = info.shape.iter().map(|d| *d as i64).collect();
        Tensor::f_from_data_size(&bytes, &shape, kind)
            .map_err(|e| fail(crate::error::first_line(&e.to_string())))
    }
}

/// Whether the file is what `torch.save` writes: by its name, or by how a zip file or a pickle begins.
fn pickled(path: &Path) -> bool {
    let named = path.extension().is_some_and(|e| ["bin", "pt", "pth", "ckpt"].iter().any(|x| e == *x));
    let mut head = [0_u8; 4];
    let zipped = File::open(path).and_then(|mut f| f.read_exact(&mut head)).is_ok() && head == *b"PK\x03\x04";
    named || zipped
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::Uint8,
        Dtype::I8 => Kind::Int8,
        Dtype::I16 => Kind::Int16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        _ => return None,
    })
}

/// The names under which older exports have a parameter.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    // TensorFlow's names, which the first BERT exports kept.
    for (new, old) in [(".weight", ".gamma"), (".bias", ".beta")] {
        if let Some(stem) = name.strip_suffix(new) {
            all.push(format!("{stem}{old}"));
        }
    }
    all
}

impl Checkpoint {
    /// Opens a file, a folder with `model.safetensors`, or a `….index.json` whose shards `resolve`
    /// finds by name.
    pub(crate) fn open(
        path: &Path,
        resolve: &dyn Fn(&str) -> Result<PathBuf, String>,
    ) -> Result<Self, WeightsFault> {
        let fail = |reason: String| WeightsFault::File { path: path.to_owned(), reason };
        let mut file = path.to_owned();
        if path.is_dir() {
            file = path.join("model.safetensors");
            if !file.exists() {
                file = path.join("model.safetensors.index.json");
            }
            for pickle in ["pytorch_model.bin", "pytorch_model.bin.index.json"] {
                if !file.exists() && path.join(pickle).exists() {
                    return Err(WeightsFault::Pickle { path: path.join(pickle) });
                }
            }
            if !file.exists() {
                return Err(fail(
                    "the folder has neither model.safetensors nor model.safetensors.index.json".to_owned(),
                ));
            }
        }
        if pickled(&file) {
            return Err(WeightsFault::Pickle { path: file });
        }
        let mut shards = Vec::new();
        if file.extension().is_some_and(|e| e == "json") {
            let mut text = String::new();
            File::open(&file)
                .and_then(|f| f.take(HEADER_LIMIT).read_to_string(&mut text))
                .map_err(|e| fail(e.to_string()))?;
            let index: serde_json::Value = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
            let map = index.get("weight_map").and_then(|m| m.as_object());
            let map = map.ok_or_else(|| fail("the index has no `weight_map`".to_owned()))?;
            let files: std::collections::BTreeSet<&str> = map.values().filter_map(|v| v.as_str()).collect();
            for name in files {
                if Path::new(name).file_name().and_then(|n| n.to_str()) != Some(name) {
                    return Err(fail(format!("the index names `{name}`, which is no file beside it")));
                }
                let beside = file.with_file_name(name);
                let shard = if beside.exists() { beside } else { resolve(name).map_err(fail)? };
                shards.push(Shard::open(&shard)?);
            }
        } else {
            shards.push(Shard::open(&file)?);
        }
        let mut names = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for name in shard.metadata.tensors().into_keys() {
                if names.insert(name.clone(), number).is_some() {
                    return Err(fail(format!("two of its files have a tensor `{name}`")));
                }
            }
        }
        Ok(Self { shards, names, prefix: None, used: Default::default(), missing: Vec::new() })
    }

    fn find_with(&self, prefix: &Prefix, name: &str) -> Option<String> {
        spellings(name).into_iter().find_map(|name| {
            let full = match prefix {
                Prefix::Same => name,
                Prefix::More(first) => format!("{first}.{name}"),
                Prefix::Less => name.split_once('.')?.1.to_owned(),
            };
            self.names.contains_key(&full).then_some(full)
        })
    }

    /// The tensor's name in the checkpoint. The first one decides whether names have a component
    /// more or less throughout (`bert.` of a bare encoder), for the rest to follow.
    fn find(&mut self, name: &str) -> Option<String> {
        if let Some(prefix) = &self.prefix {
            return self.find_with(prefix, name).or_else(|| self.find_with(&Prefix::Same, name));
        }
        let firsts: std::collections::BTreeSet<&str> =
            self.names.keys().filter_map(|n| n.split_once('.').map(|(first, _)| first)).collect();
        let mut candidates = vec![Prefix::Same, Prefix::Less];
        candidates.extend(firsts.into_iter().map(|first| Prefix::More(first.to_owned())));
        let mut found = candidates.into_iter().filter_map(|p| self.find_with(&p, name).map(|full| (p, full)));
        let (prefix, full) = found.next()?;
        // With two ways to read a name, only the exact one is safe.
        if prefix != Prefix::Same && found.next().is_some() {
            return None;
        }
        self.prefix = Some(prefix);
        Some(full)
    }

    /// The values of a parameter. One that the checkpoint lacks and need not is to be made anew; what it
    /// lacks otherwise is reported by [`finish`](Self::finish).
    pub(crate) fn take(&mut self, name: &str, shape: &[i64]) -> Result<Taken, WeightsFault> {
        let found = self.find(name).and_then(|full| Some((self.names.get(&full).copied()?, full)));
        let Some((shard, full)) = found.and_then(|(i, full)| Some((self.shards.get(i)?, full))) else {
            if ignorable(name) {
                return Ok(Taken::Optional);
            }
            // Only these are shown.
            let near = if self.missing.len() < SHOWN {
                nearest(name, self.names.keys().map(String::as_str))
            } else {
                Vec::new()
            };
            self.missing.push((name.to_owned(), near));
            return Ok(Taken::Missing);
        };
        let tensor = shard.read(&full)?;
        if tensor.size() != shape {
            return Err(WeightsFault::Shape {
                name: name.to_owned(),
                found: tensor.size(),
                expected: shape.to_vec(),
            });
        }
        self.used.insert(full);
        Ok(Taken::Found(tensor))
    }

    /// Whether all was found; gives the names of tensors that nothing asked for.
    pub(crate) fn finish(self) -> Result<Vec<String>, WeightsFault> {
        if self.missing.is_empty() {
            Ok(self.names.into_keys().filter(|n| !self.used.contains(n) && !ignorable(n)).collect())
        } else {
            Err(WeightsFault::Missing { missing: self.missing })
        }
    }
}
