//! A message as data.

use crate::codes::Code;
use crate::sources::Span;
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing can run.
    Error,
    /// Runs, but is probably not what was meant.
    Warning,
    /// Good to know.
    Note,
}

/// A place and what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// The reason at the place; may be empty.
    pub text: String,
    /// The place that the message is about, as opposed to one that explains it.
    pub primary: bool,
}

/// Text to be put in the place of other text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// What is replaced; empty for an insertion.
    pub span: Span,
    /// What stands there afterwards.
    pub replacement: String,
}

/// A way out, with the edits that go it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Help {
    /// What to do.
    pub text: String,
    /// The same as edits, applied all at once; may be empty.
    pub edits: Vec<Edit>,
}

/// A message: what is wrong, where, why, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Row of the table in [`crate::codes`].
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// Says what is wrong, and stands alone.
    pub headline: String,
    /// Places. The first primary one is where the message is.
    pub labels: Vec<Label>,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// Ways out.
    pub helps: Vec<Help>,
}

impl Diagnostic {
    /// A message without any place yet.
    pub fn new(severity: Severity, code: Code, headline: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            headline: headline.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            helps: Vec::new(),
        }
    }

    /// An error without any place yet.
    pub fn error(code: Code, headline: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, headline)
    }

    /// A warning without any place yet.
    pub fn warning(code: Code, headline: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, headline)
    }

    /// Adds the place that the message is about, with the reason (may be empty).
    pub fn primary(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into(), primary: true });
        self
    }

    /// Adds a place that explains.
    pub fn secondary(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into(), primary: false });
        self
    }

    /// Adds a note.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds a help in words alone.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(Help { text: text.into(), edits: Vec::new() });
        self
    }

    /// Adds a help with one edit.
    pub fn help_edit(mut self, text: impl Into<String>, span: Span, replacement: impl Into<String>) -> Self {
        let edits = vec![Edit { span, replacement: replacement.into() }];
        self.helps.push(Help { text: text.into(), edits });
        self
    }

    /// Adds a help with several edits.
    pub fn help_edits(mut self, text: impl Into<String>, edits: Vec<Edit>) -> Self {
        self.helps.push(Help { text: text.into(), edits });
        self
    }

    /// The place that the message is about: the first primary label, else the first label.
    pub fn span(&self) -> Option<Span> {
        self.labels.iter().find(|label| label.primary).or(self.labels.first()).map(|label| label.span)
    }

    /// Whether it stops the run.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
