//! The host's function table, as every plugin gets it.
//!
//! A context is a number, not an address: one that a plugin keeps beyond its call, or makes up, is
//! not found and answered with an error. No function unwinds into a plugin.

use crate::error::{Error, Fault};
use crate::raw;
use crate::world::{Running, StageCall};
use std::collections::HashMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use zoo_abi::{Context, Host, Owned, ParamSpec, Produce, Str, Value, mode, status};

static RUNNING: LazyLock<RwLock<HashMap<u64, Arc<Running>>>> = LazyLock::new(Default::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// Plugins that this thread is in, for messages that come without a context.
    static PLUGINS: std::cell::RefCell<Vec<Arc<str>>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Makes a create or call known to the functions of the table until it is dropped.
pub(crate) struct Entered(u64);

impl Entered {
    pub(crate) fn new(running: Arc<Running>) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        PLUGINS.with_borrow_mut(|plugins| plugins.push(running.plugin_name()));
        RUNNING.write().unwrap_or_else(PoisonError::into_inner).insert(number, running);
        Self(number)
    }

    pub(crate) fn context(&self) -> *mut Context {
        std::ptr::without_provenance_mut(self.0 as usize)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        RUNNING.write().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        PLUGINS.with_borrow_mut(|plugins| drop(plugins.pop()));
    }
}

fn running(context: *mut Context) -> Option<Arc<Running>> {
    let number = context.addr() as u64;
    RUNNING.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
}

/// What a function of the table answers with when it fails.
pub(crate) struct Failure {
    pub(crate) status: i32,
    pub(crate) message: String,
    pub(crate) at: String,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { status: status::ERROR, message: message.into(), at: String::new() }
    }
}

impl From<&'static str> for Failure {
    fn from(message: &'static str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// Runs `body` for a live context; failures are written to `error`.
fn answer(
    context: *mut Context,
    error: *mut zoo_abi::Error,
    body: impl FnOnce(&Arc<Running>) -> Result<(), Failure>,
) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let running = running(context).ok_or("the context is not, or no longer, valid")?;
        body(&running)
    }));
    let failure = match outcome {
        Ok(Ok(())) => return status::OK,
        Ok(Err(failure)) => failure,
        Err(payload) => {
            let text = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("without a text");
            Failure::new(format!("the host panicked: {}", crate::error::first_line(text)))
        }
    };
    if !error.is_null() {
        let owned = |text: String| {
            if text.is_empty() { raw::empty_owned() } else { raw::owned_bytes(text.into_bytes()) }
        };
        // SAFETY: the plugin passes a valid error.
        unsafe {
            (*error).message = owned(failure.message);
            (*error).help = raw::empty_owned();
            (*error).at = owned(failure.at);
        }
    }
    failure.status
}

/// For functions that cannot fail: a context that is not valid gives the default.
fn quietly<T: Default>(context: *mut Context, body: impl FnOnce(&Arc<Running>) -> T) -> T {
    catch_unwind(AssertUnwindSafe(|| running(context).map(|r| body(&r)).unwrap_or_default()))
        .unwrap_or_default()
}

macro_rules! at_level {
    ($level:expr, $body:ident) => {
        match $level {
            1 => $body!(ERROR),
            2 => $body!(WARN),
            3 => $body!(INFO),
            4 => $body!(DEBUG),
            _ => $body!(TRACE),
        }
    };
}

unsafe extern "C" fn log_enabled(level: u32, _target: Str) -> bool {
    macro_rules! enabled {
        ($level:ident) => {
            tracing::enabled!(target: "plugin", tracing::Level::$level)
        };
    }
    catch_unwind(|| at_level!(level, enabled)).unwrap_or(false)
}

unsafe extern "C" fn log(level: u32, target: Str, message: Str, fields: Str) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: lent by the plugin for this call.
        let (target, message, fields) = unsafe {
            (
                raw::text(target).unwrap_or("?"),
                raw::text(message).unwrap_or("a message that is not UTF-8"),
                raw::text(fields).unwrap_or("{}"),
            )
        };
        let plugin = PLUGINS.with_borrow(|plugins| plugins.last().cloned());
        let plugin = plugin.as_deref().unwrap_or("");
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "plugin", tracing::Level::$level, plugin, module = target, fields, "{message}"
                )
            };
        }
        at_level!(level, event)
    }));
}

unsafe extern "C" fn param(
    context: *mut Context,
    name: Str,
    spec: *const ParamSpec,
    out: *mut zoo_abi::Tensor,
    error: *mut zoo_abi::Error,
) -> i32 {
    answer(context, error, |running| {
        if spec.is_null() || out.is_null() {
            return Err("a pointer is null".into());
        }
        // SAFETY: lent for this call; the size says how much of it there is.
        let (name, spec, shape) = unsafe {
            if ((&raw const (*spec).size).read() as usize) < size_of::<ParamSpec>() {
                return Err("the ParamSpec is too short".into());
            }
            let name = raw::name(name).map_err(|fault| format!("the name of a parameter {fault}"))?;
            let spec = *spec;
            if spec.dims > 16 || (spec.shape.is_null() && spec.dims > 0) {
                return Err(format!("parameter `{name}`: {} dimensions make no sense", spec.dims).into());
            }
            let shape: &[i64] =
                if spec.dims == 0 { &[] } else { std::slice::from_raw_parts(spec.shape, spec.dims) };
            (name, spec, shape)
        };
        let tensor = running.parameter(name, shape, &spec)?;
        // SAFETY: checked above; the handle is the plugin's now.
        unsafe { *out = raw::give_tensor(tensor) };
        Ok(())
    })
}

fn give_path(path: &Path, out: *mut Owned) -> Result<(), Failure> {
    let text = path.to_str().ok_or_else(|| format!("the path {} is not UTF-8", path.display()))?;
    if out.is_null() {
        return Err("a pointer is null".into());
    }
    // SAFETY: checked; the plugin frees it.
    unsafe { *out = raw::owned_bytes(text.as_bytes().to_vec()) };
    Ok(())
}

unsafe extern "C" fn asset(
    context: *mut Context,
    uri: Str,
    path: *mut Owned,
    error: *mut zoo_abi::Error,
) -> i32 {
    answer(context, error, |running| {
        // SAFETY: lent for this call.
        let uri = unsafe { raw::name(uri) }.map_err(|fault| format!("the URI {fault}"))?;
        give_path(&running.asset(uri)?, path)
    })
}

unsafe extern "C" fn stage(
    context: *mut Context,
    name: Str,
    produce: Produce,
    user: *mut c_void,
    path: *mut Owned,
    error: *mut zoo_abi::Error,
) -> i32 {
    answer(context, error, |running| {
        // SAFETY: lent for this call.
        let name = unsafe { raw::name(name) }.map_err(|fault| format!("the name of a stage {fault}"))?;
        let mut run = |path: &str| {
            let mut error = raw::empty_error();
            // SAFETY: `user` belongs to `produce`; both are valid until this function returns.
            let status = unsafe { produce(user, raw::lend(path), &raw mut error) };
            // SAFETY: filled by the plugin, taken once.
            (status, unsafe { raw::take_error(error) })
        };
        let call: &mut StageCall<'_> = &mut run;
        give_path(&running.stage(name, call)?, path)
    })
}

unsafe extern "C" fn site(
    context: *mut Context,
    name: Str,
    x: zoo_abi::Tensor,
    y: zoo_abi::Tensor,
    out: *mut zoo_abi::Tensor,
    error: *mut zoo_abi::Error,
) -> i32 {
    answer(context, error, |running| {
        if out.is_null() {
            return Err("a pointer is null".into());
        }
        // SAFETY: lent for this call.
        let (name, x, y) = unsafe {
            *out = zoo_abi::Tensor(std::ptr::null_mut());
            let name = raw::name(name).map_err(|fault| format!("the name of a site {fault}"))?;
            if !running.has_adapters(name) {
                return Ok(());
            }
            (name, raw::borrow_tensor(x)?, raw::borrow_tensor(y)?)
        };
        if let Some(tensor) = running.site(name, x, y)? {
            // SAFETY: checked above; the handle is the plugin's now.
            unsafe { *out = raw::give_tensor(tensor) };
        }
        Ok(())
    })
}

unsafe extern "C" fn random(context: *mut Context, stream: Str, row: u64) -> u64 {
    quietly(context, |running| {
        // SAFETY: lent for this call.
        let stream = unsafe { raw::text(stream) }.unwrap_or_default();
        running.seed(stream, row)
    })
}

unsafe extern "C" fn current(context: *mut Context, name: Str) -> f64 {
    // A default of zero would look like a value.
    catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: lent for this call.
        let name = unsafe { raw::text(name) }.ok()?;
        running(context)?.current(name)
    }))
    .ok()
    .flatten()
    .unwrap_or(f64::NAN)
}

unsafe extern "C" fn current_mode(context: *mut Context) -> u64 {
    quietly(context, |running| {
        let scope = running.scope();
        [(scope.training, mode::TRAINING), (scope.gradients, mode::GRADIENTS), (scope.keep_rows, mode::ROWS)]
            .into_iter()
            .filter_map(|(on, bit)| on.then_some(bit))
            .fold(0, |all, bit| all | bit)
    })
}

unsafe extern "C" fn metric(context: *mut Context, name: Str, value: f64) {
    quietly(context, |running| {
        // SAFETY: lent for this call.
        if let Ok(name) = unsafe { raw::name(name) } {
            running.metric(name, value);
        }
    });
}

unsafe extern "C" fn artifact(context: *mut Context, name: Str, media_type: Str, content: Str) {
    quietly(context, |running| {
        // SAFETY: lent for this call.
        if let (Ok(name), Ok(media_type), Ok(content)) =
            unsafe { (raw::name(name), raw::name(media_type), raw::bytes(content)) }
        {
            running.artifact(name, media_type, content);
        }
    });
}

unsafe extern "C" fn cancelled(context: *mut Context) -> bool {
    quietly(context, |running| running.cancelled())
}

unsafe extern "C" fn invoke(
    context: *mut Context,
    handle: u64,
    method: u32,
    ins: *const Value,
    n_in: usize,
    outs: *mut Value,
    n_out: usize,
    error: *mut zoo_abi::Error,
) -> i32 {
    answer(context, error, |running| {
        if (ins.is_null() && n_in > 0) || (outs.is_null() && n_out > 0) || n_in > 4096 || n_out > 4096 {
            return Err("the arrays of values make no sense".into());
        }
        // SAFETY: arrays of these lengths, lent for this call.
        let (inputs, outs) = unsafe {
            let ins: &[Value] = if n_in == 0 { &[] } else { std::slice::from_raw_parts(ins, n_in) };
            let inputs: Vec<Option<crate::value::Value>> = ins
                .iter()
                .enumerate()
                .map(|(i, value)| raw::borrow(value).map_err(|reason| format!("input {i} is {reason}")))
                .collect::<Result<_, _>>()?;
            let outs: &mut [Value] =
                if n_out == 0 { &mut [] } else { std::slice::from_raw_parts_mut(outs, n_out) };
            (inputs, outs)
        };
        let wanted: Vec<bool> = outs.iter().map(|o| o.tag == zoo_abi::tag::WANTED).collect();
        let values = running.invoke(handle, method, inputs, &wanted)?;
        let absent = Value { tag: zoo_abi::tag::NONE, reserved: 0, payload: zoo_abi::Payload { int: 0 } };
        outs.fill(absent);
        for ((slot, value), wanted) in outs.iter_mut().zip(values).zip(&wanted) {
            if let Some(value) = value.filter(|_| *wanted) {
                *slot = raw::give(value);
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn describe(
    context: *mut Context,
    handle: u64,
    out: *mut Owned,
    error: *mut zoo_abi::Error,
) -> i32 {
    answer(context, error, |running| {
        if out.is_null() {
            return Err("a pointer is null".into());
        }
        let json = running.describe(handle)?;
        // SAFETY: checked; the plugin frees it.
        unsafe { *out = raw::owned_bytes(json.into_bytes()) };
        Ok(())
    })
}

/// An error of another component, on its way through the plugin that called it.
pub(crate) fn failure_of(error: &Error) -> Failure {
    let status = match error {
        Error::Component(inner) => match &inner.fault {
            Fault::Cancelled => status::CANCELLED,
            Fault::Unsupported(_) => status::UNSUPPORTED,
            _ => status::ERROR,
        },
        _ => status::ERROR,
    };
    Failure { status, message: error.to_string(), at: String::new() }
}

struct HostTable(Host);
// SAFETY: a constant table of functions and a constant text.
unsafe impl Sync for HostTable {}

static HOST: HostTable = HostTable(Host {
    size: size_of::<Host>() as u32,
    major: zoo_abi::MAJOR,
    minor: zoo_abi::MINOR,
    libtorch: Str { ptr: crate::LIBTORCH.as_ptr(), len: crate::LIBTORCH.len() },
    log_enabled,
    log,
    param,
    asset,
    stage,
    site,
    random,
    current,
    mode: current_mode,
    metric,
    artifact,
    cancelled,
    invoke,
    describe,
});

pub(crate) fn table() -> *const Host {
    &raw const HOST.0
}
