//! Values against the ports of a schema: type, number of dimensions, and sizes, where a name stands
//! for one size throughout a call.

use crate::error::Fault;
use crate::value::Value;
use tch::Kind;
use zoo_schema::{Dim, Dtype, Port};

/// Sizes of names: of parameters, and of dimensions seen so far in this call.
pub(crate) struct Sizes<'a> {
    parameters: &'a [(String, i64)],
    seen: Vec<(&'a str, i64)>,
}

impl<'a> Sizes<'a> {
    pub(crate) fn new(parameters: &'a [(String, i64)]) -> Self {
        Self { parameters, seen: Vec::new() }
    }

    fn of(&self, name: &str) -> Option<i64> {
        let seen = self.seen.iter().find(|(n, _)| *n == name).map(|(_, s)| *s);
        seen.or_else(|| self.parameters.iter().find(|(n, _)| n == name).map(|(_, s)| *s))
    }

    fn value(&self, dim: &Dim) -> Option<i64> {
        match dim {
            Dim::Name(name) => self.of(name),
            Dim::Size(size) => Some(*size),
            Dim::Product(a, b) => self.value(a)?.checked_mul(self.value(b)?),
            Dim::Quotient(a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                (b != 0 && a % b == 0).then(|| a / b)
            }
            Dim::Rest => None,
        }
    }

    /// Whether a dimension may have this size; a name without one takes it.
    fn unify(&mut self, dim: &'a Dim, size: i64) -> Result<(), i64> {
        match (self.value(dim), dim) {
            (Some(expected), _) if expected == size => Ok(()),
            (Some(expected), _) => Err(expected),
            (None, Dim::Name(name)) => {
                self.seen.push((name, size));
                Ok(())
            }
            (None, Dim::Product(a, b)) => {
                // One factor known gives the other.
                for (known, other) in [(a, b), (b, a)] {
                    if let Some(factor) = self.value(known)
                        && factor != 0
                        && size % factor == 0
                        && self.value(other).is_none()
                    {
                        return self.unify(other, size / factor);
                    }
                }
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn shape(&mut self, dims: &'a [Dim], sizes: &[i64]) -> Result<(), String> {
        let (dims, sizes) = match dims.first() {
            Some(Dim::Rest) => {
                let fixed = &dims[1..];
                if sizes.len() < fixed.len() {
                    return Err(format!("it has {} dimensions", sizes.len()));
                }
                (fixed, &sizes[sizes.len() - fixed.len()..])
            }
            _ if dims.len() != sizes.len() => {
                let plural = if sizes.len() == 1 { "" } else { "s" };
                return Err(format!("{} dimension{plural}", sizes.len()));
            }
            _ => (dims, sizes),
        };
        for (dim, size) in dims.iter().zip(sizes) {
            self.unify(dim, *size).map_err(|expected| format!("{size} where `{dim}` is {expected}"))?;
        }
        Ok(())
    }

    fn one(&mut self, direction: &'static str, port: &'a Port, value: &Value) -> Result<(), Fault> {
        let wrong = |detail: Option<String>| Fault::Type {
            direction,
            port: port.name.clone(),
            found: match detail {
                Some(detail) => format!("{} ({detail})", value.describe()),
                None => value.describe(),
            },
            expected: format!("`{}`", port.kind),
        };
        match (port.kind.dtype, value) {
            (dtype @ (Dtype::Float | Dtype::Int | Dtype::Bool | Dtype::Any), Value::Tensor(tensor)) => {
                let kind = tensor.f_kind().map_err(|_| wrong(None))?;
                let found = match kind {
                    Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16 => Dtype::Float,
                    Kind::Int64 => Dtype::Int,
                    Kind::Bool => Dtype::Bool,
                    _ => return Err(wrong(None)),
                };
                if dtype != Dtype::Any && dtype != found {
                    return Err(wrong(None));
                }
                self.shape(&port.kind.shape, &tensor.size()).map_err(|detail| wrong(Some(detail)))
            }
            (Dtype::Text, Value::Texts(texts)) => self
                .shape(&port.kind.shape, &[i64::try_from(texts.len()).unwrap_or(i64::MAX)])
                .map_err(|detail| wrong(Some(detail))),
            (Dtype::Real, Value::Real(_) | Value::Int(_))
            | (Dtype::Integer, Value::Int(_))
            | (Dtype::Bytes, Value::Bytes(_)) => Ok(()),
            _ => Err(wrong(None)),
        }
    }

    /// Checks the value of a port; `repeats` where several may stand.
    pub(crate) fn check(
        &mut self,
        direction: &'static str,
        port: &'a Port,
        repeats: bool,
        value: &Value,
    ) -> Result<(), Fault> {
        match value {
            Value::List(values) if repeats => {
                // Names are free in each value of a port that repeats: parameters of a model differ.
                let seen = self.seen.len();
                let given = values.iter().try_for_each(|value| {
                    self.seen.truncate(seen);
                    self.one(direction, port, value)
                });
                self.seen.truncate(seen);
                given
            }
            _ if repeats => Err(Fault::Type {
                direction,
                port: port.name.clone(),
                found: value.describe(),
                expected: format!("a list of `{}`", port.kind),
            }),
            _ => self.one(direction, port, value),
        }
    }
}

/// How many values of the tensors in it are no number.
pub(crate) fn not_numbers(value: &Value) -> i64 {
    match value {
        Value::Tensor(tensor)
            if tensor
                .f_kind()
                .is_ok_and(|k| matches!(k, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)) =>
        {
            let _no_gradients = tch::no_grad_guard();
            tensor
                .f_isnan()
                .and_then(|nan| nan.f_sum(Kind::Int64))
                .map(|sum| sum.int64_value(&[]))
                .unwrap_or(0)
        }
        Value::Real(real) if real.is_nan() => 1,
        Value::List(values) => values.iter().map(not_numbers).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Tensor};

    fn port(kind: &str) -> Port {
        Port {
            name: "x".to_owned(),
            kind: kind.parse().unwrap(),
            optional: false,
            repeated: false,
            better: None,
            columns_from: None,
            unit: None,
            doc: String::new(),
        }
    }

    fn zeros(shape: &[i64], kind: Kind) -> Value {
        Value::Tensor(Tensor::zeros(shape, (kind, Device::Cpu)))
    }

    #[test]
    fn types_and_shapes_are_held_against_the_schema() {
        let parameters = [("hidden".to_owned(), 8), ("heads".to_owned(), 2)];
        let cases: [(&str, Value, &str); 12] = [
            ("float[B, hidden]", zeros(&[3, 8], Kind::Float), ""),
            ("float[B, hidden]", zeros(&[3, 7], Kind::Float), "7 where `hidden` is 8"),
            ("float[B, hidden]", zeros(&[8], Kind::Float), "1 dimension)"),
            ("float[B, hidden/heads]", zeros(&[3, 4], Kind::BFloat16), ""),
            ("float[B, B]", zeros(&[3, 4], Kind::Float), "4 where `B` is 3"),
            ("float[..., hidden]", zeros(&[1, 2, 3, 8], Kind::Float), ""),
            ("float[B*heads, B]", zeros(&[6, 4], Kind::Float), "4 where `B` is 3"),
            ("int[]", zeros(&[], Kind::Int64), ""),
            ("int[]", zeros(&[], Kind::Int), "Int"),
            ("int[]", zeros(&[], Kind::Float), "Float"),
            ("any[B]", zeros(&[2], Kind::Bool), ""),
            ("real", Value::Bytes(vec![]), "a blob"),
        ];
        for (kind, value, expected) in cases {
            let port = port(kind);
            let mut sizes = Sizes::new(&parameters);
            match sizes.check("output", &port, false, &value) {
                Ok(()) => assert_eq!(expected, "", "{kind}"),
                Err(fault) => {
                    let text = fault.to_string();
                    assert!(!expected.is_empty() && text.contains(expected), "{kind}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_port_that_repeats_takes_tensors_of_different_sizes() {
        let port = port("float[N]");
        let list = Value::List(vec![zeros(&[1], Kind::Float), zeros(&[5], Kind::Float)]);
        Sizes::new(&[]).check("input", &port, true, &list).unwrap();
        assert!(Sizes::new(&[]).check("input", &port, true, &zeros(&[1], Kind::Float)).is_err());
        assert!(Sizes::new(&[]).check("input", &port, false, &list).is_err());
    }
}
