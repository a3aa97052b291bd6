//! Tables of results and costs.

use super::chart::COLOURS;
use super::facts::Facts;
use super::page::measured;
use super::text::{Form, digits, duration, escape, large, spaced};
use crate::{Event, Measure, MetricResult, RunState};
use std::fmt::Write;
use zoo_statistics::one_sample;

/// With more seeds than this their values stand in a table of their own.
const SEED_COLUMNS: usize = 8;
/// Confidence of the intervals in the table of results.
const LEVEL: f64 = 0.95;

/// An arm with its colour and role.
pub(super) fn arm_cell(facts: &Facts, name: &str) -> String {
    let role = facts.arm(name).and_then(|arm| arm.role.as_ref());
    let role =
        role.map_or(String::new(), |role| format!(" <span class=\"badge role\">{}</span>", escape(role)));
    format!("{}{role}", arm_name(facts, name))
}

/// An arm with its colour.
pub(super) fn arm_name(facts: &Facts, name: &str) -> String {
    let title = facts.arm(name).map_or("", |arm| arm.title.as_str());
    format!(
        "<span class=\"c{}\" title=\"{}\"><span class=\"key\"></span>{}</span>",
        facts.arm_index(name) % COLOURS,
        escape(title),
        escape(name)
    )
}

/// The final metrics, by metric and arm.
pub(super) fn metrics(facts: &Facts) -> String {
    let result = facts.result();
    // Names in the order of the recipe, each once.
    let mut names: Vec<&str> = Vec::new();
    for metric in facts.experiment.arms.iter().flat_map(|arm| &arm.metrics) {
        if !names.contains(&metric.name.as_str()) {
            names.push(&metric.name);
        }
    }
    let mut seeds: Vec<u64> = facts.finished.iter().map(|done| done.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    if names.is_empty() || seeds.is_empty() {
        let text = if facts.state == RunState::Running { "No run of an arm is done yet." } else { "" };
        let text = if names.is_empty() || text.is_empty() {
            String::new()
        } else {
            format!("<p class=\"caption\">{text}</p>\n")
        };
        return text;
    }
    let columns = seeds.len() <= SEED_COLUMNS;
    let mut html = String::from(
        "<div class=\"scroll\"><table>\n<thead><tr><th>metric</th><th class=\"left\">arm</th><th>mean</th>",
    );
    if columns {
        for seed in &seeds {
            let _ = write!(html, "<th>seed {seed}</th>");
        }
    } else {
        html.push_str("<th>deviation</th><th>lowest</th><th>highest</th><th>seeds</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for name in &names {
        let rows: Vec<(&str, &MetricResult)> = result
            .arms
            .iter()
            .filter_map(|arm| Some((arm.name.as_str(), arm.metrics.iter().find(|m| m.name == *name)?)))
            .collect();
        let (form, better) = look(facts, name);
        let best = best(&rows, better);
        for (index, (arm, metric)) in rows.iter().enumerate() {
            let resolution = resolution(metric);
            html.push_str("<tr>");
            if index == 0 {
                let arrow = match better {
                    Some(true) => " <span class=\"plus\" title=\"higher is better\">↑</span>",
                    Some(false) => " <span class=\"plus\" title=\"lower is better\">↓</span>",
                    None => "",
                };
                let _ = write!(html, "<td rowspan=\"{}\">{}{arrow}</td>", rows.len(), escape(name));
            }
            let class = if best == Some(index) { " class=\"best\"" } else { "" };
            let _ = write!(
                html,
                "<td class=\"left\">{}</td><td{class}>{}</td>",
                arm_cell(facts, arm),
                mean_text(metric, form, resolution)
            );
            if columns {
                for seed in &seeds {
                    let value = metric.seeds.iter().find(|value| value.seed == *seed);
                    let text = value.map_or("–".to_owned(), |value| form.number(value.value, resolution));
                    let _ = write!(html, "<td>{text}</td>");
                }
            } else {
                let values = || metric.seeds.iter().map(|value| value.value);
                let low = values().fold(f64::INFINITY, f64::min);
                let high = values().fold(f64::NEG_INFINITY, f64::max);
                let deviation = if form == Form::Percent { Form::Points } else { form };
                let _ = write!(
                    html,
                    "<td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
                    deviation.number(metric.standard_deviation, resolution),
                    form.number(low, resolution),
                    form.number(high, resolution),
                    metric.seeds.len()
                );
            }
            html.push_str("</tr>\n");
        }
    }
    html.push_str("</tbody></table></div>\n");
    let _ = writeln!(
        html,
        "<p class=\"caption\">Means over seeds with half the width of their {}% t interval, an arm at a time; \
         claims compare arms and have intervals of their own. Bold: the best mean.</p>",
        digits(LEVEL * 100.0, 1.0)
    );
    if !columns {
        html.push_str(&every_seed(facts, &names, &seeds));
    }
    html
}

fn every_seed(facts: &Facts, names: &[&str], seeds: &[u64]) -> String {
    let mut html = String::from(
        "<details>\n<summary>Every seed</summary>\n<div class=\"scroll\"><table>\n<thead><tr><th>arm</th><th>seed</th>",
    );
    for name in names {
        let _ = write!(html, "<th>{}</th>", escape(name));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for arm in &facts.experiment.arms {
        for seed in seeds {
            let Some(done) = facts.finished.iter().find(|d| d.arm == arm.name && d.seed == *seed) else {
                continue;
            };
            let _ = write!(html, "<tr><td>{}</td><td>{seed}</td>", arm_cell(facts, &arm.name));
            for name in names {
                let form = look(facts, name).0;
                let text = done.metrics.get(name).map_or("–".to_owned(), |value| form.number(value, 1e-4));
                let _ = write!(html, "<td>{text}</td>");
            }
            html.push_str("</tr>\n");
        }
    }
    html.push_str("</tbody></table></div>\n</details>\n");
    html
}

/// How a metric is printed, and which direction is better.
fn look(facts: &Facts, name: &str) -> (Form, Option<bool>) {
    let metric = facts.experiment.arms.iter().flat_map(|arm| &arm.metrics).find(|metric| metric.name == name);
    let percent = metric.is_some_and(|metric| metric.percent);
    (if percent { Form::Percent } else { Form::Plain }, metric.and_then(|metric| metric.higher_is_better))
}

/// The arm with the best mean, where there are several and one is best.
fn best(rows: &[(&str, &MetricResult)], higher: Option<bool>) -> Option<usize> {
    let sign = if higher? { 1.0 } else { -1.0 };
    if rows.len() < 2 {
        return None;
    }
    let score = |index: usize| sign * rows[index].1.mean;
    let best =
        (0..rows.len()).filter(|i| score(*i).is_finite()).max_by(|a, b| score(*a).total_cmp(&score(*b)))?;
    let ties = (0..rows.len()).filter(|index| score(*index) == score(best)).count();
    (ties == 1).then_some(best)
}

/// A tenth of the spread between seeds, or a thousandth of the size where there is none.
fn resolution(metric: &MetricResult) -> f64 {
    let (spread, size) = (metric.standard_deviation, metric.mean.abs());
    if spread.is_finite() && spread > 0.0 { (spread / 10.0).max(size * 1e-6) } else { size / 1000.0 }
}

/// What a schema predicts; nothing where no schema says anything.
fn predicted(value: f64, text: String) -> String {
    if value > 0.0 { text } else { "–".to_owned() }
}

fn mean_text(metric: &MetricResult, form: Form, resolution: f64) -> String {
    let values: Vec<f64> = metric.seeds.iter().map(|value| value.value).collect();
    let mean = form.number(metric.mean, resolution);
    let Some(estimate) = one_sample(&values) else { return mean };
    let interval = estimate.interval(LEVEL);
    let half = (interval.high - interval.low) / 2.0;
    if !half.is_finite() {
        return mean;
    }
    let half = digits(half * form.factor(), resolution * form.factor());
    format!("{mean} <span class=\"plus\">± {half}</span>")
}

/// What every arm was predicted to cost and what it took.
pub(super) fn cost(facts: &Facts) -> String {
    let mut html = String::from(
        "<div class=\"scroll\"><table>\n<thead><tr><th>arm</th><th>parameters</th><th>updates</th><th>examples</th>\
         <th>training</th><th>time a seed</th><th>speed</th></tr></thead>\n<tbody>\n",
    );
    for arm in &facts.experiment.arms {
        let seconds: Vec<f64> =
            facts.finished.iter().filter(|done| done.arm == arm.name).map(|done| done.seconds).collect();
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        let (time, speed) = if seconds.is_empty() {
            ("–".to_owned(), "–".to_owned())
        } else {
            let flops = arm.cost.train_flops;
            (duration(mean), predicted(flops, format!("{}FLOP/s", spaced(flops / mean))))
        };
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{time}</td><td>{speed}</td></tr>",
            arm_cell(facts, &arm.name),
            predicted(arm.cost.parameters, large(arm.cost.parameters)),
            large(arm.cost.steps),
            large(arm.cost.examples),
            predicted(arm.cost.train_flops, format!("{}FLOP", spaced(arm.cost.train_flops)))
        );
    }
    html.push_str("</tbody></table></div>\n<p class=\"caption\">Predicted for one seed, from the schemas of the components; \
                   time is measured, with evaluations and saving, so speed is that of the whole run.</p>\n");
    html.push_str(&plan(facts));
    html
}

/// Predictions of the plan beside what was measured, the last of each.
fn plan(facts: &Facts) -> String {
    let mut rows: Vec<(&str, &str, &str, Measure, f64, f64)> = Vec::new();
    for line in &facts.history {
        let Event::PlanMeasured { arm, what, part, measure, planned, measured, .. } = &line.event else {
            continue;
        };
        let row = (arm.as_str(), part.as_str(), what.as_str(), *measure, *planned, *measured);
        match rows.iter_mut().find(|known| (known.0, known.1, known.2) == (row.0, row.1, row.2)) {
            Some(known) => *known = row,
            None => rows.push(row),
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<h3>The plan and what was measured</h3>\n<div class=\"scroll\"><table>\n<thead><tr><th>arm</th>\
         <th class=\"left\">part</th><th class=\"left\">what</th><th>planned</th><th>measured</th><th>difference</th>\
         </tr></thead>\n<tbody>\n",
    );
    for (arm, part, what, measure, planned, found) in rows {
        let difference = (found - planned) / planned * 100.0;
        let class = if difference.abs() > 10.0 { " class=\"off\"" } else { "" };
        let sign = if difference > 0.0 { "+" } else { "" };
        let difference = if difference > 900.0 && difference.is_finite() {
            format!("{}×", large((found / planned).round()))
        } else if difference.is_finite() {
            format!("{sign}{}%", digits(difference, 0.1))
        } else {
            "–".to_owned()
        };
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td class=\"left\">{}</td><td class=\"left\">{}</td><td>{}</td><td>{}</td>\
             <td{class}>{difference}</td></tr>",
            arm_cell(facts, arm),
            escape(part),
            escape(what),
            measured(planned, measure),
            measured(found, measure)
        );
    }
    html.push_str("</tbody></table></div>\n");
    html
}
