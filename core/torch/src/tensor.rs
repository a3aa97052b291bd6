//! Tensors over memory of the caller, and what tch does not tell about a tensor.

use crate::error::{Error, Result, check};
use crate::modes::number_of;
use crate::sys;
use std::ffi::c_void;
use tch::{Device, Kind, Tensor};

/// How often the tensor, or another view of its memory, was written in place: differs after a write.
///
/// # Errors
///
/// Tensors made in inference mode, which have no version.
pub fn version(tensor: &Tensor) -> Result<i64> {
    let mut out = 0;
    // SAFETY: a live tensor, and a place for an integer.
    let status = unsafe { sys::zoo_torch_tensor_version(tensor.as_ptr().cast_mut(), &mut out) };
    check("reading a tensor's version", status)?;
    Ok(out)
}

/// Whether the two are views of the same memory.
///
/// # Errors
///
/// None in practice; what libtorch throws.
pub fn aliases(a: &Tensor, b: &Tensor) -> Result<bool> {
    let mut out = 0;
    // SAFETY: live tensors, and a place for an integer.
    let status =
        unsafe { sys::zoo_torch_tensor_aliases(a.as_ptr().cast_mut(), b.as_ptr().cast_mut(), &mut out) };
    check("comparing memory", status)?;
    Ok(out != 0)
}

/// Lets `write` fill the bytes of a contiguous CPU tensor, in the machine's order, without a copy.
///
/// # Errors
///
/// A tensor on another device, one that is not contiguous, and element types without a plain width.
pub fn with_bytes<Answer>(tensor: &mut Tensor, write: impl FnOnce(&mut [u8]) -> Answer) -> Result<Answer> {
    number_of(tensor.kind())?;
    if tensor.device() != Device::Cpu || !tensor.is_contiguous() {
        return Err(Error::Bytes("only a contiguous tensor on the CPU has bytes to write".to_owned()));
    }
    let length = tensor.numel() * tensor.kind().elt_size_in_bytes();
    if length == 0 {
        return Ok(write(&mut []));
    }
    // SAFETY: a contiguous tensor of the CPU owns so many bytes from its data pointer on, any of which may
    // hold anything; nothing else in Rust refers to them during the call.
    let bytes = unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), length) };
    Ok(write(bytes))
}

/// A CPU tensor of that shape and element type over the owner's bytes from `offset` on, not copied.
///
/// The owner (a `Vec<u8>`, a private memory map, …) lives as long as the tensor or a view of it. It
/// must give the same bytes each time it is asked, which holds for everything in the standard library
/// and for memory maps. Operations may write into it.
///
/// # Errors
///
/// A negative or too large shape, bytes that are too few, or not aligned for the element type; complex
/// and quantised types.
pub fn from_owner<Owner>(owner: Owner, offset: usize, shape: &[i64], kind: Kind) -> Result<Tensor>
where
    Owner: AsMut<[u8]> + Send + 'static,
{
    let scalar_type = number_of(kind)?;
    let width = kind.elt_size_in_bytes();
    let mut needed = Some(width);
    for size in shape {
        let size = usize::try_from(*size)
            .map_err(|_| Error::Bytes(format!("the shape {shape:?} has a negative size")))?;
        needed = needed.and_then(|bytes| bytes.checked_mul(size));
    }
    let end = needed.and_then(|bytes| bytes.checked_add(offset));
    // Boxed first: the address of the bytes may be inside the owner itself.
    let mut owner = Box::new(owner);
    let bytes: &mut [u8] = (*owner).as_mut();
    let have = bytes.len();
    let Some(range) = end.and_then(|end| bytes.get_mut(offset..end)) else {
        return Err(Error::Bytes(format!(
            "a tensor of shape {shape:?} and type {kind:?} at byte {offset} does not fit into {have} bytes"
        )));
    };
    let data = range.as_mut_ptr();
    if !range.is_empty() && !data.addr().is_multiple_of(width.max(1)) {
        return Err(Error::Bytes(format!("byte {offset} is not aligned for the type {kind:?}")));
    }
    extern "C" fn drop_owner<Owner>(owner: *mut c_void) {
        // SAFETY: the pointer comes from `Box::into_raw` below and is given back once.
        let owner = unsafe { Box::from_raw(owner.cast::<Owner>()) };
        // A panic must not pass through libtorch: a destructor that panics loses its message here.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(owner)));
    }
    let mut out = std::ptr::null_mut();
    // SAFETY: `data` holds the bytes the shape needs, aligned, as long as the owner lives; the shim
    // takes the owner in every case and drops it once.
    let status = unsafe {
        sys::zoo_torch_from_owner(
            data.cast::<c_void>(),
            shape.as_ptr(),
            shape.len(),
            scalar_type,
            Box::into_raw(owner).cast::<c_void>(),
            drop_owner::<Owner>,
            &mut out,
        )
    };
    check("making a tensor", status)?;
    // SAFETY: on success the shim gave a new handle, which is ours.
    Ok(unsafe { Tensor::from_ptr(out) })
}
