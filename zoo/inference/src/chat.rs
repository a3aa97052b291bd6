//! Conversations as one text: the template that a folder brings, in Jinja as transformers reads it.

use crate::text::Texts;
use crate::{Error, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind};
use serde_json::Value as Json;
use std::io::Read;

/// Longest template that is read, in bytes.
const LONGEST: u64 = 4 << 20;
/// Steps that a template may take: a template from the hub must not run forever.
const STEPS: u64 = 10_000_000;

/// What functions of a template give.
type Rendered = std::result::Result<Value, minijinja::Error>;

/// A chat template.
#[derive(Debug)]
pub struct Template {
    source: String,
    /// Where it stands, for messages.
    place: String,
    tokens: Vec<(&'static str, String)>,
}

impl Template {
    /// The template of a folder: `chat_template.jinja`, or `chat_template` of `tokenizer_config.json`, there
    /// the one named `default` where there are several.
    ///
    /// # Errors
    /// When the folder has none, or it cannot be read.
    pub fn open(texts: &Texts) -> Result<Self> {
        let tokens =
            ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"]
                .into_iter()
                .filter_map(|name| Some((name, texts.special(name)?.0)))
                .collect();
        let path = texts.folder().join("chat_template.jinja");
        let place = path.display().to_string();
        if path.exists() {
            let mut source = String::new();
            std::fs::File::open(&path)
                .and_then(|file| file.take(LONGEST).read_to_string(&mut source))
                .map_err(|e| Error::File { path: place.clone(), reason: e.to_string() })?;
            return Ok(Self { source, place, tokens });
        }
        let place = texts.folder().join("tokenizer_config.json").display().to_string();
        let source = match texts.settings().get("chat_template") {
            Some(Json::String(source)) => Some(source.clone()),
            Some(Json::Array(several)) => {
                let named = |name: &str| several.iter().find(|t| t.get("name").is_some_and(|n| n == name));
                let one = named("default").or(several.first());
                one.and_then(|t| t.get("template")?.as_str()).map(str::to_owned)
            }
            _ => None,
        };
        let source = source.ok_or_else(|| Error::File {
            path: texts.folder().display().to_string(),
            reason: "the model has no chat template: neither chat_template.jinja nor `chat_template` in \
                     tokenizer_config.json"
                .to_owned(),
        })?;
        Ok(Self { source, place, tokens })
    }

    /// A template's text by itself; `place` stands in messages.
    pub fn new(source: impl Into<String>, place: impl Into<String>) -> Self {
        Self { source: source.into(), place: place.into(), tokens: Vec::new() }
    }

    /// The text of a conversation: a list of messages, each with `role` and `content`. With `answer` it ends
    /// where the model's answer begins.
    ///
    /// # Errors
    /// A template that is wrong, takes too long, or refuses the conversation.
    pub fn render(&self, messages: &Json, answer: bool) -> Result<String> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(STEPS));
        if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Rendered {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_filter("tojson", to_json);
        let mut variables: serde_json::Map<String, Json> = self
            .tokens
            .iter()
            .map(|(name, token)| ((*name).to_owned(), Json::from(token.as_str())))
            .collect();
        variables.insert("messages".to_owned(), messages.clone());
        variables.insert("add_generation_prompt".to_owned(), Json::from(answer));
        let fail = |error: minijinja::Error| {
            let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
            let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            Error::File {
                path: format!("{}{line}", self.place),
                reason: format!("the chat template: {reason}"),
            }
        };
        // Marks of the answer for training, which change no text.
        let source = self.source.replace("{% generation %}", "").replace("{% endgeneration %}", "");
        let source = source.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "");
        let variables: Value = serde_json::from_value(Json::Object(variables)).map_err(|e| Error::File {
            path: self.place.clone(),
            reason: format!("the conversation is no value of a template: {e}"),
        })?;
        environment.render_str(&source, variables).map_err(fail)
    }
}

/// As Python writes it: `{"a": 1, "b": [true]}`, or over several lines with `indent`.
fn to_json(value: &Value, options: Kwargs) -> Rendered {
    let indent: Option<usize> = options.get("indent")?;
    let wrong = |e: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string());
    let json = serde_json::to_value(value).map_err(wrong)?;
    let mut text = String::new();
    write_json(&json, indent.map(|indent| indent.min(16)), 0, &mut text);
    Ok(Value::from_safe_string(text))
}

fn write_json(json: &Json, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    let comma = if indent.is_some() { "," } else { ", " };
    let (ends, count) = match json {
        Json::Array(items) => (['[', ']'], items.len()),
        Json::Object(items) => (['{', '}'], items.len()),
        other => return out.push_str(&other.to_string()),
    };
    out.push(ends[0]);
    let mut item = |i: usize, name: Option<&String>, value: &Json| {
        out.push_str(if i > 0 { comma } else { "" });
        line(depth + 1, out);
        if let Some(name) = name {
            out.push_str(&Json::from(name.as_str()).to_string());
            out.push_str(": ");
        }
        write_json(value, indent, depth + 1, out);
    };
    match json {
        Json::Array(items) => items.iter().enumerate().for_each(|(i, value)| item(i, None, value)),
        Json::Object(items) => {
            items.iter().enumerate().for_each(|(i, (name, value))| item(i, Some(name), value));
        }
        _ => {}
    }
    if count > 0 {
        line(depth, out);
    }
    out.push(ends[1]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(source: &str, messages: &Json) -> Result<String> {
        Template::new(source, "chat_template.jinja").render(messages, true)
    }

    /// The forms that templates of the hub use; what jinja2 gives for them.
    #[test]
    fn templates_of_the_hub_are_read() {
        let messages = json!([
            { "role": "system", "content": " Be brief. " },
            { "role": "user", "content": "Hello" },
        ]);
        let chatml = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + \
                      message['content'].strip() + '<|im_end|>' + '\n'}}{% endfor %}\n\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        assert_eq!(
            render(chatml, &messages).unwrap(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
        );
        let namespaces = "{%- set ns = namespace(found=false) -%}{%- for m in messages[1:] -%}\
                          {%- if m.role == 'user' and not ns.found -%}{%- set ns.found = true -%}[{{ loop.index0 }}]\
                          {%- endif -%}{%- if loop.last %}{% break %}{% endif -%}{%- endfor -%}{{ ns.found }}";
        assert_eq!(render(namespaces, &messages).unwrap(), "[0]True");
        let tools = "{{ {'a': [1, 'ü'], 'b': {}} | tojson }}|{{ messages[0] | tojson(indent=2) }}";
        assert_eq!(
            render(tools, &messages).unwrap(),
            "{\"a\": [1, \"ü\"], \"b\": {}}|{\n  \"role\": \"system\",\n  \"content\": \" Be brief. \"\n}"
        );
    }

    #[test]
    fn wrong_templates_are_errors() {
        let messages = json!([{ "role": "tool", "content": "x" }]);
        let error = render("{{ raise_exception('Only user and assistant') }}", &messages).unwrap_err();
        assert!(error.to_string().contains("Only user and assistant"), "{error}");
        let error = render("a\n{% for %}", &messages).unwrap_err();
        assert!(error.to_string().contains("chat_template.jinja, line 2"), "{error}");
        let endless = "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        assert!(render(endless, &messages).is_err());
    }
}
