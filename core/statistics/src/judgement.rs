//! What comes out of judging a claim.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The three answers to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole interval lies where the claim says.
    Holds,
    /// The whole interval lies where the claim says it does not.
    Fails,
    /// The interval contains the margin, or there is no interval.
    Undecided,
}

impl Outcome {
    /// `holds`, `fails` or `undecided`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Where a claim says that its quantity lies, after everything constant has been brought to the
/// right side of the requirement: `auc(a) < auc(b) - 15 pt` is `auc(a) - auc(b)` below −0.15.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// Quantity > margin.
    Above(f64),
    /// Quantity < margin.
    Below(f64),
    /// |quantity| < margin: an equivalence.
    Within(f64),
    /// |quantity| > margin.
    Outside(f64),
}

impl Region {
    /// The margin itself.
    pub fn margin(self) -> f64 {
        match self {
            Self::Above(margin) | Self::Below(margin) | Self::Within(margin) | Self::Outside(margin) => {
                margin
            }
        }
    }

    /// What an interval says of it: the outcome that the picture of the two shows.
    pub fn outcome(self, interval: Interval) -> Outcome {
        let Interval { low, high } = interval;
        let (holds, fails) = match self {
            Self::Above(margin) => (low > margin, high < margin),
            Self::Below(margin) => (high < margin, low > margin),
            Self::Within(margin) => (low > -margin && high < margin, low > margin || high < -margin),
            Self::Outside(margin) => (low > margin || high < -margin, low > -margin && high < margin),
        };
        match (holds, fails) {
            (true, false) => Outcome::Holds,
            (false, true) => Outcome::Fails,
            _ => Outcome::Undecided,
        }
    }

    /// How far a number is from the nearest edge of the region.
    pub(crate) fn distance(self, value: f64) -> f64 {
        match self {
            Self::Above(margin) | Self::Below(margin) => (value - margin).abs(),
            Self::Within(margin) | Self::Outside(margin) => (value.abs() - margin).abs(),
        }
    }
}

/// How many seeds would likely decide a claim that is undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoreSeeds {
    /// Seeds an arm in all, those already run included.
    pub in_all: u64,
    /// Seeds to add to those that were run.
    pub more: u64,
    /// Even `in_all` would not do: it is where the search stopped.
    pub at_least: bool,
}

/// The answer to one claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The claim's title; `name` in JSON.
    #[serde(rename = "name")]
    pub claim: String,
    /// The requirement as the recipe writes it.
    pub text: String,
    /// The answer.
    pub outcome: Outcome,
    /// Why, in one sentence.
    pub reason: String,
    /// The quantity, as text: `auc(learned) − auc(uniform)`.
    pub quantity: String,
    /// Where the claim says that the quantity lies; none where the claim cannot be judged at all.
    pub region: Option<Region>,
    /// Mean of the quantity over seeds.
    pub estimate: Option<f64>,
    /// Its interval at [`level`](Self::level).
    pub interval: Option<Interval>,
    /// Confidence that the claim asks for, 0.95 for 95 %.
    pub confidence: f64,
    /// Confidence of `interval`: higher than asked for where there are several claims or several looks.
    pub level: f64,
    /// The quantity is made of fractions only: 0.15 is shown as 15 points.
    pub percent: bool,
    /// Seeds of equal number were compared with each other.
    pub paired: bool,
    /// Seeds that took part, of the arm with the fewest.
    pub seeds: u64,
    /// The quantity for each seed, where it has one (paired): seed and value.
    pub per_seed: Vec<(u64, f64)>,
    /// For an undecided claim with an interval: how many seeds would likely decide it.
    pub more_seeds: Option<MoreSeeds>,
}
