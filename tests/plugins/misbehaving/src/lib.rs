//! A plugin that breaks every rule of the ABI, one fault at a time.
//!
//! * Faults of the file and its table: the text after [`SWITCH_MARK`] in the file, which a test
//!   changes in a copy of it.
//! * Faults of a component built with the SDK: the parameter `fault` of `misbehaving.sdk`.
//! * Faults of one that speaks the C ABI itself: the parameter `fault` of `misbehaving.raw`.
//! * Promises that are not kept: the other components, each for a check of the conformance suite.

mod dishonest;
mod raw;
mod sdk;
mod table;

pub use dishonest::{
    AcrossDocuments, Drifting, MeanLoss, Neighbour, NotANumber, Sleeper, Unmasked, Unrestarted, WrongGradient,
};
pub use raw::Raw;
pub use sdk::Sdk;
pub use table::{SWITCH_LENGTH, SWITCH_MARK};

const BUILD: &str = concat!(
    "{\"name\":\"zoo-misbehaving\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\",\"abi\":\"1.0\",\"entry\":\"zoo_plugin_v1_zoo_misbehaving\",\"libtorch\":\"",
    env!("ZOO_LIBTORCH_VERSION"),
    "\",\"compiler\":\"",
    env!("ZOO_COMPILER"),
    "\",\"target\":\"",
    env!("ZOO_TARGET"),
    "\",\"panic\":\"unwind\",\"sdk\":\"0.1.0\"}"
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

/// The SDK's table, and what the switch makes of it.
#[unsafe(export_name = "zoo_plugin_v1_zoo_misbehaving")]
extern "C" fn entry(host: *const zoo_plugin::abi::Host) -> *const zoo_plugin::abi::Plugin {
    // SAFETY: the host's table, passed on.
    let table =
        unsafe { zoo_plugin::boundary::entry(host, "zoo-misbehaving", env!("CARGO_PKG_VERSION"), BUILD) };
    if table.is_null() {
        return table;
    }
    raw::keep(host);
    // SAFETY: the SDK's table, which lives as long as the process.
    unsafe { table::spoil(&*table) }
}
