//! `zoo-runner generate`: prompts in, texts out; token by token on a terminal.

use super::attached::{Attached, Columns, Told, sizes};
use super::{Input, Output, ended, in_one_line, open};
use crate::arguments::GenerateArguments;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value as Json, json};
use std::io::Write;
use zoo_host::{Part, seed};
use zoo_inference::chat::Template;
use zoo_inference::generation::{
    Called, Ended, Generated, Next, Options, Sampling, ToolLoop, generate as write, guided,
};
use zoo_inference::{Head, Model, Spelled, Texts};
use zoo_record::Exit;

/// New tokens where neither the user nor the model says how many.
const NEW_TOKENS: usize = 128;

/// Prompts in, texts out.
pub(crate) fn generate(arguments: &GenerateArguments) -> Exit {
    ended(run(arguments).map(|()| true))
}

/// The user's options over those of the model's `generation_config.json`, which is read as transformers
/// reads it.
fn options(arguments: &GenerateArguments, texts: &Texts) -> Result<Options> {
    let said = texts.generation();
    let real = |name: &str| said.get(name).and_then(Json::as_f64);
    let count = |name: &str| said.get(name).and_then(Json::as_u64).map(|n| n as usize);
    let asked = [arguments.temperature, arguments.top_p, arguments.min_p].iter().any(Option::is_some);
    let draws = arguments.sample
        || (asked || arguments.top_k.is_some()) && arguments.temperature != Some(0.0)
        || !arguments.greedy && arguments.beams.is_none() && said.get("do_sample") == Some(&Json::Bool(true));
    let draws = draws && !arguments.greedy && arguments.temperature != Some(0.0);
    let model = |value: Option<f64>| value.filter(|_| !asked && arguments.top_k.is_none());
    let sampling = draws.then(|| Sampling {
        temperature: arguments.temperature.or(model(real("temperature"))).unwrap_or(1.0),
        top_k: arguments.top_k.or(count("top_k").filter(|k| *k > 0 && !asked)),
        top_p: arguments.top_p.or(model(real("top_p"))),
        min_p: arguments.min_p.or(model(real("min_p"))),
    });
    let options = Options {
        new_tokens: arguments.max_new_tokens.or(count("max_new_tokens")).unwrap_or(NEW_TOKENS),
        ends: if arguments.ignore_end { Vec::new() } else { texts.ends() },
        repetition_penalty: arguments.repetition_penalty.or(real("repetition_penalty")).unwrap_or(1.0),
        beams: arguments.beams.or(count("num_beams").filter(|_| !draws)).unwrap_or(1),
        length_penalty: arguments.length_penalty.or(real("length_penalty")).unwrap_or(1.0),
        samples: arguments.samples,
        padding: texts.padding(),
        sampling,
    };
    options.check().with_context(|| "the options do not fit each other")?;
    Ok(options)
}

/// Prompts of one batch.
struct Prompt {
    /// As it was given.
    shown: Json,
    tokens: Vec<i64>,
    /// What stands beside it in its line.
    columns: Columns,
}

/// Calls of a tool in a text, and whether it was cut off for there were too many.
#[derive(Clone, Default)]
struct Calls {
    answered: Vec<Called>,
    cut: bool,
}

struct Session<'a> {
    arguments: &'a GenerateArguments,
    model: Model,
    texts: Texts,
    template: Option<Template>,
    options: Options,
    attached: Attached,
    device: tch::Device,
    /// Lines before those of this batch.
    lines: u64,
}

fn run(arguments: &GenerateArguments) -> Result<()> {
    let (registry, device, source) = open(&arguments.model, &arguments.how)?;
    let head = Head::of_folder(source.folder())?.filter(|head| *head == Head::Seq2Seq);
    let given = &arguments.attached;
    let sizes = sizes(source.folder(), head, given)?;
    let model = Model::open_with(&registry, source.folder(), head.or(Some(Head::CausalLm)), device, sizes)?;
    let attached = Attached::new(&registry, &model, given)?;
    let texts = Texts::open(source.folder(), model.config())?;
    let template = if arguments.chat { Some(Template::open(&texts)?) } else { None };
    let options = options(arguments, &texts)?;
    let mut input = Input::open(&arguments.model)?;
    let mut output = Output::new(&arguments.printed);
    let mut session = Session { arguments, model, texts, template, options, attached, device, lines: 0 };
    // A text that is read while it is written is the only one.
    let streams = !output.json && session.options.beams == 1 && session.options.samples == 1;
    let batch = if streams { 1 } else { arguments.batch };
    loop {
        let lines = input.some(batch)?;
        if lines.is_empty() {
            return Ok(());
        }
        let prompts = session.prompts(&lines)?;
        session.write(&prompts, streams, &mut output)?;
        session.lines += lines.len() as u64;
        output.out.flush()?;
    }
}

/// A line of a conversation: the user's words, or a JSON list of messages, or an object that has one.
fn messages(line: &str, system: Option<&str>) -> Result<Json> {
    let begins = line.trim_start();
    let given: Option<Json> = if begins.starts_with('[') || begins.starts_with('{') {
        serde_json::from_str(line).ok()
    } else {
        None
    };
    let list = match given {
        Some(Json::Object(mut map)) => map.remove("messages"),
        other => other,
    };
    let mut list = match list {
        Some(Json::Array(list)) => list,
        _ => vec![json!({ "role": "user", "content": line })],
    };
    for message in &list {
        if !message.get("role").is_some_and(Json::is_string) || message.get("content").is_none() {
            bail!("a message has a `role` and a `content`, and this is `{message}`");
        }
    }
    if let Some(system) = system {
        list.insert(0, json!({ "role": "system", "content": system }));
    }
    Ok(Json::Array(list))
}

impl Session<'_> {
    /// Whether prompts are read, and texts do not go on with them.
    fn reads(&self) -> bool {
        self.model.head() == Head::Seq2Seq
    }

    /// The tokens that new ones follow.
    fn before<'p>(&self, prompt: &'p [i64]) -> &'p [i64] {
        if self.reads() { &[] } else { prompt }
    }

    fn prompts(&self, lines: &[String]) -> Result<Vec<Prompt>> {
        let (mut shown, mut whole, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for line in lines {
            let (line, beside) = if self.attached.reads_columns() {
                taken_apart(line, self.template.is_some())?
            } else {
                (line.clone(), Columns::new())
            };
            let line = &line;
            columns.push(beside);
            match &self.template {
                Some(template) => {
                    let messages = messages(line, self.arguments.system.as_deref())?;
                    whole.push(template.render(&messages, true)?);
                    shown.push(messages);
                }
                None => {
                    whole.push(line.clone());
                    shown.push(Json::from(line.as_str()));
                }
            }
        }
        // The template writes special tokens itself.
        let special = self.template.is_none();
        let rows = self.texts.encode_fast(whole.iter().map(String::as_str).collect(), special)?;
        let positions = self.model.config().get("max_position_embeddings").and_then(Json::as_u64);
        let mut prompts = Vec::new();
        for (((shown, row), line), columns) in shown.into_iter().zip(&rows).zip(lines).zip(columns) {
            let mut tokens: Vec<i64> = row.get_ids().iter().map(|id| i64::from(*id)).collect();
            if tokens.is_empty() {
                match self.texts.special("bos_token").map(|(_, id)| id).or(self.texts.ends().first().copied())
                {
                    Some(begin) => tokens.push(begin),
                    None => bail!("a line has no tokens, and the model has none to begin with"),
                }
            }
            let room = positions.map(|count| (count as usize).saturating_sub(tokens.len()));
            if room == Some(0) && !(self.reads() && positions == Some(tokens.len() as u64)) {
                let mut begin: String = line.chars().take(40).collect();
                begin.push('…');
                bail!(
                    "`{begin}` has {} tokens, and the model takes {}",
                    tokens.len(),
                    positions.unwrap_or(0)
                );
            }
            prompts.push(Prompt { shown, tokens, columns });
        }
        Ok(prompts)
    }

    /// As many new tokens as asked for, and as the model has positions.
    fn fitting(&self, prompts: &[Prompt]) -> Options {
        let longest = prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(0);
        let longest = if self.reads() { 1 } else { longest };
        let positions = self.model.config().get("max_position_embeddings").and_then(Json::as_u64);
        let room = positions.map_or(usize::MAX, |count| (count as usize).saturating_sub(longest));
        Options { new_tokens: self.options.new_tokens.min(room), ..self.options.clone() }
    }

    fn write(&self, prompts: &[Prompt], streams: bool, output: &mut Output) -> Result<()> {
        let options = self.fitting(prompts);
        let tokens: Vec<Vec<i64>> = prompts.iter().map(|prompt| prompt.tokens.clone()).collect();
        let seed_of = |line: u64, sample: u64| {
            let parts = [Part::Text("generate"), Part::Number(line), Part::Number(sample)];
            seed(self.arguments.seed, &parts)
        };
        let samples = options.samples as u64;
        let seeds: Vec<u64> = (self.lines..self.lines + prompts.len() as u64)
            .flat_map(|line| (0..samples).map(move |sample| seed_of(line, sample)))
            .collect();
        if streams && let Some(prompt) = prompts.first().filter(|_| !self.arguments.chat && !self.reads()) {
            write!(output.out, "{}", prompt.shown.as_str().unwrap_or_default())?;
            output.out.flush()?;
        }
        let mut shown = String::new();
        let mut watch = |row: usize, new: &[i64]| -> zoo_inference::Result<bool> {
            if !streams && self.arguments.stop.is_empty() {
                return Ok(false);
            }
            let prompt = row.checked_div(if options.beams > 1 { 1 } else { options.samples });
            let prompt = self.before(prompt.and_then(|i| tokens.get(i)).map_or(&[][..], Vec::as_slice));
            let text = self.texts.decode_after(prompt, new)?;
            if streams {
                // A character of several tokens is not there before its last one.
                let whole = text.trim_end_matches('\u{fffd}');
                if let Some(more) = whole.strip_prefix(shown.as_str()).filter(|more| !more.is_empty()) {
                    let written = output.out.write_all(more.as_bytes()).and_then(|()| output.out.flush());
                    if written.is_err() {
                        return Ok(true);
                    }
                    whole.clone_into(&mut shown);
                }
            }
            self.stopped(prompt, new, &text)
        };
        let mut calls = vec![Calls::default(); prompts.len() * options.samples];
        let texts = match &self.attached.tool {
            None => write(&self.model, &tokens, &seeds, &options, (self.device, true), &mut watch)?,
            Some(tool) => {
                let mut spelling = Spelled(&self.texts);
                let mut tools = ToolLoop::new(tool.protocol.clone(), calls.len(), &mut spelling)?;
                let answer = |text: usize, query: &str| -> zoo_inference::Result<String> {
                    let columns = prompts.get(text / options.samples).map(|prompt| &prompt.columns);
                    let answer = tool.answer(&self.model, query, columns.unwrap_or(&Columns::new()));
                    answer.map_err(|error| zoo_inference::Error::Unknown(in_one_line(&error)))
                };
                let guide = &mut |text: usize, new: &[i64]| -> zoo_inference::Result<Next> {
                    if watch(text, new)? {
                        return Ok(Next::End);
                    }
                    let next = tools.next(text, new, &mut spelling, answer)?;
                    if next == Next::End
                        && let Some(calls) = calls.get_mut(text)
                    {
                        calls.cut = true;
                    }
                    Ok(next)
                };
                let texts = guided(&self.model, &tokens, &seeds, &options, (self.device, true), guide)?;
                for (number, calls) in calls.iter_mut().enumerate() {
                    tools.calls(number).clone_into(&mut calls.answered);
                }
                texts
            }
        };
        let of = |text: usize| prompts.get(text / options.samples.max(1));
        let mut told = Vec::with_capacity(texts.len());
        for (number, (text, calls)) in texts.iter().zip(&calls).enumerate() {
            let Some(prompt) = of(number) else { continue };
            told.push(Told {
                text: self.texts.decode_after(self.before(&prompt.tokens), text.new_tokens())?,
                prompt: prompt.shown.as_str().map_or_else(|| prompt.shown.to_string(), str::to_owned),
                tokens: text.new_tokens().len(),
                calls: calls.answered.len(),
                columns: &prompt.columns,
            });
        }
        if streams {
            // A result at the very end was not seen by the watch.
            let rest = told.first().and_then(|told| told.text.strip_prefix(shown.as_str()));
            writeln!(output.out, "{}", rest.unwrap_or_default().trim_end_matches('\u{fffd}'))?;
        }
        let scores = self.attached.scores(&self.model, &told)?;
        for (number, ((text, told), calls)) in texts.iter().zip(&told).zip(&calls).enumerate() {
            let Some(prompt) = of(number) else { continue };
            let rewards: Vec<(&str, f64)> =
                scores.iter().filter_map(|(name, scores)| Some((*name, *scores.get(number)?))).collect();
            if output.json {
                output.json(&self.line(prompt, text, &told.text, calls, &rewards))?;
                continue;
            }
            if !streams {
                let before = if self.reads() { "" } else { prompt.shown.as_str().unwrap_or_default() };
                writeln!(output.out, "{before}{}", told.text)?;
            }
            for (name, score) in rewards {
                writeln!(output.out, "  {name} {score:.4}")?;
            }
        }
        Ok(())
    }

    /// Whether the last token completes one of the stop strings.
    fn stopped(&self, prompt: &[i64], new: &[i64], text: &str) -> zoo_inference::Result<bool> {
        if self.arguments.stop.is_empty() {
            return Ok(false);
        }
        let count = |text: &str| -> usize {
            self.arguments
                .stop
                .iter()
                .filter(|s| !s.is_empty())
                .map(|s| text.matches(s.as_str()).count())
                .sum()
        };
        let now = count(text);
        if now == 0 {
            return Ok(false);
        }
        let before = self.texts.decode_after(prompt, &new[..new.len().saturating_sub(1)])?;
        Ok(now > count(&before))
    }

    /// The answer as JSON.
    fn line(
        &self,
        prompt: &Prompt,
        text: &Generated,
        written: &str,
        calls: &Calls,
        rewards: &[(&str, f64)],
    ) -> Json {
        let mut line = Map::new();
        let name = if self.arguments.chat { "messages" } else { "prompt" };
        line.insert(name.to_owned(), prompt.shown.clone());
        line.insert("text".to_owned(), written.into());
        line.insert("tokens".to_owned(), text.new_tokens().into());
        let ended = match text.ended {
            Ended::Length => "length",
            Ended::Token => "end_token",
            Ended::Watch if calls.cut => "calls",
            Ended::Watch => "stop",
        };
        line.insert("ended".to_owned(), ended.into());
        let name = if text.log_probabilities.is_empty() { "score" } else { "log_probability" };
        line.insert(name.to_owned(), text.score.into());
        if self.attached.tool.is_some() {
            let called = |called: &Called| json!({ "query": called.query, "result": called.result });
            line.insert("calls".to_owned(), calls.answered.iter().map(called).collect());
        }
        if !rewards.is_empty() {
            let rewards = rewards.iter().map(|(name, score)| ((*name).to_owned(), Json::from(*score)));
            line.insert("rewards".to_owned(), Json::Object(rewards.collect()));
        }
        Json::Object(line)
    }
}

/// A line that is a JSON object: its prompt, and what stands beside it. Any other line is a prompt. Of a
/// conversation the whole line stays, whose messages are found in it later.
fn taken_apart(line: &str, chat: bool) -> Result<(String, Columns)> {
    let object = if line.trim_start().starts_with('{') { serde_json::from_str(line).ok() } else { None };
    let Some(Json::Object(mut object)) = object else { return Ok((line.to_owned(), Columns::new())) };
    if chat && object.contains_key("messages") {
        return Ok((line.to_owned(), object));
    }
    match object.remove("prompt") {
        Some(Json::String(prompt)) => Ok((prompt, object)),
        _ => bail!("`{line}` has no `prompt` that is a text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_or_has_messages() {
        let user = json!([{ "role": "user", "content": "Hi [1]" }]);
        assert_eq!(messages("Hi [1]", None).unwrap(), user);
        assert_eq!(messages(r#"[{"role": "user", "content": "Hi [1]"}]"#, None).unwrap(), user);
        assert_eq!(messages(r#"{"messages": [{"role": "user", "content": "Hi [1]"}]}"#, None).unwrap(), user);
        assert_eq!(messages("[sic]", None).unwrap()[0]["content"], "[sic]");
        let with = messages("Hi", Some("Be brief")).unwrap();
        assert_eq!(with[0], json!({ "role": "system", "content": "Be brief" }));
        assert!(messages(r#"[{"text": "Hi"}]"#, None).is_err());
    }

    #[test]
    fn a_line_of_json_has_a_prompt_and_what_stands_beside_it() {
        let (prompt, beside) = taken_apart(r#" {"prompt": "Go on", "wanted": "on"}"#, false).unwrap();
        assert_eq!((prompt.as_str(), Json::Object(beside)), ("Go on", json!({ "wanted": "on" })));
        for plain in ["Go on", "{x} goes on", "[1]"] {
            assert_eq!(taken_apart(plain, false).unwrap(), (plain.to_owned(), Columns::new()));
        }
        assert!(taken_apart(r#"{"text": "Go on"}"#, false).is_err());
        let chat = r#"{"messages": [], "wanted": "on"}"#;
        let (line, beside) = taken_apart(chat, true).unwrap();
        assert_eq!((line.as_str(), &beside["wanted"]), (chat, &json!("on")));
    }
}
