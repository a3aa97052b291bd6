//! The version of libtorch that plugins are compared with.

fn main() {
    zoo_plugin_build::configure_host();
}
