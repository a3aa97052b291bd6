//! Peak memory of a piece of work.

use crate::Result;
use tch::{Device, Tensor};
use zoo_torch::{device, process};

/// Measures peaks. On an accelerator it is what libtorch's allocator holds in tensors. On the CPU it is the
/// growth of the process's resident memory during the work, and what the arm holds in tensors anyway:
/// code that is loaded when it is first run, tables of the mathematical libraries and freed memory of
/// earlier work are in the process, but not the arm's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    device: Device,
    resident: u64,
}

impl Meter {
    pub(crate) fn new(device: Device) -> Self {
        Self { device, resident: 0 }
    }

    /// Starts a measurement.
    pub(crate) fn start(&mut self) -> Result<()> {
        if self.device.is_cuda() {
            device::synchronize(self.device)?;
            device::reset_device_peak(self.device)?;
        } else {
            process::trim();
            // Where the kernel does not allow it, the peak is that of the whole process.
            let _ = process::reset_peak();
            self.resident = process::memory().resident;
        }
        Ok(())
    }

    /// Bytes at the worst moment since the start. `held` are those of tensors that were there before it.
    pub(crate) fn peak(&self, held: usize) -> Result<f64> {
        if self.device.is_cuda() {
            device::synchronize(self.device)?;
            return Ok(device::device_memory(self.device)?.allocated_peak as f64);
        }
        let grown = process::memory().resident_peak.saturating_sub(self.resident);
        Ok(grown as f64 + held as f64)
    }
}

/// Bytes of a tensor's elements.
pub(crate) fn bytes(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}
