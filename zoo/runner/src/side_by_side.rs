//! How many arms and seeds are run at once, and on how many threads each.

use crate::arguments::How;
use crate::machine;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use zoo_engine::SideBySide;
use zoo_record::Device;
use zoo_schema::experiment::{Arm, Experiment, Phase, Precision};

/// Floating point operations of a part of an update, up to which threads of one process gain less than processes of
/// one thread each: its products are too small to be divided.
const LIGHT: f64 = 4e9;
/// Parameters of such a model at most.
const LIGHT_PARAMETERS: f64 = 20e6;
/// What a process has beside its model: libtorch, plugins.
const PROCESS: f64 = (400 << 20) as f64;

/// Processes of a run, and threads of libtorch in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) processes: usize,
    pub(crate) threads: usize,
}

/// What the machine and its user leave open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) cores: usize,
    /// Bytes of the machine's memory.
    pub(crate) memory: u64,
    pub(crate) on_processor: bool,
    /// `--jobs`.
    pub(crate) jobs: Option<u64>,
    /// `--threads`, or those that the run began with.
    pub(crate) threads: Option<u64>,
}

/// The shape of a run. Threads, which change how sums are rounded, follow from the sizes of the models alone, not
/// from which arms and seeds are run.
pub(crate) fn shape(experiment: &Experiment, given: Given) -> Shape {
    let light = given.on_processor && experiment.arms.iter().all(is_light);
    let jobs = given.jobs.map(|jobs| jobs as usize);
    let threads = match (given.threads, jobs) {
        (Some(threads), _) => threads as usize,
        (None, Some(jobs)) => (given.cores / jobs).max(1),
        (None, None) if light => 1,
        (None, None) => given.cores,
    };
    let processes = jobs.unwrap_or_else(|| {
        let room = given.memory as f64 / 2.0 / (PROCESS + peak(experiment));
        let fit = (given.cores / threads).clamp(1, (room as usize).max(1));
        if light { fit } else { 1 }
    });
    Shape { processes, threads }
}

/// Whether no update of the arm has work for several threads. Of components that do not tell what they cost, their
/// parameters must at least be known.
fn is_light(arm: &Arm) -> bool {
    let known = arm.cost.parameters > 0.0 || arm.cost.parts.iter().all(|part| part.memory.unknown.is_empty());
    let of_phase = |phase: &Phase| arm.cost.parts.iter().find(|part| part.name == phase.name);
    known
        && arm.cost.parameters <= LIGHT_PARAMETERS
        && arm.phases.iter().all(|phase| {
            of_phase(phase).is_some_and(|part| part.flops / phase.accumulate.max(1) as f64 <= LIGHT)
        })
}

/// Bytes of the largest arm.
fn peak(experiment: &Experiment) -> f64 {
    let narrow = |arm: &Arm, name: &str| {
        let phase = arm.phases.iter().find(|phase| phase.name == name);
        phase.is_some_and(|p| matches!(p.precision, Precision::Bfloat16 | Precision::Float16))
    };
    let parts = experiment.arms.iter().flat_map(|arm| arm.cost.parts.iter().map(move |part| (arm, part)));
    parts.map(|(arm, part)| part.memory.bytes(narrow(arm, &part.name))).fold(0.0, f64::max)
}

/// How the processes of a run are started: this program, told what it was told.
pub(crate) fn crew(
    shape: Shape,
    out: &Path,
    device: &Device,
    loader_threads: usize,
    how: &How,
    allow_changed: bool,
) -> Result<Option<SideBySide>> {
    if shape.processes < 2 {
        return Ok(None);
    }
    let program: PathBuf = std::env::current_exe().context("where this program lies is not known")?;
    let mut words: Vec<std::ffi::OsString> = vec!["work".into(), out.into()];
    words.extend(["--device".into(), device.name.clone().into()]);
    words.extend(["--threads".into(), shape.threads.to_string().into()]);
    words.extend(["--loader-threads".into(), loader_threads.to_string().into()]);
    for (word, given) in [
        ("--offline", how.offline),
        ("--alone", how.alone),
        ("--paranoid", how.paranoid),
        ("--allow-changed-plugins", allow_changed),
    ] {
        words.extend(given.then(|| word.into()));
    }
    words.extend((0..how.verbose).map(|_| "--verbose".into()));
    let command = move || {
        let mut command = Command::new(&program);
        command.args(&words);
        command
    };
    Ok(Some(SideBySide { processes: shape.processes, command: Box::new(command) }))
}

/// This machine, and what the user says of it.
pub(crate) fn given(device: &Device, jobs: Option<u64>, threads: Option<u64>) -> Given {
    let on_processor = device.name == "cpu";
    Given { cores: machine::cores(), memory: machine::memory(), on_processor, jobs, threads }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoo_schema::experiment::{ArmCost, Length, MemoryCost, PartCost, Place, Sampling, StepGraph};

    /// What is set here is what the shape follows from.
    fn experiment(flops: f64, values: f64, unknown: &[&str]) -> Experiment {
        let memory = MemoryCost {
            activations: values,
            unknown: unknown.iter().map(|&name| name.to_owned()).collect(),
            ..MemoryCost::default()
        };
        let part = PartCost { name: "pretrain".into(), flops, memory, ..PartCost::default() };
        let phase = Phase {
            name: "pretrain".into(),
            continues: None,
            data: "data".into(),
            step: StepGraph::default(),
            length: Length::Steps(10),
            batch: 8,
            accumulate: 1,
            optimizer: "adamw".into(),
            schedule: None,
            clip_norm: None,
            aggregate: None,
            sampling: Sampling::default(),
            precision: Precision::Float32,
            train: Vec::new(),
            evaluate_every: None,
            save_every: None,
            keep: 1,
            best: None,
            patience: None,
            log_every: 10,
            place: Place::default(),
        };
        let arm = Arm {
            name: "a".into(),
            role: None,
            title: String::new(),
            instances: Vec::new(),
            phases: vec![phase],
            evaluations: Vec::new(),
            metrics: Vec::new(),
            cost: ArmCost { parts: vec![part], ..ArmCost::default() },
            seed_offset: 0,
        };
        Experiment {
            paper: Default::default(),
            recipe: "test.mlm".into(),
            profile: None,
            overrides: Vec::new(),
            resolved: String::new(),
            sources: Vec::new(),
            seeds: 1,
            first_seed: 1,
            arms: vec![arm],
            claims: Vec::new(),
            plugins: Vec::new(),
            control: None,
        }
    }

    fn machine(jobs: Option<u64>, threads: Option<u64>) -> Given {
        Given { cores: 8, memory: 16 << 30, on_processor: true, jobs, threads }
    }

    #[test]
    fn small_models_share_the_machine() {
        let small = experiment(LIGHT / 2.0, 1e6, &[]);
        assert_eq!(shape(&small, machine(None, None)), Shape { processes: 8, threads: 1 });
        assert_eq!(shape(&small, machine(None, Some(4))), Shape { processes: 2, threads: 4 });
        assert_eq!(shape(&small, machine(Some(1), None)), Shape { processes: 1, threads: 8 });
        assert_eq!(shape(&small, machine(Some(3), Some(1))), Shape { processes: 3, threads: 1 });
        let card = Given { on_processor: false, ..machine(None, None) };
        assert_eq!(shape(&small, card), Shape { processes: 1, threads: 8 });
    }

    #[test]
    fn large_ones_have_it_for_themselves() {
        let whole = Shape { processes: 1, threads: 8 };
        assert_eq!(shape(&experiment(LIGHT * 2.0, 1e6, &[]), machine(None, None)), whole);
        assert_eq!(shape(&experiment(LIGHT / 2.0, 1e6, &["model"]), machine(None, None)), whole);
        assert_eq!(shape(&experiment(f64::NAN, 1e6, &[]), machine(None, None)), whole);
        let four = Shape { processes: 4, threads: 2 };
        assert_eq!(shape(&experiment(LIGHT * 2.0, 1e6, &[]), machine(Some(4), None)), four);
    }

    #[test]
    fn memory_bounds_their_number() {
        let wide = experiment(LIGHT / 2.0, 0.5e9, &[]);
        let shape = shape(&wide, machine(None, None));
        assert!((1..=4).contains(&shape.processes), "{shape:?}");
        assert_eq!(shape.threads, 1);
    }
}
