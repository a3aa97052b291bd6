//! What the host does for a component while it is built or called.
//!
//! One of the SDK's boundary modules: it may hold `unsafe`.

use crate::boundary::{empty_owned, host, take_error, take_owned};
use crate::component::named_columns;
use crate::error::{Error, Result};
use crate::values::{Columns, Output, take_output, to_value};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Deserializer};
use std::ffi::c_void;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};
use zoo_abi::{Context, Payload, Str, Value, method, mode, status, tag};

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// All the same.
    Constant(f64),
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// Normal, redrawn outside two standard deviations.
    TruncatedNormal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// Uniform in `[low, high)`.
    Uniform {
        /// Smallest value.
        low: f64,
        /// Bound above.
        high: f64,
    },
}

impl Init {
    fn raw(self) -> zoo_abi::Init {
        use zoo_abi::init;
        let (kind, a, b) = match self {
            Self::Zeros => (init::ZEROS, 0.0, 0.0),
            Self::Ones => (init::ONES, 0.0, 0.0),
            Self::Constant(value) => (init::CONSTANT, value, 0.0),
            Self::Normal { mean, std } => (init::NORMAL, mean, std),
            Self::TruncatedNormal { mean, std } => (init::TRUNCATED_NORMAL, mean, std),
            Self::Uniform { low, high } => (init::UNIFORM, low, high),
        };
        zoo_abi::Init { kind, reserved: 0, a, b }
    }
}

/// A reference to another component, among the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub u64);

/// A number that may vary in time. [`Varying::at`] gives the value of the present update.
#[derive(Clone, Debug, PartialEq)]
pub struct Varying {
    constant: Option<f64>,
}

impl Varying {
    /// A number that does not vary, for tests.
    pub fn constant(value: f64) -> Self {
        Self { constant: Some(value) }
    }

    /// The value of the parameter `name` now.
    pub fn at(&self, name: &str, cx: &Call<'_>) -> f64 {
        self.constant.unwrap_or_else(|| cx.current(name))
    }
}

impl<'de> Deserialize<'de> for Varying {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        // Where a schedule stands, the host answers for the value, and the JSON has no number.
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self { constant: value.as_f64() })
    }
}

/// What a reference is.
#[derive(Clone, Debug, Deserialize)]
pub struct Description {
    /// Its name in the recipe.
    pub name: String,
    /// `namespace.component`.
    pub component: String,
    /// Its parameters.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// Names of its inputs.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// Names of its outputs; for data, of its columns.
    pub outputs: Vec<String>,
    /// For an adapter's instance: the site that it acts on.
    #[serde(default)]
    pub site: Option<SiteSizes>,
}

/// A site that an adapter acts on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SiteSizes {
    /// Its name, `layers.3.attention.query`.
    pub name: String,
    /// Size of the last dimension of its input, where the model's schema tells.
    pub input: Option<i64>,
    /// Size of the last dimension of its output, where the model's schema tells.
    pub output: Option<i64>,
}

/// libtorch's number of an element type.
fn scalar_type(kind: Kind) -> Result<i32> {
    Ok(match kind {
        Kind::Uint8 => 0,
        Kind::Int => 3,
        Kind::Int64 => 4,
        Kind::Half => 5,
        Kind::Float => 6,
        Kind::Double => 7,
        Kind::Bool => 11,
        Kind::BFloat16 => 15,
        other => return Err(Error::new(format!("parameters of type {other:?} are not supported"))),
    })
}

fn text(text: &str) -> Str {
    Str { ptr: text.as_ptr(), len: text.len() }
}

fn check(code: i32, error: zoo_abi::Error) -> Result<()> {
    let error = take_error(error);
    match code {
        status::OK => Ok(()),
        code => Err(Error { status: code, ..error }),
    }
}

/// So many outputs, all of them wanted.
fn all(count: usize) -> impl Iterator<Item = bool> {
    std::iter::repeat_n(true, count)
}

/// What both contexts can do.
#[derive(Debug)]
struct Raw(*mut Context);

impl Raw {
    fn invoke(
        &self,
        handle: Handle,
        method: u32,
        inputs: Vec<Option<Output>>,
        wanted: impl Iterator<Item = bool>,
    ) -> Result<Vec<Option<Output>>> {
        let empty = |tag: u32| Value { tag, reserved: 0, payload: Payload { int: 0 } };
        let mut keep = Vec::with_capacity(inputs.len());
        let ins: Vec<Value> = inputs
            .into_iter()
            .map(|input| {
                let Some(input) = input else { return empty(tag::NONE) };
                let value = to_value(input);
                keep.push(value);
                value
            })
            .collect();
        let mut outs: Vec<Value> =
            wanted.map(|wanted| empty(if wanted { tag::WANTED } else { tag::NONE })).collect();
        let mut error = crate::boundary::empty_error();
        // SAFETY: the context is valid while the host's call lasts; arrays have the lengths given.
        let code = unsafe {
            (host()?.invoke)(
                self.0,
                handle.0,
                method,
                ins.as_ptr(),
                ins.len(),
                outs.as_mut_ptr(),
                outs.len(),
                &raw mut error,
            )
        };
        for value in &keep {
            // SAFETY: made by `to_value` above and only lent to the host.
            drop(unsafe { take_output(value) });
        }
        check(code, error)?;
        // SAFETY: outputs are ours now.
        outs.iter().map(|value| unsafe { take_output(value) }).collect()
    }

    fn call_by_name(
        &self,
        handle: Handle,
        description: &Description,
        inputs: Vec<(&str, Output)>,
        wanted: &[&str],
    ) -> Result<Vec<Option<Output>>> {
        let place = |names: &[String], name: &str, what: &str| {
            names.iter().position(|n| n == name).ok_or_else(|| {
                Error::new(format!(
                    "`{}` ({}) has no {what} `{name}`; it has {}",
                    description.name,
                    description.component,
                    names.join(", ")
                ))
            })
        };
        let mut ins: Vec<Option<Output>> = description.inputs.iter().map(|_| None).collect();
        for (name, value) in inputs {
            ins[place(&description.inputs, name, "input")?] = Some(value);
        }
        let places: Vec<usize> =
            wanted.iter().map(|name| place(&description.outputs, name, "output")).collect::<Result<_>>()?;
        let asked = (0..description.outputs.len()).map(|i| places.contains(&i));
        let mut outputs = self.invoke(handle, method::CALL, ins, asked)?;
        Ok(places.into_iter().map(|place| outputs.get_mut(place).and_then(Option::take)).collect())
    }

    fn describe(&self, handle: Handle) -> Result<Description> {
        let (mut out, mut error) = (empty_owned(), crate::boundary::empty_error());
        // SAFETY: valid context and out pointers.
        let code = unsafe { (host()?.describe)(self.0, handle.0, &raw mut out, &raw mut error) };
        check(code, error)?;
        Ok(serde_json::from_slice(&take_owned(&mut out))?)
    }

    fn seed(&self, stream: &str, row: u64) -> u64 {
        // SAFETY: valid context; a host is there, or no context would be.
        host().map_or(0, |host| unsafe { (host.random)(self.0, text(stream), row) })
    }

    fn length(&self, handle: Handle) -> Result<usize> {
        match self.invoke(handle, method::LENGTH, Vec::new(), all(1))?.pop().flatten() {
            Some(Output::Int(length)) => {
                usize::try_from(length).map_err(|_| Error::new("a length is not negative"))
            }
            _ => Err(Error::new("the data did not say its length")),
        }
    }

    fn read(&self, handle: Handle, indices: &[i64]) -> Result<Columns> {
        let names = self.describe(handle)?.outputs;
        let inputs = vec![Some(Output::Tensor(Tensor::from_slice(indices)))];
        let values = self.invoke(handle, method::READ, inputs, all(names.len()))?;
        Ok(named_columns(names, values))
    }

    fn export(&self, handle: Handle) -> Result<Vec<u8>> {
        match self.invoke(handle, method::EXPORT, Vec::new(), all(1))?.pop().flatten() {
            Some(Output::Bytes(bytes)) => Ok(bytes),
            _ => Err(Error::new("the tokenizer did not give its `tokenizer.json`")),
        }
    }

    fn cancelled(&self) -> bool {
        // SAFETY: valid context.
        host().is_ok_and(|host| unsafe { (host.cancelled)(self.0) })
    }

    fn artifact(&self, name: &str, media_type: &str, content: &[u8]) {
        if let Ok(host) = host() {
            let content = Str { ptr: content.as_ptr(), len: content.len() };
            // SAFETY: valid context; strings live through the call.
            unsafe { (host.artifact)(self.0, text(name), text(media_type), content) }
        }
    }
}

macro_rules! shared_methods {
    () => {
        /// A seed that depends on the run's seed, this instance, the stream, and `row` (in a call:
        /// also on the update, with `row` the row of this part of it).
        pub fn seed(&self, stream: &str, row: usize) -> u64 {
            self.raw.seed(stream, row as u64)
        }

        /// A generator seeded by [`Self::seed`].
        pub fn rng(&self, stream: &str, row: usize) -> ChaCha8Rng {
            ChaCha8Rng::seed_from_u64(self.seed(stream, row))
        }

        /// What a reference is.
        pub fn describe(&self, handle: Handle) -> Result<Description> {
            self.raw.describe(handle)
        }

        /// The number of examples of a data reference.
        pub fn length(&self, handle: Handle) -> Result<usize> {
            self.raw.length(handle)
        }

        /// Rows of a data reference.
        pub fn read(&self, handle: Handle, indices: &[i64]) -> Result<Columns> {
            self.raw.read(handle, indices)
        }

        /// The `tokenizer.json` of a tokenizer reference.
        pub fn export(&self, handle: Handle) -> Result<Vec<u8>> {
            self.raw.export(handle)
        }

        /// Calls a reference: `method` is one of [`zoo_abi::method`], inputs and outputs stand in
        /// the order of its schema.
        pub fn invoke(
            &self,
            handle: Handle,
            method: u32,
            inputs: Vec<Output>,
            outputs: usize,
        ) -> Result<Vec<Option<Output>>> {
            self.raw.invoke(handle, method, inputs.into_iter().map(Some).collect(), all(outputs))
        }

        /// Calls a reference with inputs by name (a list for a port that repeats), and gives the
        /// outputs of these names, in their order; others need not be computed. The description is
        /// what [`Self::describe`] says of it, for the caller to keep.
        pub fn call_by_name(
            &self,
            handle: Handle,
            description: &Description,
            inputs: Vec<(&str, Output)>,
            wanted: &[&str],
        ) -> Result<Vec<Option<Output>>> {
            self.raw.call_by_name(handle, description, inputs, wanted)
        }

        /// Whether the run was asked to stop: long work looks now and then and answers
        /// [`Error::cancelled`].
        pub fn cancelled(&self) -> bool {
            self.raw.cancelled()
        }

        /// Keeps a picture, table or text for the report.
        pub fn artifact(&self, name: &str, media_type: &str, content: &[u8]) {
            self.raw.artifact(name, media_type, content);
        }
    };
}

/// The host's side while a component is built.
#[derive(Debug)]
pub struct Build<'a> {
    raw: Raw,
    lifetime: PhantomData<&'a ()>,
}

impl Build<'_> {
    pub(crate) fn new(context: *mut Context) -> Self {
        Self { raw: Raw(context), lifetime: PhantomData }
    }

    shared_methods!();

    fn make(&mut self, name: &str, shape: &[i64], kind: Kind, init: Init, trainable: bool) -> Result<Tensor> {
        let spec = zoo_abi::ParamSpec {
            size: size_of::<zoo_abi::ParamSpec>() as u32,
            dtype: scalar_type(kind)?,
            shape: shape.as_ptr(),
            dims: shape.len(),
            init: init.raw(),
            trainable,
        };
        let (mut out, mut error) = (zoo_abi::Tensor(std::ptr::null_mut()), crate::boundary::empty_error());
        // SAFETY: valid context; the spec and the name live through the call.
        let code =
            unsafe { (host()?.param)(self.raw.0, text(name), &raw const spec, &raw mut out, &raw mut error) };
        check(code, error)?;
        if out.0.is_null() {
            return Err(Error::new(format!("the host gave no tensor for parameter `{name}`")));
        }
        // SAFETY: the handle that goes out is ours.
        Ok(unsafe { Tensor::from_ptr(out.0.cast()) })
    }

    /// A trained parameter, float32. The host owns it, draws its initial values, and loads, saves
    /// and trains it; the tensor given stays valid when it is moved.
    pub fn parameter(&mut self, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        self.make(name, shape, Kind::Float, init, true)
    }

    /// A tensor that is saved but not trained.
    pub fn buffer(&mut self, name: &str, shape: &[i64], kind: Kind, init: Init) -> Result<Tensor> {
        self.make(name, shape, kind, init, false)
    }

    /// For an adapter: the site that this instance acts on.
    pub fn site(&self) -> Option<SiteSizes> {
        // Handle 0 is the instance itself.
        self.raw.describe(Handle(0)).ok()?.site
    }

    /// The path on this machine of an asset (`file:`, `https:`, `hf:`, `pypi:`), fetched and
    /// checked if need be.
    pub fn asset(&mut self, uri: &str) -> Result<PathBuf> {
        let (mut out, mut error) = (empty_owned(), crate::boundary::empty_error());
        // SAFETY: valid context and out pointers.
        let code = unsafe { (host()?.asset)(self.raw.0, text(uri), &raw mut out, &raw mut error) };
        check(code, error)?;
        path_of(&mut out)
    }

    /// The path of a file that depends on nothing but this component's parameters, its references
    /// and its plugin. `produce` writes it, and is called only where no earlier run left it.
    /// `produce` may read references meanwhile.
    pub fn stage<F: FnOnce(&Path) -> Result<()>>(&self, name: &str, produce: F) -> Result<PathBuf> {
        let mut produce = Some(produce);
        let (mut out, mut error) = (empty_owned(), crate::boundary::empty_error());
        // SAFETY: `user` is the closure above, which outlives the call; `run::<F>` knows its type.
        let code = unsafe {
            (host()?.stage)(
                self.raw.0,
                text(name),
                crate::boundary::produce::<F>,
                (&raw mut produce).cast::<c_void>(),
                &raw mut out,
                &raw mut error,
            )
        };
        check(code, error)?;
        path_of(&mut out)
    }
}

fn path_of(out: &mut zoo_abi::Owned) -> Result<PathBuf> {
    let bytes = take_owned(out);
    let path = String::from_utf8(bytes).map_err(|_| Error::new("the host gave a path that is not UTF-8"))?;
    Ok(PathBuf::from(path))
}

/// The host's side while a component is called.
#[derive(Debug)]
pub struct Call<'a> {
    raw: Raw,
    wanted: Vec<&'a str>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(context: *mut Context, wanted: Vec<&'a str>) -> Self {
        Self { raw: Raw(context), wanted }
    }

    shared_methods!();

    /// Whether the caller wants this output.
    pub fn wants(&self, output: &str) -> bool {
        self.wanted.contains(&output)
    }

    fn mode(&self) -> u64 {
        // SAFETY: valid context.
        host().map_or(0, |host| unsafe { (host.mode)(self.raw.0) })
    }

    /// Whether dropout and the like are active.
    pub fn training(&self) -> bool {
        self.mode() & mode::TRAINING != 0
    }

    /// Whether gradients are recorded.
    pub fn gradients(&self) -> bool {
        self.mode() & mode::GRADIENTS != 0
    }

    /// Whether what belongs to an example must stay in a row of its own, padding included, as the gradient of
    /// every example is looked at or memory is measured. Else rows may be laid out anew, without padding for
    /// example.
    pub fn keeps_rows(&self) -> bool {
        self.mode() & mode::ROWS != 0
    }

    /// The present value of a parameter that varies in time; NaN when there is none of that name.
    pub fn current(&self, parameter: &str) -> f64 {
        // SAFETY: valid context; the string lives through the call.
        host().map_or(f64::NAN, |host| unsafe { (host.current)(self.raw.0, text(parameter)) })
    }

    /// Records a number beside the step's own logs.
    pub fn metric(&self, name: &str, value: f64) {
        if let Ok(host) = host() {
            // SAFETY: valid context; the string lives through the call.
            unsafe { (host.metric)(self.raw.0, text(name), value) }
        }
    }

    /// What adapters on the site make of `y`, computed from `x`; `y` itself where there are none.
    pub fn site(&self, name: &str, x: &Tensor, y: Tensor) -> Result<Tensor> {
        let handle = |t: &Tensor| zoo_abi::Tensor(t.as_ptr().cast_mut().cast());
        let (mut out, mut error) = (zoo_abi::Tensor(std::ptr::null_mut()), crate::boundary::empty_error());
        // SAFETY: valid context; both tensors live through the call.
        let code = unsafe {
            (host()?.site)(self.raw.0, text(name), handle(x), handle(&y), &raw mut out, &raw mut error)
        };
        check(code, error)?;
        // A null answer means that nobody changed it.
        if out.0.is_null() {
            return Ok(y);
        }
        // SAFETY: the handle that goes out is ours.
        Ok(unsafe { Tensor::from_ptr(out.0.cast()) })
    }
}
