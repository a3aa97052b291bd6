//! Recordings with what is said in them.

use crate::log_mel::{Bank, LogMel};
use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::DecoderOptions;
use symphonia::core::errors::Error as AudioError;
use symphonia::core::formats::FormatOptions;
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;
use zoo_plugin::prelude::*;

/// Recordings (WAV or FLAC) below a folder, with their transcripts, as LibriSpeech comes.
///
/// Every `.wav` and `.flac` is an utterance, in the order of their paths. What is said in it stands in any file that
/// ends in `.trans.txt`, a line each: the recording's name without its ending, a space, the text. A recording without
/// one has an empty text. Several channels are averaged. A row has the filter banks of `speech.log_mel`, each band of a
/// recording with mean 0 and variance 1: later frames are cut off, missing ones 0.
///
/// # Paper
/// Panayotov, Chen, Povey, Khudanpur: Librispeech, ICASSP 2015.
///
/// # Example
/// ```mlm
/// data utterances = speech.audio_folder(folder: asset("file:recordings"), frames: 64)
/// ```
#[component(
    data,
    name = "speech.audio_folder",
    outputs(
        features: "float[B, frames, bands]" = "filter banks",
        attention_mask: "int[B, frames]" = "1 for frames, 0 for padding after them",
        text: "text[B]" = "what is said",
    ),
    loader,
)]
pub struct AudioFolder {
    /// The folder.
    #[param(kind = "asset")]
    pub folder: String,
    /// What the paths below the folder begin with, of the recordings that are taken.
    #[param(default = "")]
    pub matching: String,
    /// Frames of a row, of which one begins every 10 ms.
    #[param(range = ">= 1")]
    pub frames: usize,
    /// Numbers of a frame.
    #[param(default = 80, range = ">= 1")]
    pub bands: usize,
    /// Samples of a second; recordings with another rate are refused.
    #[param(default = 16_000, range = ">= 1")]
    pub sampling_rate: usize,
}

fn failed(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::new(format!("{}: {reason}", path.display())).at("folder")
}

/// The samples of a recording, between -1 and 1, and how many of them are a second.
///
/// # Errors
/// What is no WAV and no FLAC, or is damaged, with the decoder's reason.
pub fn decode(path: &Path) -> Result<(Vec<f32>, u32)> {
    let wrong = |error: AudioError| failed(path, error);
    let file = File::open(path).map_err(|error| failed(path, error))?;
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
    let probed = symphonia::default::get_probe().format(&Hint::new(), stream, &format, &metadata);
    let mut format = probed.map_err(wrong)?.format;
    let track = format.default_track().ok_or_else(|| failed(path, "it has no sound"))?;
    let (id, parameters) = (track.id, track.codec_params.clone());
    let rate = parameters.sample_rate.ok_or_else(|| failed(path, "it does not say its rate"))?;
    let mut decoder =
        symphonia::default::get_codecs().make(&parameters, &DecoderOptions::default()).map_err(wrong)?;
    let mut samples = Vec::new();
    loop {
        let packet = match format.next_packet() {
            Ok(packet) => packet,
            Err(AudioError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(wrong(error)),
        };
        if packet.track_id() != id {
            continue;
        }
        let decoded = decoder.decode(&packet).map_err(wrong)?;
        let channels = decoded.spec().channels.count().max(1);
        let mut buffer = SampleBuffer::<f32>::new(decoded.capacity() as u64, *decoded.spec());
        buffer.copy_interleaved_ref(decoded);
        let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
        samples.extend(buffer.samples().chunks(channels).map(mean));
    }
    Ok((samples, rate))
}

/// Files below a folder, in the order of their paths.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, error))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

impl AudioFolder {
    /// Recordings and what is said in them.
    ///
    /// # Errors
    /// A folder that cannot be read, or has no recordings.
    pub fn recordings(&self, folder: &Path) -> Result<Vec<(PathBuf, String)>> {
        let mut paths = Vec::new();
        files(folder, &mut paths)?;
        let mut said = HashMap::new();
        for path in paths.iter().filter(|path| path.to_string_lossy().ends_with(".trans.txt")) {
            let text = std::fs::read_to_string(path).map_err(|error| failed(path, error))?;
            said.extend(text.lines().filter_map(|line| {
                let (name, text) = line.split_once(' ')?;
                Some((name.to_owned(), text.trim().to_owned()))
            }));
        }
        paths.retain(|path| {
            let below = path.strip_prefix(folder).unwrap_or(path);
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            ["wav", "flac"].contains(&ending) && below.to_string_lossy().starts_with(&self.matching)
        });
        if paths.is_empty() {
            return Err(failed(folder, "there are no `.wav` and no `.flac` files of that name"));
        }
        let text = |path: PathBuf| {
            let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
            let text = name.and_then(|name| said.get(&name).cloned()).unwrap_or_default();
            (path, text)
        };
        Ok(paths.into_iter().map(text).collect())
    }
}

/// Recordings with what is said, and what their filter banks are made with.
#[derive(Debug)]
pub struct Recordings {
    list: Vec<(PathBuf, String)>,
    ear: LogMel,
    bank: Bank,
}

impl Component for AudioFolder {
    type State = Recordings;

    fn build(&self, cx: &mut Build<'_>) -> Result<Recordings> {
        let folder = cx.asset(&self.folder).map_err(|error| error.at("folder"))?;
        let ear = LogMel::standard(self.frames, self.bands, self.sampling_rate);
        Ok(Recordings { list: self.recordings(&folder)?, bank: ear.bank()?, ear })
    }

    fn length(&self, recordings: &Recordings, _: &mut Call<'_>) -> Result<usize> {
        Ok(recordings.list.len())
    }

    fn read(&self, recordings: &Recordings, indices: &[i64], _: &mut Call<'_>) -> Result<AudioFolderOutputs> {
        let (mut rows, mut counts, mut text) = (Vec::new(), Vec::new(), Vec::new());
        for index in indices {
            let found = usize::try_from(*index).ok().and_then(|row| recordings.list.get(row));
            let (path, words) = found.ok_or_else(|| {
                Error::new(format!("there is no recording {index} among {}", recordings.list.len()))
            })?;
            let (samples, rate) = decode(path)?;
            if rate as usize != self.sampling_rate {
                let reason = format!("{rate} samples a second, and the recipe says {}", self.sampling_rate);
                return Err(failed(path, reason).at("sampling_rate").help("convert the recordings"));
            }
            let (row, count) = recordings.ear.row(&recordings.bank, &Tensor::f_from_slice(&samples)?)?;
            rows.push(row);
            counts.push(count);
            text.push(words.clone());
        }
        Ok(AudioFolderOutputs {
            features: Tensor::f_stack(&rows, 0)?,
            attention_mask: recordings.ear.mask(&counts)?,
            text,
        })
    }
}
