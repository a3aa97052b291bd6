//! Plugins in reach and what is explained of them, on the built program.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, files, plugin};
use serde_json::json;
use std::fs;

#[test]
fn a_component_is_explained() {
    let place = Place::new();
    let plugins = ["--plugin", "recipes/plugins"];
    let page = |subject: &str| golden(&place.zoo(&["explain", subject, plugins[0], plugins[1]]));
    insta::assert_snapshot!("explain_component", page("toy.rows"));
    insta::assert_snapshot!("explain_optimizer", page("toy.adam"));
    insta::assert_snapshot!("explain_plugin", page("zoo-toy"));
    insta::assert_snapshot!("explain_kind", page("objective"));
    insta::assert_snapshot!("explain_code", page("z304"));
    for alias in ["toy", "rows"] {
        assert!(page(alias).starts_with("code 0"), "{alias}");
    }
    for (wrong, near) in [("toy.rwos", "toy.rows"), ("networc", "toy.network"), ("zoo-toi", "zoo-toy")] {
        let text = page(wrong);
        assert!(text.starts_with("code 2") && text.contains(&format!("`zoo explain {near}`")), "{text}");
    }
    let json = place.zoo(&["explain", "toy.network", "--json", plugins[0], plugins[1]]).json();
    assert_eq!(json["kind"], "architecture");
    let schema = place.zoo(&["schema", plugins[0], plugins[1]]).json();
    assert_eq!(schema.as_array().unwrap().len(), common::components().len());
}

#[test]
fn every_place_is_searched() {
    let place = Place::new();
    let toy = |name: &str| plugin_named(name);
    files::write(&place.path("bin"), "zoo-beside", &toy("zoo-beside"));
    files::write(&place.path("path"), "zoo-path", &toy("zoo-path"));
    files::write(&place.path("home/.local/share/zoo/plugins"), "zoo-user", &toy("zoo-user"));
    let named = files::write(&place.path("else"), "zoo-named", &toy("zoo-named"));
    let words = ["plugin", "list", "recipes/toy.mlm", "--json", "--plugin", named.to_str().unwrap()];
    let output = place.command(&words).env("ZOO_PLUGIN_PATH", place.path("path")).output().unwrap();
    let list = place.answer(&output).json();
    let names: Vec<&str> =
        list["plugins"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["zoo-beside", "zoo-named", "zoo-path", "zoo-toy", "zoo-user"]);
}

fn plugin_named(name: &str) -> Vec<u8> {
    let component = format!("{}.nothing", name.trim_start_matches("zoo-"));
    files::plugin(name, &[&component])
}

#[test]
fn the_doctor_says_why_a_file_is_refused() {
    let place = Place::new();
    let mut facts = files::facts("zoo-old");
    facts["abi"] = json!("0.9");
    files::write(&place.path("recipes/plugins"), "zoo-old", &plugin(&facts));
    fs::write(place.path("recipes/plugins/libzoo_cut.so"), b"\x7fELF").unwrap();
    let answer = place.zoo(&["plugin", "doctor", "recipes/toy.mlm"]);
    assert_eq!(answer.code, 1);
    // What this zoo was built by is another on every machine.
    let text: String = answer
        .out
        .lines()
        .filter(|line| !line.contains("rustc") && !line.contains("BLAKE3"))
        .map(|line| format!("{line}\n"))
        .collect();
    insta::assert_snapshot!("doctor", text);
    let json = place.zoo(&["plugin", "doctor", "recipes/toy.mlm", "--json"]).json();
    assert_eq!(json["refused"].as_array().unwrap().len(), 2);
    assert_eq!(json["plugins"][0]["blake3"].as_str().unwrap().len(), 64);

    // A recipe that needs it is told the same at the place.
    place.recipe_with("use plugin \"zoo-toy\"", "use plugin \"zoo-old\"\nuse plugin \"zoo-toy\"");
    let check = place.zoo(&["check", "recipes/toy.mlm"]);
    assert!(check.code == 2 && check.err.contains("error[Z0110]"), "{}", check.all());
}

#[test]
fn what_came_with_a_recipe_is_loaded_once_it_is_allowed() {
    let place = Place::new();
    let file = "recipes/plugins/libzoo_toy.so";
    assert_eq!(place.zoo(&["check", "recipes/toy.mlm"]).code, 0);
    let list = place.zoo(&["plugin", "allow", "--json"]).json();
    assert!(list[0]["path"].as_str().unwrap().ends_with(file) && list.as_array().unwrap().len() == 1);
    assert_eq!(place.zoo(&["plugin", "allow", "--forget", file]).code, 0);
    let check = place.zoo(&["check", "recipes/toy.mlm"]);
    assert_eq!(check.code, 2);
    for part in [
        "error[Z0110]",
        "it lies beside the recipe and was never allowed; its BLAKE3 is ",
        "zoo plugin allow recipes/plugins/libzoo_toy.so",
    ] {
        assert!(check.err.contains(part), "{part}: {}", check.err);
    }
    // Naming the file allows it for this call.
    assert_eq!(place.zoo(&["check", "recipes/toy.mlm", "--plugin", file]).code, 0);
    assert_eq!(place.zoo(&["check", "recipes/toy.mlm"]).code, 2);
    place.allow("zoo-toy");
    // Another file in its place is another matter.
    let mut facts = files::facts("zoo-toy");
    facts["version"] = json!("0.9.9");
    files::write(&place.path("recipes/plugins"), "zoo-toy", &plugin(&facts));
    let check = place.zoo(&["check", "recipes/toy.mlm"]);
    assert!(check.err.contains("is not the file that was allowed"), "{}", check.err);
    for (words, part) in [
        (&["plugin", "allow", "nowhere.so"][..], "there is no `nowhere.so`"),
        (&["plugin", "allow", "recipes/toy.mlm"], "cannot be loaded"),
        (&["plugin", "allow", "--forget", "recipes/toy.mlm"], "is not on the list"),
        (&["plugin", "allow", "--forget"], "PATH"),
    ] {
        let answer = place.zoo(words);
        assert!(answer.code == 2 && answer.err.contains(part), "{words:?}: {}", answer.all());
    }
}

#[test]
fn without_plugins_it_is_said_where_they_are_looked_for() {
    let place = Place::new();
    fs::remove_dir_all(place.path("recipes/plugins")).unwrap();
    let answer = place.zoo(&["plugin", "list"]);
    assert_eq!(answer.out, "No plugin is in reach; `zoo plugin doctor` says where they are looked for.\n");
    let check = place.zoo(&["check", "recipes/toy.mlm", "--short"]);
    assert!(check.out.contains("error[Z0101]: there is no plugin `zoo-toy` in reach"), "{}", check.out);
}

#[test]
fn a_new_plugin_needs_a_name_and_an_empty_folder() {
    let place = Place::new();
    let answer = place.zoo(&["plugin", "new", "my-own", "--kind", "tool"]);
    assert_eq!(answer.code, 0, "{}", answer.all());
    assert!(answer.out.contains("cd zoo-my-own\n  zoo plugin test .\n"), "{}", answer.all());
    for file in
        ["Cargo.toml", "src/lib.rs", "tests/component.rs", "recipes/problems.jsonl", ".cargo/config.toml"]
    {
        assert!(place.path("zoo-my-own").join(file).is_file(), "{file}");
    }
    for (words, part) in [
        (&["plugin", "new", "my-own", "--kind", "tool"][..], "`zoo-my-own` is not empty"),
        (&["plugin", "new", "text", "--kind", "tool"], "zoo-text is a part of zoo itself"),
        (&["plugin", "new", "other", "--kind", "tool", "--sdk", "recipes"], "no clone of zoo"),
        (&["plugin", "test", "recipes"], "there is no Cargo.toml"),
        (&["plugin", "test", "nowhere"], "there is no `nowhere`"),
    ] {
        let answer = place.zoo(words);
        assert!(answer.code == 2 && answer.err.contains(part), "{words:?}: {}", answer.all());
    }
    assert!(!place.path("zoo-text").exists() && !place.path("zoo-other").exists());
}

/// The output of the commands about plugins, with what differs between machines taken out.
fn golden(answer: &common::Answer) -> String {
    let hash = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let line = |line: &str| match line.split_whitespace().find(|word| hash(word)) {
        Some(word) => line.replace(word, "[hash]"),
        None => line.to_owned(),
    };
    let lines = answer.all();
    let lines = lines.lines().filter(|line| !line.contains(", rustc"));
    lines.map(|text| format!("{}\n", line(text))).collect()
}

/// Each way in which two plugins can be in each other's way: what list, doctor and check say of it.
#[test]
fn plugins_in_each_others_way_are_named() {
    let place = Place::new();
    fs::remove_dir_all(place.path("recipes/plugins")).unwrap();
    place.write(
        "recipe.mlm",
        "mlm 1\n\nuse plugin \"zoo-copied\"\nuse plugin \"zoo-differs\"\n\nobjective loss = one.shared()\n",
    );
    let mut newer = files::facts("zoo-differs");
    newer["version"] = json!("0.4.0");
    let newer = files::elf(&files::sections(&newer, &[files::schema("differs.nothing")]));
    for (folder, name, bytes) in [
        ("path", "zoo-copied", plugin_named("zoo-copied")),
        ("home/.local/share/zoo/plugins", "zoo-copied", plugin_named("zoo-copied")),
        ("path", "zoo-differs", plugin_named("zoo-differs")),
        ("home/.local/share/zoo/plugins", "zoo-differs", newer),
        ("path", "zoo-one", files::plugin("zoo-one", &["one.alone", "one.shared"])),
        ("home/.local/share/zoo/plugins", "zoo-two", files::plugin("zoo-two", &["one.shared", "two.alone"])),
        ("path", "zoo-twice", files::plugin("zoo-twice", &["twice.x", "twice.x"])),
        ("path", "zoo-good", plugin_named("zoo-good")),
    ] {
        files::write(&place.path(folder), name, &bytes);
    }
    // One file by two ways is no fault.
    std::os::unix::fs::symlink(
        place.path("path/libzoo_good.so"),
        place.path("home/.local/share/zoo/plugins/libzoo_good.so"),
    )
    .unwrap();
    let zoo = |words: &[&str]| {
        let output = place.command(words).env("ZOO_PLUGIN_PATH", place.path("path")).output().unwrap();
        place.answer(&output)
    };
    insta::assert_snapshot!("clashes_list", golden(&zoo(&["plugin", "list"])));
    insta::assert_snapshot!("clashes_doctor", golden(&zoo(&["plugin", "doctor"])));
    insta::assert_snapshot!("clashes_check", golden(&zoo(&["check", "recipe.mlm"])));
    let refused = zoo(&["explain", "one.shared"]);
    assert!(refused.code == 2 && refused.err.contains("`one.shared` is out of reach"), "{}", refused.all());

    // What the user names is taken, and the others are no hindrance.
    let words = ["plugin", "list", "--json", "--plugin", "path/libzoo_one.so"];
    let list = zoo(&words).json();
    let taken = |list: &serde_json::Value, name: &str| {
        list["plugins"].as_array().unwrap().iter().find(|p| p["name"] == name).cloned()
    };
    let one = taken(&list, "zoo-one").unwrap();
    assert_eq!(one["found_in"], "named with --plugin");
    assert_eq!((one["abi"].as_str(), one["libtorch"].as_str()), (Some("1.0"), Some("2.11.0")));
    assert_eq!(one["blake3"].as_str().unwrap().len(), 64);
    assert_eq!(one["components"], json!(["one.alone", "one.shared"]));
    assert!(taken(&list, "zoo-two").is_none());
    let two = list["refused"].as_array().unwrap().iter().find(|r| r["name"] == "zoo-two").unwrap();
    assert!(two["reason"].as_str().unwrap().contains("`one.shared` is also in path/libzoo_one.so"), "{two}");
    assert_eq!(two["components"], json!(["one.shared", "two.alone"]));
}

#[test]
fn versions_are_held_against_what_is_installed() {
    let place = Place::new();
    for (range, code) in [
        ("\">=0.3, <0.4\"", 0),
        ("\"0.3.1\"", 0),
        ("\"^0.3\"", 0),
        ("\"=0.3.0\"", 2),
        ("\">=0.4\"", 2),
        ("\"<0.3.1\"", 2),
        ("\"0.3 or later\"", 2),
    ] {
        place.recipe_with("\">=0.3, <0.4\"", range);
        let answer = place.zoo(&["check", "recipes/toy.mlm", "--short"]);
        assert_eq!(answer.code, code, "{range}: {}", answer.all());
        assert_eq!(answer.out.contains("error[Z0102]"), code == 2, "{range}: {}", answer.all());
    }
}

/// Ten plugins of ten megabytes with fifty components. The best of several calls, as the machine may be
/// busy; in release builds a check takes a fraction of what is allowed here.
#[test]
fn ten_plugins_with_fifty_components_are_checked_at_once() {
    let place = Place::new();
    for plugin in 0..10 {
        let name = format!("zoo-many{plugin}");
        let schemas: Vec<String> = (0..5)
            .map(|number| {
                // As large as a real one.
                let mut schema = common::components()[number].clone();
                schema["name"] = json!(format!("many{plugin}.{number}"));
                schema.to_string()
            })
            .map(|text| text.replace(".0\"", ".rows\"").replace(".1\"", ".net\"").replace(".2\"", ".loss\""))
            .map(|text| text.replace(".3\"", ".share\"").replace(".4\"", ".descent\""))
            .collect();
        let mut parts = files::sections(&files::facts(&name), &schemas);
        parts.insert(0, (".text", vec![plugin; 10 << 20]));
        files::write(&place.path("home/.local/share/zoo/plugins"), &name, &files::elf(&parts));
    }
    let list = place.zoo(&["plugin", "list", "--json"]).json();
    assert_eq!(
        (list["plugins"].as_array().unwrap().len(), list["refused"][0].is_null()),
        (10, true),
        "{list:#}"
    );
    place.recipe_with("model net = toy.network", "model net = many7.net");
    let answer = place.zoo(&["check", "recipes/toy.mlm"]);
    assert_eq!(answer.code, 0, "{}", answer.all());
    let best = (0..9)
        .map(|_| {
            let begun = std::time::Instant::now();
            assert_eq!(place.zoo(&["check", "recipes/toy.mlm", "--profile", "mini"]).code, 0);
            begun.elapsed()
        })
        .min()
        .unwrap();
    println!("`zoo check` with ten plugins and fifty components: {best:?}");
    let allowed = if cfg!(debug_assertions) { 150 } else { 30 };
    assert!(best < std::time::Duration::from_millis(allowed), "{best:?}");
}
