//! Pictures, tables and texts that components gave.

use super::facts::Facts;
use super::tables::arm_name;
use super::text::{base64, bytes, counted, escape};
use crate::Event;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

/// Bytes of one artifact that are put into the page, and of all together.
const ONE: u64 = 4 << 20;
const ALL: u64 = 24 << 20;
/// Characters of a text, and rows of a table, that are shown.
const TEXT: usize = 20_000;
const ROWS: usize = 200;

struct Artifact<'a> {
    arm: &'a str,
    seed: u64,
    step: u64,
    name: &'a str,
    media_type: &'a str,
    path: &'a str,
    /// Earlier ones of the same name.
    earlier: usize,
}

pub(super) fn artifacts(facts: &Facts) -> String {
    let mut found: Vec<Artifact<'_>> = Vec::new();
    for line in &facts.history {
        let Event::Artifact { arm, seed, phase: _, step, name, media_type, path } = &line.event else {
            continue;
        };
        let new = Artifact { arm, seed: *seed, step: *step, name, media_type, path, earlier: 0 };
        match found
            .iter_mut()
            .find(|known| (known.arm, known.seed, known.name) == (new.arm, new.seed, new.name))
        {
            Some(known) => *known = Artifact { earlier: known.earlier + 1, ..new },
            None => found.push(new),
        }
    }
    if found.is_empty() {
        return String::new();
    }
    // Of one name and arm the first seed is shown, and the others can be opened.
    found.sort_by(|a, b| {
        (a.name, facts.arm_index(a.arm), a.seed).cmp(&(b.name, facts.arm_index(b.arm), b.seed))
    });
    let mut left = ALL;
    let (mut pictures, mut others) = (String::new(), String::new());
    for group in found.chunk_by(|a, b| (a.name, a.arm) == (b.name, b.arm)) {
        let Some((first, rest)) = group.split_first() else { continue };
        let is_picture = first.media_type.starts_with("image/");
        let html = if is_picture { &mut pictures } else { &mut others };
        html.push_str(&figure(facts, first, &mut left));
        let rest_html: String = rest.iter().map(|artifact| figure(facts, artifact, &mut left)).collect();
        if is_picture {
            html.push_str(&rest_html);
        } else if !rest.is_empty() {
            let what = counted(rest.len(), "other seed");
            let _ = writeln!(html, "<details>\n<summary>{what}</summary>\n{rest_html}</details>");
        }
    }
    let mut html = String::new();
    if !pictures.is_empty() {
        let _ = writeln!(html, "<div class=\"pictures\">\n{pictures}</div>");
    }
    html.push_str(&others);
    html
}

/// One artifact with what it is of; `left` is how many bytes the page still takes.
fn figure(facts: &Facts, artifact: &Artifact<'_>, left: &mut u64) -> String {
    let body = match read(facts.run_dir.root(), artifact.path, (*left).min(ONE)) {
        Ok(content) => {
            *left = left.saturating_sub(content.len() as u64);
            shown(artifact, &content)
        }
        Err(reason) => format!("<p class=\"caption\">Not shown: {}.</p>\n", escape(&reason)),
    };
    let earlier = match artifact.earlier {
        0 => String::new(),
        count => format!(", {count} earlier in the run directory"),
    };
    format!(
        "<figure>\n<figcaption>{} <span class=\"faint\">{}, seed {}, update {}{earlier}</span></figcaption>\n\
         {body}</figure>\n",
        escape(artifact.name),
        arm_name(facts, artifact.arm),
        artifact.seed,
        artifact.step
    )
}

/// The file's content, if it lies in the run directory and is not too large.
fn read(root: &Path, path: &str, limit: u64) -> Result<Vec<u8>, String> {
    let relative = Path::new(path);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("`{path}` is outside of the run directory"));
    }
    let root = root.canonicalize().map_err(|error| error.to_string())?;
    let full = root.join(relative).canonicalize().map_err(|_| format!("`{path}` is missing"))?;
    // A link may lead out of it too.
    if !full.starts_with(&root) || !full.is_file() {
        return Err(format!("`{path}` is outside of the run directory"));
    }
    let mut content = Vec::new();
    let file = File::open(&full).map_err(|error| format!("`{path}`: {error}"))?;
    file.take(limit + 1).read_to_end(&mut content).map_err(|error| format!("`{path}`: {error}"))?;
    if content.len() as u64 > limit {
        let size = full.metadata().map_or(0, |metadata| metadata.len());
        return Err(format!("`{path}` has {}, which is too much for this page", bytes(size as f64)));
    }
    Ok(content)
}

fn shown(artifact: &Artifact<'_>, content: &[u8]) -> String {
    let kind = artifact.media_type.split(';').next().unwrap_or_default().trim();
    match kind {
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" | "image/svg+xml" => {
            format!(
                "<img alt=\"{}\" src=\"data:{kind};base64,{}\">\n",
                escape(artifact.name),
                base64(content)
            )
        }
        "text/csv" => separated(&String::from_utf8_lossy(content), ','),
        "text/tab-separated-values" => separated(&String::from_utf8_lossy(content), '\t'),
        _ if kind.starts_with("text/") || kind == "application/json" => {
            let text = String::from_utf8_lossy(content);
            let cut: String = text.chars().take(TEXT).collect();
            let rest = if cut.len() < text.len() { "\n…" } else { "" };
            format!("<pre>{}{rest}</pre>\n", escape(&cut))
        }
        _ => format!(
            "<p class=\"caption\"><code>{}</code> ({}, {})</p>\n",
            escape(artifact.path),
            escape(kind),
            bytes(content.len() as f64)
        ),
    }
}

fn separated(text: &str, separator: char) -> String {
    let mut html = String::from("<div class=\"scroll\"><table>\n");
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let count = lines.clone().count();
    for (index, line) in lines.take(ROWS + 1).enumerate() {
        let tag = if index == 0 { "th" } else { "td" };
        html.push_str("<tr>");
        for cell in fields(line, separator) {
            let _ = write!(html, "<{tag}>{}</{tag}>", escape(&cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
    if count > ROWS + 1 {
        let _ = writeln!(html, "<p class=\"caption\">The first {ROWS} of {} rows.</p>", count - 1);
    }
    html
}

/// The fields of a line, which may be quoted.
fn fields(line: &str, separator: char) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            c if c == separator && !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_outside_of_the_run_directory_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(folder.path().join("secret"), "s").unwrap();
        std::fs::write(root.join("inside"), "i").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), root.join("link")).unwrap();
        assert_eq!(read(&root, "inside", 9).unwrap(), b"i");
        for outside in ["../secret", "/etc/hostname", "link", "missing", ""] {
            assert!(read(&root, outside, 9).is_err(), "{outside}");
        }
        assert!(read(&root, "inside", 0).unwrap_err().contains("too much"));
    }

    #[test]
    fn quoted_fields() {
        assert_eq!(fields("a,\"b, \"\"c\"\"\",", ','), ["a", "b, \"c\"", ""]);
    }
}
