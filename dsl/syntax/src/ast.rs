//! The typed view of a recipe, with spans. What is written, not what it means: names are not resolved,
//! units not converted, except that [`Number::base`] does it on request.
//!
//! A statement that cannot be read stands in the view as *broken*, with the name that it would have
//! declared, so that a checker takes the name as known and reports no further error because of it.

use std::fmt;
use zoo_diagnostics::Span;

/// A name where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Its place.
    pub span: Span,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text in quotes, with its escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text without quotes, `\"` being `"`.
    pub value: String,
    /// Its place, quotes included.
    pub span: Span,
}

/// The lines of a `///` comment directly above a statement, without the slashes and the space after
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Docs {
    /// The lines joined by line breaks; empty when there is no such comment.
    pub text: String,
    /// Its place, if there is one.
    pub span: Option<Span>,
}

/// A recipe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// Statements in the order of the file, the edition included.
    pub items: Vec<Item>,
    /// The whole file.
    pub span: Span,
}

/// A statement at the top of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `mlm 1`
    Edition(Edition),
    /// `use "std/bert.mlm" as bert`
    UseFile(UseFile),
    /// `use plugin "zoo-text" ">=0.1, <0.2"`
    UsePlugin(UsePlugin),
    /// `paper electra { … }`
    Paper(Paper),
    /// `param steps : count = 1M steps in >= 1`
    Param(Param),
    /// `model disc = transformer.masked_lm(…)`
    Binding(Binding),
    /// `step replaced_token(batch) { … }`
    Step(Step),
    /// `phase pretrain after warm { … }` or `rl align { … }`
    Stage(Stage),
    /// `arm learned : treatment "…" { … }`
    Arm(Arm),
    /// `profile mini "…" { … }`
    Profile(Profile),
    /// `claim "…" { … }`
    Claim(Claim),
    /// Could not be read; an error has been reported.
    Broken(Broken),
}

impl Item {
    /// The whole statement without its doc comment.
    pub fn span(&self) -> Span {
        match self {
            Self::Edition(item) => item.span,
            Self::UseFile(item) => item.span,
            Self::UsePlugin(item) => item.span,
            Self::Paper(item) => item.span,
            Self::Param(item) => item.span,
            Self::Binding(item) => item.span,
            Self::Step(item) => item.span,
            Self::Stage(item) => item.span,
            Self::Arm(item) => item.span,
            Self::Profile(item) => item.span,
            Self::Claim(item) => item.span,
            Self::Broken(item) => item.span,
        }
    }

    /// The name it declares, if it declares one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Edition(_) | Self::UsePlugin(_) | Self::Claim(_) => None,
            Self::UseFile(item) => item.name.as_ref(),
            Self::Paper(item) => Some(&item.name),
            Self::Param(item) => Some(&item.name),
            Self::Binding(item) => Some(&item.name),
            Self::Step(item) => Some(&item.name),
            Self::Stage(item) => Some(&item.name),
            Self::Arm(item) => Some(&item.name),
            Self::Profile(item) => Some(&item.name),
            Self::Broken(item) => item.name.as_ref(),
        }
    }
}

/// A statement that could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// The keyword it begins with or was meant to begin with: `model`, `let`, …
    pub keyword: Option<&'static str>,
    /// What it would have declared.
    pub name: Option<Name>,
    /// The whole statement.
    pub span: Span,
}

/// The edition of the language.
#[derive(Clone, Debug, PartialEq)]
pub struct Edition {
    /// 1
    pub number: u32,
    /// The statement.
    pub span: Span,
}

/// Names of another recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct UseFile {
    /// The file, relative to this one.
    pub path: Text,
    /// The name after `as`.
    pub name: Option<Name>,
    /// The statement.
    pub span: Span,
}

/// A plugin that the recipe needs.
#[derive(Clone, Debug, PartialEq)]
pub struct UsePlugin {
    /// Its name.
    pub plugin: Text,
    /// Which versions, in cargo's notation.
    pub version: Option<Text>,
    /// The statement.
    pub span: Span,
}

/// The paper that a recipe reproduces.
#[derive(Clone, Debug, PartialEq)]
pub struct Paper {
    /// Comment above it.
    pub docs: Docs,
    /// Name in the recipe.
    pub name: Name,
    /// `title`, `arxiv`, …
    pub body: Vec<BlockItem>,
    /// The statement.
    pub span: Span,
}

/// A parameter of the recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Comment above it.
    pub docs: Docs,
    /// Its name.
    pub name: Name,
    /// Its type.
    pub type_expression: TypeExpression,
    /// The value it has unless something else says otherwise.
    pub value: Option<Expr>,
    /// Which values are allowed.
    pub range: Option<Range>,
    /// The statement.
    pub span: Span,
}

/// A type as written: `count`, `list[real]`, `one_of("mean", "cls")`.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeExpression {
    /// `count`, `list`, `one_of`
    pub name: Name,
    /// In brackets: the type of a list's elements.
    pub element: Option<Box<TypeExpression>>,
    /// In parentheses: the choices.
    pub choices: Vec<Text>,
    /// The whole type.
    pub span: Span,
}

impl fmt::Display for TypeExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.text)?;
        if let Some(element) = &self.element {
            write!(f, "[{element}]")?;
        }
        for (index, choice) in self.choices.iter().enumerate() {
            write!(f, "{}{:?}", if index == 0 { "(" } else { ", " }, choice.value)?;
        }
        if self.choices.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

/// Which values are allowed.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// `(0%, 50%]`
    Interval {
        /// `(`: the low end does not belong to it.
        low_open: bool,
        /// Low end.
        low: Expr,
        /// High end.
        high: Expr,
        /// `)`: the high end does not belong to it.
        high_open: bool,
        /// The whole range.
        span: Span,
    },
    /// `>= 0`
    Compare {
        /// One of the four orders.
        operator: BinaryOperator,
        /// The bound.
        bound: Expr,
        /// The whole range.
        span: Span,
    },
}

impl Range {
    /// The whole range.
    pub fn span(&self) -> Span {
        match self {
            Self::Interval { span, .. } | Self::Compare { span, .. } => *span,
        }
    }
}

/// What a binding's component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BindingKind {
    /// `data`
    Data,
    /// `tokenizer`
    Tokenizer,
    /// `model`
    Model,
    /// `masker`
    Masker,
    /// `objective`
    Objective,
    /// `adapter`
    Adapter,
    /// `reward`
    Reward,
    /// `tool`
    Tool,
    /// `eval`
    Eval,
    /// `metric`
    Metric,
    /// `optimizer`
    Optimizer,
    /// `schedule`
    Schedule,
    /// `aggregator`
    Aggregator,
}

impl BindingKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Data,
        Self::Tokenizer,
        Self::Model,
        Self::Masker,
        Self::Objective,
        Self::Adapter,
        Self::Reward,
        Self::Tool,
        Self::Eval,
        Self::Metric,
        Self::Optimizer,
        Self::Schedule,
        Self::Aggregator,
    ];

    /// The keyword.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Tokenizer => "tokenizer",
            Self::Model => "model",
            Self::Masker => "masker",
            Self::Objective => "objective",
            Self::Adapter => "adapter",
            Self::Reward => "reward",
            Self::Tool => "tool",
            Self::Eval => "eval",
            Self::Metric => "metric",
            Self::Optimizer => "optimizer",
            Self::Schedule => "schedule",
            Self::Aggregator => "aggregator",
        }
    }

    /// The kind that a keyword means.
    pub fn from_keyword(keyword: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.keyword() == keyword)
    }
}

/// A name for a component with its parameters, or for an evaluation or a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Comment above it.
    pub docs: Docs,
    /// What it is for.
    pub kind: BindingKind,
    /// Place of the keyword.
    pub kind_span: Span,
    /// Its name.
    pub name: Name,
    /// Usually a call; may be a name or a member (`bert.wordpiece`, `check.auc`).
    pub value: Expr,
    /// Where an adapter acts.
    pub on: Option<Selector>,
    /// The statement.
    pub span: Span,
}

/// Sites in a model: `lm.layers[*].attn.{q,v}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// The model.
    pub model: Name,
    /// The way from there.
    pub segments: Vec<Segment>,
    /// The whole selector without `on`.
    pub span: Span,
}

/// A part of a [`Selector`].
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    /// `.attn`
    Name(Name),
    /// `.layers[*]`
    All(Name),
    /// `.layers[3]`
    Index(Name, u32),
    /// `.{q,v}`
    Choice(Vec<Name>),
}

/// One update, or one batch of an evaluation, as the paper writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Comment above it.
    pub docs: Docs,
    /// Its name.
    pub name: Name,
    /// What it is given; usually one, the batch.
    pub inputs: Vec<Name>,
    /// Its statements in order.
    pub body: Vec<Statement>,
    /// The statement.
    pub span: Span,
}

/// A statement of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `let x = mask(batch)`
    Let {
        /// The name.
        name: Name,
        /// What it stands for.
        value: Expr,
        /// The statement.
        span: Span,
    },
    /// `log auc = …`
    Log {
        /// The curve's name.
        name: Name,
        /// What is logged.
        value: Expr,
        /// The statement.
        span: Span,
    },
    /// `loss = …`
    Loss {
        /// What is minimised.
        value: Expr,
        /// The statement.
        span: Span,
    },
    /// Could not be read; an error has been reported.
    Broken(Broken),
}

/// Whether a stage is ordinary training or reinforcement learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// `phase`
    Phase,
    /// `rl`
    Rl,
}

/// A phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Comment above it.
    pub docs: Docs,
    /// `phase` or `rl`
    pub kind: StageKind,
    /// Its name.
    pub name: Name,
    /// The phase that it comes after.
    pub after: Option<Name>,
    /// Its settings.
    pub body: Vec<BlockItem>,
    /// The statement.
    pub span: Span,
}

/// A named set of overrides.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Comment above it.
    pub docs: Docs,
    /// Its name.
    pub name: Name,
    /// `baseline`, `treatment`, or whatever else is written; not checked here.
    pub role: Option<Name>,
    /// What it is, in words.
    pub title: Option<Text>,
    /// The overrides.
    pub body: Vec<BlockItem>,
    /// The statement.
    pub span: Span,
}

/// A scale to run at.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Comment above it.
    pub docs: Docs,
    /// Its name.
    pub name: Name,
    /// What it is for, in words.
    pub title: Option<Text>,
    /// The overrides.
    pub body: Vec<BlockItem>,
    /// The statement.
    pub span: Span,
}

/// A statement of a block of settings.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockItem {
    /// `disc.layers = 2`
    Setting(Setting),
    /// Could not be read; an error has been reported. Its name is the first of its path.
    Broken(Broken),
}

/// A value for a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Comment above it.
    pub docs: Docs,
    /// What is set.
    pub path: Path,
    /// To what.
    pub value: Expr,
    /// The statement.
    pub span: Span,
}

/// Names joined by dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// At least one.
    pub names: Vec<Name>,
    /// All of it.
    pub span: Span,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

/// What a recipe claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Comment above it.
    pub docs: Docs,
    /// What is claimed, in words.
    pub title: Text,
    /// Its statements in order.
    pub body: Vec<ClaimStatement>,
    /// The statement.
    pub span: Span,
}

/// A statement of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimStatement {
    /// `require auc(learned) < auc(uniform) - 15 pt`
    Require {
        /// The inequality.
        condition: Expr,
        /// The statement.
        span: Span,
    },
    /// `over 5 seeds paired at 95% confidence`
    Over {
        /// How many seeds: a number or a name.
        seeds: Expr,
        /// Place of `paired`, if it is there.
        paired: Option<Span>,
        /// The confidence.
        confidence: Option<Number>,
        /// The statement.
        span: Span,
    },
    /// `holding cost.train_flops within 5%`
    Holding {
        /// What is equal.
        cost: Expr,
        /// Up to which difference.
        within: Option<Number>,
        /// The statement.
        span: Span,
    },
    /// `stop when decided`
    StopWhenDecided {
        /// The statement.
        span: Span,
    },
    /// `source = "table 1"`
    Setting(Setting),
    /// Could not be read; an error has been reported.
    Broken(Broken),
}

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its place. Of a value in parentheses, without them.
    pub span: Span,
}

/// Kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `15%`
    Number(Number),
    /// `"mean"`
    Text(Text),
    /// `true`
    Bool(bool),
    /// `steps`
    Name(String),
    /// `[0.9, 0.999]`
    List(Vec<Expr>),
    /// `{a: 1}`
    Record(Vec<Field>),
    /// `disc(x.ids, attention_mask: batch.attention_mask)`
    Call {
        /// What is called: a name, a member, or a member of a call (`x.mean()`).
        callee: Box<Expr>,
        /// Its arguments in order.
        arguments: Vec<Argument>,
    },
    /// `x.ids`
    Member {
        /// Of what.
        of: Box<Expr>,
        /// Which.
        name: Name,
    },
    /// `layers[3]` or `layers[*]`
    Index {
        /// Of what.
        of: Box<Expr>,
        /// Which; nothing means `*`, all.
        index: Option<Box<Expr>>,
    },
    /// `-x`, `not x`
    Unary {
        /// Which.
        operator: UnaryOperator,
        /// The operand.
        operand: Box<Expr>,
    },
    /// `a + b`
    Binary {
        /// Which.
        operator: BinaryOperator,
        /// Place of the operator.
        operator_span: Span,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// `if a then b else c`
    If {
        /// Decides.
        condition: Box<Expr>,
        /// The value if so.
        then: Box<Expr>,
        /// The value if not.
        otherwise: Box<Expr>,
    },
}

impl Expr {
    /// The value as a path of names, if it is one: `a` or `a.b.c`.
    pub fn as_path(&self) -> Option<Path> {
        let mut names = Vec::new();
        let mut at = self;
        loop {
            match &at.kind {
                ExprKind::Member { of, name } => {
                    names.push(name.clone());
                    at = of;
                }
                ExprKind::Name(text) => {
                    names.push(Name { text: text.clone(), span: at.span });
                    names.reverse();
                    return Some(Path { names, span: self.span });
                }
                _ => return None,
            }
        }
    }
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Expr,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Its name, if it is given by name.
    pub name: Option<Name>,
    /// Its value.
    pub value: Expr,
}

impl Argument {
    /// Name and value.
    pub fn span(&self) -> Span {
        self.name.as_ref().map_or(self.value.span, |name| name.span.to(self.value.span))
    }
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOperator {
    /// `-`
    Negate,
    /// `not`
    Not,
}

impl UnaryOperator {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Negate => "-",
            Self::Not => "not",
        }
    }
}

/// Operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `and`
    And,
    /// `or`
    Or,
}

impl BinaryOperator {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::And => "and",
            Self::Or => "or",
        }
    }

    /// Whether it compares: `== != < <= > >=`.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual
        )
    }
}

/// A number as written, with what follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// The digits' value, before `%`, magnitude and unit: 15 of `15%`, 1.5 of `1.5k steps`.
    pub value: f64,
    /// Whether the digits have neither a point nor an exponent.
    pub whole: bool,
    /// `k`, `M` or `B`.
    pub magnitude: Option<Magnitude>,
    /// `%` or a unit.
    pub unit: Option<Unit>,
    /// Place of `%` or the unit, if there is one.
    pub unit_span: Option<Span>,
    /// All of it.
    pub span: Span,
}

impl Number {
    /// The value in base units: 0.15 of `15%`, 0.01 of `1 pt`, 1e6 of `1M steps`, seconds of times,
    /// bytes of sizes.
    ///
    /// Scaling down divides, so that `15%` is the double nearest to 0.15.
    pub fn base(&self) -> f64 {
        let value = match self.magnitude {
            None => self.value,
            Some(magnitude) => self.value * magnitude.factor(),
        };
        match self.unit {
            None => value,
            Some(Unit::Percent | Unit::Points) => value / 100.0,
            Some(Unit::Milliseconds) => value / 1000.0,
            Some(Unit::Minutes) => value * 60.0,
            Some(Unit::Hours) => value * 3600.0,
            Some(Unit::Kibibytes) => value * 1024.0,
            Some(Unit::Mebibytes) => value * 1024.0 * 1024.0,
            Some(Unit::Gibibytes) => value * 1024.0 * 1024.0 * 1024.0,
            Some(
                Unit::Tokens | Unit::Sequences | Unit::Steps | Unit::Epochs | Unit::Seeds | Unit::Seconds,
            ) => value,
        }
    }
}

/// Thousands, millions, billions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Magnitude {
    /// `k`
    Thousand,
    /// `M`
    Million,
    /// `B`
    Billion,
}

impl Magnitude {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Thousand, Self::Million, Self::Billion];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Thousand => "k",
            Self::Million => "M",
            Self::Billion => "B",
        }
    }

    /// 1e3, 1e6, 1e9.
    pub fn factor(self) -> f64 {
        match self {
            Self::Thousand => 1e3,
            Self::Million => 1e6,
            Self::Billion => 1e9,
        }
    }
}

/// What is counted or measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// `%`: a fraction
    Percent,
    /// `pt`: percentage points, a difference of fractions
    Points,
    /// `tok`
    Tokens,
    /// `seq`
    Sequences,
    /// `steps`
    Steps,
    /// `epochs`
    Epochs,
    /// `seeds`
    Seeds,
    /// `KiB`
    Kibibytes,
    /// `MiB`
    Mebibytes,
    /// `GiB`
    Gibibytes,
    /// `ms`
    Milliseconds,
    /// `s`
    Seconds,
    /// `min`
    Minutes,
    /// `h`
    Hours,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Percent,
        Self::Points,
        Self::Tokens,
        Self::Sequences,
        Self::Steps,
        Self::Epochs,
        Self::Seeds,
        Self::Kibibytes,
        Self::Mebibytes,
        Self::Gibibytes,
        Self::Milliseconds,
        Self::Seconds,
        Self::Minutes,
        Self::Hours,
    ];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Points => "pt",
            Self::Tokens => "tok",
            Self::Sequences => "seq",
            Self::Steps => "steps",
            Self::Epochs => "epochs",
            Self::Seeds => "seeds",
            Self::Kibibytes => "KiB",
            Self::Mebibytes => "MiB",
            Self::Gibibytes => "GiB",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Minutes => "min",
            Self::Hours => "h",
        }
    }

    /// The unit that a word means.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.as_str() == word)
    }
}
