//! Brings libtorch into the process for the plugins that are tested.

fn main() {
    zoo_plugin_build::configure_host();
}
