//! Where plugins are found, and which of two is taken.

#![allow(clippy::unwrap_used)]

mod common;

use common::{elf, facts, plugin, schema, sections, write};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use zoo_discovery::{Allowed, Hashes, Options, Reason, Source, discover};

struct Places {
    _folder: tempfile::TempDir,
    root: PathBuf,
    options: Options,
}

/// Every place, each in a folder of its own.
fn places() -> Places {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let options = Options {
        recipe_folder: Some(root.join("recipes")),
        path: vec![root.join("path1"), root.join("path2")],
        user: Some(root.join("user")),
        program: Some(root.join("bin")),
        cache: Some(root.join("cache")),
        allowed: Some(root.join("config/allowed-plugins.json")),
        ..Options::default()
    };
    Places { _folder: folder, root, options }
}

#[test]
fn every_place_is_searched() {
    let mut p = places();
    for (i, place) in ["recipes/plugins", "path1", "path2", "user", "bin"].iter().enumerate() {
        let name = format!("zoo-p{i}");
        write(&p.root.join(place), &name, &plugin(&name, &[&format!("p{i}.x")]));
    }
    p.options.named.push(write(&p.root.join("mine"), "zoo-named", &plugin("zoo-named", &["named.x"])));
    allow(&p, &p.root.join("recipes/plugins/libzoo_p0.so"));
    let found = discover(&p.options);
    assert!(found.refused.is_empty(), "{:?}", found.refused);
    let names: Vec<_> = found.plugins.iter().map(|p| (p.build.name.as_str(), p.source)).collect();
    assert_eq!(
        names,
        [
            ("zoo-named", Source::Named),
            ("zoo-p0", Source::BesideRecipe),
            ("zoo-p1", Source::Path),
            ("zoo-p2", Source::Path),
            ("zoo-p3", Source::User),
            ("zoo-p4", Source::Program),
        ]
    );
    assert_eq!(found.component("p2.x").unwrap().0.build.name, "zoo-p2");
    assert_eq!(found.searched.len(), 5);
}

fn allow(p: &Places, file: &Path) {
    let hash = Hashes::default().of(file).unwrap();
    Allowed::read(p.options.allowed.as_deref()).unwrap().allow(file, &hash).unwrap();
}

#[test]
fn what_came_with_a_recipe_is_taken_once_it_is_allowed() {
    let p = places();
    let file = write(&p.root.join("recipes/plugins"), "zoo-a", &plugin("zoo-a", &["a.x"]));
    let refused = |changed_then: bool| {
        let found = discover(&p.options);
        assert!(found.plugins.is_empty());
        let reason = &found.refused("zoo-a").unwrap().reason;
        assert!(matches!(reason, Reason::NotAllowed { changed, .. } if *changed == changed_then), "{reason}");
        assert!(reason.help("zoo-a").unwrap().contains(&format!("zoo plugin allow {}", file.display())));
    };
    refused(false);
    allow(&p, &file);
    assert_eq!(discover(&p.options).plugins.len(), 1);
    // By whatever path it is reached.
    fs::create_dir_all(p.root.join("other")).unwrap();
    symlink(p.root.join("recipes/plugins"), p.root.join("other/plugins")).unwrap();
    let linked = Options { recipe_folder: Some(p.root.join("other")), ..p.options.clone() };
    assert_eq!(discover(&linked).plugins.len(), 1);
    // Another file in its place, or a link to another, is not what was allowed.
    write(&p.root.join("recipes/plugins"), "zoo-a", &plugin("zoo-a", &["a.x", "a.y"]));
    refused(true);
    let elsewhere = write(&p.root.join("elsewhere"), "zoo-a", &plugin("zoo-a", &["a.x"]));
    fs::remove_file(&file).unwrap();
    symlink(elsewhere, &file).unwrap();
    refused(false);
}

#[test]
fn a_list_of_allowed_files_that_others_can_write_allows_nothing() {
    let p = places();
    let file = write(&p.root.join("recipes/plugins"), "zoo-a", &plugin("zoo-a", &["a.x"]));
    allow(&p, &file);
    let list = p.options.allowed.clone().unwrap();
    assert_eq!(fs::metadata(&list).unwrap().permissions().mode() & 0o777, 0o600);
    for (mode, text) in [(0o666, None), (0o600, Some("[1, 2]")), (0o600, Some("{"))] {
        fs::set_permissions(&list, fs::Permissions::from_mode(mode)).unwrap();
        if let Some(text) = text {
            fs::write(&list, text).unwrap();
        }
        let found = discover(&p.options);
        let reason = &found.refused("zoo-a").unwrap().reason;
        assert!(matches!(reason, Reason::AllowedUnreadable { .. }), "{reason}");
        assert!(reason.to_string().contains("allowed-plugins.json"), "{reason}");
    }
    let mut list = Allowed::read(None).unwrap();
    assert!(list.allow(&file, "00").unwrap_err().to_string().contains("XDG_CONFIG_HOME"));
}

#[test]
fn what_is_forgotten_is_allowed_no_longer() {
    let p = places();
    let file = write(&p.root.join("recipes/plugins"), "zoo-a", &plugin("zoo-a", &["a.x"]));
    allow(&p, &file);
    let mut list = Allowed::read(p.options.allowed.as_deref()).unwrap();
    assert_eq!(list.files().count(), 1);
    assert!(list.forget(&file).unwrap() && !list.forget(&file).unwrap());
    assert!(discover(&p.options).plugins.is_empty());
}

#[test]
fn two_files_of_one_name_are_an_error_that_names_both() {
    let p = places();
    let first = write(&p.root.join("path1"), "zoo-a", &plugin("zoo-a", &["a.x"]));
    let second = write(&p.root.join("user"), "zoo-a", &plugin("zoo-a", &["a.x"]));
    let found = discover(&p.options);
    assert!(found.plugins.is_empty());
    let refused = found.refused("zoo-a").unwrap();
    assert!(matches!(refused.reason, Reason::TwoFiles { same: true, .. }));
    assert_eq!(refused.components, ["a.x"]);
    let message = refused.to_string();
    assert!(
        message.contains(first.to_str().unwrap()) && message.contains(second.to_str().unwrap()),
        "{message}"
    );
}

#[test]
fn a_named_file_hides_others() {
    let mut p = places();
    write(&p.root.join("path1"), "zoo-a", &plugin("zoo-a", &["a.x"]));
    let named = write(&p.root.join("mine"), "zoo-a", &plugin("zoo-a", &["a.y"]));
    p.options.named.push(named.clone());
    let found = discover(&p.options);
    assert_eq!(found.plugin("zoo-a").unwrap().path, named);
    assert!(found.refused.is_empty());
    // Two named ones are as much an error as any two.
    p.options.named.push(write(&p.root.join("other"), "zoo-a", &plugin("zoo-a", &["a.y"])));
    assert!(matches!(discover(&p.options).refused[0].reason, Reason::TwoFiles { .. }));
}

#[test]
fn one_file_found_twice_is_fine() {
    let mut p = places();
    let file = write(&p.root.join("path1"), "zoo-a", &plugin("zoo-a", &["a.x"]));
    p.options.path.push(p.root.join("path1"));
    fs::create_dir_all(p.root.join("path2")).unwrap();
    symlink(&file, p.root.join("path2/libzoo_a.so")).unwrap();
    fs::create_dir_all(p.root.join("user")).unwrap();
    fs::hard_link(&file, p.root.join("user/libzoo_a.so")).unwrap();
    let found = discover(&p.options);
    assert_eq!((found.plugins.len(), found.refused.len()), (1, 0));
}

#[test]
fn a_component_belongs_to_one_plugin() {
    let mut p = places();
    let one = write(&p.root.join("path1"), "zoo-a", &plugin("zoo-a", &["a.x", "shared.x"]));
    let two = write(&p.root.join("path2"), "zoo-b", &plugin("zoo-b", &["shared.x"]));
    // Neither is taken, so that the order of the places decides nothing.
    for _ in 0..2 {
        let found = discover(&p.options);
        assert!(found.plugins.is_empty());
        for (name, other) in [("zoo-a", &two), ("zoo-b", &one)] {
            let refused = found.refused(name).unwrap();
            let told = format!("its component `shared.x` is also in {}", other.display());
            assert_eq!(refused.reason.to_string(), told);
            assert!(refused.components.contains(&"shared.x".to_owned()));
        }
        p.options.path.reverse();
    }
    // What the user names is taken, and only the other is refused.
    p.options.named.push(two);
    let found = discover(&p.options);
    assert_eq!(found.component("shared.x").unwrap().0.build.name, "zoo-b");
    assert!(found.refused("zoo-a").is_some() && found.refused.len() == 1);
}

#[test]
fn what_is_refused_anyway_stands_in_no_ones_way() {
    let p = places();
    write(&p.root.join("bin"), "zoo-a", &plugin("zoo-a", &["a.x"]));
    write(&p.root.join("recipes/plugins"), "zoo-evil", &plugin("zoo-evil", &["a.x"]));
    let found = discover(&p.options);
    assert!(found.plugin("zoo-a").is_some());
    assert!(matches!(found.refused("zoo-evil").unwrap().reason, Reason::NotAllowed { .. }));
}

#[test]
fn folders_further_up_count_too() {
    let mut p = places();
    let file = write(&p.root.join("open/sticky/path1"), "zoo-a", &plugin("zoo-a", &[]));
    p.options.path = vec![p.root.join("open/sticky/path1")];
    let set = |path: &str, mode| {
        fs::set_permissions(p.root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Anybody may put another folder in the place of one in `open`, but not in a sticky folder.
    for (mode, taken) in [(0o777, false), (0o1777, true), (0o755, true)] {
        set("open", mode);
        let found = discover(&p.options);
        assert_eq!(found.plugins.len() == 1, taken, "{mode:o}");
        if !taken {
            let reason = &found.refused[0].reason;
            assert!(
                matches!(reason, Reason::WritableByOthers { path, by: None } if *path == p.root.join("open"))
            );
            assert_eq!(found.refused[0].path, file);
        }
    }
}

#[test]
fn places_that_anybody_writes_to_are_refused() {
    let mut p = places();
    let file = write(&p.root.join("path1"), "zoo-a", &plugin("zoo-a", &[]));
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let folder = p.root.join("path1");
    for (of_folder, of_file, culprit) in [
        (0o777, 0o644, Some(&folder)),
        (0o1777, 0o644, Some(&folder)),
        (0o755, 0o666, Some(&file)),
        (0o755, 0o644, None),
    ] {
        set(&folder, of_folder);
        set(&file, of_file);
        let found = discover(&p.options);
        match culprit {
            None => assert_eq!(found.plugins.len(), 1),
            Some(culprit) => {
                let refused = &found.refused[0];
                assert_eq!(refused.path, file);
                assert!(
                    matches!(&refused.reason, Reason::WritableByOthers { path, by: None } if path == culprit),
                    "{refused}"
                );
                assert_eq!(refused.help().unwrap(), format!("chmod o-w {}", culprit.display()));
            }
        }
    }
    // A file that the user names may lie in a sticky folder such as /tmp.
    set(&folder, 0o1777);
    p.options.path.clear();
    p.options.named.push(file);
    assert_eq!(discover(&p.options).plugins.len(), 1);
}

/// A group that has others in it writes as anybody does; one that only the user is in is the user.
#[test]
fn places_that_a_group_writes_to_are_refused_unless_it_is_the_users_own() {
    let mut p = places();
    let file = write(&p.root.join("path1"), "zoo-a", &plugin("zoo-a", &[]));
    let folder = p.root.join("path1");
    let group = fs::metadata(&folder).unwrap().gid();
    let user = fs::metadata(&folder).unwrap().uid();
    p.options.accounts = Some(p.root.join("etc"));
    fs::create_dir_all(p.root.join("etc")).unwrap();
    let passwd = format!("me:x:{user}:{group}::/:\nada:x:54321:54321::/:\n");
    fs::write(p.root.join("etc/passwd"), passwd).unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (members, of_folder, of_file, culprit) in [
        ("", 0o775, 0o664, None),
        ("me", 0o775, 0o664, None),
        ("me,ada", 0o755, 0o644, None),
        ("me,ada", 0o775, 0o644, Some(&folder)),
        ("me,ada", 0o1775, 0o644, Some(&folder)),
        ("ada", 0o755, 0o664, Some(&file)),
    ] {
        fs::write(p.root.join("etc/group"), format!("mine:x:{group}:{members}\n")).unwrap();
        set(&folder, of_folder);
        set(&file, of_file);
        let found = discover(&p.options);
        match culprit {
            None => assert_eq!(found.plugins.len(), 1, "{members} {of_folder:o} {of_file:o}"),
            Some(culprit) => {
                let refused = &found.refused[0];
                let told = format!("{} is writable by group `mine`", culprit.display());
                assert_eq!(refused.reason.to_string(), told);
                assert_eq!(refused.help().unwrap(), format!("chmod g-w {}", culprit.display()));
            }
        }
    }
}

#[test]
fn what_is_no_plugin_is_named_except_beside_the_program() {
    let mut p = places();
    let other = elf(&[(".text", vec![0; 8])]);
    write(&p.root.join("bin"), "zoo-plugin-macros", &other);
    assert!(discover(&p.options).refused.is_empty());
    write(&p.root.join("path1"), "zoo-x", &other);
    p.options.named.push(p.root.join("missing.so"));
    let found = discover(&p.options);
    let reasons: Vec<_> = found.refused.iter().map(|r| r.reason.to_string()).collect();
    assert!(reasons[0].contains("it cannot be read: No such file"), "{reasons:?}");
    assert!(reasons[1].contains("it is no plugin of zoo"), "{reasons:?}");
}

#[test]
fn a_refusal_has_the_facts_of_both_sides() {
    let mut p = places();
    let mut other = facts("zoo-electra");
    other["libtorch"] = "2.10.0".into();
    write(&p.root.join("path1"), "zoo-electra", &elf(&sections(&other, &[schema("electra.x")])));
    p.options.here.libtorch = Some("2.11.0".into());
    p.options.here.compiler = Some("rustc 1.95.0 (59807616e 2026-04-14)".into());
    let found = discover(&p.options);
    let refused = found.refused("zoo-electra").unwrap();
    let target = &p.options.here.target;
    assert_eq!(
        refused.notes(),
        [
            format!("the plugin: ABI 1.0, libtorch 2.10.0, rustc 1.93.0, {target}"),
            format!("this zoo:   ABI 1.0, libtorch 2.11.0, rustc 1.95.0, {target}"),
        ]
    );
    assert!(refused.help().unwrap().contains("cargo build --release -p zoo-electra"));
}

#[test]
fn hashes_are_remembered_until_the_file_changes() {
    let p = places();
    let folder = p.root.join("files");
    let file = write(&folder, "zoo-a", b"first content");
    let past = SystemTime::now() - Duration::from_secs(60);
    fs::File::options().write(true).open(&file).unwrap().set_modified(past).unwrap();
    let cache = p.root.join("cache");
    let hash = Hashes::new(Some(&cache)).of(&file).unwrap();
    assert_eq!(hash, blake3::hash(b"first content").to_hex().to_string());
    let text = fs::read_to_string(cache.join("plugin-hashes.json")).unwrap();
    // What the cache says is believed …
    fs::write(cache.join("plugin-hashes.json"), text.replace(&hash, &"0".repeat(64))).unwrap();
    assert_eq!(Hashes::new(Some(&cache)).of(&file).unwrap(), "0".repeat(64));
    // … until the file is another one, even of the same size and time.
    fs::write(&file, b"other content").unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(past).unwrap();
    assert_eq!(
        Hashes::new(Some(&cache)).of(&file).unwrap(),
        blake3::hash(b"other content").to_hex().to_string()
    );
    fs::write(cache.join("plugin-hashes.json"), "damaged").unwrap();
    assert_eq!(
        Hashes::new(Some(&cache)).of(&file).unwrap(),
        blake3::hash(b"other content").to_hex().to_string()
    );
}

/// Eight plugins of 10 MB: reading all schemas and remembered hashes is far below the 20 ms that a
/// check may take.
#[test]
fn finding_eight_large_plugins_is_fast() {
    let p = places();
    for i in 0..8 {
        let name = format!("zoo-p{i}");
        let names: Vec<String> = (0..8).map(|c| schema(&format!("p{i}.c{c}"))).collect();
        let mut parts = sections(&facts(&name), &names);
        parts.insert(0, (".text", vec![i as u8; 10 << 20]));
        let file = write(&p.root.join("bin"), &name, &elf(&parts));
        let past = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&file).unwrap().set_modified(past).unwrap();
    }
    for plugin in &discover(&p.options).plugins {
        plugin.hash().unwrap();
    }
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            let found = discover(&p.options);
            assert_eq!(found.components().count(), 64);
            for plugin in &found.plugins {
                plugin.hash().unwrap();
            }
            start.elapsed()
        })
        .min()
        .unwrap();
    println!("{best:?}");
    assert!(best < Duration::from_millis(100), "{best:?}");
}
