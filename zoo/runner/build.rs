//! The runner brings libtorch into the process for the plugins that it loads.

fn main() {
    zoo_plugin_build::configure_host();
}
