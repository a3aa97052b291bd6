//! Loads plugins, builds components, and guards every call.
//!
//! ```no_run
//! use std::sync::Arc;
//! use zoo_host::{CallScope, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
//! # fn main() -> zoo_host::Result<()> {
//! # let (instance, logits, replaced): (zoo_schema::experiment::Instance, Value, Value) = unimplemented!();
//! let path = PluginPath { path: "target/release/libzoo_language_modelling.so".into(), hash: None };
//! let registry = Arc::new(Registry::load(&[path])?);
//! let environment = Arc::new(LocalEnvironment { folder: "/tmp/stages".into() });
//! let world = World::new(registry, environment, WorldOptions { run_seed: 1, ..Default::default() });
//! let objective = world.create(&instance)?;
//! let scope = CallScope { node: "loss".into(), gradients: true, training: true, ..Default::default() };
//! let mut outputs = world.call(objective, &scope, &[("logits", &logits), ("replaced", &replaced)])?;
//! let loss = outputs.take_tensor("loss");
//! # Ok(()) }
//! ```
//!
//! * [`Registry`]: plugin files, opened after their sections were read and compared, and never closed.
//! * [`World`]: instances under one seed; the host owns every parameter, stream of randomness and
//!   switch of libtorch, a component is a function between them.
//! * [`Environment`]: what the engine does for components: assets, stages, metrics.
//! * [`Error`]: says plugin, component, instance and step, and `at` which parameter or port.
//!
//! Around every call the gradient mode, autocast and libtorch's unread errors are put right, inputs
//! and outputs are held against the schema, writes into inputs are found, and a panic ends the
//! instance. `unsafe` lives in the modules `raw`, `loader`, `functions`, and at the four calls
//! through a component's table.

mod call;
mod check;
mod error;
mod functions;
mod guard;
mod initial;
mod instance;
mod loader;
mod parameters;
mod raw;
mod scope;
mod seed;
mod value;
mod weights;
mod world;

pub use call::draw;
pub use error::{Action, ComponentError, Error, Fault, LoadFault, Result, Step, WeightsFault};
pub use initial::Initial;
pub use loader::{LoadedPlugin, PluginPath, Registry};
pub use parameters::Parameter;
pub use scope::{Asset, CallScope, Environment, EnvironmentError, LocalEnvironment, Stage, Wanted};
pub use seed::{Part, hash, seed};
pub use value::{Outputs, Value};
pub use weights::{read_weights, weight_shapes};
pub use world::{InstanceId, World, WorldOptions};

/// The version of libtorch that zoo was built with, `2.11.0`.
pub const LIBTORCH: &str = env!("ZOO_LIBTORCH_VERSION");
