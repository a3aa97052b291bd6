//! The claims with their answers.

use super::chart::round_numbers;
use super::facts::Facts;
use super::text::{Form, counted, digits, escape, with_code};
use std::fmt::Write;
use zoo_schema::experiment::Claim;
use zoo_statistics::{Judgement, Outcome, Region};

const WIDTH: f64 = 960.0;
const SIDE: f64 = 14.0;

pub(super) fn claims(facts: &Facts) -> String {
    let mut html = String::new();
    let mut shown = vec![false; facts.claims.len()];
    for claim in &facts.experiment.claims {
        let judged =
            facts.claims.iter().position(|judged| judged.claim == claim.title && judged.text == claim.text);
        match judged {
            Some(index) => {
                shown[index] = true;
                html.push_str(&card(&facts.claims[index], Some(claim)));
            }
            None => html.push_str(&open(claim)),
        }
    }
    for left_out in facts.experiment.control.iter().flat_map(|control| &control.without) {
        let _ = writeln!(
            html,
            "<div class=\"claim\">\n<h3>{} <span class=\"badge undecided\">no control</span></h3>\n<p>{}</p>\n</div>",
            with_code(&left_out.claim),
            escape(&left_out.reason)
        );
    }
    // Judged, but not in the experiment: shown all the same.
    for (judged, _) in facts.claims.iter().zip(&shown).filter(|(_, shown)| !**shown) {
        html.push_str(&card(judged, None));
    }
    html
}

/// A claim that has no answer yet.
fn open(claim: &Claim) -> String {
    format!(
        "<div class=\"claim\">\n<h3>{} <span class=\"badge undecided\">not judged yet</span></h3>\n\
         <p class=\"requirement\"><code>{}</code></p>\n</div>\n",
        with_code(&claim.title),
        escape(&claim.text)
    )
}

/// Differences of shares are in points; a share alone is a percentage.
pub(super) fn form(judged: &Judgement) -> Form {
    let difference = judged.quantity.contains(" − ") || judged.quantity.contains(" + ");
    match (judged.percent, difference) {
        (false, _) => Form::Plain,
        (true, true) => Form::Points,
        (true, false) => Form::Percent,
    }
}

fn card(judged: &Judgement, claim: Option<&Claim>) -> String {
    let outcome = judged.outcome.as_str();
    let mut html = format!(
        "<div class=\"claim\">\n<h3>{} <span class=\"badge {outcome}\">{outcome}</span></h3>\n\
         <p class=\"requirement\"><code>{}</code></p>\n",
        with_code(&judged.claim),
        escape(&judged.text)
    );
    html.push_str(&picture(judged));
    if !judged.reason.is_empty() {
        let _ = writeln!(html, "<p>{}</p>", escape(&sentence(&judged.reason)));
    }
    let form = form(judged);
    let resolution = resolution(judged);
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(estimate) = judged.estimate {
        facts.push(("estimate", form.number(estimate, resolution)));
    }
    if let Some(interval) = judged.interval {
        let level = digits(judged.level * 100.0, if judged.level > 0.99 { 0.01 } else { 0.1 });
        let level = level.trim_end_matches('0').trim_end_matches('.').to_owned();
        let text = format!(
            "{} to {}",
            form.number(interval.low, resolution),
            form.number(interval.high, resolution)
        );
        facts.push(("interval", format!("{text} (at {level}%)")));
    }
    if let Some(region) = judged.region {
        facts.push(("margin", form.number(region.margin(), resolution)));
    }
    let pairing = if judged.paired { ", paired" } else { "" };
    facts.push(("seeds", format!("{}{pairing}", judged.seeds)));
    if let Some(more) = judged.more_seeds {
        let least = if more.at_least { "at least " } else { "about " };
        facts.push(("would decide it", format!("{least}{}", counted(more.in_all as usize, "seed"))));
    }
    for holding in claim.iter().flat_map(|claim| &claim.holding) {
        let within = digits(holding.within * 100.0, 1.0);
        facts.push(("checked to be equal", format!("{} within {within}%", holding.cost)));
    }
    if let Some(source) = claim.and_then(|claim| claim.source.as_ref()) {
        facts.push(("in the paper", source.clone()));
    }
    html.push_str("<dl>");
    for (name, value) in facts {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    html.push_str("</dl>\n</div>\n");
    html
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.trim().trim_end_matches('.').chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    // A name of code keeps its letters.
    format!("{first}{}.", characters.as_str())
}

/// What size of a difference matters: a twenty-fifth of the interval, or of the whole.
pub(super) fn resolution(judged: &Judgement) -> f64 {
    let width = judged.interval.map_or(0.0, |interval| interval.high - interval.low);
    let size = judged.estimate.unwrap_or(0.0).abs();
    if width.is_finite() && width > 0.0 { width / 25.0 } else { (size / 1000.0).max(1e-6) }
}

/// The interval against the margin.
fn picture(judged: &Judgement) -> String {
    let mut values: Vec<f64> = judged.per_seed.iter().map(|(_, value)| *value).collect();
    values.extend(judged.estimate);
    values.extend(judged.interval.iter().flat_map(|interval| [interval.low, interval.high]));
    values.retain(|value| value.is_finite());
    let Some(region) = judged.region else { return String::new() };
    if values.is_empty() {
        return String::new();
    }
    let margin = region.margin();
    values.push(margin);
    if matches!(region, Region::Within(_) | Region::Outside(_)) {
        values.push(-margin);
    }
    let (mut low, mut high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    // Zero is shown where it is not far: no difference is what one looks for first.
    let span = (high - low).max(high.abs().max(low.abs()) * 0.02).max(1e-12);
    if low > 0.0 && low < span {
        low = 0.0;
    }
    if high < 0.0 && -high < span {
        high = 0.0;
    }
    let padding = (high - low).max(span) * 0.12;
    (low, high) = (low - padding, high + padding);
    let place = |value: f64| SIDE + (value - low) / (high - low) * (WIDTH - 2.0 * SIDE);
    let cut = |value: f64| place(value).clamp(SIDE, WIDTH - SIDE);
    let outcome = judged.outcome.as_str();
    let form = form(judged);
    let (top, bar, seeds, axis) = (20.0, 38.0, 56.0, 68.0);
    let mut svg = format!(
        "<div class=\"scroll\"><svg viewBox=\"0 0 {WIDTH} 90\" role=\"img\" class=\"i-{outcome}\" aria-label=\"{}\">\n",
        escape(&in_words(judged))
    );
    let shades: Vec<(f64, f64)> = match region {
        Region::Above(margin) => vec![(margin, high)],
        Region::Below(margin) => vec![(low, margin)],
        Region::Within(margin) => vec![(-margin, margin)],
        Region::Outside(margin) => vec![(low, -margin), (margin, high)],
    };
    for (from, to) in shades {
        let (from, to) = (cut(from), cut(to));
        let _ = writeln!(
            svg,
            "<rect class=\"region\" x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{}\"/>",
            (to - from).max(0.0),
            axis - top
        );
    }
    let step = round_numbers(low, high, 7);
    let apart = match step.as_slice() {
        [first, second, ..] => (second - first).abs(),
        _ => high - low,
    };
    let _ = writeln!(
        svg,
        "<line class=\"axis\" x1=\"{SIDE}\" x2=\"{}\" y1=\"{axis}\" y2=\"{axis}\"/>",
        WIDTH - SIDE
    );
    for tick in step {
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{axis}\" y2=\"{1}\"/>\
             <text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{3}</text>",
            place(tick),
            axis + 4.0,
            axis + 17.0,
            form.number(tick, apart * 1.01)
        );
    }
    if low < 0.0 && high > 0.0 && margin != 0.0 {
        let _ = writeln!(
            svg,
            "<line class=\"zero\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top}\" y2=\"{axis}\"/>",
            place(0.0)
        );
    }
    let margins: Vec<f64> = match region {
        Region::Within(margin) | Region::Outside(margin) => vec![-margin, margin],
        Region::Above(margin) | Region::Below(margin) => vec![margin],
    };
    for margin in margins {
        let at = place(margin);
        let anchor = if at < 70.0 {
            "start"
        } else if at > WIDTH - 70.0 {
            "end"
        } else {
            "middle"
        };
        let _ = writeln!(
            svg,
            "<line class=\"margin\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{axis}\"/>\
             <text x=\"{at:.1}\" y=\"13\" text-anchor=\"{anchor}\">margin {}</text>",
            form.number(margin, resolution(judged))
        );
    }
    if let Some(interval) = judged.interval {
        let (from, to) = (cut(interval.low), cut(interval.high));
        let _ = writeln!(
            svg,
            "<line class=\"whisker\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{bar}\" y2=\"{bar}\"/>"
        );
        for end in [from, to] {
            let _ = writeln!(
                svg,
                "<line class=\"whisker\" x1=\"{end:.1}\" x2=\"{end:.1}\" y1=\"{}\" y2=\"{}\"/>",
                bar - 6.0,
                bar + 6.0
            );
        }
    }
    if let Some(estimate) = judged.estimate.filter(|estimate| estimate.is_finite()) {
        let at = place(estimate);
        let _ = writeln!(
            svg,
            "<path class=\"estimate\" d=\"M{at:.1} {}l7 7l-7 7l-7 -7z\"><title>estimate {}</title></path>",
            bar - 7.0,
            form.number(estimate, resolution(judged))
        );
    }
    for (seed, value) in judged.per_seed.iter().filter(|(_, value)| value.is_finite()) {
        let _ = writeln!(
            svg,
            "<circle class=\"seed\" cx=\"{:.1}\" cy=\"{seeds}\" r=\"3\"><title>seed {seed}: {}</title></circle>",
            place(*value),
            form.number(*value, resolution(judged))
        );
    }
    svg.push_str("</svg></div>\n");
    let dots = if judged.per_seed.is_empty() { "" } else { " Dots: single seeds." };
    let _ = writeln!(
        svg,
        "<p class=\"caption\">{}. Green: where the claim says it lies.{dots}</p>",
        escape(&judged.quantity)
    );
    svg
}

fn in_words(judged: &Judgement) -> String {
    let outcome = match judged.outcome {
        Outcome::Holds => "the interval lies where the claim says",
        Outcome::Fails => "the interval lies outside of where the claim says",
        Outcome::Undecided => "not decided",
    };
    format!("{}: {outcome}", judged.quantity)
}
