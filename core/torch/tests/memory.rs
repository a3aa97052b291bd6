//! What tensors on the CPU take. One test of its own process: the count is the process's.
#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_torch::device::{count_tensors, reset_tensor_peak, tensor_memory};

const SIZE: i64 = 1 << 20;

#[test]
fn tensors_are_counted_from_their_making_to_their_end() {
    let before = Tensor::ones([SIZE], (Kind::Float, Device::Cpu));
    if !count_tensors().unwrap() {
        return;
    }
    assert!(count_tensors().unwrap(), "a second time changes nothing");
    assert_eq!(tensor_memory().unwrap().allocated, 0);
    let bytes = 4 * SIZE as u64;
    let about = |found: u64, expected: u64| {
        assert!((expected..expected + bytes / 100).contains(&found), "{found} is not {expected}");
    };
    let one = &before + 1.0;
    about(tensor_memory().unwrap().allocated, bytes);
    let other = &one + &before;
    // Views take nothing.
    let view = other.view([SIZE / 2, 2]).transpose(0, 1);
    about(tensor_memory().unwrap().allocated, 2 * bytes);
    drop(one);
    let now = tensor_memory().unwrap();
    about(now.allocated, bytes);
    about(now.allocated_peak, 2 * bytes);
    reset_tensor_peak().unwrap();
    about(tensor_memory().unwrap().allocated_peak, bytes);
    // Dropped on another thread; grown in place.
    std::thread::spawn(move || drop(other)).join().unwrap();
    drop(view);
    drop(before);
    assert!(tensor_memory().unwrap().allocated < bytes / 100);
    let mut grown = Tensor::zeros([8], (Kind::Float, Device::Cpu));
    let _ = grown.resize_([SIZE]);
    about(tensor_memory().unwrap().allocated, bytes);
}
