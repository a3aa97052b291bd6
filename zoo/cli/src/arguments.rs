//! What can be typed.

// Comments are the help text, where `[repeatable]` is no link.
#![allow(rustdoc::broken_intra_doc_links)]

use crate::commands::plugin_new::New;
use crate::commands::plugin_test::Test;
use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, ColorChoice, Parser, Subcommand};
use std::path::PathBuf;
use zoo_record::Exit;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

fn exit_codes() -> String {
    let mut text = "Exit codes:".to_owned();
    for exit in Exit::ALL {
        text.push_str(&format!("\n  {:>3}  {}", exit.code(), exit.meaning()));
    }
    text
}

/// Runs papers: a recipe names the components, the arms and the claim; zoo checks it, trains the arms
/// over seeds and judges the claim.
#[derive(Debug, Parser)]
#[command(name = "zoo", version, styles = STYLES, max_term_width = 100, after_help = exit_codes())]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// A plugin file, or a folder of them; before every other place [repeatable]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) plugin: Vec<PathBuf>,

    /// When to use colours; `NO_COLOR` is honoured
    #[arg(
        long,
        visible_alias = "colour",
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    Check(Check),
    Fmt(Fmt),
    Explain(Explain),
    Why(Why),
    Plan(Plan),
    Graph(Graph),
    Report(Report),
    Bench(Bench),
    Parity(Parity),
    Embed(Embed),
    FillMask(FillMask),
    Classify(Classify),
    Generate(Box<Generate>),
    #[command(subcommand)]
    Plugin(Plugin),
    Schema(Schema),
}

/// What narrows or changes a recipe.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Choice {
    /// The profile in force
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// Only this arm [repeatable]
    #[arg(long, value_name = "NAME")]
    pub(crate) arm: Vec<String>,

    /// A value of your own, stronger than recipe, profile and arm: `--set disc.layers=2` [repeatable]
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Check a recipe, train every arm over the seeds, judge the claims
///
/// Without `--profile` the profile `mini` is taken where the recipe has one. Everything is written to
/// a run directory: metrics, checkpoints, the lock, `result.json` and `report.html`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The recipe
    #[arg(required_unless_present = "resume", value_name = "RECIPE")]
    pub(crate) recipe: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// Seeds of every arm, instead of what the claims ask for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: Option<u64>,

    /// Run the control instead: for every claim its first arm against itself under other seeds, where no
    /// claim should hold. Ends with code 0 if none holds, 3 if one does
    #[arg(long, conflicts_with = "resume")]
    pub(crate) control: bool,

    /// The run directory; `runs/PAPER-PROFILE-N` otherwise
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Go on where the run in this directory was stopped or killed; more `--seeds` add to it
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["recipe", "profile", "arm", "set", "out"]
    )]
    pub(crate) resume: Option<PathBuf>,

    /// Go on although plugins or libtorch are not those that the run began with
    #[arg(long, requires = "resume")]
    pub(crate) allow_changed_plugins: bool,

    /// Arms and seeds that are run side by side, each in a process of its own. Otherwise as many as there are
    /// cores where the models are too small to keep several busy, and 1 where they are not
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) jobs: Option<u64>,

    #[command(flatten)]
    pub(crate) how: How,
}

/// How to compute and what to print; the runner's own options.
#[derive(Clone, Debug, Args)]
pub(crate) struct How {
    /// Where to compute: `auto`, `cpu`, `cuda` or `cuda:N`
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub(crate) device: Option<String>,

    /// Threads of libtorch in each process; otherwise 1 for small models, and all cores for others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) threads: Option<u64>,

    /// Threads that prepare batches; their number changes no result
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) loader_threads: Option<u64>,

    /// Use nothing that is not on this machine
    #[arg(long)]
    pub(crate) offline: bool,

    /// Reuse nothing that another run has computed, and leave nothing for others
    #[arg(long)]
    pub(crate) alone: bool,

    /// Look for values that are no numbers after every call of a component; slow
    #[arg(long)]
    pub(crate) paranoid: bool,

    /// The last line on the standard output is the result as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Also tell what plugins log; twice for details
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

fn device(text: &str) -> Result<String, String> {
    let card = text.strip_prefix("cuda:").is_some_and(|number| number.parse::<u16>().is_ok());
    if card || ["auto", "cpu", "cuda"].contains(&text) {
        return Ok(text.to_owned());
    }
    Err("devices are `auto`, `cpu`, `cuda` and `cuda:0`, `cuda:1`, …".to_owned())
}

/// Check recipes, each under all of its profiles, without running anything
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The recipes; `-` is the standard input
    #[arg(required = true, value_name = "RECIPE")]
    pub(crate) recipes: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// One line a message: `file:line:column: error[Z0304]: …`
    #[arg(long, conflicts_with = "json")]
    pub(crate) short: bool,

    /// Messages as JSON, with the edits that mend them
    #[arg(long)]
    pub(crate) json: bool,
}

/// Format recipes
///
/// Layout only: comments stay, and so do lines that cannot be read.
#[derive(Debug, Args)]
pub(crate) struct Fmt {
    /// Recipes, or folders of them; all below the current folder otherwise. `-` goes from the
    /// standard input to the standard output
    #[arg(value_name = "RECIPE")]
    pub(crate) recipes: Vec<PathBuf>,

    /// Change nothing: print what would change, and end with code 1 if anything would
    #[arg(long)]
    pub(crate) check: bool,

    /// Which files changed, or would change, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Explain a message's code, a component, a plugin or a kind of component
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// `Z0304`, `transformer.masked_lm`, `zoo-transformer`, `objective`; a list of all without it
    #[arg(value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say where a value of a recipe comes from, layer by layer
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,

    /// What to ask about: `mask_rate`, `discriminator.layers`, `pretrain.steps`; everything without it
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<String>,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Predict what every arm costs: parameters, operations, memory, time
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Draw the typed graphs of a recipe's steps
#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// Only the step of this phase or evaluation
    #[arg(long, value_name = "NAME")]
    pub(crate) of: Option<String>,

    /// Graphviz text
    #[arg(long, conflicts_with = "svg")]
    pub(crate) dot: bool,

    /// A picture
    #[arg(long)]
    pub(crate) svg: bool,

    /// Write to this file instead of the standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Write `report.html` of a run again, or a table of several runs, from the files of the runs alone
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run directory; several with `--table`
    #[arg(value_name = "RUN_DIR", required = true)]
    pub(crate) run_dirs: Vec<PathBuf>,

    /// Print a Markdown table of the runs' claims instead: effect with interval, margin, seeds, time
    #[arg(long)]
    pub(crate) table: bool,

    /// Write to this file instead of `report.html` in the run directory; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Measure the steady speed of an arm
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// Updates that are measured
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: u64,

    #[command(flatten)]
    pub(crate) how: How,
}

/// Compare checkpoints with the numbers that their makers' program computed
///
/// The numbers are a file of tensors: inputs `in.*`, outputs `out.*`, `loss` and gradients `grad.*`. One model in
/// one precision is told in full, several are a table. The exit code is 0 where all are equal within rounding.
#[derive(Debug, Args)]
pub(crate) struct Parity {
    /// Folders with `config.json` and `model.safetensors`, folders of such folders, or `hf:ORG/NAME` on the hub
    #[arg(value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,

    /// The numbers to compare one model with; the model's own `oracle.safetensors` otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) oracle: Option<PathBuf>,

    /// In what precision: `float32`, `bf16` (weights in float32, products in bfloat16, with the
    /// tolerance that their rounding explains) or `both`
    #[arg(long, value_name = "PRECISION", default_value = "float32", value_parser = ["float32", "bf16", "both"])]
    pub(crate) precision: String,

    /// Use nothing that is not on this machine
    #[arg(long)]
    pub(crate) offline: bool,

    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

/// Make a vector of each line
///
/// The answer is a line of JSON for each, an array of numbers whose squares add up to 1: the product of two
/// is the similarity of their lines.
#[derive(Debug, Args)]
pub(crate) struct Embed {
    #[command(flatten)]
    pub(crate) model: ModelChoice,

    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

/// Say what may stand at the masks of each line
///
/// A mask is written as the model's tokenizer has it, `[MASK]` or `<mask>`. The answer is a line of JSON for
/// each: `text`, and `masks`, for each the likeliest tokens with `score`, `token` and `token_str`.
#[derive(Debug, Args)]
pub(crate) struct FillMask {
    /// Tokens for each mask
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) top: u64,

    #[command(flatten)]
    pub(crate) model: ModelChoice,

    #[command(flatten)]
    pub(crate) printed: Printed,

    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

/// Classify lines, or their tokens, as the model is made for
///
/// The answer is a line of JSON for each: `text`, and `labels` with their probabilities, or `tokens` with
/// `entity`, `score`, `word` and their place in the text.
#[derive(Debug, Args)]
pub(crate) struct Classify {
    /// Lines are pairs of texts, parted by a tab
    #[arg(long)]
    pub(crate) pairs: bool,

    /// Join the tokens of an entity: `B-PER I-PER` is one `PER`
    #[arg(long)]
    pub(crate) entities: bool,

    #[command(flatten)]
    pub(crate) model: ModelChoice,

    #[command(flatten)]
    pub(crate) printed: Printed,

    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

const GENERATE_EXAMPLE: &str = "\
Example: a model with an adapter that answers with the help of a tool, and how right it is
  echo '{\"prompt\": \"The capital of France is\", \"context\": \"France: Paris\", \"wanted\": \"Paris\"}' |
  zoo generate --model FOLDER --adapter RUN_DIR/checkpoints/ARM/SEED/final/lora \\
      --tool 'tools.lookup()' --reward 'right = reinforcement.exact_match()'";

/// Components beside a model.
#[derive(Debug, Args)]
#[command(next_help_heading = "Adapters, a tool and rewards")]
pub(crate) struct Attached {
    /// An adapter on the model: `COMPONENT(…) on SITES`, or the folder that a run has left,
    /// `RUN_DIR/checkpoints/ARM/SEED/final/NAME`. Those that lie beside the model of a run act on it without
    /// being named [repeatable]
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: Vec<String>,

    /// The trained values of an adapter that is written out, a safetensors file or its folder; without them it
    /// begins as training would [repeatable, in the order of the adapters]
    #[arg(long, value_name = "FILE", requires = "adapter")]
    pub(crate) adapter_weights: Vec<PathBuf>,

    /// A tool that texts call while they are written: `COMPONENT(…)`. It gets the query as `text`; what else it
    /// reads comes from lines of JSON: `{"prompt": "…", "context": "…"}`
    #[arg(long, value_name = "TOOL", conflicts_with = "beams")]
    pub(crate) tool: Option<String>,

    /// Begins a call of the tool
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "<search>",
        requires = "tool",
        allow_hyphen_values = true
    )]
    pub(crate) call_open: String,

    /// Ends a call, which is then answered
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "</search>",
        requires = "tool",
        allow_hyphen_values = true
    )]
    pub(crate) call_close: String,

    /// Stands before a result, nothing when empty
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "<information>",
        requires = "tool",
        allow_hyphen_values = true
    )]
    pub(crate) result_open: String,

    /// Stands behind a result, nothing when empty
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "</information>",
        requires = "tool",
        allow_hyphen_values = true
    )]
    pub(crate) result_close: String,

    /// Most calls of a text, which ends with one more
    #[arg(long, value_name = "N", default_value = "8", requires = "tool")]
    pub(crate) maximum_calls: u64,

    /// A reward that scores every text: `COMPONENT(…)`, or with a name of your own, `NAME = COMPONENT(…)`. It
    /// gets `text` and, where it reads them, `prompt`, `lengths` and `calls`; what else it reads comes from lines
    /// of JSON: `{"prompt": "…", "wanted": "…"}` [repeatable]
    #[arg(long, value_name = "REWARD")]
    pub(crate) reward: Vec<String>,
}

/// Go on with each line
///
/// On a terminal words appear as they are chosen; else the answer is a line of JSON for each text: `prompt`,
/// `text`, `tokens`, `ended` (`length`, `end_token`, `stop`, or `calls` where no more were allowed) and
/// `log_probability`; with --tool also `calls`, with --reward `rewards`. What is not said here is taken from the
/// model's `generation_config.json`. Options mean what they mean in transformers.
///
/// Adapters, a tool and rewards of any plugin work beside the model. They are written as in a recipe, in which
/// `writer` is the model, and are checked before anything is loaded.
#[derive(Debug, Args)]
#[command(after_long_help = GENERATE_EXAMPLE)]
pub(crate) struct Generate {
    /// Most tokens to add; 128 where the model does not say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_new_tokens: Option<u64>,

    /// Draw tokens; so does any of --temperature, --top-k, --top-p and --min-p
    #[arg(long, conflicts_with = "greedy")]
    pub(crate) sample: bool,

    /// Take the likeliest token each time, whatever the model says
    #[arg(long)]
    pub(crate) greedy: bool,

    /// Below 1 the likely gets likelier, above 1 rarer; 0 is --greedy
    #[arg(long, value_name = "X")]
    pub(crate) temperature: Option<f64>,

    /// Draw from so many of the likeliest tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) top_k: Option<u64>,

    /// Draw from the likeliest tokens that together have this probability, from 0 to 1
    #[arg(long, value_name = "X")]
    pub(crate) top_p: Option<f64>,

    /// Draw from tokens at least this probable, as a share of the likeliest one's probability
    #[arg(long, value_name = "X")]
    pub(crate) min_p: Option<f64>,

    /// Above 1, tokens that are there already get rarer
    #[arg(long, value_name = "X")]
    pub(crate) repetition_penalty: Option<f64>,

    /// Follow so many texts side by side: beam search
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) beams: Option<u64>,

    /// Beam search: above 0 longer texts are preferred, below 0 shorter ones
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) length_penalty: Option<f64>,

    /// Texts for each line
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) samples: u64,

    /// End a text with this; it stays [repeatable]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,

    /// Go on where the model would end
    #[arg(long)]
    pub(crate) ignore_end: bool,

    /// Lines that are computed together; it changes no result
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: u64,

    /// Seed of all draws
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,

    /// Lines are the user's words to a chat model, or JSON lists of messages with `role` and `content`
    #[arg(long)]
    pub(crate) chat: bool,

    /// What a chat model is told before
    #[arg(long, value_name = "TEXT", requires = "chat")]
    pub(crate) system: Option<String>,

    #[command(flatten)]
    pub(crate) attached: Attached,

    #[command(flatten)]
    pub(crate) model: ModelChoice,

    #[command(flatten)]
    pub(crate) printed: Printed,

    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

/// The model, and the lines it gets.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelChoice {
    /// A folder with `config.json`, `model.safetensors` and `tokenizer.json`, or `hf:ORG/NAME` on the hub
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,

    /// The file whose lines are read; the standard input otherwise
    #[arg(value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Use nothing that is not on this machine
    #[arg(long)]
    pub(crate) offline: bool,
}

/// What is printed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Printed {
    /// Print JSON lines also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a checkpoint is used.
#[derive(Clone, Debug, Args)]
pub(crate) struct InferenceHow {
    /// Where to compute: `auto`, `cpu`, `cuda` or `cuda:N`; `cpu` otherwise
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub(crate) device: Option<String>,

    /// Threads of libtorch; all cores otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) threads: Option<u64>,
}

/// Make, test and see plugins
#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Write the crate of a new plugin, with a working component, its tests and a recipe
    New(New),
    /// Build a plugin and hold every component against what zoo demands of its kind
    ///
    /// Ends with code 0 when every check passes, 1 when one fails or the crate does not build.
    Test(Test),
    /// List the plugins in reach with their components
    List {
        /// Also those beside this recipe
        #[arg(value_name = "RECIPE")]
        recipe: Option<PathBuf>,

        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Allow plugins that lie beside a recipe to be loaded
    ///
    /// A plugin is a program that can do whatever you can. One that came with a recipe is loaded only
    /// after you have allowed that very file: its path and the hash of its content are kept in
    /// `zoo/allowed-plugins.json` in your configuration folder.
    Allow {
        /// The plugin files, or folders of them; without any, those that are allowed are listed
        #[arg(value_name = "PATH", required_if_eq("forget", "true"))]
        paths: Vec<PathBuf>,

        /// Take them from the list instead
        #[arg(long)]
        forget: bool,

        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say where plugins are looked for, what each file is made for, and why a file is refused
    Doctor {
        /// Also those beside this recipe
        #[arg(value_name = "RECIPE")]
        recipe: Option<PathBuf>,

        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Print the schemas of all components as JSON, for editors and tools
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Only this component
    #[arg(value_name = "COMPONENT")]
    pub(crate) component: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn devices() {
        for good in ["auto", "cpu", "cuda", "cuda:3"] {
            assert!(device(good).is_ok(), "{good}");
        }
        for bad in ["gpu", "cuda:", "cuda:-1", "cuda:x", ""] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }
}
