//! What zoo needs of libtorch and tch lacks: a small C++ shim with a safe interface.
//!
//! - [`lists`]: operations over lists of tensors, norm and clipping, the fused AdamW step;
//! - [`modes`]: gradients, autocast, determinism, threads;
//! - [`device`]: CUDA at run time, random streams, memory of accelerators;
//! - [`tensor`]: tensors over memory of the caller, versions;
//! - [`uses`]: where in a graph parameters are used, for gradients of single examples;
//! - [`process`]: memory of the process.
//!
//! No function panics on bad input, and no C++ exception passes: everything that libtorch throws
//! becomes an [`Error`] with the first line of its message. The shim uses symbols of `libtorch_cpu`
//! and `libc10` only; CUDA is reached through libtorch's registries, once [`device::open_cuda`] has
//! opened its library.

pub mod device;
mod error;
pub mod lists;
pub mod modes;
pub mod process;
mod sys;
pub mod tensor;
pub mod uses;

pub use error::{Error, Result};
