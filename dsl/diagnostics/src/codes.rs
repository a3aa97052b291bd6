//! The table of all codes. A code never changes its meaning; one that is given up is not used again.
//!
//! `Z00xx` text that cannot be read, `Z01xx` plugins and files, `Z02xx` names, `Z03xx` types, units and
//! parameters, `Z04xx` ports and shapes, `Z05xx` claims. To add one, add a row to the table below;
//! `zoo explain` and the tests follow.

use serde::{Serialize, Serializer};
use std::fmt;

/// Code of a message: `Z` and four digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(&'static str);

impl Code {
    /// `Z0304`.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The code's row of the table.
    pub fn explanation(self) -> Option<&'static Explanation> {
        TABLE.iter().find(|row| row.code == self)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// What `zoo explain` says about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// Why it is wrong and what the rule is; Markdown.
    pub text: &'static str,
    /// An example of it; empty where none would help.
    pub wrong: &'static str,
    /// The same as it should be.
    pub right: &'static str,
}

impl fmt::Display for Explanation {
    /// A page of Markdown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}: {}\n\n{}", self.code, self.title, self.text)?;
        if !self.wrong.is_empty() {
            writeln!(f, "\nWrong:\n\n```mlm\n{}\n```", self.wrong.trim_end())?;
        }
        if !self.right.is_empty() {
            writeln!(f, "\nRight:\n\n```mlm\n{}\n```", self.right.trim_end())?;
        }
        Ok(())
    }
}

/// Finds a code by its text; `z304` and `304` mean `Z0304`.
pub fn find(text: &str) -> Option<&'static Explanation> {
    let digits = text.trim().trim_start_matches(['z', 'Z']);
    let number: u16 = digits.parse().ok().filter(|_| digits.len() <= 4)?;
    let code = format!("Z{number:04}");
    TABLE.iter().find(|row| row.code.0 == code)
}

/// Makes a constant and a row of the table of every entry.
macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal, $wrong:literal, $right:literal;)*) => {
        $(
            #[doc = concat!("`", $code, "`: ", $title, ".")]
            pub const $name: Code = Code($code);
        )*

        /// Every code with its explanation, in order.
        pub static TABLE: &[Explanation] = &[
            $(Explanation { code: $name, title: $title, text: $text, wrong: $wrong, right: $right },)*
        ];
    };
}

// name = code, title, what the rule is, an example that is wrong, the same as it should be
codes! {
    FILE_TOO_LARGE = "Z0001",
        "the file is too large",
        "A recipe may have at most 1 MiB of text. A recipe that is larger is most likely a data file given by mistake.",
        "",
        "mlm 1\n";

    NESTED_TOO_DEEPLY = "Z0002",
        "brackets are nested too deeply",
        "Brackets may be nested 64 deep. Give the inner parts names of their own, with `let` in a step or with bindings.",
        "let x = ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))",
        "let x = 1";

    MISSING_EDITION = "Z0003",
        "the first line is not the edition",
        "A recipe begins with `mlm` and the number of the language's edition, so that a later zoo still reads it as it was meant.",
        "paper electra {\n  title = \"ELECTRA\"\n}",
        "mlm 1\n\npaper electra {\n  title = \"ELECTRA\"\n}";

    UNKNOWN_EDITION = "Z0004",
        "this zoo does not know the edition",
        "The number after `mlm` is the edition of the language. This zoo reads edition 1. A recipe of a later edition needs a later zoo.",
        "mlm 7",
        "mlm 1";

    MISSPELT_KEYWORD = "Z0010",
        "the line begins with an unknown word",
        "Every statement begins with a word that says what it is: `param`, `data`, `model`, `step`, `phase`, `claim` and so on; in a step `let`, `log` and `loss`; in a claim `require`, `over`, `holding` and `stop`.",
        "parm steps : count = 10",
        "param steps : count = 10";

    UNCLOSED_BRACKET = "Z0011",
        "a bracket is never closed",
        "Every `(`, `[` and `{` has its partner. A statement goes on over several lines as long as a bracket is open, so one that is missing is noticed only where the next statement begins.",
        "model disc = transformer.masked_lm(layers: 12, hidden: 256",
        "model disc = transformer.masked_lm(layers: 12, hidden: 256)";

    STRAY_CLOSER = "Z0012",
        "a closing bracket has no partner",
        "There is no open bracket of this kind that the closing one could belong to.",
        "let x = mask(batch))",
        "let x = mask(batch)";

    UNCLOSED_BLOCK = "Z0013",
        "a block is never closed",
        "The `{` of a paper, step, phase, arm, profile or claim has its `}` on a line of its own, or on the same line.",
        "phase pretrain {\n  steps = 10 steps\nprofile paper {}",
        "phase pretrain {\n  steps = 10 steps\n}\nprofile paper {}";

    MISSING_EQUALS = "Z0014",
        "there is no `=` between a name and its value",
        "Bindings, settings, `let`, `log` and `loss` have an `=` before the value.",
        "model disc transformer.masked_lm()",
        "model disc = transformer.masked_lm()";

    MISSING_VALUE = "Z0015",
        "a value is missing",
        "After `=`, `:`, `,` or an operator comes a value: a number, a text, a name, a call, a list or a record.",
        "param steps : count =",
        "param steps : count = 10";

    STRAY_TEXT = "Z0016",
        "there is text after the end of the statement",
        "A statement ends at the end of its line, unless a bracket is open. What stands behind a complete statement must be a comment.",
        "let x = mask(batch) fast",
        "let x = mask(batch)  // fast";

    UNKNOWN_BLOCK = "Z0017",
        "there is no such block",
        "Blocks in braces are `paper`, `step`, `phase`, `rl`, `arm`, `profile` and `claim`. Components are bound with `=` and a call.",
        "models disc {\n  layers = 12\n}",
        "model disc = transformer.masked_lm(layers: 12)";

    UNCLOSED_TEXT = "Z0018",
        "a text is never closed",
        "A text begins and ends with `\"`, on one line.",
        "title = \"ELECTRA",
        "title = \"ELECTRA\"";

    UNKNOWN_CHARACTER = "Z0019",
        "a character has no meaning in a recipe",
        "Outside texts and comments a recipe has letters, digits, `_`, and the signs `= : , . ( ) [ ] { } + - * / < > !`. Texts stand in double quotes, comments begin with `//`.",
        "title = 'ELECTRA'",
        "title = \"ELECTRA\"";

    BAD_NUMBER = "Z0020",
        "this is not a number",
        "Numbers are `12`, `0.5`, `5e-4`; `%` makes a fraction; `k`, `M` and `B` stand for a thousand, a million and a billion; a unit follows after a space.",
        "param steps : count = 1_000",
        "param steps : count = 1000";

    UNKNOWN_UNIT = "Z0021",
        "there is no such unit",
        "Units are `tok`, `seq`, `steps`, `epochs`, `seeds`, `pt` (a percentage point), `KiB`, `MiB`, `GiB`, `ms`, `s`, `min` and `h`.",
        "steps = 10 setps",
        "steps = 10 steps";

    MISSING_NAME = "Z0022",
        "a name is missing",
        "What is declared has a name: letters, digits and `_`, beginning with a letter or `_`.",
        "model = transformer.masked_lm()",
        "model disc = transformer.masked_lm()";

    BAD_NAME = "Z0023",
        "this cannot be a name",
        "A name has letters, digits and `_`, begins with a letter or `_`, and is none of the words `true false if then else and or not in on let`.",
        "model my-model = transformer.masked_lm()",
        "model my_model = transformer.masked_lm()";

    MISPLACED_STATEMENT = "Z0024",
        "the statement cannot stand here",
        "`let`, `log` and `loss` stand in a step; `require`, `over`, `holding` and `stop` in a claim; settings in a block; everything else at the top of the file.",
        "let x = mask(batch)",
        "step one(batch) {\n  let x = mask(batch)\n  loss = mlm(x.ids, x.targets)\n}";

    MISSING_TYPE = "Z0025",
        "a parameter has no type",
        "A parameter has a type after its name, which says what the number means and which values can be given on the command line.",
        "param steps = 10",
        "param steps : count = 10";

    BAD_TYPE = "Z0026",
        "this is not a type",
        "A type is a name, `list[TYPE]`, or `one_of(\"a\", \"b\")`.",
        "param pool : one_of(mean, cls) = \"mean\"",
        "param pool : one_of(\"mean\", \"cls\") = \"mean\"";

    BAD_RANGE = "Z0027",
        "this is not a range",
        "After `in` comes an interval, `(0%, 50%]` with a round bracket where the end does not belong to it, or a comparison, `>= 0`.",
        "param rate : fraction = 15% in 0% to 50%",
        "param rate : fraction = 15% in [0%, 50%]";

    WRONG_SEPARATOR = "Z0028",
        "`:` and `=` are mixed up",
        "Arguments of a call and fields of a record have `:`, settings and bindings have `=`.",
        "model disc = transformer.masked_lm(layers = 12)",
        "model disc = transformer.masked_lm(layers: 12)";

    MISSING_COMMA = "Z0029",
        "a comma is missing",
        "Arguments, list elements and fields are separated by commas, also at the ends of lines.",
        "betas: [0.9 0.999]",
        "betas: [0.9, 0.999]";

    TWO_STATEMENTS = "Z0030",
        "two statements stand on one line",
        "A statement ends at the end of its line; the next one begins on a line of its own.",
        "steps = 10 steps  batch = 8 seq",
        "steps = 10 steps\nbatch = 8 seq";

    BAD_ESCAPE = "Z0031",
        "a backslash makes no sense here",
        "In a text, `\\\\` stands for a backslash, `\\\"` for a quote, `\\n` for a line break, `\\t` for a tab, `\\r` for a carriage return.",
        "pattern = \"C:\\data\"",
        "pattern = \"C:\\\\data\"";

    MISSING_BLOCK = "Z0032",
        "a block is missing",
        "`paper`, `step`, `phase`, `rl`, `arm`, `profile` and `claim` have a block in braces, which may be empty. Its `{` stands on the same line.",
        "profile paper",
        "profile paper {}";

    MISSING_INPUTS = "Z0033",
        "a step does not say what it is given",
        "A step has the name of its batch in parentheses.",
        "step masked_only {\n  loss = mlm(batch.ids)\n}",
        "step masked_only(batch) {\n  loss = mlm(batch.ids)\n}";

    MISSING_TEXT = "Z0034",
        "a text in quotes is missing",
        "A claim says in quotes what is claimed; `use` has a file or a plugin in quotes; `use plugin` may have a version in quotes.",
        "claim better {\n}",
        "claim \"better\" {\n}";

    UNKNOWN_OPERATOR = "Z0035",
        "there is no such operator",
        "Operators are `+ - * /`, `== != < <= > >=`, `and`, `or` and `not`.",
        "steps = if a && b then 1 else 2",
        "steps = if a and b then 1 else 2";

    CHAINED_COMPARISON = "Z0036",
        "comparisons cannot be chained",
        "`a < b < c` is not a statement about three values. Write `a < b and b < c`, or in a claim two lines with `require`.",
        "require auc(a) < auc(b) < auc(c)",
        "require auc(a) < auc(b)\nrequire auc(b) < auc(c)";

    BAD_SELECTOR = "Z0037",
        "this is no place that an adapter can act on",
        "After `on` comes a model and a path in it; `[*]` stands for all layers, `{q,v}` for several names.",
        "adapter lora = peft.lora() on \"lm.layers\"",
        "adapter lora = peft.lora() on lm.layers[*].attn.{q,v}";

    BAD_CLAUSE = "Z0038",
        "a clause of a claim cannot be read",
        "Clauses are `require LEFT > RIGHT`, `over 5 seeds paired at 95% confidence` (from `paired` on all optional), `holding COST within 5%` and `stop when decided`.",
        "over seeds with 95% confidence",
        "over seeds at 95% confidence";

    INCOMPLETE_IF = "Z0039",
        "an `if` is incomplete",
        "An `if` in a value always has both branches: `if CONDITION then VALUE else VALUE`.",
        "steps = if big then 10k steps",
        "steps = if big then 10k steps else 1k steps";

    UNREADABLE = "Z0040",
        "the statement cannot be read",
        "The text at the place does not fit, and zoo cannot say more exactly why.",
        "let x = [1, 2; 3]",
        "let x = [1, 2, 3]";


    NO_SUCH_PLUGIN = "Z0101",
        "the plugin is not in reach",
        "`use plugin` names a plugin whose file was found nowhere. Plugins are looked for with `--plugin`, beside the recipe in `plugins/` (where you have allowed it, `zoo plugin allow`), in the folders of `ZOO_PLUGIN_PATH`, in the user's folder, and beside the program.",
        "use plugin \"zoo-txt\" \">=0.1, <0.2\"",
        "use plugin \"zoo-text\" \">=0.1, <0.2\"";

    BAD_VERSION = "Z0102",
        "the plugin's version does not fit",
        "The range behind the plugin's name does not allow the version that was found, or is no range.",
        "use plugin \"zoo-text\" \">=9.0\"",
        "use plugin \"zoo-text\" \">=0.1, <0.2\"";

    FILE_NOT_READ = "Z0103",
        "a used file cannot be read",
        "`use` names a file relative to the recipe.",
        "use \"std/missing.mlm\" as base",
        "use \"std/base.mlm\" as base";

    NESTED_USE = "Z0104",
        "a used file uses files itself",
        "One recipe names all the files it is made of, so that a reader sees them in one place.",
        "",
        "";

    BAD_ASSET = "Z0105",
        "not an asset",
        "Assets are `file:PATH`, `https:…`, `hf:ORG/NAME@REVISION/PATH` and `pypi:NAME==VERSION/PATH/IN/PACKAGE`.",
        "data text = text.lines(file: asset(\"ftp://host/file\"))",
        "data text = text.lines(file: asset(\"file:corpus.txt\"))";

    PLUGIN_REFUSED = "Z0110",
        "the plugin cannot be loaded",
        "The plugin's file was found and cannot be loaded: it was built for another libtorch, another ABI, another machine, or is not a plugin. `zoo plugin doctor` shows the facts of both sides.",
        "",
        "";

    UNKNOWN_COMPONENT = "Z0201",
        "there is no such component",
        "Components come from plugins and are called `namespace.name`. `zoo plugin list` shows what is in reach.",
        "masker mask = masking.unform(rate: 15%)",
        "masker mask = masking.uniform(rate: 15%)";

    WRONG_KIND = "Z0202",
        "a component of another kind",
        "The keyword of a binding says what kind of component it holds, and parameters that take a component say which.",
        "model mask = masking.uniform(rate: 15%)",
        "masker mask = masking.uniform(rate: 15%)";

    CYCLE = "Z0203",
        "something depends on itself",
        "Names bind late, so a value may depend on any other, but never on itself.",
        "param a : count = b\nparam b : count = a",
        "param a : count = 1\nparam b : count = a";

    UNKNOWN_NAME = "Z0204",
        "the name is not known",
        "A name is a parameter, a component, a phase, an arm, a step or, inside a step, what a `let` made.",
        "param steps : count = stpes_per_epoch",
        "param steps : count = steps_per_epoch";

    DEFINED_TWICE = "Z0205",
        "a name is defined twice",
        "Two definitions of one name are an error: neither would win.",
        "param a : count = 1\nparam a : count = 2",
        "param a : count = 2";

    UNKNOWN_PROFILE = "Z0206",
        "there is no such profile",
        "`--profile` names a profile of the recipe.",
        "",
        "";

    UNKNOWN_ARM = "Z0207",
        "there is no such arm",
        "Claims, and `--arm`, name arms of the recipe.",
        "require score(elektra) > score(bert)",
        "require score(electra) > score(bert)";

    UNKNOWN_TYPE = "Z0208",
        "there is no such type",
        "Types are `bool`, `int`, `real`, `count`, `tokens`, `fraction`, `points`, `duration`, `size`, `text`, `path`, `asset`, `one_of(\"…\")` and `list[…]`.",
        "param rate : percent = 15%",
        "param rate : fraction = 15%";

    WRONG_TYPE = "Z0301",
        "a value of another type",
        "Every parameter and setting has a type, and values are not converted between types.",
        "param steps : count = \"many\"",
        "param steps : count = 100";

    WRONG_UNIT = "Z0302",
        "a unit that does not belong there",
        "A unit says what a number counts; one kind of thing does not stand for another.",
        "param rate : fraction = 15 tok",
        "param rate : fraction = 15%";

    NOT_WHOLE = "Z0303",
        "a count that is not whole",
        "Counts, sizes and numbers of tokens are whole.",
        "param layers : count = 2.5",
        "param layers : count = 2";

    MISSING_UNIT = "Z0304",
        "a unit is missing",
        "Numbers with a meaning have a unit: `15` is no fraction, `15%` is; a difference of fractions is written in percentage points, `1 pt`.",
        "param mask_rate : fraction = 15",
        "param mask_rate : fraction = 15%";

    UNKNOWN_PARAMETER = "Z0305",
        "there is no such parameter or setting",
        "A component has the parameters of its schema, a phase and an evaluation their settings. `zoo explain NAME` lists them.",
        "model m = transformer.encoder(layer: 2)",
        "model m = transformer.encoder(layers: 2)";

    UNITS_CLASH = "Z0306",
        "units that do not go together",
        "Only numbers of one unit are added and compared.",
        "param x : fraction = 15% + 3",
        "param x : fraction = 15% + 3%";

    SET_TWICE = "Z0307",
        "set twice in one place",
        "A value may be set once in a profile, an arm, a call, or on the command line.",
        "profile mini {\n  steps = 1\n  steps = 2\n}",
        "profile mini {\n  steps = 2\n}";

    MISSING_PARAMETER = "Z0308",
        "a parameter or setting is missing",
        "It has no default, so the recipe must give it.",
        "masker mask = masking.uniform()",
        "masker mask = masking.uniform(rate: 15%)";

    TOO_MANY_ARGUMENTS = "Z0309",
        "too many arguments",
        "Arguments without names fill parameters, or inputs inside a step, in their order.",
        "",
        "";

    OUT_OF_RANGE = "Z0310",
        "a value outside its range",
        "A parameter's range is part of its declaration.",
        "param rate : fraction = 80% in (0%, 50%]",
        "param rate : fraction = 15% in (0%, 50%]";

    BAD_SCHEDULE = "Z0311",
        "a schedule that is wrong or not possible",
        "`ramp(from:, to:, over:)`, `cosine(from:, to:, over:)`, `exponential(from:, to:, over:)` and `steps_at([[0, a], [n, b]])` stand where the schema says that a parameter may vary.",
        "",
        "";

    NO_SUCH_CHOICE = "Z0312",
        "no such choice",
        "The type lists what may stand there.",
        "param pool : one_of(\"mean\", \"first\") = \"mean_\"",
        "param pool : one_of(\"mean\", \"first\") = \"mean\"";

    PARAMETER_WITHOUT_VALUE = "Z0313",
        "a parameter without a value",
        "A parameter of the recipe needs a default, or a value from a profile or the command line.",
        "param steps : count",
        "param steps : count = 100";

    MISPLACED_ARGUMENT = "Z0314",
        "a parameter between inputs",
        "Inside a step the parameters of a component that is named in place stand together, after its inputs.",
        "",
        "";

    CANNOT_CONTINUE = "Z0315",
        "a phase cannot go on where another ended",
        "A phase that `continues` another has its optimizer with all states, goes on in its schedule and in its order of the data, and has every setting of it that it does not have itself, but for `steps`, `best` and `patience`. It needs to be the phase right after the other, and the other must end with the parameters that it came to.",
        "phase second after first {\n  continues = first\n  optimizer = optimization.adamw(learning_rate: 1e-4)\n}",
        "phase second after first {\n  continues = first\n}";

    DTYPES_DIFFER = "Z0401",
        "an input of another element type",
        "Ports take `float`, `int` or `bool` tensors, strings, or numbers, and nothing is converted.",
        "",
        "";

    SHAPES_DIFFER = "Z0402",
        "an input of another shape",
        "Dimensions of one name are equal within a call; the names of parameters are their values.",
        "",
        "";

    UNKNOWN_OUTPUT = "Z0403",
        "there is no such output",
        "A call has the outputs of its schema; an evaluation those that its step logs.",
        "let g = generator(x.ids)\nlog a = g.logit.mean()",
        "let g = generator(x.ids)\nlog a = g.logits.mean()";

    MISSING_INPUT = "Z0404",
        "an input is missing",
        "Inputs are optional only where the schema says so.",
        "",
        "";

    UNKNOWN_INPUT = "Z0405",
        "there is no such input",
        "A call takes the inputs of its schema.",
        "",
        "";

    NOT_A_SCALAR = "Z0406",
        "not one number",
        "Logs and losses are one number.",
        "log hidden = d.hidden",
        "log hidden = d.hidden.mean()";

    ONE_LOSS = "Z0407",
        "a trained step has exactly one loss",
        "What a phase makes smaller is the one `loss` of its step.",
        "",
        "";

    LOSS_NOT_LINEAR = "Z0408",
        "a loss is a weighted sum",
        "A loss is a sum of objectives with weights that are known before the update; so the engine can divide each by its number of targets over the whole update.",
        "loss = mlm(g.logits, x.targets) * rtd(d.logits, fake.is_replaced)",
        "loss = mlm(g.logits, x.targets) + 50 * rtd(d.logits, fake.is_replaced)";

    UNUSED = "Z0410",
        "a value that nothing needs",
        "What no log and no loss needs is not computed.",
        "",
        "";

    NOT_CALLABLE = "Z0411",
        "this cannot be called",
        "Steps call components that compute; data, optimizers and schedules are used by phases.",
        "",
        "";

    WHICH_OUTPUT = "Z0412",
        "one of several outputs must be named",
        "A call with one output stands for it; of several the step names one.",
        "",
        "";

    NO_SUCH_SITE = "Z0413",
        "the selector fits no site",
        "Adapters act on the sites that a model's schema lists.",
        "",
        "";

    NOTHING_MEASURED = "Z0414",
        "the step logs nothing",
        "An evaluation is what the logs of its step say.",
        "",
        "";

    MARGIN_WITHOUT_UNIT = "Z0501",
        "the margin has no unit",
        "Beside a metric that is a share, a plain number is ambiguous: `1.0` would be 100 points.",
        "require score(electra) > score(bert) + 1.0",
        "require score(electra) > score(bert) + 1.0 pt";

    UNKNOWN_METRIC = "Z0502",
        "there is no such metric",
        "Claims name metrics of the recipe, with the arm in parentheses.",
        "require scor(electra) > score(bert)",
        "require score(electra) > score(bert)";

    NOT_AN_INEQUALITY = "Z0504",
        "a claim is an inequality",
        "A claim says that one number is larger than another, by a margin, or that two are near each other.",
        "require score(a) == score(b)",
        "require abs(score(a) - score(b)) < 1 pt";

    COSTS_DIFFER = "Z0505",
        "the arms do not cost the same",
        "`holding` guards against unfair comparisons; the costs are computed from the schemas before anything runs.",
        "",
        "";

    COST_UNKNOWN = "Z0506",
        "a cost cannot be computed",
        "A formula of a schema needs a dimension that is not known before the run.",
        "",
        "";

    UNKNOWN_COST = "Z0507",
        "there is no such cost",
        "Costs are `cost.train_flops`, `cost.parameters`, `cost.steps` and `cost.examples`.",
        "holding cost.flops within 5%",
        "holding cost.train_flops within 5%";

    ONE_REQUIREMENT = "Z0508",
        "a claim requires one thing",
        "Several requirements are several claims, and their number counts when they are judged.",
        "",
        "";

    PROFILE_CHANGES_MEANING = "Z0601",
        "a profile changes what is compared",
        "Profiles scale an experiment: sizes, data, margins. Another objective is another arm.",
        "",
        "";

    NOTHING_TO_DO = "Z0602",
        "nothing to do",
        "A recipe trains or measures something.",
        "",
        "";

    NOT_SUPPORTED = "Z0603",
        "not supported by this version",
        "The grammar knows it already; this version cannot run it.",
        "",
        "";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_complete() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} before {}", pair[0].code, pair[1].code);
        }
        for row in TABLE {
            let code = row.code.as_str();
            assert!(code.len() == 5 && code.starts_with('Z'), "{code}");
            assert!(code[1..].bytes().all(|byte| byte.is_ascii_digit()), "{code}");
            assert!(!row.title.is_empty() && row.text.ends_with(['.', '`']), "{code}");
            assert_eq!(row.code.explanation(), Some(row));
        }
    }

    #[test]
    fn codes_are_found_however_they_are_written() {
        for text in ["Z0010", "z0010", "Z10", "10", " 0010 "] {
            assert_eq!(find(text).map(|row| row.code), Some(MISSPELT_KEYWORD), "{text}");
        }
        assert!(find("Z9999").is_none() && find("").is_none() && find("00010").is_none());
    }

    #[test]
    fn a_page_shows_both_examples() {
        let page = MISSPELT_KEYWORD.explanation().unwrap().to_string();
        assert!(page.starts_with("# Z0010: "));
        assert!(page.contains("parm steps") && page.contains("param steps"));
    }
}
