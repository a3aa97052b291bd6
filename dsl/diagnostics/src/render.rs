//! Three outputs: full text, one line each, and JSON.

use crate::diagnostic::{Diagnostic, Edit, Severity};
use crate::sources::{Sources, Span};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde_json::{Value, json};
use std::fmt::Write;

/// Errors that are printed before `and N more`.
pub const LIMIT: usize = 10;

/// How the full text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub colour: bool,
    /// Columns of the terminal; longer source lines are cut.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, width: 140 }
    }
}

/// The whole message with source lines, marks, and edits as a diff, for each of the diagnostics; an
/// empty line after each. Of more than [`LIMIT`] errors the rest is counted.
pub fn full(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    let (shown, left) = within_limit(diagnostics);
    let mut out = String::new();
    for diagnostic in shown {
        out.push_str(&one_full(diagnostic, sources, style));
        out.push_str("\n\n");
    }
    if left > 0 {
        let _ = writeln!(out, "and {left} more");
    }
    out
}

/// `file:line:column: error[Z0304]: headline` for each of the diagnostics. Of more than [`LIMIT`]
/// errors the rest is counted.
pub fn one_line(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let (shown, left) = within_limit(diagnostics);
    let mut out = String::new();
    for diagnostic in shown {
        if let Some(span) = diagnostic.span() {
            let position = sources.position(span);
            let _ = write!(out, "{}:{}:{}: ", sources.name(span.file_id()), position.line, position.column);
        }
        let _ = writeln!(
            out,
            "{}[{}]: {}",
            severity_name(diagnostic.severity),
            diagnostic.code,
            diagnostic.headline
        );
    }
    if left > 0 {
        let _ = writeln!(out, "and {left} more");
    }
    out
}

/// All diagnostics as a JSON array. Every span has its file's name, bytes (`start`, `len`), `line` and
/// `column` from 1 in characters, `utf16_column` from 0, and the same of its end.
pub fn json(diagnostics: &[Diagnostic], sources: &Sources) -> Value {
    diagnostics.iter().map(|diagnostic| one_json(diagnostic, sources)).collect()
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// The first [`LIMIT`] errors with whatever stands between them, and how many more there are.
fn within_limit(diagnostics: &[Diagnostic]) -> (&[Diagnostic], usize) {
    let mut errors = 0;
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if diagnostic.is_error() {
            errors += 1;
        }
        if errors > LIMIT {
            return (&diagnostics[..index], diagnostics.len() - index);
        }
    }
    (diagnostics, 0)
}

fn one_full(diagnostic: &Diagnostic, sources: &Sources, style: Style) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut main = level.primary_title(&diagnostic.headline).id(diagnostic.code.as_str()).elements(
        files_of(diagnostic).into_iter().map(|file| {
            let labels = diagnostic.labels.iter().filter(|label| label.span.file == file);
            snippet(file, sources).annotations(labels.map(|label| annotation(label, sources)))
        }),
    );
    for note in &diagnostic.notes {
        main = main.element(Level::NOTE.message(note.as_str()));
    }
    let mut groups: Vec<Group<'_>> = vec![main];
    for help in &diagnostic.helps {
        if help.edits.is_empty() {
            let text = Level::HELP.message(help.text.as_str());
            // Words alone stand under the message as notes do, as long as no diff came before them.
            if groups.len() == 1 && !diagnostic.labels.is_empty() {
                if let Some(first) = groups.pop() {
                    groups.push(first.element(text));
                }
            } else {
                groups.push(Group::with_title(Level::HELP.secondary_title(help.text.as_str())));
            }
            continue;
        }
        let mut files: Vec<u16> = help.edits.iter().map(|edit| edit.span.file).collect();
        files.sort_unstable();
        files.dedup();
        groups.push(Level::HELP.secondary_title(help.text.as_str()).elements(files.into_iter().map(
            |file| {
                let edits = help.edits.iter().filter(|edit| edit.span.file == file);
                snippet_for_patches(file, sources).patches(edits.map(|edit| patch(edit, sources)))
            },
        )));
    }
    let renderer = if style.colour { Renderer::styled() } else { Renderer::plain() };
    let text = renderer.term_width(style.width.max(20)).render(&groups);
    // Aligned labels leave spaces at the ends of lines.
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The files of the labels, the message's own first, then in order of appearance.
fn files_of(diagnostic: &Diagnostic) -> Vec<u16> {
    let mut files: Vec<u16> = diagnostic.span().iter().map(|span| span.file).collect();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    files
}

fn snippet<'a>(file: u16, sources: &'a Sources) -> Snippet<'a, Annotation<'a>> {
    let file = crate::FileId(file);
    Snippet::source(sources.text(file)).path(sources.name(file))
}

fn snippet_for_patches<'a>(file: u16, sources: &'a Sources) -> Snippet<'a, Patch<'a>> {
    let file = crate::FileId(file);
    Snippet::source(sources.text(file)).path(sources.name(file))
}

fn annotation<'a>(label: &'a crate::Label, sources: &Sources) -> Annotation<'a> {
    let kind = if label.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
    let range = sources.clamp(label.span);
    let annotation = kind.span(range);
    if label.text.is_empty() { annotation } else { annotation.label(label.text.as_str()) }
}

fn patch<'a>(edit: &'a Edit, sources: &Sources) -> Patch<'a> {
    Patch::new(sources.clamp(edit.span), edit.replacement.as_str())
}

fn one_json(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let labels: Vec<Value> = diagnostic
        .labels
        .iter()
        .map(|label| {
            let mut value = span_json(label.span, sources);
            value["text"] = json!(label.text);
            value["primary"] = json!(label.primary);
            value
        })
        .collect();
    let helps: Vec<Value> = diagnostic
        .helps
        .iter()
        .map(|help| {
            let edits: Vec<Value> = help
                .edits
                .iter()
                .map(|edit| {
                    let mut value = span_json(edit.span, sources);
                    value["replacement"] = json!(edit.replacement);
                    value
                })
                .collect();
            json!({ "text": help.text, "edits": edits })
        })
        .collect();
    json!({
        "code": diagnostic.code.as_str(),
        "severity": diagnostic.severity,
        "headline": diagnostic.headline,
        "labels": labels,
        "notes": diagnostic.notes,
        "helps": helps,
    })
}

fn span_json(span: Span, sources: &Sources) -> Value {
    let (start, end) = (sources.position(span), sources.end_position(span));
    json!({
        "file": sources.name(span.file_id()),
        "start": span.start,
        "len": span.len,
        "line": start.line,
        "column": start.column,
        "utf16_column": start.utf16_column,
        "end_line": end.line,
        "end_column": end.column,
        "end_utf16_column": end.utf16_column,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;
    use crate::sources::FileId;

    const RECIPE: &str = "mlm 1\nparm λ : count = 15\n";

    fn sources() -> (Sources, FileId) {
        let mut sources = Sources::new();
        let file = sources.add("a.mlm", RECIPE);
        (sources, file)
    }

    fn example(file: FileId) -> Diagnostic {
        Diagnostic::error(codes::MISSPELT_KEYWORD, "`parm` begins no statement")
            .primary(file.span(6..10), "unknown word")
            .secondary(file.span(11..13), "of this")
            .note("statements begin with a keyword")
            .help_edit("did you mean `param`?", file.span(6..10), "param")
    }

    #[test]
    fn the_full_text_has_place_reason_and_mend() {
        let (sources, file) = sources();
        let text = full(&[example(file)], &sources, Style::default());
        let expected = "\
error[Z0010]: `parm` begins no statement
 --> a.mlm:2:1
  |
2 | parm λ : count = 15
  | ^^^^ - of this
  | |
  | unknown word
  |
  = note: statements begin with a keyword
help: did you mean `param`?
  |
2 | param λ : count = 15
  |    +

";
        assert_eq!(text, expected);
        assert!(full(&[example(file)], &sources, Style { colour: true, width: 80 }).contains("\u{1b}["));
    }

    #[test]
    fn after_ten_errors_the_rest_is_counted() {
        let (sources, file) = sources();
        let many = vec![example(file); 17];
        assert!(one_line(&many, &sources).ends_with("\nand 7 more\n"));
        assert!(full(&many, &sources, Style::default()).ends_with("\nand 7 more\n"));
        assert!(!one_line(&many[..10], &sources).contains("more"));
        assert_eq!(json(&many, &sources).as_array().map(Vec::len), Some(17));
    }

    #[test]
    fn json_has_places_in_all_units() {
        let (sources, file) = sources();
        let value = json(&[example(file)], &sources);
        let label = &value[0]["labels"][1];
        assert_eq!((&label["line"], &label["column"], &label["len"]), (&json!(2), &json!(6), &json!(2)));
        assert_eq!(label["end_utf16_column"], 6);
        assert_eq!(value[0]["helps"][0]["edits"][0]["replacement"], "param");
        assert_eq!(value[0]["severity"], "error");
    }

    #[test]
    fn spans_outside_the_text_and_several_files_do_no_harm() {
        let (mut sources, file) = sources();
        let (line, ranges) = sources.add_command_line(["--set", "disc.layer=2"]);
        let far = Diagnostic::error(codes::UNREADABLE, "far")
            .primary(file.span(90..99), "x")
            .secondary(FileId(9).span(1..3), "nowhere")
            .secondary(line.span(ranges[1].clone()), "given here")
            .help_edit("cut", file.span(12..13), "l");
        let text = full(&[far], &sources, Style::default());
        assert!(text.contains("<command line>:1:7"), "{text}");
        let bare = Diagnostic::warning(codes::UNREADABLE, "nothing").help("do something");
        let text = full(std::slice::from_ref(&bare), &sources, Style::default());
        assert_eq!(text, "warning[Z0040]: nothing\n |\nhelp: do something\n\n");
        assert_eq!(one_line(&[bare], &sources), "warning[Z0040]: nothing\n");
    }
}
