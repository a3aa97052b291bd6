//! Values side by side.

use tch::{Kind, Tensor};
use zoo_host::Value;

/// Named outputs.
pub(crate) type Named = Vec<(String, Option<Value>)>;

/// Whether two tensors have the same type, shape and bits; NaN equals NaN.
fn same_tensor(a: &Tensor, b: &Tensor) -> bool {
    if a.kind() != b.kind() || a.size() != b.size() {
        return false;
    }
    let _quiet = tch::no_grad_guard();
    let bits = |t: &Tensor| -> Option<Vec<u8>> {
        let t = t.f_contiguous().ok()?;
        let length = t.numel() * t.kind().elt_size_in_bytes();
        let mut bytes = vec![0_u8; length];
        t.f_copy_data_u8(&mut bytes, t.numel()).ok()?;
        Some(bytes)
    };
    bits(a).is_some_and(|a| Some(a) == bits(b))
}

/// Whether two values are the same, bit for bit.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Tensor(a), Value::Tensor(b)) => same_tensor(a, b),
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Texts(a), Value::Texts(b)) => a == b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => false,
    }
}

/// The first output that is not the same in both.
pub(crate) fn difference<'a>(a: &'a Named, b: &Named) -> Option<&'a str> {
    if a.len() != b.len() {
        return Some("the number of outputs");
    }
    a.iter().zip(b).find_map(|((name, a), (_, b))| {
        let equal = match (a, b) {
            (Some(a), Some(b)) => same(a, b),
            (None, None) => true,
            _ => false,
        };
        (!equal).then_some(name.as_str())
    })
}

/// A copy that shares no memory.
pub(crate) fn deep_copy(value: &Value) -> Value {
    match value {
        Value::Tensor(tensor) => Value::Tensor(tensor.detach().copy()),
        Value::List(values) => Value::List(values.iter().map(deep_copy).collect()),
        other => other.shallow_clone(),
    }
}

/// The largest difference of two tensors of one shape, as a share of the largest value of the first;
/// infinite where the shapes differ.
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    if a.size() != b.size() {
        return f64::INFINITY;
    }
    if a.numel() == 0 {
        return 0.0;
    }
    let _quiet = tch::no_grad_guard();
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    // Values near zero are compared as they are.
    let scale = a.abs().max().double_value(&[]).max(1e-3);
    let gap = (&a - &b).abs().max().double_value(&[]);
    if gap == 0.0 { 0.0 } else { gap / scale }
}
