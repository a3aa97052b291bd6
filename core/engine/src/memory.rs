//! Peak memory of a piece of work.

use crate::Result;
use tch::{Device, Tensor};
use zoo_torch::{device, process};

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peak {
    /// Bytes of tensors at the worst moment.
    pub(crate) tensors: f64,
    /// Bytes that the process grew by, with holes of the heap and what libraries keep: on the CPU, where the
    /// kernel tells.
    pub(crate) process: Option<f64>,
}

/// Measures peaks of what libtorch's allocators hold in tensors, on the CPU as on an accelerator. On the
/// CPU it is the growth during the work, and what the arm holds in tensors anyway: what other arms and
/// data hold in the same process is not the arm's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    device: Device,
    /// Whether tensors on the CPU are counted. Else the growth of the process stands for them.
    counted: bool,
    allocated: u64,
    resident: u64,
}

impl Meter {
    pub(crate) fn new(device: Device) -> Result<Self> {
        let counted = !device.is_cuda() && device::count_tensors()?;
        Ok(Self { device, counted, allocated: 0, resident: 0 })
    }

    /// Starts a measurement.
    pub(crate) fn start(&mut self) -> Result<()> {
        if self.device.is_cuda() {
            device::synchronize(self.device)?;
            device::reset_device_peak(self.device)?;
            return Ok(());
        }
        process::trim();
        // Where the kernel does not allow it, the peak is that of the whole process.
        let _ = process::reset_peak();
        self.resident = process::memory().resident;
        device::reset_tensor_peak()?;
        self.allocated = device::tensor_memory()?.allocated;
        Ok(())
    }

    /// The worst moment since the start. `held` are bytes of the arm's tensors that were there before it.
    pub(crate) fn peak(&self, held: usize) -> Result<Peak> {
        if self.device.is_cuda() {
            device::synchronize(self.device)?;
            let tensors = device::device_memory(self.device)?.allocated_peak as f64;
            return Ok(Peak { tensors, process: None });
        }
        let grown = process::memory().resident_peak.saturating_sub(self.resident);
        let process = (grown > 0).then_some(grown as f64 + held as f64);
        let tensors = if self.counted {
            device::tensor_memory()?.allocated_peak.saturating_sub(self.allocated) as f64 + held as f64
        } else {
            grown as f64 + held as f64
        };
        Ok(Peak { tensors, process })
    }
}

/// Bytes of a tensor's elements.
pub(crate) fn bytes(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}
