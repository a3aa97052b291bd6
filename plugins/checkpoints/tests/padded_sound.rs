//! Sound of several lengths in a batch: the states of a recording are those that it has by itself, whatever the
//! padding behind it holds. The conformance suite leaves this to the plugin, as its files fix how long rows are.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{golden, registry};
use tch::{Device, Kind, Tensor};
use zoo_host::Value;
use zoo_inference::Model;

/// Frames of the recordings; the batch is as long as the first.
const FRAMES: [i64; 3] = [20, 13, 7];
/// Numbers of a frame.
const SIZE: i64 = 16;

/// States of every layer and scores of letters.
fn called(model: &Model, sound: &Tensor, mask: Option<&Tensor>) -> Vec<Tensor> {
    let sound = Value::Tensor(sound.shallow_clone());
    let mask = mask.map(|mask| Value::Tensor(mask.shallow_clone()));
    let mut inputs = vec![("sound", &sound)];
    inputs.extend(mask.iter().map(|mask| ("attention_mask", mask)));
    let mut outputs = model.call(&inputs, &["hidden_states", "logits"], false).unwrap();
    let Some(Value::List(states)) = outputs.take("hidden_states") else { panic!("no states") };
    let states = states.into_iter().map(|state| match state {
        Value::Tensor(state) => state,
        _ => panic!("a state is no tensor"),
    });
    states.chain(outputs.take_tensor("logits")).collect()
}

#[test]
fn padding_changes_no_state_of_a_recording() {
    let model = Model::open(&registry(), &golden("wav2vec2_bert_ctc"), None, Device::Cpu).unwrap();
    tch::manual_seed(1);
    let recordings: Vec<Tensor> =
        FRAMES.iter().map(|frames| Tensor::randn([1, *frames, SIZE], (Kind::Float, Device::Cpu))).collect();
    for noise in [0.0, 30.0] {
        let (mut rows, mut masks) = (Vec::new(), Vec::new());
        for (recording, frames) in recordings.iter().zip(FRAMES) {
            let rest = FRAMES[0] - frames;
            let padding = Tensor::randn([1, rest, SIZE], (Kind::Float, Device::Cpu)) * noise;
            rows.push(Tensor::cat(&[recording, &padding], 1));
            let mask = |value, count| Tensor::full([1, count], value, (Kind::Int64, Device::Cpu));
            masks.push(Tensor::cat(&[mask(1, frames), mask(0, rest)], 1));
        }
        let batch = called(&model, &Tensor::cat(&rows, 0), Some(&Tensor::cat(&masks, 0)));
        for (row, (recording, frames)) in (0..).zip(recordings.iter().zip(FRAMES)) {
            let alone = called(&model, recording, None);
            assert_eq!(alone.len(), batch.len());
            for (number, (alone, batch)) in alone.iter().zip(&batch).enumerate() {
                let batch = batch.narrow(0, row, 1).narrow(1, 0, frames);
                let largest = (alone - batch).abs().max().double_value(&[]);
                let size = alone.abs().max().double_value(&[]);
                assert!(
                    largest <= 2e-5 * size,
                    "noise {noise}, row {row}, states {number}: {largest} of {size}"
                );
            }
        }
    }
}
