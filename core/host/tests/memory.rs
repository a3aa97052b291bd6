//! The boundary under valgrind, in the slow suite: what is freed twice in a plugin's own code is named
//! with the plugin; what the host and well-behaved plugins do is sound.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{built, c_plugin, instance, ramp, registry, scope, seeded};
use serde_json::json;
use std::process::Command;
use zoo_host::Value;

/// What the child does under valgrind.
fn act(what: &str) {
    let x = Value::Tensor(ramp(&[2, 3]));
    if what == "sound" {
        let registry = registry(&[c_plugin(), built("zoo_probe")]).unwrap();
        let world = seeded(&registry, 1);
        let fit = world.create(&instance("fit", "c.scaled_squares", json!({}))).unwrap();
        world.call(fit, &scope("loss", 0), &[("predicted", &x), ("wanted", &x)]).unwrap();
        let error = world.create(&instance("bad", "c.scaled_squares", json!({ "start": -1.0 })));
        assert!(error.is_err());
        let numbers = world.create(&instance("numbers", "probe.numbers", json!({}))).unwrap();
        world.read(numbers, &scope("data", 0), &[1, 2]).unwrap();
        return;
    }
    let registry = registry(&[built("zoo_misbehaving")]).unwrap();
    let world = seeded(&registry, 1);
    let id = world.create(&instance("bad", "misbehaving.raw", json!({ "fault": what }))).unwrap();
    let _ = world.call(id, &scope("n", 0), &[("x", &x)]);
}

fn under_valgrind(what: &str) -> String {
    let output = Command::new("valgrind")
        .args(["--undef-value-errors=no", "--leak-check=no", "--error-limit=no", "--num-callers=6"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "the_boundary_is_sound_under_valgrind",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("ZOO_TEST_ACT", what)
        .output()
        .expect("valgrind is installed for the slow suite");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[ignore = "slow: runs libtorch under valgrind, a minute each"]
fn the_boundary_is_sound_under_valgrind() {
    if let Ok(what) = std::env::var("ZOO_TEST_ACT") {
        act(&what);
        return;
    }
    let text = under_valgrind("frees twice");
    assert!(text.contains("Invalid free()") && text.contains("zoo_misbehaving::raw::free_twice"), "{text}");
    for sound in ["sound", "says the same twice", "one text for two outputs", "its input's handle"] {
        let text = under_valgrind(sound);
        assert!(!text.contains("Invalid free()") && !text.contains("Invalid read"), "{sound}: {text}");
        assert!(!text.contains("Invalid write"), "{sound}: {text}");
    }
}
