//! Downloads over HTTP: cache, cuts, ranges, lies of servers, refusals, redirects.

// Also outside of the test functions, in what they share.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Server, Told, bytes, file, options};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zoo_assets::{AssetError, Expected, Fetched, Store, content_of};

const HERE: &str = ".";
const TAG: &str = "\"one\"";

fn fetch(store: &Store, uri: &str) -> Result<Fetched, AssetError> {
    store.fetch(uri, Path::new(HERE), None, &())
}

fn sha256(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), content).unwrap();
    content_of(&folder.path().join("x")).unwrap().hash
}

#[test]
fn fetched_once_and_used_offline() {
    let content = bytes(100_000, 1);
    let served = content.clone();
    let server = Server::new(move |_, asked| file(asked, &served, TAG));
    let cache = tempfile::tempdir().unwrap();
    let uri = format!("{}/data/train.csv?version=1", server.url);

    let told = Told::default();
    let fetched = Store::open(options(cache.path())).fetch(&uri, Path::new(HERE), None, &told).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content);
    assert_eq!(fetched.path.file_name().unwrap(), "train.csv");
    assert_eq!((fetched.bytes, &fetched.hash), (100_000, &sha256(&content)));
    assert_eq!(told.all(), ["started 0 of Some(100000)", "finished 100000"]);

    let mut offline = options(cache.path());
    offline.offline = true;
    let told = Told::default();
    let store = Store::open(offline);
    assert_eq!(store.fetch(&uri, Path::new(HERE), None, &told).unwrap(), fetched);
    assert_eq!(store.cached(&uri, Path::new(HERE)).unwrap(), Some(fetched));
    assert!(told.all().is_empty());
    assert_eq!(server.paths(), ["/data/train.csv?version=1"]);

    let other = format!("{}/other", server.url);
    assert_eq!(store.cached(&other, Path::new(HERE)).unwrap(), None);
    let error = fetch(&store, &other).unwrap_err();
    assert!(matches!(error, AssetError::Offline { .. }));
    assert!(error.to_string().contains("ZOO_OFFLINE"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    let content = bytes(300_000, 2);
    let served = content.clone();
    // Every answer breaks after at most 100 kB.
    let server = Server::new(move |_, asked| file(asked, &served, TAG).cut_at_most(100_000));
    let cache = tempfile::tempdir().unwrap();
    let told = Told::default();
    let uri = format!("{}/x", server.url);
    let fetched = Store::open(options(cache.path())).fetch(&uri, Path::new(HERE), None, &told).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content);
    let asked = server.asked();
    let ranges: Vec<_> = asked.iter().map(common::Asked::range).collect();
    assert_eq!(ranges, [None, Some(100_000), Some(200_000)]);
    assert!(asked[1..].iter().all(|asked| asked.header("if-range") == Some(TAG)));
    assert_eq!(told.all()[0], "started 0 of Some(300000)");
    assert!(
        told.all()[1].starts_with("retrying the connection broke after 100000 bytes"),
        "{:?}",
        told.all()
    );
    assert_eq!(told.all()[2], "started 100000 of Some(300000)");
}

#[test]
fn a_later_process_goes_on_where_an_earlier_one_was_stopped() {
    let content = bytes(200_000, 3);
    let served = content.clone();
    let healthy = Arc::new(AtomicBool::new(false));
    let now = healthy.clone();
    let server = Server::new(move |_, asked| {
        let answer = file(asked, &served, TAG);
        match (now.load(Ordering::SeqCst), asked.range()) {
            (true, _) => answer,
            (false, None) => answer.cut(150_000),
            (false, Some(_)) => answer.cut(0),
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let uri = format!("{}/x", server.url);
    let error = fetch(&Store::open(options(cache.path())), &uri).unwrap_err();
    assert!(matches!(error, AssetError::Network { .. }));
    assert!(error.to_string().contains("what arrived is kept"), "{error}");
    // One that got bytes further counts as the first of three.
    assert_eq!(server.asked().len(), 3);

    healthy.store(true, Ordering::SeqCst);
    let told = Told::default();
    let fetched = Store::open(options(cache.path())).fetch(&uri, Path::new(HERE), None, &told).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content);
    assert_eq!(told.all(), ["started 150000 of Some(200000)", "finished 200000"]);
}

#[test]
fn another_file_under_the_name_is_taken_from_the_start() {
    let old = bytes(200_000, 4);
    let new = bytes(180_000, 5);
    let served = new.clone();
    let server = Server::new(move |number, asked| match number {
        0 => file(asked, &old, TAG).cut(50_000),
        _ => file(asked, &served, "\"two\""),
    });
    let cache = tempfile::tempdir().unwrap();
    let fetched = fetch(&Store::open(options(cache.path())), &format!("{}/x", server.url)).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), new);
    assert_eq!(server.asked()[1].range(), Some(50_000));
}

#[test]
fn a_server_without_ranges_is_asked_from_the_start() {
    let content = bytes(200_000, 6);
    let served = content.clone();
    let server = Server::new(move |number, _| {
        let answer = Answer::new(200, &served[..]).with("ETag", TAG);
        if number == 0 { answer.cut(150_000) } else { answer }
    });
    let cache = tempfile::tempdir().unwrap();
    let fetched = fetch(&Store::open(options(cache.path())), &format!("{}/x", server.url)).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content);
}

#[test]
fn without_a_validator_nothing_is_glued_together() {
    let content = bytes(200_000, 7);
    let served = content.clone();
    let server = Server::new(move |number, _| {
        // A weak tag does not promise equal bytes.
        let answer = Answer::new(200, &served[..]).with("ETag", "W/\"weak\"");
        if number == 0 { answer.cut(150_000) } else { answer }
    });
    let cache = tempfile::tempdir().unwrap();
    let fetched = fetch(&Store::open(options(cache.path())), &format!("{}/x", server.url)).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content);
    assert!(server.asked().iter().all(|asked| asked.range().is_none()));
}

#[test]
fn a_part_that_was_not_asked_for_is_refused() {
    let content = bytes(200_000, 8);
    let served = content.clone();
    let server = Server::new(move |number, asked| match number {
        0 => file(asked, &served, TAG).cut(150_000),
        1 => Answer::new(206, &served[100..])
            .with("ETag", TAG)
            .with("Content-Range", "bytes 100-199999/200000"),
        _ => file(asked, &served, TAG),
    });
    let cache = tempfile::tempdir().unwrap();
    let fetched = fetch(&Store::open(options(cache.path())), &format!("{}/x", server.url)).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content);
    assert_eq!(server.asked()[2].range(), None);
}

#[test]
fn a_server_that_promises_too_much_is_told() {
    let server = Server::new(|_, _| Answer::new(200, "short").promising(1_000));
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&Store::open(options(cache.path())), &format!("{}/x", server.url)).unwrap_err();
    assert!(matches!(error, AssetError::Network { .. }), "{error}");
    assert!(error.to_string().contains("after 5 "), "{error}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_file_that_grew_to_its_end_is_whole() {
    // All bytes arrived, and the process was stopped before it could say so.
    let content = bytes(1_000, 9);
    let served = content.clone();
    let server = Server::new(move |number, asked| {
        let answer = file(asked, &served, TAG);
        if number == 0 { answer.cut(900) } else { answer }
    });
    let cache = tempfile::tempdir().unwrap();
    let uri = format!("{}/x", server.url);
    let mut once = options(cache.path());
    once.attempts = 1;
    fetch(&Store::open(once), &uri).unwrap_err();
    let part =
        fs::read_dir(cache.path().join("assets")).unwrap().next().unwrap().unwrap().path().join("part");
    fs::write(&part, &content).unwrap();
    let fetched = fetch(&Store::open(options(cache.path())), &uri).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content);
    assert_eq!(server.asked()[1].range(), Some(1_000));
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_silent_server_is_asked_again() {
    let server = Server::new(|number, asked| {
        let answer = file(asked, b"content", TAG);
        if number == 0 { answer.stalling(Duration::from_secs(20)) } else { answer }
    });
    let cache = tempfile::tempdir().unwrap();
    let mut quick = options(cache.path());
    quick.silence = Duration::from_millis(300);
    let started = Instant::now();
    let fetched = fetch(&Store::open(quick), &format!("{}/x", server.url)).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), b"content");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn refusals_say_what_they_mean() {
    let server = Server::new(|_, asked| Answer::new(asked.path[1..].parse().unwrap(), "words"));
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(options(cache.path()));
    for (status, words) in [
        (401, "asks for rights"),
        (403, "asks for rights"),
        (404, "no such file"),
        (410, "no such file"),
        (418, "does not expect"),
        (304, "does not expect"),
        (204, "does not expect"),
    ] {
        let before = server.asked().len();
        let uri = format!("{}/{status}", server.url);
        let error = fetch(&store, &uri).unwrap_err();
        assert!(matches!(error, AssetError::Refused { status: s, .. } if s == status), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().starts_with(&format!("`{uri}` cannot be fetched: {uri} answers {status}")));
        assert_eq!(server.asked().len(), before + 1, "{status} is not tried again");
    }
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let server = Server::new(|number, asked| match number {
        0 => Answer::new(503, "").with("Retry-After", "1"),
        1 => Answer::new(429, ""),
        _ => file(asked, b"content", TAG),
    });
    let cache = tempfile::tempdir().unwrap();
    let started = Instant::now();
    fetch(&Store::open(options(cache.path())), &format!("{}/x", server.url)).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.asked().len(), 3);

    let server = Server::new(|_, _| Answer::new(500, ""));
    let error = fetch(&Store::open(options(cache.path())), &format!("{}/x", server.url)).unwrap_err();
    assert!(error.to_string().contains("the server answers 500"), "{error}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn nobody_listens() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/x", listener.local_addr().unwrap())
    };
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&Store::open(options(cache.path())), &url).unwrap_err();
    assert!(matches!(error, AssetError::Network { .. }), "{error}");
}

#[test]
fn redirects_are_followed_and_end() {
    let far = Server::new(|_, asked| file(asked, b"content", TAG));
    let to = format!("{}/far", far.url);
    let near = Server::new(move |_, asked| match asked.path.as_str() {
        "/a/start" => Answer::redirect(302, "next?x=1"),
        "/a/next?x=1" => Answer::redirect(307, "/top"),
        "/top" => Answer::redirect(301, &to),
        "/nowhere" => Answer::new(302, ""),
        path => Answer::redirect(302, path),
    });
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(options(cache.path()));
    let fetched = fetch(&store, &format!("{}/a/start", near.url)).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), b"content");
    assert_eq!(near.paths(), ["/a/start", "/a/next?x=1", "/top"]);
    assert_eq!(far.paths(), ["/far"]);
    let error = fetch(&store, &format!("{}/circle", near.url)).unwrap_err().to_string();
    assert!(error.contains("more than 10 redirects"), "{error}");
    let error = fetch(&store, &format!("{}/nowhere", near.url)).unwrap_err().to_string();
    assert!(error.contains("redirects to nowhere"), "{error}");
}

#[test]
fn expected_hashes_are_checked() {
    let server = Server::new(|_, asked| file(asked, b"today's", TAG));
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(options(cache.path()));
    let uri = format!("{}/x", server.url);
    let expected = |content: &[u8]| Expected { hash: sha256(content), revision: None };
    let error = store.fetch(&uri, Path::new(HERE), Some(&expected(b"yesterday's")), &()).unwrap_err();
    assert!(matches!(error, AssetError::WrongHash { .. }), "{error}");
    assert!(error.to_string().contains(&sha256(b"today's")), "{error}");
    assert_eq!(store.cached(&uri, Path::new(HERE)).unwrap(), None, "wrong content is not kept");
    store.fetch(&uri, Path::new(HERE), Some(&expected(b"today's")), &()).unwrap();
}

#[test]
fn another_content_than_the_cached_one_is_fetched_when_expected() {
    let server =
        Server::new(
            |number, asked| {
                if number == 0 { file(asked, b"first", TAG) } else { file(asked, b"second", "\"two\"") }
            },
        );
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(options(cache.path()));
    let uri = format!("{}/x", server.url);
    let first = fetch(&store, &uri).unwrap();
    let expected = Expected { hash: sha256(b"second"), revision: None };

    let mut offline = options(cache.path());
    offline.offline = true;
    let error = Store::open(offline).fetch(&uri, Path::new(HERE), Some(&expected), &()).unwrap_err();
    assert!(matches!(error, AssetError::WrongHash { .. }), "{error}");

    let second = store.fetch(&uri, Path::new(HERE), Some(&expected), &()).unwrap();
    assert_ne!(first.path, second.path);
    assert_eq!(fs::read(&second.path).unwrap(), b"second");
}

#[test]
fn cached_content_that_was_changed_is_fetched_again() {
    let server = Server::new(|_, asked| file(asked, b"content", TAG));
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(options(cache.path()));
    let uri = format!("{}/x", server.url);
    let path = fetch(&store, &uri).unwrap().path;
    // Touched, but the same: no reason to fetch.
    fs::write(&path, b"content").unwrap();
    fetch(&store, &uri).unwrap();
    assert_eq!(server.asked().len(), 1);
    fs::write(&path, b"CONTENT").unwrap();
    let mut offline = options(cache.path());
    offline.offline = true;
    assert!(matches!(fetch(&Store::open(offline), &uri).unwrap_err(), AssetError::Offline { .. }));
    let again = fetch(&store, &uri).unwrap();
    assert_eq!(fs::read(&again.path).unwrap(), b"content");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn who_comes_second_waits_and_downloads_nothing() {
    let server = Server::new(|_, asked| file(asked, b"content", TAG).stalling(Duration::from_millis(500)));
    let cache = tempfile::tempdir().unwrap();
    let uri = format!("{}/x", server.url);
    let told: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let told = Told::default();
                    let store = Store::open(options(cache.path()));
                    store.fetch(&uri, Path::new(HERE), None, &told).unwrap();
                    told.all()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(server.asked().len(), 1);
    assert_eq!(told.iter().filter(|told| told.contains(&"waiting".to_owned())).count(), 3);
    assert_eq!(told.iter().filter(|told| told.contains(&"finished 7".to_owned())).count(), 1);
}

#[test]
fn files_of_this_machine_stay_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/a.txt"), "one").unwrap();
    let store = Store::open(options(cache.path()));
    let file = store.fetch("data/a.txt", folder.path(), None, &()).unwrap();
    assert_eq!(file.path, folder.path().canonicalize().unwrap().join("data/a.txt"));
    assert_eq!((file.bytes, &file.hash), (3, &sha256(b"one")));
    let whole = store.fetch("file:data", folder.path(), None, &()).unwrap();
    assert!(whole.path.is_dir());

    let expected = Expected { hash: file.hash, revision: None };
    store.fetch("data/a.txt", folder.path(), Some(&expected), &()).unwrap();
    fs::write(folder.path().join("data/a.txt"), "two").unwrap();
    let error = store.fetch("data/a.txt", folder.path(), Some(&expected), &()).unwrap_err();
    assert!(error.to_string().contains("the file was changed since it was written"), "{error}");
    assert_ne!(store.fetch("file:data", folder.path(), None, &()).unwrap().hash, whole.hash);

    let error = store.fetch("data/b.txt", folder.path(), None, &()).unwrap_err().to_string();
    assert!(error.starts_with("`data/b.txt` is not there: no file or folder /"), "{error}");
}
