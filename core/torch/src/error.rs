//! What can go wrong.

use std::ffi::{CStr, c_char, c_int};

/// An error of libtorch, or of what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch threw.
    #[error("libtorch, in {function}: {message}")]
    Libtorch {
        /// What was being done.
        function: &'static str,
        /// The first line of libtorch's message.
        message: String,
    },
    /// The device, or the machine, has no memory left.
    #[error("out of memory, in {function}: {message}")]
    OutOfMemory {
        /// What was being done.
        function: &'static str,
        /// The first line of libtorch's message.
        message: String,
    },
    /// Lists that belong together differ in length.
    #[error("{function}: {left} and {right} differ in number: {left_length} and {right_length}")]
    Lengths {
        /// What was being done.
        function: &'static str,
        /// One list.
        left: &'static str,
        /// Its length.
        left_length: usize,
        /// The other list.
        right: &'static str,
        /// Its length.
        right_length: usize,
    },
    /// A device that zoo does not drive.
    #[error("the device {0} is not supported: CPU and CUDA are")]
    Device(String),
    /// An element type that this place does not allow.
    #[error("the element type {0} is not allowed here")]
    Kind(String),
    /// Bytes that cannot be a tensor of that shape and type.
    #[error("{0}")]
    Bytes(String),
    /// A value out of its range.
    #[error("{name} is {value}: it must be {allowed}")]
    Value {
        /// Which one.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Turns the status of a function of the shim into a result.
pub(crate) fn check(function: &'static str, status: c_int) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: the pointer is that of a C string of this thread, which stays until its next call.
    let message = unsafe { text(crate::sys::zoo_torch_message()) };
    let message = message.lines().next().unwrap_or_default().to_owned();
    Err(match status {
        2 => Error::OutOfMemory { function, message },
        _ => Error::Libtorch { function, message },
    })
}

/// Copies a C string.
///
/// # Safety
///
/// `text` is null or the address of a C string.
pub(crate) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a C string by contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
