//! The curves of the arms with their spread over seeds.

use super::chart::{COLOURS, Chart, Line, Point};
use super::facts::Facts;
use super::text::{Form, escape};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// Points a line is drawn with; longer ones are averaged.
const POINTS: usize = 160;
/// Charts of one group; a recipe that logs more is read better elsewhere.
const CHARTS: usize = 40;
/// Values of training itself, which matter less than those the recipe logs.
const TECHNICAL: [&str; 5] =
    ["learning_rate", "grad_norm", "examples_per_second", "tokens_per_second", "seconds_per_step"];

/// What one chart shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key<'a> {
    phase: &'a str,
    evaluation: Option<&'a str>,
    name: &'a str,
}

/// Values of one chart: for every arm and seed the steps and values.
type Runs = BTreeMap<(usize, u64), Vec<(f64, f64)>>;

pub(super) fn curves(facts: &Facts) -> String {
    let collected = collect(facts);
    let phases = {
        let mut names: Vec<&str> = collected.iter().map(|(key, _)| key.phase).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    };
    let (mut evaluations, mut training, mut technical) = (Vec::new(), Vec::new(), Vec::new());
    let mut averaged = false;
    let mut unchanging: Vec<String> = Vec::new();
    for (key, runs) in &collected {
        let several_steps = runs.values().any(|points| points.len() > 1);
        if !several_steps || key.name == "seconds" && key.evaluation.is_none() {
            continue;
        }
        if let Some(value) = always(runs) {
            let text = format!("{} ({})", key.name, Form::Plain.short(value));
            if !unchanging.contains(&text) {
                unchanging.push(text);
            }
            continue;
        }
        averaged |= runs.values().any(|points| points.len() > POINTS);
        let chart = chart(facts, key, runs, phases > 1);
        match key.evaluation {
            Some(_) => evaluations.push(chart),
            None if TECHNICAL.contains(&key.name) => technical.push(chart),
            None => training.push((key, chart)),
        }
    }
    // The loss first; then what the recipe logs, phases of one name side by side.
    let mut names: Vec<&str> = vec!["loss"];
    for (key, _) in &training {
        if !names.contains(&key.name) {
            names.push(key.name);
        }
    }
    training.sort_by_key(|(key, _)| names.iter().position(|name| *name == key.name));
    let training: Vec<Chart> = training.into_iter().map(|(_, chart)| chart).collect();
    if evaluations.is_empty() && training.is_empty() && technical.is_empty() {
        return String::new();
    }
    let mut html = legend(facts);
    let mut id = 0;
    let mut group = |html: &mut String, title: &str, charts: &[Chart]| {
        if charts.is_empty() {
            return;
        }
        let _ = writeln!(html, "<h3>{title}</h3>\n<div class=\"charts\">");
        for chart in charts.iter().take(CHARTS) {
            html.push_str(&chart.figure(id));
            id += 1;
        }
        html.push_str("</div>\n");
        if charts.len() > CHARTS {
            let _ = writeln!(
                html,
                "<p class=\"caption\">{} more are in <code>metrics.jsonl</code> and <code>tensorboard/</code>.</p>",
                charts.len() - CHARTS
            );
        }
    };
    group(&mut html, "Evaluations while training", &evaluations);
    group(&mut html, "Training", &training);
    if !technical.is_empty() {
        html.push_str("<details>\n<summary>Learning rate, gradient norm, speed</summary>\n");
        group(&mut html, "Optimisation and speed", &technical);
        html.push_str("</details>\n");
    }
    let mut caption = "A line is the mean over seeds; its band reaches from the lowest to the highest seed; \
                       the number is the last value."
        .to_owned();
    if averaged {
        let _ = write!(caption, " Curves of more than {POINTS} points are averaged to so many.");
    }
    if !unchanging.is_empty() {
        let _ = write!(caption, " Not drawn, as they never change: {}.", escape(&unchanging.join(", ")));
    }
    let _ = writeln!(html, "<p class=\"caption\">{caption}</p>");
    html
}

/// The value that a chart has everywhere, in every arm and seed, if it has but one.
fn always(runs: &Runs) -> Option<f64> {
    let mut values = runs.values().flatten().map(|(_, value)| *value);
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

fn legend(facts: &Facts) -> String {
    let mut html = String::from("<div class=\"legend\">");
    for (index, arm) in facts.experiment.arms.iter().enumerate() {
        let role = arm.role.as_ref().map_or(String::new(), |role| format!(" ({role})"));
        let _ = write!(
            html,
            "<span class=\"c{}\" title=\"{}\"><span class=\"key\"></span>{}<span class=\"faint\">{}</span></span>",
            index % COLOURS,
            escape(&arm.title),
            escape(&arm.name),
            escape(&role)
        );
    }
    html.push_str("</div>\n");
    html
}

/// Every chart's values, in the order in which they first appear.
fn collect(facts: &Facts) -> Vec<(Key<'_>, Runs)> {
    let arms: HashMap<&str, usize> =
        facts.experiment.arms.iter().enumerate().map(|(index, arm)| (arm.name.as_str(), index)).collect();
    let mut places: HashMap<Key<'_>, usize> = HashMap::new();
    let mut collected: Vec<(Key<'_>, Runs)> = Vec::new();
    for line in &facts.metrics {
        let Some(arm) = arms.get(line.arm.as_str()) else { continue };
        for (name, value) in line.values.iter() {
            let key = Key { phase: &line.phase, evaluation: line.evaluation.as_deref(), name };
            let place = *places.entry(key).or_insert_with(|| {
                collected.push((key, Runs::new()));
                collected.len() - 1
            });
            collected[place].1.entry((*arm, line.seed)).or_default().push((line.step as f64, value));
        }
    }
    collected
}

fn chart(facts: &Facts, key: &Key<'_>, runs: &Runs, several_phases: bool) -> Chart {
    // The recipe's own name for it, where it has one.
    let metric = facts
        .experiment
        .arms
        .iter()
        .flat_map(|arm| &arm.metrics)
        .find(|metric| Some(metric.evaluation.as_str()) == key.evaluation && metric.log == key.name);
    let mut note = Vec::new();
    if let Some(evaluation) = key.evaluation {
        note.push(if metric.is_some() {
            format!("{evaluation}.{}", key.name)
        } else {
            evaluation.to_owned()
        });
    }
    if let Some(better) = metric.and_then(|metric| metric.higher_is_better) {
        note.push(if better { "higher is better" } else { "lower is better" }.to_owned());
    }
    if several_phases {
        note.push(format!("phase {}", key.phase));
    }
    let form = if metric.is_some_and(|metric| metric.percent) { Form::Percent } else { Form::Plain };
    let lines = (0..facts.experiment.arms.len())
        .filter_map(|arm| {
            let seeds: Vec<&Vec<(f64, f64)>> =
                runs.range((arm, 0)..=(arm, u64::MAX)).map(|(_, points)| points).collect();
            let (points, lost) = reduce(&seeds);
            (!seeds.is_empty()).then(|| Line {
                name: facts.experiment.arms[arm].name.clone(),
                colour: arm,
                points,
                lost,
            })
        })
        .collect();
    Chart {
        title: metric.map_or(key.name, |metric| &metric.name).replace('_', " "),
        note: note.join(", "),
        x_label: "update".to_owned(),
        form,
        lines,
    }
}

/// Means and spread over seeds, in at most [`POINTS`] points; and the places of values that are not finite.
fn reduce(seeds: &[&Vec<(f64, f64)>]) -> (Vec<Point>, Vec<f64>) {
    let all = || seeds.iter().flat_map(|points| points.iter().copied());
    let (low, high) =
        all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (x, _)| (low.min(x), high.max(x)));
    let longest = seeds.iter().map(|points| points.len()).max().unwrap_or(0);
    let width = (high - low) / POINTS as f64;
    // Short curves keep their steps; longer ones are cut into pieces of equal length.
    let bin = |x: f64| -> i64 {
        if longest <= POINTS || width <= 0.0 {
            x as i64
        } else {
            ((x - low) / width).min(POINTS as f64 - 1.0) as i64
        }
    };
    // For every piece and seed: sum of x, sum of values, number of values.
    let mut bins: BTreeMap<i64, BTreeMap<usize, (f64, f64, f64)>> = BTreeMap::new();
    let mut lost: BTreeMap<i64, f64> = BTreeMap::new();
    for (seed, points) in seeds.iter().enumerate() {
        for &(x, value) in *points {
            if value.is_finite() {
                let sums = bins.entry(bin(x)).or_default().entry(seed).or_default();
                *sums = (sums.0 + x, sums.1 + value, sums.2 + 1.0);
            } else {
                lost.entry(bin(x)).or_insert(x);
            }
        }
    }
    let points = bins
        .values()
        .map(|seeds| {
            let means = || seeds.values().map(|(_, sum, count)| sum / count);
            let (xs, count) = seeds.values().fold((0.0, 0.0), |(xs, n), (x, _, count)| (xs + x, n + count));
            Point {
                x: xs / count,
                mean: means().sum::<f64>() / seeds.len() as f64,
                low: means().fold(f64::INFINITY, f64::min),
                high: means().fold(f64::NEG_INFINITY, f64::max),
                seeds: seeds.len(),
            }
        })
        .collect();
    (points, lost.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_averaged_step_by_step() {
        let (first, second) = (vec![(10.0, 1.0), (20.0, 3.0)], vec![(10.0, 3.0), (20.0, f64::NAN)]);
        let (points, lost) = reduce(&[&first, &second]);
        assert_eq!(points[0], Point { x: 10.0, mean: 2.0, low: 1.0, high: 3.0, seeds: 2 });
        assert_eq!(points[1], Point { x: 20.0, mean: 3.0, low: 3.0, high: 3.0, seeds: 1 });
        assert_eq!(lost, [20.0]);
    }

    #[test]
    fn long_curves_are_averaged_and_keep_their_level() {
        let long: Vec<(f64, f64)> =
            (0..100_000).map(|i| (f64::from(i), if i % 2 == 0 { 1.0 } else { 3.0 })).collect();
        let (points, _) = reduce(&[&long]);
        assert!(points.len() <= POINTS && points.len() > POINTS / 2);
        assert!(points.iter().all(|point| (point.mean - 2.0).abs() < 0.02));
        assert!(points.windows(2).all(|pair| pair[0].x < pair[1].x));
    }
}
