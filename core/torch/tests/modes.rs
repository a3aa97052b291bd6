//! Modes, random streams, memory and tensors over memory of the caller.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Device, Kind, Tensor};
use zoo_torch::modes::{Autocast, Gradients};
use zoo_torch::{device, modes, tensor};

#[test]
fn gradients_come_back_after_a_panic() {
    assert!(modes::gradients_enabled().unwrap());
    let result = std::panic::catch_unwind(|| {
        let _off = Gradients::set(false).unwrap();
        assert!(!modes::gradients_enabled().unwrap());
        let x = Tensor::ones([1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        assert!(!(&x * 2.0).requires_grad());
        panic!("on purpose");
    });
    assert!(result.is_err());
    assert!(modes::gradients_enabled().unwrap());
}

#[test]
fn autocast_narrows_products_in_its_region_only() {
    let a = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
    let before = modes::autocast(Device::Cpu).unwrap();
    assert!(!before.enabled);
    {
        let _region = Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
        assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
        {
            let _pause = Autocast::pause(Device::Cpu).unwrap();
            assert_eq!(a.matmul(&a).kind(), Kind::Float);
        }
        assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
        assert_eq!(modes::autocast(Device::Cpu).unwrap().kind, Kind::BFloat16);
    }
    assert_eq!(a.matmul(&a).kind(), Kind::Float);
    assert_eq!(modes::autocast(Device::Cpu).unwrap(), before);
    assert!(Autocast::enter(Device::Cpu, Kind::Float).is_err());
    assert!(Autocast::enter(Device::Mps, Kind::Half).is_err());
}

#[test]
fn an_updated_weight_is_not_served_from_the_cache() {
    let weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let x = Tensor::ones([1, 2], (Kind::Float, Device::Cpu));
    let product = || {
        let _region = Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
        x.matmul(&weight).double_value(&[0, 0])
    };
    assert_eq!(product(), 2.0);
    zoo_torch::lists::scale_(&[&weight], 3.0).unwrap();
    assert_eq!(product(), 6.0);
}

#[test]
fn process_wide_settings() {
    modes::set_deterministic(true).unwrap();
    assert!(modes::deterministic().unwrap());
    modes::set_deterministic(false).unwrap();
    assert!(!modes::deterministic().unwrap());
    modes::set_matmul_precision(modes::MatmulPrecision::Highest).unwrap();
    modes::set_threads(1).unwrap();
    assert_eq!(modes::threads().unwrap(), 1);
    let error = modes::set_threads(0).unwrap_err();
    assert_eq!(error.to_string(), "threads is 0: it must be between 1 and 2147483647");
    let supported = modes::set_flush_denormal(true).unwrap();
    let tiny = (Tensor::from_slice(&[1e-38f32]) * 1e-3).double_value(&[0]);
    assert_eq!(tiny == 0.0, supported);
    modes::set_flush_denormal(false).unwrap();
}

// One test for all that touches the process's one random stream: tests run side by side.
#[test]
fn a_random_stream_goes_on_where_it_was() {
    let draw = || Vec::<f32>::try_from(Tensor::rand([5], (Kind::Float, Device::Cpu))).unwrap();
    device::seed(Device::Cpu, u64::MAX).unwrap();
    let first = draw();
    let state = device::generator_state(Device::Cpu).unwrap();
    let second = draw();
    assert_ne!(first, second);
    device::set_generator_state(Device::Cpu, &state).unwrap();
    assert_eq!(draw(), second);
    device::seed(Device::Cpu, u64::MAX).unwrap();
    assert_eq!(draw(), first);
    let wrong = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    assert!(device::set_generator_state(Device::Cpu, &wrong).is_err());
}

#[test]
fn libtorch_is_found_and_cuda_is_not_needed() {
    assert_eq!(device::headers_version(), "2.11.0");
    let folder = device::libtorch_folder().unwrap();
    assert!(folder.join("libtorch_cpu.so").exists());
    let cuda = device::open_cuda(&["/nowhere".into()]);
    let (linked, devices) = device::cuda_devices().unwrap();
    assert_eq!(cuda.devices(), if linked { devices } else { 0 });
    device::synchronize(Device::Cpu).unwrap();
    device::empty_cache(Device::Cpu).unwrap();
    assert!(device::device_memory(Device::Cpu).is_err());
    assert!(device::seed(Device::Mps, 1).is_err());
}

#[test]
fn a_file_that_is_no_library_is_a_reason_not_an_error() {
    if device::cuda_devices().unwrap().0 {
        return; // nothing is opened where CUDA is there already
    }
    let folder = std::env::temp_dir().join(format!("zoo-torch-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("lib")).unwrap();
    std::fs::write(folder.join("lib/libtorch_cuda.so"), "not a library").unwrap();
    let device::Cuda::Absent { reason } = device::open_cuda(std::slice::from_ref(&folder)) else {
        panic!("opened a text");
    };
    assert!(reason.contains("opening libtorch_cuda"), "{reason}");
    std::fs::write(folder.join("build-version"), "2.9.1+cu130").unwrap();
    let device::Cuda::Absent { reason } = device::open_cuda(std::slice::from_ref(&folder)) else {
        panic!("opened a text");
    };
    assert!(reason.ends_with("is of libtorch 2.9.1, not 2.11.0"), "{reason}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn versions_and_aliases() {
    let a = Tensor::zeros([4], (Kind::Float, Device::Cpu));
    let before = tensor::version(&a).unwrap();
    let _ = a.narrow(0, 0, 2).fill_(1.0);
    assert_eq!(tensor::version(&a).unwrap(), before + 1);
    assert!(tensor::aliases(&a, &a.narrow(0, 2, 2)).unwrap());
    assert!(!tensor::aliases(&a, &a.copy()).unwrap());
}

struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsMut<[u8]> for Counted {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn memory_of_the_caller_lives_as_long_as_its_views() {
    let drops = Arc::new(AtomicUsize::new(0));
    let bytes = |n: usize| Counted(vec![0; n], drops.clone());
    let mut owner = bytes(16);
    owner.0[8..12].copy_from_slice(&2.5f32.to_le_bytes());
    let whole = tensor::from_owner(owner, 0, &[2, 2], Kind::Float).unwrap();
    let view = whole.get(1);
    drop(whole);
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    assert_eq!(view.double_value(&[0]), 2.5);
    drop(view);
    assert_eq!(drops.load(Ordering::SeqCst), 1);

    // Every refusal drops the owner too.
    let too_short = tensor::from_owner(bytes(15), 0, &[2, 2], Kind::Float).unwrap_err();
    assert_eq!(
        too_short.to_string(),
        "a tensor of shape [2, 2] and type Float at byte 0 does not fit into 15 bytes"
    );
    assert!(tensor::from_owner(bytes(17), 1, &[2, 2], Kind::Float).is_err(), "not aligned");
    assert!(tensor::from_owner(bytes(16), 0, &[-1, 2], Kind::Float).is_err());
    assert!(tensor::from_owner(bytes(16), usize::MAX, &[2], Kind::Float).is_err());
    assert!(tensor::from_owner(bytes(16), 0, &[i64::MAX, i64::MAX], Kind::Double).is_err());
    assert_eq!(drops.load(Ordering::SeqCst), 6);

    let empty = tensor::from_owner(bytes(0), 0, &[0, 3], Kind::Float).unwrap();
    assert_eq!(empty.size(), [0, 3]);
    drop(empty);
    assert_eq!(drops.load(Ordering::SeqCst), 7);
}
