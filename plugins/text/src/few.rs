//! Few labelled examples: a draw of some per class, and pairs of them for contrastive tuning.

use rand::seq::SliceRandom;
use zoo_plugin::prelude::*;

/// Rows read from a source at once.
const CHUNK: usize = 1024;

/// The whole numbers of a source's column, in order.
fn labels(cx: &Build<'_>, source: Handle, column: &str) -> Result<Vec<i64>> {
    let length = cx.length(source)?;
    let mut all = Vec::with_capacity(length);
    for from in (0..length).step_by(CHUNK) {
        if cx.cancelled() {
            return Err(Error::cancelled());
        }
        let indices: Vec<i64> = (from as i64..(from + CHUNK).min(length) as i64).collect();
        let columns = cx.read(source, &indices)?;
        let values: Vec<i64> = Vec::try_from(columns.tensor(column)?.f_to_kind(Kind::Int64)?)?;
        all.extend(values);
    }
    Ok(all)
}

/// The places of each class's examples, classes in order; rows with a label below 0 are in none.
fn by_class(labels: &[i64]) -> Vec<(i64, Vec<usize>)> {
    let mut classes: std::collections::BTreeMap<i64, Vec<usize>> = std::collections::BTreeMap::new();
    for (place, label) in labels.iter().enumerate().filter(|(_, label)| **label >= 0) {
        classes.entry(*label).or_default().push(place);
    }
    classes.into_iter().collect()
}

/// A few examples of every class, drawn from a labelled source by the run's seed.
///
/// Each seed draws anew, and arms with the same seed have the same examples, without which a comparison of few-shot
/// methods drowns in the luck of the draw. A draw of more examples holds those of a smaller one. Examples stand
/// class after class, in the order in which they were drawn; their order in training is the phase's.
///
/// # Paper
/// Schick, Schütze: It's Not Just Size That Matters, NAACL 2021, section 4; Rieger et al., 2023, section 4.
///
/// # Example
/// ```mlm
/// data labelled = synthetic.debate(sentences: 400)
/// data few = text.few_per_class(source: labelled, examples: 4, columns: ["text"], label: "label")
/// ```
#[component(
    data,
    name = "text.few_per_class",
    outputs(
        columns: "text[B]" = "the source's columns of text" columns_from = "columns",
        label: "int[B]" = "the class",
    ),
    random,
    loader,
)]
pub struct FewPerClass {
    /// Labelled rows.
    #[param(component = "data")]
    pub source: Handle,
    /// Examples of each class.
    #[param(default = 16, range = ">= 1")]
    pub examples: usize,
    /// Columns of text; each is an output of its name.
    #[param(default = ["text"])]
    pub columns: Vec<String>,
    /// The source's column of classes; rows below 0 are never drawn.
    #[param(default = "label")]
    pub label: String,
}

/// The rows of a draw.
#[derive(Debug)]
pub struct Draw {
    places: Vec<i64>,
}

impl Component for FewPerClass {
    type State = Draw;

    fn build(&self, cx: &mut Build<'_>) -> Result<Draw> {
        let mut places = Vec::new();
        for (class, mut of_class) in by_class(&labels(cx, self.source, &self.label)?) {
            if of_class.len() < self.examples {
                let text = format!(
                    "class {class} has {} examples, and {} are asked for",
                    of_class.len(),
                    self.examples
                );
                return Err(Error::new(text).at("examples"));
            }
            // Whole permutations, so that a draw of more begins with one of fewer.
            of_class.shuffle(&mut cx.rng("draw", class as usize));
            places.extend(of_class[..self.examples].iter().map(|place| *place as i64));
        }
        Ok(Draw { places })
    }

    fn length(&self, draw: &Draw, _: &mut Call<'_>) -> Result<usize> {
        Ok(draw.places.len())
    }

    fn read(&self, draw: &Draw, indices: &[i64], cx: &mut Call<'_>) -> Result<FewPerClassOutputs> {
        let place = |index: &i64| crate::file::row(*index, draw.places.len()).map(|row| draw.places[row]);
        let places = indices.iter().map(place).collect::<Result<Vec<_>>>()?;
        let rows = cx.read(self.source, &places)?;
        let texts = |name: &String| rows.texts(name).map(<[String]>::to_vec);
        Ok(FewPerClassOutputs {
            columns: self.columns.iter().map(texts).collect::<Result<_>>()?,
            label: rows.tensor(&self.label)?.f_to_kind(Kind::Int64)?,
        })
    }
}

/// Pairs of labelled texts: of the same class, or of two.
///
/// In each of `rounds` rounds every text is paired with one of its class and with one of another, drawn by the run's
/// seed. A class of one text pairs it with itself. 2 · rounds · texts pairs in all, half of them alike.
///
/// # Paper
/// Tunstall et al.: Efficient Few-Shot Learning Without Prompts (SetFit), 2022, section 3.
///
/// # Example
/// ```mlm
/// data labelled = synthetic.debate(sentences: 400)
/// data pairs = text.class_pairs(source: labelled, rounds: 2)
/// ```
#[component(
    data,
    name = "text.class_pairs",
    outputs(
        first: "text[B]" = "a text",
        second: "text[B]" = "what it is compared with",
        same: "float[B]" = "1 where both are of one class, else 0",
    ),
    random,
    loader,
)]
pub struct ClassPairs {
    /// Labelled texts.
    #[param(component = "data")]
    pub source: Handle,
    /// Pairs of each sort that every text begins.
    #[param(default = 20, range = ">= 1")]
    pub rounds: usize,
    /// The source's column of text.
    #[param(default = "text")]
    pub column: String,
    /// The source's column of classes.
    #[param(default = "label")]
    pub label: String,
}

impl ClassPairs {
    /// Pairs of places and whether they are of one class.
    ///
    /// # Errors
    /// Fewer than two classes.
    pub fn pairs(&self, labels: &[i64], random: &mut impl Rng) -> Result<Vec<(usize, usize, bool)>> {
        let classes = by_class(labels);
        if classes.len() < 2 {
            return Err(Error::new("pairs of different classes need two classes at least").at("source"));
        }
        let mut pairs = Vec::new();
        for _ in 0..self.rounds {
            for (class, own) in &classes {
                for place in own {
                    let alike = match own.len() {
                        1 => *place,
                        // Any of its class but itself.
                        n => {
                            let other = random.random_range(0..n - 1);
                            if own[other] < *place { own[other] } else { own[other + 1] }
                        }
                    };
                    pairs.push((*place, alike, true));
                    let others: usize = classes.iter().filter(|c| c.0 != *class).map(|c| c.1.len()).sum();
                    let mut chosen = random.random_range(0..others);
                    for (_, other) in classes.iter().filter(|c| c.0 != *class) {
                        if chosen < other.len() {
                            pairs.push((*place, other[chosen], false));
                            break;
                        }
                        chosen -= other.len();
                    }
                }
            }
        }
        Ok(pairs)
    }
}

impl Component for ClassPairs {
    type State = Vec<(usize, usize, bool)>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let labels = labels(cx, self.source, &self.label)?;
        self.pairs(&labels, &mut cx.rng("pairs", 0))
    }

    fn length(&self, pairs: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(pairs.len())
    }

    fn read(&self, pairs: &Self::State, indices: &[i64], cx: &mut Call<'_>) -> Result<ClassPairsOutputs> {
        let (mut places, mut same) = (Vec::new(), Vec::new());
        for index in indices {
            let (first, second, alike) = pairs[crate::file::row(*index, pairs.len())?];
            places.extend([first as i64, second as i64]);
            same.push(if alike { 1.0_f32 } else { 0.0 });
        }
        let rows = cx.read(self.source, &places)?;
        let texts = rows.texts(&self.column)?;
        Ok(ClassPairsOutputs {
            first: texts.iter().step_by(2).cloned().collect(),
            second: texts.iter().skip(1).step_by(2).cloned().collect(),
            same: Tensor::f_from_slice(&same)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn pairs_are_half_alike_and_never_of_a_text_with_itself() {
        let component =
            ClassPairs { source: Handle(1), rounds: 20, column: String::new(), label: String::new() };
        let labels = [0, 1, 1, 2, 0, 1, 2, -1];
        let pairs = component.pairs(&labels, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        // Seven labelled texts, twenty rounds, two pairs each.
        assert_eq!(pairs.len(), 280);
        assert_eq!(pairs.iter().filter(|pair| pair.2).count(), 140);
        for (first, second, same) in &pairs {
            assert_ne!(first, second);
            assert_eq!(labels[*first] == labels[*second], *same);
            assert!(labels[*second] >= 0);
        }
        // Every partner is found.
        let partners: std::collections::BTreeSet<_> =
            pairs.iter().filter(|pair| pair.0 == 1).map(|pair| pair.1).collect();
        assert_eq!(partners.into_iter().collect::<Vec<_>>(), [0, 2, 3, 4, 5, 6]);
        let error = component.pairs(&[3, 3], &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err();
        assert!(error.message.contains("two classes"), "{}", error.message);
    }

    #[test]
    fn classes_are_in_order_and_unlabelled_rows_in_none() {
        assert_eq!(by_class(&[2, 0, -1, 2]), [(0, vec![1]), (2, vec![0, 3])]);
    }
}
