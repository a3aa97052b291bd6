//! The types of parameters and ports, and their text form.
//!
//! A parameter's type: `count`, `fraction`, `one_of("mean", "first")`, `list[real]`,
//! `component(tokenizer)`. A port's type: `float[B, T, hidden]`, `int[B, T]`, `text[B]`, `real`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text that is no type, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {reason}")]
pub struct TypeError {
    /// What stood there.
    pub text: String,
    /// `parameter type`, `port type` or `dimension`.
    pub what: &'static str,
    /// Why not.
    pub reason: String,
}

/// The type of a parameter, of a component or of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// `true` or `false`.
    Bool,
    /// A whole number, of either sign.
    Int,
    /// A number.
    Real,
    /// A whole number of at least zero: steps, layers, sequences.
    Count,
    /// A number of tokens.
    Tokens,
    /// A share; base unit 1, so `15%` is 0.15.
    Fraction,
    /// A difference of fractions; base unit 1, so `1 pt` is 0.01.
    Points,
    /// A time; base unit one second.
    Duration,
    /// An amount of memory; base unit one byte.
    Size,
    /// A string.
    Text,
    /// A path of a local file or folder, relative to the recipe.
    Path,
    /// A URI of an asset, `file:`, `https:`, `hf:` or `pypi:`; reaches the component as such.
    Asset,
    /// One of some strings.
    OneOf(Vec<String>),
    /// Several of one type.
    List(Box<ParameterType>),
    /// A reference to a component of that kind (`any` for every kind); reaches the component as a
    /// handle.
    Component(String),
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Real => f.write_str("real"),
            Self::Count => f.write_str("count"),
            Self::Tokens => f.write_str("tokens"),
            Self::Fraction => f.write_str("fraction"),
            Self::Points => f.write_str("points"),
            Self::Duration => f.write_str("duration"),
            Self::Size => f.write_str("size"),
            Self::Text => f.write_str("text"),
            Self::Path => f.write_str("path"),
            Self::Asset => f.write_str("asset"),
            Self::OneOf(choices) => {
                f.write_str("one_of(")?;
                for (i, choice) in choices.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "\"{choice}\"")?;
                }
                f.write_str(")")
            }
            Self::List(inner) => write!(f, "list[{inner}]"),
            Self::Component(kind) => write!(f, "component({kind})"),
        }
    }
}

impl FromStr for ParameterType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let fail = |reason: &str| TypeError {
            text: text.to_owned(),
            what: "parameter type",
            reason: reason.to_owned(),
        };
        let trimmed = text.trim();
        Ok(match trimmed {
            "bool" => Self::Bool,
            "int" => Self::Int,
            "real" => Self::Real,
            "count" => Self::Count,
            "tokens" => Self::Tokens,
            "fraction" => Self::Fraction,
            "points" => Self::Points,
            "duration" => Self::Duration,
            "size" => Self::Size,
            "text" => Self::Text,
            "path" => Self::Path,
            "asset" => Self::Asset,
            _ => {
                if let Some(inner) = trimmed.strip_prefix("list[").and_then(|r| r.strip_suffix(']')) {
                    Self::List(Box::new(inner.parse()?))
                } else if let Some(kind) =
                    trimmed.strip_prefix("component(").and_then(|r| r.strip_suffix(')'))
                {
                    if !is_name(kind.trim()) {
                        return Err(fail("a kind is a name"));
                    }
                    Self::Component(kind.trim().to_owned())
                } else if let Some(inner) = trimmed.strip_prefix("one_of(").and_then(|r| r.strip_suffix(')'))
                {
                    let choices: Option<Vec<String>> = inner
                        .split(',')
                        .map(|c| Some(c.trim().strip_prefix('"')?.strip_suffix('"')?.to_owned()))
                        .collect();
                    match choices {
                        Some(choices) if choices.iter().all(|c| !c.contains('"')) => Self::OneOf(choices),
                        _ => return Err(fail("choices are strings in quotes, with commas between")),
                    }
                } else {
                    return Err(fail(
                        "types are bool, int, real, count, tokens, fraction, points, duration, size, text, \
                         path, asset, one_of(\"…\"), list[…] and component(kind)",
                    ));
                }
            }
        })
    }
}

/// The element type of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// A tensor of floating point numbers, of the precision of the step.
    Float,
    /// A tensor of 64-bit integers.
    Int,
    /// A tensor of truth values.
    Bool,
    /// A tensor of any of the three.
    Any,
    /// A column of strings.
    Text,
    /// One number that is no tensor.
    Real,
    /// One whole number that is no tensor.
    Integer,
    /// One blob.
    Bytes,
}

impl Dtype {
    /// The text form.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Any => "any",
            Self::Text => "text",
            Self::Real => "real",
            Self::Integer => "integer",
            Self::Bytes => "bytes",
        }
    }

    /// Whether values of this type have a shape.
    pub fn has_shape(self) -> bool {
        matches!(self, Self::Float | Self::Int | Self::Bool | Self::Any | Self::Text)
    }

    /// Whether a value of type `given` may go into a port of this type.
    pub fn accepts(self, given: Dtype) -> bool {
        self == given
            || given == Self::Any && matches!(self, Self::Float | Self::Int | Self::Bool)
            || self == Self::Any && matches!(given, Self::Float | Self::Int | Self::Bool)
    }
}

/// One dimension of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A name: of a parameter, whose value it then is, or a free one, equal wherever it stands in
    /// one call.
    Name(String),
    /// A size.
    Size(i64),
    /// A product.
    Product(Box<Dim>, Box<Dim>),
    /// A quotient, exact.
    Quotient(Box<Dim>, Box<Dim>),
    /// Any number of dimensions, only first.
    Rest,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Size(size) => write!(f, "{size}"),
            Self::Product(a, b) => write!(f, "{a}*{b}"),
            Self::Quotient(a, b) => write!(f, "{a}/{b}"),
            Self::Rest => f.write_str("..."),
        }
    }
}

impl FromStr for Dim {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let fail =
            |reason: &str| TypeError { text: text.to_owned(), what: "dimension", reason: reason.to_owned() };
        let t = text.trim();
        if t == "..." {
            return Ok(Self::Rest);
        }
        // Left-associative: the last operator is the outermost.
        if let Some(at) = t.rfind(['*', '/']) {
            let left: Dim = t[..at].parse()?;
            let right: Dim = t[at + 1..].parse()?;
            if left == Self::Rest || right == Self::Rest {
                return Err(fail("`...` stands alone"));
            }
            let (left, right) = (Box::new(left), Box::new(right));
            return Ok(if t.as_bytes()[at] == b'*' {
                Self::Product(left, right)
            } else {
                Self::Quotient(left, right)
            });
        }
        if let Ok(size) = t.parse::<i64>() {
            return if size >= 0 { Ok(Self::Size(size)) } else { Err(fail("a size is not negative")) };
        }
        if is_name(t) {
            Ok(Self::Name(t.to_owned()))
        } else {
            Err(fail("a name, a size, `a*b`, `a/b` or `...`"))
        }
    }
}

/// The type of a port: `float[B, T, hidden]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortType {
    /// The element type.
    pub dtype: Dtype,
    /// The shape; empty for a scalar and for types without shape.
    pub shape: Vec<Dim>,
}

impl fmt::Display for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dtype.name())?;
        if self.dtype.has_shape() {
            f.write_str("[")?;
            for (i, dim) in self.shape.iter().enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{dim}")?;
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}

impl FromStr for PortType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let fail =
            |reason: &str| TypeError { text: text.to_owned(), what: "port type", reason: reason.to_owned() };
        let t = text.trim();
        let (name, shape) = match t.split_once('[') {
            Some((name, rest)) => {
                (name.trim(), Some(rest.strip_suffix(']').ok_or_else(|| fail("`]` is missing"))?))
            }
            None => (t, None),
        };
        let dtype = match name {
            "float" => Dtype::Float,
            "int" => Dtype::Int,
            "bool" => Dtype::Bool,
            "any" => Dtype::Any,
            "text" => Dtype::Text,
            "real" => Dtype::Real,
            "integer" => Dtype::Integer,
            "bytes" => Dtype::Bytes,
            _ => return Err(fail("element types are float, int, bool, any, text, real, integer and bytes")),
        };
        let shape = match (dtype.has_shape(), shape) {
            (true, None) => return Err(fail("the shape is missing; a scalar is `float[]`")),
            (false, Some(_)) => return Err(fail("this element type has no shape")),
            (false, None) => Vec::new(),
            (true, Some(inner)) if inner.trim().is_empty() => Vec::new(),
            (true, Some(inner)) => inner.split(',').map(str::parse).collect::<Result<Vec<Dim>, _>>()?,
        };
        if shape.iter().skip(1).any(|d| *d == Dim::Rest) {
            return Err(fail("`...` may only stand first"));
        }
        Ok(Self { dtype, shape })
    }
}

/// Whether the text is a name: a letter or `_`, then letters, digits and `_`.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

macro_rules! as_text {
    ($($t:ty),*) => {$(
        impl Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(ParameterType, PortType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_they_are_read() {
        for text in
            ["bool", "count", "one_of(\"mean\", \"first\")", "list[list[real]]", "component(tokenizer)"]
        {
            assert_eq!(text.parse::<ParameterType>().unwrap().to_string(), text);
        }
        for text in ["float[]", "float[B, T, hidden/heads]", "int[..., 2]", "text[B]", "real", "any[a*b/c]"] {
            assert_eq!(text.parse::<PortType>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_types_say_why() {
        for text in ["", "float", "real[B]", "int[B, ...]", "float[B", "float[-1]", "int[a b]"] {
            assert!(text.parse::<PortType>().is_err(), "{text}");
        }
        for text in ["", "number", "list[", "one_of(a)", "component()"] {
            assert!(text.parse::<ParameterType>().is_err(), "{text}");
        }
    }
}
