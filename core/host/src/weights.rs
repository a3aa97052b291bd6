//! Checkpoints to start from. Loading is total: every parameter of the component comes from the
//! checkpoint, or the load is an error.

use crate::error::{SHOWN, WeightsFault, nearest};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

const HEADER_LIMIT: u64 = 100 << 20;

/// What is converted at once, in bytes of the file.
const PIECE: usize = 4 << 20;

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
    /// What values are converted from, one piece at a time.
    staging: Option<Tensor>,
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

    fn info(&self, name: &str) -> Result<&TensorInfo, WeightsFault> {
        self.metadata.info(name).ok_or_else(|| self.fault(format!("`{name}` is gone")))
    }

    fn fault(&self, reason: String) -> WeightsFault {
        WeightsFault::File { path: self.path.clone(), reason }
    }

    /// The tensor as it is wanted. It takes its own size in memory: values come from the file straight into their
    /// place, or piece by piece where they are converted. All tensors share one piece, `staging`; pieces of
    /// their own would leave holes in the heap, which together are as large as the checkpoint.
    fn read(
        &self,
        name: &str,
        wanted: &Wanted<'_>,
        staging: &mut Option<Tensor>,
    ) -> Result<Tensor, WeightsFault> {
        let info = self.info(name)?;
        let kind = kind_of(info.dtype)
            .ok_or_else(|| self.fault(format!("`{name}` is of type {:?}, which is not read", info.dtype)))?;
        let torch = |e: tch::TchError| self.fault(crate::error::first_line(&e.to_string()));
        let bytes = |e: zoo_torch::Error| self.fault(e.to_string());
        let begin = self.start + info.data_offsets.0 as u64;
        let here = kind == wanted.kind && wanted.device == Device::Cpu;
        if here
            && wanted.mapped
            && let Some(tensor) = self.map(begin, info.data_offsets.1 - info.data_offsets.0, wanted)
        {
            return Ok(tensor);
        }
        let read = |tensor: &mut Tensor, from: u64| {
            zoo_torch::tensor::with_bytes(tensor, |bytes| self.file.read_exact_at(bytes, from))
                .map_err(bytes)?
                .map_err(|e| self.fault(e.to_string()))
        };
        let mut whole = Tensor::f_empty(wanted.shape, (wanted.kind, wanted.device)).map_err(torch)?;
        if here {
            read(&mut whole, begin)?;
            return Ok(whole);
        }
        let (flat, width) = (whole.f_view([-1]).map_err(torch)?, kind.elt_size_in_bytes().max(1));
        let (count, step) = (whole.numel(), (PIECE / width).max(1));
        let staging = match staging {
            Some(staging) => staging,
            none => {
                let bytes = Tensor::f_empty([PIECE as i64], (Kind::Uint8, Device::Cpu)).map_err(torch)?;
                none.insert(bytes)
            }
        };
        let staging = staging.f_view_dtype(kind).map_err(torch)?;
        for from in (0..count).step_by(step) {
            let length = (count - from).min(step) as i64;
            let mut piece = staging.f_narrow(0, 0, length).map_err(torch)?;
            read(&mut piece, begin + (from * width) as u64)?;
            let place = flat.f_narrow(0, from as i64, length);
            place.and_then(|mut place| place.f_copy_(&piece)).map_err(torch)?;
        }
        Ok(whole)
    }

    /// A tensor whose memory is the file; none where it cannot be.
    fn map(&self, begin: u64, length: usize, wanted: &Wanted<'_>) -> Option<Tensor> {
        if length == 0 {
            return None;
        }
        let mut options = memmap2::MmapOptions::new();
        options.offset(begin).len(length).no_reserve_swap();
        // SAFETY: the map is private, so what is written stays in this process. A file that another process
        // changes meanwhile changes values, and one that it cuts ends this process: see `map_weights`.
        let map = unsafe { options.map_copy(&self.file) }.ok()?;
        // Only a hint.
        let _ = map.advise(memmap2::Advice::WillNeed);
        zoo_torch::tensor::from_owner(map, 0, wanted.shape, wanted.kind).ok()
    }
}

/// How a component wants a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) shape: &'a [i64],
    pub(crate) kind: Kind,
    pub(crate) device: Device,
    /// Its memory may be the file's.
    pub(crate) mapped: bool,
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
    // Norm and direction of a weight, before torch had parametrizations.
    for (new, old) in [("original0", "weight_g"), ("original1", "weight_v")] {
        if let Some(stem) = name.strip_suffix(&format!("parametrizations.weight.{new}")) {
            all.push(format!("{stem}{old}"));
        }
    }
    // A vision tower within a tower.
    if let Some(rest) = name.strip_prefix("vision_tower.") {
        all.push(format!("vision_tower.vision_model.{rest}"));
    }
    all
}

/// No shard that is not beside its index.
fn beside(name: &str) -> Result<PathBuf, String> {
    Err(format!("`{name}`, which the index names, is not beside it"))
}

/// Names and shapes of the tensors of a safetensors file, of the folder of one, or of an index of several; read
/// from headers alone.
///
/// # Errors
/// Files that are missing, damaged, or pickles.
pub fn weight_shapes(path: &Path) -> Result<BTreeMap<String, Vec<i64>>, WeightsFault> {
    let checkpoint = Checkpoint::open(path, &beside)?;
    let shapes = checkpoint.names.iter().filter_map(|(name, shard)| {
        let info = checkpoint.shards.get(*shard)?.metadata.info(name)?;
        Some((name.clone(), info.shape.iter().map(|d| *d as i64).collect()))
    });
    Ok(shapes.collect())
}

/// Every tensor of such files as it is stored, on the CPU, by name.
///
/// # Errors
/// As [`weight_shapes`], and types of elements that libtorch has not.
pub fn read_weights(path: &Path) -> Result<BTreeMap<String, Tensor>, WeightsFault> {
    let checkpoint = Checkpoint::open(path, &beside)?;
    let mut tensors = BTreeMap::new();
    for (name, shard) in &checkpoint.names {
        let Some(shard) = checkpoint.shards.get(*shard) else { continue };
        let info = shard.info(name)?;
        let shape: Vec<i64> = info.shape.iter().map(|d| *d as i64).collect();
        // Of a type that there is none of, reading tells.
        let kind = kind_of(info.dtype).unwrap_or(Kind::Float);
        let wanted = Wanted { shape: &shape, kind, device: Device::Cpu, mapped: false };
        tensors.insert(name.clone(), shard.read(name, &wanted, &mut None)?);
    }
    Ok(tensors)
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
        Ok(Self { shards, names, prefix: None, used: Default::default(), missing: Vec::new(), staging: None })
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
    pub(crate) fn take(&mut self, name: &str, wanted: &Wanted<'_>) -> Result<Taken, WeightsFault> {
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
        // The header tells the shape; what does not fit is not read.
        let found: Vec<i64> = shard.info(&full)?.shape.iter().map(|d| *d as i64).collect();
        if found != wanted.shape {
            return Err(WeightsFault::Shape {
                name: name.to_owned(),
                found,
                expected: wanted.shape.to_vec(),
            });
        }
        let tensor = shard.read(&full, wanted, &mut self.staging)?;
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
