//! Devices: which there are, their random streams and their memory.

use crate::error::{Error, Result, check, text};
use crate::sys;
use std::ffi::{CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// The number of the device's kind and its index, as the shim knows them.
pub(crate) fn numbers(device: Device) -> Result<(c_int, c_int)> {
    match device {
        Device::Cpu => Ok((0, 0)),
        Device::Cuda(index) => {
            Ok((1, c_int::try_from(index).map_err(|_| Error::Device(format!("{device:?}")))?))
        }
        other => Err(Error::Device(format!("{other:?}"))),
    }
}

/// What [`open_cuda`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cuda {
    /// CUDA can be used: so many devices.
    Present {
        /// Number of devices.
        devices: usize,
        /// The library that was opened; absent where the process had it already.
        library: Option<PathBuf>,
    },
    /// CUDA cannot be used.
    Absent {
        /// Why, for people.
        reason: String,
    },
}

impl Cuda {
    /// Number of devices; 0 where CUDA cannot be used.
    pub fn devices(&self) -> usize {
        match self {
            Self::Present { devices, .. } => *devices,
            Self::Absent { .. } => 0,
        }
    }
}

/// Opens libtorch's CUDA half when there is one, so that one binary serves machines with and without.
///
/// Usually `folders` are [`cuda_folders`]. Looked at, in order: the process itself (a binary linked to a CUDA libtorch), the folder of the
/// loaded `libtorch_cpu.so`, then `folders` (each with `libtorch_cuda.so` in it, or in `lib` below).
/// A folder whose `build-version` names another version than the loaded one is passed over. Call it
/// once, early, from the main thread: libtorch's registries are filled while the library is opened.
///
/// # Errors
///
/// None of it is an error: what stands in the way is the `reason` of [`Cuda::Absent`].
pub fn open_cuda(folders: &[PathBuf]) -> Cuda {
    if let Ok((true, devices)) = cuda_devices() {
        return present(devices, None);
    }
    let mut reason = None;
    let beside = libtorch_folder().ok();
    for folder in beside.iter().chain(folders) {
        for library in [folder.join("libtorch_cuda.so"), folder.join("lib/libtorch_cuda.so")] {
            if !library.is_file() {
                continue;
            }
            if let Err(why) = same_version(&library) {
                reason = Some(why);
                continue;
            }
            match open(&library).and_then(|()| cuda_devices()) {
                Ok((true, devices)) => return present(devices, Some(library)),
                Ok((false, _)) => reason = Some(format!("{} brings no CUDA", library.display())),
                Err(error) => reason = Some(error.to_string()),
            }
        }
    }
    Cuda::Absent { reason: reason.unwrap_or_else(|| "there is no libtorch_cuda.so".to_owned()) }
}

/// Where the CUDA half of libtorch may be on this machine, the most explicit first:
///
/// 1. the folder that `ZOO_CUDA` names: a CUDA libtorch, or the `torch` folder of a Python package;
/// 2. that of `LIBTORCH`, as it is now and not as it was when zoo was built;
/// 3. the Python environment that is active, `VIRTUAL_ENV`;
/// 4. `cuda/torch` beside zoo's own libtorch, where `./zoo.sh setup --cuda` puts it.
pub fn cuda_folders() -> Vec<PathBuf> {
    let own = libtorch_folder().ok();
    folders_from(|name| std::env::var_os(name).map(PathBuf::from), own.as_deref())
}

fn folders_from(variable: impl Fn(&str) -> Option<PathBuf>, own: Option<&Path>) -> Vec<PathBuf> {
    let set = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
    let mut folders: Vec<PathBuf> = ["ZOO_CUDA", "LIBTORCH"].into_iter().filter_map(set).collect();
    if let Some(environment) = set("VIRTUAL_ENV") {
        let mut pythons: Vec<_> = std::fs::read_dir(environment.join("lib"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3")))
            .collect();
        pythons.sort();
        folders.extend(pythons.into_iter().map(|python| python.join("site-packages/torch")));
    }
    // …/.zoo/libtorch/lib
    folders.extend(own.and_then(|lib| lib.parent()?.parent()).map(|home| home.join("cuda/torch")));
    folders
}

fn present(devices: usize, library: Option<PathBuf>) -> Cuda {
    if devices == 0 {
        return Cuda::Absent { reason: "no CUDA device or driver was found".to_owned() };
    }
    Cuda::Present { devices, library }
}

fn open(library: &Path) -> Result<()> {
    let path = CString::new(library.as_os_str().as_bytes())
        .map_err(|_| Error::Bytes("a path with a zero byte".to_owned()))?;
    // SAFETY: a C string. Opening a library runs its initialisers: this is the point of the call.
    check("opening libtorch_cuda", unsafe { sys::zoo_torch_open(path.as_ptr()) })
}

/// The build-version file beside the `lib` folder must name the version of our headers.
fn same_version(library: &Path) -> std::result::Result<(), String> {
    let root = library.parent().and_then(Path::parent);
    let Some(version) = root.and_then(|root| std::fs::read_to_string(root.join("build-version")).ok()) else {
        return Ok(()); // a Python package has none; the symbols decide
    };
    let version = version.trim().split('+').next().unwrap_or_default();
    let ours = headers_version();
    if version == ours {
        return Ok(());
    }
    Err(format!("{} is of libtorch {version}, not {ours}", library.display()))
}

/// The version of libtorch that zoo was compiled for, `2.11.0`.
pub fn headers_version() -> String {
    // SAFETY: a constant C string.
    unsafe { text(sys::zoo_torch_headers_version()) }
}

/// The folder that the process loaded `libtorch_cpu.so` from.
///
/// # Errors
///
/// Only if the loader does not know, as in a statically linked program.
pub fn libtorch_folder() -> Result<PathBuf> {
    let mut out = std::ptr::null();
    // SAFETY: a place for one pointer.
    check("finding libtorch_cpu", unsafe { sys::zoo_torch_library(&mut out) })?;
    // SAFETY: on success a C string of this thread, which stays until the next call.
    let file = PathBuf::from(unsafe { text(out) });
    Ok(file.parent().map(Path::to_owned).unwrap_or_default())
}

/// Whether CUDA is in the process, and how many devices it sees.
///
/// # Errors
///
/// What libtorch throws.
pub fn cuda_devices() -> Result<(bool, usize)> {
    let (mut linked, mut count) = (0, 0);
    // SAFETY: places for two integers.
    check("counting CUDA devices", unsafe { sys::zoo_torch_cuda_devices(&mut linked, &mut count) })?;
    Ok((linked != 0, usize::try_from(count).unwrap_or(0)))
}

/// Waits until the device has done all that was asked; at once on the CPU.
///
/// # Errors
///
/// Errors of earlier work on the device surface here.
pub fn synchronize(device: Device) -> Result<()> {
    let (kind, index) = numbers(device)?;
    // SAFETY: plain numbers.
    check("synchronizing", unsafe { sys::zoo_torch_synchronize(kind, index) })
}

/// Seeds the device's random stream.
///
/// # Errors
///
/// A device that is not there.
pub fn seed(device: Device, seed: u64) -> Result<()> {
    let (kind, index) = numbers(device)?;
    // SAFETY: plain numbers.
    check("seeding", unsafe { sys::zoo_torch_seed(kind, index, seed) })
}

/// The state of the device's random stream: bytes, to be given back to [`set_generator_state`].
///
/// # Errors
///
/// A device that is not there.
pub fn generator_state(device: Device) -> Result<Tensor> {
    let (kind, index) = numbers(device)?;
    let mut out = std::ptr::null_mut();
    // SAFETY: a place for one handle.
    check("reading a random stream", unsafe { sys::zoo_torch_generator_state(kind, index, &mut out) })?;
    // SAFETY: on success the shim gave a new handle, which is ours.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Puts the device's random stream where it was when [`generator_state`] was called.
///
/// # Errors
///
/// A tensor that is no such state.
pub fn set_generator_state(device: Device, state: &Tensor) -> Result<()> {
    let (kind, index) = numbers(device)?;
    // SAFETY: a live tensor, which libtorch copies from.
    let status = unsafe { sys::zoo_torch_set_generator_state(kind, index, state.as_ptr().cast_mut()) };
    check("setting a random stream", status)
}

/// Memory of an accelerator, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceMemory {
    /// In tensors now.
    pub allocated: u64,
    /// In tensors at most, since [`reset_device_peak`].
    pub allocated_peak: u64,
    /// Held from the device now, cached blocks included.
    pub reserved: u64,
    /// Held at most.
    pub reserved_peak: u64,
}

/// What libtorch's allocator holds of an accelerator.
///
/// # Errors
///
/// The CPU, which has no such allocator: see [`crate::process::memory`].
pub fn device_memory(device: Device) -> Result<DeviceMemory> {
    let (kind, index) = numbers(device)?;
    let mut out = [0; 4];
    // SAFETY: a place for four integers.
    check("reading device memory", unsafe { sys::zoo_torch_device_memory(kind, index, &mut out) })?;
    let [allocated, allocated_peak, reserved, reserved_peak] = out.map(|n| u64::try_from(n).unwrap_or(0));
    Ok(DeviceMemory { allocated, allocated_peak, reserved, reserved_peak })
}

/// Starts the peaks of [`device_memory`] anew.
///
/// # Errors
///
/// As [`device_memory`].
pub fn reset_device_peak(device: Device) -> Result<()> {
    let (kind, index) = numbers(device)?;
    // SAFETY: plain numbers.
    check("resetting device memory", unsafe { sys::zoo_torch_reset_device_peak(kind, index) })
}

/// Memory of tensors on the CPU, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TensorMemory {
    /// Now.
    pub allocated: u64,
    /// At most, since [`reset_tensor_peak`].
    pub allocated_peak: u64,
}

/// Counts from now on what tensors on the CPU take: as [`device_memory`] for accelerators. Tensors that are
/// there already are left out. Call it once, early; false where the system's allocator does not tell the
/// size of a block, and nothing is counted.
///
/// # Errors
///
/// What libtorch throws.
pub fn count_tensors() -> Result<bool> {
    let mut counted = 0;
    // SAFETY: a place for an integer. Blocks keep the deleter that they were allocated with.
    check("counting tensors", unsafe { sys::zoo_torch_count_tensors(&mut counted) })?;
    Ok(counted != 0)
}

/// What tensors on the CPU take, counted since [`count_tensors`]; zeros before it.
///
/// # Errors
///
/// None that libtorch has.
pub fn tensor_memory() -> Result<TensorMemory> {
    let mut out = [0; 2];
    // SAFETY: a place for two integers.
    check("reading the memory of tensors", unsafe { sys::zoo_torch_tensor_memory(&mut out) })?;
    let [allocated, allocated_peak] = out.map(|n| u64::try_from(n).unwrap_or(0));
    Ok(TensorMemory { allocated, allocated_peak })
}

/// Starts the peak of [`tensor_memory`] anew.
///
/// # Errors
///
/// None that libtorch has.
pub fn reset_tensor_peak() -> Result<()> {
    // SAFETY: no arguments.
    check("resetting the memory of tensors", unsafe { sys::zoo_torch_reset_tensor_peak() })
}

/// Gives cached blocks of an accelerator back to it; nothing on the CPU.
///
/// # Errors
///
/// What libtorch throws.
pub fn empty_cache(device: Device) -> Result<()> {
    let (kind, _) = numbers(device)?;
    // SAFETY: a plain number.
    check("emptying the cache", unsafe { sys::zoo_torch_empty_cache(kind) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_explicit_folder_comes_first() {
        let environment = tempfile::tempdir().unwrap();
        for name in ["python3.12", "python3.9", "pkgconfig"] {
            std::fs::create_dir_all(environment.path().join("lib").join(name)).unwrap();
        }
        let variable = |name: &str| match name {
            "ZOO_CUDA" => Some(PathBuf::from("/cuda")),
            "LIBTORCH" => Some(PathBuf::new()),
            "VIRTUAL_ENV" => Some(environment.path().to_owned()),
            _ => None,
        };
        let lib = environment.path().join("lib");
        let expected = [
            PathBuf::from("/cuda"),
            lib.join("python3.12/site-packages/torch"),
            lib.join("python3.9/site-packages/torch"),
            PathBuf::from("/zoo/.zoo/cuda/torch"),
        ];
        assert_eq!(folders_from(variable, Some(Path::new("/zoo/.zoo/libtorch/lib"))), expected);
        assert!(folders_from(|_| None, None).is_empty());
    }
}
