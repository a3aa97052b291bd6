//! Rotary position embeddings (Su et al., 2021) and the ways to stretch them to longer texts.

use crate::config::Config;
use zoo_plugin::prelude::*;

/// How frequencies are changed for texts longer than those of the pretraining.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All divided by the factor.
    Linear(f64),
    /// The base grows with the length, beyond `original` tokens.
    Dynamic {
        /// Factor of the growth.
        factor: f64,
    },
    /// Low frequencies divided, high ones kept, between them interpolated (Llama 3.1).
    Llama3 {
        /// Divisor of low frequencies.
        factor: f64,
        /// Bound of low frequencies, as a share of the original length.
        low: f64,
        /// Bound of high ones.
        high: f64,
        /// Length of the pretraining, in tokens.
        original: f64,
    },
    /// YaRN (Peng et al., 2024).
    Yarn {
        /// Divisor of low frequencies.
        factor: f64,
        /// Rotations over the original length above which a frequency is kept.
        fast: f64,
        /// Rotations below which it is divided.
        slow: f64,
        /// Length of the pretraining, in tokens.
        original: f64,
        /// Whether bounds are rounded to whole dimensions.
        truncate: bool,
    },
    /// LongRoPE (Ding et al., 2024): a divisor for each frequency, of two sets.
    Long {
        /// For texts of up to `original` tokens.
        short: Vec<f64>,
        /// For longer ones.
        long: Vec<f64>,
        /// Length of the pretraining, in tokens.
        original: f64,
    },
}

/// A rotary embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct RotarySpecification {
    /// How many dimensions of a head are rotated; even.
    pub dimensions: i64,
    /// Base of the wave lengths.
    pub base: f64,
    /// Longest text of the configuration, in tokens.
    pub maximum: i64,
    /// How frequencies are changed.
    pub scaling: Scaling,
    /// Factor of sines and cosines.
    pub attention_factor: f64,
}

impl RotarySpecification {
    /// Reads `rope_parameters`, or `rope_theta` and `rope_scaling` of older files; `group` is the
    /// key inside `rope_parameters` where layers differ.
    ///
    /// # Errors
    /// Keys that are missing or wrong, and an unknown `rope_type`.
    pub fn read(config: &Config, head: i64, default_base: f64, group: Option<&str>) -> Result<Self> {
        let mut part = config.part("rope_parameters")?;
        if let (Some(parameters), Some(group)) = (&part, group)
            && let Some(inner) = parameters.part(group)?
        {
            part = Some(inner);
        }
        let old = if part.is_none() { config.part("rope_scaling")? } else { None };
        let theta = config.real_or("rope_theta", default_base)?;
        let scaling = part.or(old);
        let base = match &scaling {
            Some(scaling) => scaling.real_or("rope_theta", theta)?,
            None => theta,
        };
        let whole = config.real_or("partial_rotary_factor", 1.0)?;
        let share = match &scaling {
            Some(scaling) => scaling.real_or("partial_rotary_factor", whole)?,
            None => whole,
        };
        let dimensions = (head as f64 * share) as i64;
        if dimensions < 2 || dimensions % 2 != 0 || dimensions > head || base <= 1.0 {
            return Err(Error::new(format!(
                "{dimensions} of {head} dimensions cannot be rotated with base {base}; an even number of at least 2 can"
            )));
        }
        let maximum = config.size_or("max_position_embeddings", 2048)?;
        let (scaling, attention_factor) = match scaling {
            Some(scaling) => Self::scaling(config, &scaling, maximum, dimensions)?,
            None => (Scaling::None, 1.0),
        };
        Ok(Self { dimensions, base, maximum, scaling, attention_factor })
    }

    /// The same for a family that rotates whole heads of `head` dimensions. As in transformers, a
    /// `partial_rotary_factor` then means nothing where frequencies are not changed.
    ///
    /// # Errors
    /// A share of the head's dimensions with changed frequencies.
    pub fn of_whole_heads(mut self, head: i64) -> Result<Self> {
        if self.dimensions != head && self.scaling != Scaling::None {
            let text = format!(
                "`partial_rotary_factor` of config.json rotates {} of {head} dimensions, which is not supported",
                self.dimensions
            );
            return Err(Error::new(text).help("supported is 1.0 in this family").at("config"));
        }
        self.dimensions = head;
        Ok(self)
    }

    fn scaling(config: &Config, part: &Config, maximum: i64, dimensions: i64) -> Result<(Scaling, f64)> {
        let kind = part.text_or("rope_type", part.text_or("type", "default")?)?;
        let needed = |key: &str| -> Result<f64> {
            part.real(key)?.filter(|v| *v > 0.0).ok_or_else(|| {
                Error::new(format!("rope scaling `{kind}` needs a positive `{key}` in config.json"))
            })
        };
        // Phi-3 has it beside, not in, the scaling.
        let beside = config.real_or("original_max_position_embeddings", maximum as f64)?;
        let original = part.real_or("original_max_position_embeddings", beside)?;
        if original <= 1.0 {
            return Err(Error::new("`original_max_position_embeddings` of config.json must be more than 1"));
        }
        let plain = |scaling| Ok((scaling, 1.0));
        match kind {
            "default" | "mrope" => plain(Scaling::None),
            "linear" => plain(Scaling::Linear(needed("factor")?)),
            "dynamic" => plain(Scaling::Dynamic { factor: needed("factor")? }),
            "llama3" => plain(Scaling::Llama3 {
                factor: needed("factor")?,
                low: needed("low_freq_factor")?,
                high: needed("high_freq_factor")?,
                original,
            }),
            "yarn" => {
                let factor = part.real_or("factor", maximum as f64 / original)?;
                let grown = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
                let attention = match part.real("attention_factor")? {
                    Some(given) => given,
                    None => match (part.real("mscale")?, part.real("mscale_all_dim")?) {
                        (Some(a), Some(b)) if a != 0.0 && b != 0.0 => grown(a) / grown(b),
                        _ => grown(1.0),
                    },
                };
                let scaling = Scaling::Yarn {
                    factor,
                    fast: part.real_or("beta_fast", 32.0)?,
                    slow: part.real_or("beta_slow", 1.0)?,
                    original,
                    truncate: part.flag_or("truncate", true)?,
                };
                Ok((scaling, attention))
            }
            "longrope" | "su" => {
                let list = |key: &str| -> Result<Vec<f64>> {
                    part.reals(key)?
                        .filter(|l| l.len() as i64 == dimensions / 2 && l.iter().all(|f| *f > 0.0))
                        .ok_or_else(|| {
                            let half = dimensions / 2;
                            Error::new(format!("`{key}` of config.json must be {half} positive numbers"))
                        })
                };
                let factor = part.real_or("factor", maximum as f64 / original)?;
                let attention = match part.real("attention_factor")? {
                    Some(given) => given,
                    None if factor <= 1.0 => 1.0,
                    None => (1.0 + factor.ln() / original.ln()).sqrt(),
                };
                let scaling =
                    Scaling::Long { short: list("short_factor")?, long: list("long_factor")?, original };
                Ok((scaling, attention))
            }
            _ => {
                let key = if part.get("rope_type").is_some() { "rope_type" } else { "type" };
                Err(part.unsupported(key, "default, linear, dynamic, llama3, yarn and longrope"))
            }
        }
    }

    /// Angles per position, `dimensions / 2` of them, for a text of `length` tokens.
    pub fn frequencies(&self, length: i64) -> Vec<f64> {
        let size = self.dimensions as f64;
        let half = (self.dimensions / 2) as usize;
        let powers = |base: f64| (0..half).map(move |i| base.powf(2.0 * i as f64 / size));
        match &self.scaling {
            Scaling::None => powers(self.base).map(|p| 1.0 / p).collect(),
            Scaling::Linear(factor) => powers(self.base).map(|p| 1.0 / p / factor).collect(),
            Scaling::Dynamic { factor } => {
                if self.dimensions <= 2 {
                    return powers(self.base).map(|p| 1.0 / p).collect();
                }
                let maximum = self.maximum as f64;
                let grown = factor * (length as f64).max(maximum) / maximum - (factor - 1.0);
                powers(self.base * grown.powf(size / (size - 2.0))).map(|p| 1.0 / p).collect()
            }
            Scaling::Llama3 { factor, low, high, original } => powers(self.base)
                .map(|p| {
                    let frequency = 1.0 / p;
                    let wave = std::f64::consts::TAU / frequency;
                    if wave < original / high {
                        frequency
                    } else if wave > original / low {
                        frequency / factor
                    } else {
                        let smooth = (original / wave - low) / (high - low);
                        (1.0 - smooth) * frequency / factor + smooth * frequency
                    }
                })
                .collect(),
            Scaling::Yarn { factor, fast, slow, original, truncate } => {
                let place = |rotations: f64| {
                    size * (original / (rotations * std::f64::consts::TAU)).ln() / (2.0 * self.base.ln())
                };
                let (mut low, mut high) = (place(*fast), place(*slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(size - 1.0));
                if low == high {
                    high += 0.001;
                }
                powers(self.base)
                    .enumerate()
                    .map(|(i, p)| {
                        let kept = 1.0 - ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                        (1.0 - kept) / (factor * p) + kept / p
                    })
                    .collect()
            }
            Scaling::Long { short, long, original } => {
                let divisors = if length as f64 > *original { long } else { short };
                powers(self.base).zip(divisors).map(|(p, d)| 1.0 / (d * p)).collect()
            }
        }
    }

    /// Sines and cosines for positions [B or 1, T] of a text of `length` tokens.
    ///
    /// # Errors
    /// libtorch's.
    pub fn rotation(&self, positions: &Tensor, length: i64, kind: Kind) -> Result<Rotation> {
        let frequencies: Vec<f32> = self.frequencies(length).into_iter().map(|f| f as f32).collect();
        let frequencies = Tensor::f_from_slice(&frequencies)?.f_to_device(positions.device())?;
        let angles = positions.f_to_kind(Kind::Float)?.f_unsqueeze(-1)?.f_mul(&frequencies)?;
        let angles = Tensor::f_cat(&[&angles, &angles], -1)?.f_unsqueeze(1)?;
        let finish = |t: Tensor| -> Result<Tensor> {
            let t = if self.attention_factor == 1.0 { t } else { t.f_mul_scalar(self.attention_factor)? };
            Ok(t.f_to_kind(kind)?)
        };
        Ok(Rotation {
            cosine: finish(angles.f_cos()?)?,
            sine: finish(angles.f_sin()?)?,
            size: self.dimensions,
        })
    }
}

/// Sines and cosines of one call, [B or 1, 1, T, dimensions].
#[derive(Debug)]
pub struct Rotation {
    cosine: Tensor,
    sine: Tensor,
    size: i64,
}

impl Rotation {
    /// Rotates the first dimensions of each head: x [B, heads, T, head].
    ///
    /// # Errors
    /// libtorch's.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let head = x.size().last().copied().unwrap_or(0);
        if self.size == head {
            return self.turn(x);
        }
        let turned = self.turn(&x.f_narrow(-1, 0, self.size)?)?;
        Ok(Tensor::f_cat(&[&turned, &x.f_narrow(-1, self.size, head - self.size)?], -1)?)
    }

    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let half = self.size / 2;
        let swapped = Tensor::f_cat(&[&x.f_narrow(-1, half, half)?.f_neg()?, &x.f_narrow(-1, 0, half)?], -1)?;
        Ok(x.f_mul(&self.cosine)?.f_add(&swapped.f_mul(&self.sine)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RotarySpecification> {
        RotarySpecification::read(&Config::parse(text).unwrap(), 8, 10000.0, None)
    }

    #[test]
    fn both_spellings_are_read() {
        let new = read(r#"{"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}}"#);
        let old = read(r#"{"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 4.0}}"#);
        let new = new.unwrap();
        assert_eq!(new, old.unwrap());
        assert!((new.frequencies(1)[1] - 500f64.powf(-0.25) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            r#"{"rope_scaling": {"type": "spiral"}}"#,
            r#"{"rope_scaling": {"type": "linear"}}"#,
            r#"{"rope_scaling": {"type": "longrope", "short_factor": [1], "long_factor": [1]}}"#,
            r#"{"rope_parameters": {"partial_rotary_factor": 0.1}}"#,
            r#"{"rope_theta": 0.0}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
