//! The norms of single examples' gradients and weighted sums of these gradients, without writing them out.
//!
//! Each use of a parameter in the graph of the loss gives its part of an example's gradient as a simple
//! function of what the operation read and of its output's gradient (see [`zoo_torch::uses`]). Norms and
//! weighted sums are computed from these: an update costs one backward pass, less the products for
//! parameters, and those products with weights.
//!
//! For a product with a matrix over T places of an example the squared norm is either that of the example's
//! gradient itself, T·i·o operations that the weighted sum then needs no more, or
//! `sum over t, t' of (a_t·a_t') (g_t·g_t')`, T²·(i + o) operations and no memory (Goodfellow, 2015; Li,
//! Tramèr, Liang, Hashimoto, "Large Language Models Can Be Strong Differentially Private Learners", 2022).

use crate::Result;
use tch::{Kind, Tensor};
use zoo_torch::uses::{Seen, Use, UseKind, Uses};

/// Numbers that gradients which are written out for single examples may take together.
const WRITTEN_OUT: i64 = 1 << 25;
/// Operations that a number costs which is written and read again.
const MEMORY: i64 = 24;

/// What a graph says about the gradients of the examples in it. `Err` with the reason where it does not say
/// it: then there is only a pass for each example.
type Found<T> = Result<std::result::Result<T, String>>;

/// Makes a known reason out of a failed condition.
macro_rules! or_reason {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        }
    };
}

/// A use with its numbers, examples in the first dimension.
struct Place {
    index: usize,
    kind: Shares,
    written: Option<Tensor>,
}

/// The gradient of one use, for B examples.
enum Shares {
    /// Inputs [B, T, i] and output gradients [B, T, o] of a product.
    Product { input: Tensor, output: Tensor },
    /// Gradients of what the operation saw of the parameter, [B, shape].
    Direct(Tensor),
    /// Indices [B, T] and gradients [B, T, e] of looked-up rows.
    Lookup { indices: Tensor, output: Tensor },
}

/// Gradients of the examples of a batch.
pub(crate) struct PerExample {
    uses: Uses,
    places: Vec<Place>,
    rows: i64,
    parameters: usize,
}

fn squared(tensor: &Tensor) -> Result<Tensor> {
    let rows = tensor.size()[0];
    let flat = tensor.f_reshape([rows, -1])?;
    Ok(flat.f_mul(&flat)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?)
}

/// [N, ...] to [rows, N / rows, ...].
fn split(tensor: &Tensor, rows: i64) -> std::result::Result<Vec<i64>, String> {
    let size = tensor.size();
    match size.first() {
        Some(first) if *first > 0 && first % rows == 0 => Ok([&[rows, first / rows], &size[1..]].concat()),
        _ => Err(format!("a value of shape {size:?} does not have {rows} examples in its first dimension")),
    }
}

/// Output gradients summed over what the parameter was broadcast to: [rows, shape].
fn reduced(gradient: &Tensor, shape: &[i64], rows: i64) -> Found<Tensor> {
    let size = gradient.size();
    let whole = or_reason!(split(gradient, rows));
    let missing = size.len().saturating_sub(shape.len());
    if shape.len() > size.len() || (missing == 0 && shape.first() != Some(&1)) {
        return Ok(Err(format!("a parameter of shape {shape:?} is combined with the examples themselves")));
    }
    // In [rows, places, ...] the dimension d of the output is d + 1.
    let dimensions: Vec<i64> = (0..size.len())
        .filter(|d| *d == 0 || *d < missing || (shape[*d - missing] == 1 && size[*d] != 1))
        .map(|d| d as i64 + 1)
        .collect();
    let summed = gradient.f_reshape(&whole)?.f_sum_dim_intlist(dimensions.as_slice(), false, Kind::Float)?;
    Ok(Ok(summed.f_reshape([&[rows], shape].concat())?))
}

fn place(index: usize, one: &Use, output: &Tensor, rows: i64) -> Found<Place> {
    let output = output.f_to_kind(Kind::Float)?;
    let other = one.other.as_ref();
    let lacking = || "an operation did not keep what it read".to_owned();
    let kind = match one.kind {
        UseKind::Sum => Shares::Direct(or_reason!(reduced(&output, &one.shape, rows)?)),
        UseKind::Scaled => {
            let Some(other) = other else { return Ok(Err(lacking())) };
            Shares::Direct(or_reason!(reduced(&output.f_mul(other)?, &one.shape, rows)?))
        }
        UseKind::Product => {
            let Some(input) = other else { return Ok(Err(lacking())) };
            let (inputs, outputs) = (or_reason!(split(input, rows)), or_reason!(split(&output, rows)));
            if inputs.len() != 3 || outputs.len() != 3 {
                return Ok(Err("a product of more than matrices".to_owned()));
            }
            let input = input.f_to_kind(Kind::Float)?.f_reshape(&inputs)?;
            Shares::Product { input, output: output.f_reshape(&outputs)? }
        }
        UseKind::Lookup => {
            let Some(indices) = other else { return Ok(Err(lacking())) };
            or_reason!(split(indices, rows));
            let width = *output.size().last().unwrap_or(&1);
            let indices = indices.f_reshape([rows, -1])?;
            Shares::Lookup { indices, output: output.f_reshape([rows, -1, width])? }
        }
    };
    Ok(Ok(Place { index, kind, written: None }))
}

impl PerExample {
    /// Runs backward through `scale` times the loss of `rows` examples, a sum over them. The graph is gone
    /// afterwards, whatever comes out.
    pub(crate) fn backward(loss: &Tensor, scale: f64, parameters: &[&Tensor], rows: usize) -> Found<Self> {
        let rows = rows as i64;
        let uses = match Uses::find(loss, parameters)? {
            Ok(uses) => uses,
            Err(operation) => {
                return Ok(Err(format!("a parameter is used by {operation}, which has no rule")));
            }
        };
        let outputs = uses.gradients(loss, scale)?;
        let mut places = Vec::with_capacity(uses.all().len());
        for (index, one) in uses.all().iter().enumerate() {
            let output = &outputs[one.operation];
            if output.defined() {
                places.push(or_reason!(place(index, one, output, rows)?));
            }
        }
        Ok(Ok(Self { uses, places, rows, parameters: parameters.len() }))
    }

    fn places_of(&self, parameter: usize) -> Vec<usize> {
        let all = self.uses.all();
        let places = self.places.iter().enumerate();
        places.filter(|(_, place)| all[place.index].parameter == parameter).map(|(i, _)| i).collect()
    }

    /// Squared norms over all parameters' gradients, float[B].
    pub(crate) fn squared_norms(&mut self) -> Found<Tensor> {
        let mut sum: Option<Tensor> = None;
        let mut left = WRITTEN_OUT;
        for parameter in 0..self.parameters {
            let own = match self.places_of(parameter).as_slice() {
                [] => continue,
                [one] => self.norms_of_one(*one, &mut left)?,
                several => or_reason!(self.norms_of_several(several)?),
            };
            sum = Some(match sum {
                Some(sum) => sum.f_add(&own)?,
                None => own,
            });
        }
        Ok(sum.ok_or_else(|| "no gradient flows into any parameter".to_owned()))
    }

    fn norms_of_one(&mut self, at: usize, left: &mut i64) -> Result<Tensor> {
        let place = &mut self.places[at];
        match &place.kind {
            Shares::Direct(gradient) => squared(gradient),
            Shares::Lookup { indices, output } => {
                if indices.size()[1] == 1 {
                    return squared(output);
                }
                let same = indices.f_unsqueeze(2)?.f_eq_tensor(&indices.f_unsqueeze(1)?)?;
                let products = output.f_bmm(&output.f_transpose(1, 2)?)?.f_mul(&same)?;
                Ok(products.f_sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float)?)
            }
            Shares::Product { input, output } => {
                let (rows, places, inputs) = input.size3()?;
                let outputs = output.size()[2];
                if places == 1 {
                    return Ok(squared(input)?.f_mul(&squared(output)?)?);
                }
                let numbers = inputs * outputs;
                if numbers * rows <= *left && numbers * MEMORY < places * places * (inputs + outputs) {
                    let gradient = input.f_transpose(1, 2)?.f_bmm(output)?;
                    *left -= numbers * rows;
                    let squared = squared(&gradient)?;
                    place.written = Some(gradient);
                    return Ok(squared);
                }
                let of_inputs = input.f_bmm(&input.f_transpose(1, 2)?)?;
                let of_outputs = output.f_bmm(&output.f_transpose(1, 2)?)?;
                let products = of_inputs.f_mul(&of_outputs)?;
                Ok(products.f_sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float)?)
            }
        }
    }

    /// A parameter that is used several times: its gradients are written out, some examples at a time.
    fn norms_of_several(&self, places: &[usize]) -> Found<Tensor> {
        let all = self.uses.all();
        let numbers = |at: &usize| all[self.places[*at].index].shape.iter().product::<i64>().max(1);
        let each = places.iter().map(numbers).max().unwrap_or(1);
        let step = (WRITTEN_OUT / 4 / each).clamp(1, self.rows);
        let mut norms = Vec::new();
        let mut from = 0;
        while from < self.rows {
            let count = step.min(self.rows - from);
            let mut sum: Option<Tensor> = None;
            for at in places {
                let one = &all[self.places[*at].index];
                let gradient = self.written_out(*at, from, count)?;
                let gradient = match one.seen {
                    Seen::Whole => gradient,
                    Seen::Transposed if one.shape.len() == 2 => gradient.f_transpose(1, 2)?,
                    _ => return Ok(Err("parts of a parameter are used in several places".to_owned())),
                };
                sum = Some(match sum {
                    Some(sum) => sum.f_add(&gradient)?,
                    None => gradient,
                });
            }
            if let Some(sum) = sum {
                norms.push(squared(&sum)?);
            }
            from += count;
        }
        Ok(Ok(Tensor::f_cat(&norms, 0)?))
    }

    /// Gradients of what an operation saw of a parameter, [count, shape].
    fn written_out(&self, at: usize, from: i64, count: i64) -> Result<Tensor> {
        let place = &self.places[at];
        let some = |tensor: &Tensor| tensor.f_narrow(0, from, count);
        Ok(match &place.kind {
            Shares::Direct(gradient) => some(gradient)?,
            Shares::Product { input, output } => some(input)?.f_transpose(1, 2)?.f_bmm(&some(output)?)?,
            Shares::Lookup { indices, output } => {
                let shape = &self.uses.all()[place.index].shape;
                let (known, width) = (shape[0], shape[1]);
                let first = Tensor::f_arange(count, (Kind::Int64, output.device()))?.f_mul_scalar(known)?;
                let places = some(indices)?.f_add(&first.f_unsqueeze(1)?)?.f_reshape([-1])?;
                let zeros = Tensor::f_zeros([count * known, width], (Kind::Float, output.device()))?;
                let summed = zeros.f_index_add(0, &places, &some(output)?.f_reshape([-1, width])?)?;
                summed.f_reshape([count, known, width])?
            }
        })
    }

    /// The sum over the examples of weight times gradient, for every parameter; undefined where no gradient
    /// flows. `weights`: float[B].
    pub(crate) fn weighted(&self, weights: &Tensor) -> Result<Vec<Tensor>> {
        let mut sums: Vec<Tensor> = (0..self.parameters).map(|_| Tensor::new()).collect();
        for place in &self.places {
            let one = &self.uses.all()[place.index];
            let over = |gradients: &Tensor| -> Result<Tensor> {
                let flat = gradients.f_reshape([self.rows, -1])?;
                Ok(weights.f_unsqueeze(0)?.f_mm(&flat)?.f_reshape(&one.shape)?)
            };
            let scaled = |gradients: &Tensor| gradients.f_mul(&weights.f_reshape([self.rows, 1, 1])?);
            let gradient = match (&place.kind, &place.written) {
                (_, Some(written)) => over(written)?,
                (Shares::Direct(gradient), None) => over(gradient)?,
                (Shares::Product { input, output }, None) => {
                    let (inputs, outputs) = (input.size()[2], output.size()[2]);
                    let output = scaled(output)?.f_reshape([-1, outputs])?;
                    if one.seen == Seen::Transposed {
                        // In the parameter's own order, which then needs no copy.
                        output.f_transpose(0, 1)?.f_mm(&input.f_reshape([-1, inputs])?)?.f_transpose(0, 1)?
                    } else {
                        input.f_reshape([-1, inputs])?.f_transpose(0, 1)?.f_mm(&output)?
                    }
                }
                (Shares::Lookup { indices, output }, None) => {
                    let width = output.size()[2];
                    let zeros = Tensor::f_zeros(&one.shape, (Kind::Float, output.device()))?;
                    zeros.f_index_add(
                        0,
                        &indices.f_reshape([-1])?,
                        &scaled(output)?.f_reshape([-1, width])?,
                    )?
                }
            };
            let gradient = self.uses.pull(place.index, &gradient)?.f_to_kind(Kind::Float)?;
            let sum = &mut sums[one.parameter];
            *sum = if sum.defined() { sum.f_add(&gradient)? } else { gradient };
        }
        sums.into_iter().map(|sum| Ok(if sum.defined() { sum.f_contiguous()? } else { sum })).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tch::Device;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// A small language model whose embeddings are also its output matrix.
    struct Model {
        words: Tensor,
        positions: Tensor,
        kind: Tensor,
        norm: (Tensor, Tensor),
        gain: Tensor,
        inner: (Tensor, Tensor),
        outer: Tensor,
        bias: Tensor,
    }

    impl Model {
        fn new(hidden: i64, words: i64) -> Self {
            let leaf = |shape: &[i64]| (Tensor::randn(shape, FLOAT) * 0.5).set_requires_grad(true);
            Self {
                words: leaf(&[words, hidden]),
                positions: leaf(&[20, hidden]),
                kind: leaf(&[2, hidden]),
                norm: (leaf(&[hidden]), leaf(&[hidden])),
                gain: leaf(&[hidden]),
                inner: (leaf(&[hidden, hidden]), leaf(&[hidden])),
                outer: leaf(&[hidden, hidden]),
                bias: leaf(&[words]),
            }
        }

        fn parameters(&self) -> Vec<&Tensor> {
            let Self { words, positions, kind, norm, gain, inner, outer, bias } = self;
            vec![words, positions, kind, &norm.0, &norm.1, gain, &inner.0, &inner.1, outer, bias]
        }

        /// The sum over the rows of the mean over each row's tokens.
        fn loss(&self, ids: &Tensor) -> Tensor {
            let (_, length) = ids.size2().unwrap();
            let hidden = self.words.size()[1];
            let x = Tensor::embedding(&self.words, ids, -1, false, false);
            let x = x + self.positions.narrow(0, 0, length) + self.kind.select(0, 1);
            let x = x.layer_norm([hidden], Some(&self.norm.0), Some(&self.norm.1), 1e-5, false);
            let y = x.linear(&self.inner.0, Some(&self.inner.1)).gelu("none") * &self.gain;
            // Without a bias: another operation of libtorch.
            let y = y.linear(&self.outer, None::<&Tensor>) + x;
            let mixed = y.softmax(1, Kind::Float) + y;
            let logits = mixed.reshape([-1, hidden]).linear(&self.words, Some(&self.bias));
            logits.cross_entropy_loss(&ids.reshape([-1]), None::<&Tensor>, tch::Reduction::Sum, -100, 0.0)
                / length as f64
        }
    }

    fn gradients(loss: &Tensor, parameters: &[&Tensor]) -> Vec<Tensor> {
        Tensor::run_backward(&[loss], parameters, false, false)
    }

    fn agrees(rows: i64, length: i64, hidden: i64, words: i64) {
        tch::manual_seed(rows + length);
        let model = Model::new(hidden, words);
        let ids = Tensor::randint(words, [rows, length], (Kind::Int64, Device::Cpu));
        let parameters = model.parameters();
        let mut kept =
            PerExample::backward(&model.loss(&ids), 1.0, &parameters, rows as usize).unwrap().unwrap();
        let norms = kept.squared_norms().unwrap().unwrap().sqrt();
        let weights = Tensor::rand([rows], FLOAT);
        let weighted = kept.weighted(&weights).unwrap();

        let mut expected: Vec<Tensor> = parameters.iter().map(|p| p.zeros_like()).collect();
        for row in 0..rows {
            let own = gradients(&model.loss(&ids.narrow(0, row, 1)), &parameters);
            let norm = zoo_torch::lists::norm(&own.iter().collect::<Vec<_>>()).unwrap().double_value(&[]);
            let found = norms.double_value(&[row]);
            assert!((found / norm - 1.0).abs() < 1e-4, "row {row}: {found} and {norm}");
            for (sum, gradient) in expected.iter_mut().zip(own) {
                *sum += gradient * weights.double_value(&[row]);
            }
        }
        for (place, (found, expected)) in weighted.iter().zip(&expected).enumerate() {
            assert_eq!(found.size(), expected.size());
            let off = (found - expected).abs().max().double_value(&[]);
            let size = expected.abs().max().double_value(&[]);
            assert!(off < 1e-4 * size.max(1e-3), "parameter {place} is {off} off at {size}");
        }
    }

    #[test]
    fn many_places_write_gradients_out() {
        agrees(3, 18, 4, 7);
    }

    #[test]
    fn few_places_multiply_what_was_read() {
        agrees(5, 3, 24, 11);
    }

    #[test]
    fn one_place_an_example() {
        agrees(4, 1, 6, 5);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let weight = Tensor::randn([3, 3], FLOAT).set_requires_grad(true);
        let loss = weight.exp().sum(Kind::Float);
        let reason = PerExample::backward(&loss, 1.0, &[&weight], 2).unwrap().err().unwrap();
        assert!(reason.contains("ExpBackward"), "{reason}");
        // Five rows are not two examples.
        let x = Tensor::randn([5, 3], FLOAT);
        let loss = x.linear(&weight, None::<&Tensor>).sum(Kind::Float);
        let reason = PerExample::backward(&loss, 1.0, &[&weight], 2).unwrap().err().unwrap();
        assert!(reason.contains("2 examples"), "{reason}");
    }
}
