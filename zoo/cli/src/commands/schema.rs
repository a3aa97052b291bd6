//! `zoo schema`

use super::explain::{self, Subject};
use crate::arguments::{Arguments, Schema};
use crate::error::Wrong;
use crate::recipe::plugin_options;
use crate::terminal::Terminal;
use anyhow::Result;
use std::path::Path;
use zoo_record::Exit;

pub(crate) fn run(command: &Schema, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    let catalogue = zoo_discovery::discover(&plugin_options(arguments, Some(Path::new("."))));
    let text = match &command.component {
        None => {
            let all: Vec<_> = catalogue.components().map(|(_, component)| component).collect();
            serde_json::to_string_pretty(&all)?
        }
        Some(name) => match explain::find(name, &catalogue)? {
            Subject::Component(_, component) => serde_json::to_string_pretty(component)?,
            _ => return Err(Wrong::new(format!("`{name}` is no component")).into()),
        },
    };
    terminal.print(&format!("{text}\n"))?;
    Ok(Exit::Success)
}
