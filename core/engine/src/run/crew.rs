//! Processes that run arms.

use super::RunError;
use super::wire::{FromWorker, ToWorker, receive, send};
use std::io::{BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// What was heard of a worker.
#[derive(Debug)]
pub(super) enum Heard {
    Said(FromWorker),
    /// Nothing more will come of it.
    Gone,
    /// What came was no message.
    Garbled(String),
}

/// The workers of a run. They end when this is dropped, and when this process ends, however it does.
#[derive(Debug)]
pub(super) struct Crew {
    workers: Vec<(Child, Option<ChildStdin>)>,
    heard: Receiver<(usize, Heard)>,
}

impl Crew {
    pub(super) fn hire(count: usize, command: impl Fn() -> Command) -> Result<Self, RunError> {
        let (sender, heard) = channel();
        let mut crew = Self { workers: Vec::new(), heard };
        for index in 0..count {
            let mut child = command()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .map_err(|error| RunError::Hire(format!("cannot be started: {error}")))?;
            let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
            crew.workers.push((child, stdin));
            // Both streams were asked for a line above.
            let Some(stdout) = stdout else { return Err(RunError::Hire("has no output".into())) };
            let sender = sender.clone();
            std::thread::Builder::new()
                .name(format!("worker {index}"))
                .spawn(move || listen(index, stdout, &sender))
                .map_err(|error| RunError::Hire(format!("cannot be heard: {error}")))?;
        }
        Ok(crew)
    }

    pub(super) fn tell(&mut self, worker: usize, message: &ToWorker) {
        let Some(stdin) = &mut self.workers[worker].1 else { return };
        // A worker that is gone is heard of by the end of its output.
        if send(stdin, message).is_err() {
            self.workers[worker].1 = None;
        }
    }

    pub(super) fn tell_all(&mut self, message: &ToWorker) {
        for worker in 0..self.workers.len() {
            self.tell(worker, message);
        }
    }

    /// What one of them says, if it does within this time.
    pub(super) fn listen(&self, wait: Duration) -> Result<Option<(usize, Heard)>, RunError> {
        match self.heard.recv_timeout(wait) {
            Ok(heard) => Ok(Some(heard)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(RunError::Hire("is missing: all have ended".into())),
        }
    }

    /// How a worker that is gone has ended, for people.
    pub(super) fn end_of(&mut self, worker: usize) -> String {
        match self.workers[worker].0.wait() {
            Ok(status) => format!("its process ended before the arm did ({status})"),
            Err(error) => format!("its process ended before the arm did ({error})"),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for (child, stdin) in &mut self.workers {
            drop(stdin.take());
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn listen(index: usize, stdout: impl std::io::Read, heard: &Sender<(usize, Heard)>) {
    let mut from = BufReader::new(stdout);
    // What plugins print goes where their errors go: the standard output may be for the result alone.
    let print = |bytes: &[u8]| {
        let _ = std::io::stderr().write_all(bytes);
    };
    loop {
        let (message, last) = match receive(&mut from, print) {
            Ok(Some(message)) => (Heard::Said(message), false),
            Ok(None) => (Heard::Gone, true),
            Err(error) => (Heard::Garbled(error.to_string()), true),
        };
        if heard.send((index, message)).is_err() || last {
            return;
        }
    }
}
