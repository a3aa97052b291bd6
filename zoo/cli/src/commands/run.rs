//! `zoo run` and `zoo bench`: check, then hand over to `zoo-runner`.

use crate::arguments::{Arguments, Bench, Choice, How, Run};
use crate::error::{Wrong, system};
use crate::recipe::{Recipe, catalogue, plugin_options, show_messages};
use crate::terminal::Terminal;
use anyhow::{Context, Result, anyhow};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use zoo_discovery::{Allowed, Verdict};
use zoo_record::{Exit, RunDir, file_name};
use zoo_schema::experiment::Experiment;

pub(crate) fn run(command: &Run, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    if let Some(run_dir) = &command.resume {
        if !RunDir::new(run_dir).experiment().is_file() {
            return Err(Wrong::new(format!("`{}` is no run that could go on", run_dir.display()))
                .help("name the folder that `zoo run` has written, `runs/electra-mini-1` for example")
                .into());
        }
        trusted(run_dir, arguments, terminal)?;
        let mut words: Vec<OsString> = vec!["resume".into(), run_dir.into()];
        option(&mut words, "--seeds", command.seeds);
        words.extend(command.allow_changed_plugins.then(|| "--allow-changed-plugins".into()));
        option(&mut words, "--jobs", command.jobs);
        return hand_over(words, &command.how, None);
    }
    let Some(path) = &command.recipe else {
        return Err(Wrong::new("no recipe is named").into());
    };
    let recipe = Recipe::read(path)?;
    let choice = recipe.with_profile(&command.choice, terminal);
    let Some(experiment) = checked(&recipe, &choice, command.seeds, arguments, terminal)? else {
        return Ok(Exit::Wrong);
    };
    let experiment = if command.control {
        let control = zoo_statistics::control(&experiment);
        let without = control.control.iter().flat_map(|control| &control.without);
        for left_out in without {
            terminal.note(&format!("no control: \"{}\": {}", left_out.claim, left_out.reason));
        }
        if control.claims.is_empty() {
            terminal.note("no claim has a control; nothing was run");
            return Ok(Exit::Success);
        }
        control
    } else {
        experiment
    };
    let folder = run_folder(command.out.as_deref(), &experiment, path)?;
    let words = ["run", "--experiment", "-", "--out"].map(OsString::from);
    let mut words = words.into_iter().chain([folder.into()]).collect();
    option(&mut words, "--jobs", command.jobs);
    hand_over(words, &command.how, Some(&experiment))
}

pub(crate) fn bench(command: &Bench, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    let recipe = Recipe::read(&command.recipe)?;
    let choice = recipe.with_profile(&command.choice, terminal);
    let Some(experiment) = checked(&recipe, &choice, Some(1), arguments, terminal)? else {
        return Ok(Exit::Wrong);
    };
    let mut words: Vec<OsString> = ["bench", "--experiment", "-"].map(OsString::from).into();
    option(&mut words, "--steps", Some(command.steps));
    if let [arm] = choice.arm.as_slice() {
        words.extend(["--arm".into(), arm.into()]);
    }
    hand_over(words, &command.how, Some(&experiment))
}

/// The experiment, complete with the hashes of its plugins; none when the recipe is wrong, which has then
/// been said.
fn checked(
    recipe: &Recipe,
    choice: &Choice,
    seeds: Option<u64>,
    arguments: &Arguments,
    terminal: &mut Terminal,
) -> Result<Option<Experiment>> {
    let found = zoo_discovery::discover(&plugin_options(arguments, Some(&recipe.folder)));
    let checked = recipe.check(&catalogue(&found), choice, seeds);
    show_messages(&checked.diagnostics, &checked.sources, terminal);
    let Some(mut experiment) = checked.experiment else { return Ok(None) };
    for used in &mut experiment.plugins {
        let Some(plugin) = found.plugin(&used.name) else { continue };
        used.hash = plugin.hash().with_context(|| format!("`{}` cannot be read", used.path))?.to_owned();
        // The run may go on from another folder.
        if plugin.source != zoo_discovery::Source::Program {
            terminal.note(&format!(
                "plugin `{}` {} is loaded from {} ({})",
                used.name,
                plugin.build.version,
                plugin.path.display(),
                plugin.source.description()
            ));
        }
        used.path = plugin.path.canonicalize().unwrap_or_else(|_| plugin.path.clone()).display().to_string();
    }
    Ok(Some(experiment))
}

/// Holds the plugins of a run that goes on against what the user trusts: the run's folder may have come
/// from someone else, and says itself which files it wants loaded.
fn trusted(run_dir: &Path, arguments: &Arguments, terminal: &mut Terminal) -> Result<()> {
    let file = RunDir::new(run_dir).experiment();
    let text = std::fs::read(&file)
        .map_err(|error| anyhow!("`{}` cannot be read: {}", file.display(), system(&error)))?;
    // A file that is none is the runner's to tell.
    let Ok(experiment) = serde_json::from_slice::<Experiment>(&text) else { return Ok(()) };
    let options = plugin_options(arguments, None);
    let found = zoo_discovery::discover(&options);
    let mut allowed = None;
    for used in &experiment.plugins {
        let path = Path::new(&used.path);
        // What is gone is the runner's to tell, too.
        let Ok(real) = path.canonicalize() else { continue };
        let known = found.plugins.iter().find(|p| p.path.canonicalize().is_ok_and(|p| p == real));
        let source = match known {
            Some(plugin) if plugin.source == zoo_discovery::Source::Program => continue,
            Some(plugin) => plugin.source.description(),
            None => {
                let hash = zoo_discovery::Hashes::new(options.cache.as_deref())
                    .of(&real)
                    .map_err(|error| anyhow!("`{}` cannot be read: {}", used.path, system(&error)))?;
                let list = match &mut allowed {
                    Some(list) => list,
                    none => none.insert(
                        Allowed::read(options.allowed.as_deref())
                            .context("the list of allowed plugins cannot be read")?,
                    ),
                };
                if list.verdict(&real, &hash) != Verdict::Allowed {
                    let run_dir = run_dir.display();
                    return Err(Wrong::new(format!(
                        "the run wants plugin `{}` from {}, which is in none of the places for plugins; its BLAKE3 \
                         is {hash}",
                        used.name, used.path
                    ))
                    .help(format!(
                        "a plugin is a program that can do whatever you can; if you trust it, name it: \
                         zoo run --resume {run_dir} --plugin {}",
                        used.path
                    ))
                    .into());
                }
                "allowed"
            }
        };
        terminal.note(&format!("plugin `{}` is loaded from {} ({source})", used.name, real.display()));
    }
    Ok(())
}

/// A folder of its own for the run.
fn run_folder(out: Option<&Path>, experiment: &Experiment, recipe: &Path) -> Result<PathBuf> {
    if let Some(out) = out {
        let taken = out.is_file() || out.read_dir().is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            let wrong = Wrong::new(format!("`{}` is not empty", out.display()));
            let help = if RunDir::new(out).experiment().is_file() {
                format!(
                    "`zoo run --resume {}` goes on with the run in it; a new run needs a new folder",
                    out.display()
                )
            } else {
                "a run needs a folder of its own".to_owned()
            };
            return Err(wrong.help(help).into());
        }
        std::fs::create_dir_all(out)
            .map_err(|error| anyhow!("`{}` cannot be made: {}", out.display(), system(&error)))?;
        return Ok(out.to_owned());
    }
    let name = match experiment.paper.name.as_str() {
        "" => recipe.file_stem().map_or("recipe".to_owned(), |stem| stem.to_string_lossy().into_owned()),
        name => name.to_owned(),
    };
    let profile = experiment.profile.as_deref().unwrap_or("default");
    let what = if experiment.control.is_some() { "-control" } else { "" };
    let stem = file_name(&format!("{name}-{profile}{what}"));
    let runs = PathBuf::from("runs");
    std::fs::create_dir_all(&runs).map_err(|error| anyhow!("`runs` cannot be made: {}", system(&error)))?;
    for number in 1..=1_000_000_u32 {
        let folder = runs.join(format!("{stem}-{number}"));
        // Making it is what reserves it: another run may look for a name at the same moment.
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(anyhow!("`{}` cannot be made: {}", folder.display(), system(&error))),
        }
    }
    Err(anyhow!("`runs` has a million runs of `{stem}`; name a folder with `--out`"))
}

pub(crate) fn option(words: &mut Vec<OsString>, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        words.extend([name.into(), value.to_string().into()]);
    }
}

/// The program that computes.
pub(crate) fn runner() -> Result<PathBuf> {
    let own = std::env::current_exe().context("the folder of the running program is not known")?;
    let runner = own.with_file_name("zoo-runner");
    if runner.is_file() {
        return Ok(runner);
    }
    Err(Wrong::new(format!("`{}` is not there; it is what computes", runner.display()))
        .help("build it: cargo build --release")
        .into())
}

/// Becomes the runner: signals reach it, and its exit code is ours. It reads the experiment from its
/// standard input.
fn hand_over(mut words: Vec<OsString>, how: &How, experiment: Option<&Experiment>) -> Result<Exit> {
    if let Some(device) = &how.device {
        words.extend(["--device".into(), device.into()]);
    }
    option(&mut words, "--threads", how.threads);
    option(&mut words, "--loader-threads", how.loader_threads);
    for (name, given) in [
        ("--offline", how.offline),
        ("--alone", how.alone),
        ("--paranoid", how.paranoid),
        ("--json", how.json),
    ] {
        words.extend(given.then(|| name.into()));
    }
    words.extend((0..how.verbose).map(|_| "--verbose".into()));
    for typed in std::env::args_os() {
        words.extend(["--typed".into(), typed]);
    }
    become_runner(words, experiment)
}

/// The runner with these words in this program's place.
pub(crate) fn become_runner(words: Vec<OsString>, experiment: Option<&Experiment>) -> Result<Exit> {
    let runner = runner()?;
    let mut command = Command::new(&runner);
    command.args(words);
    // libtorch's threads would otherwise spin while they wait for each other, which on a machine that does
    // anything else makes small models many times slower.
    if std::env::var_os("OMP_WAIT_POLICY").is_none() {
        command.env("OMP_WAIT_POLICY", "PASSIVE");
    }
    if let Some(experiment) = experiment {
        command.stdin(nameless_file(&serde_json::to_vec(experiment)?)?);
    }
    let error = command.exec();
    Err(anyhow!("`{}` cannot be started: {}", runner.display(), system(&error)))
}

/// A file without a name that holds these bytes, to be read from the beginning: it is gone when its last
/// reader ends, however that ends.
fn nameless_file(bytes: &[u8]) -> Result<File> {
    let path = std::env::temp_dir().join(format!("zoo-{}-experiment.json", std::process::id()));
    let mut options = File::options();
    let made = options.read(true).write(true).create_new(true).open(&path);
    let mut file = made.with_context(|| format!("`{}` cannot be made", path.display()))?;
    std::fs::remove_file(&path).with_context(|| format!("`{}` cannot be removed", path.display()))?;
    file.write_all(bytes).and_then(|()| file.rewind()).context("the experiment cannot be written")?;
    Ok(file)
}
