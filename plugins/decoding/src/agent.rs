//! The component: an agent of the recipe writes, and its tool answers.

use crate::component::{Referenced, prompts};
use crate::options::{Options, Sampling};
use crate::search::{Ended, Generated, guided};
use crate::spelling::Spelled;
use crate::tools::{Called, Protocol, ToolLoop};
use std::fmt::Write as _;
use zoo_plugin::prelude::*;
use zoo_plugin::{Description, Handle, Output};

/// Texts of an agent: the model writes, calls a tool, reads what it says and goes on.
///
/// As soon as a text ends a call with `call_close`, `tool` gets what stands after the last `call_open`, and its
/// result is put behind. All texts of a batch are written side by side with one cache of keys and values; those
/// that are given a result take it in beside the others. A text ends with one of `ends`, with `new_tokens` tokens,
/// results among them, or with a call beyond `maximum_calls`; what is cut off is a text like others, for rewards
/// to judge.
///
/// `ids` are what the model wrote and read, never tokenized again. `loss_mask` is 1 where the model wrote: not in
/// the prompt, not in results, not in padding. `log_probabilities` are those of the tokens when they were drawn,
/// at this temperature, without dropout.
///
/// With `groups` the batch is sampled dynamically: prompts are taken `generation_batch` at a time, a group of
/// `samples` texts is kept where not all of its `filter` scores are equal, and writing ends with so many groups;
/// what is beyond is cut off. The batch of the phase so bounds the generation batches: 3 of 32 are 96 prompts. A
/// shaped reward is no good filter: length alone would make all groups differ. Where an update is split into
/// parts, each part keeps so many groups.
///
/// The tool has an input and an output `text`, and may have an input `context`, which gets the text that
/// stands beside the prompt.
///
/// # Paper
/// Jin et al.: Search-R1, arXiv 2503.09516; dynamic sampling: Yu et al.: DAPO, arXiv 2503.14476, section 3.2.
///
/// # Example
/// ```mlm
/// data      words   = text.lines(file: asset("corpus.txt"))
/// tokenizer plain   = text.words(corpus: words, special_tokens: false)
/// model     spell   = text.decode(tokenizer: plain)
/// tool      look_up = tools.lookup()
/// model     writer  = checkpoint.causal_lm(config: "file:gpt2.json")
/// model     roll    = decoding.agent_rollout(model: writer, tokenizer: plain, decoder: spell, tool: look_up, new_tokens: 8)
/// ```
#[component(
    function,
    name = "decoding.agent_rollout",
    inputs(
        ids: "int[B, T]" = "token ids of the prompts",
        attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding; all ones, when absent",
        wanted: "text[B]"? = "the right answers, for `filter`; given back beside each text",
        context: "text[B]"? = "what the tool may read beside a query",
    ),
    outputs(
        ids: "int[N, S]" = "prompts and new tokens, filled up on the right; texts of a prompt stand together",
        attention_mask: "int[N, S]" = "1 for tokens, 0 for padding",
        loss_mask: "int[N, S]" = "1 for tokens that the model wrote",
        log_probabilities: "float[N, S]" = "logarithm of the probability with which each of them was drawn; 0 elsewhere",
        text: "text[N]" = "new tokens as text, results in it",
        wanted: "text[N]"? = "the right answer of each text, where they were given",
        lengths: "int[N]" = "new tokens of each text",
        calls: "float[N]" = "calls of each text that were answered",
        kept: "float[]" = "share of the groups whose filter scores differ; 1 without a filter",
        written: "float[]" = "texts that were written, those dropped among them",
    ),
    random,
    stops_gradient,
)]
pub struct AgentRollout {
    /// What scores next tokens: an architecture with the ports of `checkpoint.causal_lm`.
    #[param(component = "architecture")]
    pub model: Handle,
    /// Texts to tokens, for results; without special tokens.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Tokens to texts: a `text.decode` of the same tokenizer.
    #[param(component = "function")]
    pub decoder: Handle,
    /// What answers calls.
    #[param(component = "tool")]
    pub tool: Handle,
    /// Begins a call.
    #[param(default = "<search>")]
    pub call_open: String,
    /// Ends a call.
    #[param(default = "</search>")]
    pub call_close: String,
    /// Put before a result; nothing, when empty.
    #[param(default = "<information>")]
    pub result_open: String,
    /// Put behind a result; nothing, when empty.
    #[param(default = "</information>")]
    pub result_close: String,
    /// Most calls of a text.
    #[param(default = 8)]
    pub maximum_calls: usize,
    /// Most tokens after a prompt, results among them.
    #[param(default = 64, range = ">= 1", kind = "tokens")]
    pub new_tokens: usize,
    /// Tokens that end a text, as text; they are part of it.
    #[param(default = [])]
    pub ends: Vec<String>,
    /// Scores are divided by it; 0 takes the likeliest token each time.
    #[param(default = 1.0, range = ">= 0", varies)]
    pub temperature: Varying,
    /// Texts for each prompt: the size of a group.
    #[param(default = 1, range = ">= 1")]
    pub samples: usize,
    /// The token that rows are filled up with.
    #[param(default = 0, range = ">= 0")]
    pub padding: i64,
    /// Groups that a batch keeps; all, when absent.
    #[param(range = ">= 1")]
    pub groups: Option<usize>,
    /// Prompts that are written for at a time until there are so many groups; as many as `groups`, when absent.
    #[param(range = ">= 1")]
    pub generation_batch: Option<usize>,
    /// A reward with inputs `text` and `wanted`; needed for `groups`.
    #[param(component = "reward")]
    pub filter: Option<Handle>,
    /// What becomes of a batch with too few groups: an error, or it is used as it is. Where not one is kept, one
    /// whose scores are equal stays: its advantages are 0, and nothing is learnt from it.
    #[param(default = "error", one_of("error", "go_on"))]
    pub if_short: String,
    /// So many texts of a batch are shown in the report.
    #[param(default = 0)]
    pub transcripts: usize,
}

/// What references are.
#[derive(Debug)]
pub struct References {
    model: Description,
    tokenizer: Description,
    decoder: Description,
    tool: Description,
    filter: Option<Description>,
}

/// One text with what belongs to it.
struct Told {
    generated: Generated,
    calls: Vec<Called>,
    text: String,
    wanted: String,
}

impl AgentRollout {
    fn protocol(&self) -> Protocol {
        Protocol {
            call_open: self.call_open.clone(),
            call_close: self.call_close.clone(),
            result_open: self.result_open.clone(),
            result_close: self.result_close.clone(),
            maximum_calls: self.maximum_calls,
        }
    }

    /// Writes for some of the prompts.
    fn write(
        &self,
        references: &References,
        prompts: &[Vec<i64>],
        first: usize,
        x: &AgentRolloutInputs<'_>,
        cx: &Call<'_>,
    ) -> Result<Vec<Told>> {
        let mut spelling = Spelled {
            cx,
            tokenizer: (self.tokenizer, &references.tokenizer),
            decoder: (self.decoder, &references.decoder),
        };
        let temperature = self.temperature.at("temperature", cx);
        let sampling = Sampling { temperature, ..Sampling::default() };
        let ends = self.ends.iter().map(|end| spelling.one(end)).collect::<Result<_>>()?;
        let options = Options {
            new_tokens: self.new_tokens,
            ends,
            sampling: (temperature > 0.0).then_some(sampling),
            samples: self.samples,
            padding: self.padding,
            ..Options::default()
        };
        // Of rows and not of texts, so that how an update is split changes nothing.
        let of_row = |row: usize| {
            let seed = cx.seed("tokens", row);
            (0..self.samples as u64).map(move |k| seed.wrapping_add(k.wrapping_mul(0xd134_2543_de82_ef95)))
        };
        let seeds: Vec<u64> = (first..first + prompts.len()).flat_map(of_row).collect();
        let mut tools = ToolLoop::new(self.protocol(), prompts.len() * self.samples, &mut spelling)?;
        let reads = references.tool.inputs.iter().any(|input| input == "context");
        let answer = |text: usize, query: &str| -> Result<String> {
            let row = first + text / self.samples;
            let mut inputs = vec![("text", Output::Texts(vec![query.to_owned()]))];
            if let Some(context) = x.context.as_ref().filter(|_| reads) {
                inputs.push(("context", Output::Texts(vec![context.get(row).to_owned()])));
            }
            let answers = cx.call_by_name(self.tool, &references.tool, inputs, &["text"])?;
            match answers.into_iter().next().flatten() {
                Some(Output::Texts(mut texts)) if texts.len() == 1 => Ok(texts.remove(0)),
                _ => Err(Error::new(format!("`{}` gave no text", references.tool.name)).at("tool")),
            }
        };
        let mut writer = Referenced::new(cx, self.model, &references.model);
        let texts = {
            let mut spelling = spelling.clone();
            let guide = &mut |text: usize, tokens: &[i64]| tools.next(text, tokens, &mut spelling, answer);
            guided(&mut writer, prompts, &seeds, &options, Device::Cpu, guide)?
        };
        let told = texts.into_iter().enumerate().map(|(number, generated)| {
            let row = first + number / self.samples;
            Ok(Told {
                text: spelling.of(generated.new_tokens())?,
                calls: tools.calls(number).to_vec(),
                wanted: x.wanted.as_ref().map_or(String::new(), |wanted| wanted.get(row).to_owned()),
                generated,
            })
        });
        told.collect()
    }

    /// For each group whether its filter scores differ.
    fn differs(&self, references: &References, told: &[Told], cx: &Call<'_>) -> Result<Vec<bool>> {
        let (Some(filter), Some(description)) = (self.filter, &references.filter) else {
            return Ok(vec![true; told.len() / self.samples]);
        };
        let texts = |of: fn(&Told) -> &String| Output::Texts(told.iter().map(|t| of(t).clone()).collect());
        let inputs = vec![("text", texts(|told| &told.text)), ("wanted", texts(|told| &told.wanted))];
        let scores = cx.call_by_name(filter, description, inputs, &["score"])?;
        let Some(Some(Output::Tensor(scores))) = scores.into_iter().next() else {
            return Err(Error::new(format!("`{}` gave no scores", description.name)).at("filter"));
        };
        let scores: Vec<f64> = Vec::try_from(scores.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?)?;
        Ok(scores.chunks(self.samples).map(|group| group.iter().any(|score| *score != group[0])).collect())
    }

    /// All texts of the batch that are kept, the share of groups that differ, and how many texts were written.
    fn sampled(
        &self,
        references: &References,
        prompts: &[Vec<i64>],
        x: &AgentRolloutInputs<'_>,
        cx: &Call<'_>,
    ) -> Result<(Vec<Told>, f64, usize)> {
        let Some(wanted) = self.groups else {
            let told = self.write(references, prompts, 0, x, cx)?;
            let differ = self.differs(references, &told, cx)?;
            let share = differ.iter().filter(|d| **d).count() as f64 / differ.len().max(1) as f64;
            let written = told.len();
            return Ok((told, share, written));
        };
        let size = self.generation_batch.unwrap_or(wanted);
        let (mut kept, mut differing, mut written, mut batches) = (Vec::new(), 0, 0, 0);
        let mut spare = Vec::new();
        for (number, chunk) in prompts.chunks(size).enumerate() {
            let told = self.write(references, chunk, number * size, x, cx)?;
            written += told.len();
            batches += 1;
            let differ = self.differs(references, &told, cx)?;
            differing += differ.iter().filter(|d| **d).count();
            let mut told = told.into_iter();
            for differs in differ {
                let group: Vec<Told> = told.by_ref().take(self.samples).collect();
                if !differs {
                    spare = group;
                } else if kept.len() < wanted * self.samples {
                    kept.extend(group);
                }
            }
            if kept.len() == wanted * self.samples {
                break;
            }
        }
        let groups = kept.len() / self.samples;
        if groups < wanted && self.if_short == "error" {
            let text = format!(
                "after {batches} generation batches of {size} prompts {groups} groups of {wanted} differ in their scores"
            );
            return Err(Error::new(text).at("groups").help(
                "prompts are too easy or too hard for the policy, or too few: give the phase a larger batch, ask for \
                 fewer groups, or set `if_short: \"go_on\"`",
            ));
        }
        if kept.is_empty() {
            kept = spare;
        }
        let share = differing as f64 * self.samples as f64 / (written.max(1)) as f64;
        Ok((kept, share, written))
    }
}

/// Texts for the report: what the model wrote, and what it was told.
fn transcript(told: &[Told], prompts: &mut Spelled<'_, '_>) -> Result<String> {
    let mut text = String::new();
    for (number, told) in told.iter().enumerate() {
        let prompt = prompts.of(&told.generated.tokens[..told.generated.prompt])?;
        let _ = writeln!(text, "{}. prompt: {prompt}", number + 1);
        for called in &told.calls {
            let _ = writeln!(text, "   call:   {}\n   result: {}", called.query, called.result);
        }
        let ended = match told.generated.ended {
            Ended::Token => "",
            Ended::Length => "   (cut off: no tokens left)\n",
            Ended::Watch => "   (cut off: no calls left)\n",
        };
        let _ = writeln!(text, "   all:    {}\n{ended}   wanted: {}\n", told.text, told.wanted);
    }
    Ok(text)
}

fn filled(told: &[Told], padding: i64, device: Device) -> Result<[Tensor; 4]> {
    let longest = told.iter().map(|told| told.generated.tokens.len()).max().unwrap_or(0);
    let count = told.len() * longest;
    let (mut ids, mut mask, mut loss) = (vec![padding; count], vec![0_i64; count], vec![0_i64; count]);
    let mut logarithms = vec![0_f32; count];
    for (row, told) in told.iter().enumerate() {
        let (start, text) = (row * longest, &told.generated);
        for (place, token) in (start..).zip(&text.tokens) {
            (ids[place], mask[place]) = (*token, 1);
        }
        for (place, logarithm) in (start + text.prompt..).zip(&text.log_probabilities) {
            (loss[place], logarithms[place]) = (1, *logarithm as f32);
        }
        for place in &text.inserted {
            loss[start + text.prompt + place] = 0;
        }
    }
    let shape = [told.len() as i64, longest as i64];
    let whole = |values: &[i64]| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device)?)
    };
    let logarithms = Tensor::f_from_slice(&logarithms)?.f_view(shape)?.f_to_device(device)?;
    Ok([whole(&ids)?, whole(&mask)?, whole(&loss)?, logarithms])
}

impl Component for AgentRollout {
    type State = References;

    fn build(&self, cx: &mut Build<'_>) -> Result<References> {
        if self.groups.is_some() && self.filter.is_none() {
            return Err(Error::new("groups are kept by the scores of a filter, and there is none")
                .at("groups")
                .help("name a reward: `filter: correct`"));
        }
        if self.groups.is_none() && self.generation_batch.is_some() {
            return Err(Error::new(
                "generation batches go on until there are enough groups, and no number is given",
            )
            .at("generation_batch")
            .help("set `groups`"));
        }
        for (at, marker) in [("call_open", &self.call_open), ("call_close", &self.call_close)] {
            if marker.trim().is_empty() {
                return Err(Error::new("a call begins and ends with a marker, and this is empty").at(at));
            }
        }
        Ok(References {
            model: cx.describe(self.model)?,
            tokenizer: cx.describe(self.tokenizer)?,
            decoder: cx.describe(self.decoder)?,
            tool: cx.describe(self.tool)?,
            filter: self.filter.map(|filter| cx.describe(filter)).transpose()?,
        })
    }

    fn call(
        &self,
        references: &References,
        x: AgentRolloutInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<AgentRolloutOutputs> {
        let prompts = prompts(x.ids, x.attention_mask)?;
        if prompts.iter().any(Vec::is_empty) {
            return Err(Error::new("a prompt has no tokens").at("in.attention_mask"));
        }
        let device = x.ids.device();
        let (told, share, written) = self.sampled(references, &prompts, &x, cx)?;
        if self.transcripts > 0 {
            let mut spelling = Spelled {
                cx,
                tokenizer: (self.tokenizer, &references.tokenizer),
                decoder: (self.decoder, &references.decoder),
            };
            let text = transcript(told.get(..self.transcripts).unwrap_or(&told), &mut spelling)?;
            cx.artifact("transcript", "text/plain", text.as_bytes());
        }
        let [ids, attention_mask, loss_mask, log_probabilities] = filled(&told, self.padding, device)?;
        let lengths: Vec<i64> = told.iter().map(|told| told.generated.new_tokens().len() as i64).collect();
        let calls: Vec<f32> = told.iter().map(|told| told.calls.len() as f32).collect();
        let number =
            |value: f64| Tensor::f_from_slice(&[value as f32])?.f_reshape([0_i64; 0])?.f_to_device(device);
        Ok(AgentRolloutOutputs {
            ids,
            attention_mask,
            loss_mask,
            log_probabilities,
            lengths: Tensor::f_from_slice(&lengths)?.f_to_device(device)?,
            calls: Tensor::f_from_slice(&calls)?.f_to_device(device)?,
            kept: number(share)?,
            written: number(written as f64)?,
            wanted: x.wanted.is_some().then(|| told.iter().map(|told| told.wanted.clone()).collect()),
            text: told.into_iter().map(|told| told.text).collect(),
        })
    }
}
