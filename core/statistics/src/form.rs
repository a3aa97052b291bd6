//! The form of a requirement that can be judged: a quantity on one side, a number on the other.

use crate::{Region, Results};
use std::collections::BTreeMap;
use zoo_schema::experiment::{Claim, Operator, Quantity, Relation, Requirement};

/// A claim that cannot be judged, whatever the results are.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClaimError {
    /// Only numbers.
    #[error("the requirement names no metric of an arm")]
    NoMetric,
    /// `abs(…)` against something that is not a number.
    #[error(
        "`abs(…)` must be compared with a number; for a bound that is a metric, compare the quotient: `abs(x / y) < 5%`"
    )]
    BoundNotConstant,
    /// An equivalence that nothing can meet, or everything.
    #[error("the bound of `abs(…)` is {0}, but must be positive")]
    BoundNotPositive(f64),
    /// A part that joins several arms, unpaired.
    #[error(
        "`{0}` joins several arms, which only seeds that are paired allow: write `over seeds paired`, or a sum of parts that have one arm each"
    )]
    NotSeparable(String),
    /// A constant that is not finite, such as a division by 0.
    #[error("a constant of the requirement is not a finite number")]
    NotFinite,
    /// An operator that is no arithmetic.
    #[error("`{0:?}` has no place in a requirement")]
    NoArithmetic(Operator),
    /// Not between 0 and 1.
    #[error("the confidence is {0}, but must lie between 0 and 1")]
    Confidence(f64),
}

/// One part of the quantity: a factor and an expression that is no sum.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    factor: f64,
    of: Quantity,
}

/// A requirement in the form that is judged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Form {
    terms: Vec<Term>,
    /// Added to the sum of the terms; not zero only inside of `abs(…)`.
    offset: f64,
    pub(crate) region: Region,
}

/// A value that a quantity needs and that is not there or not finite.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Gap {
    Missing { metric: String, arm: String, seed: u64 },
    NotFinite { metric: String, arm: String, seed: u64, value: f64 },
    Quantity { seed: u64 },
}

impl Form {
    pub(crate) fn of(claim: &Claim) -> Result<Self, ClaimError> {
        if !(claim.confidence > 0.0 && claim.confidence < 1.0) {
            return Err(ClaimError::Confidence(claim.confidence));
        }
        let form = Self::of_requirement(&claim.require)?;
        if form.terms.is_empty() {
            return Err(ClaimError::NoMetric);
        }
        if !claim.paired {
            for term in &form.terms {
                if arms(&term.of).len() > 1 {
                    return Err(ClaimError::NotSeparable(show(&term.of, 0)));
                }
            }
        }
        Ok(form)
    }

    fn of_requirement(require: &Requirement) -> Result<Self, ClaimError> {
        let (mut left, mut right, mut relation) = (&require.left, &require.right, require.relation);
        if constant(left)?.is_some() {
            (left, right) = (right, left);
            relation = match relation {
                Relation::Greater => Relation::Less,
                Relation::Less => Relation::Greater,
            };
        }
        if let Quantity::Absolute(inner) = left {
            let bound = constant(right)?.ok_or(ClaimError::BoundNotConstant)?;
            if !bound.is_finite() {
                return Err(ClaimError::NotFinite);
            }
            if bound <= 0.0 {
                return Err(ClaimError::BoundNotPositive(bound));
            }
            let (terms, offset) = linear(inner)?;
            let region = match relation {
                Relation::Less => Region::Within(bound),
                Relation::Greater => Region::Outside(bound),
            };
            return Ok(Self { terms, offset, region });
        }
        if matches!(right, Quantity::Absolute(_)) {
            return Err(ClaimError::BoundNotConstant);
        }
        let (mut terms, mut margin) = (Vec::new(), 0.0);
        add_terms(left, 1.0, &mut terms, &mut margin)?;
        add_terms(right, -1.0, &mut terms, &mut margin)?;
        // 0.0 - margin, not -margin: no negative zero in reports.
        let margin = 0.0 - margin;
        if !margin.is_finite() {
            return Err(ClaimError::NotFinite);
        }
        let region = match relation {
            Relation::Greater => Region::Above(margin),
            Relation::Less => Region::Below(margin),
        };
        Ok(Self { terms, offset: 0.0, region })
    }

    /// The quantity as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for term in &self.terms {
            let sign = match (text.is_empty(), term.factor < 0.0) {
                (true, true) => "−",
                (true, false) => "",
                (false, true) => " − ",
                (false, false) => " + ",
            };
            text.push_str(sign);
            let size = term.factor.abs();
            if size == 1.0 {
                text.push_str(&show(&term.of, 1));
            } else {
                text.push_str(&format!("{size} · {}", show(&term.of, 2)));
            }
        }
        if self.offset != 0.0 {
            let sign = if self.offset < 0.0 { "−" } else { "+" };
            text.push_str(&format!(" {sign} {}", self.offset.abs()));
        }
        text
    }

    /// The metrics, if each term is one of them: then the quantity has their unit.
    pub(crate) fn metrics(&self) -> Option<Vec<(&str, &str)>> {
        self.terms
            .iter()
            .map(|term| match &term.of {
                Quantity::Metric { metric, arm } => Some((metric.as_str(), arm.as_str())),
                _ => None,
            })
            .collect()
    }

    /// The quantity for every seed.
    pub(crate) fn paired(&self, results: &Results, seeds: &[u64]) -> Result<Vec<f64>, Gap> {
        seeds
            .iter()
            .map(|&seed| {
                let mut value = self.offset;
                for term in &self.terms {
                    value += term.factor * evaluate(&term.of, results, seed)?;
                }
                if value.is_finite() { Ok(value) } else { Err(Gap::Quantity { seed }) }
            })
            .collect()
    }

    /// For every arm its part of the quantity, for every seed. The offset is added to the first.
    pub(crate) fn by_arm(&self, results: &Results, seeds: &[u64]) -> Result<Vec<Vec<f64>>, Gap> {
        let mut parts: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for term in &self.terms {
            // `of` has made sure that a term has exactly one arm.
            let Some(arm) = arms(&term.of).into_iter().next() else { continue };
            let part = parts.entry(arm).or_insert_with(|| vec![0.0; seeds.len()]);
            for (value, &seed) in part.iter_mut().zip(seeds) {
                *value += term.factor * evaluate(&term.of, results, seed)?;
                if !value.is_finite() {
                    return Err(Gap::Quantity { seed });
                }
            }
        }
        let mut parts: Vec<Vec<f64>> = parts.into_values().collect();
        if let Some(first) = parts.first_mut() {
            first.iter_mut().for_each(|value| *value += self.offset);
        }
        Ok(parts)
    }
}

fn linear(quantity: &Quantity) -> Result<(Vec<Term>, f64), ClaimError> {
    let (mut terms, mut offset) = (Vec::new(), 0.0);
    add_terms(quantity, 1.0, &mut terms, &mut offset)?;
    if offset.is_finite() { Ok((terms, offset)) } else { Err(ClaimError::NotFinite) }
}

/// Takes sums, differences and constant factors apart.
fn add_terms(
    quantity: &Quantity,
    factor: f64,
    terms: &mut Vec<Term>,
    offset: &mut f64,
) -> Result<(), ClaimError> {
    if let Some(value) = constant(quantity)? {
        *offset += factor * value;
        return Ok(());
    }
    match quantity {
        Quantity::Negative(inner) => add_terms(inner, -factor, terms, offset),
        Quantity::Arithmetic { operator: Operator::Add, left, right } => {
            add_terms(left, factor, terms, offset)?;
            add_terms(right, factor, terms, offset)
        }
        Quantity::Arithmetic { operator: Operator::Subtract, left, right } => {
            add_terms(left, factor, terms, offset)?;
            add_terms(right, -factor, terms, offset)
        }
        Quantity::Arithmetic {
            operator: operator @ (Operator::Multiply | Operator::Divide),
            left,
            right,
        } => {
            let multiply = *operator == Operator::Multiply;
            match (constant(left)?, constant(right)?) {
                (Some(value), _) if multiply => add_terms(right, factor * value, terms, offset),
                (_, Some(value)) if multiply => add_terms(left, factor * value, terms, offset),
                (_, Some(value)) => add_terms(left, factor / value, terms, offset),
                _ => push_term(terms, factor, quantity),
            }
        }
        Quantity::Arithmetic { operator, .. } => Err(ClaimError::NoArithmetic(*operator)),
        Quantity::Number(_) | Quantity::Metric { .. } | Quantity::Absolute(_) => {
            push_term(terms, factor, quantity)
        }
    }
}

fn push_term(terms: &mut Vec<Term>, factor: f64, of: &Quantity) -> Result<(), ClaimError> {
    if !factor.is_finite() {
        return Err(ClaimError::NotFinite);
    }
    match terms.iter_mut().find(|term| term.of == *of) {
        Some(term) => term.factor += factor,
        None => terms.push(Term { factor, of: of.clone() }),
    }
    terms.retain(|term| term.factor != 0.0);
    Ok(())
}

/// The value of an expression without metrics.
fn constant(quantity: &Quantity) -> Result<Option<f64>, ClaimError> {
    Ok(match quantity {
        Quantity::Number(value) => Some(*value),
        Quantity::Metric { .. } => None,
        Quantity::Arithmetic { operator, left, right } => match (constant(left)?, constant(right)?) {
            (Some(left), Some(right)) => {
                Some(apply(*operator, left, right).ok_or(ClaimError::NoArithmetic(*operator))?)
            }
            _ => None,
        },
        Quantity::Negative(inner) => constant(inner)?.map(|value| -value),
        Quantity::Absolute(inner) => constant(inner)?.map(f64::abs),
    })
}

fn apply(operator: Operator, left: f64, right: f64) -> Option<f64> {
    match operator {
        Operator::Add => Some(left + right),
        Operator::Subtract => Some(left - right),
        Operator::Multiply => Some(left * right),
        Operator::Divide => Some(left / right),
        _ => None,
    }
}

fn evaluate(quantity: &Quantity, results: &Results, seed: u64) -> Result<f64, Gap> {
    Ok(match quantity {
        Quantity::Number(value) => *value,
        Quantity::Metric { metric, arm } => {
            let named = || (metric.clone(), arm.clone());
            match results.get(arm, metric, seed) {
                None => {
                    let (metric, arm) = named();
                    return Err(Gap::Missing { metric, arm, seed });
                }
                Some(value) if !value.is_finite() => {
                    let (metric, arm) = named();
                    return Err(Gap::NotFinite { metric, arm, seed, value });
                }
                Some(value) => value,
            }
        }
        Quantity::Arithmetic { operator, left, right } => {
            let (left, right) = (evaluate(left, results, seed)?, evaluate(right, results, seed)?);
            // Other operators were refused when the form was made, where they are not hidden in a product.
            apply(*operator, left, right).unwrap_or(f64::NAN)
        }
        Quantity::Negative(inner) => -evaluate(inner, results, seed)?,
        Quantity::Absolute(inner) => evaluate(inner, results, seed)?.abs(),
    })
}

pub(crate) fn arms(quantity: &Quantity) -> Vec<String> {
    let mut found = Vec::new();
    collect_arms(quantity, &mut found);
    found
}

fn collect_arms(quantity: &Quantity, found: &mut Vec<String>) {
    match quantity {
        Quantity::Number(_) => {}
        Quantity::Metric { arm, .. } => {
            if !found.contains(arm) {
                found.push(arm.clone());
            }
        }
        Quantity::Arithmetic { left, right, .. } => {
            collect_arms(left, found);
            collect_arms(right, found);
        }
        Quantity::Negative(inner) | Quantity::Absolute(inner) => collect_arms(inner, found),
    }
}

/// As text; brackets where what is around it binds tighter: 0 nothing, 1 a sum, 2 a product, 3 a divisor.
fn show(quantity: &Quantity, around: u8) -> String {
    let (text, binds) = match quantity {
        Quantity::Number(value) => (value.to_string(), 4),
        Quantity::Metric { metric, arm } => (format!("{metric}({arm})"), 4),
        Quantity::Absolute(inner) => (format!("|{}|", show(inner, 0)), 4),
        Quantity::Negative(inner) => (format!("−{}", show(inner, 2)), 1),
        Quantity::Arithmetic { operator, left, right } => {
            let (sign, own, right_needs) = match operator {
                Operator::Add => ("+", 1, 1),
                Operator::Subtract => ("−", 1, 2),
                Operator::Multiply => ("·", 2, 2),
                _ => ("/", 2, 3),
            };
            (format!("{} {sign} {}", show(left, own), show(right, right_needs)), own)
        }
    };
    if binds < around { format!("({text})") } else { text }
}
