//! Between Rust values and those of the ABI. With `loader` and `functions` the only place of
//! `unsafe` in this crate.

use crate::value::Value;
use std::collections::HashSet;
use std::mem::ManuallyDrop;
use tch::Tensor;
use zoo_abi::{List, Owned, Payload, Str, tag};

/// A text longer than this is a stray length, not a text.
const TEXT_LIMIT: usize = 64 << 20;
/// Values in a list.
const LIST_LIMIT: usize = 1 << 24;

pub(crate) fn empty_owned() -> Owned {
    Owned { ptr: std::ptr::null_mut(), len: 0, cap: 0, free: None }
}

pub(crate) fn empty_error() -> zoo_abi::Error {
    zoo_abi::Error { code: 0, reserved: 0, message: empty_owned(), help: empty_owned(), at: empty_owned() }
}

pub(crate) fn lend(text: &str) -> Str {
    Str { ptr: text.as_ptr(), len: text.len() }
}

/// A text that a plugin lends, or what is wrong with it.
///
/// # Safety
/// A pointer that is not null points to `len` bytes that live as long as `'a`.
pub(crate) unsafe fn text<'a>(text: Str) -> Result<&'a str, &'static str> {
    // SAFETY: as the caller vouches.
    let bytes = unsafe { bytes(text) }?;
    std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")
}

/// # Safety
/// As for [`text`].
pub(crate) unsafe fn bytes<'a>(text: Str) -> Result<&'a [u8], &'static str> {
    if text.len == 0 {
        return Ok(&[]);
    }
    if text.ptr.is_null() {
        return Err("is a null pointer");
    }
    if text.len > TEXT_LIMIT {
        return Err("claims a length that no text has");
    }
    // SAFETY: as the caller vouches.
    Ok(unsafe { std::slice::from_raw_parts(text.ptr, text.len) })
}

/// A text that serves as a name: not empty, no control characters, no longer than a line.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn name<'a>(given: Str) -> Result<&'a str, &'static str> {
    // SAFETY: as the caller vouches.
    let text = unsafe { text(given) }?;
    if text.is_empty() {
        Err("is empty")
    } else if text.len() > 512 {
        Err("is longer than 512 bytes")
    } else if text.contains('\0') {
        Err("contains a NUL")
    } else if text.chars().any(char::is_control) {
        Err("contains a control character")
    } else {
        Ok(text)
    }
}

/// Copies what a plugin gave and frees it as the plugin asks.
///
/// # Safety
/// The content is as the ABI promises, and is not used again.
pub(crate) unsafe fn take_owned(owned: &mut Owned) -> Result<Vec<u8>, &'static str> {
    if owned.ptr.is_null() {
        return if owned.len == 0 { Ok(Vec::new()) } else { Err("is a null pointer with a length") };
    }
    if owned.len > isize::MAX as usize {
        return Err("claims an impossible length");
    }
    // SAFETY: `len` readable bytes, as the ABI promises; freed once, by the function that came with
    // them, after which the pointer is gone.
    unsafe {
        let bytes = std::slice::from_raw_parts(owned.ptr, owned.len).to_vec();
        if let Some(free) = owned.free.take() {
            free(owned);
        }
        owned.ptr = std::ptr::null_mut();
        owned.len = 0;
        Ok(bytes)
    }
}

/// What a plugin said about a failure.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) at: Option<String>,
}

/// # Safety
/// As for [`take_owned`].
pub(crate) unsafe fn take_error(mut error: zoo_abi::Error) -> Said {
    // One allocation under two names would be freed twice.
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        let parts = [&mut error.message, &mut error.help, &mut error.at];
        if !parts[first].ptr.is_null() && parts[first].ptr == parts[second].ptr {
            *[&mut error.message, &mut error.help, &mut error.at][second] = empty_owned();
        }
    }
    let part = |owned: &mut Owned| {
        // SAFETY: as the caller vouches.
        let bytes = unsafe { take_owned(owned) }.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).trim().replace('\0', "");
        (!text.is_empty()).then_some(text)
    };
    Said {
        message: part(&mut error.message).unwrap_or_default(),
        help: part(&mut error.help),
        at: part(&mut error.at),
    }
}

unsafe extern "C" fn free_bytes(owned: *mut Owned) {
    // SAFETY: set only by `owned_bytes`, whose vector this is; the receiver calls it once.
    unsafe {
        let owned = &mut *owned;
        if !owned.ptr.is_null() {
            drop(Vec::from_raw_parts(owned.ptr, owned.len, owned.cap));
            owned.ptr = std::ptr::null_mut();
        }
        owned.free = None;
    }
}

unsafe extern "C" fn free_boxed_bytes(owned: *mut Owned) {
    // SAFETY: set only by `give`, which boxed it; the receiver calls it once.
    unsafe {
        free_bytes(owned);
        drop(Box::from_raw(owned));
    }
}

unsafe extern "C" fn free_list(list: *mut List) {
    // SAFETY: set only by `give`, which boxed both; the receiver calls it once.
    unsafe {
        let list = Box::from_raw(list);
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(list.ptr, list.len)));
    }
}

pub(crate) fn owned_bytes(bytes: Vec<u8>) -> Owned {
    let mut bytes = ManuallyDrop::new(bytes);
    Owned { ptr: bytes.as_mut_ptr(), len: bytes.len(), cap: bytes.capacity(), free: Some(free_bytes) }
}

pub(crate) fn encode_texts(texts: &[String]) -> Vec<u8> {
    let total: usize = texts.iter().map(String::len).sum();
    let mut bytes = Vec::with_capacity(8 * (texts.len() + 2) + total);
    bytes.extend_from_slice(&(texts.len() as u64).to_le_bytes());
    let mut offset = 0_u64;
    bytes.extend_from_slice(&offset.to_le_bytes());
    for text in texts {
        offset += text.len() as u64;
        bytes.extend_from_slice(&offset.to_le_bytes());
    }
    texts.iter().for_each(|text| bytes.extend_from_slice(text.as_bytes()));
    bytes
}

pub(crate) fn decode_texts(bytes: &[u8]) -> Result<Vec<String>, &'static str> {
    const CUT: &str = "is a column of strings that is cut off";
    let number = |at: usize| -> Option<usize> {
        let word = bytes.get(at..at.checked_add(8)?)?;
        usize::try_from(u64::from_le_bytes(word.try_into().ok()?)).ok()
    };
    let count = number(0).ok_or(CUT)?;
    // The table of offsets must fit before anything of its size is allocated.
    let table =
        count.checked_add(2).and_then(|n| n.checked_mul(8)).filter(|n| *n <= bytes.len()).ok_or(CUT)?;
    let content = bytes.get(table..).ok_or(CUT)?;
    let mut texts = Vec::with_capacity(count);
    let mut from = number(8).ok_or(CUT)?;
    for i in 0..count {
        let to = number(16 + 8 * i).ok_or(CUT)?;
        let slice = content.get(from..to).ok_or("is a column of strings with offsets that make no sense")?;
        texts.push(
            std::str::from_utf8(slice).map_err(|_| "is a column of strings that are not UTF-8")?.to_owned(),
        );
        from = to;
    }
    Ok(texts)
}

/// One input of a call.
#[derive(Debug)]
pub(crate) enum Slot<'a> {
    Absent,
    One(&'a Value),
    Many(Vec<&'a Value>),
}

/// Inputs as the ABI lends them. Holds everything that the values point to; boxed where values hold
/// the address of an element while the vector grows.
#[allow(clippy::vec_box)]
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) values: Vec<zoo_abi::Value>,
    bytes: Vec<Box<Owned>>,
    buffers: Vec<Vec<u8>>,
    arrays: Vec<Vec<zoo_abi::Value>>,
    lists: Vec<Box<List>>,
    /// Every tensor's handle: a plugin must not give one of them back as its own.
    pub(crate) handles: HashSet<usize>,
}

const NONE: zoo_abi::Value = zoo_abi::Value { tag: tag::NONE, reserved: 0, payload: Payload { int: 0 } };

impl Lent {
    pub(crate) fn of(slots: &[Slot<'_>]) -> Self {
        let mut lent = Self::default();
        for slot in slots {
            let value = match slot {
                Slot::Absent => NONE,
                Slot::One(value) => lent.lend(value),
                Slot::Many(values) => lent.lend_list(values.iter().copied()),
            };
            lent.values.push(value);
        }
        lent
    }

    fn lend_list<'v>(&mut self, values: impl Iterator<Item = &'v Value>) -> zoo_abi::Value {
        let mut array: Vec<zoo_abi::Value> = values.map(|v| self.lend(v)).collect();
        let mut list = Box::new(List { ptr: array.as_mut_ptr(), len: array.len(), free: None });
        let payload = Payload { list: &raw mut *list };
        self.arrays.push(array);
        self.lists.push(list);
        zoo_abi::Value { tag: tag::LIST, reserved: 0, payload }
    }

    fn lend_bytes(&mut self, tag: u32, mut bytes: Vec<u8>) -> zoo_abi::Value {
        let mut owned =
            Box::new(Owned { ptr: bytes.as_mut_ptr(), len: bytes.len(), cap: bytes.capacity(), free: None });
        let payload = Payload { bytes: &raw mut *owned };
        self.buffers.push(bytes);
        self.bytes.push(owned);
        zoo_abi::Value { tag, reserved: 0, payload }
    }

    fn lend(&mut self, value: &Value) -> zoo_abi::Value {
        let (tag, payload) = match value {
            Value::Tensor(tensor) => {
                let handle = tensor.as_ptr().cast_mut();
                self.handles.insert(handle as usize);
                (tag::TENSOR, Payload { tensor: zoo_abi::Tensor(handle.cast()) })
            }
            Value::Int(int) => (tag::INT, Payload { int: *int }),
            Value::Real(real) => (tag::REAL, Payload { real: *real }),
            Value::Bytes(bytes) => return self.lend_bytes(tag::BYTES, bytes.clone()),
            Value::Texts(texts) => return self.lend_bytes(tag::TEXTS, encode_texts(texts)),
            Value::List(values) => return self.lend_list(values.iter()),
        };
        zoo_abi::Value { tag, reserved: 0, payload }
    }
}

/// The `outs` of a call before it: wanted or not.
pub(crate) fn asked(wanted: &[bool]) -> Vec<zoo_abi::Value> {
    wanted
        .iter()
        .map(|wanted| zoo_abi::Value { tag: if *wanted { tag::WANTED } else { tag::NONE }, ..NONE })
        .collect()
}

/// Takes over an output. `seen` holds the addresses that cannot be new: handles of the inputs, and
/// what other outputs gave; taking one of them would free it twice.
///
/// # Safety
/// The value was written by a plugin as an output and is not used again.
pub(crate) unsafe fn take(
    value: &zoo_abi::Value,
    seen: &mut HashSet<usize>,
) -> Result<Option<Value>, String> {
    // SAFETY: the tag says which field of the union is set; an output is owned by its receiver.
    unsafe {
        Ok(Some(match value.tag {
            tag::NONE | tag::WANTED => return Ok(None),
            tag::TENSOR => {
                let handle = value.payload.tensor.0;
                if handle.is_null() {
                    return Err("is a tensor with a null handle".to_owned());
                }
                if !seen.insert(handle as usize) {
                    return Err(
                        "is a handle that was lent to it, or given twice, not a tensor of its own".to_owned()
                    );
                }
                let tensor = Tensor::from_ptr(handle.cast());
                if !tensor.defined() {
                    return Err("is an undefined tensor".to_owned());
                }
                Value::Tensor(tensor)
            }
            tag::INT => Value::Int(value.payload.int),
            tag::REAL => Value::Real(value.payload.real),
            tag::BYTES | tag::TEXTS => {
                let owned = value.payload.bytes;
                if owned.is_null() {
                    return Err("has bytes at a null pointer".to_owned());
                }
                if !seen.insert(owned as usize) {
                    return Err("is given twice".to_owned());
                }
                // The `Owned` lies in the sender's memory and goes with its bytes: nothing of it may
                // be touched after `free`.
                let (ptr, len, free) = ((*owned).ptr, (*owned).len, (*owned).free);
                if len > isize::MAX as usize || (ptr.is_null() && len > 0) {
                    return Err("has bytes of an impossible length".to_owned());
                }
                let bytes =
                    if ptr.is_null() { Vec::new() } else { std::slice::from_raw_parts(ptr, len).to_vec() };
                if let Some(free) = free {
                    free(owned);
                }
                if value.tag == tag::BYTES {
                    Value::Bytes(bytes)
                } else {
                    Value::Texts(decode_texts(&bytes)?)
                }
            }
            tag::LIST => {
                let list = value.payload.list;
                if list.is_null() {
                    return Err("is a list at a null pointer".to_owned());
                }
                if !seen.insert(list as usize) {
                    return Err("is given twice".to_owned());
                }
                let (ptr, len, free) = ((*list).ptr, (*list).len, (*list).free);
                if len > LIST_LIMIT || (ptr.is_null() && len > 0) {
                    return Err("is a list of an impossible length".to_owned());
                }
                let mut values = Vec::with_capacity(len);
                let mut wrong = None;
                for i in 0..len {
                    let element = &*ptr.add(i);
                    if element.tag == tag::LIST {
                        wrong = Some("is a list of lists".to_owned());
                        break;
                    }
                    match take(element, seen) {
                        Ok(value) => values.extend(value),
                        Err(reason) => wrong = Some(reason),
                    }
                }
                if let Some(free) = free {
                    free(list);
                }
                if let Some(reason) = wrong {
                    return Err(reason);
                }
                Value::List(values)
            }
            other => return Err(format!("has the tag {other}, which the ABI does not know")),
        }))
    }
}

/// Gives a value away: to a component that called another one through the host.
pub(crate) fn give(value: Value) -> zoo_abi::Value {
    let boxed = |bytes: Vec<u8>| {
        let mut owned = owned_bytes(bytes);
        owned.free = Some(free_boxed_bytes);
        Payload { bytes: Box::into_raw(Box::new(owned)) }
    };
    let (tag, payload) = match value {
        Value::Tensor(tensor) => (tag::TENSOR, Payload { tensor: give_tensor(tensor) }),
        Value::Int(int) => (tag::INT, Payload { int }),
        Value::Real(real) => (tag::REAL, Payload { real }),
        Value::Bytes(bytes) => (tag::BYTES, boxed(bytes)),
        Value::Texts(texts) => (tag::TEXTS, boxed(encode_texts(&texts))),
        Value::List(values) => {
            let values: Box<[zoo_abi::Value]> = values.into_iter().map(give).collect();
            let len = values.len();
            let ptr = Box::into_raw(values).cast::<zoo_abi::Value>();
            (tag::LIST, Payload { list: Box::into_raw(Box::new(List { ptr, len, free: Some(free_list) })) })
        }
    };
    zoo_abi::Value { tag, reserved: 0, payload }
}

pub(crate) fn give_tensor(tensor: Tensor) -> zoo_abi::Tensor {
    let mut tensor = ManuallyDrop::new(tensor);
    zoo_abi::Tensor(tensor.as_mut_ptr().cast())
}

/// A handle of our own on a tensor that a plugin lends.
///
/// # Safety
/// The handle, where not null, is that of a live tensor.
pub(crate) unsafe fn borrow_tensor(handle: zoo_abi::Tensor) -> Result<Tensor, String> {
    if handle.0.is_null() {
        return Err("a tensor with a null handle".to_owned());
    }
    // SAFETY: as the caller vouches; the clone is ours, and the original stays the plugin's.
    Ok(unsafe { ManuallyDrop::new(Tensor::from_ptr(handle.0.cast())).shallow_clone() })
}

/// A value that a plugin lends as an input of another component.
///
/// # Safety
/// The value and all that it points to are valid.
pub(crate) unsafe fn borrow(value: &zoo_abi::Value) -> Result<Option<Value>, String> {
    // SAFETY: the tag says which field of the union is set, and the caller vouches for it.
    unsafe {
        Ok(Some(match value.tag {
            tag::NONE | tag::WANTED => return Ok(None),
            tag::TENSOR => Value::Tensor(borrow_tensor(value.payload.tensor)?),
            tag::INT => Value::Int(value.payload.int),
            tag::REAL => Value::Real(value.payload.real),
            tag::BYTES | tag::TEXTS => {
                let owned = value.payload.bytes;
                if owned.is_null() {
                    return Err("bytes at a null pointer".to_owned());
                }
                let bytes = bytes(Str { ptr: (*owned).ptr, len: (*owned).len })?.to_vec();
                if value.tag == tag::BYTES {
                    Value::Bytes(bytes)
                } else {
                    Value::Texts(decode_texts(&bytes)?)
                }
            }
            tag::LIST => {
                let list = value.payload.list;
                if list.is_null() || (*list).len > LIST_LIMIT || ((*list).ptr.is_null() && (*list).len > 0) {
                    return Err("a list of an impossible length".to_owned());
                }
                let mut values = Vec::with_capacity((*list).len);
                for i in 0..(*list).len {
                    let element = &*(*list).ptr.add(i);
                    if element.tag == tag::LIST {
                        return Err("a list of lists".to_owned());
                    }
                    values.extend(borrow(element)?);
                }
                Value::List(values)
            }
            other => return Err(format!("the tag {other}, which the ABI does not know")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_went() {
        let texts = ["", "naïve", "b"].map(str::to_owned).to_vec();
        assert_eq!(decode_texts(&encode_texts(&texts)).unwrap(), texts);
        assert!(decode_texts(&encode_texts(&[])).unwrap().is_empty());
    }

    #[test]
    fn broken_texts_are_errors() {
        let good = encode_texts(&["naïve".to_owned(), "b".to_owned()]);
        for cut in 0..good.len() {
            assert!(decode_texts(&good[..cut]).is_err());
        }
        for (at, value) in [(0, u64::MAX), (0, 1 << 60), (16, 3), (16, u64::MAX)] {
            let mut bad = good.clone();
            bad[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
            assert!(decode_texts(&bad).is_err(), "{at} {value}");
        }
    }

    #[test]
    fn what_is_given_can_be_taken() {
        let value = || {
            Value::List(vec![
                Value::Tensor(Tensor::from_slice(&[1.0_f32, 2.0])),
                Value::Texts(vec!["a".to_owned()]),
                Value::Bytes(vec![1, 2]),
                Value::Int(3),
                Value::Real(0.5),
            ])
        };
        // SAFETY: given here and taken once.
        let back = unsafe { take(&give(value()), &mut HashSet::new()) }.unwrap().unwrap();
        let Value::List(values) = back else { panic!("no list") };
        assert_eq!(values[0].tensor().unwrap().size(), [2]);
        assert!(matches!(&values[1], Value::Texts(t) if t == &["a"]));
        assert!(matches!(&values[2], Value::Bytes(b) if b == &[1, 2]));
        let held = value();
        let lent = Lent::of(&[Slot::One(&held), Slot::Absent, Slot::Many(vec![&held])]);
        assert_eq!(lent.handles.len(), 1);
        // SAFETY: lent from values that live.
        assert!(matches!(unsafe { borrow(&lent.values[0]) }, Ok(Some(Value::List(v))) if v.len() == 5));
        assert!(unsafe { borrow(&lent.values[1]) }.unwrap().is_none());
    }

    #[test]
    fn names_are_one_line_without_surprises() {
        for (text, reason) in
            [("", "is empty"), ("a\0b", "contains a NUL"), ("a\nb", "contains a control character")]
        {
            // SAFETY: a Rust string.
            assert_eq!(unsafe { name(lend(text)) }, Err(reason));
        }
        // SAFETY: never read, since the length or the pointer is refused.
        unsafe {
            assert_eq!(text(Str { ptr: std::ptr::null(), len: 3 }), Err("is a null pointer"));
            assert!(text(Str { ptr: std::ptr::dangling(), len: usize::MAX }).is_err());
            assert_eq!(text(lend("naïve")), Ok("naïve"));
        }
    }
}
