//! The ABI as others see it: sizes and offsets, the C header, and the page that describes it. What
//! changes here changes for every plugin that exists.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::fmt::Write;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;
use support::{c_name, file, header, source, structs};

/// One struct: name, size, alignment, and of every field the name, offset and size.
type Layout = (&'static str, usize, usize, Vec<(&'static str, usize, usize)>);

macro_rules! layouts {
    ($($name:ident { $($field:tt),* })*) => {
        vec![$((
            stringify!($name),
            size_of::<zoo_abi::$name>(),
            align_of::<zoo_abi::$name>(),
            vec![$((stringify!($field), offset_of!(zoo_abi::$name, $field), field_size(|s: *const zoo_abi::$name| {
                // SAFETY: only the field's address is computed, never read.
                unsafe { &raw const (*s).$field }
            }))),*],
        )),*]
    };
}

fn field_size<S, F>(_: impl FnOnce(*const S) -> *const F) -> usize {
    size_of::<F>()
}

fn layouts() -> Vec<Layout> {
    layouts! {
        Str { ptr, len }
        Owned { ptr, len, cap, free }
        Tensor { 0 }
        List { ptr, len, free }
        Payload { tensor, int, real, bytes, list }
        Value { tag, reserved, payload }
        Error { code, reserved, message, help, at }
        Init { kind, reserved, a, b }
        ParamSpec { size, dtype, shape, dims, init, trainable }
        Host {
            size, major, minor, libtorch, log_enabled, log, param, asset, stage, site, random, current, mode,
            metric, artifact, cancelled, invoke, describe
        }
        Component { size, reserved, flags, name, schema_json, create, call, save, load, drop }
        Plugin { magic, size, major, minor, name, version, build_json, components, len }
    }
}

fn text(layouts: &[Layout]) -> String {
    let mut text = String::new();
    for (name, size, alignment, fields) in layouts {
        writeln!(text, "{name}: size {size}, alignment {alignment}").unwrap();
        for (field, offset, size) in fields {
            writeln!(text, "  {offset:>3} {field}: {size}").unwrap();
        }
    }
    text
}

/// Compares with a file of the repository, or writes it where `ZOO_BLESS` is set.
fn expect_file(path: &str, content: &str) {
    let place = file(path);
    if std::env::var_os("ZOO_BLESS").is_some() {
        std::fs::write(&place, content).unwrap();
    }
    let found = std::fs::read_to_string(&place).unwrap_or_default();
    assert!(
        found == content,
        "{path} is stale; look at the change with `ZOO_BLESS=1 cargo test -p zoo-abi` and `git diff`:\n{content}"
    );
}

fn current() -> String {
    format!("core/abi/layout/{}.{}.txt", zoo_abi::MAJOR, zoo_abi::MINOR)
}

#[test]
fn sizes_and_offsets_are_as_recorded() {
    expect_file(&current(), &text(&layouts()));
}

#[test]
fn every_struct_and_field_is_recorded() {
    let recorded: Vec<(String, Vec<String>)> = layouts()
        .into_iter()
        .map(|(name, _, _, fields)| {
            (name.to_owned(), fields.iter().map(|(f, _, _)| (*f).to_owned()).collect())
        })
        .collect();
    assert_eq!(recorded, structs());
}

/// A later minor version only appends: every line of an earlier one stands in it, in the same
/// place of the same struct.
#[test]
fn later_versions_only_append() {
    expect_file(&current(), &text(&layouts()));
    let parse = |text: &str| -> Vec<(String, Vec<String>)> {
        let mut structs: Vec<(String, Vec<String>)> = Vec::new();
        for line in text.lines() {
            match (line.starts_with(' '), structs.last_mut()) {
                (true, Some((_, fields))) => fields.push(line.to_owned()),
                _ => structs.push((line.split(':').next().unwrap().to_owned(), Vec::new())),
            }
        }
        structs
    };
    let now = parse(&text(&layouts()));
    let mut versions = 0;
    for entry in std::fs::read_dir(file("core/abi/layout")).unwrap() {
        let path = entry.unwrap().path();
        let released = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if !released.starts_with(&format!("{}.", zoo_abi::MAJOR)) {
            continue;
        }
        versions += 1;
        for (name, fields) in parse(&std::fs::read_to_string(&path).unwrap()) {
            let found = now.iter().find(|(n, _)| *n == name);
            let found = found.unwrap_or_else(|| panic!("{name} of ABI {released} is gone"));
            assert!(found.1.starts_with(&fields), "{name} is not what it was in ABI {released}");
        }
    }
    assert!(versions > 0);
}

#[test]
fn the_header_is_that_of_the_source() {
    expect_file("include/zoo_plugin.h", &header());
}

#[test]
fn the_page_describes_this_source() {
    let hash = blake3::hash(source().as_bytes()).to_hex().to_string();
    let page = std::fs::read_to_string(file("ABI.md")).unwrap();
    let line = format!("`core/abi/src/lib.rs`: `{hash}`");
    assert!(
        page.contains(&line),
        "the ABI's source has changed: bring ABI.md up to date, then put this line there:\n{line}"
    );
}

/// A C program that prints the layout that a C compiler makes of the header.
fn program() -> String {
    let mut code = String::from(
        "#include \"zoo_plugin.h\"\n#include <stdio.h>\n#include <stdalign.h>\nint main(void) {\n",
    );
    for (name, _, _, fields) in layouts() {
        let c = format!("Zoo{name}");
        writeln!(
            code,
            "  printf(\"{name}: size %zu, alignment %zu\\n\", sizeof({c}), (size_t)alignof({c}));"
        )
        .unwrap();
        for (field, _, _) in fields {
            if field == "0" {
                writeln!(code, "  printf(\"  %3zu 0: %zu\\n\", (size_t)0, sizeof({c}));").unwrap();
            } else {
                writeln!(
                    code,
                    "  printf(\"  %3zu {field}: %zu\\n\", offsetof({c}, {at}), sizeof((({c} *)0)->{at}));",
                    at = c_name(field),
                )
                .unwrap();
            }
        }
    }
    code.push_str(
        "  return ZOO_MAJOR == 1 && ZOO_MAGIC == 0x3147554c504f4f5aULL && ZOO_TAG_WANTED == 7 ? 0 : 1;\n}\n",
    );
    code
}

fn compile(compiler: &str, standard: &str, source: &Path, output: &Path) -> bool {
    let status = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(file("include"))
        .arg(source)
        .arg("-o")
        .arg(output)
        .status();
    status.unwrap_or_else(|e| panic!("{compiler}: {e}")).success()
}

#[test]
fn c_and_cpp_see_the_same_layout() {
    let folder = tempfile::tempdir().unwrap();
    for (compiler, standard, name) in [("cc", "-std=c11", "layout.c"), ("c++", "-std=c++17", "layout.cpp")] {
        let source = folder.path().join(name);
        let binary = folder.path().join(format!("{name}.out"));
        std::fs::write(&source, program()).unwrap();
        assert!(compile(compiler, standard, &source, &binary), "{compiler} refuses the header");
        let output = Command::new(&binary).output().unwrap();
        assert!(output.status.success(), "the constants of the header differ");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text(&layouts()), "{compiler}");
    }
}
