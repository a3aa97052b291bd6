//! What a run and the processes that run its arms tell each other: a line of JSON each.

use crate::ArmResult;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use zoo_record::{Event, LockedAsset, Values};

/// To a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToWorker {
    /// Run this arm under this seed.
    Job {
        arm: String,
        seed: u64,
        resume: bool,
        /// Assets as the run has them so far.
        assets: Vec<LockedAsset>,
    },
    /// The event is on record.
    Taken,
    /// Finish the update, save, and say so.
    Stop,
}

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromWorker {
    /// Something happened. The worker waits until it is on record: a checkpoint is never ahead of what is
    /// written of the steps before it.
    Event(Box<Event>),
    /// The job is over.
    Ended {
        how: End,
        /// Assets that the worker knows.
        assets: Vec<LockedAsset>,
    },
}

/// How a job ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    Finished { metrics: Values, seconds: f64 },
    Stopped,
    Failed { message: String },
}

impl From<ArmResult> for End {
    fn from(ArmResult { metrics, seconds }: ArmResult) -> Self {
        Self::Finished { metrics, seconds }
    }
}

/// Begins a message: what plugins print on the same stream stands before it or on lines without it
/// (RFC 7464, JSON text sequences).
const MARK: u8 = 0x1e;

pub(super) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = vec![MARK];
    serde_json::to_writer(&mut line, message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// The next message; nothing at the end of the stream. `other` gets what was printed between messages.
pub(super) fn receive<T: DeserializeOwned>(
    from: &mut impl BufRead,
    mut other: impl FnMut(&[u8]),
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let Some(mark) = line.iter().position(|byte| *byte == MARK) else {
            other(&line);
            continue;
        };
        other(&line[..mark]);
        return Ok(Some(serde_json::from_slice(&line[mark + 1..])?));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_from_what_plugins_print() {
        let mut stream = b"loading kernels\nno newline".to_vec();
        send(&mut stream, &FromWorker::Event(Box::new(Event::RunFinished { seconds: 1.5 }))).unwrap();
        stream.extend(b"bye\n");
        let (mut from, mut printed) = (&stream[..], Vec::new());
        let got: Option<FromWorker> = receive(&mut from, |bytes| printed.extend_from_slice(bytes)).unwrap();
        let Some(FromWorker::Event(event)) = got else { panic!() };
        assert_eq!(*event, Event::RunFinished { seconds: 1.5 });
        let end: Option<FromWorker> = receive(&mut from, |bytes| printed.extend_from_slice(bytes)).unwrap();
        assert!(end.is_none());
        assert_eq!(String::from_utf8(printed).unwrap(), "loading kernels\nno newlinebye\n");
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let damaged = [&[MARK][..], b"{\"ended\": 3}\n"].concat();
        assert!(receive::<FromWorker>(&mut &damaged[..], |_| ()).is_err());
    }

    #[test]
    fn numbers_that_json_lacks_cross() {
        let metrics = Values::from_iter([("loss".to_owned(), f64::NAN), ("best".to_owned(), f64::INFINITY)]);
        let mut stream = Vec::new();
        let how = End::Finished { metrics, seconds: 1.0 };
        send(&mut stream, &FromWorker::Ended { how, assets: Vec::new() }).unwrap();
        let got: Option<FromWorker> = receive(&mut &stream[..], |_| ()).unwrap();
        let Some(FromWorker::Ended { how: End::Finished { metrics, .. }, .. }) = got else { panic!() };
        assert!(metrics.get("loss").is_some_and(f64::is_nan));
        assert_eq!(metrics.get("best"), Some(f64::INFINITY));
    }
}
