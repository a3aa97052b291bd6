//! Kinds that are not called by a step: data, optimizers, schedules.

use crate::compare;
use crate::component::Subject;
use crate::report::{Result, Stop, failed};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};
use zoo_host::Value;

/// Examples are the same in every order.
pub(crate) fn data(subject: &Subject<'_>) -> Result<()> {
    let (world, id) = subject.world(subject.seed())?;
    let length = world.length(id)?;
    if length == 0 {
        return failed("it has no examples");
    }
    let scope = Subject::scope(false, false);
    let last = length as i64 - 1;
    let some: Vec<i64> = [0, last / 2, last].to_vec();
    let together = world.read(id, &scope, &some)?;
    for (column, value) in &together {
        let rows = match value {
            Value::Tensor(tensor) => tensor.size().first().copied().unwrap_or(0),
            Value::Texts(texts) => texts.len() as i64,
            _ => some.len() as i64,
        };
        if rows != some.len() as i64 {
            return failed(format!("column `{column}` has {rows} rows for {} indices", some.len()));
        }
    }
    for (place, index) in some.iter().enumerate().rev() {
        let alone = world.read(id, &scope, &[*index])?;
        for ((column, whole), (_, alone)) in together.iter().zip(&alone) {
            let same = match (whole, alone) {
                (Value::Tensor(whole), Value::Tensor(alone)) => {
                    // Columns of sequences may be padded to the longest of a batch.
                    let row = whole.f_select(0, place as i64)?;
                    let single = alone.f_select(0, 0)?;
                    row.size() != single.size() || compare::same(&Value::Tensor(row), &Value::Tensor(single))
                }
                (Value::Texts(whole), Value::Texts(alone)) => whole.get(place) == alone.first(),
                _ => true,
            };
            if !same {
                return failed(format!(
                    "example {index} of column `{column}` is another one when it is read alone"
                ));
            }
        }
    }
    for wrong in [-1, length as i64] {
        match world.read(id, &scope, &[wrong]).map_err(Stop::from) {
            Ok(_) => return failed(format!("index {wrong} of {length} examples is read, not refused")),
            Err(Stop::Failed(reason)) => return failed(format!("index {wrong} of {length}: {reason}")),
            Err(Stop::Skipped(_)) => {}
        }
    }
    Ok(())
}

/// Factors are finite and not negative, from before the first update to after the last.
pub(crate) fn schedule(subject: &Subject<'_>) -> Result<()> {
    let (world, id) = subject.world(subject.seed())?;
    let scope = Subject::scope(true, false);
    for total in [0_i64, 1, 10, 1000] {
        for step in [0, 1, total / 2, total - 1, total, total + 10] {
            let inputs = [("step", Value::Int(step.max(0))), ("total", Value::Int(total))];
            let ports: Vec<(&str, &Value)> = inputs.iter().map(|(n, v)| (*n, v)).collect();
            let factor = world.call(id, &scope, &ports)?.take("factor").and_then(|v| v.real());
            match factor {
                Some(factor) if factor.is_finite() && factor >= 0.0 => {}
                other => return failed(format!("step {step} of {total} gives {other:?}")),
            }
        }
    }
    Ok(())
}

/// Parameters, gradients and states of a small model.
struct Small {
    names: Vec<String>,
    parameters: Vec<Tensor>,
    gradients: Vec<Tensor>,
    states: Vec<Tensor>,
}

fn small(subject: &Subject<'_>) -> Small {
    let shapes: [&[i64]; 3] = [&[3, 4], &[4], &[2, 3, 2]];
    let wave = |shape: &[i64], phase: f64| {
        let count: i64 = shape.iter().product();
        let values = Tensor::arange(count, (Kind::Float, Device::Cpu));
        ((values * 0.37 + phase).sin() * 0.1).view(shape)
    };
    let states = &subject.schema.effects.states;
    Small {
        names: vec!["m.dense.weight".to_owned(), "m.dense.bias".to_owned(), "m.other.weight".to_owned()],
        parameters: shapes.iter().map(|s| wave(s, 0.3)).collect(),
        gradients: shapes.iter().map(|s| wave(s, 1.1)).collect(),
        states: states
            .iter()
            .flat_map(|state| shapes.iter().map(move |shape| state.layout.shape(shape)))
            .map(|shape| Tensor::zeros(shape, (Kind::Float, Device::Cpu)))
            .collect(),
    }
}

/// Two updates from the same start end in the same bits; only what is declared is written.
pub(crate) fn optimizer(subject: &Subject<'_>) -> Result<()> {
    let schema = subject.schema;
    for name in &schema.effects.writes {
        if schema.input(name).is_none() {
            return failed(format!("it writes to `{name}`, which is no input"));
        }
    }
    let after = |rate: f64| -> Result<BTreeMap<&'static str, Vec<Tensor>>> {
        let (world, id) = subject.world(subject.seed())?;
        let Small { names, parameters, gradients, states } = small(subject);
        for step in 1..=2_i64 {
            let list = |tensors: &[Tensor]| {
                Value::List(tensors.iter().map(|t| Value::Tensor(t.shallow_clone())).collect())
            };
            let inputs = [
                ("step", Value::Int(step)),
                ("rate", Value::Real(rate)),
                ("names", Value::Texts(names.clone())),
                ("parameters", list(&parameters)),
                ("gradients", list(&gradients)),
                ("states", list(&states)),
            ];
            let ports: Vec<(&str, &Value)> = inputs.iter().map(|(n, v)| (*n, v)).collect();
            world.call(id, &Subject::scope(true, false), &ports)?;
        }
        Ok(BTreeMap::from([("parameters", parameters), ("gradients", gradients), ("states", states)]))
    };
    let start = small(subject);
    let one = after(0.1)?;
    let other = after(0.1)?;
    let still = after(0.0)?;
    let equal = |a: &[Tensor], b: &[Tensor]| {
        a.iter()
            .zip(b)
            .all(|(a, b)| compare::same(&Value::Tensor(a.shallow_clone()), &Value::Tensor(b.shallow_clone())))
    };
    for (name, tensors) in &one {
        if !equal(tensors, &other[name]) {
            return failed(format!("two equal runs end in different `{name}`"));
        }
        if tensors.iter().any(|t| bool::try_from(t.isnan().any()).unwrap_or(true)) {
            return failed(format!("`{name}` have NaN after two updates"));
        }
        let declared = schema.effects.writes.iter().any(|w| w == name);
        let before = match *name {
            "parameters" => &start.parameters,
            "gradients" => &start.gradients,
            _ => &start.states,
        };
        if !declared && !equal(tensors, before) {
            return failed(format!("it changes `{name}` and does not say so"));
        }
    }
    if equal(&one["parameters"], &start.parameters) {
        return failed("two updates change no parameter");
    }
    if !equal(&still["parameters"], &start.parameters) {
        return failed("it changes parameters at a rate of zero");
    }
    Ok(())
}
