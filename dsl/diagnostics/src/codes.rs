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
        "model disc = transformer.bert(layers: 12, hidden: 256",
        "model disc = transformer.bert(layers: 12, hidden: 256)";

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
        "model disc transformer.bert()",
        "model disc = transformer.bert()";

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
        "model disc = transformer.bert(layers: 12)";

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
        "model = transformer.bert()",
        "model disc = transformer.bert()";

    BAD_NAME = "Z0023",
        "this cannot be a name",
        "A name has letters, digits and `_`, begins with a letter or `_`, and is none of the words `true false if then else and or not in on let`.",
        "model my-model = transformer.bert()",
        "model my_model = transformer.bert()";

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
        "model disc = transformer.bert(layers = 12)",
        "model disc = transformer.bert(layers: 12)";

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
