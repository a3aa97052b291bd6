//! Utterances of a made-up language, as frames with known phones.

use zoo_plugin::prelude::*;

/// Utterances of a made-up language: frames of filter banks, with the phone of every frame.
///
/// A phone is a spectrum, one number a band from N(0, 1), and any of `successors` others may come after it. It lasts
/// from 2 to 5 frames. Frames are smoothed with their neighbours (half of each frame, a quarter of either); a speaker
/// adds a spectrum of his own, from N(0, 0.5²), to all frames of an utterance, and every number has noise. Phones and
/// successors depend on `language` alone, so that several data sets speak the same.
///
/// # Example
/// ```mlm
/// data utterances = speech.synthetic_phones(utterances: 1000, frames: 48)
/// ```
#[component(
    data,
    name = "speech.synthetic_phones",
    outputs(
        features: "float[B, frames, bands]" = "filter banks",
        attention_mask: "int[B, frames]" = "1: no frame is padding",
        frame_phones: "int[B, frames/stride]" = "the phone of each frame that is told, from 0",
        text: "text[B]" = "the phones one after the other, p0 to p19, between single spaces",
    ),
    random,
)]
pub struct SyntheticPhones {
    /// Number of utterances.
    #[param(default = 10_000, range = ">= 1")]
    pub utterances: usize,
    /// Frames of an utterance.
    #[param(default = 48, range = ">= 2")]
    pub frames: usize,
    /// Numbers of a frame.
    #[param(default = 16, range = ">= 1")]
    pub bands: usize,
    /// Phones of the language.
    #[param(default = 20, range = ">= 2")]
    pub phones: usize,
    /// Phones that may come after a phone.
    #[param(default = 3, range = ">= 1")]
    pub successors: usize,
    /// Standard deviation of what a speaker adds to a band.
    #[param(default = 0.5, range = ">= 0")]
    pub speaker_deviation: f64,
    /// Standard deviation of the noise of a number.
    #[param(default = 0.6, range = ">= 0")]
    pub noise_deviation: f64,
    /// The phone of every so manieth frame is told, for models that make frames fewer; must divide `frames`.
    #[param(default = 1, range = ">= 1")]
    pub stride: usize,
    /// Which language is spoken.
    #[param(default = 0)]
    pub language: usize,
}

/// A number from N(0, 1) (Box and Muller, 1958).
fn normal(random: &mut impl Rng) -> f64 {
    let (radius, angle) = (1.0 - random.random::<f64>(), random.random::<f64>());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// Spectra of the phones, and the phones that may follow each.
#[derive(Clone, Debug)]
pub struct Language {
    spectra: Vec<Vec<f64>>,
    /// Phones that may come after a phone.
    pub successors: Vec<Vec<usize>>,
}

/// What is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// Frame by frame.
    pub features: Vec<f32>,
    /// The phone of each frame.
    pub frame_phones: Vec<i64>,
    /// The phones.
    pub phones: Vec<i64>,
}

impl SyntheticPhones {
    /// The language, from its number alone.
    pub fn language(&self) -> Language {
        let mut random = ChaCha8Rng::seed_from_u64(self.language as u64);
        let spectra =
            (0..self.phones).map(|_| (0..self.bands).map(|_| normal(&mut random)).collect()).collect();
        let successors = (0..self.phones)
            .map(|phone| {
                let mut others: Vec<usize> = (0..self.phones).filter(|other| *other != phone).collect();
                for place in 0..self.successors.min(others.len()) {
                    let other = random.random_range(place..others.len());
                    others.swap(place, other);
                }
                others.truncate(self.successors);
                others
            })
            .collect();
        Language { spectra, successors }
    }

    /// One utterance.
    pub fn utterance(&self, language: &Language, random: &mut impl Rng) -> Utterance {
        let (mut phones, mut frame_phones) = (Vec::new(), Vec::new());
        let mut phone = random.random_range(0..self.phones);
        while frame_phones.len() < self.frames {
            phones.push(phone as i64);
            let duration = random.random_range(2..=5).min(self.frames - frame_phones.len());
            frame_phones.extend(std::iter::repeat_n(phone as i64, duration));
            let next = &language.successors[phone];
            phone = next[random.random_range(0..next.len())];
        }
        let speaker: Vec<f64> = (0..self.bands).map(|_| self.speaker_deviation * normal(random)).collect();
        let at = |frame: usize, band: usize| language.spectra[frame_phones[frame] as usize][band];
        let mut features = Vec::with_capacity(self.frames * self.bands);
        for frame in 0..self.frames {
            let (before, after) = (frame.saturating_sub(1), (frame + 1).min(self.frames - 1));
            for (band, own) in speaker.iter().enumerate() {
                let smooth = 0.5 * at(frame, band) + 0.25 * (at(before, band) + at(after, band));
                features.push((smooth + own + self.noise_deviation * normal(random)) as f32);
            }
        }
        Utterance { features, frame_phones, phones }
    }
}

impl Component for SyntheticPhones {
    /// The language, and the seed of all utterances.
    type State = (Language, u64);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        if !self.frames.is_multiple_of(self.stride) {
            return Err(Error::new(format!("{} frames are no multiple of {}", self.frames, self.stride))
                .at("stride")
                .help("choose a divisor of the frames"));
        }
        if self.successors >= self.phones {
            let text = format!("{} successors among {} other phones", self.successors, self.phones - 1);
            return Err(Error::new(text).at("successors"));
        }
        Ok((self.language(), cx.seed("utterances", 0)))
    }

    fn length(&self, _: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(self.utterances)
    }

    fn read(
        &self,
        (language, seed): &Self::State,
        indices: &[i64],
        _: &mut Call<'_>,
    ) -> Result<SyntheticPhonesOutputs> {
        let (mut features, mut frame_phones, mut text) = (Vec::new(), Vec::new(), Vec::new());
        for index in indices {
            let row = u64::try_from(*index).ok().filter(|row| *row < self.utterances as u64);
            let row = row.ok_or_else(|| {
                Error::new(format!("there is no utterance {index} among {}", self.utterances))
            })?;
            // Utterances do not depend on which others are read.
            let mut random = ChaCha8Rng::seed_from_u64(*seed);
            random.set_stream(row);
            let said = self.utterance(language, &mut random);
            features.extend(said.features);
            frame_phones.extend(said.frame_phones.into_iter().step_by(self.stride));
            let names: Vec<String> = said.phones.iter().map(|phone| format!("p{phone}")).collect();
            text.push(names.join(" "));
        }
        let (count, frames) = (indices.len() as i64, self.frames as i64);
        Ok(SyntheticPhonesOutputs {
            features: Tensor::f_from_slice(&features)?.f_reshape([count, frames, self.bands as i64])?,
            attention_mask: Tensor::f_ones([count, frames], (Kind::Int64, Device::Cpu))?,
            frame_phones: Tensor::f_from_slice(&frame_phones)?
                .f_reshape([count, frames / self.stride as i64])?,
            text,
        })
    }
}
