//! The hub's layout of addresses and heads, on loopback: revisions, storage elsewhere, tokens, folders.

// Also outside of the test functions, in what they share.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Asked, Server, Told, bytes, file, options};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use zoo_assets::{AssetError, Expected, Options, Store, content_of};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const LATER: &str = "89abcdef0123456789abcdef0123456789abcdef";
const TAG: &str = "\"0a1b2c\"";

fn hub_options(cache: &Path, server: &Server) -> Options {
    let mut options = options(cache);
    options.hub = server.url.clone();
    options
}

fn fetch(store: &Store, uri: &str) -> Result<zoo_assets::Fetched, AssetError> {
    store.fetch(uri, Path::new("."), None, &())
}

fn sha256(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), content).unwrap();
    content_of(&folder.path().join("x")).unwrap().hash
}

/// As the hub answers for a small file: itself.
fn small(asked: &Asked, content: &[u8]) -> Answer {
    file(asked, content, TAG).with("X-Repo-Commit", COMMIT)
}

#[test]
fn a_small_file_with_its_commit() {
    let server = Server::new(|_, asked| small(asked, b"{}"));
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(hub_options(cache.path(), &server));
    let fetched = fetch(&store, "hf:google/electra/config.json").unwrap();
    assert_eq!(fetched.revision.as_deref(), Some(COMMIT));
    assert_eq!(fs::read(&fetched.path).unwrap(), b"{}");
    assert_eq!(fetched.path.file_name().unwrap(), "config.json");
    // Again from the cache, with the commit.
    assert_eq!(fetch(&store, "hf:google/electra/config.json").unwrap(), fetched);
    fetch(&store, "hf:datasets/org/set@v1.0/data/a b.csv").unwrap();
    assert_eq!(
        server.paths(),
        ["/google/electra/resolve/main/config.json", "/datasets/org/set/resolve/v1.0/data/a%20b.csv"]
    );
}

#[test]
fn a_large_file_is_stored_elsewhere_and_the_token_stays_here() {
    let content = bytes(200_000, 1);
    let digest = sha256(&content).replace("sha256:", "");
    let served = content.clone();
    // Its address is signed and differs each time, as the hub's are; cuts go on nevertheless.
    let storage = Server::new(move |number, asked| {
        let answer = file(asked, &served, "\"storage\"");
        if number == 0 { answer.cut(150_000) } else { answer }
    });
    let to = storage.url.clone();
    let server = Server::new(move |number, _| {
        Answer::redirect(302, format!("{to}/blob?signature={number}"))
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-Etag", format!("\"{digest}\""))
            .with("X-Linked-Size", "200000")
    });
    let cache = tempfile::tempdir().unwrap();
    let mut options = hub_options(cache.path(), &server);
    options.token = Some("secret".to_owned());
    assert!(!format!("{options:?}").contains("secret"));
    let fetched = fetch(&Store::open(options), "hf:org/model/model.safetensors").unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content);
    assert_eq!(fetched.revision.as_deref(), Some(COMMIT));
    assert!(server.asked().iter().all(|asked| asked.header("authorization") == Some("Bearer secret")));
    assert!(storage.asked().iter().all(|asked| asked.header("authorization").is_none()));
    assert_eq!(storage.paths(), ["/blob?signature=0", "/blob?signature=1"]);
    assert_eq!(storage.asked()[1].range(), Some(150_000));
}

#[test]
fn the_hubs_own_hash_is_checked() {
    let server = Server::new(|_, asked| {
        small(asked, b"damaged").with("X-Linked-Etag", format!("\"{}\"", "ab".repeat(32)))
    });
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(hub_options(cache.path(), &server));
    let error = fetch(&store, "hf:org/model/model.safetensors").unwrap_err();
    assert!(
        matches!(&error, AssetError::WrongHash { place, .. } if place.contains("the hub's own hash")),
        "{error}"
    );
    assert_eq!(store.cached("hf:org/model/model.safetensors", Path::new(".")).unwrap(), None);
}

#[test]
fn a_locked_commit_is_asked_for_by_its_name() {
    // The branch has moved on.
    let server = Server::new(|_, asked| {
        let content: &[u8] = if asked.path.contains(COMMIT) { b"old" } else { b"new" };
        let commit = if asked.path.contains(COMMIT) { COMMIT } else { LATER };
        file(asked, content, TAG).with("X-Repo-Commit", commit)
    });
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(hub_options(cache.path(), &server));
    let uri = "hf:org/model/config.json";
    assert_eq!(fetch(&store, uri).unwrap().revision.as_deref(), Some(LATER));
    let expected = Expected { hash: sha256(b"old"), revision: Some(COMMIT.to_owned()) };
    let fetched = store.fetch(uri, Path::new("."), Some(&expected), &()).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), b"old");
    assert_eq!(fetched.revision.as_deref(), Some(COMMIT));
    // Both are here now, and each is found.
    assert_eq!(store.fetch(uri, Path::new("."), Some(&expected), &()).unwrap(), fetched);
    let newer = Expected { hash: sha256(b"new"), revision: Some(LATER.to_owned()) };
    assert_eq!(store.fetch(uri, Path::new("."), Some(&newer), &()).unwrap().revision.as_deref(), Some(LATER));
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn refusals_are_told_apart() {
    let server = Server::new(|_, asked| {
        let name = asked.path.split('/').nth(2).unwrap();
        match name {
            "private" => Answer::new(401, "").with("X-Error-Code", "RepoNotFound"),
            "gated" => Answer::new(403, "").with("X-Error-Code", "GatedRepo"),
            "branch" => Answer::new(404, "").with("X-Error-Code", "RevisionNotFound"),
            "entry" => Answer::new(404, "").with("X-Error-Code", "EntryNotFound"),
            _ => Answer::new(404, ""),
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(hub_options(cache.path(), &server));
    for (uri, words) in [
        ("hf:org/private/x", "there is no org/private that may be read; if it is private, set HF_TOKEN"),
        ("hf:org/gated/x", "org/gated is gated: accept its terms at http://127.0.0.1"),
        ("hf:org/branch@v9/x", "org/branch has no revision `v9`"),
        ("hf:org/entry/sub/x", "org/entry has no file `sub/x` at revision `main`"),
        ("hf:org/other/x", "org/other has no `x` at revision `main`"),
    ] {
        let error = fetch(&store, uri).unwrap_err();
        assert!(matches!(error, AssetError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let mut options = hub_options(cache.path(), &server);
    options.token = Some("secret".to_owned());
    let error = fetch(&Store::open(options), "hf:org/private/x").unwrap_err().to_string();
    assert!(error.contains("the token in HF_TOKEN gives no right to it"), "{error}");
    assert!(!error.contains("secret"));
}

/// A repository of four files whose list and files are served.
fn repository(fail_at: Arc<AtomicUsize>, commit: Arc<AtomicUsize>) -> Server {
    Server::new(move |number, asked| {
        let sha = if commit.load(Ordering::SeqCst) == 0 { COMMIT } else { LATER };
        if number == fail_at.load(Ordering::SeqCst) {
            return Answer::new(404, "");
        }
        if asked.path.starts_with("/api/") {
            let names =
                ["README.md", "config.json", "model/a.safetensors", "model/deep/b.bin", "modelling.py"];
            let siblings: Vec<_> = names.iter().map(|n| format!("{{\"rfilename\":\"{n}\"}}")).collect();
            return Answer::new(200, format!("{{\"sha\":\"{sha}\",\"siblings\":[{}]}}", siblings.join(",")));
        }
        small(asked, asked.path.rsplit_once("/resolve/").unwrap().1.as_bytes())
    })
}

#[test]
fn a_folder_at_one_commit() {
    let server = repository(Arc::new(AtomicUsize::new(99)), Arc::default());
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(hub_options(cache.path(), &server));
    let fetched = fetch(&store, "hf:org/name@main/model/").unwrap();
    assert_eq!(fetched.revision.as_deref(), Some(COMMIT));
    assert_eq!(
        fs::read_to_string(fetched.path.join("a.safetensors")).unwrap(),
        format!("{COMMIT}/model/a.safetensors")
    );
    assert_eq!(
        fs::read_to_string(fetched.path.join("deep/b.bin")).unwrap(),
        format!("{COMMIT}/model/deep/b.bin")
    );
    assert_eq!(fs::read_dir(&fetched.path).unwrap().count(), 2);
    assert_eq!(server.paths()[0], "/api/models/org/name/revision/main");
    assert_eq!(server.asked().len(), 3);
    assert_eq!(fetched.hash, content_of(&fetched.path).unwrap().hash);

    let whole = fetch(&store, "hf:datasets/org/name").unwrap();
    assert_eq!(fs::read_dir(&whole.path).unwrap().count(), 4);
    assert_eq!(server.paths()[3], "/api/datasets/org/name/revision/main");

    let error = fetch(&store, "hf:org/name/nothing/").unwrap_err();
    assert!(matches!(error, AssetError::NoMember { .. }));
    assert!(error.to_string().contains("has no `nothing/`; its folders are model"), "{error}");
}

#[test]
fn finished_files_of_a_folder_stay_when_a_later_one_fails() {
    let fail_at = Arc::new(AtomicUsize::new(2));
    let commit = Arc::new(AtomicUsize::new(0));
    let server = repository(fail_at.clone(), commit.clone());
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(hub_options(cache.path(), &server));
    fetch(&store, "hf:org/name/model/").unwrap_err();
    fail_at.store(99, Ordering::SeqCst);
    fetch(&store, "hf:org/name/model/").unwrap();
    let files = |paths: Vec<String>| paths.into_iter().filter(|path| path.contains("a.safetensors")).count();
    assert_eq!(files(server.paths()), 1);

    // Of another commit they are of no use.
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(hub_options(cache.path(), &server));
    fail_at.store(server.asked().len() + 2, Ordering::SeqCst);
    fetch(&store, "hf:org/name/model/").unwrap_err();
    commit.store(1, Ordering::SeqCst);
    fail_at.store(99, Ordering::SeqCst);
    let fetched = fetch(&store, "hf:org/name/model/").unwrap();
    assert_eq!(
        fs::read_to_string(fetched.path.join("a.safetensors")).unwrap(),
        format!("{LATER}/model/a.safetensors")
    );
}

#[test]
fn a_list_that_leads_outside_or_is_none_is_refused() {
    for (body, words) in [
        (
            format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{{\"rfilename\":\"../../evil\"}}]}}"),
            "no path inside",
        ),
        ("{\"sha\":\"main\"}".to_owned(), "`main` is no commit"),
        ("<html>".to_owned(), "its list of files cannot be read"),
    ] {
        let server = Server::new(move |_, _| Answer::new(200, body.clone()));
        let cache = tempfile::tempdir().unwrap();
        let store = Store::open(hub_options(cache.path(), &server));
        let error = fetch(&store, "hf:org/name").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn offline_uses_what_is_here() {
    let server = Server::new(|_, asked| small(asked, b"{}"));
    let cache = tempfile::tempdir().unwrap();
    let fetched = fetch(&Store::open(hub_options(cache.path(), &server)), "hf:org/name/x").unwrap();
    let mut options = hub_options(cache.path(), &server);
    options.offline = true;
    let store = Store::open(options);
    let told = Told::default();
    assert_eq!(store.fetch("hf:org/name/x", Path::new("."), None, &told).unwrap(), fetched);
    assert!(told.all().is_empty());
    assert!(matches!(fetch(&store, "hf:org/name/y").unwrap_err(), AssetError::Offline { .. }));
}
