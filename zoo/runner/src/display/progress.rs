//! How far a run is, from its events: what both displays show.

use std::collections::BTreeMap;
use std::time::Instant;
use zoo_record::{Event, RunStarted};

/// How far a run is.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Work of every arm for one seed: its floating point operations, or its steps where those are not
    /// known of every arm.
    work: BTreeMap<String, f64>,
    steps: BTreeMap<String, u64>,
    pub(crate) seeds: Vec<u64>,
    pub(crate) arms: usize,
    /// Work of arms and seeds that are done, in this process and before.
    done: f64,
    /// Of that, what was done before this process began.
    before: f64,
    /// The arm and seed in progress.
    current: Option<Current>,
    begun: Instant,
}

#[derive(Debug)]
struct Current {
    arm: String,
    /// Steps of phases that are over.
    finished: u64,
    /// Steps of the phase in progress.
    step: u64,
    total: u64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            work: BTreeMap::new(),
            steps: BTreeMap::new(),
            seeds: Vec::new(),
            arms: 0,
            done: 0.0,
            before: 0.0,
            current: None,
            begun: Instant::now(),
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted(started) => self.started(started),
            Event::SeedStarted { arm, .. } => {
                self.current = Some(Current { arm: arm.clone(), finished: 0, step: 0, total: 0 });
            }
            Event::PhaseStarted { step, total, .. } => {
                if let Some(current) = &mut self.current {
                    current.finished += current.total;
                    (current.step, current.total) = (*step, *total);
                }
            }
            Event::StepLogged(logged) => {
                if let Some(current) = &mut self.current {
                    current.step = logged.step;
                }
            }
            Event::SeedFinished { arm, .. } => {
                self.done += self.work.get(arm).copied().unwrap_or(0.0);
                self.current = None;
            }
            _ => {}
        }
    }

    fn started(&mut self, started: &RunStarted) {
        let known = started.arms.iter().all(|arm| arm.train_flops.is_finite() && arm.train_flops > 0.0);
        for arm in &started.arms {
            let work = if known { arm.train_flops } else { (arm.steps as f64).max(1.0) };
            self.work.insert(arm.name.clone(), work);
            self.steps.insert(arm.name.clone(), arm.steps);
        }
        self.seeds = started.seeds.clone();
        self.arms = started.arms.len();
        self.begun = Instant::now();
    }

    /// Arms and seeds that an earlier process finished: they are part of the whole, not of the speed.
    pub(crate) fn finished_before(&mut self, arm: &str) {
        let work = self.work.get(arm).copied().unwrap_or(0.0);
        self.done += work;
        self.before += work;
    }

    fn all(&self) -> f64 {
        self.work.values().sum::<f64>() * self.seeds.len() as f64
    }

    fn current_work(&self) -> f64 {
        let Some(current) = &self.current else { return 0.0 };
        let steps = self.steps.get(&current.arm).copied().unwrap_or(0).max(current.finished + current.total);
        let share = (current.finished + current.step) as f64 / steps.max(1) as f64;
        self.work.get(&current.arm).copied().unwrap_or(0.0) * share.min(1.0)
    }

    /// The share of the whole run that is done, were every seed needed.
    pub(crate) fn share(&self) -> f64 {
        let all = self.all();
        if all > 0.0 { ((self.done + self.current_work()) / all).min(1.0) } else { 0.0 }
    }

    /// Seconds left at the speed so far; none as long as that says nothing.
    pub(crate) fn left(&self) -> Option<f64> {
        let done = self.done + self.current_work() - self.before;
        let elapsed = self.begun.elapsed().as_secs_f64();
        if done <= 0.0 || elapsed < 1.0 {
            return None;
        }
        let left = self.all() - self.done - self.current_work();
        Some((left.max(0.0)) / done * elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoo_record::{ArmSummary, StepLogged};

    #[test]
    fn arms_weigh_what_they_cost() {
        let arm = |name: &str, steps, train_flops| ArmSummary {
            name: name.into(),
            steps,
            train_flops,
            ..ArmSummary::default()
        };
        let mut progress = Progress::new();
        progress.event(&Event::RunStarted(RunStarted {
            arms: vec![arm("cheap", 100, 1e9), arm("dear", 100, 3e9)],
            seeds: vec![1, 2],
            ..RunStarted::default()
        }));
        progress.event(&Event::SeedStarted { arm: "cheap".into(), seed: 1, resumed: None });
        let phase = |step| Event::PhaseStarted {
            arm: "cheap".into(),
            seed: 1,
            phase: "pretrain".into(),
            step,
            total: 100,
            batch: 8,
            precision: "float32".into(),
        };
        progress.event(&phase(0));
        progress.event(&Event::StepLogged(StepLogged { step: 50, total: 100, ..StepLogged::default() }));
        assert!((progress.share() - 0.5 / 8.0).abs() < 1e-12);
        progress.event(&Event::SeedFinished {
            arm: "cheap".into(),
            seed: 1,
            metrics: Default::default(),
            seconds: 1.0,
        });
        assert!((progress.share() - 1.0 / 8.0).abs() < 1e-12);
        progress.finished_before("dear");
        assert!((progress.share() - 4.0 / 8.0).abs() < 1e-12);
    }
}
