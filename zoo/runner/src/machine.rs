//! The device and the threads of a run.

use crate::arguments::DeviceChoice;
use anyhow::{Result, bail};
use std::fs;
use zoo_record::Device;
use zoo_torch::device::Cuda;

/// Chooses the device and says what it is. `auto` takes CUDA where it can be used.
pub(crate) fn choose(choice: DeviceChoice) -> Result<(tch::Device, Device)> {
    let cuda = match choice {
        DeviceChoice::Cpu => Cuda::Absent { reason: String::new() },
        DeviceChoice::Auto | DeviceChoice::Cuda(_) => {
            zoo_torch::device::open_cuda(&zoo_torch::device::cuda_folders())
        }
    };
    match (choice, cuda) {
        (DeviceChoice::Cpu, _) | (DeviceChoice::Auto, Cuda::Absent { .. }) => {
            Ok((tch::Device::Cpu, processor()))
        }
        (DeviceChoice::Auto, Cuda::Present { .. }) => Ok((tch::Device::Cuda(0), card(0))),
        (DeviceChoice::Cuda(index), Cuda::Present { devices, .. }) if index < devices => {
            Ok((tch::Device::Cuda(index), card(index)))
        }
        (DeviceChoice::Cuda(index), Cuda::Present { devices, .. }) => {
            bail!("there is no CUDA device {index}: this machine has {devices}, numbered from 0")
        }
        (DeviceChoice::Cuda(_), Cuda::Absent { reason }) => {
            bail!("CUDA cannot be used: {reason}; `--device cpu` computes on the processor")
        }
    }
}

fn processor() -> Device {
    Device {
        name: "cpu".into(),
        model: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
        memory: memory(),
    }
}

/// Bytes of the machine's memory; 0 where it is not known.
pub(crate) fn memory() -> u64 {
    let kilobytes = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    kilobytes * 1024
}

/// What a line of this file says.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name))?.split_once(':')?.1.trim().to_owned();
    Some(line)
}

/// The driver's own tool knows the card's name; without it the run goes on unnamed.
fn card(index: usize) -> Device {
    let said = std::process::Command::new("nvidia-smi")
        .args(["--query-gpu=name,memory.total", "--format=csv,noheader,nounits", "-i", &index.to_string()])
        .output();
    let text =
        said.ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let (model, mebibytes) = text.trim().rsplit_once(',').unwrap_or_default();
    Device {
        name: format!("cuda:{index}"),
        model: model.trim().to_owned(),
        memory: mebibytes.trim().parse::<u64>().unwrap_or(0) << 20,
    }
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Threads that prepare batches: they need little beside libtorch's, and more where a card computes.
pub(crate) fn loader_threads(device: tch::Device) -> usize {
    match device {
        tch::Device::Cpu => (cores() / 2).clamp(1, 4),
        _ => cores().saturating_sub(2).clamp(1, 8),
    }
}
