//! What the checker hands to the engine: every arm complete in itself, every default filled in,
//! every name resolved. The file `experiment.json` of a run directory is this, so that a run can be
//! resumed and reported without the recipe.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A place in a recipe, for messages at run time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// First byte.
    pub start: u32,
    /// Length in bytes.
    pub length: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A checked recipe under one profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// The paper.
    pub paper: Paper,
    /// The recipe's file as the user named it.
    pub recipe: String,
    /// The profile in force.
    pub profile: Option<String>,
    /// `--set` and other overrides of the command line, as given.
    pub overrides: Vec<String>,
    /// The whole recipe with everything resolved, as text.
    pub resolved: String,
    /// Every source file that took part, with its text.
    pub sources: Vec<Source>,
    /// Runs per arm.
    pub seeds: u64,
    /// Seed of the first run; run i of every arm has `first_seed + i`.
    pub first_seed: u64,
    /// The arms, in the order of the recipe. A recipe without arms has one, named `main`.
    pub arms: Vec<Arm>,
    /// What is claimed.
    pub claims: Vec<Claim>,
    /// The plugins used.
    pub plugins: Vec<PluginFile>,
    /// It is the control of another experiment: no claim of it must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
}

/// What an experiment in which no claim must hold says of the one that it controls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Claims that are left out.
    pub without: Vec<WithoutControl>,
}

/// A claim that has no control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithoutControl {
    /// Its title.
    pub claim: String,
    /// Why it has none.
    pub reason: String,
}

/// The paper a recipe reproduces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paper {
    /// Name in the recipe.
    pub name: String,
    /// Title.
    pub title: String,
    /// arXiv number, may be empty.
    pub arxiv: String,
    /// The doc comment above it.
    pub summary: String,
}

/// A source file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file as the user named it.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// A plugin that the experiment uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFile {
    /// `zoo-text`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file.
    pub path: String,
    /// BLAKE3 of the file, hexadecimal.
    pub hash: String,
}

/// One arm: an experiment of its own that shares seeds with the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// `baseline`, `treatment` or nothing.
    pub role: Option<String>,
    /// What it is, from the recipe.
    pub title: String,
    /// Every component that the arm uses, referenced ones before those that refer to them.
    pub instances: Vec<Instance>,
    /// Phases in the order they run.
    pub phases: Vec<Phase>,
    /// What is measured.
    pub evaluations: Vec<Evaluation>,
    /// Named results.
    pub metrics: Vec<Metric>,
    /// What it is predicted to cost.
    pub cost: ArmCost,
    /// Added to every seed before anything is drawn: what makes an arm another run of the same. Results keep
    /// the seed's own number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seed_offset: u64,
}

impl Arm {
    /// What everything random of the arm follows from, under a seed.
    pub fn run_seed(&self, seed: u64) -> u64 {
        seed.wrapping_add(self.seed_offset)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Predicted cost of an arm for one seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmCost {
    /// Floating point operations of training, forward and backward, of all phases.
    pub train_flops: f64,
    /// Trained parameters, shared ones once.
    pub parameters: f64,
    /// Updates of all phases.
    pub steps: f64,
    /// Examples seen in all phases.
    pub examples: f64,
    /// Phases whose length is told in epochs. How many updates that is, is known when the data is there:
    /// until then an epoch counts as one update in the numbers above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_epochs: Vec<String>,
    /// What each phase costs, in their order, then each evaluation.
    #[serde(default)]
    pub parts: Vec<PartCost>,
}

/// Predicted cost of a phase or an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartCost {
    /// The phase or evaluation.
    pub name: String,
    /// Floating point operations of one update, forward and backward, or of one batch of an evaluation.
    pub flops: f64,
    /// Memory at the worst moment.
    pub memory: MemoryCost,
    /// Where only a batch tells how long its texts are, `memory` is that of the longest that components
    /// allow: here is that of shorter ones, by length in tokens, the longest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_length: Vec<LengthCost>,
}

/// Predicted memory for texts of a length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LengthCost {
    /// Tokens of the longest text of a batch.
    pub length: f64,
    /// Memory at the worst moment.
    pub memory: MemoryCost,
}

impl PartCost {
    /// Bytes as [`MemoryCost::bytes`] tells them, for a batch whose longest text has `length` tokens: on the
    /// straight line between the lengths next to it that a prediction is there for.
    pub fn bytes_at(&self, length: f64, narrow: bool) -> f64 {
        let above = self.by_length.partition_point(|known| known.length < length);
        let Some(upper) = self.by_length.get(above) else { return self.memory.bytes(narrow) };
        let Some(lower) = above.checked_sub(1).and_then(|below| self.by_length.get(below)) else {
            return upper.memory.bytes(narrow);
        };
        let share = (length - lower.length) / (upper.length - lower.length);
        let (low, high) = (lower.memory.bytes(narrow), upper.memory.bytes(narrow));
        low + share * (high - low)
    }
}

/// Predicted memory at the worst moment of a phase or evaluation, in numbers of values: what a value
/// takes depends on device and precision. See [`MemoryCost::bytes`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryCost {
    /// Parameters of all models of the arm, shared ones once.
    pub parameters: f64,
    /// Tensors that the optimizer keeps for trained parameters. 0 in an evaluation, where they are there only
    /// while a phase goes on.
    pub states: f64,
    /// Gradients of trained parameters; 0 in an evaluation.
    pub gradients: f64,
    /// Values kept for the backward pass, of one part of an update; 0 without gradients.
    pub activations: f64,
    /// Values alive beside those at the worst moment of the forward pass.
    pub workspace: f64,
    /// Bytes of a batch, whole numbers and truth values included.
    pub batch_bytes: f64,
    /// Parts that an update is computed in: with several, gradients of one wait for the next.
    pub accumulate: f64,
    /// Components whose schemas do not tell what they need: the prediction lacks them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// Batches that wait, beside the one that is computed: loader threads run ahead.
const BATCHES_AHEAD: f64 = 2.0;

impl MemoryCost {
    /// Bytes that the arm needs at the worst moment, beside what the process had before the arm began.
    /// `narrow`: the forward pass runs in 16 bits, so that what is kept takes half; parameters, gradients
    /// and states stay in 32.
    ///
    /// ```
    /// # use zoo_schema::experiment::MemoryCost;
    /// let memory = MemoryCost {
    ///     parameters: 100.0, states: 200.0, gradients: 100.0, activations: 1000.0, accumulate: 1.0,
    ///     ..MemoryCost::default()
    /// };
    /// // Gradients come into being while what the forward pass kept goes.
    /// assert_eq!(memory.bytes(false), 4.0 * (100.0 + 200.0 + 1000.0));
    /// assert_eq!(MemoryCost { activations: 10.0, ..memory }.bytes(false), 4.0 * (100.0 + 200.0 + 100.0));
    /// ```
    pub fn bytes(&self, narrow: bool) -> f64 {
        let kept = if narrow { 2.0 } else { 4.0 };
        // The narrow copies of parameters live as long as the forward pass.
        let copies = if narrow { 2.0 * self.parameters } else { 0.0 };
        let gradients = 4.0 * self.gradients;
        let waiting = if self.accumulate > 1.0 { gradients } else { 0.0 };
        let forward = copies + kept * (self.activations + self.workspace);
        4.0 * (self.parameters + self.states)
            + waiting
            + forward.max(gradients)
            + (1.0 + BATCHES_AHEAD) * self.batch_bytes
    }
}

/// A component with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name in the recipe (`gen`), or a made-up one where the recipe has none (`replaced_token.fake`).
    pub name: String,
    /// `namespace.name`.
    pub component: String,
    /// Its kind.
    pub kind: String,
    /// Every parameter of the schema, in base units and schema order; a reference to another
    /// instance is `{"$instance": NAME}`, one that varies in time `{"$schedule": SCHEDULE}`.
    pub parameters: Map<String, Value>,
    /// Parameters of this model that are those of another one.
    pub share: Vec<Share>,
    /// A checkpoint to start from, as an asset URI or a path.
    pub weights: Option<String>,
    /// Not trained, whatever the phase says.
    pub frozen: bool,
    /// For adapters: the sites they act on.
    pub on: Option<Sites>,
    /// Where it is written.
    pub place: Place,
    /// Where its parameters are written, of those that the recipe gives.
    pub parameter_places: Map<String, Value>,
}

/// Parameters of a model that are those of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Names that begin with this, up to a dot (all names, where it is empty), …
    pub prefix: String,
    /// … are the same tensors as in this instance, under the same name.
    pub instance: String,
}

/// The sites of a model that an adapter acts on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sites {
    /// The model.
    pub instance: String,
    /// Site names, written out.
    pub names: Vec<String>,
}

/// A number that may vary in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum Schedule {
    /// From one value to another in a straight line over the first `over` updates of a phase.
    Ramp {
        /// Value at update 0.
        from: f64,
        /// Value from update `over` on.
        to: f64,
        /// Updates.
        over: u64,
    },
    /// From one value to another along half a cosine.
    Cosine {
        /// Value at update 0.
        from: f64,
        /// Value from update `over` on.
        to: f64,
        /// Updates.
        over: u64,
    },
    /// From one value to another by the same factor at every update; both are of one sign.
    Exponential {
        /// Value at update 0.
        from: f64,
        /// Value from update `over` on.
        to: f64,
        /// Updates.
        over: u64,
    },
    /// The value of the last pair whose update is reached.
    StepsAt {
        /// Pairs of update and value; the first update is 0.
        at: Vec<(u64, f64)>,
    },
}

impl Schedule {
    /// The value at an update, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        match self {
            Self::Ramp { from, to, over }
            | Self::Cosine { from, to, over }
            | Self::Exponential { from, to, over } => {
                let share = if *over == 0 { 1.0 } else { (step as f64 / *over as f64).min(1.0) };
                if matches!(self, Self::Exponential { .. }) {
                    // At the end the value itself, not what powers are rounded to.
                    return if share < 1.0 { from * (to / from).powf(share) } else { *to };
                }
                let share = match self {
                    Self::Cosine { .. } => (1.0 - (std::f64::consts::PI * share).cos()) / 2.0,
                    _ => share,
                };
                from + (to - from) * share
            }
            Self::StepsAt { at } => at
                .iter()
                .rev()
                .find(|(from, _)| *from <= step)
                .or(at.first())
                .map_or(0.0, |(_, value)| *value),
        }
    }
}

/// A phase of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// The phase that it goes on with, as if both were one; see [`Continuation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continuation>,
    /// Instance that gives the batches.
    pub data: String,
    /// What one update computes.
    pub step: StepGraph,
    /// How long.
    pub length: Length,
    /// Examples in an update.
    pub batch: u64,
    /// Parts that an update is computed in, one after the other; does not change the result.
    pub accumulate: u64,
    /// Instance of an optimizer; its parameter `learning_rate` is the peak rate.
    pub optimizer: String,
    /// Instance of a schedule, whose factor the peak rate is multiplied by; without it the rate is constant.
    pub schedule: Option<String>,
    /// Largest norm of the whole gradient; larger ones are scaled down.
    pub clip_norm: Option<f64>,
    /// Instance of an aggregator, which weighs the gradients of single examples by their norms; without it
    /// they are averaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
    /// Which examples an update takes.
    #[serde(default, skip_serializing_if = "Sampling::is_shuffled")]
    pub sampling: Sampling,
    /// Precision of the forward pass.
    pub precision: Precision,
    /// Instances or `instance.prefix` that are trained; empty: all models of the step that are not frozen.
    pub train: Vec<String>,
    /// Updates between evaluations; none: only at the end.
    pub evaluate_every: Option<u64>,
    /// Updates between checkpoints; none: only at the end.
    pub save_every: Option<u64>,
    /// Checkpoints kept beside the best one.
    pub keep: u64,
    /// Metric by which the best checkpoint is chosen, and by which training may stop early. The phase ends
    /// with the parameters of its best checkpoint.
    pub best: Option<String>,
    /// Evaluations without a better value after which the phase ends.
    pub patience: Option<u64>,
    /// Updates between log lines.
    pub log_every: u64,
    /// Where it is written.
    pub place: Place,
}

impl Phase {
    /// The name by which the phase draws: that of the first phase of its chain, its own where it continues none.
    pub fn chain(&self) -> &str {
        self.continues.as_ref().map_or(&self.name, |continues| &continues.chain)
    }
}

/// A phase that goes on where another ended. Both have one optimizer with its states, one schedule over the
/// updates of both, one count of updates by which numbers vary, and one order of the data, as far as they read
/// the same data in batches of one size. A phase of 2 N updates is two of N of which the second continues the
/// first, to the bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuation {
    /// The first phase of those that continue each other, whether the arm has it or leaves it out: so that arms
    /// that divide a chain otherwise see the same rows in the same order.
    pub chain: String,
    /// The phase right before this one, which it continues; none where the arm leaves it out, and those that it
    /// continues.
    pub phase: Option<String>,
}

/// How long a phase lasts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Updates.
    Steps(u64),
    /// Passes over the data; the last incomplete batch of each is dropped.
    Epochs(f64),
}

/// Which examples an update takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// The next ones of the epoch's order.
    #[default]
    Shuffled,
    /// Every example with the same probability, batch / examples, and whatever the others do: an update has
    /// as many as come, `batch` on average.
    Poisson,
}

impl Sampling {
    /// Whether it is the default.
    pub fn is_shuffled(&self) -> bool {
        *self == Self::Shuffled
    }
}

/// Precision of the forward pass; parameters and optimizer state stay in float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// What the device does well: bfloat16 on a GPU, float32 on a CPU.
    Auto,
    /// 32 bits.
    Float32,
    /// Autocast to bfloat16.
    Bfloat16,
    /// Autocast to float16 with loss scaling.
    Float16,
}

/// What one update, or one batch of an evaluation, computes. Nodes stand in an order in which every
/// value is computed before it is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepGraph {
    /// The step's name in the recipe.
    pub name: String,
    /// The computation.
    pub nodes: Vec<Node>,
    /// Named values for curves and evaluations.
    pub logs: Vec<Log>,
    /// What is minimised: a sum of weighted terms. Empty in a step that is only measured.
    pub loss: Vec<LossTerm>,
}

/// One operation of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the step; streams of randomness are named by it. The `let` it stands in, with a
    /// number where that is not enough: `fake`, `loss.1`.
    pub id: String,
    /// What is done.
    pub operation: Operation,
    /// Where it is written.
    pub place: Place,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Operation {
    /// A column of the batch.
    Column {
        /// Its name.
        column: String,
    },
    /// A number.
    Number {
        /// Its value.
        value: f64,
    },
    /// A number that varies in time.
    Scheduled {
        /// How.
        schedule: Schedule,
    },
    /// A call of a component.
    Call {
        /// The instance.
        instance: String,
        /// For every connected input port, in schema order: its name and value. A port that repeats
        /// may stand several times.
        inputs: Vec<(String, ValueRef)>,
    },
    /// Arithmetic on tensors and numbers, with broadcasting.
    Arithmetic {
        /// Which.
        operator: Operator,
        /// Operands.
        operands: Vec<ValueRef>,
    },
    /// The mean over all elements, weighted by element count over a whole update or evaluation.
    Mean {
        /// Of what.
        of: ValueRef,
    },
    /// The sum over all elements, added up over a whole update or evaluation.
    Sum {
        /// Of what.
        of: ValueRef,
    },
    /// The same value without gradient.
    Detach {
        /// Of what.
        of: ValueRef,
    },
}

/// Arithmetic in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// a + b
    Add,
    /// a - b
    Subtract,
    /// a * b
    Multiply,
    /// a / b
    Divide,
    /// -a
    Negate,
    /// a == b
    Equal,
    /// a != b
    NotEqual,
    /// a < b
    Less,
    /// a > b
    Greater,
    /// a and b, of truth values
    And,
    /// a or b, of truth values
    Or,
    /// not a
    Not,
}

/// An output of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ValueRef {
    /// Index into [`StepGraph::nodes`].
    pub node: usize,
    /// Output port of a call; empty for other nodes.
    pub output: String,
}

/// A named value of a step: a scalar, a `mean`, a `sum`, an objective's loss, or a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// Its name.
    pub name: String,
    /// The value.
    pub value: ValueRef,
}

/// One term of a loss: `weight × (sum of the objective over the update / its number of targets)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossTerm {
    /// The node of the objective's call, or of a scalar that is averaged over examples.
    pub value: ValueRef,
    /// The factor: a number node, scheduled or not.
    pub weight: Weight,
}

/// The factor of a loss term.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Weight {
    /// Always the same.
    Constant(f64),
    /// Varies in time.
    Scheduled(Schedule),
}

/// Something that is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Its name.
    pub name: String,
    /// What is computed for a batch; its logs are the results.
    pub step: StepGraph,
    /// Instance that gives the batches, in order, the last one as small as it comes.
    pub data: String,
    /// Examples in a batch; does not change the result, except of what compares examples with each other.
    pub batch: u64,
    /// At most this many examples; none: all.
    pub limit: Option<u64>,
    /// The phase after which it is done; none: after the last one.
    pub after: Option<String>,
    /// Also done every so often while a phase runs (`Phase::evaluate_every`).
    pub during: bool,
    /// Where it is written.
    pub place: Place,
}

/// A named result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// The evaluation.
    pub evaluation: String,
    /// The log of its step.
    pub log: String,
    /// Whether more is better; none where neither is.
    pub higher_is_better: Option<bool>,
    /// Printed as a percentage.
    pub percent: bool,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What is claimed, in words.
    pub title: String,
    /// What must hold.
    pub require: Requirement,
    /// As the recipe writes it.
    pub text: String,
    /// Seeds of equal number are compared with each other.
    pub paired: bool,
    /// Confidence of the interval, 0.95 for 95 %.
    pub confidence: f64,
    /// Seeds this claim asks for.
    pub seeds: u64,
    /// Costs that were checked to be equal.
    pub holding: Vec<Holding>,
    /// Where in the paper it comes from.
    pub source: Option<String>,
    /// May stop as soon as every claim is decided.
    pub stop_when_decided: bool,
    /// Where it is written.
    pub place: Place,
}

/// An inequality over results of arms: `left > right`, or `|left - right| < right` as an
/// equivalence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requirement {
    /// Left side.
    pub left: Quantity,
    /// `Greater` or `Less`, strict or not: the difference between them has no measure.
    pub relation: Relation,
    /// Right side.
    pub right: Quantity,
}

/// How the sides of a requirement compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// left > right or left >= right
    Greater,
    /// left < right or left <= right
    Less,
}

/// A number made of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// A number.
    Number(f64),
    /// The value of a metric in an arm.
    Metric {
        /// Which metric.
        metric: String,
        /// Of which arm.
        arm: String,
    },
    /// left op right, op one of `Add`, `Subtract`, `Multiply`, `Divide`
    Arithmetic {
        /// Which.
        operator: Operator,
        /// Left operand.
        left: Box<Quantity>,
        /// Right operand.
        right: Box<Quantity>,
    },
    /// -a
    Negative(Box<Quantity>),
    /// |a|: alone on the left of a `<`, the requirement is an equivalence.
    Absolute(Box<Quantity>),
}

/// A cost that arms must share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holding {
    /// `train_flops`, `parameters`, `steps` or `examples`.
    pub cost: String,
    /// Largest relative difference.
    pub within: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_hit_their_ends() {
        let ramp = Schedule::Ramp { from: 1.0, to: 3.0, over: 4 };
        assert_eq!([ramp.at(0), ramp.at(2), ramp.at(4), ramp.at(9)], [1.0, 2.0, 3.0, 3.0]);
        let cosine = Schedule::Cosine { from: 1.0, to: 0.0, over: 2 };
        assert!((cosine.at(1) - 0.5).abs() < 1e-15 && cosine.at(5) == 0.0);
        // 2 · 0.999995^t down to 0.1, the temperature of wav2vec 2.0's codes.
        let exponential = Schedule::Exponential { from: 2.0, to: 0.1, over: 599_145 };
        assert!((exponential.at(400_000) - 0.270_669).abs() < 1e-5);
        assert!((exponential.at(1) / 2.0 - 0.999_995).abs() < 1e-9);
        assert_eq!([exponential.at(0), exponential.at(599_145), exponential.at(700_000)], [2.0, 0.1, 0.1]);
        let steps = Schedule::StepsAt { at: vec![(0, 0.1), (10, 0.2)] };
        assert_eq!([steps.at(0), steps.at(9), steps.at(10)], [0.1, 0.1, 0.2]);
        assert_eq!(Schedule::Ramp { from: 1.0, to: 2.0, over: 0 }.at(0), 2.0);
    }
}
