use zoo_plugin_macros::component;

/// Squared differences.
///
/// # Example
/// ```mlm
/// objective fit = example.squares()
/// ```
#[component(
    objective,
    inputs(x: "float[B]" = "numbers"),
    outputs(loss: "float[]" = "their sum")
)]
struct Squares;

fn main() {}
