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
    outputs(loss: "float[]" = "their sum")
)]
struct Squares {
    /// How.
    #[param(default = "median", one_of("mean", "sum"))]
    how: String,
}

fn main() {}
