//! The arguments of the attribute.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, LitStr, Result, Token, parenthesized};
use zoo_schema::{Cost, Effects, OptimizerState, Port, PortType, Site, StateLayout};

/// What stands between the parentheses of `#[component(…)]`.
pub(crate) struct Arguments {
    pub(crate) kind: Ident,
    pub(crate) name: LitStr,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) count_inputs: Vec<String>,
    pub(crate) sites: Vec<Site>,
    pub(crate) effects: Effects,
    pub(crate) cost: Cost,
}

/// A port, with the place of its name.
struct PortArgument(Port, Span);

impl Parse for PortArgument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse()?;
        input.parse::<Token![:]>()?;
        let text: LitStr = input.parse()?;
        let kind: PortType = text.value().parse().map_err(|e| syn::Error::new(text.span(), e))?;
        let mut port = Port {
            name: name.to_string(),
            kind,
            optional: false,
            repeated: false,
            better: None,
            unit: None,
            columns_from: None,
            doc: String::new(),
        };
        if input.parse::<Option<Token![?]>>()?.is_some() {
            port.optional = true;
        } else if input.parse::<Option<Token![*]>>()?.is_some() {
            port.repeated = true;
        }
        input.parse::<Token![=]>().map_err(|e| {
            syn::Error::new(e.span(), "a port is documented: `name: \"type\" = \"what it is\"`")
        })?;
        port.doc = input.parse::<LitStr>()?.value();
        while input.peek(Ident) {
            let key: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let value: LitStr = input.parse()?;
            match key.to_string().as_str() {
                "better" if matches!(value.value().as_str(), "higher" | "lower") => {
                    port.better = Some(value.value());
                }
                "better" => return Err(syn::Error::new(value.span(), "`better` is \"higher\" or \"lower\"")),
                "unit" if value.value() == "fraction" => port.unit = Some(value.value()),
                "unit" => return Err(syn::Error::new(value.span(), "`unit` is \"fraction\"")),
                "columns_from" => {
                    port.columns_from = Some(value.value());
                    port.repeated = true;
                }
                _ => {
                    return Err(syn::Error::new(
                        key.span(),
                        "only `better`, `unit` and `columns_from` stand here",
                    ));
                }
            }
        }
        Ok(Self(port, name.span()))
    }
}

struct SiteArgument(Site);

impl Parse for SiteArgument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: LitStr = input.parse()?;
        input.parse::<Token![:]>()?;
        let from: LitStr = input.parse()?;
        input.parse::<Token![=>]>()?;
        let to: LitStr = input.parse()?;
        Ok(Self(Site { name: name.value(), input: from.value(), output: to.value() }))
    }
}

/// `first_moment`, or `row_moment: "rows"` where the shape is not the parameter's.
struct StateArgument(OptimizerState);

impl Parse for StateArgument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse()?;
        let mut layout = StateLayout::Same;
        if input.parse::<Option<Token![:]>>()?.is_some() {
            let text: LitStr = input.parse()?;
            layout = match text.value().as_str() {
                "same" => StateLayout::Same,
                "rows" => StateLayout::Rows,
                "columns" => StateLayout::Columns,
                "vectors" => StateLayout::Vectors,
                _ => {
                    let message = "a state's layout is \"same\", \"rows\", \"columns\" or \"vectors\"";
                    return Err(syn::Error::new(text.span(), message));
                }
            };
        }
        Ok(Self(OptimizerState { name: name.to_string(), layout }))
    }
}

struct CostArgument(Ident, LitStr);

impl Parse for CostArgument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = input.parse()?;
        input.parse::<Token![=]>()?;
        let value: LitStr = input.parse()?;
        zoo_schema::formula::Formula::parse(&value.value()).map_err(|e| syn::Error::new(value.span(), e))?;
        Ok(Self(key, value))
    }
}

/// `"encoder.embeddings" = "vocabulary * hidden"`: parameters below a name.
struct PartArgument(String, String);

impl Parse for PartArgument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: LitStr = input.parse()?;
        input.parse::<Token![=]>()?;
        let formula: LitStr = input.parse()?;
        zoo_schema::formula::Formula::parse(&formula.value())
            .map_err(|e| syn::Error::new(formula.span(), e))?;
        Ok(Self(name.value(), formula.value()))
    }
}

fn list<T: Parse>(input: ParseStream<'_>) -> Result<Vec<T>> {
    let inner;
    parenthesized!(inner in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&inner)?.into_iter().collect())
}

fn ports(input: ParseStream<'_>) -> Result<Vec<Port>> {
    let arguments: Vec<PortArgument> = list(input)?;
    for (i, PortArgument(port, place)) in arguments.iter().enumerate() {
        if arguments[..i].iter().any(|PortArgument(other, _)| other.name == port.name) {
            return Err(syn::Error::new(*place, format!("two ports are named `{}`", port.name)));
        }
    }
    Ok(arguments.into_iter().map(|argument| argument.0).collect())
}

fn names(input: ParseStream<'_>) -> Result<Vec<String>> {
    Ok(list::<Ident>(input)?.into_iter().map(|i| i.to_string()).collect())
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let kind: Ident = input
            .parse()
            .map_err(|e| syn::Error::new(e.span(), "the kind stands first: `objective`, `masker`, …"))?;
        let mut name = None;
        let mut arguments = Self {
            kind,
            name: LitStr::new("", Span::call_site()),
            inputs: Vec::new(),
            outputs: Vec::new(),
            count_inputs: Vec::new(),
            sites: Vec::new(),
            effects: Effects::default(),
            cost: Cost::default(),
        };
        while input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "name" => {
                    input.parse::<Token![=]>()?;
                    name = Some(input.parse::<LitStr>()?);
                }
                "inputs" => arguments.inputs = ports(input)?,
                "outputs" => arguments.outputs = ports(input)?,
                "count_inputs" => arguments.count_inputs = names(input)?,
                "writes" => arguments.effects.writes = names(input)?,
                "states" => {
                    arguments.effects.states =
                        list::<StateArgument>(input)?.into_iter().map(|s| s.0).collect();
                }
                "sites" => {
                    arguments.sites = list::<SiteArgument>(input)?.into_iter().map(|s| s.0).collect();
                }
                "cost" => {
                    for CostArgument(key, value) in list(input)? {
                        let slot = match key.to_string().as_str() {
                            "flops" => &mut arguments.cost.flops,
                            "parameters" => &mut arguments.cost.parameters,
                            "activations" => &mut arguments.cost.activations,
                            "workspace" => &mut arguments.cost.workspace,
                            _ => {
                                let text = "costs are flops, parameters, activations and workspace";
                                return Err(syn::Error::new(key.span(), text));
                            }
                        };
                        *slot = Some(value.value());
                    }
                }
                "bounds" => {
                    for CostArgument(dimension, formula) in list(input)? {
                        arguments.cost.bounds.insert(dimension.to_string(), formula.value());
                    }
                }
                "parts" => {
                    for PartArgument(name, formula) in list(input)? {
                        arguments.cost.parts.insert(name, formula);
                    }
                }
                "random" => arguments.effects.random = true,
                "state" => arguments.effects.state = true,
                "parameters" => arguments.effects.parameters = true,
                "loader" => arguments.effects.loader = true,
                "whole_update" => arguments.effects.whole_update = true,
                "stops_gradient" => arguments.effects.stops_gradient = true,
                _ => {
                    let text = format!(
                        "`{key}` is unknown here; known are name, inputs, outputs, count_inputs, sites, cost, bounds, parts, writes, \
                         states, random, state, parameters, loader, whole_update and stops_gradient"
                    );
                    return Err(syn::Error::new(key.span(), text));
                }
            }
        }
        let end = Span::call_site();
        arguments.name = name
            .ok_or_else(|| syn::Error::new(end, "the name is missing: `name = \"namespace.component\"`"))?;
        let text = arguments.name.value();
        let parts: Vec<&str> = text.split('.').collect();
        if parts.len() != 2 || !parts.iter().all(|p| zoo_schema::types::is_name(p)) {
            return Err(syn::Error::new(arguments.name.span(), "a name is `namespace.component`"));
        }
        Ok(arguments)
    }
}
