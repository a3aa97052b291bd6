use zoo_plugin_macros::component;

/// Squared differences.
#[component(
    objective,
    name = "example.squares",
    inputs(x: "float[B]" = "numbers"),
    outputs(loss: "float[]" = "their sum")
)]
struct Squares;

fn main() {}
