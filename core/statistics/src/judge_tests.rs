use super::*;
use proptest::prelude::*;
use zoo_schema::experiment::{Operator, Paper, Place, Quantity, Relation, Requirement};

fn metric(name: &str, arm: &str) -> Quantity {
    Quantity::Metric { metric: name.into(), arm: arm.into() }
}

fn arithmetic(operator: Operator, left: Quantity, right: Quantity) -> Quantity {
    Quantity::Arithmetic { operator, left: Box::new(left), right: Box::new(right) }
}

fn difference() -> Quantity {
    arithmetic(Operator::Subtract, metric("auc", "new"), metric("auc", "old"))
}

fn claim(left: Quantity, relation: Relation, right: Quantity) -> Claim {
    Claim {
        title: "new is better".into(),
        require: Requirement { left, relation, right },
        text: String::new(),
        paired: true,
        confidence: 0.95,
        seeds: 3,
        holding: vec![],
        source: None,
        stop_when_decided: false,
        place: Place::default(),
    }
}

/// `auc(new) > auc(old) + 0.1`
fn better_by_a_tenth() -> Claim {
    claim(
        metric("auc", "new"),
        Relation::Greater,
        arithmetic(Operator::Add, metric("auc", "old"), Quantity::Number(0.1)),
    )
}

fn experiment(claims: Vec<Claim>, seeds: u64) -> Experiment {
    Experiment {
        paper: Paper::default(),
        recipe: String::new(),
        profile: None,
        overrides: vec![],
        resolved: String::new(),
        sources: vec![],
        seeds,
        first_seed: 1,
        arms: vec![],
        claims,
        plugins: vec![],
        control: None,
    }
}

fn results(new: &[f64], old: &[f64]) -> Results {
    let mut results = Results::new();
    for (arm, values) in [("new", new), ("old", old)] {
        for (seed, value) in values.iter().enumerate() {
            results.insert(arm, "auc", seed as u64 + 1, *value);
        }
    }
    results
}

fn judged(claim: Claim, new: &[f64], old: &[f64]) -> Judgement {
    let seeds: Vec<u64> = (1..=new.len() as u64).collect();
    judge(&experiment(vec![claim], seeds.len() as u64), &results(new, old), &seeds).remove(0)
}

#[test]
fn paired_claims_hold_fail_or_stay_open() {
    let old = [0.50, 0.60, 0.40];
    let holds = judged(better_by_a_tenth(), &[0.80, 0.91, 0.69], &old);
    assert_eq!(holds.outcome, Outcome::Holds);
    assert_eq!(holds.quantity, "auc(new) − auc(old)");
    assert_eq!(holds.region, Some(Region::Above(0.1)));
    assert!((holds.estimate.unwrap() - 0.3).abs() < 1e-12);
    // Mean 0.3, s = 0.01, t(0.975, 2) = 4.30265: ± 0.024841
    let interval = holds.interval.unwrap();
    assert!((interval.low - 0.275_159).abs() < 1e-5 && (interval.high - 0.324_841).abs() < 1e-5);
    assert_eq!(holds.reason, "the whole interval lies above the margin");
    assert_eq!(holds.per_seed.len(), 3);

    assert_eq!(judged(better_by_a_tenth(), &[0.50, 0.61, 0.39], &old).outcome, Outcome::Fails);

    let open = judged(better_by_a_tenth(), &[0.65, 0.81, 0.49], &old);
    assert_eq!(open.outcome, Outcome::Undecided);
    let more = open.more_seeds.unwrap();
    // d = 0.05, s = 0.0608: (t + 0.84) s / sqrt(n) <= d needs 14 seeds.
    assert_eq!((more.in_all, more.more, more.at_least), (14, 11, false));
}

#[test]
fn pairing_removes_what_seeds_share() {
    let (new, old) = ([0.80, 0.30, 0.55], [0.60, 0.11, 0.34]);
    assert_eq!(judged(better_by_a_tenth(), &new, &old).outcome, Outcome::Holds);
    let unpaired = judged(Claim { paired: false, ..better_by_a_tenth() }, &new, &old);
    assert_eq!(unpaired.outcome, Outcome::Undecided);
    assert!(unpaired.per_seed.is_empty());
}

#[test]
fn equivalence_needs_the_interval_inside_both_margins() {
    let same =
        |margin| claim(Quantity::Absolute(Box::new(difference())), Relation::Less, Quantity::Number(margin));
    let (new, old) = ([0.50, 0.61, 0.40], [0.50, 0.60, 0.41]);
    assert_eq!(judged(same(0.05), &new, &old).outcome, Outcome::Holds);
    assert_eq!(judged(same(0.02), &new, &old).outcome, Outcome::Undecided);
    let far = [0.80, 0.90, 0.72];
    assert_eq!(judged(same(0.05), &far, &old).outcome, Outcome::Fails);
    let outside =
        claim(Quantity::Absolute(Box::new(difference())), Relation::Greater, Quantity::Number(0.05));
    assert_eq!(judged(outside, &far, &old).outcome, Outcome::Holds);
}

#[test]
fn sides_are_brought_into_one_form() {
    let of = |claim: &Claim| Form::of(claim).map(|form| (form.text(), form.region));
    // 0.7 < auc(new)
    let flipped = claim(Quantity::Number(0.7), Relation::Less, metric("auc", "new"));
    assert_eq!(of(&flipped), Ok(("auc(new)".into(), Region::Above(0.7))));
    // auc(new) < auc(old) - 15 pt
    let below = claim(
        metric("auc", "new"),
        Relation::Less,
        arithmetic(Operator::Subtract, metric("auc", "old"), Quantity::Number(0.15)),
    );
    assert_eq!(of(&below), Ok(("auc(new) − auc(old)".into(), Region::Below(-0.15))));
    // auc(new) > 2 * (auc(old) + 0.1)
    let scaled = claim(
        metric("auc", "new"),
        Relation::Greater,
        arithmetic(
            Operator::Multiply,
            Quantity::Number(2.0),
            arithmetic(Operator::Add, metric("auc", "old"), Quantity::Number(0.1)),
        ),
    );
    assert_eq!(of(&scaled), Ok(("auc(new) − 2 · auc(old)".into(), Region::Above(0.2))));
    // auc(new) / auc(old) > 1.5
    let quotient = claim(
        arithmetic(Operator::Divide, metric("auc", "new"), metric("auc", "old")),
        Relation::Greater,
        Quantity::Number(1.5),
    );
    assert_eq!(of(&quotient), Ok(("auc(new) / auc(old)".into(), Region::Above(1.5))));
    let unpaired = Claim { paired: false, ..quotient };
    assert_eq!(of(&unpaired), Err(ClaimError::NotSeparable("auc(new) / auc(old)".into())));
}

#[test]
fn claims_that_never_could_be_judged_are_named() {
    let number = |value| Quantity::Number(value);
    let absolute = || Quantity::Absolute(Box::new(difference()));
    let cases = [
        (claim(number(1.0), Relation::Greater, number(0.0)), ClaimError::NoMetric),
        (claim(metric("auc", "new"), Relation::Less, metric("auc", "new")), ClaimError::NoMetric),
        (claim(absolute(), Relation::Less, metric("auc", "old")), ClaimError::BoundNotConstant),
        (claim(metric("auc", "old"), Relation::Greater, absolute()), ClaimError::BoundNotConstant),
        (claim(absolute(), Relation::Less, number(-0.1)), ClaimError::BoundNotPositive(-0.1)),
        (
            claim(
                metric("auc", "new"),
                Relation::Less,
                arithmetic(Operator::Divide, number(1.0), number(0.0)),
            ),
            ClaimError::NotFinite,
        ),
        (
            claim(
                arithmetic(Operator::Equal, metric("auc", "new"), number(0.0)),
                Relation::Less,
                number(0.0),
            ),
            ClaimError::NoArithmetic(Operator::Equal),
        ),
        (Claim { confidence: 1.0, ..better_by_a_tenth() }, ClaimError::Confidence(1.0)),
    ];
    for (claim, expected) in cases {
        assert_eq!(check(std::slice::from_ref(&claim)), Err((0, expected.clone())));
        let judgement = judged(claim, &[0.1, 0.2, 0.1], &[0.1, 0.3, 0.2]);
        assert_eq!(judgement.outcome, Outcome::Undecided);
        assert_eq!(judgement.reason, expected.to_string());
    }
}

#[test]
fn gaps_leave_a_claim_undecided_and_are_named() {
    let (new, old) = ([0.80, 0.91, 0.69], [0.50, 0.60, 0.40]);
    let nan = judged(better_by_a_tenth(), &[0.80, f64::NAN, 0.69], &old);
    assert_eq!(
        (nan.outcome, nan.reason.as_str()),
        (Outcome::Undecided, "`auc` of arm `new` is NaN for seed 2")
    );
    let missing = judged(better_by_a_tenth(), &new, &old[..2]);
    assert_eq!(missing.reason, "`auc` of arm `old` is missing for seed 3");
    let one = judged(better_by_a_tenth(), &new[..1], &old[..1]);
    assert_eq!(one.reason, "a single seed shows no spread; the claim asks for 3 seeds");
    assert_eq!(one.estimate, Some(0.80 - 0.50));
    assert_eq!(judged(better_by_a_tenth(), &[], &[]).outcome, Outcome::Undecided);
    let quotient = claim(
        arithmetic(Operator::Divide, metric("auc", "new"), metric("auc", "old")),
        Relation::Greater,
        Quantity::Number(1.0),
    );
    let zero = judged(quotient, &new, &[0.5, 0.0, 0.4]);
    assert_eq!(zero.reason, "the quantity is not a finite number for seed 2");
    for paired in [true, false] {
        let claim = Claim { paired, ..better_by_a_tenth() };
        assert_eq!(
            judged(claim, &new, &[0.5, f64::INFINITY, 0.4]).reason,
            "`auc` of arm `old` is inf for seed 2"
        );
    }
}

#[test]
fn no_spread_decides_only_where_chance_cannot() {
    let (new, old) = ([1.0; 3], [0.0; 3]);
    let three = judged(better_by_a_tenth(), &new, &old);
    assert_eq!(three.outcome, Outcome::Holds, "4^-3 is below 2.5 %");
    let two = judged(better_by_a_tenth(), &new[..2], &old[..2]);
    assert_eq!(two.outcome, Outcome::Undecided);
    assert_eq!(two.more_seeds.unwrap().in_all, 3);
    let exactly = judged(better_by_a_tenth(), &[0.1; 3], &old);
    assert_eq!(exactly.outcome, Outcome::Undecided);
    assert!(exactly.reason.ends_with("the margin itself"));
    let unpaired = judged(Claim { paired: false, ..better_by_a_tenth() }, &new, &old);
    assert_eq!(unpaired.outcome, Outcome::Holds);
}

#[test]
fn several_claims_share_the_error_rate() {
    let claims = vec![better_by_a_tenth(), better_by_a_tenth()];
    let results = results(&[0.80, 0.91, 0.69], &[0.50, 0.60, 0.40]);
    let judgements = judge(&experiment(claims, 3), &results, &[1, 2, 3]);
    assert!(judgements.iter().all(|judgement| (judgement.level - 0.975).abs() < 1e-12));
    assert!(judgements.iter().all(|judgement| judgement.confidence == 0.95));
}

#[test]
fn looks_spend_the_error_rate_once() {
    for planned in 1..40 {
        let spent: f64 = (1..=planned).filter_map(|done| look_share(done, planned)).sum();
        assert!((spent - 1.0).abs() < 1e-12, "{planned}: {spent}");
    }
    assert_eq!(look_share(2, 5), None);
    assert_eq!(look_share(3, 5), Some(0.1));
    assert_eq!(look_share(3, 3), Some(1.0));
}

#[test]
fn a_run_stops_early_only_when_all_claims_allow_it_and_are_decided() {
    let early = || Claim { stop_when_decided: true, ..better_by_a_tenth() };
    let results = results(&[0.80, 0.901, 0.70], &[0.50, 0.60, 0.40]);
    let stops = |claims: Vec<Claim>, seeds: &[u64]| {
        let experiment = experiment(claims, 5);
        may_stop(&experiment, &judge(&experiment, &results, seeds))
    };
    assert!(stops(vec![early()], &[1, 2, 3]));
    assert!(!stops(vec![early()], &[1, 2]), "two seeds are no look");
    assert!(!stops(vec![early(), better_by_a_tenth()], &[1, 2, 3]));
    assert!(!stops(vec![], &[1, 2, 3]));
}

proptest! {
    /// The outcome is always what the picture of interval and margin shows.
    #[test]
    fn outcome_and_interval_never_contradict(
        new in prop::collection::vec(-2.0_f64..2.0, 2..8),
        shift in -1.0_f64..1.0,
        margin in 0.001_f64..1.0,
        kind in 0..4,
        paired: bool,
    ) {
        let old: Vec<f64> = new.iter().enumerate().map(|(index, value)| value * 0.9 + shift + index as f64 * 0.01).collect();
        let number = Quantity::Number(margin);
        let absolute = Quantity::Absolute(Box::new(difference()));
        let claim = match kind {
            0 => claim(difference(), Relation::Greater, number),
            1 => claim(difference(), Relation::Less, number),
            2 => claim(absolute, Relation::Greater, number),
            _ => claim(absolute, Relation::Less, number),
        };
        let judgement = judged(Claim { paired, ..claim }, &new, &old);
        let interval = judgement.interval.unwrap();
        prop_assert!(interval.low <= judgement.estimate.unwrap() && judgement.estimate.unwrap() <= interval.high);
        prop_assert_eq!(judgement.outcome, judgement.region.unwrap().outcome(interval));
        prop_assert_eq!(judgement.more_seeds.is_some(), judgement.outcome == Outcome::Undecided);
    }
}
