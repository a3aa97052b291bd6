//! Columns that are written from other columns.

use zoo_plugin::prelude::*;

/// Rows of a source with columns of text that templates write: prompts from questions, for example.
///
/// `{question}` in a template is what the source's column `question` says; `{{` and `}}` are braces. What each
/// template writes is a column of the name at its place.
///
/// # Example
/// ```mlm
/// data corpus = text.lines(file: asset("corpus.txt"))
/// data prompts = text.composed(source: corpus, names: ["prompt"], templates: ["Say again: {text}"])
/// ```
#[component(
    data,
    name = "text.composed",
    outputs(names: "text[B]" = "what each template writes" columns_from = "names"),
)]
pub struct Composed {
    /// Where rows come from.
    #[param(component = "data")]
    pub source: Handle,
    /// Names of the columns.
    pub names: Vec<String>,
    /// What stands in each, with the source's columns in braces.
    pub templates: Vec<String>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// A column of the source.
    Column(String),
}

/// Takes a template apart.
fn pieces(template: &str) -> Result<Vec<Piece>> {
    let wrong = |text: String| Error::new(text).at("templates").help("a brace itself is written twice");
    let (mut pieces, mut text) = (Vec::new(), String::new());
    let mut rest = template.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '{' | '}' if rest.peek() == Some(&next) => {
                rest.next();
                text.push(next);
            }
            '{' => {
                let mut name = String::new();
                loop {
                    match rest.next() {
                        Some('}') => break,
                        Some(letter) if letter != '{' => name.push(letter),
                        _ => return Err(wrong(format!("`{{{name}` has no end in \"{template}\""))),
                    }
                }
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Column(name.trim().to_owned()));
            }
            '}' => return Err(wrong(format!("a `}}` has no beginning in \"{template}\""))),
            letter => text.push(letter),
        }
    }
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

impl Component for Composed {
    type State = Vec<Vec<Piece>>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        if self.names.len() != self.templates.len() {
            let text = format!("there are {} names and {} templates", self.names.len(), self.templates.len());
            return Err(Error::new(text).at("templates"));
        }
        let known = cx.describe(self.source)?;
        let templates = self.templates.iter().map(|template| pieces(template)).collect::<Result<Vec<_>>>()?;
        for piece in templates.iter().flatten() {
            if let Piece::Column(name) = piece
                && !known.outputs.contains(name)
            {
                let text = format!("`{}` has no column `{name}`", known.name);
                return Err(Error::new(text)
                    .at("templates")
                    .help(format!("it has {}", known.outputs.join(", "))));
            }
        }
        Ok(templates)
    }

    fn length(&self, _: &Self::State, cx: &mut Call<'_>) -> Result<usize> {
        cx.length(self.source)
    }

    fn read(&self, templates: &Self::State, indices: &[i64], cx: &mut Call<'_>) -> Result<ComposedOutputs> {
        let columns = cx.read(self.source, indices)?;
        let row = |template: &[Piece], row: usize| {
            let piece = |piece: &Piece| match piece {
                Piece::Text(text) => Ok(text.clone()),
                Piece::Column(name) => {
                    columns.texts(name).map(|texts| texts.get(row).cloned().unwrap_or_default())
                }
            };
            template.iter().map(piece).collect::<Result<String>>()
        };
        let names = templates
            .iter()
            .map(|template| (0..indices.len()).map(|i| row(template, i)).collect::<Result<Vec<_>>>())
            .collect::<Result<_>>()?;
        Ok(ComposedOutputs { names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_taken_apart() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let column = |name: &str| Piece::Column(name.to_owned());
        assert_eq!(
            pieces("a {b} {{c}} { d }").unwrap(),
            [text("a "), column("b"), text(" {c} "), column("d"), text("")]
        );
        assert_eq!(pieces("").unwrap(), [text("")]);
        for wrong in ["{", "a {b", "a }", "{a{b}}"] {
            assert!(pieces(wrong).is_err(), "{wrong}");
        }
    }
}
