//! What is told while something is fetched.

/// Is told what goes on; every method does nothing by default. `()` is one that is told nothing.
///
/// Called from the thread that fetches. Nothing is called for what the cache has.
pub trait Progress: Sync {
    /// A fetch begins, or goes on where an earlier one was cut: `done` bytes are there of `total`, where
    /// the server tells it.
    fn started(&self, uri: &str, done: u64, total: Option<u64>) {
        let _ = (uri, done, total);
    }

    /// So many bytes are there now. Called at most some times a second.
    fn advanced(&self, uri: &str, done: u64, total: Option<u64>) {
        let _ = (uri, done, total);
    }

    /// Something is tried again after a pause.
    fn retrying(&self, uri: &str, reason: &str) {
        let _ = (uri, reason);
    }

    /// Another process fetches the same asset; this one waits for it.
    fn waiting(&self, uri: &str) {
        let _ = uri;
    }

    /// All is there, checked and in the cache.
    fn finished(&self, uri: &str, bytes: u64) {
        let _ = (uri, bytes);
    }
}

impl Progress for () {}
