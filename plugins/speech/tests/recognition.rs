//! Connectionist temporal classification, error rates, made-up utterances and recordings.

#![allow(clippy::unwrap_used, reason = "a test may")]

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::path::Path;
use tch::{Kind, Tensor};
use zoo_speech::{AudioFolder, Ctc, ErrorRate, LogMel, SyntheticPhones, collapse, decode, edit_distance};

/// The sum over every way that says the labels.
fn by_hand(probabilities: &[[f64; 3]], labels: &[i64]) -> f64 {
    let frames = probabilities.len() as u32;
    let mut sum = 0.0;
    for way in 0..3_usize.pow(frames) {
        let classes: Vec<usize> = (0..frames).map(|t| way / 3_usize.pow(t) % 3).collect();
        let ids: Vec<i64> = classes.iter().map(|class| *class as i64).collect();
        if collapse(&ids, 2) == labels {
            sum += classes.iter().zip(probabilities).map(|(class, p)| p[*class]).product::<f64>();
        }
    }
    -sum.ln()
}

#[test]
fn all_ways_are_summed() {
    let probabilities = [[0.5, 0.2, 0.3], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.25, 0.35, 0.4]];
    let logits = Tensor::from_slice2(&probabilities).log().unsqueeze(0);
    for labels in [&[0_i64, 1][..], &[0], &[1, 1], &[], &[0, 0]] {
        let padded: Vec<i64> = labels.iter().copied().chain([-1; 3]).take(3).collect();
        let got = Ctc::loss(&logits, None, &Tensor::from_slice(&padded).unsqueeze(0), None).unwrap();
        let got = f64::try_from(got).unwrap();
        assert!((got - by_hand(&probabilities, labels)).abs() < 1e-9, "{labels:?}: {got}");
        // The last frame is padding.
        let mask = Tensor::from_slice2(&[[1_i64, 1, 1, 0]]);
        let got = Ctc::loss(&logits, Some(&mask), &Tensor::from_slice(&padded).unsqueeze(0), None).unwrap();
        let got = f64::try_from(got).unwrap();
        assert!((got - by_hand(&probabilities[..3], labels)).abs() < 1e-9, "{labels:?}: {got}");
    }
    // More labels than frames can say.
    let none = Ctc::loss(&logits, None, &Tensor::from_slice2(&[[0_i64, 0, 0]]), None).unwrap();
    assert_eq!(f64::try_from(none).unwrap(), 0.0);
    let error = Ctc::loss(&logits, None, &Tensor::from_slice2(&[[3_i64]]), None).unwrap_err();
    assert!(error.message.contains("the label 3, with 3 classes"), "{error:?}");
}

#[test]
fn errors_are_counted() {
    let letters = |text: &str| text.chars().collect::<Vec<_>>();
    for (a, b, distance) in [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2)] {
        assert_eq!(edit_distance(&letters(a), &letters(b)), distance);
    }
    assert_eq!(collapse(&[4, 4, 9, 4, 1, 1, 9, 9, 0], 9), [4, 4, 1, 0]);
    let of_words = ErrorRate { word_separator: Some(0) };
    // Two words, of which one has a wrong letter; separators at the ends are nothing.
    assert_eq!(of_words.edits(&[1, 2, 0, 3, 0], &[0, 1, 2, 0, 4]), (1, 2));
    assert_eq!(ErrorRate { word_separator: None }.edits(&[1, 2], &[1, 3, 2]), (1, 3));
}

#[test]
fn utterances_follow_their_language() {
    let data = SyntheticPhones {
        utterances: 10,
        frames: 48,
        bands: 16,
        phones: 20,
        successors: 3,
        speaker_deviation: 0.5,
        noise_deviation: 0.6,
        stride: 1,
        language: 0,
    };
    let language = data.language();
    let mut seen = std::collections::HashSet::new();
    for seed in 0..300 {
        let said = data.utterance(&language, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!((said.features.len(), said.frame_phones.len()), (48 * 16, 48));
        // No phone follows itself, so that what is without repetitions is what was said.
        assert_eq!(collapse(&said.frame_phones, -1), said.phones);
        for pair in said.phones.windows(2) {
            assert!(language.successors[pair[0] as usize].contains(&(pair[1] as usize)));
            seen.insert((pair[0], pair[1]));
        }
        let mut last = 0;
        let mut runs: Vec<usize> = Vec::new();
        for (frame, phone) in said.frame_phones.iter().enumerate() {
            if *phone != said.frame_phones[last] {
                runs.push(frame - last);
                last = frame;
            }
        }
        assert!(runs.iter().all(|run| (2..=5).contains(run)), "{runs:?}");
    }
    assert_eq!(seen.len(), 60);
}

fn ear(frames: usize, normalize: bool) -> LogMel {
    LogMel { frames, bands: 80, sampling_rate: 16_000, window: 0.025, hop: 0.01, lowest: 20.0, normalize }
}

fn sound(count: usize) -> Tensor {
    let tau = std::f64::consts::TAU;
    let sample = |n: usize| {
        let t = n as f64 / 16_000.0;
        let wave = 0.3 * (tau * 440.0 * t).sin() + 0.1 * (tau * 1800.0 * t * (1.0 + t)).sin();
        (wave + 0.05 * (tau * 3000.0 * t).cos() + 0.01) as f32
    };
    Tensor::from_slice(&(0..count).map(sample).collect::<Vec<_>>())
}

/// Numbers of `SeamlessM4TFeatureExtractor`, transformers 5.23, which computes w2v-BERT 2.0's input.
#[test]
fn filter_banks_are_those_of_w2v_bert() {
    let ear = ear(30, false);
    let features = ear.features(&ear.bank().unwrap(), &sound(4000)).unwrap();
    assert_eq!(features.size(), [23, 80]);
    for (frame, band, expected) in [
        (0, 0, 8.195_939),
        (0, 10, 15.202_106),
        (0, 40, 25.135_340),
        (5, 20, 12.437_007),
        (5, 79, -0.748_512),
        (12, 33, 4.816_275),
        (22, 60, 6.241_807),
        (22, 5, 10.754_417),
    ] {
        let got = features.double_value(&[frame, band]);
        assert!((got - expected).abs() < 2e-3, "{frame}, {band}: {got} is not {expected}");
    }
    let (row, count) = self::ear(30, true).row(&ear.bank().unwrap(), &sound(4000)).unwrap();
    assert_eq!((row.size(), count), (vec![30, 80], 23));
    for (frame, band, expected) in [(0, 0, -1.192_003), (0, 2, -1.045_229), (21, 79, 0.348_181)] {
        let got = row.double_value(&[frame, band]);
        assert!((got - expected).abs() < 1e-3, "{frame}, {band}: {got} is not {expected}");
    }
    // Later rows are padding, and less than a frame is none.
    assert_eq!(f64::try_from(row.narrow(0, 23, 7).abs().sum(Kind::Float)).unwrap(), 0.0);
    assert_eq!(ear.row(&ear.bank().unwrap(), &sound(399)).unwrap().1, 0);
}

/// A WAV file of 16-bit samples.
fn wav(path: &Path, rate: u32, channels: u16, samples: &[i16]) {
    let size = samples.len() as u32 * 2;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + size).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(channels) * 2).to_le_bytes());
    bytes.extend((channels * 2).to_le_bytes());
    bytes.extend(b"\x10\0data");
    bytes.extend(size.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn recordings_are_read_with_what_is_said() {
    let place = tempfile::tempdir().unwrap();
    let chapter = place.path().join("19").join("198");
    std::fs::create_dir_all(&chapter).unwrap();
    wav(&chapter.join("19-198-1.wav"), 16_000, 1, &[0, 16_384, -32_768, 8192]);
    wav(&chapter.join("19-198-0.wav"), 8000, 2, &[16_384, 0, -16_384, -8192]);
    std::fs::write(chapter.join("19-198.trans.txt"), "19-198-0 HELLO THERE\n19-198-2 NOT HERE\n").unwrap();
    let data = AudioFolder {
        folder: String::new(),
        matching: "19".to_owned(),
        frames: 8,
        bands: 80,
        sampling_rate: 16_000,
    };
    let found = data.recordings(place.path()).unwrap();
    let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["HELLO THERE", ""]);
    assert_eq!(decode(&found[1].0).unwrap(), (vec![0.0, 0.5, -1.0, 0.25], 16_000));
    // Two channels are averaged.
    assert_eq!(decode(&found[0].0).unwrap(), (vec![0.25, -0.375], 8000));
    let other = AudioFolder { matching: "20".to_owned(), ..data };
    assert!(other.recordings(place.path()).unwrap_err().message.contains("there are no `.wav`"));
    let broken = chapter.join("broken.wav");
    std::fs::write(&broken, "no sound").unwrap();
    assert!(decode(&broken).unwrap_err().message.contains("broken.wav"));
}
