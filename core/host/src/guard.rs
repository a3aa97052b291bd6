//! What is remembered before a call and restored after it.

use crate::error::Fault;
use std::ffi::{CStr, c_char, c_void};
use tch::{Device, Kind, Tensor};
use zoo_torch::modes::{self, AutocastState};

/// Asking takes longer than all the rest; a process does not gain a device later.
static CUDA: std::sync::LazyLock<bool> = std::sync::LazyLock::new(tch::Cuda::is_available);

/// Switches of this thread that a component must leave as they were.
pub(crate) struct Guard {
    gradients_before: bool,
    gradients: bool,
    autocast: Vec<(Device, AutocastState)>,
    process: Option<Process>,
    restored: bool,
}

/// Switches of the whole process; compared only where asked to.
#[derive(PartialEq)]
struct Process {
    threads: usize,
    default_kind: Option<Kind>,
}

impl Process {
    fn now() -> Self {
        // The quotient of whole numbers has the default type; tch has no other way to ask.
        let one = Tensor::f_from_slice(&[1_i64]);
        let default_kind = one.and_then(|one| one.f_true_divide(&one)).and_then(|q| q.f_kind()).ok();
        Self { threads: modes::threads().unwrap_or(1), default_kind }
    }
}

/// What a component left changed, after it was put right.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// In words, one a switch.
    pub(crate) switches: Vec<&'static str>,
    /// A message that libtorch's C layer still held.
    pub(crate) stale_error: Option<String>,
}

impl Guard {
    /// Sets the gradient mode and remembers the rest.
    pub(crate) fn enter(gradients: bool, paranoid: bool) -> Self {
        drain_torch_error();
        let gradients_before = modes::gradients_enabled().unwrap_or(true);
        let _ = modes::set_gradients_enabled(gradients);
        let mut devices = vec![Device::Cpu];
        if *CUDA {
            devices.push(Device::Cuda(0));
        }
        let autocast = devices.into_iter().filter_map(|d| Some((d, modes::autocast(d).ok()?))).collect();
        let process = paranoid.then(Process::now);
        Self { gradients_before, gradients, autocast, process, restored: false }
    }

    fn restore(&mut self) -> Left {
        let mut left = Left::default();
        if self.restored {
            return left;
        }
        self.restored = true;
        if modes::gradients_enabled().is_ok_and(|now| now != self.gradients) {
            left.switches.push("the gradient mode");
        }
        let _ = modes::set_gradients_enabled(self.gradients_before);
        for (device, before) in &self.autocast {
            if modes::autocast(*device).is_ok_and(|now| now != *before) {
                left.switches.push("autocast");
                let _ = modes::set_autocast(*device, *before);
            }
        }
        left.stale_error = drain_torch_error();
        left
    }

    /// Puts everything right again, and says what was not.
    pub(crate) fn leave(mut self) -> (Left, Option<Fault>) {
        let left = self.restore();
        let Some(before) = self.process.take() else { return (left, None) };
        let after = Process::now();
        let changed =
            |what, before: String, after: String| Some(Fault::ProcessChanged { what, before, after });
        let fault = if after.threads != before.threads {
            let _ = modes::set_threads(before.threads);
            changed("the number of threads", before.threads.to_string(), after.threads.to_string())
        } else if after.default_kind != before.default_kind {
            changed(
                "the default type",
                format!("{:?}", before.default_kind),
                format!("{:?}", after.default_kind),
            )
        } else {
            None
        };
        (left, fault)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.restore();
    }
}

unsafe extern "C" {
    /// The C library's, with which texts of libtorch's C layer are freed.
    fn free(pointer: *mut c_void);
}

/// Reads and forgets an error that a raw libtorch call left behind; the next innocent tensor would
/// panic in its `Drop`.
pub(crate) fn drain_torch_error() -> Option<String> {
    // SAFETY: a plain C function of this thread; the text it gives is ours to free.
    unsafe {
        let text: *mut c_char = torch_sys::get_and_reset_last_err();
        if text.is_null() {
            return None;
        }
        let line = crate::error::first_line(&CStr::from_ptr(text).to_string_lossy());
        free(text.cast());
        Some(line)
    }
}
