//! The tests bring libtorch into their process for the plugins that they load.

fn main() {
    zoo_plugin_build::configure_host();
}
