//! The C ABI between zoo and its plugins. Types only: no code, no dependencies.
//!
//! Rules that hold for every function below:
//! * it is `extern "C"`, never unwinds, and reports failure by a status and an [`Error`];
//! * a pointer or [`Str`] that comes in is borrowed until the function returns;
//! * a [`Tensor`] that comes in is borrowed and read-only; one that goes out is owned by the receiver;
//! * an [`Owned`] is freed by the receiver, through its own `free`;
//! * a struct only ever grows at its end, and says its `size`.
#![no_std]

/// The first eight bytes of every [`Plugin`] table, read before anything else.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ZOOPLUG1");

/// A borrowed UTF-8 string.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    /// First byte; may dangle when `len` is zero.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

const _: () = assert!(size_of::<Str>() == 16);

#[cfg(test)]
mod tests {
    #[test]
    fn the_magic_reads_as_text_in_a_hex_dump() {
        assert_eq!(&super::MAGIC.to_le_bytes(), b"ZOOPLUG1");
    }
}
