//! Which rows of a source belong to the part that is asked for.

use zoo_plugin::prelude::*;

/// A part of a source. The two named ones never overlap, and together are the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    Train,
    HeldOut,
}

impl Part {
    /// From the parameters `part` and `held_out`.
    pub(crate) fn new(part: &str, held_out: f64) -> Result<Self> {
        match part {
            "train" => Ok(Self::Train),
            "held_out" if held_out <= 0.0 => {
                Err(Error::new("the held-out part is empty: `held_out` is 0%").at("held_out").help(
                    "give the same share to the source that trains and to the one that measures: `held_out: 5%`",
                ))
            }
            "held_out" => Ok(Self::HeldOut),
            _ => Ok(Self::All),
        }
    }

    /// Of things with these keys: the places of those that belong to the part, in order. The held-out
    /// ones are those with the smallest hashes, `held_out` of them rounded up, so that the number is exact
    /// and a thing stays where it is when others come.
    pub(crate) fn choose<K: AsRef<[u8]>>(self, keys: &[K], held_out: f64) -> Vec<usize> {
        self.choose_hashed(&keys.iter().map(|key| hash(key.as_ref())).collect::<Vec<_>>(), held_out)
    }

    /// The same, with the hashes of the keys.
    pub(crate) fn choose_hashed(self, hashes: &[u64], held_out: f64) -> Vec<usize> {
        if self == Self::All {
            return (0..hashes.len()).collect();
        }
        let mut order: Vec<(u64, usize)> = hashes.iter().enumerate().map(|(i, hash)| (*hash, i)).collect();
        order.sort_unstable();
        let count = (held_out * hashes.len() as f64 - 1e-9).ceil().max(0.0) as usize;
        let mut chosen: Vec<usize> = match self {
            Self::HeldOut => order.iter().take(count).map(|(_, i)| *i).collect(),
            _ => order.iter().skip(count).map(|(_, i)| *i).collect(),
        };
        chosen.sort_unstable();
        chosen
    }
}

/// FNV-1a with a final mix: stable for ever, and good enough to deal rows out.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut value = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        value = (value ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(value)
}

/// The finaliser of splitmix64.
pub(crate) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_exact_disjoint_and_complete() {
        let keys: Vec<String> = (0..249).map(|i| format!("file-{i}.txt")).collect();
        let train = Part::Train.choose(&keys, 0.05);
        let held_out = Part::HeldOut.choose(&keys, 0.05);
        assert_eq!((train.len(), held_out.len()), (236, 13));
        let mut all = [train, held_out].concat();
        all.sort_unstable();
        assert_eq!(all, Part::All.choose(&keys, 0.05));
    }

    #[test]
    fn a_held_out_part_of_nothing_is_an_error() {
        assert_eq!(Part::new("held_out", 0.0).unwrap_err().at, "held_out");
        assert_eq!(Part::new("train", 0.0).unwrap(), Part::Train);
    }
}
