//! Who listens to a run.

use crate::{Event, RecordError};

/// Someone who listens to a run.
pub trait Sink {
    /// Takes an event. Does not fail: a sink that writes files keeps its first error for
    /// [`failure`](Self::failure).
    fn event(&mut self, event: &Event);

    /// The first error since this was last asked. The engine asks after every logged step and
    /// checkpoint, and stops the run as it stops for Ctrl-C: what cannot be recorded need not be computed.
    fn failure(&mut self) -> Option<RecordError> {
        None
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn event(&mut self, event: &Event) {
        (**self).event(event);
    }

    fn failure(&mut self) -> Option<RecordError> {
        (**self).failure()
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn event(&mut self, event: &Event) {
        (**self).event(event);
    }

    fn failure(&mut self) -> Option<RecordError> {
        (**self).failure()
    }
}

/// Tells every event to each of its sinks, in order.
#[derive(Default)]
pub struct FanOut<'a> {
    sinks: Vec<Box<dyn Sink + Send + 'a>>,
}

impl<'a> FanOut<'a> {
    /// Without sinks: hears everything, tells no one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink.
    pub fn push(&mut self, sink: impl Sink + Send + 'a) {
        self.sinks.push(Box::new(sink));
    }

    /// The same with one more sink.
    pub fn with(mut self, sink: impl Sink + Send + 'a) -> Self {
        self.push(sink);
        self
    }
}

impl Sink for FanOut<'_> {
    fn event(&mut self, event: &Event) {
        for sink in &mut self.sinks {
            sink.event(event);
        }
    }

    fn failure(&mut self) -> Option<RecordError> {
        // All are asked, so that none keeps an old error.
        self.sinks.iter_mut().filter_map(|sink| sink.failure()).reduce(|first, _| first)
    }
}

/// Keeps every event, for tests.
#[derive(Debug, Default)]
pub struct Collect {
    /// What was told.
    pub events: Vec<Event>,
}

impl Sink for Collect {
    fn event(&mut self, event: &Event) {
        self.events.push(event.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sink_hears_everything() {
        let (mut first, mut second) = (Collect::default(), Collect::default());
        let mut all = FanOut::new().with(&mut first).with(&mut second);
        all.event(&Event::RunFinished { seconds: 1.0 });
        assert!(all.failure().is_none());
        drop(all);
        assert_eq!((first.events.len(), second.events.len()), (1, 1));
    }
}
