//! What the engine and plugins log, beside the display.

use indicatif::MultiProgress;
use std::io::{self, Write};
use tracing::level_filters::LevelFilter;

/// Writes log lines to standard error, without tearing the bars.
struct Beside(Option<MultiProgress>);

impl Write for Beside {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(bars) => bars.suspend(|| io::stderr().write(buffer)),
            None => io::stderr().write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Starts logging: warnings, with `--verbose` also information, twice for details.
pub(crate) fn start(verbose: u8, bars: Option<MultiProgress>) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // Fails only where a subscriber is there already, which then serves.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(move || Beside(bars.clone()))
        .without_time()
        .try_init();
}
