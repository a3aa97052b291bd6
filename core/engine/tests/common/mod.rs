//! Whole trainings of small models.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared by several tests")]

use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use zoo_engine::{ArmJob, ArmOutcome, PhaseCache, PlannedMemory, Result, StopFlag, run_arm};
use zoo_host::{LocalEnvironment, PluginPath, Registry};
use zoo_record::{Collect, Event, RunDir, Sink, StepLogged};
use zoo_schema::experiment::{
    Arm, Evaluation, Experiment, Instance, Length, Log, LossTerm, Metric, Node, Operation, Operator, Phase,
    Precision, StepGraph, ValueRef, Weight,
};

fn built(name: &str) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    folder.join(format!("lib{name}.so"))
}

pub fn registry() -> Arc<Registry> {
    static LOADED: OnceLock<Arc<Registry>> = OnceLock::new();
    let load = || {
        let paths = ["zoo_optimization", "zoo_privacy", "zoo_toy"]
            .map(|name| PluginPath { path: built(name), hash: None });
        Arc::new(Registry::load(&paths).unwrap())
    };
    Arc::clone(LOADED.get_or_init(load))
}

/// A step being written.
#[derive(Default)]
pub struct Graph {
    pub graph: StepGraph,
}

impl Graph {
    pub fn new(name: &str) -> Self {
        Self { graph: StepGraph { name: name.to_owned(), ..StepGraph::default() } }
    }

    pub fn node(&mut self, id: &str, operation: Operation) -> ValueRef {
        self.graph.nodes.push(Node { id: id.to_owned(), operation, place: Default::default() });
        ValueRef { node: self.graph.nodes.len() - 1, output: String::new() }
    }

    pub fn column(&mut self, name: &str) -> ValueRef {
        self.node(name, Operation::Column { column: name.to_owned() })
    }

    /// A call; the answer is its output of that name.
    pub fn call(&mut self, id: &str, instance: &str, inputs: &[(&str, &ValueRef)], output: &str) -> ValueRef {
        let inputs = inputs.iter().map(|(port, value)| ((*port).to_owned(), (*value).clone())).collect();
        let node = self.node(id, Operation::Call { instance: instance.to_owned(), inputs });
        ValueRef { output: output.to_owned(), ..node }
    }

    pub fn arithmetic(&mut self, id: &str, operator: Operator, operands: &[&ValueRef]) -> ValueRef {
        let operands = operands.iter().map(|o| (*o).clone()).collect();
        self.node(id, Operation::Arithmetic { operator, operands })
    }

    pub fn number(&mut self, value: f64) -> ValueRef {
        self.node("number", Operation::Number { value })
    }

    pub fn mean(&mut self, id: &str, of: &ValueRef) -> ValueRef {
        self.node(id, Operation::Mean { of: of.clone() })
    }

    pub fn sum(&mut self, id: &str, of: &ValueRef) -> ValueRef {
        self.node(id, Operation::Sum { of: of.clone() })
    }

    pub fn log(&mut self, name: &str, value: &ValueRef) {
        self.graph.logs.push(Log { name: name.to_owned(), value: value.clone() });
    }

    pub fn loss(&mut self, value: &ValueRef, weight: f64) {
        self.graph.loss.push(LossTerm { value: value.clone(), weight: Weight::Constant(weight) });
    }
}

pub fn instance(name: &str, component: &str, parameters: Json) -> Instance {
    let Json::Object(parameters) = parameters else { panic!("parameters are an object") };
    Instance {
        name: name.to_owned(),
        component: component.to_owned(),
        kind: String::new(),
        parameters,
        share: Vec::new(),
        weights: None,
        frozen: false,
        on: None,
        place: Default::default(),
        parameter_places: Map::new(),
    }
}

pub fn phase(name: &str, step: StepGraph, steps: u64, batch: u64) -> Phase {
    Phase {
        name: name.to_owned(),
        continues: None,
        data: "rows".to_owned(),
        step,
        length: Length::Steps(steps),
        batch,
        accumulate: 1,
        optimizer: "optimizer".to_owned(),
        schedule: None,
        clip_norm: None,
        aggregate: None,
        sampling: Default::default(),
        precision: Precision::Float32,
        train: Vec::new(),
        evaluate_every: None,
        save_every: None,
        keep: 1,
        best: None,
        patience: None,
        log_every: 1,
        place: Default::default(),
    }
}

pub fn evaluation(name: &str, step: StepGraph, batch: u64) -> Evaluation {
    Evaluation {
        name: name.to_owned(),
        step,
        data: "unseen".to_owned(),
        batch,
        limit: None,
        after: None,
        during: false,
        place: Default::default(),
    }
}

pub fn metric(name: &str, evaluation: &str, log: &str) -> Metric {
    Metric {
        name: name.to_owned(),
        evaluation: evaluation.to_owned(),
        log: log.to_owned(),
        higher_is_better: Some(false),
        percent: false,
    }
}

/// The components that the steps below use.
pub fn instances() -> Vec<Instance> {
    vec![
        instance("rows", "toy.rows", json!({})),
        instance("unseen", "toy.rows", json!({ "rows": 10 })),
        instance("jitter", "toy.jitter", json!({})),
        instance("line", "toy.line", json!({})),
        instance("other", "toy.line", json!({})),
        instance("drift", "toy.drift", json!({})),
        instance("twist", "toy.twist", json!({})),
        instance("error", "toy.squared_error", json!({})),
        instance("importance", "toy.weighted_error", json!({})),
        instance("contrast", "toy.contrast", json!({})),
        instance("root", "toy.root_mean_square", json!({})),
        instance("optimizer", "optimization.adamw", json!({ "learning_rate": 0.05 })),
        instance("schedule", "optimization.linear", json!({ "warmup": 2 })),
    ]
}

pub fn arm(phases: Vec<Phase>) -> Arm {
    Arm {
        name: "main".to_owned(),
        role: None,
        title: String::new(),
        instances: instances(),
        phases,
        evaluations: Vec::new(),
        metrics: Vec::new(),
        cost: Default::default(),
        seed_offset: 0,
    }
}

/// Squared error of a linear model over jittered features.
pub fn fit() -> StepGraph {
    let mut g = Graph::new("fit");
    let (x, y) = (g.column("x"), g.column("y"));
    let noisy = g.call("noisy", "jitter", &[("x", &x)], "x");
    let predicted = g.call("predicted", "line", &[("x", &noisy)], "y");
    let drifted = g.call("drifted", "drift", &[("x", &predicted)], "x");
    let loss = g.call("loss", "error", &[("predicted", &drifted), ("wanted", &y)], "loss");
    let root = g.call("root", "root", &[("predicted", &drifted), ("wanted", &y)], "value");
    let mean = g.mean("mean", &predicted);
    g.loss(&loss, 1.0);
    g.log("error", &loss);
    g.log("root", &root);
    g.log("mean", &mean);
    g.graph
}

/// What is measured of a linear model.
pub fn measure() -> StepGraph {
    let mut g = Graph::new("measure");
    let (x, y) = (g.column("x"), g.column("y"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let loss = g.call("loss", "error", &[("predicted", &predicted), ("wanted", &y)], "loss");
    let root = g.call("root", "root", &[("predicted", &predicted), ("wanted", &y)], "value");
    g.log("error", &loss);
    g.log("root", &root);
    g.graph
}

/// A run directory with an arm in it.
pub struct Run {
    pub folder: tempfile::TempDir,
    pub arm: Arm,
    pub seed: u64,
    pub loader_threads: usize,
}

impl Run {
    pub fn new(arm: Arm) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), arm, seed: 1, loader_threads: 2 }
    }

    pub fn dir(&self) -> RunDir {
        RunDir::new(self.folder.path())
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.dir().checkpoints(&self.arm.name, self.seed)
    }

    pub fn go(&self) -> (Result<ArmOutcome>, Vec<Event>) {
        let mut collect = Collect::default();
        let outcome = self.run_into(&mut collect, &StopFlag::new(), false);
        (outcome, collect.events)
    }

    pub fn resume(&self) -> (Result<ArmOutcome>, Vec<Event>) {
        let mut collect = Collect::default();
        let outcome = self.run_into(&mut collect, &StopFlag::new(), true);
        (outcome, collect.events)
    }

    pub fn run_into(&self, sink: &mut dyn Sink, stop: &StopFlag, resume: bool) -> Result<ArmOutcome> {
        self.run_in(&self.dir(), sink, stop, resume)
    }

    /// With predictions of memory.
    pub fn run_planned(&self, sink: &mut dyn Sink, planned: Vec<PlannedMemory>) -> Result<ArmOutcome> {
        self.run_all(&self.dir(), sink, (&StopFlag::new(), false), planned, None)
    }

    /// With phases that other arms have in common, in a cache folder.
    pub fn go_with(&self, cache: &Path) -> (Result<ArmOutcome>, Vec<Event>) {
        let mut collect = Collect::default();
        let phases = PhaseCache::new(cache);
        let stop = StopFlag::new();
        let outcome = self.run_all(&self.dir(), &mut collect, (&stop, false), Vec::new(), Some(&phases));
        (outcome, collect.events)
    }

    /// In another run directory.
    pub fn run_in(
        &self,
        run_dir: &RunDir,
        sink: &mut dyn Sink,
        stop: &StopFlag,
        resume: bool,
    ) -> Result<ArmOutcome> {
        self.run_all(run_dir, sink, (stop, resume), Vec::new(), None)
    }

    fn run_all(
        &self,
        run_dir: &RunDir,
        sink: &mut dyn Sink,
        (stop, resume): (&StopFlag, bool),
        planned: Vec<PlannedMemory>,
        phases: Option<&PhaseCache>,
    ) -> Result<ArmOutcome> {
        // libtorch has one random stream for the whole process: arms run one after the other.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let experiment = experiment(&self.arm);
        run_arm(ArmJob {
            experiment: &experiment,
            arm: &self.arm,
            seed: self.seed,
            run_dir,
            registry: registry(),
            environment: Arc::new(LocalEnvironment { folder: self.folder.path().join("stages") }),
            device: tch::Device::Cpu,
            loader_threads: self.loader_threads,
            sink,
            stop,
            resume,
            planned,
            paranoid: false,
            phases,
            timings: None,
        })
    }

    /// The bytes of a model at the end.
    pub fn model(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.checkpoints().join("final").join(name).join("model.safetensors")).unwrap()
    }

    /// The parameters of a model at the end, by name.
    pub fn parameters(&self, name: &str) -> Vec<(String, Vec<f64>)> {
        let path = self.checkpoints().join("final").join(name).join("model.safetensors");
        parameters(&path)
    }
}

pub fn parameters(path: &Path) -> Vec<(String, Vec<f64>)> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let floats = |data: &[u8]| -> Vec<f64> {
        data.chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
    };
    let mut all: Vec<_> = tensors.iter().map(|(name, view)| (name.to_owned(), floats(view.data()))).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

pub fn experiment(arm: &Arm) -> Experiment {
    Experiment {
        paper: Default::default(),
        recipe: "test.mlm".to_owned(),
        profile: None,
        overrides: Vec::new(),
        resolved: String::new(),
        sources: Vec::new(),
        seeds: 1,
        first_seed: 1,
        arms: vec![arm.clone()],
        claims: Vec::new(),
        plugins: Vec::new(),
        control: None,
    }
}

/// Largest difference between parameters of two runs.
pub fn difference(a: &[(String, Vec<f64>)], b: &[(String, Vec<f64>)]) -> f64 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().flat_map(|(_, v)| v).zip(b.iter().flat_map(|(_, v)| v));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The logged steps.
pub fn logged(events: &[Event]) -> Vec<&StepLogged> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::StepLogged(logged) => Some(logged),
            _ => None,
        })
        .collect()
}

/// Logged values without those that depend on the clock.
pub fn curve(events: &[Event], name: &str) -> Vec<f64> {
    logged(events).iter().filter_map(|logged| logged.values.get(name)).collect()
}
