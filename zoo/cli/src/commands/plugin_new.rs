//! `zoo plugin new`: a crate with a working component, outside the workspace.

use crate::error::{Wrong, system};
use crate::terminal::{HEADING, Terminal, styled};
use anyhow::{Result, anyhow};
use clap::ValueEnum;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use zoo_record::Exit;
use zoo_schema::types::is_name;

/// What a new plugin's component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A loss: focal cross-entropy.
    Objective,
    /// What hides tokens: a run of them in every row.
    Masker,
    /// A model: a token and its neighbours, with sites for adapters.
    Architecture,
    /// A change of another model's sites: low-rank maps.
    Adapter,
    /// A text to a text: a calculator.
    Tool,
    /// A score of finished texts: overlap of words.
    Reward,
    /// A data source: clocks that count on.
    Data,
    /// A number over an evaluation: accuracy among the highest scores.
    Metric,
}

/// The files of a kind, and the name of the component in them.
struct Template {
    component: &'static str,
    library: &'static str,
    tests: &'static str,
    recipe: &'static str,
    /// Further files, by path.
    others: &'static [(&'static str, &'static str)],
    /// What the README adds.
    note: &'static str,
}

macro_rules! template {
    ($kind:literal, $component:literal) => {
        template!($kind, $component, &[], "")
    };
    ($kind:literal, $component:literal, $others:expr, $note:literal) => {
        Template {
            component: $component,
            library: include_str!(concat!("../../templates/", $kind, "/lib.rs.in")),
            tests: include_str!(concat!("../../templates/", $kind, "/tests.rs.in")),
            recipe: include_str!(concat!("../../templates/", $kind, "/example.mlm.in")),
            others: $others,
            note: $note,
        }
    };
}

impl Kind {
    fn template(self) -> Template {
        match self {
            Self::Objective => template!("objective", "focal"),
            Self::Masker => template!("masker", "run"),
            Self::Architecture => template!("architecture", "neighbours"),
            Self::Adapter => template!(
                "adapter",
                "low_rank",
                &[],
                "\nAn adapter acts on the sites of any model: `zoo explain transformer.masked_lm` lists them, and a recipe\n\
                 chooses with `on model.layers[*].attention.{query, value}`. Neither knows the other.\n"
            ),
            Self::Tool => template!(
                "tool",
                "calculator",
                &[("recipes/problems.jsonl", include_str!("../../templates/tool/problems.jsonl.in"))],
                "\nA step calls a tool, as the example does, and an agent calls it while it writes: `decoding.agent_rollout` takes\n\
                 any tool with an input and an output `text`.\n"
            ),
            Self::Reward => template!(
                "reward",
                "overlap",
                &[],
                "\nA step measures with a reward, as the example does, or learns from it: `recipes/masksearch.mlm` does both.\n"
            ),
            Self::Data => template!("data", "clocks"),
            Self::Metric => template!("metric", "top"),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct New {
    /// The plugin's name, with or without `zoo-` before it: `zoo-NAME` is the crate, `NAME.` stands
    /// before its components
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// What its component is
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Kind,

    /// The crate's folder, new or empty; `zoo-NAME` here otherwise
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,

    /// Where the SDK comes from: a clone of zoo, the URL of its repository, or `git` for zoo's own
    /// [default: the clone that this zoo was built from, else `git`]
    #[arg(long, value_name = "PATH|git")]
    pub(crate) sdk: Option<String>,
}

/// The repository that zoo is developed in.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The clone that this program was built from, which may be gone.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Where the SDK's crates come from.
#[derive(Debug, PartialEq, Eq)]
enum Sdk {
    Clone(PathBuf),
    Git(String),
}

impl Sdk {
    fn of(choice: Option<&str>) -> Result<Self> {
        let is_clone = |path: &Path| path.join("core/plugin/Cargo.toml").is_file();
        match choice {
            None => match Path::new(BUILT_FROM).canonicalize() {
                Ok(path) if is_clone(&path) => Ok(Self::Clone(path)),
                _ => Ok(Self::Git(REPOSITORY.to_owned())),
            },
            Some("git") => Ok(Self::Git(REPOSITORY.to_owned())),
            Some(url) if url.contains("://") || url.starts_with("git@") => Ok(Self::Git(url.to_owned())),
            Some(path) => match Path::new(path).canonicalize() {
                Ok(folder) if is_clone(&folder) => Ok(Self::Clone(folder)),
                _ => Err(Wrong::new(format!("`{path}` is no clone of zoo: there is no core/plugin in it"))
                    .help("name the folder that holds zoo's own Cargo.toml, or `--sdk git`")
                    .into()),
            },
        }
    }

    /// The dependency on one of its crates, as Cargo.toml says it.
    fn dependency(&self, folder: &str) -> String {
        match self {
            Self::Clone(clone) => {
                format!("{{ path = {} }}", toml_string(&clone.join(folder).display().to_string()))
            }
            Self::Git(url) => format!("{{ git = {} }}", toml_string(url)),
        }
    }
}

/// A basic string of TOML, which JSON's strings are too but for what no path holds.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The line of `.cargo/config.toml` that names libtorch.
fn libtorch(sdk: &Sdk) -> String {
    let given = std::env::var_os("LIBTORCH").map(PathBuf::from);
    let own = match sdk {
        Sdk::Clone(clone) => Some(clone.join(".zoo/libtorch")),
        Sdk::Git(_) => None,
    };
    let found = [own, given].into_iter().flatten().find(|folder| folder.join("lib").is_dir());
    match found.and_then(|folder| folder.canonicalize().ok()) {
        Some(folder) => format!("LIBTORCH = {}", toml_string(&folder.display().to_string())),
        None => "# LIBTORCH = \"/where/zoo/is/.zoo/libtorch\"".to_owned(),
    }
}

/// Names that Rust would stumble over: the namespace is part of the crate's name alone, but authors make
/// modules of it.
const RUST: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

/// Names of zoo's own crates without `zoo-`, plugins among them, with spaces between.
const OWN: &str = env!("ZOO_OWN_CRATES");

/// The name without `zoo-`, or what is wrong with it.
fn checked(name: &str, is_keyword: impl Fn(&str) -> bool) -> Result<&str, Wrong> {
    let short = name.strip_prefix("zoo-").unwrap_or(name);
    let wrong = |why: String| Err(Wrong::new(format!("`{name}` cannot be a plugin's name: {why}")));
    if short.is_empty() {
        return wrong("it is empty".to_owned());
    }
    if let Some(bad) = short.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && *c != '-') {
        let likely: String = short
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
            .collect();
        let likely = likely.trim_matches('-').to_owned();
        return wrong(format!("{bad:?} is in it; it is made of small letters, digits and `-`")).map_err(
            |wrong| {
                if checked(&likely, is_keyword).is_ok() {
                    wrong.help(format!("`{likely}` would do"))
                } else {
                    wrong
                }
            },
        );
    }
    if !short.starts_with(|c: char| c.is_ascii_lowercase()) {
        return wrong("it begins with a small letter".to_owned());
    }
    if short.ends_with('-') || short.contains("--") {
        return wrong("a `-` stands between two words".to_owned());
    }
    if short.len() > 40 {
        return wrong(format!("it has {} letters; at most 40 are taken", short.len()));
    }
    let namespace = short.replace('-', "_");
    if RUST.contains(&namespace.as_str()) {
        return wrong(format!("`{namespace}` is a keyword of Rust"));
    }
    if !is_name(&namespace) || is_keyword(&namespace) {
        return wrong(format!("`{namespace}` is a keyword of recipes"));
    }
    if OWN.split(' ').any(|own| own == short) {
        return wrong(format!("zoo-{short} is a part of zoo itself"));
    }
    Ok(short)
}

/// Whether a recipe could not name a component of that namespace.
fn is_keyword(namespace: &str) -> bool {
    let text = format!("mlm 1\n\nobjective x = {namespace}.y()\n");
    let checked = zoo_check::check(&zoo_check::Input {
        name: "name",
        text: &text,
        read: &|_| Err(String::new()),
        catalogue: &zoo_check::Catalogue::default(),
        profile: None,
        arms: &[],
        sets: &[],
        seeds: None,
        messages_only: false,
    });
    // Messages about the text itself, not about what is missing.
    checked.diagnostics.iter().any(|diagnostic| diagnostic.code.to_string().starts_with("Z00"))
}

/// Writes the crate and says what to do next.
pub(crate) fn run(command: &New, terminal: &mut Terminal) -> Result<Exit> {
    let short = checked(&command.name, is_keyword)?;
    let plugin = format!("zoo-{short}");
    let sdk = Sdk::of(command.sdk.as_deref())?;
    let folder = command.path.clone().unwrap_or_else(|| PathBuf::from(&plugin));
    for (path, text) in files(short, command.kind, &sdk) {
        // The first file decides whether the folder may be used.
        if path == "Cargo.toml" {
            empty_folder(&folder)?;
        }
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| anyhow!("`{}` cannot be written: {}", path.display(), system(&error)))?;
    }
    // The versions that zoo itself is tested with; cargo drops from the file what the plugin does not need.
    if let Sdk::Clone(clone) = &sdk {
        let _ = std::fs::copy(clone.join("Cargo.lock"), folder.join("Cargo.lock"));
    }
    let mut text = format!(
        "{} {plugin} in {}, with a component of kind {}\n\nNext:\n",
        styled(HEADING, "new plugin"),
        folder.display(),
        kind_name(command.kind),
    );
    for line in [
        format!("cd {}", shell_word(&folder)),
        "zoo plugin test .".to_owned(),
        "zoo run recipes/example.mlm --plugin target/release".to_owned(),
    ] {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str("\nThe component is in src/lib.rs; README.md says what else there is.\n");
    if libtorch(&sdk).starts_with('#') {
        text.push_str("Let LIBTORCH in .cargo/config.toml name zoo's libtorch before you build.\n");
    }
    terminal.print(&text)?;
    Ok(Exit::Success)
}

fn kind_name(kind: Kind) -> String {
    kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn empty_folder(folder: &Path) -> Result<(), Wrong> {
    let cannot = |why: &str| {
        Err(Wrong::new(format!("`{}` {why}", folder.display()))
            .help("a plugin needs a folder of its own: name a new one with `--path`"))
    };
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => cannot("is not empty"),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => cannot("is a file"),
        Err(error) => cannot(&format!("cannot be read: {}", system(&error))),
    }
}

/// Every file of the crate: its path and its text.
fn files(short: &str, kind: Kind, sdk: &Sdk) -> Vec<(&'static str, String)> {
    let template = kind.template();
    let namespace = short.replace('-', "_");
    let fill = |text: &str| {
        text.replace("{{plugin}}", &format!("zoo-{short}"))
            .replace("{{library}}", &format!("zoo_{namespace}"))
            .replace("{{component}}", &format!("{namespace}.{}", template.component))
            .replace("{{namespace}}", &namespace)
            .replace("{{sdk}}", &sdk.dependency("core/plugin"))
            .replace("{{build}}", &sdk.dependency("core/plugin-build"))
            .replace("{{libtorch}}", &libtorch(sdk))
            .replace("{{note}}\n", template.note)
    };
    let mut files = vec![
        ("Cargo.toml", fill(include_str!("../../templates/common/Cargo.toml.in"))),
        ("build.rs", fill(include_str!("../../templates/common/build.rs.in"))),
        (".gitignore", fill(include_str!("../../templates/common/gitignore.in"))),
        (".cargo/config.toml", fill(include_str!("../../templates/common/config.toml.in"))),
        ("README.md", fill(include_str!("../../templates/common/README.md.in"))),
        ("src/lib.rs", fill(template.library)),
        ("tests/component.rs", fill(template.tests)),
        ("recipes/example.mlm", fill(template.recipe)),
    ];
    files.extend(template.others.iter().map(|(path, text)| (*path, fill(text))));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates_and_namespaces() {
        for (name, short) in
            [("focal", "focal"), ("zoo-focal", "focal"), ("two-words", "two-words"), ("v2", "v2")]
        {
            assert_eq!(checked(name, is_keyword).unwrap(), short);
        }
        for (name, part) in [
            ("", "empty"),
            ("zoo-", "empty"),
            ("Focal", "`focal` would do"),
            ("my plugin", "`my-plugin` would do"),
            ("my_plugin", "`my-plugin` would do"),
            ("2fast", "begins with a small letter"),
            ("a--b", "between two words"),
            ("a-", "between two words"),
            ("fn", "keyword of Rust"),
            ("match", "keyword of Rust"),
            ("and", "keyword of recipes"),
            ("not", "keyword of recipes"),
            ("plugin", "part of zoo itself"),
            ("plugin-build", "part of zoo itself"),
            ("language-modelling", "part of zoo itself"),
            ("../escape", "small letters"),
        ] {
            let wrong = checked(name, is_keyword).expect_err(name);
            let text = format!("{wrong} {}", wrong.help.clone().unwrap_or_default());
            assert!(text.contains(part), "{name}: {text}");
        }
        assert!(checked(&"a".repeat(41), is_keyword).is_err());
    }

    #[test]
    fn every_placeholder_is_filled() {
        for kind in Kind::value_variants() {
            for sdk in
                [Sdk::Clone("/a \"strange\" place".into()), Sdk::Git("https://zoo.example/zoo".to_owned())]
            {
                for (path, text) in files("some-thing", *kind, &sdk) {
                    assert!(!text.contains("{{") && !text.contains("}}"), "{kind:?} {path}: {text}");
                }
            }
        }
    }

    #[test]
    fn recipes_are_formatted_and_readable() {
        for kind in Kind::value_variants() {
            let files = files("my-own", *kind, &Sdk::Git(String::new()));
            let (_, text) = files.iter().find(|(path, _)| *path == "recipes/example.mlm").unwrap();
            let formatted = zoo_format::format(text);
            assert_eq!(&formatted, text, "{kind:?}");
            let (_, code) = files.iter().find(|(path, _)| *path == "src/lib.rs").unwrap();
            // The README, the doc comment and the recipe speak of the component that is there.
            let name = format!("my_own.{}", kind.template().component);
            assert!(code.contains(&format!("name = \"{name}\"")) && text.contains(&name), "{kind:?}");
        }
    }

    #[test]
    fn authors_code_is_short() {
        for kind in Kind::value_variants() {
            let (_, text) = files("some-thing", *kind, &Sdk::Git(String::new())).swap_remove(5);
            let code = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with("//"))
                .count();
            assert!(code <= 80, "{kind:?}: {code} lines");
            assert!(text.lines().all(|line| line.chars().count() <= 120), "{kind:?}");
        }
    }
}
