//! Entities in sequences of tags.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zoo_plugin::prelude::*;

/// How many entities there are, were predicted, and were predicted rightly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the labels.
    pub labelled: u64,
    /// In the predictions.
    pub predicted: u64,
    /// In both, with the same first token, last token and type.
    pub right: u64,
}

impl Counts {
    /// Precision, recall and their harmonic mean; 0 where there is nothing to divide by, as in seqeval.
    pub fn scores(&self) -> (f64, f64, f64) {
        let share = |of: u64| if of == 0 { 0.0 } else { self.right as f64 / of as f64 };
        let (precision, recall) = (share(self.predicted), share(self.labelled));
        let sum = precision + recall;
        (precision, recall, if sum == 0.0 { 0.0 } else { 2.0 * precision * recall / sum })
    }
}

/// Entities of a sequence in the strict reading of IOB2: one begins with `B-X` and goes on with `I-X` of the
/// same type; an `I-X` that continues none is no entity. First and last place, and type.
pub fn entities<'t>(tags: &[&'t str]) -> BTreeMap<(usize, usize), &'t str> {
    let mut found = BTreeMap::new();
    let mut open: Option<(usize, &str)> = None;
    for (i, tag) in tags.iter().enumerate() {
        let (kind, type_) = tag.split_once('-').unwrap_or((tag, ""));
        if kind == "I" && open.is_some_and(|(_, t)| t == type_) {
            continue;
        }
        if let Some((from, type_)) = open.take() {
            found.insert((from, i - 1), type_);
        }
        if kind == "B" {
            open = Some((i, type_));
        }
    }
    if let Some((from, type_)) = open {
        found.insert((from, tags.len() - 1), type_);
    }
    found
}

/// Adds the entities of one sequence.
pub fn count(counts: &mut Counts, labels: &[&str], predictions: &[&str]) {
    let (labelled, predicted) = (entities(labels), entities(predictions));
    counts.labelled += labelled.len() as u64;
    counts.predicted += predicted.len() as u64;
    counts.right += predicted.iter().filter(|(place, t)| labelled.get(*place) == Some(*t)).count() as u64;
}

/// How well entities are found: micro-averaged F1 over all types, strict as seqeval has it.
///
/// Tags are B-X for an entity's first word, I-X for those that follow, O for others. An entity counts as right
/// where first word, last word and type are. An I-X that continues no entity of its type is no entity. Tokens
/// whose label is below 0 are left out of both sequences.
///
/// # Paper
/// Tjong Kim Sang, De Meulder: CoNLL-2003 shared task, section 3; seqeval with `mode="strict"`, IOB2.
///
/// # Example
/// ```mlm
/// metric entity_f1 = evaluation.entity_f1(tags: ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC"])
/// ```
#[component(
    metric,
    name = "evaluation.entity_f1",
    inputs(
        predicted: "int[B, T]" = "predicted tags, as places in `tags`",
        labels: "int[B, T]" = "the right ones; below 0 for tokens that do not count",
    ),
    outputs(value: "real"? = "F1, precision or recall" better = "higher" unit = "fraction"),
    state,
)]
pub struct EntityF1 {
    /// The tags, by number.
    pub tags: Vec<String>,
    /// What is told.
    #[param(default = "f1", one_of("f1", "precision", "recall"))]
    pub score: String,
}

fn locked(state: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rows(tensor: &Tensor) -> Result<Vec<Vec<i64>>> {
    let (_, length) = tensor.size2()?;
    let flat: Vec<i64> = Vec::try_from(tensor.f_to_kind(Kind::Int64)?.f_reshape([-1])?)?;
    Ok(flat.chunks(length.max(1) as usize).map(<[i64]>::to_vec).collect())
}

impl Component for EntityF1 {
    type State = Mutex<Counts>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        let well = |tag: &String| tag == "O" || tag.starts_with("B-") || tag.starts_with("I-");
        match self.tags.iter().find(|tag| !well(tag)) {
            Some(tag) => Err(Error::new(format!("`{tag}` is no tag: tags are O, B-X and I-X")).at("tags")),
            None => Ok(Mutex::default()),
        }
    }

    fn call(&self, state: &Self::State, x: EntityF1Inputs<'_>, _: &mut Call<'_>) -> Result<EntityF1Outputs> {
        if x.predicted.size() != x.labels.size() {
            let text =
                format!("predictions of shape {:?} and labels of {:?}", x.predicted.size(), x.labels.size());
            return Err(Error::new(text).at("in.labels"));
        }
        let tag = |number: i64| {
            usize::try_from(number).ok().and_then(|i| self.tags.get(i)).map(String::as_str).ok_or_else(|| {
                Error::new(format!("there is no tag {number}: `tags` has {}", self.tags.len())).at("tags")
            })
        };
        let mut counts = locked(state);
        for (predicted, labels) in rows(x.predicted)?.iter().zip(rows(x.labels)?) {
            let (mut right, mut made) = (Vec::new(), Vec::new());
            for (prediction, label) in predicted.iter().zip(labels).filter(|(_, label)| *label >= 0) {
                right.push(tag(label)?);
                made.push(tag(*prediction)?);
            }
            count(&mut counts, &right, &made);
        }
        Ok(EntityF1Outputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        let (precision, recall, f1) = locked(state).scores();
        Ok(match self.score.as_str() {
            "precision" => precision,
            "recall" => recall,
            _ => f1,
        })
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *locked(state) = Counts::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(labels: &[&str], predictions: &[&str]) -> (f64, f64, f64) {
        let mut counts = Counts::default();
        count(&mut counts, labels, predictions);
        counts.scores()
    }

    #[test]
    fn boundaries_and_types_must_be_right() {
        let gold = ["B-PER", "I-PER", "O", "B-LOC"];
        assert_eq!(scores(&gold, &["B-PER", "O", "O", "B-LOC"]), (0.5, 0.5, 0.5));
        // The I-PER that begins nothing is no entity.
        let (precision, recall, f1) = scores(&gold, &["O", "I-PER", "O", "B-LOC"]);
        assert_eq!((precision, recall), (1.0, 0.5));
        assert!((f1 - 2.0 / 3.0).abs() < 1e-15);
        assert_eq!(scores(&gold, &gold), (1.0, 1.0, 1.0));
        assert_eq!(scores(&gold, &["O"; 4]), (0.0, 0.0, 0.0));
    }

    #[test]
    fn entities_end_where_another_begins_or_the_type_changes() {
        let found = entities(&["B-PER", "B-PER", "I-PER", "I-LOC", "B-LOC", "I-LOC"]);
        let expected = [((0, 0), "PER"), ((1, 2), "PER"), ((4, 5), "LOC")];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }
}
