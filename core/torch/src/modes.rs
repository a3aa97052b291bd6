//! Modes of the process and of the thread: gradients, autocast, determinism, threads.

use crate::device::numbers;
use crate::error::{Error, Result, check};
use crate::sys;
use std::ffi::c_int;
use tch::{Device, Kind};

/// Whether operations of this thread are recorded for a backward pass.
///
/// # Errors
///
/// None in practice; what libtorch throws.
pub fn gradients_enabled() -> Result<bool> {
    let mut out = 0;
    // SAFETY: a place for an integer.
    check("reading the gradient mode", unsafe { sys::zoo_torch_gradients_enabled(&mut out) })?;
    Ok(out != 0)
}

/// Switches recording in this thread.
///
/// # Errors
///
/// None in practice; what libtorch throws.
pub fn set_gradients_enabled(on: bool) -> Result<()> {
    // SAFETY: a plain number.
    check("setting the gradient mode", unsafe { sys::zoo_torch_set_gradients_enabled(c_int::from(on)) })
}

/// Sets the gradient mode of this thread until it is dropped, also by a panic.
#[must_use = "the mode lasts as long as the guard"]
#[derive(Debug)]
pub struct Gradients {
    before: bool,
    /// The mode belongs to a thread, so the guard stays in it.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Gradients {
    /// Switches recording on or off.
    ///
    /// # Errors
    ///
    /// None in practice; what libtorch throws.
    pub fn set(on: bool) -> Result<Self> {
        let before = gradients_enabled()?;
        set_gradients_enabled(on)?;
        Ok(Self { before, _thread: std::marker::PhantomData })
    }
}

impl Drop for Gradients {
    fn drop(&mut self) {
        // Setting a thread-local flag does not fail; a drop could not tell anyone.
        let _ = set_gradients_enabled(self.before);
    }
}

/// How operations of this thread choose a narrower element type by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutocastState {
    /// Whether they do.
    pub enabled: bool,
    /// The element type.
    pub kind: Kind,
    /// Whether the narrow copy of a weight is kept until the outermost region ends.
    pub cached: bool,
}

/// The state for a kind of device.
///
/// # Errors
///
/// A device that is neither CPU nor CUDA.
pub fn autocast(device: Device) -> Result<AutocastState> {
    let (device, _) = numbers(device)?;
    let (mut enabled, mut scalar_type, mut cached) = (0, 0, 0);
    // SAFETY: places for three integers.
    let status = unsafe { sys::zoo_torch_autocast(device, &mut enabled, &mut scalar_type, &mut cached) };
    check("reading autocast", status)?;
    let kind = kind_of(scalar_type).ok_or_else(|| Error::Kind(scalar_type.to_string()))?;
    Ok(AutocastState { enabled: enabled != 0, kind, cached: cached != 0 })
}

/// Sets the state for a kind of device, as [`autocast`] gave it: to undo what foreign code changed.
/// A region of zoo's own is an [`Autocast`].
///
/// # Errors
///
/// A device that is neither CPU nor CUDA.
pub fn set_autocast(device: Device, state: AutocastState) -> Result<()> {
    let (device, _) = numbers(device)?;
    // SAFETY: plain numbers.
    let status = unsafe {
        sys::zoo_torch_set_autocast(
            device,
            c_int::from(state.enabled),
            number_of(state.kind)?,
            c_int::from(state.cached),
        )
    };
    check("setting autocast", status)
}

/// A region in which matrix products and the like run in a narrower type, until it is dropped.
#[must_use = "the region lasts as long as the guard"]
#[derive(Debug)]
pub struct Autocast {
    device: Device,
    before: AutocastState,
    _thread: std::marker::PhantomData<*const ()>,
}

impl Autocast {
    /// Opens a region for a kind of device: `BFloat16` or `Half` in it.
    ///
    /// # Errors
    ///
    /// Another element type, or another device than CPU and CUDA.
    pub fn enter(device: Device, kind: Kind) -> Result<Self> {
        if !matches!(kind, Kind::BFloat16 | Kind::Half) {
            return Err(Error::Kind(format!("{kind:?}")));
        }
        Self::set(device, AutocastState { enabled: true, kind, cached: true })
    }

    /// Opens a region without autocast inside one with it: for sums that need the full width.
    ///
    /// # Errors
    ///
    /// As [`Autocast::enter`].
    pub fn pause(device: Device) -> Result<Self> {
        Self::set(device, AutocastState { enabled: false, ..autocast(device)? })
    }

    fn set(device: Device, state: AutocastState) -> Result<Self> {
        let before = autocast(device)?;
        set_autocast(device, state)?;
        // SAFETY: a plain number.
        check("entering autocast", unsafe { sys::zoo_torch_autocast_nesting(1) })?;
        Ok(Self { device, before, _thread: std::marker::PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: a plain number. Neither call fails on what was read from libtorch itself.
        let _ = check("leaving autocast", unsafe { sys::zoo_torch_autocast_nesting(-1) });
        let _ = set_autocast(self.device, self.before);
    }
}

/// Whether operations that give different bits from run to run are refused.
///
/// # Errors
///
/// None in practice; what libtorch throws.
pub fn deterministic() -> Result<bool> {
    let mut out = 0;
    // SAFETY: a place for an integer.
    check("reading determinism", unsafe { sys::zoo_torch_deterministic(&mut out) })?;
    Ok(out != 0)
}

/// Refuses operations that give different bits from run to run; chooses deterministic kernels in
/// cuDNN and oneDNN. For the whole process. On CUDA, cuBLAS also wants the environment variable
/// `CUBLAS_WORKSPACE_CONFIG=:4096:8` before its first use.
///
/// # Errors
///
/// None in practice; what libtorch throws.
pub fn set_deterministic(on: bool) -> Result<()> {
    // SAFETY: a plain number.
    check("setting determinism", unsafe { sys::zoo_torch_set_deterministic(c_int::from(on)) })
}

/// How exact products of float32 matrices are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatmulPrecision {
    /// Full float32: the default.
    Highest,
    /// TF32 or the like where the device has it.
    High,
    /// bfloat16 inside.
    Medium,
}

/// Sets how exact products of float32 matrices are, for the whole process.
///
/// # Errors
///
/// None in practice; what libtorch throws.
pub fn set_matmul_precision(precision: MatmulPrecision) -> Result<()> {
    let name = match precision {
        MatmulPrecision::Highest => c"highest",
        MatmulPrecision::High => c"high",
        MatmulPrecision::Medium => c"medium",
    };
    // SAFETY: a constant C string.
    check("setting the precision", unsafe { sys::zoo_torch_set_matmul_precision(name.as_ptr()) })
}

/// Number of threads inside an operation on the CPU.
///
/// # Errors
///
/// None in practice; what libtorch throws.
pub fn threads() -> Result<usize> {
    let mut out = 0;
    // SAFETY: a place for an integer.
    check("reading the number of threads", unsafe { sys::zoo_torch_threads(&mut out) })?;
    Ok(usize::try_from(out).unwrap_or(1))
}

/// Sets the number of threads inside an operation on the CPU. Sums may be split differently, so
/// results may differ in the last bit between numbers of threads.
///
/// # Errors
///
/// Zero, or more than libtorch takes.
pub fn set_threads(count: usize) -> Result<()> {
    let number = c_int::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| Error::Value {
        name: "threads",
        value: count.to_string(),
        allowed: "between 1 and 2147483647",
    })?;
    // SAFETY: a plain number.
    check("setting the number of threads", unsafe { sys::zoo_torch_set_threads(number) })
}

/// Rounds denormal numbers to zero in this thread (others keep their mode): they are slow on some
/// processors. Gives whether the processor can.
///
/// # Errors
///
/// None in practice; what libtorch throws.
pub fn set_flush_denormal(on: bool) -> Result<bool> {
    let mut supported = 0;
    // SAFETY: a place for an integer.
    let status = unsafe { sys::zoo_torch_set_flush_denormal(c_int::from(on), &mut supported) };
    check("setting denormals", status)?;
    Ok(supported != 0)
}

/// The element types that cross the shim, with libtorch's numbers (`c10::ScalarType`).
const KINDS: [(Kind, c_int); 10] = [
    (Kind::Uint8, 0),
    (Kind::Int8, 1),
    (Kind::Int16, 2),
    (Kind::Int, 3),
    (Kind::Int64, 4),
    (Kind::Half, 5),
    (Kind::Float, 6),
    (Kind::Double, 7),
    (Kind::Bool, 11),
    (Kind::BFloat16, 15),
];

fn kind_of(number: c_int) -> Option<Kind> {
    KINDS.iter().find(|(_, other)| *other == number).map(|(kind, _)| *kind)
}

pub(crate) fn number_of(kind: Kind) -> Result<c_int> {
    let found = KINDS.iter().find(|(other, _)| *other == kind);
    found.map(|(_, number)| *number).ok_or_else(|| Error::Kind(format!("{kind:?}")))
}
