//! Values that go into a component and come out of it.

use tch::Tensor;

/// One input or output.
#[derive(Debug)]
pub enum Value {
    /// A tensor; its handle is the host's own.
    Tensor(Tensor),
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// A blob.
    Bytes(Vec<u8>),
    /// A column of strings.
    Texts(Vec<String>),
    /// Several values of one port that repeats.
    List(Vec<Value>),
}

impl Value {
    /// What it is, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Tensor(tensor) => match tensor.f_kind() {
                Ok(kind) => format!("a tensor of {kind:?} {:?}", tensor.size()),
                Err(_) => "a tensor of unknown type".to_owned(),
            },
            Self::Int(_) => "a whole number".to_owned(),
            Self::Real(_) => "a number".to_owned(),
            Self::Bytes(_) => "a blob".to_owned(),
            Self::Texts(_) => "a column of strings".to_owned(),
            Self::List(values) => format!("a list of {}", values.len()),
        }
    }

    /// The same value again; tensors share their memory and history.
    pub fn shallow_clone(&self) -> Self {
        match self {
            Self::Tensor(tensor) => Self::Tensor(tensor.shallow_clone()),
            Self::Int(value) => Self::Int(*value),
            Self::Real(value) => Self::Real(*value),
            Self::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Self::Texts(texts) => Self::Texts(texts.clone()),
            Self::List(values) => Self::List(values.iter().map(Self::shallow_clone).collect()),
        }
    }

    /// The tensor, if it is one.
    pub fn tensor(&self) -> Option<&Tensor> {
        match self {
            Self::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The number, if it is one, whole or not.
    pub fn real(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($ty:ty => $variant:ident),*) => {$(
        impl From<$ty> for Value {
            fn from(value: $ty) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}
from!(Tensor => Tensor, i64 => Int, f64 => Real, Vec<u8> => Bytes, Vec<String> => Texts, Vec<Value> => List);

/// The outputs of a call, in the order of the component's schema.
#[derive(Debug)]
pub struct Outputs {
    pub(crate) names: std::sync::Arc<[String]>,
    pub(crate) values: Vec<Option<Value>>,
}

impl Outputs {
    /// The output of that name, where it was wanted and is there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.names.iter().position(|n| n == name)?;
        self.values.get(at)?.as_ref()
    }

    /// Takes the output of that name out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.names.iter().position(|n| n == name)?;
        self.values.get_mut(at)?.take()
    }

    /// Takes the tensor of that name out.
    pub fn take_tensor(&mut self, name: &str) -> Option<Tensor> {
        match self.take(name)? {
            Value::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Names and values, in the order of the schema.
    pub fn into_pairs(self) -> impl Iterator<Item = (String, Option<Value>)> {
        let names: Vec<String> = self.names.to_vec();
        names.into_iter().zip(self.values)
    }

    /// The values in the order of the schema.
    pub fn into_values(self) -> Vec<Option<Value>> {
        self.values
    }
}
