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
    /// How often.
    #[param(defualt = 3)]
    times: usize,
}

fn main() {}
