//! How fast an arm trains once it runs steadily, and where the time goes.

use crate::run::parts;
use crate::{
    ArmJob, ArmOutcome, Result as ArmResultOf, RunEnvironment, RunError, RunOptions, SharedSink, StopFlag,
    Timings, run_arm,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};
use zoo_record::{Event, RunDir, Sink, Speeds};
use zoo_schema::experiment::{Arm, Experiment, Length, Operation, Phase, Precision};

/// Updates before the measurement begins: caches fill, allocators settle.
const WARM_UP: u64 = 5;
/// Time that the peak of the device is measured for.
const PEAK_TIME: Duration = Duration::from_millis(600);

/// The speed of an arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BenchResult {
    /// The arm.
    pub arm: String,
    /// Its first phase, which is the one measured.
    pub phase: String,
    /// Where it was computed.
    pub device: zoo_record::Device,
    /// Threads of libtorch.
    pub threads: u64,
    /// Precision of the forward pass.
    pub precision: String,
    /// Updates measured, beside those before.
    pub steps: u64,
    /// Examples in an update.
    pub batch: u64,
    /// Seconds of the measured updates.
    pub seconds: f64,
    /// Updates a second.
    pub steps_per_second: f64,
    /// Examples a second.
    pub examples_per_second: f64,
    /// Tokens a second, padding included; none where the batch has no matrix of whole numbers.
    pub tokens_per_second: Option<f64>,
    /// Parts of an update, in their order.
    pub parts: Vec<BenchPart>,
    /// Calls of components that the step of an update makes through the host, those on loader threads included. What
    /// one costs beyond its work, `cargo bench -p zoo-host` measures.
    pub calls: u64,
    /// Share of the time in which the device waited for data.
    pub share_waiting: f64,
    /// Peak memory of the first update, in bytes, beside what the process had before.
    pub peak_memory: Option<f64>,
    /// What the plan predicts for it.
    pub planned_memory: Option<f64>,
    /// Floating point operations of an update, forward and backward, by the schemas.
    pub flops_per_step: f64,
    /// The same a second.
    pub flops_per_second: f64,
    /// What the device reaches in a large matrix product of the same precision.
    pub peak_flops_per_second: f64,
    /// The quotient of both.
    pub share_of_peak: f64,
}

/// A part of an update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BenchPart {
    /// `waiting for data`, `forward`, `backward`, `optimizer`, `rest`.
    pub name: String,
    /// Seconds an update.
    pub seconds: f64,
    /// Share of the whole.
    pub share: f64,
}

/// Measures the first phase of an arm for so many updates. The run directory of the options is used for
/// what a phase writes; nothing is evaluated or judged.
///
/// # Errors
/// As [`crate::run`]; an arm that trains nothing.
pub fn bench(
    experiment: &Experiment,
    arm: &str,
    steps: u64,
    options: RunOptions,
    stop: &StopFlag,
) -> Result<BenchResult, RunError> {
    let arm = experiment.arms.iter().find(|known| known.name == arm).ok_or(RunError::Nothing("such arm"))?;
    let phase = arm.phases.first().ok_or(RunError::Nothing("phase to measure"))?;
    let steps = steps.max(1);
    let (registry, _) = parts::load(experiment, &options, None)?;
    let measured = measured_arm(arm, phase, WARM_UP + steps);
    let experiment =
        Experiment { arms: vec![measured.clone()], claims: Vec::new(), seeds: 1, ..experiment.clone() };
    let run_dir = RunDir::new(&options.run_dir);
    let watch = Arc::new(Mutex::new(Watch::default()));
    let mut sink = SharedSink::new(Listen(Arc::clone(&watch)));
    let environment = RunEnvironment::new(options.assets.clone(), sink.clone(), stop.clone(), &[]);
    let timings = Timings::new(options.device, WARM_UP);
    let planned = crate::run::planned_memory(&measured, options.device);
    let outcome: ArmResultOf<ArmOutcome> = run_arm(ArmJob {
        experiment: &experiment,
        arm: &measured,
        seed: experiment.first_seed,
        run_dir: &run_dir,
        registry: Arc::new(registry),
        environment: Arc::new(environment),
        device: options.device,
        loader_threads: options.loader_threads.max(1),
        sink: &mut sink,
        stop,
        resume: false,
        planned,
        paranoid: options.paranoid,
        phases: None,
        timings: Some(&timings),
    });
    outcome.map_err(|error| RunError::Arm {
        arm: arm.name.clone(),
        seed: experiment.first_seed,
        error: Box::new(error),
    })?;
    let watch = watch.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let times = timings.read();
    let seconds = times.whole;
    let updates = times.updates.max(1) as f64;
    let (kind, narrow) = match phase.precision {
        Precision::Float16 => (Kind::Half, true),
        Precision::Bfloat16 => (Kind::BFloat16, true),
        Precision::Auto if options.device.is_cuda() => (Kind::BFloat16, true),
        Precision::Auto | Precision::Float32 => (Kind::Float, false),
    };
    let peak = matmul_peak(options.device, kind)?;
    let flops = arm.cost.parts.iter().find(|part| part.name == phase.name).map_or(0.0, |part| part.flops);
    let named = [
        ("waiting for data", times.waiting),
        ("forward", times.forward),
        ("backward", times.backward),
        ("optimizer", times.optimizer),
    ];
    let known: f64 = named.iter().map(|(_, time)| time).sum();
    let rest = ("rest", (seconds - known).max(0.0));
    let whole = seconds.max(f64::MIN_POSITIVE);
    let steps_per_second = updates / whole;
    let named_device = format!("{} {}", options.device_facts.name, options.device_facts.model);
    let mut speeds = Speeds::open(&options.assets.store.options().cache);
    let noted = speeds.set(arm, phase, 1.0 / steps_per_second, named_device.trim(), options.threads as u64);
    if let Err(error) = noted {
        tracing::warn!("the speed is not kept for plans: {error}");
    }
    Ok(BenchResult {
        arm: arm.name.clone(),
        phase: phase.name.clone(),
        device: options.device_facts,
        threads: options.threads as u64,
        precision: if narrow { format!("{kind:?}").to_lowercase() } else { "float32".into() },
        steps: times.updates,
        batch: phase.batch,
        seconds,
        steps_per_second,
        examples_per_second: steps_per_second * phase.batch as f64,
        tokens_per_second: (times.tokens > 0).then(|| times.tokens as f64 / whole),
        parts: named
            .into_iter()
            .chain([rest])
            .map(|(name, time)| BenchPart {
                name: name.to_owned(),
                seconds: time / updates,
                share: time / whole,
            })
            .collect(),
        calls: phase.step.nodes.iter().filter(|node| matches!(node.operation, Operation::Call { .. })).count()
            as u64
            * phase.accumulate,
        share_waiting: times.waiting / whole,
        peak_memory: watch.peak,
        planned_memory: watch.planned,
        flops_per_step: flops,
        flops_per_second: flops * steps_per_second,
        peak_flops_per_second: peak,
        share_of_peak: flops * steps_per_second / peak,
    })
}

/// The arm with its first phase alone, of so many updates, with nothing measured or written on the way.
fn measured_arm(arm: &Arm, phase: &Phase, updates: u64) -> Arm {
    let phase = Phase {
        length: Length::Steps(updates),
        evaluate_every: None,
        save_every: None,
        best: None,
        patience: None,
        log_every: updates,
        ..phase.clone()
    };
    Arm { phases: vec![phase], evaluations: Vec::new(), metrics: Vec::new(), ..arm.clone() }
}

#[derive(Clone, Debug, Default)]
struct Watch {
    peak: Option<f64>,
    planned: Option<f64>,
}

struct Listen(Arc<Mutex<Watch>>);

impl Sink for Listen {
    fn event(&mut self, event: &Event) {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::PlanMeasured { planned, measured, .. } = event {
            watch.planned = Some(*planned);
            watch.peak = Some(*measured);
        }
    }
}

/// Floating point operations a second in the product of two large square matrices, at best.
///
/// # Errors
/// What libtorch throws.
pub fn matmul_peak(device: Device, kind: Kind) -> Result<f64, RunError> {
    let _mode = zoo_torch::modes::Gradients::set(false)?;
    let size: i64 = if device.is_cuda() { 8192 } else { 1024 };
    let torch = |error: tch::TchError| RunError::Torch(error.to_string());
    let left = Tensor::f_randn([size, size], (Kind::Float, device)).and_then(|t| t.f_to_kind(kind));
    let (left, mut out) = (left.map_err(torch)?, None);
    let begun = Instant::now();
    let mut best = f64::INFINITY;
    while best.is_infinite() || begun.elapsed() < PEAK_TIME {
        zoo_torch::device::synchronize(device)?;
        let once = Instant::now();
        out = Some(left.f_matmul(&left).map_err(torch)?);
        zoo_torch::device::synchronize(device)?;
        best = best.min(once.elapsed().as_secs_f64());
    }
    drop(out);
    Ok(2.0 * (size as f64).powi(3) / best.max(1e-9))
}
