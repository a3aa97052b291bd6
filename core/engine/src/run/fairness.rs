//! What a run must promise before it begins: claims that can be judged, arms that cost the same.

use super::RunError;
use zoo_schema::experiment::{Arm, Claim, Experiment, Quantity};

/// Whether every claim can be judged, and whether the arms that it compares cost the same where it says
/// so. The checker has looked at both; an experiment may also come from elsewhere.
pub(crate) fn check(experiment: &Experiment) -> Result<(), RunError> {
    if experiment.arms.is_empty() {
        return Err(RunError::Nothing("arms"));
    }
    if experiment.seeds == 0 {
        return Err(RunError::Nothing("seeds"));
    }
    if let Err((index, reason)) = zoo_statistics::check(&experiment.claims) {
        let claim = experiment.claims.get(index).map(|claim| claim.title.clone()).unwrap_or_default();
        return Err(RunError::Claim { claim, reason: reason.to_string() });
    }
    for claim in &experiment.claims {
        check_costs(claim, &experiment.arms)?;
    }
    Ok(())
}

fn check_costs(claim: &Claim, arms: &[Arm]) -> Result<(), RunError> {
    let mut names = Vec::new();
    named_arms(&claim.require.left, &mut names);
    named_arms(&claim.require.right, &mut names);
    for holding in &claim.holding {
        let costs = arms.iter().filter(|arm| names.contains(&arm.name.as_str())).map(|arm| {
            let cost = match holding.cost.as_str() {
                "train_flops" => arm.cost.train_flops,
                "parameters" => arm.cost.parameters,
                "steps" => arm.cost.steps,
                _ => arm.cost.examples,
            };
            (arm.name.as_str(), cost)
        });
        let low = costs.clone().min_by(|a, b| a.1.total_cmp(&b.1));
        let high = costs.max_by(|a, b| a.1.total_cmp(&b.1));
        let (Some((low, small)), Some((high, large))) = (low, high) else { continue };
        if large > small * (1.0 + holding.within) + 1e-9 {
            return Err(RunError::CostsDiffer {
                claim: claim.title.clone(),
                cost: holding.cost.clone(),
                within: holding.within,
                low: low.to_owned(),
                small,
                high: high.to_owned(),
                large,
            });
        }
    }
    Ok(())
}

fn named_arms<'a>(quantity: &'a Quantity, names: &mut Vec<&'a str>) {
    match quantity {
        Quantity::Number(_) => {}
        Quantity::Metric { arm, .. } => names.push(arm),
        Quantity::Arithmetic { left, right, .. } => {
            named_arms(left, names);
            named_arms(right, names);
        }
        Quantity::Negative(inner) | Quantity::Absolute(inner) => named_arms(inner, names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoo_schema::experiment::{ArmCost, Holding, Place, Relation, Requirement};

    fn arm(name: &str, train_flops: f64) -> Arm {
        Arm {
            name: name.into(),
            role: None,
            title: String::new(),
            instances: Vec::new(),
            phases: Vec::new(),
            evaluations: Vec::new(),
            metrics: Vec::new(),
            cost: ArmCost { train_flops, ..ArmCost::default() },
            seed_offset: 0,
        }
    }

    fn claim(within: f64) -> Claim {
        let metric = |arm: &str| Quantity::Metric { metric: "loss".into(), arm: arm.into() };
        Claim {
            title: "less is more".into(),
            require: Requirement { left: metric("a"), relation: Relation::Less, right: metric("b") },
            text: "loss(a) < loss(b)".into(),
            paired: true,
            confidence: 0.95,
            seeds: 3,
            holding: vec![Holding { cost: "train_flops".into(), within }],
            source: None,
            stop_when_decided: false,
            place: Place::default(),
        }
    }

    #[test]
    fn arms_that_a_claim_compares_cost_the_same() {
        let arms = [arm("a", 100.0), arm("b", 104.0), arm("dear", 900.0)];
        assert!(check_costs(&claim(0.05), &arms).is_ok());
        let error = check_costs(&claim(0.03), &arms).unwrap_err().to_string();
        assert_eq!(
            error,
            "the claim \"less is more\" holds `cost.train_flops` equal within 3%, but `a` has 1.0000e2 and `b` 1.0400e2"
        );
    }
}
