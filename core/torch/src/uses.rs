//! Where a graph of gradients uses parameters: what the gradient of every single example follows from,
//! without a pass for each.
//!
//! A parameter's gradient is, at each place where the parameter is used, a simple function of two things:
//! what the operation saw beside the parameter, and the gradient of the operation's output. Both have the
//! examples in their rows, so that the gradient of each example can be told apart (Goodfellow, "Efficient
//! Per-Example Gradient Computations", 2015; Bu, Wang, Zha, Karypis, "Differentially Private Optimization on
//! Large Model at Small Cost", 2023, whose book-keeping this is).

use crate::error::{Result, check, text};
use crate::lists::handles;
use crate::sys;
use std::ffi::c_void;
use tch::Tensor;

/// What an operation does with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseKind {
    /// A matrix [inputs, outputs] on the right of a product with [`Use::other`] [R, inputs].
    Product,
    /// Added to a tensor, with broadcasting.
    Sum,
    /// Multiplied with [`Use::other`], with broadcasting.
    Scaled,
    /// Rows are looked up by the indices in [`Use::other`].
    Lookup,
}

/// What the operation sees of the parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The parameter itself.
    Whole,
    /// The transposed parameter, a matrix.
    Transposed,
    /// A part or another arrangement of it, no element twice.
    Part,
}

/// A place where a parameter is used.
#[derive(Debug)]
pub struct Use {
    /// Index into the parameters that were looked for.
    pub parameter: usize,
    /// What is done with it.
    pub kind: UseKind,
    /// What the operation sees of it.
    pub seen: Seen,
    /// Index into [`Uses::gradients`].
    pub operation: usize,
    /// The shape that the operation sees.
    pub shape: Vec<i64>,
    /// What else the operation read, where its gradient depends on that.
    pub other: Option<Tensor>,
}

/// All places of a graph where some parameters are used.
#[derive(Debug)]
pub struct Uses {
    raw: *mut c_void,
    uses: Vec<Use>,
}

impl Uses {
    /// Walks the graph of a scalar loss. `Err` inside tells the operation that uses a parameter in a way that
    /// is not known.
    ///
    /// # Errors
    ///
    /// What libtorch refuses: values that were changed in place since.
    pub fn find(loss: &Tensor, parameters: &[&Tensor]) -> Result<std::result::Result<Self, String>> {
        let mut raw = std::ptr::null_mut();
        let list = handles(parameters);
        // SAFETY: live tensors, and a place for one pointer.
        let status =
            unsafe { sys::zoo_torch_uses(loss.as_ptr().cast_mut(), list.as_ptr(), list.len(), &raw mut raw) };
        check("uses of parameters", status)?;
        let mut found = Self { raw, uses: Vec::new() };
        // SAFETY: the pointer is the shim's, alive as long as `found`; texts are copied.
        let unknown = unsafe { text(sys::zoo_torch_uses_unknown(found.raw)) };
        if !unknown.is_empty() {
            return Ok(Err(unknown));
        }
        // SAFETY: as above.
        let count = unsafe { sys::zoo_torch_uses_count(found.raw) };
        for index in 0..count {
            let (mut numbers, mut shape, mut other) = ([0; 5], std::ptr::null(), std::ptr::null_mut());
            // SAFETY: places for what goes out.
            let status = unsafe {
                sys::zoo_torch_uses_at(found.raw, index, &raw mut numbers, &raw mut shape, &raw mut other)
            };
            check("uses of parameters", status)?;
            let [parameter, kind, seen, operation, dimensions] = numbers;
            found.uses.push(Use {
                parameter,
                kind: match kind {
                    0 => UseKind::Product,
                    1 => UseKind::Sum,
                    2 => UseKind::Scaled,
                    _ => UseKind::Lookup,
                },
                seen: match seen {
                    0 => Seen::Whole,
                    1 => Seen::Transposed,
                    _ => Seen::Part,
                },
                operation,
                shape: if dimensions == 0 {
                    Vec::new()
                } else {
                    // SAFETY: the shim's numbers, as many, alive as long as it.
                    unsafe { std::slice::from_raw_parts(shape, dimensions) }.to_vec()
                },
                // SAFETY: a new handle, which is ours, or null.
                other: (!other.is_null()).then(|| unsafe { Tensor::from_ptr(other) }),
            });
        }
        Ok(Ok(found))
    }

    /// The places.
    pub fn all(&self) -> &[Use] {
        &self.uses
    }

    /// The gradients of the operations' outputs for `scale` times the loss, in one backward pass that computes
    /// no parameter's gradient. The graph is gone afterwards. Undefined where none flows.
    ///
    /// # Errors
    ///
    /// What libtorch refuses.
    pub fn gradients(&self, loss: &Tensor, scale: f64) -> Result<Vec<Tensor>> {
        // SAFETY: the pointer is the shim's, alive as long as `self`.
        let count = unsafe { sys::zoo_torch_uses_operations(self.raw) };
        let mut out = vec![std::ptr::null_mut(); count];
        // SAFETY: as above, and as many places as operations.
        let status = unsafe {
            sys::zoo_torch_uses_gradients(self.raw, loss.as_ptr().cast_mut(), scale, out.as_mut_ptr())
        };
        check("gradients of outputs", status)?;
        // SAFETY: on success every place has a new handle, which is ours.
        Ok(out.into_iter().map(|handle| unsafe { Tensor::from_ptr(handle) }).collect())
    }

    /// The parameter's gradient from that of what the operation sees of it.
    ///
    /// # Errors
    ///
    /// What libtorch refuses: a shape that does not fit.
    pub fn pull(&self, index: usize, gradient: &Tensor) -> Result<Tensor> {
        let mut out = std::ptr::null_mut();
        // SAFETY: live tensor, and a place for one handle; the shim refuses an index beyond the last.
        let status =
            unsafe { sys::zoo_torch_uses_pull(self.raw, index, gradient.as_ptr().cast_mut(), &raw mut out) };
        check("gradient of a parameter", status)?;
        // SAFETY: on success the shim gave a new handle, which is ours.
        Ok(unsafe { Tensor::from_ptr(out) })
    }
}

impl Drop for Uses {
    fn drop(&mut self) {
        // SAFETY: made by the shim and not freed yet.
        unsafe { sys::zoo_torch_uses_free(self.raw) }
    }
}
