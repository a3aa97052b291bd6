//! What the user sees while a run goes on.

mod lines;
mod live;
mod progress;
pub(crate) mod text;
pub(crate) mod verdict;

use indicatif::MultiProgress;
use lines::Lines;
use live::Live;
use progress::Progress;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use zoo_record::{Event, FinishedSeed, Sink};
use zoo_schema::experiment::Experiment;

/// Seconds between lines about steps where there is no terminal.
const BETWEEN_STEPS: Duration = Duration::from_secs(5);

/// Shows a run: bars on a terminal, else a line now and then.
pub(crate) struct Display {
    lines: Lines,
    progress: Progress,
    finished_before: Vec<FinishedSeed>,
    live: Option<Live>,
    out: Out,
}

/// Where lines go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// Standard output.
    Standard,
    /// Standard error, where standard output is for JSON.
    Error,
}

impl Out {
    /// Writes a line. A reader that went away is no reason to end a run.
    pub(crate) fn line(self, line: &str) {
        let _ = match self {
            Self::Standard => writeln!(std::io::stdout(), "{line}"),
            Self::Error => writeln!(std::io::stderr(), "{line}"),
        };
    }

    /// Whether someone looks at it, and wants colours.
    pub(crate) fn colours(self) -> bool {
        let terminal = match self {
            Self::Standard => std::io::stdout().is_terminal(),
            Self::Error => std::io::stderr().is_terminal(),
        };
        terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }
}

impl Display {
    /// A display of this experiment. `finished` are the arms and seeds that an earlier process finished.
    pub(crate) fn new(experiment: &Experiment, finished: Vec<FinishedSeed>, out: Out) -> Self {
        // Bars go to standard error; both must be terminals, or lines and bars would part.
        let terminal =
            std::io::stderr().is_terminal() && (out == Out::Error || std::io::stdout().is_terminal());
        Self {
            lines: Lines::new(experiment, BETWEEN_STEPS),
            progress: Progress::new(),
            finished_before: finished,
            live: terminal.then(Live::new),
            out,
        }
    }

    /// The bars, for those who write beside them.
    pub(crate) fn bars(&self) -> Option<MultiProgress> {
        self.live.as_ref().map(Live::bars)
    }

    fn say(&self, line: &str) {
        match &self.live {
            Some(live) => live.say(line),
            None => self.out.line(line),
        }
    }
}

impl Sink for Display {
    fn event(&mut self, event: &Event) {
        self.progress.event(event);
        if let Event::RunStarted(_) = event {
            for done in std::mem::take(&mut self.finished_before) {
                self.progress.finished_before(&done.arm);
            }
        }
        for line in self.lines.of(event) {
            self.say(&line);
        }
        match (&mut self.live, event) {
            (Some(live), _) => live.event(event, &self.progress),
            (None, Event::StepLogged(logged)) => {
                if let Some(line) = self.lines.of_step(logged, self.progress.left()) {
                    self.say(&line);
                }
            }
            _ => {}
        }
    }
}
