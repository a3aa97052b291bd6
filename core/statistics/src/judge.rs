//! Judging.

use crate::form::{ClaimError, Form, Gap};
use crate::interval::{Estimate, one_sample, student_quantile, sum_of_arms};
use crate::{Judgement, MoreSeeds, Outcome, Region, Results};
use zoo_schema::experiment::{Claim, Experiment};

/// The number of seeds at which a run that may stop early is looked at first.
pub const FIRST_LOOK: u64 = 3;

/// Share of the error rate that all looks before the last one spend together.
pub const EARLY_SHARE: f64 = 0.2;

/// Where the search for a number of seeds that would decide ends.
pub const MOST_SEEDS: u64 = 100;

/// Probability with which the suggested number of seeds would decide, were the estimate the truth.
const POWER_QUANTILE: f64 = 0.841_621_233_572_914_3; // of the normal distribution, for 80 %

/// Whether every claim can be judged once there are results, so that a run does not end in a claim that
/// never could be. Gives the first that cannot, with its index.
pub fn check(claims: &[Claim]) -> Result<(), (usize, ClaimError)> {
    for (index, claim) in claims.iter().enumerate() {
        Form::of(claim).map_err(|error| (index, error))?;
    }
    Ok(())
}

/// Judges all claims of an experiment from the seeds that are done in every arm.
///
/// The last look is the one at which as many seeds are done as the experiment has. Before it, claims are
/// judged for [`may_stop`], or to show how it stands.
pub fn judge(experiment: &Experiment, results: &Results, seeds_done: &[u64]) -> Vec<Judgement> {
    let claims = &experiment.claims;
    let (done, planned) = (seeds_done.len() as u64, experiment.seeds);
    let share = if sequential(claims) { look_share(done, planned) } else { Some(1.0) };
    let percent = |metric: &str, arm: &str| {
        let of_arm = experiment.arms.iter().find(|known| known.name == arm);
        of_arm
            .and_then(|arm| arm.metrics.iter().find(|known| known.name == metric))
            .is_some_and(|metric| metric.percent)
    };
    claims
        .iter()
        .map(|claim| {
            let mut judgement = match Form::of(claim) {
                Ok(form) => {
                    let spend = Spend { claims: claims.len() as f64, share };
                    let mut judgement = judge_one(claim, &form, results, seeds_done, &spend);
                    judgement.percent = form
                        .metrics()
                        .is_some_and(|named| named.iter().all(|(name, arm)| percent(name, arm)));
                    judgement
                }
                Err(error) => empty(claim, done, error.to_string()),
            };
            if done >= planned && done < claim.seeds {
                judgement.reason += &format!("; the claim asks for {} seeds", claim.seeds);
            }
            judgement
        })
        .collect()
}

/// Whether the run may end before its last seed: every claim allows it and every claim is decided.
pub fn may_stop(experiment: &Experiment, judgements: &[Judgement]) -> bool {
    sequential(&experiment.claims)
        && judgements.len() == experiment.claims.len()
        && judgements.iter().all(|judgement| judgement.outcome != Outcome::Undecided)
}

fn sequential(claims: &[Claim]) -> bool {
    !claims.is_empty() && claims.iter().all(|claim| claim.stop_when_decided)
}

/// The share of the error rate that a look may spend; none before the first look.
fn look_share(done: u64, planned: u64) -> Option<f64> {
    let early_looks = planned.saturating_sub(FIRST_LOOK);
    match () {
        () if early_looks == 0 => (done >= planned).then_some(1.0),
        () if done >= planned => Some(1.0 - EARLY_SHARE),
        () if done >= FIRST_LOOK => Some(EARLY_SHARE / early_looks as f64),
        () => None,
    }
}

/// How much of the error rate is there for one interval.
struct Spend {
    claims: f64,
    share: Option<f64>,
}

fn judge_one(claim: &Claim, form: &Form, results: &Results, seeds: &[u64], spend: &Spend) -> Judgement {
    let count = seeds.len() as u64;
    let mut judgement = empty(claim, count, String::new());
    judgement.quantity = form.text();
    judgement.region = Some(form.region);

    let estimated = if claim.paired {
        form.paired(results, seeds).map(|values| {
            judgement.per_seed = seeds.iter().copied().zip(values.iter().copied()).collect();
            judgement.estimate = mean(&values);
            one_sample(&values)
        })
    } else {
        form.by_arm(results, seeds).map(|arms| {
            judgement.estimate = arms.iter().map(|values| mean(values)).sum();
            sum_of_arms(&arms)
        })
    };
    let estimate = match estimated {
        Ok(Some(estimate)) => estimate,
        Ok(None) => {
            judgement.reason = match count {
                0 => "no seed is done".into(),
                _ => "a single seed shows no spread".into(),
            };
            return judgement;
        }
        Err(gap) => {
            judgement.reason = explain(gap);
            return judgement;
        }
    };
    judgement.estimate = Some(estimate.mean);
    let error_rate = (1.0 - claim.confidence) / spend.claims;
    let Some(share) = spend.share else {
        judgement.reason = format!("the first look is at {FIRST_LOOK} seeds");
        return judgement;
    };
    judgement.level = 1.0 - error_rate * share;
    let interval = estimate.interval(judgement.level);
    if !(interval.low.is_finite() && interval.high.is_finite()) {
        judgement.reason = "the confidence is so high that the interval has no end".into();
        return judgement;
    }
    judgement.interval = Some(interval);
    let outcome = form.region.outcome(interval);

    if estimate.standard_error == 0.0 {
        let needed = seeds_without_spread(error_rate * share);
        // Equal up to rounding: `0.3 - 0.2` is not `0.1` to the last bit.
        let scale = estimate.mean.abs().max(form.region.margin().abs());
        let on_margin = form.region.distance(estimate.mean) <= 1e-9 * scale;
        judgement.reason = match outcome {
            _ if on_margin || outcome == Outcome::Undecided => {
                "every seed gave the same value, and it is the margin itself".into()
            }
            _ if count < needed => {
                judgement.more_seeds =
                    Some(MoreSeeds { in_all: needed, more: needed - count, at_least: false });
                format!(
                    "every seed gave the same value, which {count} seeds may do by chance where a metric is coarse"
                )
            }
            outcome => {
                judgement.outcome = outcome;
                format!("every seed gave the same value, and it lies {}", lies(form.region, outcome))
            }
        };
        return judgement;
    }

    judgement.outcome = outcome;
    judgement.reason = match outcome {
        Outcome::Undecided => {
            judgement.more_seeds = Some(more_seeds(&estimate, form.region, count, error_rate));
            "the interval contains the margin".into()
        }
        _ => format!("the whole interval lies {}", lies(form.region, outcome)),
    };
    judgement
}

fn lies(region: Region, outcome: Outcome) -> &'static str {
    match (region, outcome == Outcome::Holds) {
        (Region::Above(_), true) | (Region::Below(_), false) => "above the margin",
        (Region::Below(_), true) | (Region::Above(_), false) => "below the margin",
        (Region::Within(_), true) | (Region::Outside(_), false) => "inside the margins",
        (Region::Within(_), false) | (Region::Outside(_), true) => "outside the margins",
    }
}

fn explain(gap: Gap) -> String {
    match gap {
        Gap::Missing { metric, arm, seed } => format!("`{metric}` of arm `{arm}` is missing for seed {seed}"),
        Gap::NotFinite { metric, arm, seed, value } => {
            format!("`{metric}` of arm `{arm}` is {value} for seed {seed}")
        }
        Gap::Quantity { seed } => format!("the quantity is not a finite number for seed {seed}"),
    }
}

/// Seeds from which on equal values decide: 4⁻ⁿ at most half of the error rate.
fn seeds_without_spread(error_rate: f64) -> u64 {
    ((2.0 / error_rate).ln() / 4.0_f64.ln()).ceil().max(2.0) as u64
}

/// The smallest number of seeds that would decide with 80 % probability if difference and spread stay as
/// they were observed. From few seeds both are known badly: an order of magnitude, not a promise.
fn more_seeds(estimate: &Estimate, region: Region, count: u64, error_rate: f64) -> MoreSeeds {
    let distance = region.distance(estimate.mean);
    let count = count.max(2);
    let decides = |in_all: u64| {
        let growth = in_all as f64 / count as f64;
        let freedom = estimate.freedom * (in_all - 1) as f64 / (count - 1) as f64;
        let quantile = student_quantile(1.0 - error_rate / 2.0, freedom);
        (quantile + POWER_QUANTILE) * estimate.standard_error / growth.sqrt() <= distance
    };
    let (mut low, mut high) = (count + 1, MOST_SEEDS.max(count + 1));
    if !decides(high) {
        return MoreSeeds { in_all: high, more: high - count, at_least: true };
    }
    // More seeds make both factors smaller, so the first number that decides is found by halving.
    while low < high {
        let middle = low + (high - low) / 2;
        if decides(middle) { high = middle } else { low = middle + 1 }
    }
    MoreSeeds { in_all: high, more: high - count, at_least: false }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn empty(claim: &Claim, seeds: u64, reason: String) -> Judgement {
    Judgement {
        claim: claim.title.clone(),
        text: claim.text.clone(),
        outcome: Outcome::Undecided,
        reason,
        quantity: String::new(),
        region: None,
        estimate: None,
        interval: None,
        confidence: claim.confidence,
        level: claim.confidence,
        percent: false,
        paired: claim.paired,
        seeds,
        per_seed: Vec::new(),
        more_seeds: None,
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
