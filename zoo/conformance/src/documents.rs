//! Documents alone, padded, and packed give the same.

use crate::compare::distance;
use crate::component::{Subject, is_float};
use crate::inputs::{Inputs, Wish, all_places, is_documents, is_mask, is_positions};
use crate::report::{Result, Stop, failed, skipped};
use crate::splits::{collect, forget_gradients, leaves, part, places, precise};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};
use zoo_host::{InstanceId, Value, World};
use zoo_schema::{Component, Dim, Port};

/// Tokens of the documents.
const LENGTHS: [i64; 3] = [7, 4, 2];
/// Padding at the end of a packed row, where a component is told the document of each token.
const REST: i64 = 2;
const TOLERANCE: f64 = 1e-6;
const COARSE: f64 = 1e-5;

/// The axis of a port that runs over tokens.
fn token_axis(port: &Port) -> Option<usize> {
    port.kind.shape.iter().position(|d| *d == Dim::Name("T".to_owned()))
}

fn leads(port: &Port, name: &str) -> bool {
    port.kind.shape.first() == Some(&Dim::Name(name.to_owned()))
}

/// Whether the port runs over every place b * T + t.
fn everywhere(schema: &Component, port: &Port) -> bool {
    all_places(schema).is_some_and(|name| leads(port, name))
}

fn tokens_are_told(schema: &Component) -> bool {
    schema.inputs.iter().any(|p| leads(p, "B") && token_axis(p) == Some(1))
}

/// Keeps some of the flat places, and of what belongs to each.
fn keep_places(schema: &Component, inputs: &Inputs, keep: &[i64], places: &[i64]) -> Result<Inputs> {
    let Some((own, dim, _, _)) = crate::splits::places(schema, inputs) else { return Ok(inputs.again()) };
    let mut made = inputs.again();
    let index = Tensor::from_slice(keep);
    for (name, value) in &mut made.values {
        if let Value::Tensor(tensor) = value
            && schema.input(name).is_some_and(|p| leads(p, &dim))
        {
            *tensor =
                if *name == own { Tensor::from_slice(places) } else { tensor.f_index_select(0, &index)? };
        }
    }
    made.sizes.insert(dim, keep.len() as i64);
    Ok(made)
}

/// Documents as rows of equal length, with masks over the padding and no flat places in it.
fn padded(subject: &Subject<'_>, inputs: &Inputs) -> Result<Inputs> {
    let schema = subject.schema;
    let longest = LENGTHS[0];
    let mut made = inputs.again();
    for port in schema.inputs.iter().filter(|p| is_mask(p)) {
        if let Some(Value::Tensor(mask)) = made.get(&port.name) {
            let values: Vec<i64> =
                LENGTHS.iter().flat_map(|length| (0..longest).map(move |t| i64::from(t < *length))).collect();
            let values = Tensor::from_slice(&values).f_view([LENGTHS.len() as i64, longest])?;
            let values = values.f_to_kind(mask.kind())?;
            made.replace(&port.name, Value::Tensor(values));
        }
    }
    if let Some((_, _, flat, _)) = places(schema, &made) {
        let (keep, kept): (Vec<i64>, Vec<i64>) = flat
            .iter()
            .enumerate()
            .filter(|(_, place)| **place % longest < LENGTHS[(**place / longest) as usize])
            .map(|(i, place)| (i as i64, *place))
            .unzip();
        made = keep_places(schema, &made, &keep, &kept)?;
    }
    Ok(made)
}

/// One document without its padding, from rows that may have some.
fn alone(schema: &Component, padded: &Inputs, row: usize) -> Result<Inputs> {
    let length = LENGTHS[row];
    let mut made = part(schema, padded, "B", row as i64, 1)?;
    for (name, value) in &mut made.values {
        let Some(port) = schema.input(name) else { continue };
        if let (Value::Tensor(tensor), Some(axis)) = (&*value, token_axis(port)) {
            *value = Value::Tensor(tensor.f_narrow(axis as i64, 0, length)?);
        } else if let Value::Tensor(tensor) = &*value
            && everywhere(schema, port)
        {
            *value = Value::Tensor(tensor.f_narrow(0, 0, length)?);
        }
    }
    made.sizes.insert("T".to_owned(), length);
    if let Some(name) = all_places(schema) {
        made.sizes.insert(name.to_owned(), length);
    }
    Ok(made)
}

/// All documents in one row, one after the other, each with its number; then padding, with the number
/// 0, where the component takes numbers.
fn packed(schema: &Component, padded: &Inputs) -> Result<Inputs> {
    let longest = LENGTHS[0];
    let mut starts = vec![0];
    for length in LENGTHS {
        starts.push(starts[starts.len() - 1] + length);
    }
    let total = starts[LENGTHS.len()];
    let rest = if schema.inputs.iter().any(is_documents) && all_places(schema).is_none() { REST } else { 0 };
    let flat = places(schema, padded);
    let mut made = padded.again();
    for (name, value) in &mut made.values {
        let Some(port) = schema.input(name) else { continue };
        let Value::Tensor(tensor) = &*value else { continue };
        if is_documents(port) {
            let numbers: Vec<i64> = LENGTHS
                .iter()
                .zip(1..)
                .flat_map(|(length, number)| std::iter::repeat_n(number, *length as usize))
                .chain(std::iter::repeat_n(0, rest as usize))
                .collect();
            *value = Value::Tensor(Tensor::from_slice(&numbers).f_view([1, total + rest])?);
        } else if is_positions(port)
            && let Some((_, _, places, _)) = &flat
        {
            let moved: Vec<i64> =
                places.iter().map(|place| starts[(place / longest) as usize] + place % longest).collect();
            *value = Value::Tensor(Tensor::from_slice(&moved));
        } else if everywhere(schema, port) {
            let pieces = LENGTHS
                .iter()
                .zip(0..)
                .map(|(length, row)| tensor.f_narrow(0, row * longest, *length))
                .collect::<std::result::Result<Vec<_>, _>>()?;
            *value = Value::Tensor(Tensor::f_cat(&pieces, 0)?);
        } else if leads(port, "B") && token_axis(port) == Some(1) {
            let mut pieces = LENGTHS
                .iter()
                .zip(0..)
                .map(|(length, row)| tensor.f_narrow(0, row, 1)?.f_narrow(1, 0, *length))
                .collect::<std::result::Result<Vec<_>, _>>()?;
            let padding = tensor.f_narrow(0, 0, 1)?.f_narrow(1, 0, rest)?;
            pieces.push(if is_mask(port) { padding.f_zeros_like()? } else { padding });
            *value = Value::Tensor(Tensor::f_cat(&pieces, 1)?);
        } else if leads(port, "B") {
            return skipped(format!(
                "input `{name}` has one value a row, and a packed row has several documents"
            ));
        }
    }
    made.sizes.insert("B".to_owned(), 1);
    made.sizes.insert("T".to_owned(), total + rest);
    if let Some(name) = all_places(schema) {
        made.sizes.insert(name.to_owned(), total);
    }
    Ok(made)
}

/// What a layout of the documents gives: every differentiable output cut to the documents' own
/// tokens, document after document, and the gradients of a number made from them.
struct Given {
    outputs: BTreeMap<String, Tensor>,
    gradients: Vec<(String, Tensor)>,
}

/// How documents lie in an output.
#[derive(Clone, Copy)]
enum Layout {
    Padded,
    Alone,
    Packed,
}

/// The documents' own part of an output: tokens, then rows, then whole.
fn own_part(port: &Port, output: &Tensor, layout: Layout) -> Result<Option<Tensor>> {
    let by_token = leads(port, "B") && token_axis(port) == Some(1);
    Ok(match layout {
        Layout::Padded if by_token => {
            let pieces = LENGTHS
                .iter()
                .zip(0..)
                .map(|(length, row)| output.f_select(0, row)?.f_narrow(0, 0, *length))
                .collect::<std::result::Result<Vec<_>, _>>()?;
            Some(Tensor::f_cat(&pieces, 0)?)
        }
        Layout::Packed if by_token => Some(output.f_squeeze_dim(0)?.f_narrow(0, 0, LENGTHS.iter().sum())?),
        Layout::Alone if by_token => Some(output.f_squeeze_dim(0)?),
        Layout::Packed if leads(port, "B") => None,
        _ => Some(output.shallow_clone()),
    })
}

fn weighted(output: &Tensor, from: i64) -> Result<Tensor> {
    let weights = Tensor::arange_start(from, from + output.numel() as i64, (output.kind(), output.device()));
    Ok(output.f_reshape([-1])?.f_mul(&weights.f_mul_scalar(0.3)?.f_cos()?)?.f_sum(None)?)
}

fn run(
    subject: &Subject<'_>,
    world: &World,
    id: InstanceId,
    layouts: &[(Inputs, Layout)],
    leaves: &[(String, Tensor)],
) -> Result<Given> {
    forget_gradients(world);
    for (_, leaf) in leaves {
        let mut gradient = leaf.grad();
        if gradient.defined() {
            let _ = gradient.f_zero_()?;
        }
    }
    let mut outputs: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
    for (inputs, layout) in layouts {
        for (name, value) in subject.call(world, id, &Subject::scope(false, true), inputs)? {
            let (Some(Value::Tensor(output)), Some(port)) = (value, subject.schema.output(&name)) else {
                continue;
            };
            if is_float(&output)
                && let Some(own) = own_part(port, &output, *layout)?
            {
                outputs.entry(name).or_default().push(own);
            }
        }
    }
    let mut joined = BTreeMap::new();
    let mut number: Option<Tensor> = None;
    for (name, pieces) in outputs {
        // Scalars are sums over what they are made from.
        let whole = if pieces[0].dim() == 0 {
            Tensor::f_stack(&pieces, 0)?.f_sum(None)?
        } else {
            Tensor::f_cat(&pieces, 0)?
        };
        if whole.requires_grad() {
            let term = weighted(&whole, 1)?;
            number = Some(match number {
                Some(sum) => sum.f_add(&term)?,
                None => term,
            });
        }
        joined.insert(name, whole.f_detach()?);
    }
    if let Some(number) = number {
        number.f_backward()?;
    }
    Ok(Given { outputs: joined, gradients: collect(world, leaves) })
}

fn compare(what: &str, one: &Given, other: &Given, kind: Kind) -> Result<()> {
    let limit = if kind == Kind::Double { TOLERANCE } else { COARSE };
    for (name, first) in &one.outputs {
        let Some(second) = other.outputs.get(name) else { continue };
        let found = distance(first, second);
        if found > limit {
            return failed(format!(
                "output `{name}` of a document {what} differs by {found:.1e} from the one alone"
            ));
        }
    }
    for ((name, first), (_, second)) in one.gradients.iter().zip(&other.gradients) {
        let found = distance(first, second);
        if found > limit {
            return failed(format!("the gradient of `{name}` from documents {what} differs by {found:.1e}"));
        }
    }
    Ok(())
}

fn wish() -> Wish {
    let sizes = [("B", LENGTHS.len() as i64), ("T", LENGTHS[0])];
    Wish {
        sizes: sizes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect(),
        optional: Some(true),
        kind: None,
        full_masks: true,
    }
}

fn applies(subject: &Subject<'_>) -> Result<()> {
    let schema = subject.schema;
    if !tokens_are_told(schema) {
        return skipped("no input has rows of tokens");
    }
    if subject.options.sizes.get(&schema.name).is_some_and(|sizes| sizes.contains_key("T")) {
        return skipped("the files of its example fix how long its rows are");
    }
    if schema.effects.loader || schema.effects.stops_gradient && schema.effects.random {
        return skipped("what it draws depends on the place in the batch");
    }
    Ok(())
}

/// Padding changes nothing.
pub(crate) fn padding(subject: &Subject<'_>) -> Result<()> {
    applies(subject)?;
    precise(subject, &wish(), 10, |world, id, inputs, kind| {
        let (mut inputs, leaves) = leaves(subject.schema, inputs)?;
        if let Some(port) = subject.schema.inputs.iter().find(|p| is_documents(p)) {
            inputs.remove(&port.name);
        }
        let padded = padded(subject, &inputs)?;
        let alones = (0..LENGTHS.len())
            .map(|row| Ok((alone(subject.schema, &padded, row)?, Layout::Alone)))
            .collect::<Result<Vec<_>>>()?;
        let by_itself = run(subject, world, id, &alones, &leaves)?;
        let rows = run(subject, world, id, &[(padded, Layout::Padded)], &leaves)?;
        if by_itself.outputs.is_empty() {
            return skipped("it has no output of numbers");
        }
        compare("with padding", &by_itself, &rows, kind)
    })
}

/// Packing changes nothing, where documents are told apart or each token stands for itself.
pub(crate) fn packing(subject: &Subject<'_>) -> Result<()> {
    applies(subject)?;
    let schema = subject.schema;
    let told = schema.inputs.iter().any(is_documents);
    if !told && schema.kind != "objective" {
        return skipped("no input tells documents apart (`document_ids: int[B, T]`), so it takes one a row");
    }
    precise(subject, &wish(), 11, |world, id, inputs, kind| {
        let (inputs, leaves) = leaves(schema, inputs)?;
        let padded = padded(subject, &inputs)?;
        let packed = packed(schema, &padded)?;
        let mut alones = Vec::new();
        for row in 0..LENGTHS.len() {
            let mut made = alone(schema, &padded, row)?;
            for port in schema.inputs.iter().filter(|p| is_documents(p)) {
                made.remove(&port.name);
            }
            alones.push((made, Layout::Alone));
        }
        let by_itself = run(subject, world, id, &alones, &leaves)?;
        let mut row = packed;
        for port in schema.inputs.iter().filter(|p| is_mask(p) && p.optional) {
            // The documents' numbers say what is padding.
            row.remove(&port.name);
        }
        let together = run(subject, world, id, &[(row, Layout::Packed)], &leaves)?;
        if together.outputs.is_empty() {
            return Err(Stop::Skipped("it has no output of numbers by token".to_owned()));
        }
        compare("in a packed row", &by_itself, &together, kind)
    })
}
