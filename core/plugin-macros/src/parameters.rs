//! The fields of the struct: parameters of the schema.

use quote::ToTokens;
use serde_json::Value;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Field, GenericArgument, Lit, LitStr, Meta, PathArguments, Result, Token, Type};
use zoo_schema::{Default, Parameter, ParameterType};

/// The text of the doc comment.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attribute.meta
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(text) = &literal.lit
        {
            let text = text.value();
            lines.push(text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned());
        }
    }
    lines.join("\n").trim().to_owned()
}

fn generic<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    if last.ident != name {
        return None;
    }
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}

fn type_of(ty: &Type) -> Option<ParameterType> {
    if let Some(inner) = generic(ty, "Vec") {
        return Some(ParameterType::List(Box::new(type_of(inner)?)));
    }
    let Type::Path(path) = ty else { return None };
    Some(match path.path.segments.last()?.ident.to_string().as_str() {
        "bool" => ParameterType::Bool,
        "i64" | "i32" => ParameterType::Int,
        "f64" | "f32" | "Varying" => ParameterType::Real,
        "usize" | "u64" | "u32" => ParameterType::Count,
        "String" => ParameterType::Text,
        "PathBuf" => ParameterType::Path,
        "Handle" => ParameterType::Component("any".to_owned()),
        _ => return None,
    })
}

fn literal(expression: &Expr) -> Result<Value> {
    let wrong = || syn::Error::new_spanned(expression, "a default is a literal or a list of literals");
    Ok(match expression {
        Expr::Lit(inner) => match &inner.lit {
            Lit::Str(text) => Value::from(text.value()),
            Lit::Int(number) => Value::from(number.base10_parse::<i64>()?),
            Lit::Float(number) => Value::from(number.base10_parse::<f64>()?),
            Lit::Bool(truth) => Value::from(truth.value),
            _ => return Err(wrong()),
        },
        Expr::Unary(unary) if matches!(unary.op, syn::UnOp::Neg(_)) => match literal(&unary.expr)? {
            Value::Number(number) => match number.as_i64() {
                Some(whole) => Value::from(-whole),
                None => Value::from(-number.as_f64().ok_or_else(wrong)?),
            },
            _ => return Err(wrong()),
        },
        Expr::Array(array) => Value::Array(array.elems.iter().map(literal).collect::<Result<_>>()?),
        _ => return Err(wrong()),
    })
}

/// Whether the JSON value can be a value of the type.
fn fits(value: &Value, kind: &ParameterType) -> bool {
    use ParameterType as T;
    match kind {
        T::Bool => value.is_boolean(),
        T::Int => value.is_i64(),
        T::Count | T::Tokens => value.as_i64().is_some_and(|n| n >= 0),
        T::Real | T::Fraction | T::Points | T::Duration | T::Size => value.is_number(),
        T::Text | T::Path | T::Asset => value.is_string(),
        T::OneOf(choices) => value.as_str().is_some_and(|v| choices.iter().any(|c| c == v)),
        T::List(inner) => value.as_array().is_some_and(|list| list.iter().all(|v| fits(v, inner))),
        T::Component(_) => false,
    }
}

/// The parameter that a field declares.
pub(crate) fn parameter(field: &Field) -> Result<Parameter> {
    let ident = field.ident.as_ref().ok_or_else(|| syn::Error::new_spanned(field, "fields have names"))?;
    let name = ident.to_string().trim_start_matches("r#").to_owned();
    let text = doc(&field.attrs);
    if text.is_empty() {
        return Err(syn::Error::new_spanned(
            field,
            format!("parameter `{name}` has no doc comment; users read it in `zoo explain`"),
        ));
    }
    let (ty, optional) = match generic(&field.ty, "Option") {
        Some(inner) => (inner, true),
        None => (&field.ty, false),
    };
    let mut kind = type_of(ty);
    let mut varies = ty.to_token_stream().to_string().ends_with("Varying");
    let (mut default, mut range, mut default_expression) = (None, None, None);
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("param")) {
        for meta in attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
            let key = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
            let string = |meta: &Meta| -> Result<LitStr> {
                syn::parse2(meta.require_name_value()?.value.to_token_stream())
            };
            match key.as_str() {
                "default" => {
                    let expression = meta.require_name_value()?.value.clone();
                    default = Some(Default::Value(literal(&expression)?));
                    default_expression = Some(expression);
                }
                "default_formula" => {
                    let formula = string(&meta)?;
                    zoo_schema::formula::Formula::parse(&formula.value())
                        .map_err(|e| syn::Error::new(formula.span(), e))?;
                    default = Some(Default::Formula { formula: formula.value() });
                }
                "range" => range = Some(string(&meta)?.value()),
                "kind" => {
                    let text = string(&meta)?;
                    kind = Some(text.value().parse().map_err(|e| syn::Error::new(text.span(), e))?);
                }
                "component" => kind = Some(ParameterType::Component(string(&meta)?.value())),
                "one_of" => {
                    let choices = meta
                        .require_list()?
                        .parse_args_with(Punctuated::<LitStr, Token![,]>::parse_terminated)?;
                    kind = Some(ParameterType::OneOf(choices.iter().map(LitStr::value).collect()));
                }
                "varies" => varies = true,
                _ => {
                    return Err(syn::Error::new_spanned(
                        meta,
                        "known are default, default_formula, range, kind, component, one_of and varies",
                    ));
                }
            }
        }
    }
    let kind = kind.ok_or_else(|| {
        syn::Error::new_spanned(
            &field.ty,
            "a parameter is a bool, i64, f64, usize, String, PathBuf, Handle, Varying, or a Vec or Option of one; \
             or say `#[param(kind = \"…\")]`",
        )
    })?;
    if let (Some(Default::Value(value)), Some(expression)) = (&default, &default_expression)
        && !fits(value, &kind)
    {
        return Err(syn::Error::new_spanned(expression, format!("the default of `{name}` is no `{kind}`")));
    }
    Ok(Parameter { name, kind, default, optional, range, varies, doc: text })
}
