//! The recipe, what took part, and how to run it again.

use super::facts::Facts;
use super::text::{bytes, counted, escape};
use crate::{CheckpointKind, Event, RunState, resume_command, shell_word};
use std::fmt::Write;

fn command(words: &[String]) -> String {
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

/// Commands that do this run again, go on with it, or look at it.
pub(super) fn commands(facts: &Facts) -> String {
    let experiment = &facts.experiment;
    let mut words = vec!["zoo".to_owned(), "run".to_owned(), experiment.recipe.clone()];
    if let Some(profile) = &experiment.profile {
        words.extend(["--profile".to_owned(), profile.clone()]);
    }
    for set in &experiment.overrides {
        words.extend(["--set".to_owned(), set.clone()]);
    }
    words.extend(["--seeds".to_owned(), experiment.seeds.to_string()]);
    let run_dir = facts.shown_run_dir();
    let mut text = format!("# the whole experiment\n{}\n", command(&words));
    if facts.state != RunState::Finished {
        let typed = facts.environment.as_ref().map_or(&[][..], |environment| &environment.command);
        let _ = writeln!(text, "\n# go on where it was\n{}", resume_command(run_dir.as_ref(), typed));
    }
    let again = ["zoo".to_owned(), "report".to_owned(), run_dir.clone()];
    let _ = writeln!(text, "\n# this page\n{}", command(&again));
    if facts.run_dir.tensorboard_root().is_dir() {
        let folder = format!("{}/tensorboard", run_dir.trim_end_matches('/'));
        let words = ["tensorboard".to_owned(), "--logdir".to_owned(), folder];
        let _ = writeln!(text, "\n# curves to look into\n{}", command(&words));
    }
    let mut html = format!("<pre>{}</pre>\n", escape(&text));
    if let Some(typed) = facts.environment.as_ref().map(|e| &e.command).filter(|words| !words.is_empty()) {
        let _ = writeln!(html, "<p class=\"caption\">Typed was <code>{}</code></p>", escape(&command(typed)));
    }
    html.push_str(
        "<p class=\"caption\">With the versions and hashes below, the same recipe and seeds give the same \
                   bits on the same kind of processor.</p>\n",
    );
    html
}

/// The recipe as it was resolved and as it was written.
pub(super) fn recipe(facts: &Facts) -> String {
    let experiment = &facts.experiment;
    let mut html = String::new();
    let mut block = |title: &str, text: &str| {
        if !text.trim().is_empty() {
            let _ = writeln!(
                html,
                "<details>\n<summary>{}</summary>\n<pre>{}</pre>\n</details>",
                escape(title),
                escape(text.trim_end())
            );
        }
    };
    block("Resolved: every value filled in, every arm written out", &experiment.resolved);
    for source in &experiment.sources {
        block(&source.file, &source.text);
    }
    html
}

fn row(html: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td class=\"left wrap\">{}</td></tr>",
            escape(name),
            escape(value)
        );
    }
}

pub(super) fn environment(facts: &Facts) -> String {
    let mut html = String::new();
    if let Some(environment) = &facts.environment {
        html.push_str("<div class=\"scroll\"><table>\n<tbody>\n");
        row(&mut html, "zoo", &environment.versions.zoo);
        row(&mut html, "libtorch", &environment.versions.libtorch);
        row(&mut html, "system", &format!("{} ({})", environment.system, environment.architecture));
        let cores = counted(environment.cores as usize, "core");
        row(&mut html, "processor", &format!("{}, {cores}", environment.processor));
        row(&mut html, "memory", &bytes(environment.memory as f64));
        let device = &environment.device;
        let memory =
            if device.memory > 0 { format!(", {}", bytes(device.memory as f64)) } else { String::new() };
        row(&mut html, "device", &format!("{} {}{memory}", device.name, device.model));
        row(
            &mut html,
            "threads",
            &format!("{} of libtorch, {} that prepare data", environment.threads, environment.loader_threads),
        );
        let variables: Vec<String> =
            environment.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        row(&mut html, "variables", &variables.join(" "));
        row(&mut html, "last started", &environment.started);
        html.push_str("</tbody></table></div>\n");
    }
    html.push_str(&lock(facts));
    html.push_str(&checkpoints(facts));
    html
}

fn lock(facts: &Facts) -> String {
    let mut html = String::new();
    let plugins: Vec<(&str, &str, &str)> = match &facts.lock {
        Some(lock) => {
            lock.plugins.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.hash.as_str())).collect()
        }
        None => facts
            .experiment
            .plugins
            .iter()
            .map(|p| (p.name.as_str(), p.version.as_str(), p.hash.as_str()))
            .collect(),
    };
    if !plugins.is_empty() {
        html.push_str("<h3>Plugins</h3>\n<div class=\"scroll\"><table>\n<thead><tr><th>plugin</th><th class=\"left\">version</th>\
                       <th class=\"left\">BLAKE3</th></tr></thead>\n<tbody>\n");
        for (name, version, hash) in plugins {
            let _ = writeln!(
                html,
                "<tr><td>{}</td><td class=\"left\">{}</td><td class=\"left mono\">{}</td></tr>",
                escape(name),
                escape(version),
                short_hash(hash)
            );
        }
        html.push_str("</tbody></table></div>\n");
    }
    let Some(lock) = &facts.lock else { return html };
    if !lock.assets.is_empty() {
        html.push_str("<h3>Data and checkpoints</h3>\n<div class=\"scroll\"><table>\n<thead><tr><th>asset</th><th>size</th>\
                       <th class=\"left\">hash</th></tr></thead>\n<tbody>\n");
        for asset in &lock.assets {
            let revision =
                asset.revision.as_ref().map_or(String::new(), |revision| format!(" at {revision}"));
            let _ = writeln!(
                html,
                "<tr><td class=\"wrap\">{}</td><td>{}</td><td class=\"left mono\">{}</td></tr>",
                escape(&format!("{}{revision}", asset.uri)),
                bytes(asset.bytes as f64),
                short_hash(&asset.hash)
            );
        }
        html.push_str("</tbody></table></div>\n");
    }
    let seeds: Vec<String> = lock.seeds.iter().map(u64::to_string).collect();
    let _ = writeln!(
        html,
        "<p class=\"caption\">Resolved recipe <span class=\"mono\">{}</span>; seeds {}. All of it is in <code>zoo.lock</code>.</p>",
        short_hash(&lock.recipe),
        escape(&seeds.join(", "))
    );
    html
}

/// The first digits; all of them where the pointer rests.
fn short_hash(hash: &str) -> String {
    let kind = hash.split_once(':').map_or(0, |(kind, _)| kind.chars().count() + 1);
    let short: String = hash.chars().take(kind + 16).collect();
    let rest = if short.len() < hash.len() { "…" } else { "" };
    format!("<span title=\"{}\">{}{rest}</span>", escape(hash), escape(&short))
}

/// The checkpoints that stay.
fn checkpoints(facts: &Facts) -> String {
    let mut kept: Vec<(&str, u64, &str, &str, u64)> = Vec::new();
    for line in &facts.history {
        let Event::CheckpointSaved { arm, seed, kind, path, bytes, .. } = &line.event else { continue };
        let kind = match kind {
            CheckpointKind::Final => "final",
            CheckpointKind::Best => "best",
            CheckpointKind::Last | CheckpointKind::Phase => continue,
        };
        let new = (arm.as_str(), *seed, kind, path.as_str(), *bytes);
        match kept.iter_mut().find(|known| (known.0, known.1, known.2) == (new.0, new.1, new.2)) {
            Some(known) => *known = new,
            None => kept.push(new),
        }
    }
    if kept.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<details>\n<summary>{}</summary>\n<div class=\"scroll\"><table>\n<thead><tr><th>arm</th><th>seed</th>\
         <th class=\"left\">which</th><th class=\"left\">folder</th><th>size</th></tr></thead>\n<tbody>\n",
        counted(kept.len(), "checkpoint")
    );
    for (arm, seed, kind, path, size) in kept {
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{seed}</td><td class=\"left\">{kind}</td><td class=\"left\"><code>{}</code></td><td>{}</td></tr>",
            escape(arm),
            escape(path),
            bytes(size as f64)
        );
    }
    html.push_str("</tbody></table></div>\n</details>\n");
    html
}
