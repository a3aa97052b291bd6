//! A file or folder out of a wheel (zip) or a source archive (tar.gz).
//!
//! An archive is a stranger's: names that lead outside are refused, links are not made, and what comes
//! out is limited in bytes and in number.

use crate::AssetError;
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Files of one archive.
const FILE_LIMIT: u64 = 1_000_000;
/// From so much on, what comes out may be only so many times what went in: text packs about 1:10.
const RATIO_FROM: u64 = 1 << 30;
const RATIO_LIMIT: u64 = 200;

/// What to take, and how much at most.
pub(crate) struct Unpack<'a> {
    /// For messages.
    pub(crate) uri: &'a str,
    pub(crate) archive: &'a Path,
    /// The file or folder wanted; empty for all.
    pub(crate) member: &'a str,
    /// Bytes.
    pub(crate) limit: u64,
}

/// What came out.
pub(crate) enum Unpacked {
    /// The wanted file or folder stands at `to`.
    Found,
    /// It is not in there; the names that are.
    Missing(Vec<String>),
}

/// The rule by which a name in the archive becomes a name in the package: the folder around a source
/// archive goes, and so does the one around a wheel's libraries.
fn in_package(name: &str, sdist: bool) -> Option<&str> {
    if sdist {
        return name.split_once('/').map(|(_, rest)| rest);
    }
    if let Some((top, rest)) = name.split_once('/')
        && top.ends_with(".data")
        && let Some(rest) = rest.strip_prefix("purelib/").or_else(|| rest.strip_prefix("platlib/"))
    {
        return Some(rest);
    }
    Some(name)
}

/// Keeps count of what comes out, and where it goes.
struct Sink<'a> {
    unpack: &'a Unpack<'a>,
    to: &'a Path,
    bytes: u64,
    limit: u64,
    files: u64,
    found: bool,
    names: Vec<String>,
}

impl Unpack<'_> {
    /// Unpacks to `to`, which must not exist. On an error what stands there is of no use.
    pub(crate) fn to(&self, to: &Path) -> Result<Unpacked, AssetError> {
        let name = self.archive.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let packed = fs::metadata(self.archive).map_err(AssetError::io("read", self.archive))?.len();
        let limit = self.limit.min(RATIO_FROM.max(packed.saturating_mul(RATIO_LIMIT)));
        let mut sink = Sink { unpack: self, to, bytes: 0, limit, files: 0, found: false, names: Vec::new() };
        if name.ends_with(".whl") || name.ends_with(".zip") {
            self.zip(&mut sink, name.ends_with(".zip"))?;
        } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            self.tar(&mut sink)?;
        } else {
            return Err(self.wrong("it is no .whl, .zip or .tar.gz"));
        }
        Ok(if sink.found { Unpacked::Found } else { Unpacked::Missing(sink.names) })
    }

    fn wrong(&self, reason: impl ToString) -> AssetError {
        AssetError::Archive {
            uri: self.uri.to_owned(),
            archive: self.archive.to_owned(),
            reason: reason.to_string(),
        }
    }

    fn open(&self) -> Result<BufReader<File>, AssetError> {
        Ok(BufReader::new(File::open(self.archive).map_err(AssetError::io("read", self.archive))?))
    }

    fn zip(&self, sink: &mut Sink<'_>, sdist: bool) -> Result<(), AssetError> {
        let mut archive = zip::ZipArchive::new(self.open()?).map_err(|error| self.wrong(error))?;
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).map_err(|error| self.wrong(error))?;
            let name = file.name().map_err(|error| self.wrong(error))?.into_owned();
            if file.is_dir() {
                continue;
            }
            let Some(target) = sink.target(&name, sdist)? else { continue };
            if file.is_symlink() {
                return Err(self.wrong(format!("`{name}` is a link")));
            }
            sink.write(&target, &name, &mut file)?;
        }
        Ok(())
    }

    fn tar(&self, sink: &mut Sink<'_>) -> Result<(), AssetError> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(self.open()?));
        for entry in archive.entries().map_err(|error| self.wrong(error))? {
            let mut entry = entry.map_err(|error| self.wrong(error))?;
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind.is_pax_global_extensions() {
                continue;
            }
            let name = entry.path().map_err(|error| self.wrong(error))?.to_string_lossy().into_owned();
            let Some(target) = sink.target(&name, true)? else { continue };
            if !kind.is_file() && !kind.is_gnu_sparse() && !kind.is_contiguous() {
                return Err(self.wrong(format!("`{name}` is a link or a device")));
            }
            sink.write(&target, &name, &mut entry)?;
        }
        Ok(())
    }
}

impl Sink<'_> {
    /// Where a file of the archive goes, if it is wanted.
    fn target(&mut self, name: &str, sdist: bool) -> Result<Option<PathBuf>, AssetError> {
        let relative = name.strip_prefix("./").unwrap_or(name);
        let leaves = relative.starts_with('/')
            || relative.contains(['\\', '\0'])
            || relative.split('/').any(|part| part == "..");
        if leaves {
            return Err(self.unpack.wrong(format!("`{name}` leads outside of it")));
        }
        let Some(inner) = in_package(relative, sdist) else { return Ok(None) };
        let member = self.unpack.member;
        let below = if member.is_empty() {
            Some(inner)
        } else {
            inner
                .strip_prefix(member)
                .and_then(|rest| if rest.is_empty() { Some("") } else { rest.strip_prefix('/') })
        };
        let Some(below) = below else {
            if self.names.len() < 100_000 {
                self.names.push(inner.to_owned());
            }
            return Ok(None);
        };
        self.found = true;
        let mut target = self.to.to_owned();
        target.extend(below.split('/').filter(|part| !part.is_empty() && *part != "."));
        Ok(Some(target))
    }

    fn write(&mut self, target: &Path, name: &str, from: &mut impl Read) -> Result<(), AssetError> {
        self.files += 1;
        if self.files > FILE_LIMIT {
            return Err(self.unpack.wrong(format!("it has more than {FILE_LIMIT} files")));
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(AssetError::io("create", parent))?;
        }
        let mut file = File::create(target).map_err(AssetError::io("write", target))?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            // Sizes in heads may lie; what counts is what comes.
            let count =
                from.read(&mut buffer).map_err(|error| self.unpack.wrong(format!("`{name}`: {error}")))?;
            if count == 0 {
                return Ok(());
            }
            self.bytes += count as u64;
            if self.bytes > self.limit {
                return Err(self.unpack.wrong(format!(
                    "more than {} bytes come out of it, which is too much for its size",
                    self.limit
                )));
            }
            file.write_all(&buffer[..count]).map_err(AssetError::io("write", target))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zip::write::SimpleFileOptions;

    fn wheel(path: &Path, files: &[(&str, &[u8])]) {
        let mut out = zip::ZipWriter::new(File::create(path).unwrap());
        for (name, content) in files {
            out.start_file(*name, SimpleFileOptions::default()).unwrap();
            out.write_all(content).unwrap();
        }
        out.finish().unwrap();
    }

    /// Headers by hand: the tar crate refuses to write what it must refuse to read.
    fn sdist(path: &Path, files: &[(&str, &[u8], u8)]) {
        let mut out = flate2::write::GzEncoder::new(File::create(path).unwrap(), flate2::Compression::fast());
        for (name, content, kind) in files {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(tar::EntryType::new(*kind));
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            out.write_all(header.as_bytes()).unwrap();
            out.write_all(content).unwrap();
            out.write_all(&vec![0; content.len().next_multiple_of(512) - content.len()]).unwrap();
        }
        out.write_all(&[0; 1024]).unwrap();
        out.finish().unwrap();
    }

    fn unpack(archive: &Path, member: &str, limit: u64) -> (PathBuf, Result<Unpacked, AssetError>) {
        let to = archive.with_file_name("out");
        let result = Unpack { uri: "pypi:p==1/x", archive, member, limit }.to(&to);
        (to, result)
    }

    fn refusal(archive: &Path, limit: u64) -> String {
        let (_, result) = unpack(archive, "", limit);
        match result {
            Err(error @ AssetError::Archive { .. }) => error.to_string(),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("was unpacked"),
        }
    }

    #[test]
    fn a_folder_of_a_wheel() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p-1-py3-none-any.whl");
        wheel(
            &path,
            &[
                ("p/data/a.txt", b"one"),
                ("p/data/deep/b.txt", b"two"),
                ("p/database.txt", b"no"),
                ("p-1.data/purelib/p/data/c.txt", b"three"),
            ],
        );
        let (to, result) = unpack(&path, "p/data", 100);
        assert!(matches!(result.unwrap(), Unpacked::Found));
        assert_eq!(fs::read(to.join("a.txt")).unwrap(), b"one");
        assert_eq!(fs::read(to.join("deep/b.txt")).unwrap(), b"two");
        assert_eq!(fs::read(to.join("c.txt")).unwrap(), b"three");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 3);
    }

    #[test]
    fn a_file_of_a_source_archive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p-1.tar.gz");
        sdist(&path, &[("p-1/setup.py", b"", b'0'), ("p-1/p/a.txt", b"one", b'0')]);
        let (to, result) = unpack(&path, "p/a.txt", 100);
        assert!(matches!(result.unwrap(), Unpacked::Found));
        assert_eq!(fs::read(to).unwrap(), b"one");
        fs::remove_file(folder.path().join("out")).unwrap();
        let (_, result) = unpack(&path, "p/b.txt", 100);
        assert!(matches!(result.unwrap(), Unpacked::Missing(names) if names == ["setup.py", "p/a.txt"]));
    }

    #[test]
    fn names_that_lead_outside_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (index, name) in ["../evil", "p/../../evil", "/evil", "p\\..\\evil"].into_iter().enumerate() {
            let path = folder.path().join(format!("{index}.whl"));
            wheel(&path, &[(name, b"x")]);
            assert!(refusal(&path, 100).contains("leads outside"), "{name}");
            let path = folder.path().join(format!("{index}.tar.gz"));
            sdist(&path, &[(name, b"x", b'0')]);
            assert!(refusal(&path, 100).contains("leads outside"), "{name}");
        }
        assert!(!folder.path().join("evil").exists());
    }

    #[test]
    fn links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for kind in [b'1', b'2', b'3'] {
            let path = folder.path().join("p-1.tar.gz");
            sdist(&path, &[("p-1/link", b"", kind)]);
            assert!(refusal(&path, 100).contains("is a link or a device"));
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.whl");
        wheel(&path, &[("p/zeros", &vec![0; 1 << 20])]);
        assert!(refusal(&path, 1000).contains("more than 1000 bytes come out"));
        assert!(fs::metadata(folder.path().join("out/p/zeros")).unwrap().len() <= 1000);
    }

    #[test]
    fn damaged_archives_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.whl");
        fs::write(&path, "no zip").unwrap();
        assert!(refusal(&path, 100).contains("cannot be unpacked"));
        let path = folder.path().join("p.tar.gz");
        sdist(&path, &[("p-1/a", &[7; 5000], b'0')]);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(refusal(&path, 1 << 20).contains("cannot be unpacked"));
        let path = folder.path().join("p.rar");
        fs::write(&path, "").unwrap();
        assert!(refusal(&path, 100).contains("no .whl"));
    }
}
