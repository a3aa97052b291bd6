//! Sound to logarithmic mel filter banks, as Kaldi computes them.

use zoo_plugin::prelude::*;

/// What a wave of amplitude 1 has in 16 bits: Kaldi counts in those.
const SIXTEEN_BITS: f64 = 32768.0;
/// The smallest energy of a band, ε of 32-bit numbers.
const FLOOR: f64 = 1.192_092_955_078_125e-7;
/// How much of its predecessor is taken off a sample.
const PREEMPHASIS: f64 = 0.97;

/// Samples to logarithmic mel filter banks: the energy of every frame in bands as wide as the ear's.
///
/// A frame of 25 ms begins every 10 ms. Its mean is taken off, 0.97 of each sample's predecessor too, and a window put
/// over it (Povey's: Hann's to the power of 0.85); then come the squares of its Fourier transform, triangular bands
/// from 20 Hz to half the rate, equally wide in mel, and natural logarithms. These are Kaldi's numbers, and those that
/// transformers gives to w2v-BERT 2.0. With `normalize` every band of an utterance has mean 0 and variance 1.
///
/// Frames that are not whole are left out; a row has `frames`, of which later ones are cut off and missing ones 0.
///
/// # Paper
/// Davis, Mermelstein: Comparison of Parametric Representations for Monosyllabic Word Recognition, 1980; Povey et al.:
/// The Kaldi Speech Recognition Toolkit, 2011, `feature-fbank`.
///
/// # Example
/// ```mlm
/// model ear = speech.log_mel(frames: 8, bands: 20)
/// ```
#[component(
    function,
    name = "speech.log_mel",
    inputs(
        waveform: "float[B, S]" = "samples between -1 and 1",
        lengths: "int[B]"? = "samples that are none of padding; all, when absent",
    ),
    outputs(
        features: "float[B, frames, bands]" = "filter banks",
        attention_mask: "int[B, frames]" = "1 for frames, 0 for padding after them",
    ),
    loader,
)]
pub struct LogMel {
    /// Frames of a row.
    #[param(range = ">= 1")]
    pub frames: usize,
    /// Numbers of a frame.
    #[param(default = 80, range = ">= 1")]
    pub bands: usize,
    /// Samples of a second.
    #[param(default = 16_000, range = ">= 100")]
    pub sampling_rate: usize,
    /// How long a frame is.
    #[param(default = 0.025, range = "> 0", kind = "duration")]
    pub window: f64,
    /// From the beginning of a frame to that of the next.
    #[param(default = 0.01, range = "> 0", kind = "duration")]
    pub hop: f64,
    /// Where the lowest band begins, in Hz.
    #[param(default = 20.0, range = ">= 0")]
    pub lowest: f64,
    /// Whether each band of an utterance is brought to mean 0 and variance 1.
    #[param(default = true)]
    pub normalize: bool,
}

/// A frequency on the mel scale that Kaldi uses.
fn mel(hertz: f64) -> f64 {
    1127.0 * (1.0 + hertz / 700.0).ln()
}

/// Window and bands, once for all calls.
#[derive(Debug)]
pub struct Bank {
    /// Samples of a frame, and to the next.
    sizes: (i64, i64),
    /// Numbers of the Fourier transform.
    transform: i64,
    window: Vec<f64>,
    /// [transform / 2 + 1, bands], row by row.
    bands: Vec<f64>,
}

impl LogMel {
    /// With frames of 25 ms every 10 ms, from 20 Hz on, normalised.
    pub fn standard(frames: usize, bands: usize, sampling_rate: usize) -> Self {
        Self { frames, bands, sampling_rate, window: 0.025, hop: 0.01, lowest: 20.0, normalize: true }
    }

    /// 1 for frames and 0 for padding after them, int[B, frames], from the frames of each row.
    ///
    /// # Errors
    /// libtorch's.
    pub fn mask(&self, counts: &[i64]) -> Result<Tensor> {
        let frames = self.frames as i64;
        let mask: Vec<i64> =
            counts.iter().flat_map(|count| (0..frames).map(move |frame| i64::from(frame < *count))).collect();
        Ok(Tensor::f_from_slice(&mask)?.f_reshape([counts.len() as i64, frames])?)
    }

    /// The window and the bands.
    ///
    /// # Errors
    /// A frame that is no sample long, bands that end where they begin.
    pub fn bank(&self) -> Result<Bank> {
        let rate = self.sampling_rate as f64;
        let samples = |seconds: f64| (seconds * rate).round() as i64;
        let sizes = (samples(self.window), samples(self.hop));
        if sizes.0 < 2 || sizes.1 < 1 {
            let text = format!("frames of {} samples every {}", sizes.0, sizes.1);
            return Err(Error::new(text).at("window").help("give frames at least 2 samples"));
        }
        if self.lowest >= rate / 2.0 {
            let text = format!(
                "bands from {} Hz on, of sound with frequencies up to {} Hz",
                self.lowest,
                rate / 2.0
            );
            return Err(Error::new(text).at("lowest"));
        }
        let transform = (sizes.0 as u64).next_power_of_two() as i64;
        let (from, to) = (mel(self.lowest), mel(rate / 2.0));
        let edge = |number: usize| from + (to - from) * number as f64 / (self.bands + 1) as f64;
        let mut weights = Vec::new();
        for bin in 0..=transform / 2 {
            let at = mel(bin as f64 * rate / transform as f64);
            weights.extend((0..self.bands).map(|band| {
                let (left, middle, right) = (edge(band), edge(band + 1), edge(band + 2));
                ((at - left) / (middle - left)).min((right - at) / (right - middle)).max(0.0)
            }));
        }
        let last = (sizes.0 - 1) as f64;
        let window: Vec<f64> = (0..sizes.0)
            .map(|n| (0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / last).cos()).powf(0.85))
            .collect();
        Ok(Bank { sizes, transform, window, bands: weights })
    }

    /// Samples [S] of one utterance to filter banks [frames, bands], all that are whole and not normalised.
    ///
    /// # Errors
    /// libtorch's.
    pub fn features(&self, bank: &Bank, samples: &Tensor) -> Result<Tensor> {
        // In 32 bits the noise of the transform would drown quiet bands.
        let samples = samples.f_to_kind(Kind::Double)?.f_mul_scalar(SIXTEEN_BITS)?;
        let (size, hop) = bank.sizes;
        let window = Tensor::f_from_slice(&bank.window)?;
        let bands = Tensor::f_from_slice(&bank.bands)?.f_reshape([-1, self.bands as i64])?;
        if samples.size()[0] < size {
            return Ok(Tensor::f_zeros([0, self.bands as i64], (Kind::Double, Device::Cpu))?);
        }
        let frames = samples.f_unfold(0, size, hop)?;
        let frames = frames.f_sub(&frames.f_mean_dim([-1_i64].as_slice(), true, Kind::Double)?)?;
        let before = Tensor::f_cat(&[frames.f_narrow(1, 0, 1)?, frames.f_narrow(1, 0, size - 1)?], 1)?;
        let frames = frames.f_sub(&before.f_mul_scalar(PREEMPHASIS)?)?.f_mul(&window)?;
        let energy = frames.f_fft_rfft(bank.transform, -1, "backward")?.f_abs()?.f_square()?;
        Ok(energy.f_matmul(&bands)?.f_clamp_min(FLOOR)?.f_log()?)
    }

    /// The same, normalised where that is asked for, as rows have them: float[frames, bands], and how many are real.
    ///
    /// # Errors
    /// libtorch's.
    pub fn row(&self, bank: &Bank, samples: &Tensor) -> Result<(Tensor, i64)> {
        let mut features = self.features(bank, samples)?;
        let whole = features.size()[0];
        if self.normalize && whole > 1 {
            let mean = features.f_mean_dim([0_i64].as_slice(), true, Kind::Double)?;
            let variance = features.f_var_dim([0_i64].as_slice(), true, true)?;
            features = features.f_sub(&mean)?.f_div(&variance.f_add_scalar(1e-7)?.f_sqrt()?)?;
        }
        let count = whole.min(self.frames as i64);
        let missing = self.frames as i64 - count;
        let row = features.f_narrow(0, 0, count)?.f_constant_pad_nd([0, 0, 0, missing])?;
        Ok((row.f_to_kind(Kind::Float)?, count))
    }
}

impl Component for LogMel {
    type State = Bank;

    fn build(&self, _: &mut Build<'_>) -> Result<Bank> {
        self.bank()
    }

    fn call(&self, bank: &Bank, x: LogMelInputs<'_>, _: &mut Call<'_>) -> Result<LogMelOutputs> {
        let (batch, samples) = x.waveform.size2()?;
        let lengths = match x.lengths {
            Some(lengths) => Vec::<i64>::try_from(lengths)?,
            None => vec![samples; batch as usize],
        };
        let (mut rows, mut counts) = (Vec::new(), Vec::new());
        for (row, length) in lengths.into_iter().enumerate() {
            let sound = x.waveform.f_select(0, row as i64)?.f_narrow(0, 0, length.clamp(0, samples))?;
            let (features, count) = self.row(bank, &sound)?;
            rows.push(features);
            counts.push(count);
        }
        let features = if rows.is_empty() {
            Tensor::f_zeros([0, self.frames as i64, self.bands as i64], (Kind::Float, Device::Cpu))?
        } else {
            Tensor::f_stack(&rows, 0)?
        };
        Ok(LogMelOutputs { features, attention_mask: self.mask(&counts)? })
    }
}
