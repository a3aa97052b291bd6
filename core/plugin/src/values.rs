//! Values that cross the boundary: inputs as they come, outputs as they go.
//!
//! One of the SDK's boundary modules: it may hold `unsafe`.

use crate::error::{Error, Result};
use std::mem::ManuallyDrop;
use tch::Tensor;
use zoo_abi::{List, Owned, Payload, Value, tag};

/// A column of strings, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    offsets: &'a [u8],
    data: &'a [u8],
    count: usize,
}

impl<'a> Texts<'a> {
    /// Reads the encoding of [`tag::TEXTS`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let wrong = || Error::new("a column of strings is not encoded as the ABI says");
        let number = |at: usize| -> Result<usize> {
            let eight = bytes.get(at * 8..at * 8 + 8).ok_or_else(wrong)?;
            usize::try_from(u64::from_le_bytes(eight.try_into().map_err(|_| wrong())?)).map_err(|_| wrong())
        };
        let count = number(0)?;
        let head = count
            .checked_add(2)
            .and_then(|n| n.checked_mul(8))
            .filter(|n| *n <= bytes.len())
            .ok_or_else(wrong)?;
        let data = &bytes[head..];
        let text = std::str::from_utf8(data).map_err(|_| wrong())?;
        let mut before = 0;
        for i in 0..=count {
            let offset = number(i + 1)?;
            if offset < before || !text.is_char_boundary(offset) {
                return Err(wrong());
            }
            before = offset;
        }
        Ok(Self { offsets: &bytes[8..head], data, count })
    }

    /// Writes the encoding of [`tag::TEXTS`].
    pub fn encode<S: AsRef<str>>(texts: &[S]) -> Vec<u8> {
        let total: usize = texts.iter().map(|t| t.as_ref().len()).sum();
        let mut bytes = Vec::with_capacity(texts.len() * 8 + 16 + total);
        bytes.extend_from_slice(&(texts.len() as u64).to_le_bytes());
        let mut offset = 0_u64;
        bytes.extend_from_slice(&offset.to_le_bytes());
        for text in texts {
            offset += text.as_ref().len() as u64;
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        for text in texts {
            bytes.extend_from_slice(text.as_ref().as_bytes());
        }
        bytes
    }

    /// How many strings.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The string of row `i`; empty beyond the end.
    pub fn get(&self, i: usize) -> &'a str {
        let offset = |i: usize| {
            let eight = self.offsets.get(i * 8..i * 8 + 8).and_then(|b| b.try_into().ok()).unwrap_or([0; 8]);
            u64::from_le_bytes(eight) as usize
        };
        if i >= self.count {
            return "";
        }
        self.data.get(offset(i)..offset(i + 1)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let this = *self;
        (0..this.count).map(move |i| this.get(i))
    }
}

/// One input.
#[derive(Debug)]
pub enum Port<'a> {
    /// A borrowed tensor: dropping it would free what the host owns.
    Tensor(ManuallyDrop<Tensor>),
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// A blob.
    Bytes(&'a [u8]),
    /// A column of strings.
    Texts(Texts<'a>),
    /// Several values.
    List(Vec<Port<'a>>),
}

fn mismatch(name: &str, expected: &str) -> Error {
    Error::new(format!("input `{name}` is not {expected}")).at(format!("in.{name}"))
}

impl Port<'_> {
    /// The tensor, or an error that names the port.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            _ => Err(mismatch(name, "a tensor")),
        }
    }

    /// The whole number.
    pub fn integer(&self, name: &str) -> Result<i64> {
        match self {
            Self::Int(value) => Ok(*value),
            _ => Err(mismatch(name, "a whole number")),
        }
    }

    /// The number.
    pub fn real(&self, name: &str) -> Result<f64> {
        match self {
            Self::Real(value) => Ok(*value),
            Self::Int(value) => Ok(*value as f64),
            _ => Err(mismatch(name, "a number")),
        }
    }
}

impl<'a> Port<'a> {
    /// The blob.
    pub fn bytes(&self, name: &str) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(mismatch(name, "a blob")),
        }
    }

    /// The column of strings.
    pub fn texts(&self, name: &str) -> Result<Texts<'a>> {
        match self {
            Self::Texts(texts) => Ok(*texts),
            _ => Err(mismatch(name, "a column of strings")),
        }
    }

    /// # Safety
    /// The value and all it points to must live as long as `'a`, as the ABI promises for inputs.
    unsafe fn from_value(value: &Value) -> Result<Option<Self>> {
        // SAFETY: the tag says which field of the union is set, and the caller vouches for lifetimes.
        unsafe {
            Ok(Some(match value.tag {
                tag::NONE => return Ok(None),
                tag::TENSOR if !value.payload.tensor.0.is_null() => {
                    Self::Tensor(ManuallyDrop::new(Tensor::from_ptr(value.payload.tensor.0.cast())))
                }
                tag::INT => Self::Int(value.payload.int),
                tag::REAL => Self::Real(value.payload.real),
                tag::BYTES | tag::TEXTS if !value.payload.bytes.is_null() => {
                    let owned = &*value.payload.bytes;
                    let bytes: &'a [u8] = if owned.ptr.is_null() {
                        &[]
                    } else {
                        std::slice::from_raw_parts(owned.ptr, owned.len)
                    };
                    if value.tag == tag::BYTES {
                        Self::Bytes(bytes)
                    } else {
                        Self::Texts(Texts::decode(bytes)?)
                    }
                }
                tag::LIST if !value.payload.list.is_null() => {
                    let list = &*value.payload.list;
                    let mut ports = Vec::with_capacity(list.len);
                    for i in 0..list.len {
                        if let Some(port) = Self::from_value(&*list.ptr.add(i))? {
                            ports.push(port);
                        }
                    }
                    Self::List(ports)
                }
                other => return Err(Error::new(format!("the host sent a value with tag {other}"))),
            }))
        }
    }
}

/// The inputs of a call, in schema order, by name.
#[derive(Debug)]
pub struct Inputs<'a> {
    names: &'a [String],
    ports: &'a [Option<Port<'a>>],
}

impl<'a> Inputs<'a> {
    /// Pairs names with values.
    pub fn new(names: &'a [String], ports: &'a [Option<Port<'a>>]) -> Self {
        Self { names, ports }
    }

    /// The input of that name, where one came.
    pub fn optional(&self, name: &str) -> Option<&'a Port<'a>> {
        let at = self.names.iter().position(|n| n == name)?;
        self.ports.get(at)?.as_ref()
    }

    /// The input of that name, or an error that names it.
    pub fn required(&self, name: &str) -> Result<&'a Port<'a>> {
        self.optional(name)
            .ok_or_else(|| Error::new(format!("input `{name}` is missing")).at(format!("in.{name}")))
    }

    /// All values of a port that repeats.
    pub fn repeated<T>(&self, name: &str, read: impl Fn(&'a Port<'a>) -> Result<T>) -> Result<Vec<T>> {
        match self.optional(name) {
            None => Ok(Vec::new()),
            Some(Port::List(list)) => list.iter().map(read).collect(),
            Some(single) => Ok(vec![read(single)?]),
        }
    }
}

/// # Safety
/// `ins` points to `count` values that live as long as `'a`.
pub(crate) unsafe fn read_inputs<'a>(ins: *const Value, count: usize) -> Result<Vec<Option<Port<'a>>>> {
    // SAFETY: as the caller vouches.
    (0..count).map(|i| unsafe { Port::from_value(&*ins.add(i)) }).collect()
}

/// One output.
#[derive(Debug)]
pub enum Output {
    /// A tensor.
    Tensor(Tensor),
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// A blob.
    Bytes(Vec<u8>),
    /// A column of strings.
    Texts(Vec<String>),
    /// Several values.
    List(Vec<Output>),
}

/// Makes an [`Output`] of a field of an outputs struct.
pub trait IntoOutput {
    /// The output, or nothing where an optional one is absent.
    fn into_output(self) -> Option<Output>;
}

macro_rules! into_output {
    ($($ty:ty => $variant:ident),*) => {$(
        impl IntoOutput for $ty {
            fn into_output(self) -> Option<Output> {
                Some(Output::$variant(self))
            }
        }
    )*};
}
into_output!(Tensor => Tensor, i64 => Int, f64 => Real, Vec<u8> => Bytes, Vec<String> => Texts);

impl<T: IntoOutput> IntoOutput for Option<T> {
    fn into_output(self) -> Option<Output> {
        self.and_then(IntoOutput::into_output)
    }
}

impl IntoOutput for Vec<Tensor> {
    fn into_output(self) -> Option<Output> {
        Some(Output::List(self.into_iter().map(Output::Tensor).collect()))
    }
}

impl IntoOutput for Vec<Vec<String>> {
    fn into_output(self) -> Option<Output> {
        Some(Output::List(self.into_iter().map(Output::Texts).collect()))
    }
}

/// The outputs struct of a component.
pub trait Outputs {
    /// The values in schema order.
    fn into_outputs(self) -> Vec<Option<Output>>;
}

unsafe extern "C" fn free_bytes(owned: *mut Owned) {
    // SAFETY: only set on an `Owned` that `owned_bytes` filled, and called once.
    unsafe {
        let owned = &mut *owned;
        if !owned.ptr.is_null() {
            drop(Vec::from_raw_parts(owned.ptr, owned.len, owned.cap));
            owned.ptr = std::ptr::null_mut();
        }
        owned.free = None;
    }
}

unsafe extern "C" fn free_boxed(owned: *mut Owned) {
    // SAFETY: only set on an `Owned` that `boxed_bytes` made, and called once.
    unsafe {
        free_bytes(owned);
        drop(Box::from_raw(owned));
    }
}

unsafe extern "C" fn free_list(list: *mut List) {
    // SAFETY: only set on a `List` that `write_output` made, and called once.
    unsafe {
        let list = Box::from_raw(list);
        drop(Vec::from_raw_parts(list.ptr, list.len, list.len));
    }
}

pub(crate) fn owned_bytes(bytes: Vec<u8>) -> Owned {
    let mut bytes = ManuallyDrop::new(bytes);
    Owned { ptr: bytes.as_mut_ptr(), len: bytes.len(), cap: bytes.capacity(), free: Some(free_bytes) }
}

fn boxed_bytes(bytes: Vec<u8>) -> *mut Owned {
    let mut owned = owned_bytes(bytes);
    owned.free = Some(free_boxed);
    Box::into_raw(Box::new(owned))
}

pub(crate) fn to_value(output: Output) -> Value {
    let (tag, payload) = match output {
        Output::Tensor(tensor) => {
            let mut tensor = ManuallyDrop::new(tensor);
            (tag::TENSOR, Payload { tensor: zoo_abi::Tensor(tensor.as_mut_ptr().cast()) })
        }
        Output::Int(int) => (tag::INT, Payload { int }),
        Output::Real(real) => (tag::REAL, Payload { real }),
        Output::Bytes(bytes) => (tag::BYTES, Payload { bytes: boxed_bytes(bytes) }),
        Output::Texts(texts) => (tag::TEXTS, Payload { bytes: boxed_bytes(Texts::encode(&texts)) }),
        Output::List(list) => {
            let values: Vec<Value> = list.into_iter().map(to_value).collect();
            let mut values = ManuallyDrop::new(values.into_boxed_slice());
            let list = List { ptr: values.as_mut_ptr(), len: values.len(), free: Some(free_list) };
            (tag::LIST, Payload { list: Box::into_raw(Box::new(list)) })
        }
    };
    Value { tag, reserved: 0, payload }
}

/// Takes over an output that the host gave.
///
/// # Safety
/// The value must come from the host as an output and not be used again.
pub(crate) unsafe fn take_output(value: &Value) -> Result<Option<Output>> {
    // SAFETY: an output is owned by its receiver; tags say which field is set.
    unsafe {
        Ok(Some(match value.tag {
            tag::NONE | tag::WANTED => return Ok(None),
            tag::TENSOR => Output::Tensor(Tensor::from_ptr(value.payload.tensor.0.cast())),
            tag::INT => Output::Int(value.payload.int),
            tag::REAL => Output::Real(value.payload.real),
            tag::BYTES | tag::TEXTS => {
                let owned = value.payload.bytes;
                let bytes = std::slice::from_raw_parts((*owned).ptr, (*owned).len).to_vec();
                if let Some(free) = (*owned).free {
                    free(owned);
                }
                if value.tag == tag::BYTES {
                    Output::Bytes(bytes)
                } else {
                    Output::Texts(Texts::decode(&bytes)?.iter().map(str::to_owned).collect())
                }
            }
            tag::LIST => {
                let list = value.payload.list;
                let mut outputs = Vec::new();
                for i in 0..(*list).len {
                    outputs.extend(take_output(&*(*list).ptr.add(i))?);
                }
                if let Some(free) = (*list).free {
                    free(list);
                }
                Output::List(outputs)
            }
            other => return Err(Error::new(format!("the host sent a value with tag {other}"))),
        }))
    }
}

/// Named columns of a data source.
#[derive(Debug, Default)]
pub struct Columns {
    /// Name and values, in schema order.
    pub columns: Vec<(String, Output)>,
}

impl Columns {
    /// The strings of a text column.
    pub fn texts(&self, name: &str) -> Result<&[String]> {
        match self.columns.iter().find(|(n, _)| n == name) {
            Some((_, Output::Texts(texts))) => Ok(texts),
            Some(_) => Err(Error::new(format!("column `{name}` holds no strings"))),
            None => Err(self.missing(name)),
        }
    }

    /// The tensor of a column.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        match self.columns.iter().find(|(n, _)| n == name) {
            Some((_, Output::Tensor(tensor))) => Ok(tensor),
            Some(_) => Err(Error::new(format!("column `{name}` is no tensor"))),
            None => Err(self.missing(name)),
        }
    }

    fn missing(&self, name: &str) -> Error {
        let names: Vec<&str> = self.columns.iter().map(|(n, _)| n.as_str()).collect();
        Error::new(format!("there is no column `{name}`; there are {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_went() {
        let bytes = Texts::encode(&["", "naïve", "b"]);
        let texts = Texts::decode(&bytes).unwrap();
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["", "naïve", "b"]);
        assert_eq!(texts.get(7), "");
    }

    #[test]
    fn broken_texts_are_errors() {
        let good = Texts::encode(&["naïve"]);
        for cut in 0..good.len() {
            let _ = Texts::decode(&good[..cut]);
        }
        let mut huge = good.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Texts::decode(&huge).is_err());
        let mut inside = good;
        inside[16..24].copy_from_slice(&3_u64.to_le_bytes());
        assert!(Texts::decode(&inside).is_err(), "an offset inside a character");
    }
}
