//! The SDK for plugin authors.
//!
//! A component is a struct of parameters with the attribute [`component`](macro@component), and an implementation of
//! [`Component`]. [`export_plugin!`] stands once in the crate and makes the entry symbol.
//!
//! ```
//! use zoo_plugin::prelude::*;
//!
//! /// The sum of squared differences, for regression.
//! ///
//! /// # Example
//! /// ```mlm
//! /// objective fit = example.squared_error()
//! /// ```
//! #[component(
//!     objective,
//!     name = "example.squared_error",
//!     inputs(predicted: "float[B]" = "predictions", wanted: "float[B]" = "targets"),
//!     outputs(loss: "float[]" = "sum over the examples"),
//!     count_inputs(wanted),
//! )]
//! pub struct SquaredError {
//!     /// Factor of the loss.
//!     #[param(default = 1.0, range = "> 0")]
//!     pub scale: f64,
//! }
//!
//! impl Component for SquaredError {
//!     type State = ();
//!
//!     fn build(&self, _: &mut Build<'_>) -> Result<()> {
//!         Ok(())
//!     }
//!
//!     fn call(&self, _: &(), x: SquaredErrorInputs<'_>, _: &mut Call<'_>) -> Result<SquaredErrorOutputs> {
//!         let difference = x.predicted.f_sub(x.wanted)?;
//!         let loss = difference.f_mul(&difference)?.f_sum(None)?.f_mul_scalar(self.scale)?;
//!         Ok(SquaredErrorOutputs { loss })
//!     }
//!
//!     fn count(&self, _: &(), ports: &Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
//!         Ok(ports.required("wanted")?.tensor("wanted")?.size()[0] as f64)
//!     }
//! }
//! ```
//!
//! | you want | look at |
//! | --- | --- |
//! | parameters, ports, effects, sites, costs of a component | [`component`](macro@component) |
//! | what a component does | [`Component`] |
//! | trained parameters, adapters' sites, streams of random numbers | [`Build`], [`Call`] |
//! | tables, texts and repeated ports | [`Columns`], [`Texts`], [`Inputs`], [`Port`] |
//! | layers whose parameters zoo owns | [`Linear`], [`LayerNorm`], [`Embedding`], [`dropout`] |
//! | errors that point at a parameter or port | [`Error`] |

#![deny(missing_docs)]

pub mod boundary;
mod component;
mod context;
mod documents;
mod error;
mod layers;
mod log;
mod values;

pub use component::{Component, Ports, Registration};
pub use context::{Build, Call, Description, Handle, Init, SiteSizes, Varying};
pub use documents::Documents;
pub use error::{Error, Result};
pub use inventory;
pub use layers::{Embedding, LayerNorm, Linear, dropout};
pub use serde;
pub use tch::Tensor;
pub use values::{Columns, Inputs, IntoOutput, Output, Outputs, Port, Texts};
pub use zoo_abi as abi;
pub use zoo_plugin_macros::component;

/// What a plugin's modules import.
pub mod prelude {
    pub use crate::{
        Build, Call, Columns, Component, Documents, Embedding, Error, Handle, Init, Inputs, LayerNorm,
        Linear, Result, Tensor, Texts, Varying, component, dropout,
    };
    pub use rand::{Rng, RngExt, SeedableRng};
    pub use rand_chacha::ChaCha8Rng;
    pub use tch::{Device, Kind};
}

/// Makes the plugin's entry symbol; once, in `lib.rs`. The plugin's name and version are the crate's.
#[macro_export]
macro_rules! export_plugin {
    ($name:ident) => {
        const _: () = {
            const BUILD: &str = concat!(
                "{\"name\":\"",
                env!("CARGO_PKG_NAME"),
                "\",\"version\":\"",
                env!("CARGO_PKG_VERSION"),
                "\",\"abi\":\"1.0\",\"entry\":\"zoo_plugin_v1_",
                stringify!($name),
                "\",\"libtorch\":\"",
                env!("ZOO_LIBTORCH_VERSION"),
                "\",\"compiler\":\"",
                env!("ZOO_COMPILER"),
                "\",\"target\":\"",
                env!("ZOO_TARGET"),
                "\",\"panic\":\"unwind\",\"sdk\":\"0.1.0\"}"
            );
            #[cfg(panic = "abort")]
            compile_error!(
                "a plugin needs `panic = \"unwind\"`: a panic must end in an error, not in the end of zoo"
            );
            #[used]
            #[unsafe(link_section = ".zoo_meta")]
            static META: [u8; BUILD.len()] = {
                let mut bytes = [0; BUILD.len()];
                let mut i = 0;
                while i < bytes.len() {
                    bytes[i] = BUILD.as_bytes()[i];
                    i += 1;
                }
                bytes
            };
            $crate::export_entry!($name, BUILD);
        };
    };
}

/// Part of [`export_plugin!`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_entry {
    ($name:ident, $build:ident) => {
        #[unsafe(export_name = concat!("zoo_plugin_v1_", stringify!($name)))]
        unsafe extern "C" fn entry(host: *const $crate::abi::Host) -> *const $crate::abi::Plugin {
            // SAFETY: the ABI: a host passes its own table, with its size in it.
            unsafe {
                $crate::boundary::entry(host, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), $build)
            }
        }
    };
}
