//! The functions of the shim, as `shim/zoo_torch.cpp` defines them.

use std::ffi::{c_char, c_int, c_void};
use torch_sys::C_tensor;

unsafe extern "C" {
    pub(crate) fn zoo_torch_message() -> *const c_char;
    pub(crate) fn zoo_torch_headers_version() -> *const c_char;

    pub(crate) fn zoo_torch_adamw(
        parameters: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        first: *const *mut C_tensor,
        second: *const *mut C_tensor,
        count: usize,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        step: f64,
    ) -> c_int;

    pub(crate) fn zoo_torch_norm(
        tensors: *const *mut C_tensor,
        count: usize,
        out: *mut *mut C_tensor,
    ) -> c_int;
    pub(crate) fn zoo_torch_clip_norm(
        tensors: *const *mut C_tensor,
        count: usize,
        limit: f64,
        out: *mut *mut C_tensor,
    ) -> c_int;
    pub(crate) fn zoo_torch_scale(tensors: *const *mut C_tensor, count: usize, factor: f64) -> c_int;
    pub(crate) fn zoo_torch_add(
        tensors: *const *mut C_tensor,
        others: *const *mut C_tensor,
        count: usize,
        factor: f64,
    ) -> c_int;
    pub(crate) fn zoo_torch_lerp(
        tensors: *const *mut C_tensor,
        others: *const *mut C_tensor,
        count: usize,
        weight: f64,
    ) -> c_int;
    pub(crate) fn zoo_torch_zero(tensors: *const *mut C_tensor, count: usize) -> c_int;
    pub(crate) fn zoo_torch_copy(
        tensors: *const *mut C_tensor,
        sources: *const *mut C_tensor,
        count: usize,
    ) -> c_int;
    pub(crate) fn zoo_torch_unscale(
        tensors: *const *mut C_tensor,
        count: usize,
        found: *mut C_tensor,
        inverse_scale: *mut C_tensor,
    ) -> c_int;

    pub(crate) fn zoo_torch_gradients_enabled(out: *mut c_int) -> c_int;
    pub(crate) fn zoo_torch_set_gradients_enabled(on: c_int) -> c_int;
    pub(crate) fn zoo_torch_autocast(
        kind: c_int,
        enabled: *mut c_int,
        scalar_type: *mut c_int,
        cached: *mut c_int,
    ) -> c_int;
    pub(crate) fn zoo_torch_set_autocast(
        kind: c_int,
        enabled: c_int,
        scalar_type: c_int,
        cached: c_int,
    ) -> c_int;
    pub(crate) fn zoo_torch_autocast_nesting(change: c_int) -> c_int;
    pub(crate) fn zoo_torch_deterministic(out: *mut c_int) -> c_int;
    pub(crate) fn zoo_torch_set_deterministic(on: c_int) -> c_int;
    pub(crate) fn zoo_torch_set_matmul_precision(name: *const c_char) -> c_int;
    pub(crate) fn zoo_torch_threads(out: *mut c_int) -> c_int;
    pub(crate) fn zoo_torch_set_threads(count: c_int) -> c_int;
    pub(crate) fn zoo_torch_set_flush_denormal(on: c_int, supported: *mut c_int) -> c_int;

    pub(crate) fn zoo_torch_seed(kind: c_int, index: c_int, seed: u64) -> c_int;
    pub(crate) fn zoo_torch_generator_state(kind: c_int, index: c_int, out: *mut *mut C_tensor) -> c_int;
    pub(crate) fn zoo_torch_set_generator_state(kind: c_int, index: c_int, state: *mut C_tensor) -> c_int;

    pub(crate) fn zoo_torch_tensor_version(tensor: *mut C_tensor, out: *mut i64) -> c_int;
    pub(crate) fn zoo_torch_tensor_aliases(a: *mut C_tensor, b: *mut C_tensor, out: *mut c_int) -> c_int;
    pub(crate) fn zoo_torch_from_owner(
        data: *mut c_void,
        shape: *const i64,
        rank: usize,
        scalar_type: c_int,
        owner: *mut c_void,
        drop: extern "C" fn(*mut c_void),
        out: *mut *mut C_tensor,
    ) -> c_int;

    pub(crate) fn zoo_torch_open(path: *const c_char) -> c_int;
    pub(crate) fn zoo_torch_library(out: *mut *const c_char) -> c_int;
    pub(crate) fn zoo_torch_cuda_devices(linked: *mut c_int, count: *mut c_int) -> c_int;
    pub(crate) fn zoo_torch_synchronize(kind: c_int, index: c_int) -> c_int;
    pub(crate) fn zoo_torch_device_memory(kind: c_int, index: c_int, out: *mut [i64; 4]) -> c_int;
    pub(crate) fn zoo_torch_reset_device_peak(kind: c_int, index: c_int) -> c_int;
    pub(crate) fn zoo_torch_count_tensors(counted: *mut c_int) -> c_int;
    pub(crate) fn zoo_torch_tensor_memory(out: *mut [i64; 2]) -> c_int;
    pub(crate) fn zoo_torch_reset_tensor_peak() -> c_int;
    pub(crate) fn zoo_torch_empty_cache(kind: c_int) -> c_int;

    pub(crate) fn zoo_torch_uses(
        loss: *mut C_tensor,
        parameters: *const *mut C_tensor,
        count: usize,
        out: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn zoo_torch_uses_free(uses: *mut c_void);
    /// Null where every use of every parameter is known.
    pub(crate) fn zoo_torch_uses_unknown(uses: *mut c_void) -> *const c_char;
    pub(crate) fn zoo_torch_uses_count(uses: *mut c_void) -> usize;
    pub(crate) fn zoo_torch_uses_at(
        uses: *mut c_void,
        index: usize,
        out: *mut [usize; 5],
        shape: *mut *const i64,
        other: *mut *mut C_tensor,
    ) -> c_int;
    pub(crate) fn zoo_torch_uses_operations(uses: *mut c_void) -> usize;
    pub(crate) fn zoo_torch_uses_gradients(
        uses: *mut c_void,
        loss: *mut C_tensor,
        scale: f64,
        out: *mut *mut C_tensor,
    ) -> c_int;
    pub(crate) fn zoo_torch_uses_pull(
        uses: *mut c_void,
        index: usize,
        gradient: *mut C_tensor,
        out: *mut *mut C_tensor,
    ) -> c_int;
}
