//! Faults of a component that speaks the C ABI itself, without the SDK's care.

use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};
use zoo_plugin::abi::{
    Component, Context, Error, Host, Instance, List, Owned, Payload, Str, Tensor, Value, method, status, tag,
};
use zoo_plugin::prelude::*;

/// Gives its input and a text back, unless it misbehaves.
///
/// # Example
/// ```mlm
/// model same = misbehaving.raw(fault: "none")
/// ```
#[component(
    function,
    name = "misbehaving.raw",
    inputs(x: "float[B, N]" = "numbers"),
    outputs(y: "float[B, N]"? = "the numbers", note: "bytes"? = "a text", other: "bytes"? = "another text")
)]
pub struct Raw {
    /// What it does wrong.
    #[param(default = "none")]
    pub fault: String,
}

// The schema above is declared as anyone's; the table's functions are those below.
impl zoo_plugin::Component for Raw {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Err(zoo_plugin::Error::new("the table of `misbehaving.raw` was not put in place"))
    }
}

static HOST: AtomicPtr<Host> = AtomicPtr::new(null_mut());

/// Keeps the host's table, which the SDK has for itself.
pub(crate) fn keep(host: *const Host) {
    HOST.store(host.cast_mut(), Ordering::Release);
}

fn host() -> &'static Host {
    // SAFETY: given to the entry, and there as long as the process.
    unsafe { &*HOST.load(Ordering::Acquire) }
}

pub(crate) fn table(sound: Component) -> Component {
    Component { create, call, drop: destroy, save: Some(save), load: None, ..sound }
}

struct Holder {
    fault: String,
    /// A context that is used after its call.
    kept: Mutex<usize>,
}

unsafe extern "C" fn create(
    context: *mut Context,
    parameters: Str,
    out: *mut *mut Instance,
    error: *mut Error,
) -> i32 {
    // SAFETY: the host's promises.
    unsafe {
        let json = std::slice::from_raw_parts(parameters.ptr, parameters.len);
        let json: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
        let fault = json.get("fault").and_then(|f| f.as_str()).unwrap_or_default().to_owned();
        match fault.as_str() {
            "create gives null" => return status::OK,
            "create fails silently" => return status::ERROR,
            "create status 99" => return 99,
            "create says nonsense" => {
                (*error).message = lend(b"not \xff\xfe UTF-8\0");
                return status::ERROR;
            }
            _ => {}
        }
        let kept = Mutex::new(context.addr());
        *out = Box::into_raw(Box::new(Holder { fault, kept })).cast();
    }
    status::OK
}

/// Bytes that nobody need free.
fn lend(bytes: &'static [u8]) -> Owned {
    Owned { ptr: bytes.as_ptr().cast_mut(), len: bytes.len(), cap: bytes.len(), free: None }
}

unsafe extern "C" fn free_boxed(owned: *mut Owned) {
    // SAFETY: made by `boxed`.
    unsafe {
        let owned = Box::from_raw(owned);
        drop(Vec::from_raw_parts(owned.ptr, owned.len, owned.cap));
    }
}

unsafe extern "C" fn free_twice(owned: *mut Owned) {
    // SAFETY: none; this is the fault.
    unsafe {
        let copy = std::ptr::read(owned);
        free_boxed(owned);
        drop(Vec::from_raw_parts(copy.ptr, copy.len, copy.cap));
    }
}

fn boxed(text: &str) -> *mut Owned {
    let mut bytes = std::mem::ManuallyDrop::new(text.as_bytes().to_vec());
    let owned =
        Owned { ptr: bytes.as_mut_ptr(), len: bytes.len(), cap: bytes.capacity(), free: Some(free_boxed) };
    Box::into_raw(Box::new(owned))
}

fn bytes(owned: *mut Owned) -> Value {
    Value { tag: tag::BYTES, reserved: 0, payload: Payload { bytes: owned } }
}

fn tensor(handle: *mut std::ffi::c_void) -> Value {
    Value { tag: tag::TENSOR, reserved: 0, payload: Payload { tensor: Tensor(handle) } }
}

fn new_handle(of: &Value) -> *mut std::ffi::c_void {
    // SAFETY: the input is a tensor that the host lends.
    unsafe {
        let lent = std::mem::ManuallyDrop::new(tch::Tensor::from_ptr(of.payload.tensor.0.cast()));
        std::mem::ManuallyDrop::new(lent.shallow_clone()).as_mut_ptr().cast()
    }
}

#[allow(clippy::too_many_arguments)]
unsafe extern "C" fn call(
    instance: *mut Instance,
    context: *mut Context,
    which: u32,
    ins: *const Value,
    n_in: usize,
    outs: *mut Value,
    n_out: usize,
    error: *mut Error,
) -> i32 {
    // SAFETY: the host's promises, and an instance of ours.
    let (holder, ins, outs) = unsafe {
        (
            &*instance.cast::<Holder>(),
            std::slice::from_raw_parts(ins, n_in),
            std::slice::from_raw_parts_mut(outs, n_out),
        )
    };
    if which != method::CALL || n_out != 3 {
        return status::UNSUPPORTED;
    }
    let fault = holder.fault.as_str();
    let mut answer = [tensor(new_handle(&ins[0])), bytes(boxed("note")), bytes(boxed("other"))];
    match fault {
        "no output" => return status::OK,
        "status 99" => return 99,
        "fails silently" => return status::ERROR,
        "says nonsense" => {
            // SAFETY: the host's error.
            unsafe { (*error).message = lend(b"\xff\xfe\0 nonsense\0") };
            return status::ERROR;
        }
        "says the same twice" => {
            // SAFETY: the host's error; both texts are one allocation.
            unsafe {
                let owned = std::ptr::read(boxed("the same words"));
                let owned = Owned { free: Some(free_content), ..owned };
                (*error).message = std::ptr::read(&raw const owned);
                (*error).help = owned;
            }
            return status::ERROR;
        }
        "unknown tag" => answer[0].tag = 77,
        "null tensor" => answer[0] = tensor(null_mut()),
        "undefined tensor" => {
            answer[0] = tensor(std::mem::ManuallyDrop::new(tch::Tensor::new()).as_mut_ptr().cast());
        }
        "its input's handle" => answer[0] = ins[0],
        "null bytes" => answer[1] = bytes(null_mut()),
        "endless bytes" => {
            let owned = Owned { ptr: null::<u8>().cast_mut(), len: usize::MAX, cap: 0, free: None };
            answer[1] = bytes(Box::into_raw(Box::new(owned)));
        }
        "one text for two outputs" => answer[2] = answer[1],
        "a text for a tensor" => answer[0] = bytes(boxed("no tensor")),
        "a list of lists" => {
            let inner = Box::leak(Box::new([answer[0]]));
            let list = Box::into_raw(Box::new(List { ptr: inner.as_mut_ptr(), len: 1, free: None }));
            let outer =
                Box::leak(Box::new([Value { tag: tag::LIST, reserved: 0, payload: Payload { list } }]));
            let list = Box::into_raw(Box::new(List { ptr: outer.as_mut_ptr(), len: 1, free: None }));
            answer[0] = Value { tag: tag::LIST, reserved: 0, payload: Payload { list } };
        }
        "frees twice" => {
            // SAFETY: just made.
            unsafe { (*answer[1].payload.bytes).free = Some(free_twice) };
        }
        "uses a context of another call" => {
            let old = holder.kept.lock().map(|mut kept| std::mem::replace(&mut *kept, context.addr()));
            let old = std::ptr::without_provenance_mut(old.unwrap_or_default());
            return ask(old, error);
        }
        "makes a context up" => return ask(std::ptr::without_provenance_mut(usize::MAX), error),
        "asks for a parameter" => return ask(context, error),
        "calls a stranger" => return invoke(context, 1, error),
        _ => {}
    }
    outs.copy_from_slice(&answer);
    status::OK
}

/// Frees bytes of which two texts claim to be the owner.
unsafe extern "C" fn free_content(owned: *mut Owned) {
    // SAFETY: the bytes of `boxed`, as long as the host calls this once.
    unsafe { drop(Vec::from_raw_parts((*owned).ptr, (*owned).len, (*owned).cap)) }
}

/// Asks the host for a parameter, which it gives only during create.
fn ask(context: *mut Context, error: *mut Error) -> i32 {
    let shape = [1_i64];
    let init = zoo_plugin::abi::Init { kind: 0, reserved: 0, a: 0.0, b: 0.0 };
    let spec = zoo_plugin::abi::ParamSpec {
        size: size_of::<zoo_plugin::abi::ParamSpec>() as u32,
        dtype: 6,
        shape: shape.as_ptr(),
        dims: 1,
        init,
        trainable: true,
    };
    let mut out = Tensor(null_mut());
    let name = Str { ptr: b"late".as_ptr(), len: 4 };
    // SAFETY: everything but perhaps the context is valid, and the host is to find that out.
    unsafe { (host().param)(context, name, &raw const spec, &raw mut out, error) }
}

fn invoke(context: *mut Context, handle: u64, error: *mut Error) -> i32 {
    // SAFETY: no inputs and no outputs; the handle is what the host is to refuse.
    unsafe { (host().invoke)(context, handle, method::CALL, null(), 0, null_mut(), 0, error) }
}

unsafe extern "C" fn save(_: *mut Instance, out: *mut Owned, _: *mut Error) -> i32 {
    // SAFETY: the host's struct. A length without bytes.
    unsafe { *out = Owned { ptr: null_mut(), len: 12, cap: 0, free: None } };
    status::OK
}

unsafe extern "C" fn destroy(instance: *mut Instance) {
    // SAFETY: made by `create`.
    unsafe { drop(Box::from_raw(instance.cast::<Holder>())) }
}
