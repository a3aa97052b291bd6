//! Arms and seeds that are run side by side, each by a process of its own.

use super::crew::{Crew, Heard};
use super::queue::Queue;
use super::wire::{End, FromWorker, ToWorker};
use super::{Run, RunError};
use crate::ArmResult;
use std::process::Command;
use std::time::Duration;
use zoo_record::{LockedAsset, RunResult, Sink};

/// How often it is looked whether someone wants to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How arms and seeds are run at once. A small model leaves most of a machine idle, however many threads
/// it is given; several beside each other do not. What comes out is the same as with one after the other on as
/// many threads as each has here.
pub struct SideBySide {
    /// Processes, at least 1.
    pub processes: usize,
    /// Starts one, whose program calls [`work`](super::work) with the same run directory and options.
    pub command: Box<dyn Fn() -> Command + Send + Sync>,
}

impl std::fmt::Debug for SideBySide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SideBySide").field("processes", &self.processes).finish_non_exhaustive()
    }
}

impl Run<'_> {
    pub(super) fn side_by_side(&mut self, how: SideBySide, planned: &[u64]) -> Result<RunResult, RunError> {
        let mut done = Vec::new();
        if let Some(result) = self.look(planned, &mut done) {
            return Ok(result);
        }
        let places = 0..self.experiment.arms.len();
        let waiting: Vec<(usize, u64)> = planned
            .iter()
            .flat_map(|&seed| places.clone().map(move |place| (place, seed)))
            .filter(|&(place, seed)| !self.is_finished(&self.experiment.arms[place], seed))
            .collect();
        let count = how.processes.clamp(1, waiting.len().max(1));
        let mut queue = Queue::new(waiting, count, self.may_end_early());
        let mut crew = Crew::hire(count, &how.command)?;
        let mut failed: Option<RunError> = None;
        let mut stopping = false;
        loop {
            if let Some(failure) = self.sink.failure() {
                failed.get_or_insert(failure.into());
            }
            if !stopping && (self.stop.stopped() || failed.is_some()) {
                stopping = true;
                crew.tell_all(&ToWorker::Stop);
            }
            if !stopping {
                self.hand_out(&mut queue, &mut crew, count);
            }
            if queue.nothing_runs() {
                return match failed {
                    Some(error) => Err(error),
                    None => Ok(self.stopped()),
                };
            }
            let Some((worker, heard)) = crew.listen(LOOK)? else { continue };
            match heard {
                Heard::Said(FromWorker::Event(event)) => {
                    self.sink.event(&event);
                    crew.tell(worker, &ToWorker::Taken);
                }
                Heard::Said(FromWorker::Ended { how, assets }) => {
                    let Some((place, seed)) = queue.over(worker) else { continue };
                    let ended = self.learn(&assets).and_then(|()| self.ended(place, seed, how));
                    if let Err(error) = ended {
                        failed.get_or_insert(error);
                    }
                    if failed.is_none()
                        && let Some(result) = self.look(planned, &mut done)
                    {
                        return Ok(result);
                    }
                }
                Heard::Gone | Heard::Garbled(_) => {
                    let message = match heard {
                        Heard::Garbled(reason) => format!("its process said what is no message: {reason}"),
                        _ => crew.end_of(worker),
                    };
                    // One that has nothing to do any more may go.
                    if let Some((place, seed)) = queue.over(worker) {
                        let error = self.failure_of(place, seed, message);
                        failed.get_or_insert(error);
                    }
                }
            }
        }
    }

    fn hand_out(&self, queue: &mut Queue, crew: &mut Crew, count: usize) {
        for worker in 0..count {
            if queue.is_running(worker) {
                continue;
            }
            let Some((place, seed)) = queue.next(worker) else { continue };
            let arm = self.experiment.arms[place].name.clone();
            let assets = self.lock.assets.clone();
            crew.tell(worker, &ToWorker::Job { arm, seed, resume: self.resumed, assets });
        }
    }

    fn failure_of(&self, place: usize, seed: u64, message: String) -> RunError {
        RunError::Worker { arm: self.experiment.arms[place].name.clone(), seed, message }
    }

    fn ended(&mut self, place: usize, seed: u64, how: End) -> Result<(), RunError> {
        match how {
            End::Finished { metrics, seconds } => {
                let arm = &self.experiment.arms[place];
                self.finish(arm, seed, ArmResult { metrics, seconds })
            }
            End::Stopped => Ok(()),
            // A component that was stopped in the middle of a call is no error.
            End::Failed { .. } if self.stop.stopped() => Ok(()),
            End::Failed { message } => Err(self.failure_of(place, seed, message)),
        }
    }

    /// Takes assets that a worker has fetched into the lock.
    fn learn(&mut self, assets: &[LockedAsset]) -> Result<(), RunError> {
        let before = self.lock.assets.len();
        for asset in assets {
            match self.lock.assets.iter().find(|known| known.uri == asset.uri) {
                Some(known) if known == asset => {}
                Some(known) => {
                    return Err(RunError::AssetMoved {
                        uri: asset.uri.clone(),
                        one: known.hash.clone(),
                        other: asset.hash.clone(),
                    });
                }
                None => self.lock.assets.push(asset.clone()),
            }
        }
        if self.lock.assets.len() > before {
            self.lock.write(&self.run_dir.lock())?;
        }
        Ok(())
    }
}
