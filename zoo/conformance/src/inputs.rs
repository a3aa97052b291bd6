//! Inputs made up from a schema.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};
use zoo_host::Value;
use zoo_schema::{Component, Dim, Dtype, Port};

/// Inputs of one call, with the sizes that their dimensions have.
pub(crate) struct Inputs {
    pub(crate) values: Vec<(String, Value)>,
    pub(crate) sizes: BTreeMap<String, i64>,
}

impl Inputs {
    /// As a call takes them.
    pub(crate) fn ports(&self) -> Vec<(&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value)).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The same values again, sharing memory.
    pub(crate) fn again(&self) -> Self {
        let values = self.values.iter().map(|(n, v)| (n.clone(), v.shallow_clone())).collect();
        Self { values, sizes: self.sizes.clone() }
    }

    pub(crate) fn replace(&mut self, name: &str, value: Value) {
        if let Some(slot) = self.values.iter_mut().find(|(n, _)| n == name) {
            slot.1 = value;
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.values.retain(|(n, _)| n != name);
    }
}

/// What is asked of made-up inputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Sizes of dimensions; others are drawn.
    pub(crate) sizes: BTreeMap<String, i64>,
    /// Whether optional inputs are there; drawn where it does not say.
    pub(crate) optional: Option<bool>,
    /// Element type of floating point inputs.
    pub(crate) kind: Option<Kind>,
    /// Masks hide nothing.
    pub(crate) full_masks: bool,
}

/// Whether the port takes 1 where something counts and 0 where not.
pub(crate) fn is_mask(port: &Port) -> bool {
    let name = port.name.as_str();
    matches!(port.kind.dtype, Dtype::Int | Dtype::Bool | Dtype::Float)
        && (name.contains("mask") || name == "keep" || name == "valid")
}

/// Whether the port takes flat places b * T + t.
pub(crate) fn is_positions(port: &Port) -> bool {
    port.kind.dtype == Dtype::Int && port.kind.shape.len() == 1 && port.name.contains("positions")
}

/// Whether the port tells the document of every token.
pub(crate) fn is_documents(port: &Port) -> bool {
    port.kind.dtype == Dtype::Int && port.kind.shape.len() == 2 && port.name.contains("document")
}

/// The name of a dimension that runs over every place b * T + t: what is free beside ids `[B, T]`
/// where no places are chosen.
pub(crate) fn all_places(schema: &Component) -> Option<&str> {
    let name = |dim: Option<&'_ Dim>| -> Option<String> {
        match dim {
            Some(Dim::Name(name)) => Some(name.clone()),
            _ => None,
        }
    };
    let sequences = schema.inputs.iter().any(|p| {
        p.kind.shape.len() == 2
            && name(p.kind.shape.first()).as_deref() == Some("B")
            && name(p.kind.shape.get(1)).as_deref() == Some("T")
    });
    if !sequences || schema.inputs.iter().any(is_positions) {
        return None;
    }
    schema.inputs.iter().find_map(|p| match p.kind.shape.first() {
        Some(Dim::Name(name)) if p.kind.dtype == Dtype::Float && name == "M" => Some(name.as_str()),
        _ => None,
    })
}

/// Names of free dimensions in a port's shape.
fn names<'a>(dim: &'a Dim, found: &mut Vec<&'a str>) {
    match dim {
        Dim::Name(name) => found.push(name),
        Dim::Product(a, b) | Dim::Quotient(a, b) => {
            names(a, found);
            names(b, found);
        }
        Dim::Size(_) | Dim::Rest => {}
    }
}

pub(crate) fn size_of(dim: &Dim, sizes: &BTreeMap<String, i64>) -> Option<i64> {
    Some(match dim {
        Dim::Name(name) => *sizes.get(name)?,
        Dim::Size(size) => *size,
        Dim::Product(a, b) => size_of(a, sizes)? * size_of(b, sizes)?,
        Dim::Quotient(a, b) => {
            let (a, b) = (size_of(a, sizes)?, size_of(b, sizes)?);
            if b == 0 || a % b != 0 {
                return None;
            }
            a / b
        }
        Dim::Rest => return None,
    })
}

/// Random inputs of a component with these parameters.
pub(crate) fn make(
    schema: &Component,
    parameters: &Map<String, Json>,
    wish: &Wish,
    seed: u64,
) -> Result<Inputs, String> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut sizes = wish.sizes.clone();
    for (name, value) in parameters {
        if let Some(size) = value.as_i64() {
            sizes.insert(name.clone(), size);
        }
    }
    let flat = schema.inputs.iter().find(|p| is_positions(p));
    let mut free: Vec<&str> = Vec::new();
    schema.inputs.iter().flat_map(|p| &p.kind.shape).for_each(|dim| names(dim, &mut free));
    for name in free {
        if sizes.contains_key(name) {
            continue;
        }
        let size = match name {
            "B" => random.random_range(2..5),
            "T" => random.random_range(3..9),
            _ => random.random_range(2..7),
        };
        sizes.insert(name.to_owned(), size);
    }
    // Places are distinct: there are no more of them than there is room.
    if let Some(port) = flat
        && let [Dim::Name(name)] = port.kind.shape.as_slice()
        && let (Some(rows), Some(length)) = (sizes.get("B").copied(), sizes.get("T").copied())
        && !wish.sizes.contains_key(name)
    {
        sizes.insert(name.clone(), random.random_range(1..=rows * length));
    }
    if let Some(name) = all_places(schema)
        && let (Some(rows), Some(length)) = (sizes.get("B").copied(), sizes.get("T").copied())
    {
        sizes.insert(name.to_owned(), rows * length);
    }
    let mut values = Vec::new();
    for port in &schema.inputs {
        let there = wish.optional.unwrap_or_else(|| random.random_bool(0.5));
        if port.optional && !there {
            continue;
        }
        let count = if port.repeated { 2 } else { 1 };
        for _ in 0..count {
            let value = one(schema, port, parameters, &sizes, wish, &mut random)?;
            values.push((port.name.clone(), value));
        }
    }
    Ok(Inputs { values, sizes })
}

const WORDS: [&str; 12] =
    ["the", "a", "naïve", "cat", "Über", "sat", "on", "mat", "and", "日本", "slept", "don't"];

fn sentence(random: &mut impl Rng) -> String {
    let length = random.random_range(8..20);
    let words: Vec<&str> = (0..length).map(|_| WORDS[random.random_range(0..WORDS.len())]).collect();
    words.join(" ")
}

fn one(
    schema: &Component,
    port: &Port,
    parameters: &Map<String, Json>,
    sizes: &BTreeMap<String, i64>,
    wish: &Wish,
    random: &mut ChaCha8Rng,
) -> Result<Value, String> {
    let mut shape = Vec::new();
    for dim in &port.kind.shape {
        match dim {
            Dim::Rest => shape.push(2),
            dim => {
                shape.push(size_of(dim, sizes).ok_or_else(|| format!("the size of `{dim}` is not known"))?)
            }
        }
    }
    let count = shape.iter().product::<i64>().max(0) as usize;
    let tensor =
        |values: Tensor| values.f_view(shape.as_slice()).map(Value::Tensor).map_err(|e| e.to_string());
    if is_mask(port) && !shape.is_empty() {
        let ones = mask(&shape, wish.full_masks, random);
        let values = Tensor::from_slice(&ones);
        return tensor(match port.kind.dtype {
            Dtype::Bool => values.to_kind(Kind::Bool),
            Dtype::Float => values.to_kind(wish.kind.unwrap_or(Kind::Float)),
            _ => values,
        });
    }
    match port.kind.dtype {
        Dtype::Float | Dtype::Any => {
            let values: Vec<f32> = (0..count).map(|_| normal(random)).collect();
            tensor(Tensor::from_slice(&values).to_kind(wish.kind.unwrap_or(Kind::Float)))
        }
        Dtype::Bool => {
            let values: Vec<i64> = (0..count).map(|_| i64::from(random.random_bool(0.5))).collect();
            tensor(Tensor::from_slice(&values).to_kind(Kind::Bool))
        }
        Dtype::Int if is_documents(port) => {
            let last = *shape.last().unwrap_or(&1);
            tensor(Tensor::from_slice(&(0..count as i64).map(|i| i % last / 3 + 1).collect::<Vec<_>>()))
        }
        Dtype::Int if is_positions(port) => {
            let room = sizes.get("B").copied().unwrap_or(1) * sizes.get("T").copied().unwrap_or(count as i64);
            let mut places: Vec<i64> = (0..room).collect();
            for i in (1..places.len()).rev() {
                places.swap(i, random.random_range(0..=i));
            }
            places.truncate(count);
            places.sort_unstable();
            tensor(Tensor::from_slice(&places))
        }
        Dtype::Int => {
            let limit = limit(schema, port, parameters, sizes);
            let values: Vec<i64> = (0..count).map(|_| random.random_range(0..limit)).collect();
            tensor(Tensor::from_slice(&values))
        }
        Dtype::Text => Ok(Value::Texts((0..count).map(|_| sentence(random)).collect())),
        Dtype::Real => Ok(Value::Real(random.random_range(0.1..1.0))),
        Dtype::Integer => Ok(Value::Int(random.random_range(1..10))),
        Dtype::Bytes => Ok(Value::Bytes(sentence(random).into_bytes())),
    }
}

fn normal(random: &mut impl Rng) -> f32 {
    // The sum of twelve uniform numbers is close enough to normal.
    (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0
}

/// Rows that begin with ones and end with zeros; the first one is all ones.
fn mask(shape: &[i64], full: bool, random: &mut impl Rng) -> Vec<i64> {
    let last = *shape.last().unwrap_or(&1);
    let rows = if last == 0 { 0 } else { shape.iter().product::<i64>() / last };
    (0..rows)
        .flat_map(|row| {
            let length = if full || row == 0 { last } else { random.random_range(1..=last) };
            (0..last).map(move |place| i64::from(place < length))
        })
        .collect()
}

/// One more than the largest value that an integer port takes.
fn limit(
    schema: &Component,
    port: &Port,
    parameters: &Map<String, Json>,
    sizes: &BTreeMap<String, i64>,
) -> i64 {
    let parameter = |name: &str| parameters.get(name).and_then(Json::as_i64).filter(|v| *v > 0);
    if port.name.contains("segment") || port.name.contains("token_type") {
        return parameter("segments").unwrap_or(2);
    }
    // Scores over classes say how many there are.
    let scores = schema.inputs.iter().find(|p| {
        p.kind.dtype == Dtype::Float
            && (p.name.contains("logits") || p.name.contains("scores"))
            && p.kind.shape.len() > 1
    });
    let classes = scores.and_then(|p| size_of(p.kind.shape.last()?, sizes));
    let known = ["vocabulary", "classes", "labels", "tokens"].iter().find_map(|name| parameter(name));
    let dimension = ["V", "vocabulary", "C"].iter().find_map(|name| sizes.get(*name).copied());
    classes.or(known).or(dimension).unwrap_or(5).max(1)
}
