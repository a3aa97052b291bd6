//! Messages with code, place, reason and mend.
//!
//! A [`Diagnostic`] is data: a code of the table in [`codes`], a headline that stands alone, places with
//! the reason at the place, notes, and helps whose edits can be applied as they are. [`Sources`] holds the
//! texts that spans point into; the command line is one of them. [`render`] makes text for people, one
//! line for tools that look for `file:line:column:`, and JSON.
//!
//! ```
//! use zoo_diagnostics::{Diagnostic, Sources, codes, render};
//!
//! let mut sources = Sources::new();
//! let file = sources.add("recipes/electra.mlm", "parm steps : count = 10\n");
//! let diagnostic = Diagnostic::error(codes::MISSPELT_KEYWORD, "`parm` begins no statement")
//!     .primary(file.span(0..4), "unknown word")
//!     .help_edit("did you mean `param`?", file.span(0..4), "param");
//! let text = render::one_line(&[diagnostic], &sources);
//! assert_eq!(text, "recipes/electra.mlm:1:1: error[Z0010]: `parm` begins no statement\n");
//! ```

pub mod codes;
mod diagnostic;
mod edits;
pub mod render;
mod sources;
#[cfg(feature = "testing")]
pub mod testing;

pub use codes::Code;
pub use diagnostic::{Diagnostic, Edit, Help, Label, Severity};
pub use edits::{EditError, apply_edits, similar};
pub use sources::{COMMAND_LINE, FileId, LineIndex, Position, Sources, Span};
