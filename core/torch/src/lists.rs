//! Operations over lists of tensors at once, and the fused AdamW step.
//!
//! All of them run without recording gradients and write in place where their name says so.

use crate::error::{Error, Result, check};
use crate::sys;
use tch::Tensor;
use torch_sys::C_tensor;

/// The numbers of an AdamW step.
///
/// The update of a parameter `p` with gradient `g` in step `t`, counted from 1, is
/// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g²`,
/// `p -= learning_rate * weight_decay * p`,
/// `p -= learning_rate * (m / c1) / (sqrt(v / c2) + epsilon)`, with `c1 = 1 - b1^t` and
/// `c2 = 1 - b2^t`, or both 1 without bias correction (as BERT and ELECTRA were trained).
///
/// Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Step size, at least 0.
    pub learning_rate: f64,
    /// Decay of the mean of gradients, in [0, 1).
    pub beta1: f64,
    /// Decay of the mean of squared gradients, in [0, 1).
    pub beta2: f64,
    /// Added to the denominator, at least 0.
    pub epsilon: f64,
    /// Decoupled weight decay, a share of the parameter per unit of learning rate, at least 0.
    pub weight_decay: f64,
    /// Number of this step, counted from 1.
    pub step: u64,
    /// Whether the two means are corrected for their start at zero.
    pub bias_correction: bool,
}

/// One AdamW step, in one call of libtorch over all parameters.
///
/// `first` and `second` are the two means, of the parameter's shape and type, zero before step 1.
/// All tensors of a call are on one device.
///
/// # Errors
///
/// Lists of different lengths, numbers out of range, and what libtorch refuses (shapes or element
/// types that differ).
pub fn adamw_(
    options: &AdamW,
    parameters: &[&Tensor],
    gradients: &[&Tensor],
    first: &[&Tensor],
    second: &[&Tensor],
) -> Result<()> {
    let name = "fused AdamW";
    lengths(name, ("parameters", parameters), ("gradients", gradients))?;
    lengths(name, ("parameters", parameters), ("first", first))?;
    lengths(name, ("parameters", parameters), ("second", second))?;
    for (name, value) in [("beta1", options.beta1), ("beta2", options.beta2)] {
        if !(0.0..1.0).contains(&value) {
            return Err(Error::Value { name, value: value.to_string(), allowed: "in [0, 1)" });
        }
    }
    if options.step == 0 {
        return Err(Error::Value { name: "step", value: "0".to_owned(), allowed: "at least 1" });
    }
    // libtorch divides by 1 - beta^step: a step this large makes both corrections exactly 1.
    let step = if options.bias_correction { options.step as f64 } else { 1e30 };
    // SAFETY: the lists hold live tensors and have equal lengths.
    let status = unsafe {
        sys::zoo_torch_adamw(
            handles(parameters).as_ptr(),
            handles(gradients).as_ptr(),
            handles(first).as_ptr(),
            handles(second).as_ptr(),
            parameters.len(),
            options.learning_rate,
            options.beta1,
            options.beta2,
            options.weight_decay,
            options.epsilon,
            step,
        )
    };
    check(name, status)
}

/// The Euclidean norm of all elements of all tensors together: `float[]`, on the first one's device.
///
/// # Errors
///
/// An empty list.
pub fn norm(tensors: &[&Tensor]) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: live tensors, and a place for one handle.
    let status = unsafe { sys::zoo_torch_norm(handles(tensors).as_ptr(), tensors.len(), &mut out) };
    check("norm", status)?;
    // SAFETY: on success the shim gave a new handle, which is ours.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Scales all tensors by one factor so that their common norm is at most `limit`; gives the norm
/// before, `float[]`. Does not wait for the device.
///
/// The factor is `min(1, limit / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_` has it. A norm
/// that is not finite makes all elements NaN, which the caller sees from the returned norm.
///
/// # Errors
///
/// An empty list, or a limit that is not positive.
pub fn clip_norm_(tensors: &[&Tensor], limit: f64) -> Result<Tensor> {
    if limit.is_nan() || limit <= 0.0 {
        return Err(Error::Value { name: "limit", value: limit.to_string(), allowed: "above 0" });
    }
    let mut out = std::ptr::null_mut();
    // SAFETY: live tensors, and a place for one handle.
    let status =
        unsafe { sys::zoo_torch_clip_norm(handles(tensors).as_ptr(), tensors.len(), limit, &mut out) };
    check("clip_norm", status)?;
    // SAFETY: on success the shim gave a new handle, which is ours.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Multiplies every tensor by `factor`.
///
/// # Errors
///
/// What libtorch refuses.
pub fn scale_(tensors: &[&Tensor], factor: f64) -> Result<()> {
    // SAFETY: live tensors.
    check("scale", unsafe { sys::zoo_torch_scale(handles(tensors).as_ptr(), tensors.len(), factor) })
}

/// Adds `factor` times the other tensor to each.
///
/// # Errors
///
/// Lists of different lengths; what libtorch refuses.
pub fn add_(tensors: &[&Tensor], others: &[&Tensor], factor: f64) -> Result<()> {
    lengths("add", ("tensors", tensors), ("others", others))?;
    // SAFETY: live tensors, equal lengths.
    let status = unsafe {
        sys::zoo_torch_add(handles(tensors).as_ptr(), handles(others).as_ptr(), tensors.len(), factor)
    };
    check("add", status)
}

/// Moves each tensor towards the other by a share `weight`: `t += weight * (other - t)`.
///
/// # Errors
///
/// Lists of different lengths; what libtorch refuses.
pub fn lerp_(tensors: &[&Tensor], others: &[&Tensor], weight: f64) -> Result<()> {
    lengths("lerp", ("tensors", tensors), ("others", others))?;
    // SAFETY: live tensors, equal lengths.
    let status = unsafe {
        sys::zoo_torch_lerp(handles(tensors).as_ptr(), handles(others).as_ptr(), tensors.len(), weight)
    };
    check("lerp", status)
}

/// Sets every element to zero.
///
/// # Errors
///
/// What libtorch refuses.
pub fn zero_(tensors: &[&Tensor]) -> Result<()> {
    // SAFETY: live tensors.
    check("zero", unsafe { sys::zoo_torch_zero(handles(tensors).as_ptr(), tensors.len()) })
}

/// Copies each source into the tensor at its place, converting type and device.
///
/// # Errors
///
/// Lists of different lengths; shapes that differ.
pub fn copy_(tensors: &[&Tensor], sources: &[&Tensor]) -> Result<()> {
    lengths("copy", ("tensors", tensors), ("sources", sources))?;
    // SAFETY: live tensors, equal lengths.
    let status =
        unsafe { sys::zoo_torch_copy(handles(tensors).as_ptr(), handles(sources).as_ptr(), tensors.len()) };
    check("copy", status)
}

/// Multiplies every tensor by `inverse_scale` (`float[1]`) and sets `found` (`float[1]`) to 1 where an
/// element is infinite or not a number: the unscaling of fp16 training with a scaled loss.
///
/// # Errors
///
/// What libtorch refuses.
pub fn unscale_(tensors: &[&Tensor], found: &Tensor, inverse_scale: &Tensor) -> Result<()> {
    let single = handles(&[found, inverse_scale]);
    // SAFETY: live tensors.
    let status =
        unsafe { sys::zoo_torch_unscale(handles(tensors).as_ptr(), tensors.len(), single[0], single[1]) };
    check("unscale", status)
}

/// The handles of tensors, valid as long as the tensors are.
pub(crate) fn handles(tensors: &[&Tensor]) -> Vec<*mut C_tensor> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast_mut()).collect()
}

fn lengths(
    function: &'static str,
    (left, a): (&'static str, &[&Tensor]),
    (right, b): (&'static str, &[&Tensor]),
) -> Result<()> {
    if a.len() == b.len() {
        return Ok(());
    }
    Err(Error::Lengths { function, left, left_length: a.len(), right, right_length: b.len() })
}
