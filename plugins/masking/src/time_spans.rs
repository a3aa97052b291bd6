//! Spans of a sequence of frames, and what stands at chosen places.

use zoo_plugin::prelude::*;

/// Hides spans of frames: every frame begins one with probability `start_rate`, and spans may overlap.
///
/// With the defaults, 1 - 0.935¹⁰ = 48.9 % of the frames are hidden, but for those at the beginning of a row, before
/// which fewer spans begin. A span ends with its row; a row that none begins in has one at a random place.
/// Hidden frames stay in the input: the model puts its mask vector in their place.
///
/// `examples` tells frames of different rows apart, for what is compared within a row alone: the same number for all
/// frames of a row, and no other row of the update has it, however the update is split.
///
/// # Paper
/// Baevski, Zhou, Mohamed, Auli: wav2vec 2.0, NeurIPS 2020, section 3.1; Chung et al.: W2v-BERT, ASRU 2021, section 3.
///
/// # Example
/// ```mlm
/// masker spans = masking.time_spans(start_rate: 6.5%, length: 10)
/// ```
#[component(
    masker,
    name = "masking.time_spans",
    inputs(attention_mask: "int[B, T]" = "1 for frames, 0 for padding after them"),
    outputs(
        is_hidden: "bool[B, T]" = "true for hidden frames",
        positions: "int[B*T*start_rate*length]" = "the hidden places b * T + t, in their order: about so many, as spans overlap",
        examples: "int[B*T*start_rate*length]" = "for each of them a number that frames of its row alone have",
    ),
    loader,
    random,
)]
pub struct TimeSpans {
    /// Probability that a span begins at a frame.
    #[param(default = 0.065, range = "[0%, 100%]", kind = "fraction")]
    pub start_rate: f64,
    /// Frames of a span.
    #[param(default = 10, range = ">= 1")]
    pub length: usize,
}

impl TimeSpans {
    /// Which of `frames` frames of a row are hidden.
    pub fn hidden(&self, frames: usize, random: &mut impl Rng) -> Vec<bool> {
        let mut hidden = vec![false; frames];
        let mut cover = |start: usize| hidden[start..frames.min(start + self.length)].fill(true);
        let mut any = false;
        for start in 0..frames {
            if random.random::<f64>() < self.start_rate {
                cover(start);
                any = true;
            }
        }
        if !any && frames > 0 {
            cover(random.random_range(0..=frames.saturating_sub(self.length)));
        }
        hidden
    }
}

impl Component for TimeSpans {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: TimeSpansInputs<'_>, cx: &mut Call<'_>) -> Result<TimeSpansOutputs> {
        let (batch, length) = x.attention_mask.size2()?;
        let device = x.attention_mask.device();
        let counts = x.attention_mask.f_ne(0)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64)?;
        let counts = Vec::<i64>::try_from(&counts.f_to_device(Device::Cpu)?)?;
        let mut is_hidden = vec![false; (batch * length) as usize];
        let (mut positions, mut examples) = (Vec::new(), Vec::new());
        for (row, count) in counts.into_iter().enumerate() {
            let start = row * length as usize;
            let name = cx.seed("examples", row).cast_signed();
            for (place, _) in
                self.hidden(count as usize, &mut cx.rng("spans", row)).iter().enumerate().filter(|(_, h)| **h)
            {
                is_hidden[start + place] = true;
                positions.push((start + place) as i64);
                examples.push(name);
            }
        }
        Ok(TimeSpansOutputs {
            is_hidden: Tensor::f_from_slice(&is_hidden)?.f_reshape([batch, length])?.f_to_device(device)?,
            positions: Tensor::f_from_slice(&positions)?.f_to_device(device)?,
            examples: Tensor::f_from_slice(&examples)?.f_to_device(device)?,
        })
    }
}

/// What stands at chosen places of sequences: vectors, whole numbers, or both.
///
/// # Example
/// ```mlm
/// model there = masking.at_positions()
/// ```
#[component(
    function,
    name = "masking.at_positions",
    inputs(
        states: "float[B, T, size]"? = "a vector for every place",
        ids: "int[B, T]"? = "a whole number for every place",
        positions: "int[M]" = "places b * T + t",
    ),
    outputs(states: "float[M, size]"? = "the vectors there", ids: "int[M]"? = "the numbers there"),
    cost(activations = "M"),
)]
pub struct AtPositions;

impl Component for AtPositions {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: AtPositionsInputs<'_>, _: &mut Call<'_>) -> Result<AtPositionsOutputs> {
        let states = match x.states {
            Some(states) => {
                let (_, _, size) = states.size3()?;
                Some(states.f_reshape([-1, size])?.f_index_select(0, x.positions)?)
            }
            None => None,
        };
        let ids = match x.ids {
            Some(ids) => Some(ids.f_reshape([-1])?.f_index_select(0, x.positions)?),
            None => None,
        };
        Ok(AtPositionsOutputs { states, ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_inner_frames_are_hidden_in_spans_of_ten() {
        let spans = TimeSpans { start_rate: 0.065, length: 10 };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let (mut hidden, mut all) = (0, 0);
        for _ in 0..400 {
            let row = spans.hidden(500, &mut random);
            let inner = &row[9..];
            hidden += inner.iter().filter(|h| **h).count();
            all += inner.len();
            // No run is shorter than a span, but where the row ends.
            for run in row.split(|h| !h).filter(|run| !run.is_empty()) {
                assert!(run.len() >= 10 || row.ends_with(run), "{}", run.len());
            }
        }
        // 1 - 0.935^10, the oracle for interior frames.
        let share = f64::from(hidden as i32) / all as f64;
        assert!((share - 0.489_358).abs() < 0.01, "{share}");
    }

    #[test]
    fn every_row_has_a_span() {
        let never = TimeSpans { start_rate: 0.0, length: 4 };
        let mut starts = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let row = never.hidden(7, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(row.iter().filter(|h| **h).count(), 4);
            starts.insert(row.iter().position(|h| *h).unwrap());
        }
        assert_eq!(starts.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(never.hidden(0, &mut ChaCha8Rng::seed_from_u64(0)).is_empty());
        assert_eq!(never.hidden(2, &mut ChaCha8Rng::seed_from_u64(0)), [true, true]);
    }
}
