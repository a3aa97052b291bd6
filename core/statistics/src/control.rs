//! Controls: every claim, judged where it must not hold.
//!
//! A claim that compares arms says that they differ. Put one arm in all places, the others as copies of it under
//! other seeds, and there is nothing to find: the claim must fail or stay undecided. Where it holds, the
//! measurement finds differences that are not there. (Of claims at 95% one in forty may do so by chance.)

use crate::form::{Form, arms};
use crate::{Interval, Outcome, Results};
use zoo_schema::experiment::{Arm, Claim, Control, Experiment, Quantity, WithoutControl};

/// Seeds of a copy are this far from those of the arm; more seeds than that are no run.
const FAR: u64 = 1_000_000;

/// The experiment in which no claim must hold: the first arm of every claim against itself. It has no more arms
/// than that takes, and its [`Control`] says which claims have no control, and why: those about a single arm,
/// and those that an arm and itself meet, as an equivalence. Costs are not compared.
pub fn control(experiment: &Experiment) -> Experiment {
    let mut control = Experiment {
        arms: Vec::new(),
        claims: Vec::new(),
        control: Some(Control { without: Vec::new() }),
        ..experiment.clone()
    };
    let mut without = Vec::new();
    for claim in &experiment.claims {
        match replaced(claim, experiment, &mut control.arms) {
            Ok(claim) => control.claims.push(claim),
            Err(reason) => {
                without.push(WithoutControl { claim: claim.title.clone(), reason: reason.to_owned() })
            }
        }
    }
    control.control = Some(Control { without });
    control
}

fn replaced(claim: &Claim, experiment: &Experiment, made: &mut Vec<Arm>) -> Result<Claim, &'static str> {
    let form = Form::of(claim).map_err(|_| "it cannot be judged")?;
    let require = &claim.require;
    let mut named = arms(&require.left);
    named.extend(arms(&require.right));
    let mut seen = Vec::new();
    named.retain(|name| {
        !seen.contains(name) && {
            seen.push(name.clone());
            true
        }
    });
    let (first, others) = match named.split_first() {
        Some((first, others)) if !others.is_empty() => (first, others),
        _ => return Err("it is about one arm"),
    };
    let arm = experiment.arms.iter().find(|arm| arm.name == *first).ok_or("its arm is not there")?;
    let metrics = metrics(&require.left).into_iter().chain(metrics(&require.right));
    let has = |metric: &String| arm.metrics.iter().any(|known| known.name == *metric);
    let metrics: Vec<String> = metrics.collect();
    if !metrics.iter().all(has) {
        return Err("its first arm lacks a metric that is asked of another");
    }
    // What is asked of arms that do not differ: it must not depend on how good they are.
    // Powers: neither differences nor quotients of different metrics stay what they are.
    let values = |base: f64| {
        let mut results = Results::new();
        for (number, metric) in (1_i32..).zip(&metrics) {
            let value = base.powi(number);
            named.iter().for_each(|arm| results.insert(arm, metric, 0, value));
        }
        form.paired(&results, &[0]).ok().and_then(|values| values.first().copied())
    };
    let (Some(one), Some(two)) = (values(0.61), values(1.7)) else {
        return Err("its sides measure different things");
    };
    if (one - two).abs() > 1e-9 {
        return Err("its sides measure different things");
    }
    if form.region.outcome(Interval { low: one, high: one }) == Outcome::Holds {
        return Err("an arm and itself meet it: it says that arms differ by no more than that");
    }
    let mut claim = Claim { holding: Vec::new(), ..claim.clone() };
    if !made.iter().any(|known| known.name == arm.name) {
        made.push(arm.clone());
    }
    for (number, other) in (1_u64..).zip(others) {
        let offset = number * FAR;
        let copy = match made.iter().find(|known| known.seed_offset == offset && is_copy(known, arm)) {
            Some(copy) => copy.name.clone(),
            None => {
                let suffix = if number == 1 { String::new() } else { format!("_{number}") };
                let mut name = format!("{first}_again{suffix}");
                while experiment.arms.iter().chain(made.iter()).any(|known| known.name == name) {
                    name.push('_');
                }
                let title = format!("`{first}` under other seeds");
                made.push(Arm { name: name.clone(), role: None, title, seed_offset: offset, ..arm.clone() });
                name
            }
        };
        rename(&mut claim.require.left, other, &copy);
        rename(&mut claim.require.right, other, &copy);
        claim.text = claim.text.replace(&format!("({other})"), &format!("({copy})"));
    }
    Ok(claim)
}

fn is_copy(known: &Arm, of: &Arm) -> bool {
    known.instances == of.instances && known.phases == of.phases && known.evaluations == of.evaluations
}

fn metrics(quantity: &Quantity) -> Vec<String> {
    match quantity {
        Quantity::Number(_) => Vec::new(),
        Quantity::Metric { metric, .. } => vec![metric.clone()],
        Quantity::Arithmetic { left, right, .. } => [metrics(left), metrics(right)].concat(),
        Quantity::Negative(inner) | Quantity::Absolute(inner) => metrics(inner),
    }
}

fn rename(quantity: &mut Quantity, from: &str, to: &str) {
    match quantity {
        Quantity::Number(_) => {}
        Quantity::Metric { arm, .. } if arm == from => to.clone_into(arm),
        Quantity::Metric { .. } => {}
        Quantity::Arithmetic { left, right, .. } => {
            rename(left, from, to);
            rename(right, from, to);
        }
        Quantity::Negative(inner) | Quantity::Absolute(inner) => rename(inner, from, to),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn claim(title: &str, left: serde_json::Value, relation: &str, right: serde_json::Value) -> Claim {
        let require = json!({ "left": left, "relation": relation, "right": right });
        serde_json::from_value(json!({
            "title": title, "require": require, "text": "acc(a) > acc(b)", "paired": true, "confidence": 0.95,
            "seeds": 3, "holding": [{ "cost": "steps", "within": 0.0 }], "source": null, "stop_when_decided": false,
            "place": { "file": "", "start": 0, "length": 0, "line": 1, "column": 1 },
        }))
        .unwrap()
    }

    fn metric(name: &str, arm: &str) -> serde_json::Value {
        json!({ "metric": { "metric": name, "arm": arm } })
    }

    fn arithmetic(operator: &str, left: serde_json::Value, right: serde_json::Value) -> serde_json::Value {
        json!({ "arithmetic": { "operator": operator, "left": left, "right": right } })
    }

    fn number(value: f64) -> serde_json::Value {
        json!({ "number": value })
    }

    fn experiment(claims: Vec<Claim>) -> Experiment {
        let arm = |name: &str, phase: &str, metrics: &[&str]| {
            let metric = |name: &&str| json!({ "name": name, "evaluation": "e", "log": "l", "higher_is_better": true, "percent": false });
            json!({
                "name": name, "role": "baseline", "title": phase, "instances": [], "phases": [], "evaluations": [],
                "metrics": metrics.iter().map(metric).collect::<Vec<_>>(),
                "cost": { "train_flops": 0.0, "parameters": 0.0, "steps": 0.0, "examples": 0.0 },
            })
        };
        let mut experiment: Experiment = serde_json::from_value(json!({
            "paper": { "name": "p", "title": "t", "arxiv": "", "summary": "" }, "recipe": "r.mlm", "profile": null,
            "overrides": [], "resolved": "", "sources": [], "seeds": 3, "first_seed": 1, "claims": [], "plugins": [],
            "arms": [
                arm("a", "1", &["acc", "loss"]), arm("b", "2", &["acc"]), arm("c", "3", &["acc"]),
                arm("unused", "4", &["acc"]), arm("a_again", "5", &["acc"]),
            ],
        }))
        .unwrap();
        experiment.claims = claims;
        experiment
    }

    #[test]
    fn every_comparison_is_of_one_arm_with_itself() {
        let sum = arithmetic("add", metric("acc", "b"), number(0.1));
        let control = control(&experiment(vec![
            claim("better", metric("acc", "a"), "greater", sum),
            claim(
                "than two",
                arithmetic("multiply", metric("acc", "a"), number(2.0)),
                "greater",
                arithmetic("add", metric("acc", "b"), metric("acc", "c")),
            ),
            claim(
                "quotient",
                arithmetic("divide", metric("acc", "a"), metric("acc", "b")),
                "greater",
                number(1.2),
            ),
        ]));
        let names: Vec<(&str, u64)> = control.arms.iter().map(|a| (a.name.as_str(), a.seed_offset)).collect();
        // `a_again` is the recipe's own.
        assert_eq!(names, [("a", 0), ("a_again_", FAR), ("a_again_2", 2 * FAR)]);
        assert_eq!(control.claims.len(), 3);
        assert_eq!(control.claims[0].text, "acc(a) > acc(a_again_)");
        assert!(control.claims[0].holding.is_empty());
        assert_eq!(arms(&control.claims[1].require.right), ["a_again_", "a_again_2"]);
        assert!(control.control.unwrap().without.is_empty());
    }

    #[test]
    fn what_has_no_control_says_why() {
        let absolute = json!({ "absolute": arithmetic("subtract", metric("acc", "a"), metric("acc", "b")) });
        let slack = arithmetic("add", metric("acc", "b"), number(0.01));
        let control = control(&experiment(vec![
            claim("alone", metric("acc", "a"), "greater", number(0.8)),
            claim("equal", absolute, "less", number(0.02)),
            claim("no worse", metric("acc", "a"), "less", slack),
            claim("other things", metric("loss", "a"), "less", metric("acc", "b")),
            claim("not there", metric("acc", "b"), "less", metric("loss", "a")),
            claim(
                "doubled",
                arithmetic("multiply", metric("acc", "a"), number(2.0)),
                "greater",
                metric("acc", "b"),
            ),
        ]));
        assert!(control.claims.is_empty() && control.arms.is_empty());
        let reasons: Vec<&str> = control
            .control
            .as_ref()
            .unwrap()
            .without
            .iter()
            .map(|w| w.reason.split(':').next().unwrap())
            .collect();
        assert_eq!(
            reasons,
            [
                "it is about one arm",
                "an arm and itself meet it",
                "an arm and itself meet it",
                "its sides measure different things",
                "its first arm lacks a metric that is asked of another",
                "its sides measure different things",
            ]
        );
    }
}
