//! Claims are judged wrongly no more often than they say. The example `calibration` prints the whole table.
#![allow(unreachable_pub)]

#[path = "../examples/calibration/simulate.rs"]
mod simulate;

use simulate::{Kind, Noise, Scenario, simulate};

const RUNS: usize = 400;
/// Three standard errors of a share of 5 % in this many runs.
const SLACK: f64 = 3.0 * 0.0109;

fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for seeds in [3, 5, 10] {
        for noise in [Noise::Normal, Noise::Skewed] {
            for paired in [true, false] {
                for (claims, early) in [(1, false), (3, false), (1, true), (3, true)] {
                    scenarios.push(Scenario {
                        seeds,
                        noise,
                        paired,
                        claims,
                        early,
                        kind: Kind::Greater,
                        spread_of_baseline: 1.0,
                        effect: 0.0,
                    });
                }
            }
        }
    }
    scenarios
}

#[test]
fn without_an_effect_claims_hold_in_at_most_five_per_cent() {
    for (stream, scenario) in scenarios().iter().enumerate() {
        let rates = simulate(scenario, RUNS, stream as u64);
        // What is expected is half of 5 %: the other half fails.
        assert!(rates.holds <= 0.05 && rates.fails <= 0.05, "{scenario:?}: {rates:?}");
    }
}

#[test]
fn with_an_effect_intervals_cover_it_at_the_stated_rate() {
    for (stream, scenario) in scenarios().iter().enumerate() {
        let rates = simulate(&Scenario { effect: 1.0, ..*scenario }, RUNS, 100 + stream as u64);
        assert!(rates.covers >= 0.95 - SLACK, "{scenario:?}: {rates:?}");
    }
}

#[test]
fn large_effects_are_found_and_end_a_run_early() {
    for (stream, scenario) in scenarios().iter().enumerate() {
        let rates = simulate(&Scenario { effect: 60.0, ..*scenario }, 50, 200 + stream as u64);
        assert!(rates.holds == 1.0 && rates.fails == 0.0, "{scenario:?}: {rates:?}");
        if scenario.early && scenario.seeds == 10 {
            assert!(rates.seeds < 6.0, "{scenario:?}: {rates:?}");
        }
    }
}

#[test]
fn on_the_margin_an_equivalence_holds_in_at_most_five_per_cent() {
    for early in [false, true] {
        let scenario = Scenario {
            seeds: 10,
            noise: Noise::Normal,
            paired: true,
            claims: 1,
            early,
            kind: Kind::Equivalent,
            spread_of_baseline: 1.0,
            effect: 1.0,
        };
        assert!(simulate(&scenario, RUNS, 300).holds <= 0.05);
    }
}
