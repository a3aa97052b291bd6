//! What unit tests share.

use zoo_schema::experiment::{Arm, Length, Phase, Precision, StepGraph};

/// A phase without a step.
pub(crate) fn phase() -> Phase {
    Phase {
        name: "train".to_owned(),
        continues: None,
        data: "data".to_owned(),
        step: StepGraph::default(),
        length: Length::Steps(1),
        batch: 1,
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

/// An arm without anything.
pub(crate) fn arm() -> Arm {
    Arm {
        name: "main".to_owned(),
        role: None,
        seed_offset: 0,
        title: String::new(),
        instances: Vec::new(),
        phases: Vec::new(),
        evaluations: Vec::new(),
        metrics: Vec::new(),
        cost: Default::default(),
    }
}
