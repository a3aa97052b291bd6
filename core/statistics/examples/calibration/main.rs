//! Prints how often claims are judged wrongly, and how often intervals cover the truth, in simulated
//! experiments whose truth is known, at 95 % confidence.
//!
//! ```text
//! cargo run -p zoo-statistics --release --example calibration [RUNS]
//! ```
#![allow(clippy::print_stdout, unreachable_pub)]

mod simulate;

use simulate::{Kind, Noise, Scenario, simulate};

fn main() {
    let runs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(4_000);
    println!(
        "Claims at 95 % confidence, {runs} simulated runs a row and column; standard deviation of each arm 1"
    );
    println!(
        "beside what seeds share. `any holds`, `any fails`: no difference planted, so each is an error. `all"
    );
    println!(
        "cover`: difference of 1 planted, every interval contains it. `holds`, `seeds`: difference of 5 planted."
    );
    println!();
    println!("seeds  noise    design    claims  early  any holds  any fails  all cover   holds  seeds");
    let mut stream = 0;
    let mut row = |seeds, noise, paired, claims, early, spread_of_baseline| {
        let scenario = Scenario {
            seeds,
            noise,
            paired,
            claims,
            early,
            kind: Kind::Greater,
            spread_of_baseline,
            effect: 0.0,
        };
        stream += 3;
        let none = simulate(&scenario, runs, stream);
        let some = simulate(&Scenario { effect: 1.0, ..scenario }, runs, stream + 1);
        let large = simulate(&Scenario { effect: 5.0, ..scenario }, runs, stream + 2);
        println!(
            "{seeds:>5}  {:<7}  {:<8}  {claims:>6}  {:<5}  {:>7.2} %  {:>7.2} %  {:>7.2} %  {:>4.0} %  {:>5.2}",
            match noise {
                Noise::Normal => "normal",
                Noise::Skewed => "skewed",
            },
            if paired { "paired" } else { "unpaired" },
            if early { "yes" } else { "no" },
            100.0 * none.holds,
            100.0 * none.fails,
            100.0 * some.covers,
            100.0 * large.holds,
            large.seeds,
        );
    };
    for noise in [Noise::Normal, Noise::Skewed] {
        for paired in [true, false] {
            for claims in [1, 3] {
                for early in [false, true] {
                    for seeds in [3, 5, 10] {
                        row(seeds, noise, paired, claims, early, 1.0);
                    }
                }
            }
        }
    }
    println!();
    println!(
        "The same where the baseline does not vary beside what seeds share: skewness no longer cancels."
    );
    for paired in [true, false] {
        for seeds in [3, 5, 10] {
            row(seeds, Noise::Skewed, paired, 1, false, 0.0);
        }
    }
    println!();
    println!("Equivalence, |difference| < 1, with a true difference of exactly 1: each `holds` is an error.");
    println!("seeds  noise    design    early  holds");
    for (seeds, noise, paired, early) in [
        (3, Noise::Normal, true, false),
        (10, Noise::Normal, true, false),
        (10, Noise::Normal, true, true),
        (10, Noise::Normal, false, false),
        (10, Noise::Skewed, true, false),
    ] {
        let scenario = Scenario {
            seeds,
            noise,
            paired,
            claims: 1,
            early,
            kind: Kind::Equivalent,
            spread_of_baseline: 1.0,
            effect: 1.0,
        };
        println!(
            "{seeds:>5}  {:<7}  {:<8}  {:<5}  {:.2} %",
            if noise == Noise::Normal { "normal" } else { "skewed" },
            if paired { "paired" } else { "unpaired" },
            if early { "yes" } else { "no" },
            100.0 * simulate(&scenario, runs, 1_000 + seeds).holds
        );
    }
}
