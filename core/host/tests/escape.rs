//! What no guard can hold ends the process with a message, before anything goes on in a broken state.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{instance, ramp, registry, repository, scope, seeded};
use serde_json::json;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

/// A variant of the plugin in C, as C++, whose call throws.
fn throwing(folder: &std::path::Path) -> PathBuf {
    let source = std::fs::read_to_string(repository("tests/plugins/c/zoo_c.c")).unwrap();
    let marker = "    int64_t count = 0;\n";
    assert!(source.contains(marker));
    let thrower = folder.join("throw.cpp");
    std::fs::write(&thrower, "extern \"C\" void throw_it() { throw 42; }\n").unwrap();
    let changed = source
        .replace(marker, &format!("    throw_it();\n{marker}"))
        .replace("static const ZooHost *host;", "static const ZooHost *host;\nextern void throw_it(void);");
    let c = folder.join("zoo_c.c");
    std::fs::write(&c, changed).unwrap();
    let path = folder.join("libzoo_c.so");
    let object = folder.join("zoo_c.o");
    let target = format!("-DZOO_TARGET=\"{}\"", zoo_discovery::Here::default().target);
    let include = format!("-I{}", repository("include").display());
    let run = |command: &mut Command| assert!(command.status().unwrap().success());
    run(Command::new("cc")
        .args(["-c", "-fPIC", "-fexceptions", &target, &include, "-o"])
        .arg(&object)
        .arg(&c));
    run(Command::new("c++").args(["-shared", "-fPIC", "-o"]).arg(&path).arg(&object).arg(&thrower));
    path
}

#[test]
fn an_exception_that_leaves_a_plugin_ends_the_process_with_a_message() {
    if let Some(path) = std::env::var_os("ZOO_TEST_THROWING") {
        let registry = registry(&[PathBuf::from(path)]).unwrap();
        let world = seeded(&registry, 1);
        let id = world.create(&instance("fit", "c.scaled_squares", json!({}))).unwrap();
        let x = zoo_host::Value::Tensor(ramp(&[1, 1]));
        let _ = world.call(id, &scope("loss", 0), &[("predicted", &x), ("wanted", &x)]);
        eprintln!("it went on");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_exception_that_leaves_a_plugin_ends_the_process_with_a_message", "--nocapture"])
        .env("ZOO_TEST_THROWING", throwing(folder.path()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{text}");
    assert!(!text.contains("it went on"), "{text}");
    assert!(
        text.contains("terminat") || text.contains("cannot unwind") || text.contains("foreign exception"),
        "{text}"
    );
}
