//! The expansion: schema, ports, registration.

use crate::arguments::Arguments;
use crate::parameters::{doc, parameter};
use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use syn::{Fields, ItemStruct, Result};
use zoo_schema::{Component, Dtype, Port};

struct Documentation {
    summary: String,
    description: String,
    paper: Option<String>,
    examples: Vec<String>,
}

/// Splits a doc comment: first line, text, `# Paper`, `# Example`.
fn documentation(text: &str) -> Documentation {
    let mut lines = text.lines();
    let summary = lines.next().unwrap_or_default().trim().to_owned();
    let (mut description, mut paper, mut examples) = (Vec::new(), Vec::new(), Vec::new());
    let mut section = String::new();
    let mut example: Option<Vec<&str>> = None;
    for line in lines {
        if let Some(block) = &mut example {
            if line.trim() == "```" {
                examples.push(block.join("\n"));
                example = None;
            } else {
                block.push(line);
            }
        } else if line.trim() == "```mlm" {
            example = Some(Vec::new());
        } else if let Some(title) = line.strip_prefix("# ") {
            section = title.trim().to_owned();
            if section != "Paper" && section != "Example" && section != "Examples" {
                description.push(line);
            }
        } else {
            match section.as_str() {
                "Paper" => paper.push(line.trim()),
                "Example" | "Examples" => {}
                _ => description.push(line),
            }
        }
    }
    let paper = paper.join(" ").trim().to_owned();
    Documentation {
        summary,
        description: description.join("\n").trim().to_owned(),
        paper: (!paper.is_empty()).then_some(paper),
        examples,
    }
}

/// Length, JSON, zeros up to a multiple of eight.
fn frame(json: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    while bytes.len() % 8 != 0 {
        bytes.push(0);
    }
    bytes
}

fn input_field(port: &Port) -> (TokenStream, TokenStream) {
    let name = &port.name;
    let (ty, read) = match port.kind.dtype {
        Dtype::Text => (quote!(::zoo_plugin::Texts<'a>), format_ident!("texts")),
        Dtype::Real => (quote!(f64), format_ident!("real")),
        Dtype::Integer => (quote!(i64), format_ident!("integer")),
        Dtype::Bytes => (quote!(&'a [u8]), format_ident!("bytes")),
        _ => (quote!(&'a ::zoo_plugin::Tensor), format_ident!("tensor")),
    };
    if port.repeated {
        (quote!(Vec<#ty>), quote!(ports.repeated(#name, |port| port.#read(#name))?))
    } else if port.optional {
        (quote!(Option<#ty>), quote!(ports.optional(#name).map(|port| port.#read(#name)).transpose()?))
    } else {
        (ty, quote!(ports.required(#name)?.#read(#name)?))
    }
}

fn output_type(port: &Port) -> TokenStream {
    let ty = match port.kind.dtype {
        Dtype::Text => quote!(Vec<String>),
        Dtype::Real => quote!(f64),
        Dtype::Integer => quote!(i64),
        Dtype::Bytes => quote!(Vec<u8>),
        _ => quote!(::zoo_plugin::Tensor),
    };
    if port.repeated {
        quote!(Vec<#ty>)
    } else if port.optional {
        quote!(Option<#ty>)
    } else {
        ty
    }
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments: Arguments = syn::parse2(arguments)?;
    let mut item: ItemStruct = syn::parse2(item)?;
    let text = doc(&item.attrs);
    if text.is_empty() {
        return Err(syn::Error::new_spanned(
            &item.ident,
            "a component has a doc comment: it is what `zoo explain` shows",
        ));
    }
    if !item.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(&item.generics, "a component has no type parameters"));
    }
    let mut parameters = Vec::new();
    match &mut item.fields {
        Fields::Named(fields) => {
            for field in &mut fields.named {
                parameters.push(parameter(field)?);
                field.attrs.retain(|a| !a.path().is_ident("param"));
            }
        }
        Fields::Unit => {}
        Fields::Unnamed(fields) => {
            return Err(syn::Error::new_spanned(
                fields,
                "parameters have names: use a struct with named fields",
            ));
        }
    }
    for parameter in &parameters {
        if arguments.inputs.iter().any(|port| port.name == parameter.name) {
            let text = format!(
                "`{}` is a parameter and an input; a recipe could not tell them apart",
                parameter.name
            );
            return Err(syn::Error::new_spanned(&item.ident, text));
        }
    }
    let documentation = documentation(&text);
    let schema = Component {
        name: arguments.name.value(),
        kind: arguments.kind.to_string(),
        summary: documentation.summary,
        description: documentation.description,
        paper: documentation.paper,
        parameters,
        inputs: arguments.inputs,
        outputs: arguments.outputs,
        count_inputs: arguments.count_inputs,
        sites: arguments.sites,
        effects: arguments.effects,
        cost: arguments.cost,
        examples: documentation.examples,
    };
    if let Some(violation) = zoo_schema::kinds::violations(&schema).into_iter().next() {
        return Err(syn::Error::new(arguments.kind.span(), violation));
    }
    if schema.examples.is_empty() {
        return Err(syn::Error::new_spanned(
            &item.ident,
            "a component has an example: a section `# Example` with a fenced `mlm` block",
        ));
    }
    let json = serde_json::to_string(&schema).map_err(|e| syn::Error::new_spanned(&item.ident, e))?;
    let bytes = frame(&json);
    let (length, frame) = (bytes.len(), Literal::byte_string(&bytes));

    let ident = &item.ident;
    let visibility = &item.vis;
    let (inputs_type, outputs_type) = (format_ident!("{ident}Inputs"), format_ident!("{ident}Outputs"));
    let mut input_fields = Vec::new();
    let mut input_reads = Vec::new();
    for port in &schema.inputs {
        let (name, doc) = (format_ident!("{}", port.name), &port.doc);
        let (ty, read) = input_field(port);
        input_fields.push(quote!(#[doc = #doc] pub #name: #ty));
        input_reads.push(quote!(#name: #read));
    }
    let mut output_fields = Vec::new();
    let mut output_writes = Vec::new();
    for port in &schema.outputs {
        let (name, doc, ty) = (format_ident!("{}", port.name), &port.doc, output_type(port));
        output_fields.push(quote!(#[doc = #doc] pub #name: #ty));
        output_writes.push(quote!(::zoo_plugin::IntoOutput::into_output(self.#name)));
    }
    let inputs_doc = format!("Inputs of [`{ident}`].");
    let outputs_doc = format!("Outputs of [`{ident}`].");
    let concurrent = schema.effects.loader;
    let state_bound = if concurrent {
        quote! {
            const _: fn() = || {
                fn concurrent<T: Send + Sync>() {}
                concurrent::<<#ident as ::zoo_plugin::Component>::State>();
                concurrent::<#ident>();
            };
        }
    } else {
        quote!()
    };
    // No parameters are an empty object, which serde's derivation does not take for a unit struct.
    let declared = if matches!(item.fields, Fields::Unit) {
        quote! {
            #[derive(Clone, Debug)]
            #item

            impl<'de> ::zoo_plugin::serde::Deserialize<'de> for #ident {
                fn deserialize<D: ::zoo_plugin::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> ::std::result::Result<Self, D::Error> {
                    <::zoo_plugin::serde::de::IgnoredAny as ::zoo_plugin::serde::Deserialize>::deserialize(
                        deserializer,
                    )?;
                    Ok(Self)
                }
            }
        }
    } else {
        quote! {
            #[derive(Clone, Debug, ::zoo_plugin::serde::Deserialize)]
            #[serde(crate = "::zoo_plugin::serde")]
            #item
        }
    };
    // Plugins share one namespace of section symbols, so the static needs no name of its own.
    Ok(quote! {
        #declared

        #[doc = #inputs_doc]
        #[derive(Debug)]
        #visibility struct #inputs_type<'a> {
            #(#input_fields,)*
            #[doc(hidden)]
            pub lifetime: ::std::marker::PhantomData<&'a ()>,
        }

        #[doc = #outputs_doc]
        #[derive(Debug)]
        #visibility struct #outputs_type {
            #(#output_fields,)*
        }

        impl ::zoo_plugin::Outputs for #outputs_type {
            fn into_outputs(self) -> Vec<Option<::zoo_plugin::Output>> {
                vec![#(#output_writes),*]
            }
        }

        impl ::zoo_plugin::Ports for #ident {
            type Inputs<'a> = #inputs_type<'a>;
            type Outputs = #outputs_type;
            const SCHEMA: &'static str = #json;
            const CONCURRENT: bool = #concurrent;
            #[allow(unused_variables)]
            fn inputs<'a>(ports: &::zoo_plugin::Inputs<'a>) -> ::zoo_plugin::Result<#inputs_type<'a>> {
                Ok(#inputs_type { #(#input_reads,)* lifetime: ::std::marker::PhantomData })
            }
        }

        #state_bound

        const _: () = {
            #[used]
            #[unsafe(link_section = ".zoo_schema")]
            static FRAME: [u8; #length] = *#frame;
            ::zoo_plugin::inventory::submit! { ::zoo_plugin::Registration::of::<#ident>() }
        };
    })
}
