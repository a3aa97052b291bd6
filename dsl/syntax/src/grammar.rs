//! The pest parser and its errors; pest does not leave this crate.

use pest::Parser;
use pest::iterators::Pair;
use std::num::NonZeroUsize;
use std::sync::Once;

#[derive(pest_derive::Parser)]
#[grammar = "grammar.pest"]
struct Grammar;

pub(crate) type Parsed<'a> = Pair<'a, Rule>;

/// Parses one statement; the byte at which it stops fitting where it does not.
pub(crate) fn parse(rule: Rule, text: &str) -> Result<Parsed<'_>, usize> {
    static LIMIT: Once = Once::new();
    // Far above what a statement of the largest file needs, and far below for ever.
    LIMIT.call_once(|| pest::set_call_limit(NonZeroUsize::new(200_000_000)));
    match Grammar::parse(rule, text) {
        Ok(mut pairs) => pairs.next().ok_or(0),
        Err(error) => Err(match error.location {
            pest::error::InputLocation::Pos(at) | pest::error::InputLocation::Span((at, _)) => at,
        }),
    }
}
