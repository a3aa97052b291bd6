//! Loading is total: every parameter comes from the checkpoint, or the load is an error that says
//! what is missing and what is near.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{elements, instance, probe, seeded};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;
use std::path::Path;
use zoo_host::World;

/// Writes tensors of zeros, ones, twos, … of these shapes.
fn checkpoint(path: &Path, tensors: &[(&str, &[usize])]) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .enumerate()
        .map(|(i, (_, shape))| (i as f32).to_le_bytes().repeat(shape.iter().product()))
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape), bytes)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

const NAMES: [(&str, &[usize]); 4] = [
    ("net.layers.0.map.weight", &[2, 2]),
    ("net.layers.0.map.bias", &[2]),
    ("net.layers.1.map.weight", &[2, 2]),
    ("net.layers.1.map.bias", &[2]),
];

struct Outcome {
    world: World,
    error: String,
}

/// A model of two layers of size 2 from these weights.
fn from(weights: &Path) -> Outcome {
    let world = seeded(&probe(), 1);
    let mut made = instance("m", "probe.projection", json!({ "size": 2, "layers": 2 }));
    made.weights = Some(weights.display().to_string());
    let error = world.create(&made).err().map(|e| e.to_string()).unwrap_or_default();
    Outcome { world, error }
}

fn with(tensors: &[(&str, &[usize])]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut all = tensors.to_vec();
    // The buffer, which counts steps, is asked for as well.
    all.push(("net.steps", &[1]));
    checkpoint(&path, &all);
    from(&path)
}

#[test]
fn every_value_comes_from_the_checkpoint() {
    let Outcome { world, error } = with(&NAMES);
    assert_eq!(error, "");
    for (parameter, value) in world.parameters().iter().zip(0..) {
        assert!(elements(&parameter.tensor).iter().all(|v| *v == f64::from(value)), "{}", parameter.name);
    }
    assert!(world.parameters().iter().filter(|p| p.trainable).all(|p| p.tensor.requires_grad()));
}

#[test]
fn a_missing_tensor_is_named_with_what_is_near() {
    let mut names = NAMES.to_vec();
    names[2].0 = "net.layers.1.map.weights";
    let text = with(&names).error;
    assert!(
        text.starts_with(
            "instance `m`: 1 of its parameters is not in the weights: `net.layers.1.map.weight` (near \
             `net.layers.1.map.weights`"
        ),
        "{text}"
    );
    let text = with(&NAMES[..1]).error;
    assert!(text.starts_with("instance `m`: 3 of its parameters are not in the weights: "), "{text}");
}

#[test]
fn a_tensor_of_another_shape_is_an_error() {
    let mut names = NAMES.to_vec();
    names[0].1 = &[2, 3];
    let text = with(&names).error;
    assert!(
        text.ends_with(
            "`net.layers.0.map.weight` has the shape [2, 3] in the weights and [2, 2] in the model"
        ),
        "{text}"
    );
}

#[test]
fn left_over_tensors_are_told_not_refused() {
    let mut names = NAMES.to_vec();
    names.push(("cls.predictions.bias", &[7]));
    let lines = common::logged(|| assert_eq!(with(&names).error, ""));
    assert!(lines.contains("the weights have tensors that nothing asked for"), "{lines}");
    assert!(lines.contains("cls.predictions.bias"), "{lines}");
}

#[test]
fn a_prefix_more_or_less_is_seen_through() {
    let more: Vec<(String, &[usize])> = NAMES.iter().map(|(n, s)| (format!("bert.{n}"), *s)).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("more.safetensors");
    let mut all: Vec<(&str, &[usize])> = more.iter().map(|(n, s)| (n.as_str(), *s)).collect();
    all.push(("bert.net.steps", &[1]));
    checkpoint(&path, &all);
    assert_eq!(from(&path).error, "");
    let less: Vec<(&str, &[usize])> = NAMES.iter().map(|(n, s)| (&n[4..], *s)).collect();
    let mut all = less;
    all.push(("steps", &[1]));
    checkpoint(&path, &all);
    assert_eq!(from(&path).error, "");
    // Two ways to read a name: only the exact one is safe.
    let twice: Vec<(String, &[usize])> = NAMES
        .iter()
        .flat_map(|(n, s)| [(format!("student.{n}"), *s), (format!("teacher.{n}"), *s)])
        .collect();
    let all: Vec<(&str, &[usize])> = twice.iter().map(|(n, s)| (n.as_str(), *s)).collect();
    checkpoint(&path, &all);
    assert!(from(&path).error.contains("5 of its parameters are not in the weights"));
}

#[test]
fn shards_are_read_by_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    checkpoint(&place("one.safetensors"), &NAMES[..2]);
    checkpoint(&place("two.safetensors"), &[NAMES[2], NAMES[3], ("net.steps", &[1])]);
    let index = |map: serde_json::Value| {
        let text = json!({ "weight_map": map }).to_string();
        std::fs::write(place("model.safetensors.index.json"), text).unwrap();
        from(folder.path()).error
    };
    assert_eq!(index(json!({ "a": "one.safetensors", "b": "two.safetensors" })), "");
    let text = index(json!({ "a": "one.safetensors", "b": "../two.safetensors" }));
    assert!(text.contains("the index names `../two.safetensors`, which is no file beside it"), "{text}");
    let text = index(json!({ "a": "one.safetensors", "b": "three.safetensors" }));
    assert!(text.contains("three.safetensors"), "{text}");
    checkpoint(&place("two.safetensors"), &NAMES);
    let text = index(json!({ "a": "one.safetensors", "b": "two.safetensors" }));
    assert!(text.contains("two of its files have a tensor `net.layers.0.map."), "{text}");
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut all = NAMES.to_vec();
    all.push(("net.steps", &[1]));
    checkpoint(&path, &all);
    let sound = std::fs::read(&path).unwrap();
    let spoilt = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let text = from(&path).error;
        assert!(text.contains("is no sound safetensors file: "), "{text}");
        text
    };
    for length in (0..sound.len()).step_by(7) {
        spoilt(&sound[..length]);
    }
    let mut longer = sound.clone();
    longer.push(0);
    assert!(spoilt(&longer).contains("bytes long and its header says"));
    let mut huge = sound.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(spoilt(&huge).contains("its header claims 18446744073709551615 bytes"));
    let mut nonsense = sound;
    nonsense[8] = b'[';
    spoilt(&nonsense);
    assert!(from(&folder.path().join("nothing")).error.contains("the weights `"));
    assert!(from(folder.path().parent().unwrap()).error.contains("has neither model.safetensors nor"));
}

#[test]
fn a_pickle_is_refused_with_the_way_to_convert_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    std::fs::write(&path, b"PK\x03\x04").unwrap();
    for weights in [folder.path(), &path] {
        let text = from(weights).error;
        assert!(
            text.contains("pytorch_model.bin is a pickle") && text.contains("torch.load('pytorch_model.bin'"),
            "{text}"
        );
    }
    // A zip file under another name.
    let other = folder.path().join("model.safetensors");
    std::fs::write(&other, b"PK\x03\x04").unwrap();
    assert!(from(&other).error.contains("is a pickle"));
    // Beside a safe file it does not matter.
    let mut all = NAMES.to_vec();
    all.push(("net.steps", &[1]));
    checkpoint(&other, &all);
    assert_eq!(from(folder.path()).error, "");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// Damaged headers are read or refused, never more.
    #[test]
    fn damaged_headers_never_panic(
        changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()), 1..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        checkpoint(&path, &NAMES);
        let mut bytes = std::fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for (at, value) in changes {
            let at = at.index(header);
            bytes[at] = value;
        }
        std::fs::write(&path, bytes).unwrap();
        let _ = from(&path);
    }
}

/// What is saved under names of one world fits a model of another name, as a checkpoint does.
#[test]
fn values_of_another_type_are_converted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let half: Vec<u8> = [0x3c00_u16, 0x4000, 0x4200, 0x4400].iter().flat_map(|v| v.to_le_bytes()).collect();
    let bias = [0_u8; 4];
    let steps = 5_i32.to_le_bytes();
    let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let tensors = [
        ("net.layers.0.map.weight", view(Dtype::F16, &[2, 2], &half[..])),
        ("net.layers.0.map.bias", view(Dtype::BF16, &[2], &bias[..])),
        ("net.layers.1.map.weight", view(Dtype::F16, &[2, 2], &half[..])),
        ("net.layers.1.map.bias", view(Dtype::BF16, &[2], &bias[..])),
        ("net.steps", view(Dtype::I32, &[1], &steps[..])),
    ];
    safetensors::serialize_to_file(tensors, None, &path).unwrap();
    let Outcome { world, error } = from(&path);
    assert_eq!(error, "");
    let parameters = world.parameters();
    assert_eq!(elements(&parameters[0].tensor), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(parameters[0].tensor.kind(), tch::Kind::Float);
    assert_eq!(elements(&parameters[4].tensor), [5.0]);
    assert_eq!(parameters[4].tensor.kind(), tch::Kind::Int64);
}
