//! How well the right candidates of a question are ranked.

use crate::shares::locked;
use std::collections::BTreeMap;
use std::sync::Mutex;
use zoo_plugin::prelude::*;

/// Candidates of every question so far: score, and whether it is right.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    questions: BTreeMap<String, Vec<(f64, bool)>>,
}

impl Candidates {
    /// Adds candidates: `scores` and `labels` have as many elements for every key, labels below 0 stand on
    /// places without a candidate.
    ///
    /// # Errors
    ///
    /// Sizes that do not fit; a score that is not a number.
    pub fn add<'a>(
        &mut self,
        scores: &Tensor,
        labels: &Tensor,
        keys: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<()> {
        let of_classes = scores.dim() == labels.dim() + 1 && scores.size().last() == Some(&2);
        let odds = match of_classes {
            true => Some(scores.f_select(-1, 1)?.f_sub(&scores.f_select(-1, 0)?)?),
            false => None,
        };
        let scores = odds.as_ref().unwrap_or(scores);
        if scores.size() != labels.size() {
            let text = format!("scores of shape {:?} and labels of {:?}", scores.size(), labels.size());
            return Err(Error::new(text).at("in.labels"));
        }
        let cpu = |x: &Tensor, kind| x.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(kind)?.f_reshape([-1]);
        let scores: Vec<f64> = Vec::try_from(&cpu(scores, Kind::Double)?)?;
        let labels: Vec<i64> = Vec::try_from(&cpu(labels, Kind::Int64)?)?;
        let rows = keys.len();
        if rows == 0 {
            return Ok(());
        }
        let each = scores.len() / rows;
        if each * rows != scores.len() {
            let text = format!("{} scores cannot be shared out among {rows} keys", scores.len());
            return Err(Error::new(text).at("in.key"));
        }
        if scores.iter().any(|score| score.is_nan()) {
            return Err(Error::new("a score is not a number").at("in.scores"));
        }
        for (row, key) in keys.enumerate() {
            let question = self.questions.entry(key.to_owned()).or_default();
            let own = row * each..(row + 1) * each;
            let candidates = scores[own.clone()].iter().zip(&labels[own]);
            question.extend(candidates.filter(|(_, label)| **label >= 0).map(|(s, label)| (*s, *label > 0)));
        }
        Ok(())
    }
}

/// Ranks of right candidates, averaged over questions.
///
/// The candidates of a question, those with the same key, are sorted by falling score, equal scores in the order in
/// which they came. Of a question `score` takes
///
/// * `mean_average_precision`: the mean, over its right candidates, of the share of right ones down to that rank;
/// * `mean_reciprocal_rank`: one over the rank of the first right one;
/// * `precision_at_1`: 1 where the first one is right, else 0;
/// * `hit_rate`: 1 where one of the first `cutoff` is right, else 0;
/// * `ndcg`: the sum of 1 / log2(1 + rank) over right ones among the first `cutoff`, over the largest possible.
///
/// Questions without a right candidate are left out, and with `both` those without a wrong one too: the "clean"
/// WikiQA and TREC-QA, whose figures cannot be compared with the others.
///
/// Labels above 0 are right, 0 wrong, below 0 no candidate. A key stands for one candidate, labels `int[B]`, or
/// for several, `int[B, k]`; a question's candidates may come in any batch. Where scores have an axis more than labels,
/// of two classes, a candidate's score is how far the second is above the first.
///
/// # Paper
/// Järvelin, Kekäläinen: Cumulated Gain-Based Evaluation of IR Techniques, 2002; for answer sentence selection
/// Wang, Smith, Mitamura: What is the Jeopardy Model?, EMNLP 2007.
///
/// # Example
/// ```mlm
/// metric map = evaluation.ranking(score: "mean_average_precision")
/// ```
#[component(
    metric,
    name = "evaluation.ranking",
    inputs(
        scores: "float[...]" = "scores of candidates, higher is better; or scores of two classes, wrong and right, on an axis more",
        labels: "int[...]" = "above 0 for right candidates, 0 for wrong ones, below 0 for none",
        key: "text[B]" = "the question of each row",
    ),
    outputs(value: "real"? = "mean over questions" better = "higher" unit = "fraction"),
    state,
)]
pub struct Ranking {
    /// What is averaged.
    #[param(
        default = "mean_average_precision",
        one_of("mean_average_precision", "mean_reciprocal_rank", "precision_at_1", "hit_rate", "ndcg")
    )]
    pub score: String,
    /// Ranks that `hit_rate` and `ndcg` look at.
    #[param(default = 5, range = ">= 1")]
    pub cutoff: usize,
    /// Whether questions need a wrong candidate too.
    #[param(default = false)]
    pub both: bool,
}

impl Ranking {
    /// The score of one question's candidates, in the order of their ranks.
    pub fn of(&self, right: &[bool]) -> f64 {
        let ranks = || right.iter().enumerate().filter(|(_, right)| **right).map(|(i, _)| (i + 1) as f64);
        let count = ranks().count() as f64;
        match self.score.as_str() {
            "mean_reciprocal_rank" => ranks().next().map_or(0.0, |rank| 1.0 / rank),
            "precision_at_1" => f64::from(u8::from(right.first() == Some(&true))),
            "hit_rate" => f64::from(u8::from(right.iter().take(self.cutoff).any(|right| *right))),
            "ndcg" => {
                let gain = |rank: f64| 1.0 / (1.0 + rank).log2();
                let best: f64 = (1..=self.cutoff.min(count as usize)).map(|rank| gain(rank as f64)).sum();
                ranks().take_while(|rank| *rank <= self.cutoff as f64).map(gain).sum::<f64>() / best
            }
            _ => ranks().zip(1..).map(|(rank, so_far)| f64::from(so_far) / rank).sum::<f64>() / count,
        }
    }

    /// The mean over questions.
    ///
    /// # Errors
    ///
    /// No question that counts.
    pub fn mean(&self, candidates: &Candidates) -> Result<f64> {
        let (mut total, mut count) = (0.0, 0.0);
        for question in candidates.questions.values() {
            let mut sorted = question.clone();
            // Stable: equal scores stay in their order.
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
            let right: Vec<bool> = sorted.into_iter().map(|(_, right)| right).collect();
            if !right.contains(&true) || (self.both && !right.contains(&false)) {
                continue;
            }
            total += self.of(&right);
            count += 1.0;
        }
        if count == 0.0 {
            let text = format!("of {} questions none has a right candidate", candidates.questions.len());
            return Err(Error::new(text).at("in.labels").help("look at the labels and the keys"));
        }
        Ok(total / count)
    }
}

impl Component for Ranking {
    type State = Mutex<Candidates>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(&self, state: &Self::State, x: RankingInputs<'_>, _: &mut Call<'_>) -> Result<RankingOutputs> {
        let keys: Vec<&str> = x.key.iter().collect();
        locked(state).add(x.scores, x.labels, keys.into_iter())?;
        // Of all candidates together: it is there when the evaluation is through.
        Ok(RankingOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        self.mean(&locked(state))
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *locked(state) = Candidates::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]
    use super::*;

    fn ranking(score: &str) -> Ranking {
        Ranking { score: score.to_owned(), cutoff: 2, both: false }
    }

    fn two_questions() -> Candidates {
        let mut all = Candidates::default();
        let mut add = |key: &'static str, scores: &[f64], labels: &[i64]| {
            let keys = vec![key; scores.len()];
            all.add(&Tensor::from_slice(scores), &Tensor::from_slice(labels), keys.into_iter()).unwrap();
        };
        add("q1", &[0.9, 0.8], &[0, 1]);
        add("q2", &[0.1, 0.7, 0.4], &[0, 1, 0]);
        // The rest of the first question comes later.
        add("q1", &[0.3, 0.2, 0.95], &[0, 1, -100]);
        add("without", &[0.3, 0.2], &[0, 0]);
        all
    }

    /// The sheet's numbers: AP .5 and 1, RR .5 and 1, P@1 0 and 1. By hand: the first question's right ones
    /// are at ranks 2 and 4 of 4, so with two ranks its gain is (1 / log2 3) / (1 + 1 / log2 3) = .386853.
    #[test]
    fn scores_are_those_computed_by_hand() {
        let all = two_questions();
        for (score, expected) in [
            ("mean_average_precision", 0.75),
            ("mean_reciprocal_rank", 0.75),
            ("precision_at_1", 0.5),
            ("hit_rate", 1.0),
            ("ndcg", 0.693_426),
        ] {
            let value = ranking(score).mean(&all).unwrap();
            assert!((value - expected).abs() < 1e-6, "{score}: {value}");
        }
    }

    #[test]
    fn a_row_may_hold_all_candidates_and_ties_stay_in_order() {
        let mut all = Candidates::default();
        let scores = Tensor::from_slice(&[0.5, 0.5, 0.5, 0.1]).view([2, 2]);
        let labels = Tensor::from_slice(&[0_i64, 1, 1, 1]).view([2, 2]);
        all.add(&scores, &labels, ["a", "b"].into_iter()).unwrap();
        assert_eq!(ranking("mean_reciprocal_rank").mean(&all).unwrap(), 0.75);
        // The same from scores of two classes.
        let mut of_classes = Candidates::default();
        let logits = Tensor::stack(&[&scores * 0.5, &scores * 1.5], -1);
        of_classes.add(&logits, &labels, ["a", "b"].into_iter()).unwrap();
        assert_eq!(ranking("mean_reciprocal_rank").mean(&of_classes).unwrap(), 0.75);
        // The second question has no wrong candidate.
        let clean = Ranking { both: true, ..ranking("mean_reciprocal_rank") };
        assert_eq!(clean.mean(&all).unwrap(), 0.5);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut all = Candidates::default();
        let three = Tensor::from_slice(&[0.5, 0.1, 0.2]);
        let labels = Tensor::from_slice(&[0_i64, 1, 0]);
        assert_eq!(all.add(&three, &labels, ["a", "b"].into_iter()).unwrap_err().at, "in.key");
        assert_eq!(all.add(&three, &three.view([3, 1]), ["a"].into_iter()).unwrap_err().at, "in.labels");
        let nan = Tensor::from_slice(&[f64::NAN, 0.1, 0.2]);
        assert_eq!(all.add(&nan, &labels, ["a"].into_iter()).unwrap_err().at, "in.scores");
        assert!(ranking("ndcg").mean(&all).unwrap_err().message.contains("of 0 questions"));
    }
}
