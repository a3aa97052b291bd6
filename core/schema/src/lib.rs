//! What components declare and what a checked recipe is.
//!
//! * [`component`]: the schema of a component, as its plugin file carries it in JSON.
//! * [`types`]: the types of parameters and ports, with their text form.
//! * [`formula`]: arithmetic over parameter and dimension names, for defaults and costs.
//! * [`kinds`]: what a component of a kind must look like.
//! * [`experiment`]: what the checker hands to the engine: every arm complete, every default filled in.
//!
//! No I/O, no libtorch.

pub mod component;
pub mod experiment;
pub mod formula;
pub mod kinds;
pub mod types;

pub use component::{
    Build, Component, Cost, Default, Effects, OptimizerState, Parameter, Port, Site, StateLayout,
};
pub use types::{Dim, Dtype, ParameterType, PortType};
