//! A plugin that breaks every rule, one fault at a time: each ends in an error that says plugin,
//! component, instance, step and what is wrong, and the process lives to print it.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{built, call, elements, instance, ramp, registry, scope, seeded, world};
use serde_json::json;
use std::path::PathBuf;
use tch::Tensor;
use tempfile::TempDir;
use zoo_host::{Value, WorldOptions};
use zoo_misbehaving::{SWITCH_LENGTH, SWITCH_MARK};

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).unwrap()
}

/// A copy of the plugin's file with changed bytes.
fn spoiled(change: impl FnOnce(&mut Vec<u8>)) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libzoo_misbehaving.so");
    let mut bytes = std::fs::read(built("zoo_misbehaving")).unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// A copy whose table has a fault.
fn switched(fault: &str) -> (TempDir, PathBuf) {
    assert!(fault.len() <= SWITCH_LENGTH);
    spoiled(|bytes| {
        let at = find(bytes, SWITCH_MARK) + SWITCH_MARK.len();
        bytes[at..at + fault.len()].copy_from_slice(fault.as_bytes());
    })
}

fn replace(bytes: &mut [u8], what: &str, with: &str) {
    assert_eq!(what.len(), with.len());
    let mut places = 0;
    for at in 0..bytes.len() - what.len() {
        if &bytes[at..at + what.len()] == what.as_bytes() {
            bytes[at..at + what.len()].copy_from_slice(with.as_bytes());
            places += 1;
        }
    }
    assert!(places > 0, "`{what}` is not in the file");
}

#[test]
fn faults_of_the_table_are_named() {
    let cases = [
        ("null table", "its entry `zoo_plugin_v1_zoo_misbehaving` gave no table"),
        (
            "magic",
            "its table does not begin with the magic number: 0x214f4f5a41544f4e instead of 0x3147554c504f4f5a",
        ),
        ("size", "its table says that it is 16 bytes long; ABI 1 needs 80"),
        ("major", "its table is of ABI 2.0, and this zoo has 1.0"),
        ("minor", "its table is of ABI 1.9, and this zoo has 1.0"),
        ("name", "the name in its table differs from the one in the file"),
        ("name with NUL", "the name in its table contains a NUL"),
        ("name not UTF-8", "the name in its table is not UTF-8"),
        ("name null", "the name in its table is a null pointer"),
        ("version", "the version in its table differs from the one in the file"),
        ("build facts", "the text of the build facts in its table differs from the one in the file"),
        ("component null", "component 1 in its table is null"),
        ("list null", "the list of components in its table is null"),
        ("component size", "its component 1 says that it is 40 bytes long; ABI 1 needs 88"),
        ("component name with NUL", "the name of component 1 in its table contains a NUL"),
        ("component twice", "it has two components of the name `misbehaving.raw`"),
        (
            "component missing",
            "`misbehaving.wrong_gradient`, which is missing there, in its table differs from the one in the file",
        ),
        (
            "component unknown",
            "the schema of `misbehaving.other` in its table differs from the one in the file",
        ),
        ("schema differs", "the schema of `misbehaving.raw` in its table differs from the one in the file"),
        ("call null", "`call` of component 1 in its table is null"),
    ];
    for (fault, expected) in cases {
        let (_folder, path) = switched(fault);
        let error = registry(std::slice::from_ref(&path)).unwrap_err();
        let expected =
            format!("plugin {} cannot be loaded: {expected}", path.canonicalize().unwrap().display());
        assert_eq!(error.to_string(), expected, "{fault}");
    }
    let (_folder, path) = switched("");
    assert_eq!(registry(&[path]).unwrap().schemas().count(), 11);
}

/// Files that are refused before a line of them runs.
#[test]
fn faults_of_the_file_are_named() {
    type Change = Box<dyn Fn(&mut Vec<u8>)>;
    let cases: [(&str, Change, &str); 5] = [
        (
            "another libtorch",
            Box::new(|b| replace(b, "\"libtorch\":\"2.11.0\"", "\"libtorch\":\"2.10.0\"")),
            "it was built for another libtorch: 2.10.0, and this zoo has 2.11.0",
        ),
        (
            "panic = abort",
            Box::new(|b| replace(b, "\"panic\":\"unwind\"", "\"panic\":\"abort\" ")),
            "it was built with `panic = \"abort\"`, so that any panic in it would end the whole process",
        ),
        (
            "ABI 2",
            Box::new(|b| replace(b, "\"abi\":\"1.0\"", "\"abi\":\"2.0\"")),
            "it was built for ABI 2.0, and this zoo has 1.0",
        ),
        (
            "schema not JSON",
            Box::new(|b| replace(b, "{\"name\":\"misbehaving.sdk\"", "[\"name\":\"misbehaving.sdk\"")),
            "is wrong: expected `,` or `]` at line 1 column 8",
        ),
        (
            "schema of two names",
            Box::new(|b| replace(b, "\"name\":\"misbehaving.sdk\"", "\"name\":\"misbehaving.raw\"")),
            "it has two components of the name `misbehaving.raw`",
        ),
    ];
    for (fault, change, expected) in cases {
        // The table's fault would be seen first if the file were opened.
        let (_folder, path) = spoiled(|bytes| {
            let at = find(bytes, SWITCH_MARK) + SWITCH_MARK.len();
            bytes[at..at + 5].copy_from_slice(b"magic");
            change(bytes);
        });
        let text = registry(&[path]).unwrap_err().to_string();
        assert!(text.ends_with(expected), "{fault}: {text}");
    }
    let (_folder, path) = spoiled(|bytes| bytes.truncate(bytes.len() / 2));
    let text = registry(&[path]).unwrap_err().to_string();
    assert!(text.contains("the file is damaged or cut off"), "{text}");
}

#[test]
fn a_file_that_changed_since_the_check_is_refused() {
    let plugin = zoo_host::PluginPath { path: built("zoo_misbehaving"), hash: Some("00".repeat(32)) };
    let text = zoo_host::Registry::load(&[plugin]).unwrap_err().to_string();
    assert!(text.contains("the file has changed since it was checked: its hash is"), "{text}");
}

#[test]
fn a_component_of_another_plugin_is_not_replaced() {
    let (_folder, copy) = switched("");
    let text = registry(&[built("zoo_misbehaving"), copy]).unwrap_err().to_string();
    assert!(text.contains("is already that of"), "{text}");
}

fn create_fault(component: &str, fault: &str) -> String {
    let registry = registry(&[built("zoo_misbehaving")]).unwrap();
    let world = seeded(&registry, 1);
    let error = world.create(&instance("bad", component, json!({ "fault": fault }))).unwrap_err();
    // Nothing of it stays: a sound instance of the same name is made.
    assert!(world.parameters().is_empty(), "{fault}");
    world.create(&instance("bad", component, json!({}))).unwrap();
    error.to_string()
}

#[test]
fn faults_of_create_are_named() {
    let sdk = "`bad` (misbehaving.sdk of plugin zoo-misbehaving), create: ";
    let cases = [
        ("create fails", "no such fault (at `fault`)"),
        ("parameter without a size", "parameter `weight`: the shape [-1] makes no sense"),
        ("parameter twice", "parameter `weight`: it is asked for twice"),
        ("parameter name with NUL", "the name of a parameter contains a NUL"),
        ("trained integers", "parameters of type Int8 are not supported"),
        ("stage fails", "the stage has no space (at `fault`)"),
        ("asset is missing", "/nowhere/at/all.txt: No such file or directory (os error 2)"),
    ];
    for (fault, expected) in cases {
        assert_eq!(create_fault("misbehaving.sdk", fault), format!("{sdk}{expected}"), "{fault}");
    }
    let text = create_fault("misbehaving.sdk", "create panics");
    assert!(text.starts_with(&format!("{sdk}it panicked: create went wrong (")), "{text}");
    assert!(text.contains("sdk.rs:") && !text.contains("two lines"), "{text}");
    let text = create_fault("misbehaving.sdk", "stage panics");
    assert!(text.starts_with(&format!("{sdk}it panicked: the stage went wrong (")), "{text}");

    let raw = "`bad` (misbehaving.raw of plugin zoo-misbehaving), create: ";
    let cases = [
        ("create gives null", "it answered that it is there, but gave no instance"),
        ("create fails silently", "it failed without saying why"),
        ("create status 99", "it answered with status 99, which the ABI does not know"),
        ("create says nonsense", "not \u{fffd}\u{fffd} UTF-8"),
    ];
    for (fault, expected) in cases {
        assert_eq!(create_fault("misbehaving.raw", fault), format!("{raw}{expected}"), "{fault}");
    }
}

/// Calls until the fault shows; in a paranoid world.
fn call_fault(component: &str, fault: &str, calls: u64) -> zoo_host::Error {
    let registry = registry(&[built("zoo_misbehaving")]).unwrap();
    let world = world(&registry, WorldOptions { paranoid: true, ..WorldOptions::default() });
    let id = world.create(&instance("bad", component, json!({ "fault": fault }))).unwrap();
    let x = ramp(&[2, 3]);
    for update in 0..calls - 1 {
        drop(call(&world, id, &scope("twice", update), &x, "y").unwrap());
    }
    let error = call(&world, id, &scope("twice", calls - 1), &x, "y").unwrap_err();
    // The process works on: gradients as they were, and libtorch without an error to read.
    let y = x.set_requires_grad(true).square().sum(tch::Kind::Float);
    assert!(y.requires_grad(), "{fault} left gradients off");
    error
}

#[test]
fn faults_of_a_call_are_named() {
    let sdk = "`bad` (misbehaving.sdk of plugin zoo-misbehaving), step `fit`, `twice`, update 0, call: ";
    let cases = [
        ("fails", "x is not to its liking (at `in.x`)"),
        ("cancelled", "stopped, as the run was asked to"),
        (
            "wrong rank",
            "output `y` is a tensor of Float [1, 2, 3] (3 dimensions); its schema says `float[B, N]`",
        ),
        (
            "wrong size",
            "output `y` is a tensor of Float [2, 2] (2 where `N` is 3); its schema says `float[B, N]`",
        ),
        ("wrong type", "output `y` is a tensor of Int64 [2, 3]; its schema says `float[B, N]`"),
        ("odd type", "output `y` is a tensor of Int [2, 3]; its schema says `float[B, N]`"),
        ("writes into its input", "it changed its input `x` in place"),
        ("not a number", "output `y` has 6 values that are no number (NaN)"),
    ];
    for (fault, expected) in cases {
        assert_eq!(
            call_fault("misbehaving.sdk", fault, 1).to_string(),
            format!("{sdk}{expected}"),
            "{fault}"
        );
    }
    let begins = [
        ("panics", "it panicked: call went wrong ("),
        ("panics without gradients", "it panicked: with gradients off ("),
        ("panics in libtorch", "it panicked: libtorch: size mismatch, got input (2), mat (2x3), vec (7) ("),
        ("libtorch raises", "libtorch: "),
        ("leaves an error unread", "libtorch: an error of libtorch was left unread: "),
        ("changes threads", "it changed the number of threads of the whole process from "),
    ];
    for (fault, expected) in begins {
        let text = call_fault("misbehaving.sdk", fault, 1).to_string();
        assert!(text.starts_with(&format!("{sdk}{expected}")), "{fault}: {text}");
        assert_eq!(text.lines().count(), 1, "{fault}: {text}");
        assert!(!text.contains("frame #"), "{fault}: {text}");
    }

    let raw = "`bad` (misbehaving.raw of plugin zoo-misbehaving), step `fit`, `twice`, update 0, call: ";
    let cases = [
        ("status 99", "it answered with status 99, which the ABI does not know"),
        ("fails silently", "it failed without saying why"),
        ("says nonsense", "\u{fffd}\u{fffd} nonsense"),
        ("says the same twice", "the same words"),
        ("unknown tag", "output `y` has the tag 77, which the ABI does not know"),
        ("null tensor", "output `y` is a tensor with a null handle"),
        ("undefined tensor", "output `y` is an undefined tensor"),
        (
            "its input's handle",
            "output `y` is a handle that was lent to it, or given twice, not a tensor of its own",
        ),
        ("null bytes", "output `note` has bytes at a null pointer"),
        ("endless bytes", "output `note` has bytes of an impossible length"),
        ("one text for two outputs", "output `other` is given twice"),
        ("a text for a tensor", "output `y` is a blob; its schema says `float[B, N]`"),
        ("a list of lists", "output `y` is a list of lists"),
        ("makes a context up", "the context is not, or no longer, valid"),
        ("uses a context of another call", "the context is not, or no longer, valid"),
        ("asks for a parameter", "parameters can be asked for only while an instance is created"),
        ("calls a stranger", "handle 1 is none of its references"),
    ];
    for (fault, expected) in cases {
        assert_eq!(
            call_fault("misbehaving.raw", fault, 1).to_string(),
            format!("{raw}{expected}"),
            "{fault}"
        );
    }
}

#[test]
fn an_output_that_is_wanted_and_not_there_is_named() {
    let registry = registry(&[built("zoo_misbehaving")]).unwrap();
    let world = seeded(&registry, 1);
    let id = world.create(&instance("bad", "misbehaving.raw", json!({ "fault": "no output" }))).unwrap();
    let x = Value::Tensor(ramp(&[1, 1]));
    // All its outputs are optional: one that is not wanted by name may be absent.
    assert!(world.call(id, &scope("twice", 0), &[("x", &x)]).unwrap().get("y").is_none());
    let wanted = zoo_host::Wanted::Only(vec!["y".to_owned()].into());
    let error =
        world.call(id, &zoo_host::CallScope { wanted, ..scope("twice", 0) }, &[("x", &x)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`bad` (misbehaving.raw of plugin zoo-misbehaving), step `fit`, `twice`, update 0, call: it answered that all \
         is well, but gave no output `y`"
    );
}

#[test]
fn a_component_that_panicked_is_not_called_again() {
    let registry = registry(&[built("zoo_misbehaving")]).unwrap();
    let world = seeded(&registry, 1);
    let fault = json!({ "fault": "panics on the second call" });
    let id = world.create(&instance("bad", "misbehaving.sdk", fault.clone())).unwrap();
    let other = world.create(&instance("other", "misbehaving.sdk", fault)).unwrap();
    let x = ramp(&[1, 2]);
    assert_eq!(elements(&call(&world, id, &scope("n", 0), &x, "y").unwrap()), [0.0, 2.0]);
    let text = call(&world, id, &scope("n", 1), &x, "y").unwrap_err().to_string();
    assert!(text.contains("update 1, call: it panicked: call 2 went wrong ("), "{text}");
    for update in 2..4 {
        let text = call(&world, id, &scope("n", update), &x, "y").unwrap_err().to_string();
        assert!(text.ends_with("call: it panicked earlier and is not called again"), "{text}");
    }
    let text = world.save(id).unwrap_err().to_string();
    assert!(text.ends_with("save: it panicked earlier and is not called again"), "{text}");
    // Only the instance is dead, not the component.
    drop(call(&world, other, &scope("n", 0), &x, "y").unwrap());
}

#[test]
fn faults_of_saving_are_named() {
    let registry = registry(&[built("zoo_misbehaving")]).unwrap();
    let world = seeded(&registry, 1);
    let make = |fault: &str, component: &str| {
        world.create(&instance(fault, component, json!({ "fault": fault }))).unwrap()
    };
    let text = world.save(make("save fails", "misbehaving.sdk")).unwrap_err().to_string();
    assert!(text.ends_with("save: it cannot be saved"), "{text}");
    let text = world.save(make("save panics", "misbehaving.sdk")).unwrap_err().to_string();
    assert!(text.contains("save: it panicked: save went wrong ("), "{text}");
    let text = world.save(make("saves nothing", "misbehaving.raw")).unwrap_err().to_string();
    assert!(text.ends_with("save: output `state` is a null pointer with a length"), "{text}");
    let sound = make("none", "misbehaving.sdk");
    let text = world.load(sound, b"short").unwrap_err().to_string();
    assert!(text.ends_with("load: a saved state has eight bytes"), "{text}");
    let text = world.load(make("raw", "misbehaving.raw"), b"x").unwrap_err().to_string();
    assert!(text.contains("it has a saved state and does not take it back"), "{text}");
}

/// A forgotten guard is put right, with a warning that names the plugin, once.
#[test]
fn gradients_left_off_are_put_right() {
    let registry = registry(&[built("zoo_misbehaving")]).unwrap();
    let x = ramp(&[1, 2]);
    let lines = common::logged(|| {
        let world = seeded(&registry, 1);
        let created = json!({ "fault": "leaves gradients off in create" });
        world.create(&instance("made", "misbehaving.sdk", created)).unwrap();
        assert!(gradients_on());
        let fault = json!({ "fault": "leaves gradients off" });
        let id = world.create(&instance("bad", "misbehaving.sdk", fault)).unwrap();
        for update in 0..3 {
            drop(call(&world, id, &scope("n", update), &x, "y").unwrap());
            assert!(gradients_on());
        }
    });
    let warnings: Vec<_> =
        lines.lines().filter(|l| l.contains("it left the gradient mode changed")).collect();
    assert_eq!(warnings.len(), 1, "{lines}");
    assert!(warnings[0].contains("zoo-misbehaving") && warnings[0].contains("misbehaving.sdk"), "{lines}");
}

fn gradients_on() -> bool {
    Tensor::from_slice(&[1.0_f32]).set_requires_grad(true).square().requires_grad()
}

/// Each library has its own `tracing`; the SDK forwards it.
#[test]
fn messages_of_a_plugin_arrive() {
    let registry = registry(&[built("zoo_misbehaving")]).unwrap();
    let lines = common::logged(|| {
        let world = seeded(&registry, 1);
        let id = world.create(&instance("bad", "misbehaving.sdk", json!({ "fault": "logs" }))).unwrap();
        drop(call(&world, id, &scope("n", 0), &ramp(&[5, 1]), "y").unwrap());
    });
    let line = lines.lines().find(|l| l.contains("the message of a plugin")).unwrap_or_default();
    assert!(line.contains("WARN") && line.contains("zoo-misbehaving"), "{lines}");
    assert!(line.contains("zoo_misbehaving::sdk") && line.contains("\\\"rows\\\":5"), "{lines}");
}
