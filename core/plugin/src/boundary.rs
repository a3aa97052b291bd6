//! The C side of a component: every function here is called by the host, never unwinds, and
//! reports failure by a status. With `values` and `context` the only place of `unsafe` in the SDK.

use crate::component::{Component, Registration};
use crate::context::{Build, Call};
use crate::error::{Error, Result};
use crate::values::{Inputs, Output, Outputs, Port, owned_bytes, read_inputs, to_value};
use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use zoo_abi::{Context, Host, Instance, Owned, Plugin, Str, Value, flag, method, status, tag};

struct HostTable(Host);
// SAFETY: a table of functions that the host lets any thread call; it is never written.
unsafe impl Send for HostTable {}
// SAFETY: as above.
unsafe impl Sync for HostTable {}

static HOST: OnceLock<HostTable> = OnceLock::new();

unsafe extern "C" {
    /// The C library's: texts of libtorch's C layer are freed with it.
    fn free(pointer: *mut c_void);
}

/// The host's table, copied at the entry.
pub(crate) fn host() -> Result<&'static Host> {
    HOST.get().map(|table| &table.0).ok_or_else(|| Error::new("the plugin was not entered by a host"))
}

/// Sets the host's table; the first one stays.
pub(crate) fn set_host(table: Host) {
    let _ = HOST.set(HostTable(table));
}

pub(crate) fn empty_owned() -> Owned {
    Owned { ptr: std::ptr::null_mut(), len: 0, cap: 0, free: None }
}

pub(crate) fn empty_error() -> zoo_abi::Error {
    zoo_abi::Error { code: 0, reserved: 0, message: empty_owned(), help: empty_owned(), at: empty_owned() }
}

/// Copies bytes that the host gave and frees them as it asks.
pub(crate) fn take_owned(owned: &mut Owned) -> Vec<u8> {
    if owned.ptr.is_null() {
        return Vec::new();
    }
    // SAFETY: the host promises `len` readable bytes, freed by its own function, once.
    unsafe {
        let bytes = std::slice::from_raw_parts(owned.ptr, owned.len).to_vec();
        if let Some(free) = owned.free {
            free(owned);
        }
        bytes
    }
}

pub(crate) fn take_error(mut error: zoo_abi::Error) -> Error {
    let text = |owned: &mut Owned| String::from_utf8_lossy(&take_owned(owned)).into_owned();
    Error {
        message: text(&mut error.message),
        help: text(&mut error.help),
        at: text(&mut error.at),
        status: status::ERROR,
    }
}

thread_local! {
    /// Where the last panic of this thread began; the hook knows it, the payload does not.
    static PANIC_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
        PANIC_PLACE.with(|slot| *slot.borrow_mut() = place);
    }));
}

/// Reads and forgets an error that a raw libtorch call left behind: the next innocent tensor would
/// panic in its `Drop`.
fn drain_torch_error() -> Option<String> {
    // SAFETY: plain C function; the text it gives is ours to free.
    unsafe {
        let text = torch_sys::get_and_reset_last_err();
        if text.is_null() {
            return None;
        }
        let line =
            std::ffi::CStr::from_ptr(text).to_string_lossy().lines().next().unwrap_or_default().to_owned();
        free(text.cast());
        Some(line)
    }
}

/// The first line of a panic's text. An `unwrap` of libtorch's error shows it in debug form, with
/// thirty C++ frames after an escaped line end.
fn panic_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.split("\\nException raised from").next().unwrap_or_default();
    match line.split_once("on an `Err` value: Torch(\"") {
        Some((_, reason)) => format!("libtorch: {}", reason.trim_end_matches("\")")),
        None => line.to_owned(),
    }
}

/// Runs `body`; a panic becomes [`status::PANIC`], an error its status, with the texts filled in.
fn guard(error: *mut zoo_abi::Error, body: impl FnOnce() -> Result<()>) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let left = drain_torch_error();
    let failure = match outcome {
        Ok(Ok(())) => match left {
            None => return status::OK,
            Some(line) => Error {
                status: status::TORCH,
                ..Error::new(format!("an error of libtorch was left unread: {line}"))
            },
        },
        Ok(Err(failure)) => failure,
        Err(payload) => {
            let text = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a text");
            let line = panic_line(text);
            let place = PANIC_PLACE.with(|slot| slot.borrow_mut().take());
            let place = place.map(|p| format!(" ({p})")).unwrap_or_default();
            Error { status: status::PANIC, ..Error::new(format!("panicked: {line}{place}")) }
        }
    };
    if !error.is_null() {
        let owned =
            |text: String| if text.is_empty() { empty_owned() } else { owned_bytes(text.into_bytes()) };
        // SAFETY: the host passes a valid, zeroed error.
        unsafe {
            (*error).message = owned(failure.message);
            (*error).help = owned(failure.help);
            (*error).at = owned(failure.at);
        }
    }
    failure.status
}

/// An instance on the plugin's side.
struct Holder<T: Component> {
    parameters: T,
    state: T::State,
    inputs: Vec<String>,
    outputs: Vec<String>,
    count_inputs: Vec<String>,
    poisoned: AtomicBool,
}

/// # Safety
/// `text` points to readable bytes for the length of the call.
unsafe fn str_of<'a>(text: Str) -> Result<&'a str> {
    if text.len == 0 {
        return Ok("");
    }
    // SAFETY: as the caller vouches.
    let bytes = unsafe { std::slice::from_raw_parts(text.ptr, text.len) };
    std::str::from_utf8(bytes).map_err(|_| Error::new("the host sent a text that is not UTF-8"))
}

fn str_from(text: &'static str) -> Str {
    Str { ptr: text.as_ptr(), len: text.len() }
}

unsafe extern "C" fn create<T: Component>(
    context: *mut Context,
    parameters: Str,
    out: *mut *mut Instance,
    error: *mut zoo_abi::Error,
) -> i32 {
    guard(error, || {
        // SAFETY: the host passes valid pointers.
        let json = unsafe { str_of(parameters) }?;
        let parameters: T = serde_json::from_str(json).map_err(|e| {
            Error::new(format!("the parameters do not fit: {e}"))
                .help("rebuild the plugin: its schema and its code disagree")
        })?;
        let schema: zoo_schema::Component = serde_json::from_str(T::SCHEMA)?;
        let state = parameters.build(&mut Build::new(context))?;
        let names = |ports: &[zoo_schema::Port]| ports.iter().map(|p| p.name.clone()).collect();
        let holder = Holder {
            inputs: names(&schema.inputs),
            outputs: names(&schema.outputs),
            count_inputs: schema.count_inputs,
            parameters,
            state,
            poisoned: AtomicBool::new(false),
        };
        // SAFETY: `out` is valid; `destroy` takes the box back.
        unsafe { *out = Box::into_raw(Box::new(holder)).cast() };
        Ok(())
    })
}

fn write(outs: &mut [Value], outputs: Vec<Option<Output>>) {
    for (slot, output) in outs.iter_mut().zip(outputs) {
        let wanted = slot.tag == tag::WANTED;
        slot.tag = tag::NONE;
        if let Some(output) = output.filter(|_| wanted) {
            *slot = to_value(output);
        }
    }
}

#[allow(clippy::too_many_arguments)]
unsafe extern "C" fn call<T: Component>(
    instance: *mut Instance,
    context: *mut Context,
    which: u32,
    ins: *const Value,
    n_in: usize,
    outs: *mut Value,
    n_out: usize,
    error: *mut zoo_abi::Error,
) -> i32 {
    // SAFETY: made by `create::<T>`; shared, since components with `CONCURRENT` run on many threads
    // and the host serialises the others.
    let holder = unsafe { &*instance.cast::<Holder<T>>() };
    if holder.poisoned.load(Ordering::Acquire) {
        return guard(error, || {
            Err(Error {
                status: status::PANIC,
                ..Error::new("this instance panicked before and is not called again")
            })
        });
    }
    let code = guard(error, || {
        // SAFETY: the host passes arrays of these lengths, borrowed for the call.
        let (ports, outs) = unsafe {
            let outs = if n_out == 0 { &mut [] } else { std::slice::from_raw_parts_mut(outs, n_out) };
            (read_inputs(ins, n_in)?, outs)
        };
        let wanted: Vec<&str> = holder
            .outputs
            .iter()
            .zip(outs.iter())
            .filter(|(_, out)| out.tag == tag::WANTED)
            .map(|(name, _)| name.as_str())
            .collect();
        let mut cx = Call::new(context, wanted);
        dispatch(holder, which, &ports, outs, &mut cx)
    });
    if code == status::PANIC {
        holder.poisoned.store(true, Ordering::Release);
    }
    code
}

fn dispatch<T: Component>(
    holder: &Holder<T>,
    which: u32,
    ports: &[Option<Port<'_>>],
    outs: &mut [Value],
    cx: &mut Call<'_>,
) -> Result<()> {
    let Holder { parameters, state, .. } = holder;
    match which {
        method::CALL => {
            let inputs = T::inputs(&Inputs::new(&holder.inputs, ports))?;
            write(outs, parameters.call(state, inputs, cx)?.into_outputs());
        }
        method::LENGTH => {
            let length = parameters.length(state, cx)?;
            write(outs, vec![Some(Output::Int(length as i64))]);
        }
        method::READ => {
            let Some(Some(Port::Tensor(indices))) = ports.first() else {
                return Err(Error::new("the host sent no indices"));
            };
            let indices: Vec<i64> = Vec::try_from(&**indices)?;
            write(outs, parameters.read(state, &indices, cx)?.into_outputs());
        }
        method::COUNT => {
            let count = parameters.count(state, &Inputs::new(&holder.count_inputs, ports), cx)?;
            write(outs, vec![Some(Output::Real(count))]);
        }
        method::FINISH => write(outs, vec![Some(Output::Real(parameters.finish(state, cx)?))]),
        method::RESET => parameters.reset(state, cx)?,
        method::EXPORT => write(outs, vec![Some(Output::Bytes(parameters.export(state)?))]),
        other => {
            return Err(Error {
                status: status::UNSUPPORTED,
                ..Error::new(format!("the host called method {other}, which this SDK does not know"))
            });
        }
    }
    Ok(())
}

unsafe extern "C" fn save<T: Component>(
    instance: *mut Instance,
    out: *mut Owned,
    error: *mut zoo_abi::Error,
) -> i32 {
    guard(error, || {
        // SAFETY: made by `create::<T>`; `out` is valid.
        let holder = unsafe { &*instance.cast::<Holder<T>>() };
        if let Some(bytes) = holder.parameters.save(&holder.state)? {
            unsafe { *out = owned_bytes(bytes) };
        }
        Ok(())
    })
}

unsafe extern "C" fn load<T: Component>(
    instance: *mut Instance,
    saved: Str,
    error: *mut zoo_abi::Error,
) -> i32 {
    guard(error, || {
        // SAFETY: made by `create::<T>`; the bytes live through the call.
        let holder = unsafe { &*instance.cast::<Holder<T>>() };
        let bytes =
            if saved.len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(saved.ptr, saved.len) } };
        holder.parameters.load(&holder.state, bytes)
    })
}

unsafe extern "C" fn destroy<T: Component>(instance: *mut Instance) {
    guard(std::ptr::null_mut(), || {
        // SAFETY: made by `create::<T>`, dropped once.
        drop(unsafe { Box::from_raw(instance.cast::<Holder<T>>()) });
        Ok(())
    });
}

/// Runs the closure of [`Build::stage`](crate::Build::stage).
pub(crate) unsafe extern "C" fn produce<F: FnOnce(&Path) -> Result<()>>(
    user: *mut c_void,
    path: Str,
    error: *mut zoo_abi::Error,
) -> i32 {
    guard(error, || {
        // SAFETY: `user` is the `Option<F>` of `Build::stage`, which is on the stack below us.
        let (closure, path) = unsafe { (&mut *user.cast::<Option<F>>(), str_of(path)?) };
        match closure.take() {
            Some(closure) => closure(Path::new(path)),
            None => Err(Error::new("the host asked for a stage twice")),
        }
    })
}

/// The table of a component.
pub(crate) fn table<T: Component>() -> zoo_abi::Component {
    // The name stands in the schema; leaking it once a component is what a table needs.
    let name = serde_json::from_str::<zoo_schema::Component>(T::SCHEMA).map(|s| s.name).unwrap_or_default();
    zoo_abi::Component {
        size: size_of::<zoo_abi::Component>() as u32,
        reserved: 0,
        flags: if T::CONCURRENT { flag::CONCURRENT } else { 0 },
        name: str_from(String::leak(name)),
        schema_json: str_from(T::SCHEMA),
        create: create::<T>,
        call: call::<T>,
        save: Some(save::<T>),
        load: Some(load::<T>),
        drop: destroy::<T>,
    }
}

struct Table(Plugin);
// SAFETY: the table is never written after it was made, and points to leaked memory.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

static TABLE: OnceLock<Table> = OnceLock::new();

/// What the entry symbol does; see [`export_plugin!`](crate::export_plugin).
///
/// # Safety
///
/// `host` is null or points to a host's table, at least as long as the `size` that stands in it.
#[doc(hidden)]
pub unsafe fn entry(
    host: *const Host,
    name: &'static str,
    version: &'static str,
    build: &'static str,
) -> *const Plugin {
    let made = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: null is refused; else, as the caller promised, the table is as long as its `size`
        // says, and a shorter one than this plugin needs is refused before it is copied.
        let table = unsafe {
            if host.is_null()
                || ((*host).size as usize) < size_of::<Host>()
                || (*host).major != zoo_abi::MAJOR
            {
                return std::ptr::null();
            }
            *host
        };
        set_host(table);
        install_panic_hook();
        crate::log::install();
        let table = TABLE.get_or_init(|| {
            let mut components: Vec<&'static zoo_abi::Component> = inventory::iter::<Registration>
                .into_iter()
                .map(|registration| &*Box::leak(Box::new((registration.table)())))
                .collect();
            // inventory's order is unspecified.
            // SAFETY: names were leaked as valid UTF-8 above.
            components.sort_by_key(|c| unsafe { str_of(c.name) }.unwrap_or_default());
            let components: &'static [&'static zoo_abi::Component] = components.leak();
            Table(Plugin {
                magic: zoo_abi::MAGIC,
                size: size_of::<Plugin>() as u32,
                major: zoo_abi::MAJOR,
                minor: 0,
                name: str_from(name),
                version: str_from(version),
                build_json: str_from(build),
                components: components.as_ptr().cast(),
                len: components.len(),
            })
        });
        &raw const table.0
    }));
    made.unwrap_or(std::ptr::null())
}
