//! `zoo parity`, `embed`, `fill-mask`, `classify` and `generate`: find the plugin, then hand over to
//! `zoo-runner`.

use super::attached::Bound;
use super::run::{become_runner, option};
use crate::arguments::{
    Arguments, Classify, Embed, FillMask, Generate, InferenceHow, ModelChoice, Parity, Printed,
};
use crate::error::Wrong;
use crate::recipe::plugin_options;
use crate::terminal::Terminal;
use anyhow::Result;
use std::ffi::OsString;
use std::path::PathBuf;
use zoo_record::Exit;

pub(crate) fn parity(command: &Parity, arguments: &Arguments) -> Result<Exit> {
    let mut words: Vec<OsString> = vec!["parity".into()];
    words.push(format!("--precision={}", command.precision).into());
    if let Some(oracle) = &command.oracle {
        words.extend(["--oracle".into(), oracle.clone().into()]);
    }
    flags(&mut words, &[("--offline", command.offline)]);
    words.extend(command.models.iter().map(Into::into));
    hand_over(words, &command.how, arguments)
}

pub(crate) fn embed(command: &Embed, arguments: &Arguments) -> Result<Exit> {
    hand_over(begin("embed", &command.model, None), &command.how, arguments)
}

pub(crate) fn fill_mask(command: &FillMask, arguments: &Arguments) -> Result<Exit> {
    let mut words = begin("fill-mask", &command.model, Some(&command.printed));
    option(&mut words, "--top", Some(command.top));
    hand_over(words, &command.how, arguments)
}

pub(crate) fn classify(command: &Classify, arguments: &Arguments) -> Result<Exit> {
    let mut words = begin("classify", &command.model, Some(&command.printed));
    flags(&mut words, &[("--pairs", command.pairs), ("--entities", command.entities)]);
    hand_over(words, &command.how, arguments)
}

pub(crate) fn generate(command: &Generate, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    let mut words = begin("generate", &command.model, Some(&command.printed));
    for (name, value) in [
        ("--max-new-tokens", command.max_new_tokens),
        ("--top-k", command.top_k),
        ("--beams", command.beams),
        ("--samples", Some(command.samples)),
        ("--batch", Some(command.batch)),
        ("--seed", Some(command.seed)),
    ] {
        option(&mut words, name, value);
    }
    for (name, value) in [
        ("--temperature", command.temperature),
        ("--top-p", command.top_p),
        ("--min-p", command.min_p),
        ("--repetition-penalty", command.repetition_penalty),
        ("--length-penalty", command.length_penalty),
    ] {
        words.extend(value.map(|value| format!("{name}={value}").into()));
    }
    for (name, text) in command
        .stop
        .iter()
        .map(|text| ("--stop", text))
        .chain(command.system.iter().map(|text| ("--system", text)))
    {
        words.push(format!("{name}={text}").into());
    }
    flags(
        &mut words,
        &[
            ("--sample", command.sample),
            ("--greedy", command.greedy),
            ("--ignore-end", command.ignore_end),
            ("--chat", command.chat),
        ],
    );
    let found = zoo_discovery::discover(&plugin_options(arguments, None));
    let Some((bound, plugins)) = Bound::checked(&command.attached, &command.model.model, &found, terminal)?
    else {
        return Ok(Exit::Wrong);
    };
    bound.tell(&command.attached, &mut words);
    hand_over_with(words, &command.how, &found, &plugins)
}

fn flags(words: &mut Vec<OsString>, flags: &[(&str, bool)]) {
    words.extend(flags.iter().filter(|(_, given)| *given).map(|(name, _)| OsString::from(*name)));
}

fn begin(command: &str, model: &ModelChoice, printed: Option<&Printed>) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![command.into(), format!("--model={}", model.model).into()];
    words.extend(model.input.iter().map(|input| input.clone().into()));
    flags(&mut words, &[("--offline", model.offline), ("--json", printed.is_some_and(|p| p.json))]);
    words
}

fn hand_over(words: Vec<OsString>, how: &InferenceHow, arguments: &Arguments) -> Result<Exit> {
    let found = zoo_discovery::discover(&plugin_options(arguments, None));
    hand_over_with(words, how, &found, &[])
}

/// With the plugins of components that go with the model.
fn hand_over_with(
    mut words: Vec<OsString>,
    how: &InferenceHow,
    found: &zoo_discovery::Catalogue,
    plugins: &[PathBuf],
) -> Result<Exit> {
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
    let others = plugins.iter().filter(|path| **path != plugin.path);
    for path in std::iter::once(&plugin.path).chain(others) {
        words.extend(["--with".into(), path.clone().into()]);
    }
    if let Some(device) = &how.device {
        words.extend(["--device".into(), device.into()]);
    }
    option(&mut words, "--threads", how.threads);
    become_runner(words, None)
}
