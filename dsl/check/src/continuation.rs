//! Phases that go on where another ended.

use crate::definitions::{Defined, PHASE_SETTINGS, find, settings};
use crate::evaluate::ArmChecker;
use std::collections::HashMap;
use zoo_diagnostics::{Diagnostic, Span, codes};
use zoo_schema::experiment::{Continuation, Phase};
use zoo_syntax::ast::{Expr, Stage};

/// A phase's setting as it is written, and the scope of its names.
type Written<'d> = Option<(&'d Expr, &'d str)>;

/// What every phase says for itself; all else is as in the phase that it continues.
const OWN: &[&str] = &["continues", "steps", "best", "patience"];
/// What phases that continue each other have in common.
const COMMON: &[&str] = &["optimizer", "schedule"];

pub(crate) fn written<'d>(stage: Defined<'d, Stage>, key: &str) -> Written<'d> {
    settings(&stage.item.body).find(|s| s.path.to_string() == key).map(|s| (&s.value, stage.scope))
}

impl<'d> ArmChecker<'d> {
    /// The phase that one continues, where it names one, and where it does.
    pub(crate) fn continued(&self, name: &str, stage: Defined<'d, Stage>) -> Option<(String, Span)> {
        let (expression, scope) = self.in_force(&format!("{name}.continues"), written(stage, "continues"))?;
        let path = expression.as_path().filter(|path| path.to_string() != "none")?;
        Some((format!("{scope}{path}"), expression.span))
    }

    /// The phases that one continues, from the nearest to the first.
    pub(crate) fn chain(
        &mut self,
        name: &str,
        stage: Defined<'d, Stage>,
    ) -> Vec<(String, Defined<'d, Stage>)> {
        let mut chain: Vec<(String, Defined<'d, Stage>)> = Vec::new();
        let mut last = (name.to_owned(), stage);
        while let Some((full, span)) = self.continued(&last.0, last.1) {
            let Some(found) = find(&self.definitions.stages, &full).copied() else {
                let names: Vec<String> = self.definitions.stages.iter().map(|(n, _)| n.clone()).collect();
                self.error(crate::unknown_name(&full, span, "phase", &names));
                break;
            };
            if full == name || chain.iter().any(|(known, _)| *known == full) {
                // A cycle, and said so.
                break;
            }
            last = (full, found);
            chain.push(last.clone());
        }
        let written = self.in_force(&format!("{name}.continues"), written(stage, "continues"));
        if let Some((expression, _)) = written.filter(|(expression, _)| expression.as_path().is_none()) {
            self.error(
                Diagnostic::error(codes::WRONG_TYPE, "a phase is named, not computed")
                    .primary(expression.span, "expected the name of a phase"),
            );
        }
        chain
    }

    /// For every setting the phase that says it, and what it says: itself, or the nearest that it continues.
    pub(crate) fn said(
        &self,
        name: &str,
        stage: Defined<'d, Stage>,
        chain: &[(String, Defined<'d, Stage>)],
    ) -> HashMap<&'static str, (String, Written<'d>)> {
        let own = (name.to_owned(), stage);
        let of = |key: &'static str| {
            let others: &[_] = if OWN.contains(&key) { &[] } else { chain };
            let says = |(name, stage): &&(String, Defined<'d, Stage>)| {
                self.in_force(&format!("{name}.{key}"), written(*stage, key)).is_some()
            };
            let (name, stage) = std::iter::once(&own).chain(others).find(says).unwrap_or(&own);
            (key, (name.clone(), written(*stage, key)))
        };
        PHASE_SETTINGS.iter().map(|key| of(key)).collect()
    }

    /// What the engine needs to know of the phases that one continues; `before` are the arm's phases before it.
    pub(crate) fn continuation(
        &mut self,
        name: &str,
        chain: &[(String, Defined<'d, Stage>)],
        before: &[Phase],
    ) -> Option<Continuation> {
        let (first, _) = chain.last()?;
        let stage = find(&self.definitions.stages, name).copied()?;
        let (_, span) = self.continued(name, stage)?;
        let phase = chain.iter().find_map(|(known, _)| before.iter().find(|phase| phase.name == *known));
        for key in COMMON {
            if let Some((expression, _)) = self.in_force(&format!("{name}.{key}"), written(stage, key)) {
                self.error(
                    Diagnostic::error(
                        codes::CANNOT_CONTINUE,
                        format!("`{name}` continues another phase, and has the {key} of that"),
                    )
                    .primary(expression.span, format!("another {key}"))
                    .secondary(span, "it goes on here")
                    .help(format!("set `{first}.{key}`; or leave `continues` out, for a new {key}")),
                );
            }
        }
        if let Some(phase) = phase {
            if let Some(last) = before.last().filter(|last| last.name != phase.name) {
                self.error(
                    Diagnostic::error(
                        codes::CANNOT_CONTINUE,
                        format!(
                            "between `{}` and `{name}`, which continues it, comes `{}`",
                            phase.name, last.name
                        ),
                    )
                    .primary(span, "only the phase right before can be continued")
                    .help(format!("write `phase {} after {name}`", last.name)),
                );
            }
            if phase.best.is_some() || phase.patience.is_some() {
                let (key, does) = match phase.best {
                    Some(_) => ("best", "goes back to its best parameters"),
                    None => ("patience", "may end early"),
                };
                self.error(
                    Diagnostic::error(
                        codes::CANNOT_CONTINUE,
                        format!("`{}` {does}, and `{name}` cannot continue it", phase.name),
                    )
                    .primary(span, format!("it has `{key}`"))
                    .help(format!("leave `{}.{key}` out, or set `{name}.{key}`", phase.name)),
                );
            }
        }
        Some(Continuation { chain: first.clone(), phase: phase.map(|phase| phase.name.clone()) })
    }
}
