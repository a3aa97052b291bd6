//! Where the cache is, and how the network is used.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// Where the cache is, and how the network is used.
#[derive(Clone)]
pub struct Options {
    /// The folder of the cache; made when it is needed.
    pub cache: PathBuf,
    /// The network must not be used.
    pub offline: bool,
    /// Address of the Hugging Face hub, without a slash at its end.
    pub hub: String,
    /// The token for the hub; sent to no other host.
    pub token: Option<String>,
    /// The Python whose pip fetches packages.
    pub python: PathBuf,
    /// Certificates (PEM) to trust instead of the usual ones.
    pub certificates: Option<PathBuf>,
    /// How often a download that makes no progress is tried.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles with each.
    pub pause: Duration,
    /// A server that is silent for so long is given up, and asked again.
    pub silence: Duration,
    /// What may come out of one archive, in bytes.
    pub unpacked_limit: u64,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token, and without what is usual.
        f.debug_struct("Options")
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .field("hub", &self.hub)
            .field("python", &self.python)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// With the cache in that folder, and nothing taken from the environment.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            offline: false,
            hub: "https://huggingface.co".to_owned(),
            token: None,
            python: PathBuf::from("python3"),
            certificates: None,
            attempts: 5,
            pause: Duration::from_millis(500),
            silence: Duration::from_secs(60),
            unpacked_limit: 64 << 30,
        }
    }

    /// As the environment says:
    ///
    /// | variable | what |
    /// |---|---|
    /// | `ZOO_CACHE` | the cache; else `zoo` in `XDG_CACHE_HOME`, else `~/.cache/zoo` |
    /// | `ZOO_OFFLINE`, `HF_HUB_OFFLINE` | 1: the network is not used |
    /// | `HF_ENDPOINT` | another hub |
    /// | `HF_TOKEN` | token for the hub; else the file that the hub's own tools keep, `HF_HOME/token` |
    /// | `ZOO_PYTHON` | the Python whose pip is used; else `python3` |
    /// | `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` | certificates to trust |
    ///
    /// Proxies are taken from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub fn from_environment() -> Self {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let set =
            |name: &str| text(name).is_some_and(|value| !matches!(value.as_str(), "0" | "false" | "no"));
        let home = path("HOME");
        let caches = path("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|home| home.join(".cache")));
        let cache = path("ZOO_CACHE")
            .or_else(|| caches.as_ref().map(|caches| caches.join("zoo")))
            .unwrap_or_else(|| env::temp_dir().join("zoo-cache"));
        let token_file =
            path("HF_HOME").or_else(|| caches.map(|c| c.join("huggingface"))).map(|home| home.join("token"));
        let token = text("HF_TOKEN")
            .or_else(|| std::fs::read_to_string(token_file?).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let mut options = Self::new(cache);
        options.offline = set("ZOO_OFFLINE") || set("HF_HUB_OFFLINE");
        options.token = token;
        options.certificates =
            path("SSL_CERT_FILE").or_else(|| path("REQUESTS_CA_BUNDLE")).or_else(|| path("CURL_CA_BUNDLE"));
        if let Some(hub) = text("HF_ENDPOINT") {
            options.hub = hub.trim_end_matches('/').to_owned();
        }
        if let Some(python) = path("ZOO_PYTHON") {
            options.python = python;
        }
        options
    }
}
