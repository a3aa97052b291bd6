//! The C header, made from the crate's source: what stands there is what C sees.

use quote::ToTokens;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use syn::{Expr, Fields, Item, Lit, PathArguments, PointerMutability, ReturnType, Type};

/// A file of the repository.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The crate's source.
pub(crate) fn source() -> String {
    std::fs::read_to_string(file("core/abi/src/lib.rs")).unwrap()
}

/// A struct of the source with its fields' names.
pub(crate) fn structs() -> Vec<(String, Vec<String>)> {
    let file = syn::parse_file(&source()).unwrap();
    let mut found = Vec::new();
    for item in &file.items {
        let (ident, fields) = match item {
            Item::Struct(item) => (&item.ident, item.fields.iter().collect::<Vec<_>>()),
            Item::Union(item) => (&item.ident, item.fields.named.iter().collect()),
            _ => continue,
        };
        let names = fields.iter().map(|f| f.ident.as_ref().map_or("0".to_owned(), ToString::to_string));
        found.push((ident.to_string(), names.collect()));
    }
    found
}

fn doc(attributes: &[syn::Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(text) = &literal.lit
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    // Links of rustdoc mean nothing in C.
    let text = lines.join("\n");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('[') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(end) = rest.find(']').filter(|_| rest.starts_with('`')) {
            plain.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            if rest.starts_with('(') {
                rest = rest.split_once(')').map_or("", |(_, after)| after);
            }
        } else {
            plain.push('[');
        }
    }
    plain.push_str(rest);
    for module in ["status", "tag", "method", "flag", "mode", "init"] {
        plain = plain.replace(&format!("`{module}::"), &format!("`ZOO_{}_", module.to_uppercase()));
    }
    plain
}

fn comment(out: &mut String, indent: &str, attributes: &[syn::Attribute]) {
    let text = doc(attributes);
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [] => {}
        [line] => writeln!(out, "{indent}/* {line} */").unwrap(),
        lines => {
            for (i, line) in lines.iter().enumerate() {
                let start = if i == 0 { "/* " } else { " * " };
                writeln!(out, "{indent}{}", format!("{start}{line}").trim_end()).unwrap();
            }
            writeln!(out, "{indent} */").unwrap();
        }
    }
}

/// A field's name in C, where `int` is a keyword.
pub(crate) fn c_name(field: &str) -> &str {
    if field == "int" { "integer" } else { field }
}

/// A declaration in C: of a type, inside out around the declarator.
fn declare(ty: &Type, declarator: &str, constant: bool) -> String {
    match ty {
        Type::Ptr(pointer) => {
            let inner = matches!(pointer.mutability, PointerMutability::Const(_));
            let star = if constant { "*const " } else { "*" };
            declare(&pointer.elem, &format!("{star}{declarator}"), inner)
        }
        Type::FnPtr(function) => {
            let arguments: Vec<String> = function
                .inputs
                .iter()
                .enumerate()
                .map(|(i, argument)| {
                    let name = argument.name.as_ref().map(|(name, _)| name.to_string());
                    declare(&argument.ty, &name.unwrap_or_else(|| unnamed(&argument.ty, i)), false)
                })
                .collect();
            let declarator = format!("(*{declarator})({})", arguments.join(", "));
            match &function.output {
                ReturnType::Default => format!("void {declarator}"),
                ReturnType::Type(_, ty) => declare(ty, &declarator, false),
            }
        }
        Type::Path(path) => {
            let last = path.path.segments.last().unwrap();
            if last.ident == "Option" {
                // An absent function is a null pointer.
                let PathArguments::AngleBracketed(arguments) = &last.arguments else { unreachable!() };
                let syn::GenericArgument::Type(inner) = &arguments.args[0] else { unreachable!() };
                return declare(inner, declarator, constant);
            }
            let name = match last.ident.to_string().as_str() {
                "u8" => "uint8_t".to_owned(),
                "u16" => "uint16_t".to_owned(),
                "u32" => "uint32_t".to_owned(),
                "u64" => "uint64_t".to_owned(),
                "i32" => "int32_t".to_owned(),
                "i64" => "int64_t".to_owned(),
                "usize" => "size_t".to_owned(),
                "f64" => "double".to_owned(),
                "bool" => "bool".to_owned(),
                "c_void" => "void".to_owned(),
                other => format!("Zoo{other}"),
            };
            let text = format!("{}{name} {declarator}", if constant { "const " } else { "" });
            text.trim_end().to_owned()
        }
        other => panic!("the header has no form for `{}`", other.to_token_stream()),
    }
}

/// A name for a parameter that has none in the source: that of what it points to.
fn unnamed(ty: &Type, place: usize) -> String {
    match ty {
        Type::Ptr(pointer) => unnamed(&pointer.elem, place),
        Type::Path(path) => path.path.segments.last().unwrap().ident.to_string().to_lowercase(),
        _ => format!("argument_{place}"),
    }
}

fn constant(out: &mut String, prefix: &str, item: &syn::ItemConst) {
    comment(out, "", &item.attrs);
    let value = match (&*item.ty, &*item.expr) {
        (_, Expr::Lit(literal)) => match &literal.lit {
            Lit::Str(text) => format!("{:?}", text.value()),
            Lit::Int(number) => {
                let suffix = match item.ty.to_token_stream().to_string().as_str() {
                    "u64" => "ULL",
                    "u32" | "u16" => "U",
                    _ => "",
                };
                format!("{}{suffix}", number.base10_digits())
            }
            _ => panic!("the header has no form for the constant {}", item.ident),
        },
        (_, expression) if item.ident == "MAGIC" => {
            let text = expression.to_token_stream().to_string();
            let bytes: [u8; 8] = text.split('"').nth(1).unwrap().as_bytes().try_into().unwrap();
            format!("{:#018x}ULL", u64::from_le_bytes(bytes))
        }
        _ => panic!("the header has no form for the constant {}", item.ident),
    };
    writeln!(out, "#define ZOO_{prefix}{} {value}", item.ident).unwrap();
}

/// The whole header.
pub(crate) fn header() -> String {
    let file = syn::parse_file(&source()).unwrap();
    let mut out = String::new();
    comment(&mut out, "", &file.attrs);
    out.push_str(
        "\n/* Made from core/abi/src/lib.rs by its tests; edit there. */\n\n\
         #ifndef ZOO_PLUGIN_H\n#define ZOO_PLUGIN_H\n\n\
         #include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n\
         #ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
    );
    for item in &file.items {
        match item {
            Item::Struct(item) if !matches!(item.fields, Fields::Unnamed(_)) => {
                writeln!(out, "typedef struct Zoo{0} Zoo{0};", item.ident).unwrap();
            }
            Item::Union(item) => writeln!(out, "typedef union Zoo{0} Zoo{0};", item.ident).unwrap(),
            _ => {}
        }
    }
    out.push('\n');
    for item in &file.items {
        match item {
            Item::Const(item) if item.ident != "_" => constant(&mut out, "", item),
            Item::Mod(module) => {
                comment(&mut out, "", &module.attrs);
                let prefix = format!("{}_", module.ident.to_string().to_uppercase());
                for item in module.content.iter().flat_map(|(_, items)| items) {
                    if let Item::Const(item) = item {
                        constant(&mut out, &prefix, item);
                    }
                }
            }
            Item::Struct(item) => {
                comment(&mut out, "", &item.attrs);
                match &item.fields {
                    // Transparent: the pointer itself.
                    Fields::Unnamed(fields) => {
                        let name = format!("Zoo{}", item.ident);
                        writeln!(out, "typedef {};", declare(&fields.unnamed[0].ty, &name, false)).unwrap();
                    }
                    fields => aggregate(&mut out, "struct", &item.ident, fields.iter()),
                }
            }
            Item::Union(item) => {
                comment(&mut out, "", &item.attrs);
                aggregate(&mut out, "union", &item.ident, item.fields.named.iter());
            }
            Item::Enum(item) => {
                comment(&mut out, "", &item.attrs);
                assert!(item.variants.is_empty(), "only opaque types are enums");
                writeln!(out, "typedef struct Zoo{0} Zoo{0};", item.ident).unwrap();
            }
            Item::Type(item) => {
                comment(&mut out, "", &item.attrs);
                let name = format!("Zoo{}", item.ident);
                writeln!(out, "typedef {};", declare(&item.ty, &name, false)).unwrap();
            }
            _ => continue,
        }
        out.push('\n');
    }
    out.push_str("#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    while out.contains("\n\n\n") {
        out = out.replace("\n\n\n", "\n\n");
    }
    out
}

fn aggregate<'a>(
    out: &mut String,
    keyword: &str,
    name: &syn::Ident,
    fields: impl Iterator<Item = &'a syn::Field>,
) {
    writeln!(out, "{keyword} Zoo{name} {{").unwrap();
    for field in fields {
        comment(out, "    ", &field.attrs);
        let name = field.ident.as_ref().unwrap().to_string();
        writeln!(out, "    {};", declare(&field.ty, c_name(&name), false)).unwrap();
    }
    writeln!(out, "}};").unwrap();
}
