//! Seeds are hashes of what they are for: nothing has a state that a resumed run would miss.

/// One thing that a seed depends on.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A name.
    Text(&'a str),
    /// A number.
    Number(u64),
}

/// The 256 bits for a run's seed and these parts, in order.
pub fn hash(run_seed: u64, parts: &[Part<'_>]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"zoo randomness 1");
    hasher.update(&run_seed.to_le_bytes());
    for part in parts {
        match part {
            Part::Text(text) => {
                hasher.update(&[1]);
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
            Part::Number(number) => {
                hasher.update(&[2]);
                hasher.update(&number.to_le_bytes());
            }
        }
    }
    *hasher.finalize().as_bytes()
}

/// The seed for a run's seed and these parts, in order.
pub fn seed(run_seed: u64, parts: &[Part<'_>]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash(run_seed, parts);
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::{Part, seed};

    #[test]
    fn every_part_counts_and_so_does_its_place() {
        let of = |parts: &[Part<'_>]| seed(7, parts);
        let all = [
            of(&[]),
            of(&[Part::Text("a")]),
            of(&[Part::Text("ab")]),
            of(&[Part::Text("a"), Part::Text("b")]),
            of(&[Part::Text("b"), Part::Text("a")]),
            of(&[Part::Number(1)]),
            of(&[Part::Number(1), Part::Number(2)]),
            seed(8, &[]),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }

    /// Runs of earlier versions can be repeated only while this holds.
    #[test]
    fn seeds_stay_what_they_are() {
        assert_eq!(seed(1, &[Part::Text("mask"), Part::Number(3)]), 15_393_916_970_202_912_727);
    }
}
