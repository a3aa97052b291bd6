//! The C ABI between zoo and its plugins. Types only: no code, no dependencies.
//!
//! Rules that hold for every function below:
//! * it is `extern "C"`, never unwinds, and reports failure by a status and an [`Error`];
//! * a pointer or [`Str`] that comes in is borrowed until the function returns;
//! * a [`Tensor`] that comes in is borrowed and read-only (except the ports that an optimizer's
//!   schema lists as written); one that goes out is owned by the receiver;
//! * an [`Owned`] is freed by the receiver, through its own `free`;
//! * a struct only ever grows at its end, and says its `size`.
//!
//! It compiles with old compilers too (Rust 1.63).
#![no_std]
use core::ffi::c_void;
use core::mem::size_of;

/// The first eight bytes of every [`Plugin`] table, read before anything else.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ZOOPLUG1");
/// Incompatible changes; part of the entry symbol's name.
pub const MAJOR: u16 = 1;
/// Additions at the end of a struct.
pub const MINOR: u16 = 0;
/// The entry symbol is this, followed by the plugin's name with `-` written as `_`.
pub const ENTRY_PREFIX: &str = "zoo_plugin_v1_";
/// ELF section with the plugin's [build facts](Plugin::build_json), readable without loading.
pub const META_SECTION: &str = ".zoo_meta";
/// ELF section with one frame a component: `u32` length in little-endian order, then that many
/// bytes of schema JSON, then zeros up to a multiple of eight. A frame of length zero is padding.
pub const SCHEMA_SECTION: &str = ".zoo_schema";

/// What a function answers.
pub mod status {
    /// Done.
    pub const OK: i32 = 0;
    /// A named failure; see the [`Error`](super::Error).
    pub const ERROR: i32 = 1;
    /// The plugin panicked; the instance must not be called again.
    pub const PANIC: i32 = 2;
    /// libtorch raised an exception.
    pub const TORCH: i32 = 3;
    /// Stopped because the run was asked to stop.
    pub const CANCELLED: i32 = 4;
    /// The other side is older and has no such function, or it makes no sense here.
    pub const UNSUPPORTED: i32 = 5;
}

/// What a [`Value`] holds.
pub mod tag {
    /// Nothing: an absent optional input, or an output that nobody asked for.
    pub const NONE: u32 = 0;
    /// `payload.tensor`.
    pub const TENSOR: u32 = 1;
    /// `payload.int`.
    pub const INT: u32 = 2;
    /// `payload.real`.
    pub const REAL: u32 = 3;
    /// `payload.bytes`: one string or blob.
    pub const BYTES: u32 = 4;
    /// `payload.bytes`: a column of strings. `u64` count, then count + 1 `u64` offsets into the
    /// UTF-8 bytes that follow, all little-endian.
    pub const TEXTS: u32 = 5;
    /// `payload.list`: values of one port that repeats.
    pub const LIST: u32 = 6;
    /// On entry in `outs`: the caller wants this output.
    pub const WANTED: u32 = 7;
}

/// Which function of an instance [`Component::call`] runs.
pub mod method {
    /// The component itself: inputs and outputs as its schema lists them.
    pub const CALL: u32 = 0;
    /// Data: no inputs; one output, the number of examples (`INT`).
    pub const LENGTH: u32 = 1;
    /// Data: one input, the indices (tensor `int[N]`); the outputs of the schema, N rows each.
    pub const READ: u32 = 2;
    /// Objective: the inputs that its schema lists under `count_inputs`; one output, the number of
    /// targets (`REAL`) by which the whole update's sum is divided.
    pub const COUNT: u32 = 3;
    /// Metric: no inputs; one `REAL` output, the value over all calls since the last reset.
    pub const FINISH: u32 = 4;
    /// Metric: no inputs, no outputs; forgets what was accumulated.
    pub const RESET: u32 = 5;
    /// Tokenizer: no inputs; one `BYTES` output, the `tokenizer.json`.
    pub const EXPORT: u32 = 6;
}

/// [`Component::flags`].
pub mod flag {
    /// `call` may run on several threads at once.
    pub const CONCURRENT: u64 = 1;
}

/// What [`Host::mode`] answers.
pub mod mode {
    /// Dropout and the like are active.
    pub const TRAINING: u64 = 1;
    /// Gradients are recorded.
    pub const GRADIENTS: u64 = 2;
    /// What belongs to an example must stay in a row of its own: the gradient of every one is looked at, or
    /// memory is measured.
    pub const ROWS: u64 = 4;
}

/// How a parameter starts: [`Init::kind`].
pub mod init {
    /// All zero.
    pub const ZEROS: u32 = 0;
    /// All one.
    pub const ONES: u32 = 1;
    /// All `a`.
    pub const CONSTANT: u32 = 2;
    /// Normal with mean `a` and standard deviation `b`.
    pub const NORMAL: u32 = 3;
    /// Normal with mean `a` and standard deviation `b`, redrawn outside two deviations.
    pub const TRUNCATED_NORMAL: u32 = 4;
    /// Uniform in `[a, b)`.
    pub const UNIFORM: u32 = 5;
}

/// A borrowed UTF-8 string.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    /// First byte; may dangle when `len` is zero.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

/// Bytes that the receiver frees through `free`.
#[repr(C)]
#[derive(Debug)]
pub struct Owned {
    /// First byte; null when there is nothing.
    pub ptr: *mut u8,
    /// Length in bytes.
    pub len: usize,
    /// Capacity, for `free`.
    pub cap: usize,
    /// Frees the bytes; absent when there is nothing to free.
    pub free: Option<unsafe extern "C" fn(*mut Owned)>,
}

/// `at::Tensor*`: the same pointer that libtorch's stable C shim calls `AtenTensorHandle`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Tensor(pub *mut c_void);

/// Several values for one port. As an input borrowed; as an output the receiver takes the values
/// and frees the array through `free`.
#[repr(C)]
#[derive(Debug)]
pub struct List {
    /// First value.
    pub ptr: *mut Value,
    /// How many.
    pub len: usize,
    /// Frees the array and this struct, not the values; absent when borrowed.
    pub free: Option<unsafe extern "C" fn(*mut List)>,
}

/// The content of a [`Value`]; its tag says which field is meant.
#[repr(C)]
#[derive(Clone, Copy)]
pub union Payload {
    /// For [`tag::TENSOR`].
    pub tensor: Tensor,
    /// For [`tag::INT`].
    pub int: i64,
    /// For [`tag::REAL`].
    pub real: f64,
    /// For [`tag::BYTES`] and [`tag::TEXTS`]. As an output the [`Owned`] itself is allocated by the
    /// sender and freed together with its bytes by its `free`.
    pub bytes: *mut Owned,
    /// For [`tag::LIST`].
    pub list: *mut List,
}

/// One input or output of a call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Value {
    /// One of [`tag`].
    pub tag: u32,
    /// Zero.
    pub reserved: u32,
    /// What the tag says.
    pub payload: Payload,
}

impl core::fmt::Debug for Value {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Value").field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// Why a function failed. The host passes a zeroed one; the plugin fills in what it knows.
#[repr(C)]
#[derive(Debug)]
pub struct Error {
    /// Free for the plugin's own numbering.
    pub code: u32,
    /// Zero.
    pub reserved: u32,
    /// One line: what is wrong.
    pub message: Owned,
    /// What to do about it.
    pub help: Owned,
    /// The parameter or port that is wrong (`layers`, `in.hidden`), for the caret in the recipe.
    pub at: Owned,
}

/// How a parameter starts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Init {
    /// One of [`init`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// First number of the kind.
    pub a: f64,
    /// Second number of the kind.
    pub b: f64,
}

/// What a component asks of [`Host::param`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ParamSpec {
    /// Size of this struct.
    pub size: u32,
    /// libtorch's scalar type number.
    pub dtype: i32,
    /// Sizes.
    pub shape: *const i64,
    /// How many sizes.
    pub dims: usize,
    /// Initial values.
    pub init: Init,
    /// False for a buffer: saved, not trained.
    pub trainable: bool,
}

/// A component's state on the plugin's side.
#[derive(Debug)]
pub enum Instance {}
/// The host's side of one create or call; valid until that function returns.
#[derive(Debug)]
pub enum Context {}

/// Writes what a stage produces into the file at `path`; `user` is passed through.
pub type Produce = unsafe extern "C" fn(user: *mut c_void, path: Str, *mut Error) -> i32;

/// What the host does for a plugin. Every slot is filled by a host of the same minor version.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Size of this struct on the host's side.
    pub size: u32,
    /// [`MAJOR`] of the host.
    pub major: u16,
    /// [`MINOR`] of the host.
    pub minor: u16,
    /// libtorch's version, `2.11.0`.
    pub libtorch: Str,
    /// Whether a message of this level (1 error … 5 trace) would be kept.
    pub log_enabled: unsafe extern "C" fn(level: u32, target: Str) -> bool,
    /// Keeps a message; the fields are one JSON object.
    pub log: unsafe extern "C" fn(level: u32, target: Str, message: Str, fields_json: Str),
    /// During create: the tensor of a parameter, made and owned by the host.
    pub param:
        unsafe extern "C" fn(*mut Context, name: Str, *const ParamSpec, out: *mut Tensor, *mut Error) -> i32,
    /// During create: the path on this machine of an asset, fetched and checked if need be.
    pub asset: unsafe extern "C" fn(*mut Context, uri: Str, path: *mut Owned, *mut Error) -> i32,
    /// During create: the path of a file that depends on nothing but this component's parameters
    /// and references. `produce` is called only where no earlier run left it.
    pub stage: unsafe extern "C" fn(
        *mut Context,
        name: Str,
        produce: Produce,
        user: *mut c_void,
        path: *mut Owned,
        *mut Error,
    ) -> i32,
    /// During call: what adapters on the site `name` make of `y`, computed from `x`.
    pub site: unsafe extern "C" fn(
        *mut Context,
        name: Str,
        x: Tensor,
        y: Tensor,
        out: *mut Tensor,
        *mut Error,
    ) -> i32,
    /// A seed that depends on the run's seed, this instance, the stream's name, the step, and the
    /// row's place in the whole update: never on how the update is split.
    pub random: unsafe extern "C" fn(*mut Context, stream: Str, row: u64) -> u64,
    /// The present value of a parameter that may vary in time; NaN when there is none of that name.
    pub current: unsafe extern "C" fn(*mut Context, name: Str) -> f64,
    /// Flags of [`mode`].
    pub mode: unsafe extern "C" fn(*mut Context) -> u64,
    /// Records a number beside the step's own logs.
    pub metric: unsafe extern "C" fn(*mut Context, name: Str, value: f64),
    /// Keeps a picture, table or text for the report.
    pub artifact: unsafe extern "C" fn(*mut Context, name: Str, media_type: Str, content: Str),
    /// Whether the run was asked to stop; long work looks now and then.
    pub cancelled: unsafe extern "C" fn(*mut Context) -> bool,
    /// Calls another component, which came as a reference among the parameters.
    pub invoke: unsafe extern "C" fn(
        *mut Context,
        handle: u64,
        method: u32,
        ins: *const Value,
        n_in: usize,
        outs: *mut Value,
        n_out: usize,
        *mut Error,
    ) -> i32,
    /// JSON of what a reference is: `{"name", "component", "parameters", "outputs"}`.
    pub describe: unsafe extern "C" fn(*mut Context, handle: u64, out: *mut Owned, *mut Error) -> i32,
}

/// One component of a plugin.
#[repr(C)]
#[derive(Debug)]
pub struct Component {
    /// Size of this struct on the plugin's side.
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// Flags of [`flag`].
    pub flags: u64,
    /// `namespace.name`, as recipes write it.
    pub name: Str,
    /// The schema: the same bytes as in [`SCHEMA_SECTION`].
    pub schema_json: Str,
    /// Makes an instance. The JSON object holds every parameter of the schema in base units; a
    /// reference to another component is its handle, an integer.
    pub create:
        unsafe extern "C" fn(*mut Context, params_json: Str, out: *mut *mut Instance, *mut Error) -> i32,
    /// Runs a [`method`]. Inputs and outputs stand in schema order, absent ones as [`tag::NONE`].
    pub call: unsafe extern "C" fn(
        *mut Instance,
        *mut Context,
        method: u32,
        ins: *const Value,
        n_in: usize,
        outs: *mut Value,
        n_out: usize,
        *mut Error,
    ) -> i32,
    /// The state that is not a parameter, for a checkpoint.
    pub save: Option<unsafe extern "C" fn(*mut Instance, out: *mut Owned, *mut Error) -> i32>,
    /// Takes back what `save` gave.
    pub load: Option<unsafe extern "C" fn(*mut Instance, state: Str, *mut Error) -> i32>,
    /// Frees an instance.
    pub drop: unsafe extern "C" fn(*mut Instance),
}

/// What a plugin's entry function returns; lives as long as the process.
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// [`MAGIC`].
    pub magic: u64,
    /// Size of this struct on the plugin's side.
    pub size: u32,
    /// [`MAJOR`] the plugin was built for.
    pub major: u16,
    /// The lowest [`MINOR`] it needs.
    pub minor: u16,
    /// The plugin's name.
    pub name: Str,
    /// The plugin's version, semver.
    pub version: Str,
    /// Build facts: the same bytes as in [`META_SECTION`].
    pub build_json: Str,
    /// The components.
    pub components: *const *const Component,
    /// How many.
    pub len: usize,
}

/// `zoo_plugin_v1_<name>`
pub type Entry = unsafe extern "C" fn(*const Host) -> *const Plugin;

const _: () = assert!(size_of::<Value>() == 16 && size_of::<Str>() == 16 && size_of::<Owned>() == 32);
const _: () = assert!(size_of::<Host>() == 136);
const _: () = assert!(size_of::<Component>() == 88 && size_of::<Plugin>() == 80 && size_of::<Error>() == 104);
const _: () = assert!(size_of::<ParamSpec>() == 56 && size_of::<List>() == 24);
