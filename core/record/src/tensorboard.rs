//! TensorBoard event files, written by hand: TFRecord framing with masked CRC-32C around three
//! small protobuf messages (`Event`, `Summary`, `Summary.Value` of tensorflow/core/framework/summary.proto).

use crate::{Event, Reached, RecordError, RunDir, Sink, StepLogged, Values, history, write_atomic};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Name of the one event file of an arm and seed. TensorBoard wants `tfevents` in it.
const FILE_NAME: &str = "events.out.tfevents.0000000000.zoo";

/// Writes an event file for every arm and seed. Tags are `PHASE/NAME` and `PHASE/EVALUATION.NAME`, so that
/// curves are grouped by phase and their steps are those of the phase. When an arm and seed goes on in the
/// middle, what lies after that is taken out of its file.
#[derive(Debug)]
pub struct TensorBoardWriter {
    run_dir: RunDir,
    files: HashMap<(String, u64), (PathBuf, File)>,
    failure: Option<RecordError>,
}

impl TensorBoardWriter {
    /// Writes below `tensorboard/` of this run directory.
    pub fn new(run_dir: RunDir) -> Self {
        Self { run_dir, files: HashMap::new(), failure: None }
    }

    fn start(&mut self, arm: &str, seed: u64, resumed: Option<&Reached>) -> Result<(), RecordError> {
        let path = self.run_dir.tensorboard(arm, seed).join(FILE_NAME);
        let kept = match (resumed, read_records(&path)) {
            (Some(reached), Ok(records)) => records
                .into_iter()
                .filter(|record| match decode(record) {
                    Some(Point { tag, step, .. }) => {
                        let phase = tag.split_once('/').map_or("", |(phase, _)| phase);
                        reached.includes(phase, step)
                    }
                    None => false, // the version, which is written anew
                })
                .collect(),
            (None, _) => Vec::new(),
            (_, Err(error)) => return Err(error),
        };
        let mut content = framed(&version_event(history::now()));
        kept.iter().for_each(|record| content.extend(framed(record)));
        write_atomic(&path, content)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(RecordError::io("open", &path))?;
        self.files.insert((arm.to_owned(), seed), (path, file));
        Ok(())
    }

    fn write(
        &mut self,
        arm: &str,
        seed: u64,
        prefix: &str,
        step: u64,
        values: &Values,
    ) -> Result<(), RecordError> {
        let key = (arm.to_owned(), seed);
        if !self.files.contains_key(&key) {
            self.start(arm, seed, None)?;
        }
        let Some((path, file)) = self.files.get_mut(&key) else { return Ok(()) };
        let (time, mut content) = (history::now(), Vec::new());
        for (name, value) in values.iter() {
            content.extend(framed(&point_event(time, step, &format!("{prefix}{name}"), value as f32)));
        }
        file.write_all(&content).map_err(RecordError::io("write", path))
    }
}

impl Sink for TensorBoardWriter {
    fn event(&mut self, event: &Event) {
        let done = match event {
            Event::SeedStarted { arm, seed, resumed } => self.start(arm, *seed, resumed.as_ref()),
            Event::StepLogged(StepLogged { arm, seed, phase, step, total: _, values }) => {
                self.write(arm, *seed, &format!("{phase}/"), *step, values)
            }
            Event::EvaluationFinished { arm, seed, phase, step, evaluation, values, .. } => {
                self.write(arm, *seed, &format!("{phase}/{evaluation}."), *step, values)
            }
            Event::SeedFinished { arm, seed, .. } => {
                self.files.remove(&(arm.clone(), *seed));
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.failure.get_or_insert(error);
        }
    }

    fn failure(&mut self) -> Option<RecordError> {
        self.failure.take()
    }
}

// Framing: length (u64), masked checksum of the length, content, masked checksum of the content; little-endian.

fn framed(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(content.len() + 16);
    record.extend(length);
    record.extend(masked_checksum(&length).to_le_bytes());
    record.extend(content);
    record.extend(masked_checksum(content).to_le_bytes());
    record
}

fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records of a file; none when there is no file. Ends before the first that is cut off or damaged.
fn read_records(path: &Path) -> Result<Vec<Vec<u8>>, RecordError> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RecordError::io("read", path)(error)),
    };
    let (mut rest, mut records) = (content.as_slice(), Vec::new());
    while let Some((record, after)) = split_record(rest) {
        records.push(record.to_owned());
        rest = after;
    }
    Ok(records)
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length_bytes, rest) = bytes.split_first_chunk::<8>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u64::from_le_bytes(*length_bytes)).ok()?;
    if masked_checksum(length_bytes) != u32::from_le_bytes(*checksum) || length > rest.len() {
        return None;
    }
    let (record, rest) = rest.split_at(length);
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    (masked_checksum(record) == u32::from_le_bytes(*checksum)).then_some((record, rest))
}

// Protobuf: a field is a key (number * 8 + wire type) and a value; wire types 0 varint, 1 and 5 fixed, 2 bytes.

const WALL_TIME: u8 = 1 << 3 | 1; // Event.wall_time, double
const STEP: u8 = 2 << 3; // Event.step, int64
const FILE_VERSION: u8 = 3 << 3 | 2; // Event.file_version, string
const SUMMARY: u8 = 5 << 3 | 2; // Event.summary, message
const VALUE: u8 = 1 << 3 | 2; // Summary.value, message
const TAG: u8 = 1 << 3 | 2; // Summary.Value.tag, string
const SIMPLE_VALUE: u8 = 2 << 3 | 5; // Summary.Value.simple_value, float

fn version_event(time: f64) -> Vec<u8> {
    let mut event = vec![WALL_TIME];
    event.extend(time.to_le_bytes());
    put_bytes(&mut event, FILE_VERSION, b"brain.Event:2");
    event
}

fn point_event(time: f64, step: u64, tag: &str, value: f32) -> Vec<u8> {
    let mut summary_value = Vec::new();
    put_bytes(&mut summary_value, TAG, tag.as_bytes());
    summary_value.push(SIMPLE_VALUE);
    summary_value.extend(value.to_le_bytes());
    let mut summary = Vec::new();
    put_bytes(&mut summary, VALUE, &summary_value);
    let mut event = vec![WALL_TIME];
    event.extend(time.to_le_bytes());
    event.push(STEP);
    put_varint(&mut event, step);
    put_bytes(&mut event, SUMMARY, &summary);
    event
}

fn put_bytes(message: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    message.push(key);
    put_varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// A point of a curve, as it was written.
#[derive(Debug, PartialEq)]
struct Point {
    tag: String,
    step: u64,
    value: f32,
}

/// None for the version, and for what this module did not write.
fn decode(event: &[u8]) -> Option<Point> {
    let (mut step, mut summary) = (0, None);
    for (key, field) in fields(event)? {
        match (key as u8, field) {
            (STEP, Field::Varint(value)) => step = value,
            (SUMMARY, Field::Bytes(bytes)) => summary = Some(bytes),
            _ => {}
        }
    }
    let (_, Field::Bytes(value)) = fields(summary?)?.into_iter().find(|(key, _)| *key as u8 == VALUE)? else {
        return None;
    };
    let (mut tag, mut number) = (None, 0.0);
    for (key, field) in fields(value)? {
        match (key as u8, field) {
            (TAG, Field::Bytes(bytes)) => tag = std::str::from_utf8(bytes).ok(),
            (SIMPLE_VALUE, Field::Fixed32(bytes)) => number = f32::from_le_bytes(bytes),
            _ => {}
        }
    }
    Some(Point { tag: tag?.to_owned(), step, value: number })
}

enum Field<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

fn fields(mut message: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let field = match key & 7 {
            0 => Field::Varint(take_varint(&mut message)?),
            1 => {
                message = message.get(8..)?;
                Field::Fixed64
            }
            2 => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                let bytes = message.get(..length)?;
                message = &message[length..];
                Field::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = message.split_first_chunk::<4>()?;
                message = rest;
                Field::Fixed32(*bytes)
            }
            _ => return None,
        };
        found.push((key, field));
    }
    Some(found)
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(phase: &str, step: u64, loss: f64) -> Event {
        Event::StepLogged(StepLogged {
            arm: "a".into(),
            seed: 1,
            phase: phase.into(),
            step,
            total: 9,
            values: Values::from([("loss", loss)]),
        })
    }

    fn points(run_dir: &RunDir) -> Vec<(String, u64, f32)> {
        let records = read_records(&run_dir.tensorboard("a", 1).join(FILE_NAME)).unwrap();
        assert!(decode(&records[0]).is_none());
        records[1..].iter().map(|record| decode(record).unwrap()).map(|p| (p.tag, p.step, p.value)).collect()
    }

    #[test]
    fn the_checksum_is_castagnolis_masked() {
        // The example of the CRC-32C definition (RFC 3720): 32 zero bytes give 0x8a9136aa.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked_checksum(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn what_is_written_can_be_read_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::new(folder.path());
        let mut writer = TensorBoardWriter::new(run_dir.clone());
        writer.event(&Event::SeedStarted { arm: "a".into(), seed: 1, resumed: None });
        writer.event(&logged("first", 300, 2.5));
        writer.event(&logged("second", 1, 2.0));
        writer.event(&logged("second", 2, 1.5));
        writer.event(&Event::EvaluationFinished {
            arm: "a".into(),
            seed: 1,
            phase: "second".into(),
            step: 2,
            evaluation: "check".into(),
            values: Values::from([("auc", 0.75)]),
            examples: 10,
            seconds: 0.1,
        });
        assert!(writer.failure().is_none());
        assert_eq!(points(&run_dir)[3], ("second/check.auc".into(), 2, 0.75));
        drop(writer);
        // A killed process leaves half a record.
        let path = run_dir.tensorboard("a", 1).join(FILE_NAME);
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..content.len() - 5]).unwrap();

        let mut writer = TensorBoardWriter::new(run_dir.clone());
        let reached =
            Reached { finished_phases: vec!["first".into()], phase: Some("second".into()), step: 1 };
        writer.event(&Event::SeedStarted { arm: "a".into(), seed: 1, resumed: Some(reached) });
        writer.event(&logged("second", 2, 1.25));
        assert!(writer.failure().is_none());
        assert_eq!(
            points(&run_dir),
            [
                ("first/loss".into(), 300, 2.5),
                ("second/loss".into(), 1, 2.0),
                ("second/loss".into(), 2, 1.25)
            ]
        );
    }
}
