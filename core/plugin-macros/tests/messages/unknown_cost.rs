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
    inputs(x: "float[B]" = "numbers"),
    outputs(loss: "float[]" = "their sum"),
    cost(memory = "4 * B")
)]
struct Squares;

fn main() {}
