//! Conversations as one text: the template that a folder brings, in Jinja as transformers reads it.

use crate::text::Texts;
use crate::{Error, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, State};
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io::{Read, Write};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest template that is read, in bytes.
const LONGEST: u64 = 4 << 20;
/// Steps that a template may take, besides one for each byte of the conversation: a template from the hub must
/// not run forever. A step also pays for 64 bytes of text.
const STEPS: u64 = 1_000_000;

/// Longest that a template may take; a real one takes milliseconds.
const LONGEST_TIME: Duration = Duration::from_secs(20);
/// By how much the process may grow meanwhile, in bytes.
const MOST_MEMORY: u64 = 1 << 30;
/// Stack of the thread that renders, in bytes.
const STACK: usize = 16 << 20;

/// What functions of a template give.
type Rendered = std::result::Result<Value, minijinja::Error>;

/// A chat template.
#[derive(Clone, Debug)]
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
    /// A template that is wrong, takes too long or too much memory, or refuses the conversation.
    pub fn render(&self, messages: &Json, answer: bool) -> Result<String> {
        // Steps do not bound everything: a list added to itself again and again is not paid for. A thread of its
        // own is watched, and left behind where it does not end: the program ends with the error.
        let (send, receive) = std::sync::mpsc::channel();
        let (template, messages) = (self.clone(), messages.clone());
        let begun = Instant::now();
        let before = zoo_torch::process::memory().resident;
        let spawned = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            // Nobody listens any more where it took too long.
            let _ = send.send(template.rendered(&messages, answer));
        });
        let fail = |reason: &str| Error::File {
            path: self.place.clone(),
            reason: format!("the chat template: {reason}"),
        };
        spawned.map_err(|e| fail(&e.to_string()))?;
        loop {
            match receive.recv_timeout(Duration::from_millis(20)) {
                Ok(rendered) => return rendered,
                Err(RecvTimeoutError::Disconnected) => return Err(fail("it is damaged")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if begun.elapsed() > LONGEST_TIME {
                return Err(fail("it takes too long"));
            }
            if zoo_torch::process::memory().resident.saturating_sub(before) > MOST_MEMORY {
                return Err(fail("it takes too much memory"));
            }
        }
    }

    fn rendered(&self, messages: &Json, answer: bool) -> Result<String> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(STEPS + messages.to_string().len() as u64));
        if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Rendered {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_function("strftime_now", |format: String| -> Rendered {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            strftime(&format, now)
                .map(Value::from)
                .map_err(|e| minijinja::Error::new(ErrorKind::InvalidOperation, e))
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

/// Most bytes that `tojson` may write.
const LONGEST_JSON: usize = 16 << 20;

/// Bytes, up to a limit: a list that is repeated a hundred million times is not written out.
struct Limited(Vec<u8>);

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_JSON {
            return Err(std::io::Error::other("the JSON text is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Spaces after commas and colons, as Python's `json.dumps` has them.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// As Python writes it: `{"a": 1, "b": [true]}`, or over several lines with `indent`.
fn to_json(state: &State<'_, '_>, value: &Value, options: Kwargs) -> Rendered {
    let indent: Option<usize> = options.get("indent")?;
    let mut out = Limited(Vec::new());
    let written = match indent {
        Some(indent) => {
            let spaces = " ".repeat(indent.min(16));
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)),
    };
    let wrong = |e: String| minijinja::Error::new(ErrorKind::BadSerialization, e);
    written.map_err(|e| wrong(e.to_string()))?;
    state.consume_fuel(out.0.len() as u64 / 64)?;
    Ok(Value::from_safe_string(String::from_utf8(out.0).map_err(|e| wrong(e.to_string()))?))
}

/// The days of a week and the months, in English as in C's locale.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment in the codes of C's `strftime`, as Python's `datetime.now().strftime` writes it; in universal time,
/// so that it does not depend on the machine.
fn strftime(format: &str, since_1970: u64) -> std::result::Result<String, String> {
    let (days, second) = (since_1970 / 86_400, since_1970 % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // The calendar of 400 years, counted from March, so that a leap day ends a year (Hinnant, chrono-compatible
    // low-level date algorithms).
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let weekday = DAYS[(days % 7) as usize];
    let month_name = MONTHS[(month - 1) as usize];
    let half = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut out = String::new();
    let mut codes = format.chars();
    while let Some(c) = codes.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let code = codes.next();
        // glibc's: without padding.
        let (bare, code) = if code == Some('-') { (true, codes.next()) } else { (false, code) };
        let two = |n: u64| if bare { n.to_string() } else { format!("{n:02}") };
        out += &match code {
            Some('d') => two(day),
            Some('m') => two(month),
            Some('y') => two(year % 100),
            Some('H') => two(hour),
            Some('I') => two(half),
            Some('M') => two(minute),
            Some('S') => two(second),
            Some('e') => format!("{day:>2}"),
            Some('Y') => year.to_string(),
            Some('B') => month_name.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('A') => weekday.to_owned(),
            Some('a') => weekday[..3].to_owned(),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('%') => "%".to_owned(),
            other => {
                let code = other.map(String::from).unwrap_or_default();
                return Err(format!("strftime_now knows no code %{code}"));
            }
        };
    }
    Ok(out)
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

    /// What Python's datetime.fromtimestamp(…, datetime.UTC).strftime gives.
    #[test]
    fn moments_are_written_as_python_writes_them() {
        let all = "%d %b %Y|%A %a %B %-d.%-m.%y|%H:%M:%S %I %p|%F %T|%e|%%";
        for (moment, wanted) in [
            (0, "01 Jan 1970|Thursday Thu January 1.1.70|00:00:00 12 AM|1970-01-01 00:00:00| 1|%"),
            (951_782_399, "28 Feb 2000|Monday Mon February 28.2.00|23:59:59 11 PM|2000-02-28 23:59:59|28|%"),
            (951_782_400, "29 Feb 2000|Tuesday Tue February 29.2.00|00:00:00 12 AM|2000-02-29 00:00:00|29|%"),
            (4_107_542_400, "01 Mar 2100|Monday Mon March 1.3.00|00:00:00 12 AM|2100-03-01 00:00:00| 1|%"),
            (1_753_965_296, "31 Jul 2025|Thursday Thu July 31.7.25|12:34:56 12 PM|2025-07-31 12:34:56|31|%"),
        ] {
            assert_eq!(strftime(all, moment).unwrap(), wanted);
        }
        assert!(strftime("%Q", 0).unwrap_err().contains("%Q"));
        assert!(strftime("%", 0).is_err());
        let messages = json!([{ "role": "user", "content": "x" }]);
        let year = render("{{ strftime_now('%Y') }}", &messages).unwrap();
        assert!(year.len() == 4 && year.as_str() > "2024", "{year}");
    }

    /// Templates that would take all memory or time, and damaged ones: errors, soon.
    #[test]
    fn hostile_templates_end_in_errors() {
        let messages = json!([{ "role": "user", "content": "hello" }]);
        let begun = std::time::Instant::now();
        for source in [
            "{% set ns = namespace(a='xxxxxxxx') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a }}",
            "{{ 'x' * 1000000000000 }}",
            "{{ ([1] * 100000000) | tojson }}",
            "{{ ([[1] * 100000] * 100000) | tojson }}",
            "{% for i in range(1000000000000) %}x{% endfor %}",
            "{% for i in [1] * 90000000 %}x{% endfor %}",
            "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
            "{% for i in range(9000) %}{% for j in range(9000) %}{{ messages | tojson(indent=1000000000) }}{% endfor %}{% endfor %}",
            "{{ 'x'.ljust(100000000000) }}",
            "{{ '%1000000000d' | format(1) }}",
            "{{ 'x' | indent(1000000000000) }}",
            "{{ 'x'.replace('x', 'x' * 90000000).replace('x', 'y' * 1000) }}",
        ] {
            assert!(render(source, &messages).is_err(), "{source}");
        }
        for deep in ["(", "[", "{{ [", "{% if x %}", "{{ not ", "{{ a.", "{{ -"] {
            let _ = render(&deep.repeat(50_000), &messages);
        }
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
        // Characters of a real template changed one after the other.
        let sound = "{%- set ns = namespace(a=false) -%}{% for m in messages[1:] %}{{ m.role | trim ~ '\n' }}\
                     {% if loop.last and not ns.a %}{{ m | tojson(indent=2) }}{% endif %}{% endfor %}\
                     {{ strftime_now('%d %b %Y') }}{% if add_generation_prompt %}{{ bos_token }}{% endif %}";
        let mut state = 1_u64;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..2000 {
            let mut bytes = sound.as_bytes().to_vec();
            for _ in 0..=draw(3) {
                let (place, other) = (draw(bytes.len()), draw(sound.len()));
                bytes[place] = if draw(2) == 0 { sound.as_bytes()[other] } else { 32 + draw(95) as u8 };
            }
            let _ = render(&String::from_utf8_lossy(&bytes), &messages);
        }
    }

    /// In a process of its own, which ends with the thread that does not.
    #[test]
    fn what_steps_do_not_bound_is_bounded_by_memory_and_time() {
        const NAME: &str = "ZOO_TEST_RUNAWAY";
        if std::env::var_os(NAME).is_some() {
            let messages = json!([{ "role": "user", "content": "hello" }]);
            let source = "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}\
                          {% endfor %}{{ ns.a }}";
            let error = render(source, &messages).unwrap_err();
            assert!(error.to_string().contains("it takes too"), "{error}");
            std::process::exit(7);
        }
        let this = "chat::tests::what_steps_do_not_bound_is_bounded_by_memory_and_time";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this, "--test-threads=1"])
            .env(NAME, "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(7));
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
