use zoo_plugin_macros::component;

/// Squared differences.
///
/// # Example
/// ```mlm
/// objective fit = example.squares()
/// ```
#[component(
    objective,
    name = "example.squares",
    inputs(x: "float[B]"),
    outputs(loss: "float[]" = "their sum")
)]
struct Squares;

fn main() {}
