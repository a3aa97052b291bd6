//! How well texts are coded into classes: the confusion matrix, and what is computed from it.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zoo_plugin::prelude::*;

/// How often each right class was given each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Rows are right classes, columns predicted ones.
    pub counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// With this many classes.
    pub fn new(classes: usize) -> Self {
        Self { counts: vec![vec![0; classes]; classes] }
    }

    /// Counts one.
    ///
    /// # Errors
    /// A class that is not there.
    pub fn add(&mut self, right: i64, predicted: i64) -> Result<()> {
        let classes = self.counts.len();
        let at = |number: i64, port: &str| {
            usize::try_from(number).ok().filter(|i| *i < classes).ok_or_else(|| {
                Error::new(format!("there is no class {number}: there are {classes}")).at(port)
            })
        };
        let (row, column) = (at(right, "in.labels")?, at(predicted, "in.logits")?);
        self.counts[row][column] += 1;
        Ok(())
    }

    fn total(&self) -> f64 {
        self.counts.iter().flatten().sum::<u64>() as f64
    }

    fn row(&self, class: usize) -> f64 {
        self.counts[class].iter().sum::<u64>() as f64
    }

    fn column(&self, class: usize) -> f64 {
        self.counts.iter().map(|row| row[class]).sum::<u64>() as f64
    }

    fn right(&self) -> f64 {
        (0..self.counts.len()).map(|c| self.counts[c][c]).sum::<u64>() as f64
    }

    /// Share of right predictions.
    pub fn accuracy(&self) -> f64 {
        self.right() / self.total()
    }

    /// Harmonic mean of precision and recall of a class; 0 where the class is never predicted rightly.
    pub fn f1(&self, class: usize) -> f64 {
        let sum = self.row(class) + self.column(class);
        if sum == 0.0 { 0.0 } else { 2.0 * self.counts[class][class] as f64 / sum }
    }

    /// The mean of all classes' F1.
    pub fn macro_f1(&self) -> f64 {
        let classes = self.counts.len();
        (0..classes).map(|class| self.f1(class)).sum::<f64>() / classes as f64
    }

    /// Cohen's kappa: agreement beyond that of chance with the same marginals, as a share of what was left; 0
    /// where chance agrees always.
    pub fn kappa(&self) -> f64 {
        let total = self.total();
        let chance: f64 =
            (0..self.counts.len()).map(|c| self.row(c) * self.column(c)).sum::<f64>() / (total * total);
        if chance >= 1.0 { 0.0 } else { (self.accuracy() - chance) / (1.0 - chance) }
    }

    /// The matrix as a picture: rows are right classes, shades the share of the row.
    pub fn picture(&self, names: &[String]) -> String {
        let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let classes = self.counts.len();
        let (left, top, cell) = (130, 60, 56);
        let (width, height) = (left + cell * classes + 10, top + cell * classes + 10);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" \
             fill=\"white\"/>\n<text x=\"8\" y=\"18\">rows: right class; columns: predicted</text>\n"
        );
        for (row, counts) in self.counts.iter().enumerate() {
            let sum = self.row(row).max(1.0);
            let y = top + cell * row;
            let name = escape(&names[row]);
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\n\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"9\">{name}</text>",
                left - 6,
                y + cell / 2 + 4,
                left + cell * row + cell / 2,
                // Neighbours stand on two heights, so that long names do not touch.
                top - if row % 2 == 0 { 8 } else { 22 },
            );
            for (column, count) in counts.iter().enumerate() {
                let share = *count as f64 / sum;
                let x = left + cell * column;
                let ink = if share > 0.5 { "white" } else { "black" };
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{cell}\" height=\"{cell}\" fill=\"#0072b2\" \
                     fill-opacity=\"{share:.3}\" stroke=\"#cccccc\"/>\
                     <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{ink}\">{count}</text>",
                    x + cell / 2,
                    y + cell / 2 + 4,
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn locked(state: &Mutex<Confusion>) -> MutexGuard<'_, Confusion> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How well classes are told apart: the mean F1 over classes, or another number of the confusion matrix.
///
/// The prediction is the highest score, the first of several. Targets below 0 do not count. The list of classes is
/// fixed by `classes`: one that is never predicted has an F1 of 0. `kappa` is Cohen's, agreement beyond chance. The
/// confusion matrix is drawn for the report.
///
/// # Paper
/// Cohen: A Coefficient of Agreement for Nominal Scales, 1960; Rieger et al., 2023, section 3.
///
/// # Example
/// ```mlm
/// metric coding = evaluation.classification(classes: ["for", "against", "none"])
/// ```
#[component(
    metric,
    name = "evaluation.classification",
    inputs(
        logits: "float[..., C]" = "scores of the classes",
        labels: "int[...]" = "the right class; below 0 for none",
    ),
    outputs(value: "real"? = "the score" better = "higher" unit = "fraction"),
    state,
)]
pub struct Classification {
    /// Names of the classes, by number.
    pub classes: Vec<String>,
    /// What is told.
    #[param(default = "macro_f1", one_of("macro_f1", "accuracy", "kappa"))]
    pub score: String,
}

impl Component for Classification {
    type State = Mutex<Confusion>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        if self.classes.len() < 2 {
            return Err(Error::new("there are two classes at least").at("classes"));
        }
        Ok(Mutex::new(Confusion::new(self.classes.len())))
    }

    fn call(
        &self,
        state: &Self::State,
        x: ClassificationInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<ClassificationOutputs> {
        let predicted = x.logits.f_detach()?.f_argmax(-1, false)?.f_reshape([-1])?;
        let predicted: Vec<i64> = Vec::try_from(predicted)?;
        let labels: Vec<i64> = Vec::try_from(x.labels.f_to_kind(Kind::Int64)?.f_reshape([-1])?)?;
        if predicted.len() != labels.len() {
            let text = format!("{} predictions and {} labels", predicted.len(), labels.len());
            return Err(Error::new(text).at("in.labels"));
        }
        let mut confusion = locked(state);
        for (label, predicted) in labels.iter().zip(&predicted).filter(|(label, _)| **label >= 0) {
            confusion.add(*label, *predicted)?;
        }
        Ok(ClassificationOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, cx: &mut Call<'_>) -> Result<f64> {
        let confusion = locked(state);
        if confusion.total() == 0.0 {
            return Err(Error::new("nothing was measured: not one element has a label"));
        }
        if self.score == "macro_f1" {
            cx.artifact("confusion", "image/svg+xml", confusion.picture(&self.classes).as_bytes());
        }
        Ok(match self.score.as_str() {
            "accuracy" => confusion.accuracy(),
            "kappa" => confusion.kappa(),
            _ => confusion.macro_f1(),
        })
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *locked(state) = Confusion::new(self.classes.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_matrix() {
        let confusion = Confusion { counts: vec![vec![8, 2], vec![1, 9]] };
        assert!((confusion.accuracy() - 0.85).abs() < 1e-12);
        assert!((confusion.f1(0) - 0.842_105).abs() < 1e-6);
        assert!((confusion.f1(1) - 0.857_143).abs() < 1e-6);
        assert!((confusion.macro_f1() - 0.849_624).abs() < 1e-6);
        assert!((confusion.kappa() - 0.70).abs() < 1e-12);
    }

    #[test]
    fn a_constant_answer_among_five_classes() {
        let mut confusion = Confusion::new(5);
        for right in 0..5 {
            for _ in 0..20 {
                confusion.add(right, 3).unwrap();
            }
        }
        assert!((confusion.macro_f1() - 0.066_667).abs() < 1e-6);
        assert!((confusion.accuracy() - 0.2).abs() < 1e-12);
        assert_eq!(confusion.kappa(), 0.0);
        assert_eq!(confusion.add(5, 0).unwrap_err().at, "in.labels");
        // One class alone, always right: chance agrees always.
        assert_eq!(Confusion { counts: vec![vec![4, 0], vec![0, 0]] }.kappa(), 0.0);
    }

    #[test]
    fn names_are_escaped_in_the_picture() {
        let names = ["a<b".to_owned(), "c & d".to_owned()];
        let svg = Confusion { counts: vec![vec![1, 0], vec![0, 2]] }.picture(&names);
        assert!(svg.contains("a&lt;b") && svg.contains("c &amp; d") && !svg.contains("a<b"));
    }
}
