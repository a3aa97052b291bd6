//! A sink for several threads.

use std::sync::{Arc, Mutex, PoisonError};
use zoo_record::{Event, RecordError, Sink};

/// A sink that clones share: components ask for stages on any thread while the arm tells of its steps.
#[derive(Clone)]
pub struct SharedSink(Arc<Mutex<Box<dyn Sink + Send>>>);

impl std::fmt::Debug for SharedSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedSink")
    }
}

impl SharedSink {
    /// Shares a sink.
    pub fn new(sink: impl Sink + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(sink))))
    }
}

impl Sink for SharedSink {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }

    fn failure(&mut self) -> Option<RecordError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failure()
    }
}
