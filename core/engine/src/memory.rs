//! Peak memory of a piece of work.

use crate::Result;
use tch::Device;
use zoo_torch::{device, process};

/// Measures peaks against a beginning: the process before the arm had made anything. On an
/// accelerator, what libtorch's allocator holds in tensors; on the CPU, resident memory of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    device: Device,
    baseline: u64,
}

impl Meter {
    /// Now is the beginning.
    pub(crate) fn new(device: Device) -> Self {
        let baseline = if device.is_cuda() {
            0
        } else {
            process::trim();
            process::memory().resident
        };
        Self { device, baseline }
    }

    /// Starts a measurement.
    pub(crate) fn start(&self) -> Result<()> {
        if self.device.is_cuda() {
            device::synchronize(self.device)?;
            device::reset_device_peak(self.device)?;
        } else {
            process::trim();
            // Where the kernel does not allow it, the peak is that of the whole process.
            let _ = process::reset_peak();
        }
        Ok(())
    }

    /// Bytes at the worst moment since the start, beyond the beginning.
    pub(crate) fn peak(&self) -> Result<f64> {
        let peak = if self.device.is_cuda() {
            device::synchronize(self.device)?;
            device::device_memory(self.device)?.allocated_peak
        } else {
            process::memory().resident_peak.saturating_sub(self.baseline)
        };
        Ok(peak as f64)
    }
}
