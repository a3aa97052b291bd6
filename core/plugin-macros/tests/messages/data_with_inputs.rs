use zoo_plugin_macros::component;

/// Squared differences.
///
/// # Example
/// ```mlm
/// objective fit = example.squares()
/// ```
#[component(
    data,
    name = "example.squares",
    inputs(x: "float[B]" = "numbers"),
    outputs(row: "float[B]" = "a column")
)]
struct Squares;

fn main() {}
