//! Simulated experiments whose truth is known. Shared by the example and the test.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zoo_schema::experiment::{Claim, Experiment, Operator, Paper, Place, Quantity, Relation, Requirement};
use zoo_statistics::{Outcome, Results, judge, may_stop};

/// How values scatter over seeds, with mean 0 and standard deviation 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// Normal.
    Normal,
    /// Exponential: skewness 2, a long tail to one side.
    Skewed,
}

/// What is claimed of the difference between the arms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `score(new) > score(old)`
    Greater,
    /// `abs(score(new) - score(old)) < 1`
    Equivalent,
}

/// One kind of experiment.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub seeds: u64,
    pub noise: Noise,
    pub paired: bool,
    pub claims: usize,
    pub early: bool,
    pub kind: Kind,
    /// Standard deviation of the baseline, that of the treatment being 1.
    pub spread_of_baseline: f64,
    /// True difference, in standard deviations of the treatment.
    pub effect: f64,
}

/// Shares of simulated runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// At least one claim holds.
    pub holds: f64,
    /// At least one claim fails.
    pub fails: f64,
    /// All intervals contain the true difference.
    pub covers: f64,
    /// Mean number of seeds at the end.
    pub seeds: f64,
}

/// Runs simulated experiments, judged as the engine judges them: after every seed, until the run may
/// stop or has all its seeds.
pub fn simulate(scenario: &Scenario, runs: usize, stream: u64) -> Rates {
    let mut random = ChaCha8Rng::seed_from_u64(stream);
    let experiment = experiment(scenario);
    let mut rates = Rates::default();
    for _ in 0..runs {
        let mut results = Results::new();
        let mut seeds = Vec::new();
        let judgements = loop {
            let seed = seeds.len() as u64;
            seeds.push(seed);
            for claim in 0..scenario.claims {
                // What seeds share (data order, initial values) is as large as what they do not.
                let shared = scenario.noise.draw(&mut random);
                let new = shared + scenario.effect + scenario.noise.draw(&mut random);
                let shared = if scenario.paired { shared } else { scenario.noise.draw(&mut random) };
                let old = shared + scenario.spread_of_baseline * scenario.noise.draw(&mut random);
                results.insert("new", &format!("score{claim}"), seed, new);
                results.insert("old", &format!("score{claim}"), seed, old);
            }
            let last = seeds.len() as u64 == scenario.seeds;
            if !last && !scenario.early {
                continue;
            }
            let judgements = judge(&experiment, &results, &seeds);
            if last || may_stop(&experiment, &judgements) {
                break judgements;
            }
        };
        let any = |outcome| judgements.iter().any(|judgement| judgement.outcome == outcome);
        rates.holds += f64::from(any(Outcome::Holds));
        rates.fails += f64::from(any(Outcome::Fails));
        let covered = judgements.iter().all(|judgement| {
            judgement
                .interval
                .is_some_and(|interval| interval.low <= scenario.effect && scenario.effect <= interval.high)
        });
        rates.covers += f64::from(covered);
        rates.seeds += seeds.len() as f64;
    }
    for rate in [&mut rates.holds, &mut rates.fails, &mut rates.covers, &mut rates.seeds] {
        *rate /= runs as f64;
    }
    rates
}

impl Noise {
    fn draw(self, random: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Normal => {
                let angle = std::f64::consts::TAU * uniform(random);
                (-2.0 * uniform(random).ln()).sqrt() * angle.cos()
            }
            Self::Skewed => -uniform(random).ln() - 1.0,
        }
    }
}

/// In (0, 1].
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    ((random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

fn experiment(scenario: &Scenario) -> Experiment {
    let score =
        |claim: usize, arm: &str| Quantity::Metric { metric: format!("score{claim}"), arm: arm.into() };
    let claims = (0..scenario.claims).map(|claim| Claim {
        title: format!("claim {claim}"),
        require: match scenario.kind {
            Kind::Greater => Requirement {
                left: score(claim, "new"),
                relation: Relation::Greater,
                right: score(claim, "old"),
            },
            Kind::Equivalent => Requirement {
                left: Quantity::Absolute(Box::new(Quantity::Arithmetic {
                    operator: Operator::Subtract,
                    left: Box::new(score(claim, "new")),
                    right: Box::new(score(claim, "old")),
                })),
                relation: Relation::Less,
                right: Quantity::Number(1.0),
            },
        },
        text: String::new(),
        paired: scenario.paired,
        confidence: 0.95,
        seeds: scenario.seeds,
        holding: vec![],
        source: None,
        stop_when_decided: scenario.early,
        place: Place::default(),
    });
    Experiment {
        paper: Paper::default(),
        recipe: String::new(),
        profile: None,
        overrides: vec![],
        resolved: String::new(),
        sources: vec![],
        seeds: scenario.seeds,
        first_seed: 0,
        arms: vec![],
        claims: claims.collect(),
        plugins: vec![],
        control: None,
    }
}
