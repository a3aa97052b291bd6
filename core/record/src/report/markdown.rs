//! A table of runs in Markdown, for a page that tells what was reproduced.

use super::facts::Facts;
use super::text::{digits, duration};
use super::verdict::{form, resolution};
use crate::{RecordError, RunDir};
use std::fmt::Write;
use zoo_statistics::{Judgement, Outcome, Region};

/// One row a claim: paper, claim, outcome, effect with its interval, margin, seeds, time of the run.
///
/// # Errors
/// When a file of a run directory cannot be read.
pub fn table(runs: &[RunDir]) -> Result<String, RecordError> {
    let mut text = String::from(
        "| paper | claim | outcome | effect | claimed | seeds | time |\n|---|---|---|---|---|---|---|\n",
    );
    for run in runs {
        let facts = Facts::read(run)?;
        let result = facts.result();
        let profile = result.profile.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        let mut paper = format!("{}{profile}", cell(&result.paper));
        let mut time = duration(result.seconds);
        for judged in &result.claims {
            let _ = writeln!(
                text,
                "| {paper} | {} | {} | {} | {} | {} | {time} |",
                cell(&judged.claim),
                outcome(judged),
                effect(judged),
                claimed(judged),
                judged.seeds
            );
            // They are the run's, and said once.
            paper.clear();
            time.clear();
        }
    }
    Ok(text)
}

fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', " ")
}

fn outcome(judged: &Judgement) -> &'static str {
    match judged.outcome {
        Outcome::Holds => "holds",
        Outcome::Fails => "**fails**",
        Outcome::Undecided => "undecided",
    }
}

fn effect(judged: &Judgement) -> String {
    let (form, resolution) = (form(judged), resolution(judged));
    let Some(estimate) = judged.estimate else { return "none".to_owned() };
    let mut text = form.number(estimate, resolution);
    if let Some(interval) = judged.interval {
        let level = digits(judged.level * 100.0, if judged.level > 0.99 { 0.01 } else { 0.1 });
        let level = level.trim_end_matches('0').trim_end_matches('.').to_owned();
        let (low, high) = (form.number(interval.low, resolution), form.number(interval.high, resolution));
        let _ = write!(text, ", {low} to {high} ({level}%)");
    }
    text
}

fn claimed(judged: &Judgement) -> String {
    let (form, resolution) = (form(judged), resolution(judged));
    match judged.region {
        Some(Region::Above(margin)) => format!("> {}", form.number(margin, resolution)),
        Some(Region::Below(margin)) => format!("< {}", form.number(margin, resolution)),
        Some(Region::Within(margin)) => format!("within ±{}", form.number(margin, resolution)),
        Some(Region::Outside(margin)) => format!("outside ±{}", form.number(margin, resolution)),
        None => String::new(),
    }
}
