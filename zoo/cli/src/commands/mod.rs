//! The commands, a module each.

mod attached;
pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod fmt;
pub(crate) mod graph;
pub(crate) mod inference;
pub(crate) mod plan;
pub(crate) mod plugin;
pub(crate) mod plugin_allow;
pub(crate) mod plugin_new;
pub(crate) mod plugin_test;
pub(crate) mod reference;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod why;
