//! The end of a run as people read it: every arm's metrics, every claim's answer.

use super::text::{self, difference};
use std::fmt::Write;
use zoo_record::{RunResult, RunState};
use zoo_schema::experiment::Experiment;
use zoo_statistics::{Judgement, MoreSeeds, Outcome, Region};

/// The answer to every claim with its numbers, and where the report is. `resume` is the command that goes on.
pub(crate) fn verdict(
    experiment: &Experiment,
    result: &RunResult,
    report: &str,
    resume: &str,
    colours: bool,
) -> String {
    let mut text = String::new();
    metrics(&mut text, experiment, result);
    if result.state == RunState::Finished {
        match &experiment.control {
            Some(_) => {
                text.push_str(
                    "\nControl: one arm against itself under other seeds, so that no claim may hold\n",
                );
            }
            None if result.claims.is_empty() => text.push_str("The recipe claims nothing.\n"),
            None => text.push_str("\nVerdict\n"),
        }
        for judgement in &result.claims {
            claim(&mut text, judgement, resume, experiment.control.is_some(), colours);
        }
        for left_out in experiment.control.iter().flat_map(|control| &control.without) {
            let _ = writeln!(text, "  no control  {}\n{}{}", left_out.claim, " ".repeat(13), left_out.reason);
        }
    }
    let _ = write!(text, "\nReport: {report}");
    text
}

fn metrics(text: &mut String, experiment: &Experiment, result: &RunResult) {
    let mut names: Vec<(&str, bool)> = Vec::new();
    for metric in experiment.arms.iter().flat_map(|arm| &arm.metrics) {
        if !names.iter().any(|(name, _)| *name == metric.name) {
            names.push((&metric.name, metric.percent));
        }
    }
    if names.is_empty() || result.arms.iter().all(|arm| arm.metrics.is_empty()) {
        return;
    }
    let mut rows = vec![vec!["arm".to_owned()]];
    rows[0].extend(names.iter().map(|(name, _)| (*name).to_owned()));
    rows[0].push("seeds".into());
    for arm in &result.arms {
        let mut row = vec![arm.name.clone()];
        for (name, percent) in &names {
            let metric = arm.metrics.iter().find(|metric| metric.name == *name);
            row.push(metric.map_or_else(
                || "–".to_owned(),
                |metric| {
                    let mean = text::value(metric.mean, *percent);
                    match metric.standard_deviation {
                        spread if spread.is_finite() => format!("{mean} ± {}", text::value(spread, *percent)),
                        _ => mean,
                    }
                },
            ));
        }
        row.push(arm.metrics.iter().map(|metric| metric.seeds.len()).max().unwrap_or(0).to_string());
        rows.push(row);
    }
    text.push('\n');
    table(text, &rows);
    text.push_str("(mean ± standard deviation over seeds)\n");
}

fn table(text: &mut String, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            // Names to the left, numbers to the right.
            let _ = if column == 0 { write!(line, "  {cell}{pad}") } else { write!(line, "  {pad}{cell}") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn claim(text: &mut String, judgement: &Judgement, resume: &str, control: bool, colours: bool) {
    let (colour, outcome) = match (judgement.outcome, control) {
        (Outcome::Holds, false) => ("32", "holds"),
        (Outcome::Fails, false) => ("31", "fails"),
        (Outcome::Undecided, false) => ("33", "undecided"),
        (Outcome::Holds, true) => ("31", "HOLDS, and should not:"),
        (Outcome::Fails, true) => ("32", "fails, as it should:"),
        (Outcome::Undecided, true) => ("32", "undecided, as it should be:"),
    };
    let shown =
        if colours { format!("\x1b[1;{colour}m{outcome:<9}\x1b[0m") } else { format!("{outcome:<9}") };
    let _ = writeln!(text, "  {shown}  {}", judgement.claim);
    let indent = " ".repeat(13);
    if let Some(estimate) = judgement.estimate {
        let percent = judgement.percent;
        let interval = judgement.interval.map(|interval| {
            format!(
                ", {}% interval {} to {}",
                text::significant(judgement.level * 100.0, 3).trim_end_matches(".0"),
                difference(interval.low, percent),
                difference(interval.high, percent)
            )
        });
        let seeds = if judgement.seeds == 1 { "seed" } else { "seeds" };
        let _ = writeln!(
            text,
            "{indent}{} = {}{}; {} {seeds}{}",
            judgement.quantity,
            difference(estimate, percent),
            interval.unwrap_or_default(),
            judgement.seeds,
            if judgement.paired { ", paired" } else { "" },
        );
    }
    if let Some(region) = judgement.region {
        let margin = difference(region.margin(), judgement.percent);
        let claimed = match region {
            Region::Above(_) => format!("more than {margin}"),
            Region::Below(_) => format!("less than {margin}"),
            Region::Within(_) => format!("within ±{margin}"),
            Region::Outside(_) => format!("outside of ±{margin}"),
        };
        let _ = writeln!(text, "{indent}claimed: {claimed}; {}", judgement.reason);
    } else {
        let _ = writeln!(text, "{indent}{}", judgement.reason);
    }
    // More seeds would decide nothing where there is nothing to find.
    if let Some(MoreSeeds { in_all, more, at_least }) = judgement.more_seeds.filter(|_| !control) {
        let _ = if at_least {
            writeln!(
                text,
                "{indent}even {in_all} seeds would hardly decide it: the difference is close to the margin"
            )
        } else {
            writeln!(
                text,
                "{indent}about {more} more {} would decide it: {resume} --seeds {in_all}",
                if more == 1 { "seed" } else { "seeds" }
            )
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoo_statistics::Interval;

    fn judgement(outcome: Outcome) -> Judgement {
        Judgement {
            claim: "learned beats uniform".into(),
            text: "auc(learned) > auc(uniform) + 1 pt".into(),
            outcome,
            reason: "the interval contains the margin".into(),
            quantity: "auc(learned) − auc(uniform)".into(),
            region: Some(Region::Above(0.01)),
            estimate: Some(0.02),
            interval: Some(Interval { low: -0.004, high: 0.044 }),
            confidence: 0.95,
            level: 0.975,
            percent: true,
            paired: true,
            seeds: 3,
            per_seed: Vec::new(),
            more_seeds: Some(MoreSeeds { in_all: 8, more: 5, at_least: false }),
        }
    }

    #[test]
    fn an_undecided_claim_says_what_would_decide_it() {
        let mut text = String::new();
        claim(&mut text, &judgement(Outcome::Undecided), "zoo run --resume runs/a", false, false);
        assert_eq!(
            text,
            "  undecided  learned beats uniform
             auc(learned) − auc(uniform) = 2.0 pt, 97.5% interval −0.4 pt to 4.4 pt; 3 seeds, paired
             claimed: more than 1.0 pt; the interval contains the margin
             about 5 more seeds would decide it: zoo run --resume runs/a --seeds 8
"
        );
    }

    #[test]
    fn in_a_control_a_claim_that_holds_is_the_fault() {
        for (outcome, expected) in [
            (Outcome::Undecided, "  undecided, as it should be:  learned"),
            (Outcome::Fails, "  fails, as it should:  learned"),
            (Outcome::Holds, "  HOLDS, and should not:  learned"),
        ] {
            let mut text = String::new();
            claim(&mut text, &judgement(outcome), "zoo run --resume runs/a", true, false);
            assert!(text.starts_with(expected) && !text.contains("--resume"), "{text}");
        }
    }

    #[test]
    fn tables_line_up() {
        let mut text = String::new();
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        table(&mut text, &[row(["arm", "auc"]), row(["learned", "81.2% ± 0.3%"])]);
        assert_eq!(text, "  arm               auc\n  learned  81.2% ± 0.3%\n");
    }
}
