//! Where the time of updates goes, for `zoo bench`.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tch::Device;

/// A part of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Waiting,
    /// Forward and backward.
    Gradients,
    Backward,
    Optimizer,
}

/// Seconds by part, summed over updates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Times {
    pub(crate) waiting: f64,
    pub(crate) forward: f64,
    pub(crate) backward: f64,
    pub(crate) optimizer: f64,
    /// Of all, with what lies between.
    pub(crate) whole: f64,
    pub(crate) updates: u64,
    pub(crate) tokens: u64,
}

/// Measures updates and their parts. On an accelerator the parts wait for the device, so that each is
/// charged what it asked for; without measurement nothing waits.
#[derive(Debug)]
pub struct Timings {
    device: Device,
    warm_up: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: u64,
    times: Times,
}

impl Timings {
    /// The first `warm_up` updates are not counted.
    pub fn new(device: Device, warm_up: u64) -> Self {
        Self { device, warm_up, state: Mutex::default() }
    }

    fn wait(&self) {
        // An error of the device surfaces in the work itself.
        let _ = zoo_torch::device::synchronize(self.device);
    }

    fn counted(&self, add: impl FnOnce(&mut Times)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.seen >= self.warm_up {
            add(&mut state.times);
        }
    }

    pub(crate) fn part<T>(&self, part: Part, work: impl FnOnce() -> T) -> T {
        if part != Part::Waiting {
            self.wait();
        }
        let begun = Instant::now();
        let done = work();
        if part != Part::Waiting {
            self.wait();
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.counted(|times| match part {
            Part::Waiting => times.waiting += seconds,
            // The backward pass lies within.
            Part::Gradients => times.forward += seconds,
            Part::Backward => {
                times.backward += seconds;
                times.forward -= seconds;
            }
            Part::Optimizer => times.optimizer += seconds,
        });
        done
    }

    /// An update is done.
    pub(crate) fn updated(&self, seconds: f64, tokens: u64) {
        self.counted(|times| {
            times.whole += seconds;
            times.updates += 1;
            times.tokens += tokens;
        });
        self.state.lock().unwrap_or_else(PoisonError::into_inner).seen += 1;
    }

    pub(crate) fn read(&self) -> Times {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).times
    }
}

/// Measures a part where someone wants to know, else just does it.
pub(crate) fn timed<T>(timings: Option<&Timings>, part: Part, work: impl FnOnce() -> T) -> T {
    match timings {
        Some(timings) => timings.part(part, work),
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_updates_do_not_count() {
        let timings = Timings::new(Device::Cpu, 1);
        for _ in 0..3 {
            timings.part(Part::Gradients, || {
                std::thread::sleep(std::time::Duration::from_millis(5));
                timings.part(Part::Backward, || std::thread::sleep(std::time::Duration::from_millis(10)));
            });
            timings.updated(0.01, 7);
        }
        let times = timings.read();
        assert_eq!((times.updates, times.tokens), (2, 14));
        assert!(times.forward >= 0.01 && times.backward >= 0.02, "{times:?}");
        assert!(times.forward < times.backward, "{times:?}");
    }
}
