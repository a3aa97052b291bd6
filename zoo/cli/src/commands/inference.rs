//! `zoo parity` and `zoo embed`: find the plugin, then hand over to `zoo-runner`.

use super::run::{become_runner, option};
use crate::arguments::{Arguments, Embed, InferenceHow, Parity};
use crate::error::Wrong;
use crate::recipe::plugin_options;
use anyhow::Result;
use std::ffi::OsString;
use zoo_record::Exit;

pub(crate) fn parity(command: &Parity, arguments: &Arguments) -> Result<Exit> {
    hand_over(vec!["parity".into(), command.folder.clone().into()], &command.how, arguments)
}

pub(crate) fn embed(command: &Embed, arguments: &Arguments) -> Result<Exit> {
    let words = vec!["embed".into(), "--model".into(), command.model.clone().into()];
    hand_over(words, &command.how, arguments)
}

fn hand_over(mut words: Vec<OsString>, how: &InferenceHow, arguments: &Arguments) -> Result<Exit> {
    let found = zoo_discovery::discover(&plugin_options(arguments, None));
    let makes_models = |plugin: &&zoo_discovery::PluginFile| {
        plugin.components.iter().any(|c| c.name == "checkpoint.encoder")
    };
    let Some(plugin) = found.plugins.iter().find(makes_models) else {
        return Err(Wrong::new(
            "no plugin in reach has `checkpoint.encoder`, which makes models of checkpoints",
        )
        .help("`zoo plugin doctor` says where plugins are looked for; `--plugin` names another place")
        .into());
    };
    words.extend(["--with".into(), plugin.path.clone().into()]);
    if let Some(device) = &how.device {
        words.extend(["--device".into(), device.into()]);
    }
    option(&mut words, "--threads", how.threads);
    become_runner(words, None)
}
