//! The file: what it is, what it exports, what it needs.

use crate::report::{Outcome, Report, Result, failed};
use std::path::Path;
use zoo_discovery::{Content, Here, Limits, Linkage};
use zoo_schema::Component;

/// Checks of the file; its content where it can be read.
pub(crate) fn check(path: &Path, report: &mut Report) -> Option<Content> {
    let here = Here { libtorch: Some(zoo_host::LIBTORCH.to_owned()), ..Here::default() };
    let content = match zoo_discovery::read_file(path, &here, &Limits::default()) {
        Ok(content) => content,
        Err(reason) => {
            report.add(None, "file", Outcome::Failed(reason.to_string()));
            return None;
        }
    };
    report.plugin = Some(content.build.name.clone());
    report.version = Some(content.build.version.clone());
    report.add(None, "file", Outcome::Passed);
    match zoo_discovery::linkage(path) {
        Ok(linkage) => {
            report.add(None, "symbols", symbols(&linkage, &content.build.entry).into());
            let uses_libtorch = content.build.libtorch.is_some();
            report.add(None, "linkage", linked(&linkage, uses_libtorch).into());
        }
        Err(reason) => report.add(None, "linkage", Outcome::Failed(reason.to_string())),
    }
    Some(content)
}

fn symbols(linkage: &Linkage, entry: &str) -> Result<()> {
    let others: Vec<&str> = linkage.exported.iter().map(String::as_str).filter(|s| *s != entry).collect();
    if !others.is_empty() {
        let list = others.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        return failed(format!(
            "it also exports {} other symbols: {list}; link it with -Wl,--exclude-libs,ALL and hide what is not the entry",
            others.len()
        ));
    }
    if linkage.exported.is_empty() {
        return failed(format!("it does not export `{entry}`"));
    }
    Ok(())
}

fn linked(linkage: &Linkage, uses_libtorch: bool) -> Result<()> {
    if let Some(path) = linkage.needed.iter().find(|needed| needed.contains('/')) {
        return failed(format!("it needs {path} at that very place; a library is needed by its name"));
    }
    let cpp = linkage.needed.iter().any(|needed| needed.starts_with("libstdc++.so"));
    if uses_libtorch && !cpp {
        return failed(
            "it uses libtorch and does not need libstdc++.so: linked statically, it would free what another one allocated",
        );
    }
    // A place to look in is harmless while the process has a libtorch; a relative one is not.
    if let Some(path) = linkage
        .run_paths
        .iter()
        .flat_map(|p| p.split(':'))
        .find(|p| !p.starts_with('/') && !p.starts_with('$'))
    {
        return failed(format!("it looks for libraries in `{path}`, wherever the process stands"));
    }
    Ok(())
}

pub(crate) fn documentation(schema: &Component) -> Result<()> {
    if schema.summary.trim().is_empty() {
        return failed("it has no summary");
    }
    if let Some(parameter) = schema.parameters.iter().find(|p| p.doc.trim().is_empty()) {
        return failed(format!("parameter `{}` does not say what it is", parameter.name));
    }
    let mut ports = schema.inputs.iter().chain(&schema.outputs);
    if let Some(port) = ports.find(|p| p.doc.trim().is_empty()) {
        return failed(format!("port `{}` does not say what it is", port.name));
    }
    if schema.examples.is_empty() {
        return failed("it has no example");
    }
    Ok(())
}
