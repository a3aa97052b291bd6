//! Initial values: a function of the run's seed and the parameter's full name, and of nothing else,
//! so that another layer, plugin or arm changes no other parameter's start.

use crate::seed::{Part, hash};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Values of one stream; large tensors are drawn in parallel, a stream a chunk, so that the number
/// of threads makes no difference.
const CHUNK: usize = 1 << 16;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// All the same.
    Constant(f64),
    /// Normal with mean and standard deviation.
    Normal(f64, f64),
    /// Normal with mean and standard deviation, redrawn outside two deviations.
    TruncatedNormal(f64, f64),
    /// Uniform between the two, the second excluded.
    Uniform(f64, f64),
}

impl Initial {
    /// From the ABI's numbers; an unknown kind or numbers that make no sense are a reason.
    pub(crate) fn from_abi(init: &zoo_abi::Init) -> Result<Self, String> {
        use zoo_abi::init;
        let (a, b) = (init.a, init.b);
        let made = match init.kind {
            init::ZEROS => Self::Constant(0.0),
            init::ONES => Self::Constant(1.0),
            init::CONSTANT => Self::Constant(a),
            init::NORMAL => Self::Normal(a, b),
            init::TRUNCATED_NORMAL => Self::TruncatedNormal(a, b),
            init::UNIFORM => Self::Uniform(a, b),
            other => return Err(format!("the ABI knows no way {other} to start a parameter")),
        };
        match made {
            Self::Constant(_) => Ok(made),
            _ if !(a.is_finite() && b.is_finite()) => {
                Err(format!("it cannot start with numbers {a} and {b}"))
            }
            Self::Uniform(low, high) if high < low => {
                Err(format!("it cannot start between {low} and {high}"))
            }
            Self::Normal(_, deviation) | Self::TruncatedNormal(_, deviation) if deviation < 0.0 => {
                Err(format!("it cannot start with a standard deviation of {deviation}"))
            }
            _ => Ok(made),
        }
    }

    /// The values of a parameter of `count` elements.
    pub fn draw(self, run_seed: u64, full_name: &str, count: usize) -> Vec<f32> {
        let mut values = vec![0.0_f32; count];
        let (from, to) = match self {
            Self::Constant(value) => {
                values.fill(value as f32);
                return values;
            }
            Self::Normal(a, b) | Self::TruncatedNormal(a, b) | Self::Uniform(a, b) => (a, b),
        };
        let key = hash(run_seed, &[Part::Text("parameter"), Part::Text(full_name)]);
        let fill = |number: usize, chunk: &mut [f32]| {
            let mut rng = ChaCha8Rng::from_seed(key);
            rng.set_stream(number as u64);
            match self {
                Self::Constant(_) => {}
                Self::Uniform(..) => {
                    for value in chunk {
                        let drawn = (from + (to - from) * unit(&mut rng)) as f32;
                        // Rounding to 32 bits may reach the excluded end.
                        *value = if f64::from(drawn) < to { drawn } else { from as f32 };
                    }
                }
                Self::Normal(..) => {
                    for pair in chunk.chunks_mut(2) {
                        let (x, y) = normal_pair(&mut rng);
                        pair[0] = (from + to * x) as f32;
                        if let Some(second) = pair.get_mut(1) {
                            *second = (from + to * y) as f32;
                        }
                    }
                }
                Self::TruncatedNormal(..) => {
                    for value in chunk {
                        let x = loop {
                            let (x, _) = normal_pair(&mut rng);
                            if x.abs() <= 2.0 {
                                break x;
                            }
                        };
                        *value = (from + to * x) as f32;
                    }
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let chunks = count.div_ceil(CHUNK);
        if chunks <= 2 || threads == 1 {
            for (number, chunk) in values.chunks_mut(CHUNK).enumerate() {
                fill(number, chunk);
            }
        } else {
            let share = chunks.div_ceil(threads);
            let fill = &fill;
            std::thread::scope(|scope| {
                for (i, part) in values.chunks_mut(share * CHUNK).enumerate() {
                    scope.spawn(move || {
                        for (j, chunk) in part.chunks_mut(CHUNK).enumerate() {
                            fill(i * share + j, chunk);
                        }
                    });
                }
            });
        }
        values
    }
}

/// In (0, 1): never an end, so that its logarithm is finite.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// Two independent standard normal numbers (Box and Muller, 1958).
fn normal_pair(rng: &mut ChaCha8Rng) -> (f64, f64) {
    let radius = (-2.0 * unit(rng).ln()).sqrt();
    let (sine, cosine) = (std::f64::consts::TAU * unit(rng)).sin_cos();
    (radius * cosine, radius * sine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    #[test]
    fn values_depend_on_seed_and_name_alone() {
        let init = Initial::Normal(0.0, 0.02);
        let a = init.draw(1, "gen.a", 1000);
        assert_eq!(a, init.draw(1, "gen.a", 1000));
        assert_eq!(a[..500], init.draw(1, "gen.a", 500)[..], "a longer tensor begins like a shorter one");
        assert_ne!(a, init.draw(2, "gen.a", 1000));
        assert_ne!(a, init.draw(1, "gen.b", 1000));
    }

    #[test]
    fn threads_make_no_difference() {
        let count = 5 * CHUNK + 17;
        let all = Initial::Normal(0.0, 1.0).draw(3, "x", count);
        // Two chunks are drawn in this thread.
        assert_eq!(all[..2 * CHUNK], Initial::Normal(0.0, 1.0).draw(3, "x", 2 * CHUNK)[..]);
    }

    #[test]
    fn moments_are_right() {
        let (mean, deviation) = moments(&Initial::Normal(1.0, 0.5).draw(5, "n", 200_000));
        assert!((mean - 1.0).abs() < 0.01 && (deviation - 0.5).abs() < 0.01, "{mean} {deviation}");
        let truncated = Initial::TruncatedNormal(0.0, 1.0).draw(5, "t", 100_000);
        assert!(truncated.iter().all(|v| v.abs() <= 2.0));
        // The deviation of a standard normal number cut at two.
        assert!((moments(&truncated).1 - 0.8796).abs() < 0.01);
        let uniform = Initial::Uniform(-1.0, 3.0).draw(5, "u", 100_000);
        assert!(uniform.iter().all(|v| (-1.0..3.0).contains(v)));
        assert!((moments(&uniform).0 - 1.0).abs() < 0.02);
    }

    #[test]
    fn nonsense_is_refused() {
        let init = |kind, a, b| Initial::from_abi(&zoo_abi::Init { kind, reserved: 0, a, b });
        assert!(init(9, 0.0, 0.0).unwrap_err().contains("no way 9"));
        assert!(init(zoo_abi::init::NORMAL, 0.0, -1.0).is_err());
        assert!(init(zoo_abi::init::NORMAL, f64::NAN, 1.0).is_err());
        assert!(init(zoo_abi::init::UNIFORM, 2.0, 1.0).is_err());
        assert_eq!(init(zoo_abi::init::ONES, 5.0, 5.0), Ok(Initial::Constant(1.0)));
    }
}
