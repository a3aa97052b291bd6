//! How a batch is split is not semantics.

use crate::compare::distance;
use crate::component::{Subject, differentiable, is_float};
use crate::inputs::{Inputs, Wish, all_places, is_positions};
use crate::report::{Result, Stop, failed, skipped};
use tch::{Kind, Tensor};
use zoo_host::{CallScope, InstanceId, Value, World};
use zoo_schema::{Component, Dim};

/// Rows of an update that is split.
const ROWS: i64 = 16;
/// Largest difference, as a share of the largest value.
const TOLERANCE: f64 = 1e-6;

fn depends(dim: &Dim, name: &str) -> bool {
    match dim {
        Dim::Name(other) => other == name,
        Dim::Product(a, b) | Dim::Quotient(a, b) => depends(a, name) || depends(b, name),
        Dim::Size(_) | Dim::Rest => false,
    }
}

/// The flat places that inputs hold, the name of their dimension, and the length of a row.
pub(crate) fn places(schema: &Component, inputs: &Inputs) -> Option<(String, String, Vec<i64>, i64)> {
    let port = schema.inputs.iter().find(|p| is_positions(p))?;
    let Some(Value::Tensor(places)) = inputs.get(&port.name) else { return None };
    let [Dim::Name(dim)] = port.kind.shape.as_slice() else { return None };
    let places = Vec::<i64>::try_from(places).ok()?;
    Some((port.name.clone(), dim.clone(), places, *inputs.sizes.get("T")?))
}

/// Rows `start..start + length` of inputs.
pub(crate) fn part(
    schema: &Component,
    inputs: &Inputs,
    batch: &str,
    start: i64,
    length: i64,
) -> Result<Inputs> {
    let rows = inputs.sizes.get(batch).copied().unwrap_or(1);
    let places = places(schema, inputs);
    let chosen: Vec<i64> = places.as_ref().map_or_else(Vec::new, |(_, _, places, row)| {
        let inside = |place: i64| (start..start + length).contains(&(place / row));
        (0..places.len() as i64).filter(|i| inside(places[*i as usize])).collect()
    });
    let mut values = Vec::new();
    for (name, value) in &inputs.values {
        let lead = schema.input(name).and_then(|p| p.kind.shape.first());
        let of_places = match (&places, lead) {
            (Some((_, dim, _, _)), Some(Dim::Name(lead))) => lead == dim,
            _ => false,
        };
        let everywhere = match (all_places(schema), lead) {
            (Some(dim), Some(Dim::Name(lead))) => lead == dim,
            _ => false,
        };
        let made = match value {
            Value::Tensor(tensor) if everywhere => {
                let row = inputs.sizes.get("T").copied().unwrap_or(1);
                Value::Tensor(tensor.f_narrow(0, start * row, length * row)?)
            }
            Value::Tensor(tensor) if of_places => {
                let picked = tensor.f_index_select(0, &Tensor::from_slice(&chosen))?;
                match &places {
                    Some((own, _, _, row)) if own == name => Value::Tensor(picked.f_sub_scalar(start * row)?),
                    _ => Value::Tensor(picked),
                }
            }
            Value::Tensor(tensor) if lead.is_some_and(|d| depends(d, batch)) => {
                let factor = tensor.size()[0] / rows.max(1);
                Value::Tensor(tensor.f_narrow(0, start * factor, length * factor)?)
            }
            Value::Texts(texts) if lead.is_some_and(|d| depends(d, batch)) => {
                Value::Texts(texts[start as usize..(start + length) as usize].to_vec())
            }
            other => other.shallow_clone(),
        };
        values.push((name.clone(), made));
    }
    let mut sizes = inputs.sizes.clone();
    sizes.insert(batch.to_owned(), length);
    if let Some((_, dim, _, _)) = places {
        sizes.insert(dim, chosen.len() as i64);
    }
    if let (Some(dim), Some(row)) = (all_places(schema), inputs.sizes.get("T")) {
        sizes.insert(dim.to_owned(), length * row);
    }
    Ok(Inputs { values, sizes })
}

/// Outputs of rows equal those of the whole batch.
pub(crate) fn rows_alone(subject: &Subject<'_>) -> Result<()> {
    let schema = subject.schema;
    if schema.effects.whole_update {
        return skipped("it compares the examples of a whole update");
    }
    if schema.effects.random && !schema.effects.loader && schema.kind != "architecture" {
        return skipped("it draws on the device, by part of the update");
    }
    let Some(batch) = subject.batch_dimension() else { return skipped("its inputs have no batch") };
    let inputs = subject.inputs(&subject.sized(&[(&batch, 5)]), 6)?;
    let dim = places(schema, &inputs).map(|(_, dim, _, _)| dim);
    let of_rows: Vec<&str> = schema
        .outputs
        .iter()
        .filter(|o| match o.kind.shape.first() {
            Some(Dim::Name(name)) => *name == batch || Some(name) == dim.as_ref(),
            _ => false,
        })
        .map(|o| o.name.as_str())
        .collect();
    if of_rows.is_empty() {
        return skipped("its outputs have no rows");
    }
    let (world, id) = subject.world(subject.seed())?;
    let scope = Subject::scope(false, false);
    let whole = subject.call(&world, id, &scope, &inputs)?;
    let mut parts = Vec::new();
    for (start, length) in [(0, 2), (2, 1), (3, 2)] {
        let part = part(schema, &inputs, &batch, start, length)?;
        let scope = CallScope { row_offset: start as u64, ..scope.clone() };
        parts.push(subject.call(&world, id, &scope, &part)?);
    }
    for name in of_rows {
        let find = |named: &[(String, Option<Value>)]| {
            named.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.as_ref().map(Value::shallow_clone))
        };
        let pieces: Vec<Value> = parts.iter().filter_map(|part| find(part)).collect();
        match find(&whole) {
            Some(Value::Tensor(whole)) => {
                let tensors: Vec<&Tensor> = pieces.iter().filter_map(Value::tensor).collect();
                let limit = if is_float(&whole) { 1e-5 } else { 0.0 };
                let mut start = 0;
                for piece in tensors {
                    let rows = piece.size()[0];
                    let mut same = whole.f_narrow(0, start, rows)?;
                    start += rows;
                    // Sequences may be padded to the longest of their batch.
                    for (axis, size) in piece.size().iter().enumerate().skip(1) {
                        if *size < same.size()[axis] {
                            same = same.f_narrow(axis as i64, 0, *size)?;
                        }
                    }
                    let found = distance(&same, piece);
                    if found > limit {
                        return failed(format!(
                            "output `{name}` of rows alone differs by {found:.1e} from the whole batch's"
                        ));
                    }
                }
                if start != whole.size()[0] {
                    return failed(format!(
                        "output `{name}` has {start} rows in parts and {} at once",
                        whole.size()[0]
                    ));
                }
            }
            Some(Value::Texts(whole)) => {
                let joined: Vec<String> = pieces
                    .into_iter()
                    .flat_map(|piece| match piece {
                        Value::Texts(texts) => texts,
                        _ => Vec::new(),
                    })
                    .collect();
                if joined != whole {
                    return failed(format!("output `{name}` of rows alone differs from the whole batch's"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What an update comes to.
struct Update {
    loss: f64,
    count: f64,
    /// Of inputs and of trained parameters, with their names.
    gradients: Vec<(String, Tensor)>,
}

/// A leaf for every input that has a gradient.
pub(crate) fn leaves(schema: &Component, inputs: &Inputs) -> Result<(Inputs, Vec<(String, Tensor)>)> {
    let mut made = inputs.again();
    let mut leaves = Vec::new();
    for (name, value) in &mut made.values {
        if let Value::Tensor(tensor) = value
            && schema.input(name).is_some_and(differentiable)
        {
            let leaf = tensor.f_detach()?.copy().f_requires_grad_(true)?;
            leaves.push((name.clone(), leaf.shallow_clone()));
            *tensor = leaf;
        }
    }
    Ok((made, leaves))
}

/// Gradients of leaves and parameters, zeros where nothing flowed.
pub(crate) fn collect(world: &World, leaves: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    let of = |name: &str, tensor: &Tensor| {
        let gradient = tensor.grad();
        let gradient = if gradient.defined() { gradient.copy() } else { tensor.detach().zeros_like() };
        (name.to_owned(), gradient)
    };
    let mut all: Vec<_> = leaves.iter().map(|(name, leaf)| of(name, leaf)).collect();
    let trained = world.parameters();
    let own = trained.iter().filter(|p| p.shared.is_none() && p.tensor.requires_grad());
    all.extend(own.map(|p| of(&p.name, &p.tensor)));
    all
}

pub(crate) fn forget_gradients(world: &World) {
    for parameter in world.parameters() {
        let mut gradient = parameter.tensor.grad();
        if gradient.defined() {
            let _ = gradient.f_zero_();
        }
    }
}

fn update(
    subject: &Subject<'_>,
    world: &World,
    id: InstanceId,
    inputs: &Inputs,
    batch: &str,
    parts: i64,
) -> Result<Update> {
    let schema = subject.schema;
    forget_gradients(world);
    let (inputs, leaves) = leaves(schema, inputs)?;
    let (mut loss, mut count) = (0.0, 0.0);
    let length = ROWS / parts;
    for i in 0..parts {
        let part = part(schema, &inputs, batch, i * length, length)?;
        let scope =
            CallScope { row_offset: (i * length) as u64, micro: i as u64, ..Subject::scope(false, true) };
        count += world.count(id, &scope, &part.ports())?;
        let term = loss_of(subject, world, id, &scope, &part)?;
        loss += term.f_double_value(&[])?;
        if term.requires_grad() {
            term.f_backward()?;
        }
    }
    let mut gradients = collect(world, &leaves);
    for (_, gradient) in &mut gradients {
        *gradient = gradient.f_div_scalar(if count == 0.0 { 1.0 } else { count })?;
    }
    Ok(Update { loss, count, gradients })
}

pub(crate) fn loss_of(
    subject: &Subject<'_>,
    world: &World,
    id: InstanceId,
    scope: &CallScope,
    inputs: &Inputs,
) -> Result<Tensor> {
    let outputs = subject.call(world, id, scope, inputs)?;
    match outputs.into_iter().find(|(name, _)| name == "loss") {
        Some((_, Some(Value::Tensor(loss)))) => Ok(loss),
        _ => failed("it gave no loss"),
    }
}

/// A world and inputs in double precision, or in single where the component computes in no other.
pub(crate) fn precise<T>(
    subject: &Subject<'_>,
    wish: &Wish,
    round: u64,
    run: impl Fn(&World, InstanceId, &Inputs, Kind) -> Result<T>,
) -> Result<T> {
    let (world, id) = subject.world(subject.seed())?;
    Subject::widen(&world)?;
    let inputs = subject.inputs(&Wish { kind: Some(Kind::Double), ..wish.clone() }, round)?;
    match run(&world, id, &inputs, Kind::Double) {
        Err(Stop::Skipped(_)) => {
            let (world, id) = subject.world(subject.seed())?;
            let inputs = subject.inputs(wish, round)?;
            run(&world, id, &inputs, Kind::Float)
        }
        other => other,
    }
}

/// 16x1, 8x2, 4x4 and 2x8 give the same update.
pub(crate) fn objective(subject: &Subject<'_>) -> Result<()> {
    let Some(batch) = subject.batch_dimension() else { return failed("its inputs have no batch to split") };
    for (round, optional) in [(7, true), (8, false)] {
        let mut wish = subject.sized(&[(&batch, ROWS)]);
        wish.optional = Some(optional);
        if subject.schema.effects.whole_update {
            precise(subject, &wish, round, |world, id, inputs, _| {
                cached(subject, world, id, inputs, &batch)
            })?;
        } else {
            precise(subject, &wish, round, |world, id, inputs, _| split(subject, world, id, inputs, &batch))?;
        }
        if !subject.schema.inputs.iter().any(|p| p.optional) {
            break;
        }
    }
    Ok(())
}

fn split(subject: &Subject<'_>, world: &World, id: InstanceId, inputs: &Inputs, batch: &str) -> Result<()> {
    let whole = update(subject, world, id, inputs, batch, 1)?;
    if whole.gradients.is_empty() {
        return failed("its loss depends on nothing that could be trained");
    }
    for parts in [2, 4, 8] {
        let split = update(subject, world, id, inputs, batch, parts)?;
        let name = format!("{}x{parts}", ROWS / parts);
        if split.count != whole.count {
            return failed(format!("{name} counts {} targets, and 16x1 {}", split.count, whole.count));
        }
        let found = (split.loss - whole.loss).abs() / whole.loss.abs().max(1e-3);
        if found > TOLERANCE {
            return failed(format!(
                "{name} sums to a loss of {} and 16x1 to {}: a loss is the sum over its targets",
                split.loss, whole.loss
            ));
        }
        for ((port, one), (_, other)) in whole.gradients.iter().zip(&split.gradients) {
            let found = distance(one, other);
            if found > TOLERANCE {
                return failed(format!(
                    "the update of `{port}` by {name} differs by {found:.1e} from that by 16x1"
                ));
            }
        }
    }
    Ok(())
}

/// An objective over a whole update gets its inputs from parts that are computed twice: once without
/// gradients, to bring them together, and once with the gradients that the objective gives them.
fn cached(subject: &Subject<'_>, world: &World, id: InstanceId, inputs: &Inputs, batch: &str) -> Result<()> {
    let schema = subject.schema;
    let scope = Subject::scope(false, true);
    let names: Vec<String> =
        schema.inputs.iter().filter(|p| differentiable(p)).map(|p| p.name.clone()).collect();
    // A model of one number an element of the last dimension stands before every input.
    let scale = |tensor: &Tensor| -> Result<Tensor> {
        let size = tensor.size().last().copied().unwrap_or(1);
        let mut values =
            Tensor::arange(size, (tensor.kind(), tensor.device())).f_mul_scalar(0.1)?.f_add_scalar(0.5)?;
        Ok(values.f_requires_grad_(true)?)
    };
    let models: Vec<Tensor> = names
        .iter()
        .filter_map(|name| inputs.get(name).and_then(Value::tensor))
        .map(scale)
        .collect::<Result<_>>()?;
    let computed = |model: &Tensor, name: &str, start: i64, length: i64| -> Result<Tensor> {
        let part = part(schema, inputs, batch, start, length)?;
        match part.get(name) {
            Some(Value::Tensor(tensor)) => Ok(tensor.f_mul(model)?),
            _ => failed(format!("input `{name}` is gone")),
        }
    };
    let gradients = |parts: i64| -> Result<Vec<Tensor>> {
        for model in &models {
            let mut gradient = model.grad();
            if gradient.defined() {
                let _ = gradient.f_zero_()?;
            }
        }
        let length = ROWS / parts;
        let mut gathered = inputs.again();
        let mut representations = Vec::new();
        for (name, model) in names.iter().zip(&models) {
            let pieces = (0..parts)
                .map(|i| Ok(computed(model, name, i * length, length)?.f_detach()?))
                .collect::<Result<Vec<_>>>()?;
            let whole = Tensor::f_cat(&pieces, 0)?.f_requires_grad_(true)?;
            gathered.replace(name, Value::Tensor(whole.shallow_clone()));
            representations.push(whole);
        }
        let loss = loss_of(subject, world, id, &scope, &gathered)?;
        if !loss.requires_grad() {
            return failed("its loss has no gradient");
        }
        loss.f_backward()?;
        for ((name, model), whole) in names.iter().zip(&models).zip(&representations) {
            let gradient = whole.grad();
            if !gradient.defined() {
                continue;
            }
            for i in 0..parts {
                let wanted = gradient.f_narrow(0, i * length, length)?;
                computed(model, name, i * length, length)?.f_mul(&wanted)?.f_sum(None)?.f_backward()?;
            }
        }
        let of = |model: &Tensor| {
            let gradient = model.grad();
            if gradient.defined() { gradient.copy() } else { model.detach().zeros_like() }
        };
        Ok(models.iter().map(of).collect())
    };
    // In one piece, with the model and the objective in one graph.
    let mut direct = inputs.again();
    for (name, model) in names.iter().zip(&models) {
        direct.replace(name, Value::Tensor(computed(model, name, 0, ROWS)?));
    }
    loss_of(subject, world, id, &scope, &direct)?.f_backward()?;
    let whole: Vec<Tensor> = models.iter().map(|m| m.grad().copy()).collect();
    for parts in [1, 2, 4, 8] {
        for ((name, one), other) in names.iter().zip(&whole).zip(gradients(parts)?) {
            let found = distance(one, &other);
            if found > TOLERANCE {
                return failed(format!(
                    "the update through `{name}` by {}x{parts} differs by {found:.1e}",
                    ROWS / parts
                ));
            }
        }
    }
    let count = world.count(id, &scope, &inputs.ports())?;
    if count <= 0.0 { failed(format!("it counts {count} targets in 16 rows")) } else { Ok(()) }
}
