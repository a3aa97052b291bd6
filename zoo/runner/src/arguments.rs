//! The command line of the runner.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Runs a checked experiment. The command `zoo` checks a recipe, writes the experiment and starts this
/// program, which has libtorch in it.
#[derive(Debug, Parser)]
#[command(name = "zoo-runner", version, after_help = exit_codes())]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn exit_codes() -> String {
    let lines: Vec<String> = zoo_record::Exit::ALL
        .iter()
        .map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()))
        .collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Begins a run in a new folder.
    Run(RunArguments),
    /// Goes on with a run that was stopped or killed.
    Resume(ResumeArguments),
    /// Runs arms for a run that runs several side by side, and asks for them on standard input.
    #[command(hide = true)]
    Work(WorkArguments),
    /// Measures how fast an arm trains, and where the time goes.
    Bench(BenchArguments),
    /// Puts a built plugin through what every plugin is held to.
    Conformance(ConformanceArguments),
    /// Compares a checkpoint with the numbers that its makers' program computed.
    Parity(ParityArguments),
    /// Makes a vector of each line.
    Embed(EmbedArguments),
    /// Says what may stand at the masks of each line.
    FillMask(FillMaskArguments),
    /// Classifies lines, or their tokens.
    Classify(ClassifyArguments),
    /// Goes on with each line.
    Generate(Box<GenerateArguments>),
}

/// In what precision models are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PrecisionChoice {
    Float32,
    Bf16,
    Both,
}

#[derive(Debug, Args)]
pub(crate) struct ParityArguments {
    /// Folders with `config.json`, weights and `oracle.safetensors`, folders of such folders, or `hf:ORG/NAME`.
    #[arg(value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,
    /// The numbers to compare one model with; the model's own otherwise.
    #[arg(long, value_name = "FILE")]
    pub(crate) oracle: Option<PathBuf>,
    /// In what precision: `float32`, `bf16` or `both`.
    #[arg(long, value_enum, value_name = "PRECISION", default_value_t = PrecisionChoice::Float32)]
    pub(crate) precision: PrecisionChoice,
    /// Use nothing that is not on this machine.
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

#[derive(Debug, Args)]
pub(crate) struct EmbedArguments {
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

#[derive(Debug, Args)]
pub(crate) struct FillMaskArguments {
    /// Tokens for each mask.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) top: usize,
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    #[command(flatten)]
    pub(crate) printed: Printed,
    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

#[derive(Debug, Args)]
pub(crate) struct ClassifyArguments {
    /// Lines are pairs of texts, parted by a tab.
    #[arg(long)]
    pub(crate) pairs: bool,
    /// Tokens of one entity are joined, `B-` and `I-` read as their beginning and inside.
    #[arg(long)]
    pub(crate) entities: bool,
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    #[command(flatten)]
    pub(crate) printed: Printed,
    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// Most tokens to add.
    #[arg(long, value_name = "N")]
    pub(crate) max_new_tokens: Option<usize>,
    /// Draw tokens.
    #[arg(long)]
    pub(crate) sample: bool,
    /// Take the likeliest token each time.
    #[arg(long)]
    pub(crate) greedy: bool,
    #[arg(long, value_name = "X")]
    pub(crate) temperature: Option<f64>,
    #[arg(long, value_name = "N")]
    pub(crate) top_k: Option<usize>,
    #[arg(long, value_name = "X")]
    pub(crate) top_p: Option<f64>,
    #[arg(long, value_name = "X")]
    pub(crate) min_p: Option<f64>,
    #[arg(long, value_name = "X")]
    pub(crate) repetition_penalty: Option<f64>,
    #[arg(long, value_name = "N")]
    pub(crate) beams: Option<usize>,
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) length_penalty: Option<f64>,
    /// Texts for each prompt.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) samples: usize,
    /// A text that ends a text; may be given several times.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,
    /// Go on after end tokens.
    #[arg(long)]
    pub(crate) ignore_end: bool,
    /// Prompts that are computed together.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) batch: usize,
    /// Seed of all draws.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Lines are conversations.
    #[arg(long)]
    pub(crate) chat: bool,
    /// What the conversation begins with.
    #[arg(long, value_name = "TEXT", requires = "chat")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) attached: AttachedArguments,
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    #[command(flatten)]
    pub(crate) printed: Printed,
    #[command(flatten)]
    pub(crate) how: InferenceHow,
}

/// Components beside the model.
#[derive(Debug, Args)]
pub(crate) struct AttachedArguments {
    /// Components as a recipe binds them; the model is `writer` there.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) bindings: String,
    /// The name of a bound adapter; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) adapter: Vec<String>,
    /// Trained values of a bound adapter; may be given several times.
    #[arg(long, value_name = "NAME=FILE", value_parser = pair)]
    pub(crate) adapter_weights: Vec<(String, String)>,
    /// The folder of an adapter that a run has left; may be given several times.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) adapter_of_run: Vec<PathBuf>,
    /// The name of a bound reward, and the one that its scores are told under; may be given several times.
    #[arg(long, value_name = "NAME=TOLD", value_parser = pair)]
    pub(crate) reward: Vec<(String, String)>,
    /// The name of the bound tool.
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: Option<String>,
    /// Begins a call.
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    pub(crate) call_open: String,
    /// Ends a call.
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    pub(crate) call_close: String,
    /// Stands before a result.
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    pub(crate) result_open: String,
    /// Stands behind a result.
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    pub(crate) result_close: String,
    /// Most calls of a text.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) maximum_calls: usize,
}

/// `NAME=VALUE` in two.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("this is no `NAME=VALUE`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The model, and the lines it gets.
#[derive(Debug, Args)]
pub(crate) struct ModelChoice {
    /// A folder with `config.json` and weights, or `hf:ORG/NAME`.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// The file whose lines are read; standard input otherwise.
    #[arg(value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Use nothing that is not on this machine.
    #[arg(long)]
    pub(crate) offline: bool,
}

/// What is printed.
#[derive(Debug, Args)]
pub(crate) struct Printed {
    /// JSON lines, also on a terminal.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a checkpoint is opened.
#[derive(Debug, Args)]
pub(crate) struct InferenceHow {
    /// A plugin whose components make the model; may be given several times.
    #[arg(long = "with", value_name = "FILE", required = true)]
    pub(crate) plugins: Vec<PathBuf>,
    /// Where to compute: `auto`, `cpu`, `cuda` or `cuda:N`.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceChoice,
    /// Threads of libtorch; all cores otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) threads: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ConformanceArguments {
    /// The plugin, `libzoo_NAME.so`.
    #[arg(value_name = "FILE")]
    pub(crate) plugin: PathBuf,
    /// Give the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Seed of everything that is made up.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Random sizes that are tried.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) rounds: usize,
    /// Another plugin, whose components examples refer to; may be given several times.
    #[arg(long = "with", value_name = "FILE")]
    pub(crate) plugins: Vec<PathBuf>,
    /// A recipe whose bindings stand for names that examples use and do not define.
    #[arg(long, value_name = "RECIPE")]
    pub(crate) surroundings: Option<PathBuf>,
    /// The folder that assets in examples are looked for in, by their last name.
    #[arg(long, value_name = "DIR")]
    pub(crate) assets: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The experiment that the checker made, in JSON; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) experiment: PathBuf,
    /// The run directory, new or empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Seeds of every arm, instead of those of the experiment.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: Option<u64>,
    /// Arms and seeds that are run side by side, each in a process; as many as there are cores where a model
    /// is too small to keep them busy, else 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) jobs: Option<u64>,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The run directory.
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run_dir: PathBuf,
    /// Seeds of every arm in all; more than before adds seeds to the run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: Option<u64>,
    /// Go on although plugins or libtorch are not those that the run began with.
    #[arg(long)]
    pub(crate) allow_changed_plugins: bool,
    /// Arms and seeds that are run side by side, each in a process; as many as there are cores where a model
    /// is too small to keep them busy, else 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) jobs: Option<u64>,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct WorkArguments {
    /// The run directory.
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run_dir: PathBuf,
    /// As the run was told.
    #[arg(long)]
    pub(crate) allow_changed_plugins: bool,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// The experiment that the checker made, in JSON; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) experiment: PathBuf,
    /// The arm, where the experiment has several.
    #[arg(long, value_name = "ARM")]
    pub(crate) arm: Option<String>,
    /// Updates to measure, after a few to warm up.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: u64,
    #[command(flatten)]
    pub(crate) how: How,
}

/// How to compute and what to print.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Where to compute: `auto`, `cpu`, `cuda` or `cuda:N`. A run that goes on stays where it was.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceChoice>,
    /// Threads of libtorch in each process; all cores shared among the jobs, or as many as the run began with.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) threads: Option<u64>,
    /// Threads that prepare batches; their number changes no result.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) loader_threads: Option<u64>,
    /// Use nothing that is not on this machine.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Compute every phase, even one that an earlier run or arm has computed.
    #[arg(long)]
    pub(crate) alone: bool,
    /// Look for values that are no numbers after every call of a component; slow.
    #[arg(long)]
    pub(crate) paranoid: bool,
    /// The last line of standard output is the result as one JSON object; all else goes to standard error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also tell what plugins log; twice for details.
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// A word of the command that the user typed, for the record; once for every word.
    #[arg(long = "typed", value_name = "WORD", hide = true, allow_hyphen_values = true)]
    pub(crate) typed: Vec<String>,
}

/// Which device is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// CUDA where it can be used, else the processor.
    Auto,
    /// The processor.
    Cpu,
    /// A CUDA device.
    Cuda(usize),
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "devices are `auto`, `cpu`, `cuda` and `cuda:N`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        for wrong in ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        let typed =
            ["zoo-runner", "resume", "runs/a", "--typed", "zoo", "--typed", "run", "--typed", "--resume"];
        let Command::Resume(resume) = Arguments::parse_from(typed).command else { panic!() };
        assert_eq!(resume.how.typed, ["zoo", "run", "--resume"]);
    }
}
