//! `environment.json`: where a run was made.

use crate::{Device, RecordError, RunStarted, Versions, write_atomic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Variables that change what libtorch computes or how fast.
const VARIABLES: [&str; 8] = [
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "MKL_CBWR",
    "ATEN_CPU_CAPABILITY",
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "LIBTORCH",
    "LIBTORCH_USE_PYTORCH",
];

/// Where a run was made. Nothing in it names a user or a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The command, as it was typed.
    pub command: Vec<String>,
    /// When it began or was last resumed: `2026-01-31 12:00:00 UTC`.
    pub started: String,
    /// Operating system: `Debian GNU/Linux 12 (bookworm)`.
    pub system: String,
    /// `x86_64`.
    pub architecture: String,
    /// The processor.
    pub processor: String,
    /// Its cores, as many as this process may use.
    pub cores: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Where it computed.
    pub device: Device,
    /// Threads of libtorch.
    pub threads: u64,
    /// Threads that prepare data.
    pub loader_threads: u64,
    /// Versions of what took part.
    pub versions: Versions,
    /// Variables that change what libtorch computes or how fast, of those that were set.
    pub variables: BTreeMap<String, String>,
}

impl Environment {
    /// This machine, now, for a run that tells this of itself.
    pub fn of(started: &RunStarted, command: &[String]) -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str, between: char| {
            text.lines()
                .filter_map(|line| line.split_once(between))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        };
        let (release, processor, memory) =
            (file("/etc/os-release"), file("/proc/cpuinfo"), file("/proc/meminfo"));
        let kilobytes = field(&memory, "MemTotal", ':');
        let kilobytes = kilobytes.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Self {
            command: command.to_vec(),
            started: utc(crate::history::now()),
            system: field(&release, "PRETTY_NAME", '=').unwrap_or_else(|| std::env::consts::OS.into()),
            architecture: std::env::consts::ARCH.into(),
            processor: field(&processor, "model name", ':').unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, |cores| cores.get() as u64),
            memory: kilobytes.unwrap_or(0) * 1024,
            device: started.device.clone(),
            threads: started.threads,
            loader_threads: started.loader_threads,
            versions: started.versions.clone(),
            variables: VARIABLES
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
                .collect(),
        }
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        write_json(path, self)
    }

    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        read_json(path)
    }
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), RecordError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| RecordError::damaged(path, error))?;
    text.push('\n');
    write_atomic(path, text)
}

pub(crate) fn read_json<Value: for<'de> Deserialize<'de>>(path: &Path) -> Result<Value, RecordError> {
    let text = fs::read(path).map_err(RecordError::io("read", path))?;
    serde_json::from_slice(&text).map_err(|error| RecordError::damaged(path, error))
}

/// Seconds since 1970 as a date.
pub(crate) fn utc(time: f64) -> String {
    let seconds = time.max(0.0) as u64;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days to a date of the Gregorian calendar, in years that begin in March (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0.0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400.0), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_767_225_599.9), "2025-12-31 23:59:59 UTC");
        assert_eq!(utc(4_107_542_400.0), "2100-03-01 00:00:00 UTC");
    }

    #[test]
    fn this_machine_has_cores() {
        let environment = Environment::of(&RunStarted { threads: 2, ..Default::default() }, &["zoo".into()]);
        assert!(environment.cores > 0 && environment.threads == 2 && !environment.system.is_empty());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("environment.json");
        environment.write(&path).unwrap();
        assert_eq!(Environment::read(&path).unwrap(), environment);
    }
}
