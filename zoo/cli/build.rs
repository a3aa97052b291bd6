fn main() {
    // The version of libtorch that plugins are compared with; nothing is linked.
    zoo_plugin_build::facts();
}
