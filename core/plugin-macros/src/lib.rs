//! The component attribute and its schema, at compile time. Use it through `zoo_plugin::prelude`.

mod arguments;
mod component;
mod parameters;

use proc_macro::TokenStream;

/// Declares a component on the struct that holds its parameters.
///
/// ```text
/// #[component(
///     objective,
///     name = "language_modelling.masked_cross_entropy",
///     inputs(logits: "float[M, V]" = "scores", targets: "int[M]" = "ids", mask: "int[M]"? = "…"),
///     outputs(loss: "float[]" = "sum over targets"),
///     count_inputs(targets),
///     cost(flops = "5 * M * V"),
///     bounds(T = "maximum_length"),
///     random, state, parameters, loader, whole_update, stops_gradient,
///     writes(parameters, states),
///     sites("layers.{layers}.attention.query": "hidden" => "hidden"),
/// )]
/// ```
///
/// After a port's type, `?` makes an input or output optional and `*` lets it repeat; after the
/// document string, `better = "higher"` gives an output a direction and `columns_from = "texts"`
/// names the parameter that lists the columns. The struct's doc comment is the component's user
/// reference: first line, text, `# Paper`, `# Example` with a fenced `mlm` block.
///
/// Fields take `#[param(default = …, default_formula = "…", range = "…", kind = "fraction",
/// one_of("a", "b"), component = "tokenizer", varies)]`.
#[proc_macro_attribute]
pub fn component(arguments: TokenStream, item: TokenStream) -> TokenStream {
    component::expand(arguments.into(), item.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}
