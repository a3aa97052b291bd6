fn main() {
    zoo_plugin_build::configure();
}
