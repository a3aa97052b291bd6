//! One file over HTTP: redirects, pauses, and going on where it was cut.

use crate::AssetError;
use crate::cache::write_whole;
use crate::options::Options;
use crate::progress::Progress;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

const REDIRECTS: usize = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// Answers that are read whole: lists of files.
const TEXT_LIMIT: u64 = 64 << 20;

/// An HTTP client.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    attempts: u32,
    pause: Duration,
}

/// What is asked.
pub(crate) struct Request<'a> {
    /// As the user gave it, for messages.
    pub(crate) uri: &'a str,
    pub(crate) url: &'a str,
    /// Sent to the host of `url` alone.
    pub(crate) token: Option<&'a str>,
    /// What a refusal means, where the server does not say it.
    pub(crate) advice: &'a dyn Fn(u16, &HeaderMap) -> Option<String>,
}

/// What the answers' heads said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The commit that a revision of the hub stood for.
    pub(crate) commit: Option<String>,
    /// The SHA-256 that the hub knows of a large file.
    pub(crate) sha256: Option<String>,
}

/// What `part.json` says of the bytes in `part`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    url: String,
    /// An entity tag or a date: the file is the same as long as it is.
    validator: String,
    total: Option<u64>,
}

/// Why one attempt failed.
enum Failure {
    /// Try again, after so long where the server says it.
    Again { reason: String, after: Option<Duration> },
    /// It will not get better.
    Final(AssetError),
}

impl From<AssetError> for Failure {
    fn from(error: AssetError) -> Self {
        Self::Final(error)
    }
}

impl Client {
    pub(crate) fn new(options: &Options) -> Result<Self, AssetError> {
        let mut tls = ureq::tls::TlsConfig::builder();
        if let Some(path) = &options.certificates {
            tls = tls.root_certs(certificates(path)?);
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            // Followed here: a token must not travel to another host, and heads on the way tell things.
            .max_redirects(0)
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("zoo/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(options.silence))
            .timeout_connect(Some(options.silence))
            .timeout_recv_response(Some(options.silence))
            .timeout_per_read(Some(options.silence))
            .build();
        Ok(Self { agent: config.new_agent(), attempts: options.attempts.max(1), pause: options.pause })
    }

    /// Downloads into the folder; the path of the finished file is given.
    ///
    /// `part` and `part.json` there are what an earlier call left; they are taken further if the server
    /// says that the file is the same.
    pub(crate) fn file(
        &self,
        request: &Request<'_>,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<(PathBuf, Said), AssetError> {
        fs::create_dir_all(folder).map_err(AssetError::io("create", folder))?;
        let part = folder.join("part");
        let mut said = Said::default();
        self.retried(
            request,
            progress,
            || length(&part),
            || self.attempt(request, folder, &part, &mut said, progress),
        )?;
        let _ = fs::remove_file(folder.join("part.json"));
        Ok((part, said))
    }

    /// A small answer as text.
    pub(crate) fn text(&self, request: &Request<'_>, progress: &dyn Progress) -> Result<String, AssetError> {
        self.retried(
            request,
            progress,
            || 0,
            || {
                let mut response = self.get(request, None, &mut Said::default())?;
                refuse(request, &response)?;
                response
                    .body_mut()
                    .with_config()
                    .limit(TEXT_LIMIT)
                    .read_to_string()
                    .map_err(|error| Failure::Again { reason: error.to_string(), after: None })
            },
        )
    }

    /// Tries again with growing pauses. An attempt that got bytes further counts as the first.
    fn retried<T>(
        &self,
        request: &Request<'_>,
        progress: &dyn Progress,
        have: impl Fn() -> u64,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, AssetError> {
        let mut failed = 0;
        let mut most = have();
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again { reason, after }) => {
                    if have() > most {
                        most = have();
                        failed = 0;
                    }
                    failed += 1;
                    if failed >= self.attempts {
                        return Err(AssetError::Network {
                            uri: request.uri.to_owned(),
                            url: request.url.to_owned(),
                            reason,
                        });
                    }
                    progress.retrying(request.uri, &reason);
                    let pause = self.pause.saturating_mul(1 << (failed - 1).min(10));
                    std::thread::sleep(after.unwrap_or(pause).min(LONGEST_PAUSE));
                }
            }
        }
    }

    fn attempt(
        &self,
        request: &Request<'_>,
        folder: &Path,
        path: &Path,
        said: &mut Said,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let state = folder.join("part.json");
        let known = fs::read(&state)
            .ok()
            .and_then(|text| serde_json::from_slice::<Part>(&text).ok())
            .filter(|known| known.url == request.url);
        let have = if known.is_some() { length(path) } else { 0 };
        let range = known.as_ref().filter(|_| have > 0).map(|known| (have, known.validator.as_str()));
        let mut response = self.get(request, range, said)?;
        let again = |reason: String| Failure::Again { reason, after: None };
        let restart = || {
            let _ = fs::remove_file(&state);
            let _ = fs::remove_file(path);
        };

        let status = response.status().as_u16();
        let whole = known.as_ref().and_then(|known| known.total);
        if status == 416 && range.is_some() {
            // All of it may have arrived, and only the end of the connection been lost.
            let same = validator(response.headers()).as_deref() == range.map(|(_, tag)| tag);
            if same && whole == Some(have) {
                return Ok(());
            }
            restart();
            return Err(again(format!("the server has no bytes after {have}; starting over")));
        }
        refuse(request, &response)?;
        let promised = response.body().content_length();
        let (start, total) = if status == 206 && range.is_some() {
            match content_range(response.headers()) {
                Some((start, total))
                    if start == have && (total.is_none() || whole.is_none() || total == whole) =>
                {
                    (start, total.or(promised.map(|rest| start + rest)))
                }
                _ => {
                    restart();
                    return Err(again("the server sent another part than asked; starting over".to_owned()));
                }
            }
        } else {
            // The server has no ranges, or the file is another one: from the start.
            restart();
            if let Some(validator) = validator(response.headers()) {
                let part = Part { url: request.url.to_owned(), validator, total: promised };
                write_whole(&state, &serde_json::to_vec(&part).unwrap_or_default())?;
            }
            (0, promised)
        };

        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(AssetError::io("write", path))?;
        file.set_len(start).map_err(AssetError::io("write", path))?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start))
            .map_err(AssetError::io("write", path))?;
        progress.started(request.uri, start, total);
        let done = copy(&mut response, &mut file, path, start, |done| {
            progress.advanced(request.uri, done, total);
        });
        // Also of a broken answer: what arrived counts.
        file.sync_all().map_err(AssetError::io("write", path))?;
        let done = done?;
        progress.advanced(request.uri, done, total);
        match total {
            Some(total) if done < total => {
                Err(again(format!("the connection ended after {done} of {total} bytes")))
            }
            Some(total) if done > total => {
                restart();
                Err(again(format!("the server sent {done} bytes and had promised {total}")))
            }
            _ => Ok(()),
        }
    }

    /// Asks, and follows redirects.
    fn get(
        &self,
        request: &Request<'_>,
        range: Option<(u64, &str)>,
        said: &mut Said,
    ) -> Result<Response<Body>, Failure> {
        let mut url = request.url.to_owned();
        for _ in 0..=REDIRECTS {
            let mut ask = self.agent.get(&url);
            if let Some(token) = request.token
                && origin(&url) == origin(request.url)
            {
                ask = ask.header("Authorization", format!("Bearer {token}"));
            }
            if let Some((have, validator)) = range {
                ask = ask.header("Range", format!("bytes={have}-")).header("If-Range", validator);
            }
            let response = ask.call().map_err(|error| failure(request, &url, error))?;
            let head = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            if said.commit.is_none() {
                said.commit = head("x-repo-commit").map(str::to_owned);
            }
            if let Some(tag) = head("x-linked-etag").map(|tag| tag.trim_start_matches("W/").trim_matches('"'))
                && tag.len() == 64
                && tag.bytes().all(|b| b.is_ascii_hexdigit())
            {
                said.sha256 = Some(tag.to_ascii_lowercase());
            }
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let Some(next) = head("location").and_then(|location| joined(&url, location)) else {
                return Err(broken(request, &url, "it redirects to nowhere".to_owned()));
            };
            if url.starts_with("https:") && !next.starts_with("https:") {
                return Err(broken(request, &url, format!("it redirects to {next}, which is not secure")));
            }
            url = next;
        }
        Err(broken(request, &url, format!("more than {REDIRECTS} redirects")))
    }
}

fn broken(request: &Request<'_>, url: &str, reason: String) -> Failure {
    Failure::Final(AssetError::Network { uri: request.uri.to_owned(), url: url.to_owned(), reason })
}

fn failure(request: &Request<'_>, url: &str, error: ureq::Error) -> Failure {
    match error {
        ureq::Error::BadUri(reason) => broken(request, url, format!("the address is wrong: {reason}")),
        ureq::Error::Http(error) => broken(request, url, format!("the address is wrong: {error}")),
        ureq::Error::InvalidProxyUrl => broken(request, url, "the proxy's address is wrong".to_owned()),
        ureq::Error::HostNotFound => {
            Failure::Again { reason: "the host is not known; is there a network?".to_owned(), after: None }
        }
        other => Failure::Again { reason: other.to_string(), after: None },
    }
}

/// What is neither the content nor a reason to try again is an error.
fn refuse(request: &Request<'_>, response: &Response<Body>) -> Result<(), Failure> {
    let status = response.status().as_u16();
    if matches!(status, 200 | 206) {
        return Ok(());
    }
    let head = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    if matches!(status, 408 | 425 | 429 | 500..) {
        let after = head("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        return Err(Failure::Again { reason: format!("the server answers {status}"), after });
    }
    let advice = (request.advice)(status, response.headers()).unwrap_or_else(|| match status {
        401 | 403 => "it asks for rights that zoo has not".to_owned(),
        404 | 410 => "there is no such file; check its name".to_owned(),
        _ => "an answer that zoo does not expect".to_owned(),
    });
    Err(Failure::Final(AssetError::Refused {
        uri: request.uri.to_owned(),
        url: request.url.to_owned(),
        status,
        advice,
    }))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Copies to the end; how many bytes the file has then.
fn copy(
    response: &mut Response<Body>,
    file: &mut File,
    path: &Path,
    start: u64,
    mut tell: impl FnMut(u64),
) -> Result<u64, Failure> {
    let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 256 << 10];
    let mut done = start;
    let mut told = Instant::now();
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(done),
            Ok(count) => {
                file.write_all(&buffer[..count]).map_err(AssetError::io("write", path))?;
                done += count as u64;
                if told.elapsed() >= TOLD_EVERY {
                    tell(done);
                    told = Instant::now();
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let reason = format!("the connection broke after {done} bytes ({error})");
                return Err(Failure::Again { reason, after: None });
            }
        }
    }
}

/// What tells that a file is still the same: a strong entity tag, else the date of its last change.
fn validator(headers: &HeaderMap) -> Option<String> {
    let head = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    head("etag").filter(|tag| tag.starts_with('"')).or_else(|| head("last-modified"))
}

/// First byte and whole length: `bytes 5-9/10`, `bytes 5-9/*`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get("content-range")?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
}

/// Scheme and host.
fn origin(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    Some((scheme.to_ascii_lowercase(), host.to_ascii_lowercase()))
}

/// An address relative to another (RFC 3986, section 5.2, without dot segments).
fn joined(base: &str, location: &str) -> Option<String> {
    let location = location.split('#').next()?;
    let (scheme, rest) = base.split_once("://")?;
    if location.starts_with("http://") || location.starts_with("https://") {
        return Some(location.to_owned());
    }
    if let Some(other) = location.strip_prefix("//") {
        return Some(format!("{scheme}://{other}"));
    }
    if location.is_empty() || location.split(['/', '?']).next()?.contains(':') {
        return None;
    }
    let host = rest.split(['/', '?']).next()?;
    if location.starts_with('/') {
        return Some(format!("{scheme}://{host}{location}"));
    }
    let path = rest.split('?').next()?;
    if location.starts_with('?') {
        return Some(format!("{scheme}://{path}{location}"));
    }
    let folder = path.rsplit_once('/').map_or(host, |(folder, _)| folder);
    Some(format!("{scheme}://{folder}/{location}"))
}

fn certificates(path: &Path) -> Result<ureq::tls::RootCerts, AssetError> {
    let text = fs::read(path).map_err(AssetError::io("read", path))?;
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&text) {
        if let Ok(ureq::tls::PemItem::Certificate(certificate)) = item {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        let none = std::io::Error::other("it has no certificates (PEM)");
        return Err(AssetError::io("read", path)(none));
    }
    Ok(ureq::tls::RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_addresses() {
        let base = "https://host:1/a/b?c=d";
        for (location, expected) in [
            ("https://other/x#y", Some("https://other/x")),
            ("//other/x", Some("https://other/x")),
            ("/x?y=z", Some("https://host:1/x?y=z")),
            ("x", Some("https://host:1/a/x")),
            ("?e", Some("https://host:1/a/b?e")),
            ("ftp://other/x", None),
            ("", None),
        ] {
            assert_eq!(joined(base, location).as_deref(), expected, "{location}");
        }
        assert_eq!(joined("http://host", "x").as_deref(), Some("http://host/x"));
    }

    #[test]
    fn origins() {
        assert_eq!(origin("https://Host/a"), origin("https://host?b"));
        assert_ne!(origin("https://host/a"), origin("http://host/a"));
        assert_ne!(origin("https://host:1/a"), origin("https://host:2/a"));
        assert_ne!(origin("https://host/a"), origin("https://host.evil/a"));
    }
}
