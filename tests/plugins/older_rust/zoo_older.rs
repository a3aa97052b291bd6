//! A plugin built with a compiler older than any that zoo itself can be built with (Rust 1.63 of
//! August 2022): an objective, the sum of squared differences times a trained factor, written against
//! the crate `zoo-abi` and libtorch's stable C functions, which it takes from the process.
//!
//! `build.sh` beside it builds it; the file in `abi-1.0-x86_64` is what it built.

extern crate zoo_abi;

use std::ffi::{c_void, CStr};
use std::os::raw::c_char;
use std::ptr::{null, null_mut};
use zoo_abi::{
    flag, init, method, status, tag, Component, Context, Error, Host, Init, Instance, Owned, ParamSpec, Payload,
    Plugin, Str, Tensor, Value,
};

macro_rules! meta {
    () => {
        concat!(
            r#"{"name":"zoo-older","version":"1.0.0","abi":"1.0","entry":"zoo_plugin_v1_zoo_older","#,
            r#""compiler":"rustc 1.63.0","target":"x86_64-unknown-linux-gnu","panic":"unwind"}"#
        )
    };
}
macro_rules! schema {
    () => {
        concat!(
            r#"{"name":"older.scaled_squares","kind":"objective","summary":"Squared differences times a trained factor.","#,
            r#""params":[{"name":"start","type":"real","default":1.0,"doc":"The factor at first."}],"#,
            r#""in":[{"name":"predicted","type":"float[B]"},{"name":"wanted","type":"float[B]"}],"#,
            r#""out":[{"name":"loss","type":"float[]"}],"count_inputs":["wanted"],"effects":{"parameters":true},"#,
            r#""examples":["objective fit = older.scaled_squares(start: 2.0)"]}"#
        )
    };
}

const META: &str = meta!();
const SCHEMA: &str = schema!();
const FRAME: usize = (SCHEMA.len() + 4 + 7) / 8 * 8;

const fn bytes<const N: usize>(text: &str, from: usize) -> [u8; N] {
    let mut out = [0; N];
    let mut i = 0;
    while i < text.len() {
        out[from + i] = text.as_bytes()[i];
        i += 1;
    }
    out
}

const fn frame() -> [u8; FRAME] {
    let mut out: [u8; FRAME] = bytes(SCHEMA, 4);
    let length = (SCHEMA.len() as u32).to_le_bytes();
    out[0] = length[0];
    out[1] = length[1];
    out
}

#[link_section = ".zoo_meta"]
#[used]
static META_SECTION: [u8; META.len()] = bytes(META, 0);

#[repr(align(8))]
pub struct Frame([u8; FRAME]);

#[link_section = ".zoo_schema"]
#[used]
static SCHEMA_SECTION: Frame = Frame(frame());

type Handle = *mut c_void;

extern "C" {
    fn aoti_torch_new_tensor_handle(from: Handle, out: *mut Handle) -> i32;
    fn aoti_torch_delete_tensor_object(tensor: Handle) -> i32;
    fn aoti_torch_get_numel(tensor: Handle, out: *mut i64) -> i32;
    fn aoti_torch_call_dispatcher(name: *const c_char, overload: *const c_char, stack: *mut u64) -> i32;
}

static mut HOST: *const Host = null();

fn text(from: &'static str) -> Str {
    Str { ptr: from.as_ptr(), len: from.len() }
}

unsafe extern "C" fn release(owned: *mut Owned) {
    drop(Vec::from_raw_parts((*owned).ptr, (*owned).len, (*owned).cap));
    (*owned).ptr = null_mut();
}

unsafe fn fail(error: *mut Error, status: i32, message: &str, at: &str) -> i32 {
    let give = |text: &str| {
        let mut bytes = std::mem::ManuallyDrop::new(text.as_bytes().to_vec());
        Owned { ptr: bytes.as_mut_ptr(), len: bytes.len(), cap: bytes.capacity(), free: Some(release) }
    };
    (*error).message = give(message);
    (*error).at = give(at);
    status
}

unsafe extern "C" fn create(
    context: *mut Context,
    parameters: Str,
    out: *mut *mut Instance,
    error: *mut Error,
) -> i32 {
    let json = String::from_utf8_lossy(std::slice::from_raw_parts(parameters.ptr, parameters.len)).into_owned();
    let number = json.split("\"start\":").nth(1).and_then(|rest| rest.split(&[',', '}'][..]).next());
    let start: f64 = number.and_then(|number| number.trim().parse().ok()).unwrap_or(1.0);
    if !(start > 0.0) {
        return fail(error, status::ERROR, "the factor must be positive", "start");
    }
    let shape = [1_i64];
    let spec = ParamSpec {
        size: std::mem::size_of::<ParamSpec>() as u32,
        dtype: 6,
        shape: shape.as_ptr(),
        dims: 1,
        init: Init { kind: init::CONSTANT, reserved: 0, a: start, b: 0.0 },
        trainable: true,
    };
    let mut factor = Tensor(null_mut());
    let code = ((*HOST).param)(context, text("factor"), &spec, &mut factor, error);
    if code == status::OK {
        *out = Box::into_raw(Box::new(factor.0)) as *mut Instance;
    }
    code
}

/// A call of libtorch's dispatcher, which records gradients and takes over the handles on its stack.
unsafe fn dispatch(name: &[u8], overload: &[u8], stack: &mut [u64; 3]) -> bool {
    let name = CStr::from_bytes_with_nul_unchecked(name);
    let overload = CStr::from_bytes_with_nul_unchecked(overload);
    aoti_torch_call_dispatcher(name.as_ptr(), overload.as_ptr(), stack.as_mut_ptr()) == 0
}

unsafe fn another(tensor: Handle) -> Option<u64> {
    let mut handle = null_mut();
    (aoti_torch_new_tensor_handle(tensor, &mut handle) == 0).then(|| handle as u64)
}

unsafe fn loss(factor: Handle, predicted: Handle, wanted: Handle) -> Option<Handle> {
    let mut stack = [another(predicted)?, another(wanted)?, 2 /* sum */];
    let mut good = dispatch(b"aten::mse_loss\0", b"\0", &mut stack);
    stack[1] = another(factor)?;
    good = good && dispatch(b"aten::mul\0", b"Tensor\0", &mut stack);
    stack[1] = 0;
    good = good && dispatch(b"aten::sum\0", b"\0", &mut stack);
    good.then(|| stack[0] as Handle)
}

unsafe extern "C" fn call(
    instance: *mut Instance,
    _: *mut Context,
    which: u32,
    ins: *const Value,
    n_in: usize,
    outs: *mut Value,
    n_out: usize,
    error: *mut Error,
) -> i32 {
    if which == method::COUNT && n_in == 1 && n_out == 1 {
        let mut count = 0;
        if aoti_torch_get_numel((*ins).payload.tensor.0, &mut count) != 0 {
            return fail(error, status::TORCH, "no size", "in.wanted");
        }
        *outs = Value { tag: tag::REAL, reserved: 0, payload: Payload { real: count as f64 } };
        return status::OK;
    }
    if which != method::CALL || n_in != 2 || n_out != 1 {
        return fail(error, status::UNSUPPORTED, "only call and count", "");
    }
    let tensor = |i: usize| (*ins.add(i)).payload.tensor.0;
    match loss(*(instance as *mut Handle), tensor(0), tensor(1)) {
        Some(loss) => {
            *outs = Value { tag: tag::TENSOR, reserved: 0, payload: Payload { tensor: Tensor(loss) } };
            status::OK
        }
        None => fail(error, status::TORCH, "libtorch refused the tensors", "in.predicted"),
    }
}

unsafe extern "C" fn destroy(instance: *mut Instance) {
    let factor = Box::from_raw(instance as *mut Handle);
    aoti_torch_delete_tensor_object(*factor);
}

pub struct Tables(Component, *const Component, Plugin);

#[no_mangle]
pub unsafe extern "C" fn zoo_plugin_v1_zoo_older(host: *const Host) -> *const Plugin {
    if host.is_null() || (*host).major != zoo_abi::MAJOR {
        return null();
    }
    HOST = host;
    let component = Component {
        size: std::mem::size_of::<Component>() as u32,
        reserved: 0,
        flags: flag::CONCURRENT,
        name: text("older.scaled_squares"),
        schema_json: Str { ptr: SCHEMA_SECTION.0.as_ptr().add(4), len: SCHEMA.len() },
        create,
        call,
        save: None,
        load: None,
        drop: destroy,
    };
    let plugin = Plugin {
        magic: zoo_abi::MAGIC,
        size: std::mem::size_of::<Plugin>() as u32,
        major: zoo_abi::MAJOR,
        minor: 0,
        name: text("zoo-older"),
        version: text("1.0.0"),
        build_json: Str { ptr: META_SECTION.as_ptr(), len: META.len() },
        components: null(),
        len: 1,
    };
    // Lives as long as the process.
    let tables = Box::leak(Box::new(Tables(component, null(), plugin)));
    tables.1 = &tables.0;
    tables.2.components = &tables.1;
    &tables.2
}
