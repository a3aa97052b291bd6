//! A reward for keeping to the format of an agent.

use zoo_plugin::prelude::*;

/// 1 for a text in an agent's format, else 0.
///
/// A text is calls of a tool, each with its result, then one answer, and nothing after it. Before a call and
/// before the answer there may be a thought. With the markers of the paper:
///
/// ```text
/// <think> … </think> <search> [{"query": "…"}] </search> <information> … </information>
/// <think> … </think> <answer> … </answer>
/// ```
///
/// Where `result_open` is empty a result is whatever stands between a call and the next marker. A text that was
/// cut off has no answer and scores 0.
///
/// # Paper
/// Wu et al.: MaskSearch, arXiv 2505.20285, section 3.3.
///
/// # Example
/// ```mlm
/// reward well_formed = reinforcement.agent_format()
/// ```
#[component(
    reward,
    name = "reinforcement.agent_format",
    inputs(text: "text[N]" = "finished texts, tool results in them"),
    outputs(score: "float[N]" = "0 or 1" better = "higher" unit = "fraction"),
    stops_gradient,
)]
pub struct AgentFormat {
    /// Begins a call.
    #[param(default = "<search>")]
    pub call_open: String,
    /// Ends a call.
    #[param(default = "</search>")]
    pub call_close: String,
    /// Begins a result; nothing, when empty.
    #[param(default = "<information>")]
    pub result_open: String,
    /// Ends a result; nothing, when empty.
    #[param(default = "</information>")]
    pub result_close: String,
    /// Begins the answer.
    #[param(default = "<answer>")]
    pub answer_open: String,
    /// Ends the answer.
    #[param(default = "</answer>")]
    pub answer_close: String,
    /// Begins a thought; there are none, when empty.
    #[param(default = "<think>")]
    pub thought_open: String,
    /// Ends a thought.
    #[param(default = "</think>")]
    pub thought_close: String,
    /// What a call says: a JSON list of objects with a `query` each, or words.
    #[param(default = "json", one_of("json", "words"))]
    pub query: String,
    /// Words of a query of words; any number above none, when absent.
    #[param(range = ">= 1")]
    pub query_words: Option<usize>,
    /// Fewest calls.
    #[param(default = 1)]
    pub calls: usize,
}

/// What is left of a text after some of it was read.
struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    /// Whether the marker comes next; then it is read.
    fn takes(&mut self, marker: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(marker) {
            Some(rest) if !marker.is_empty() => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// What stands before the marker, which is read too.
    fn until(&mut self, marker: &str) -> Option<&'t str> {
        let at = self.rest.find(marker)?;
        let found = &self.rest[..at];
        self.rest = &self.rest[at + marker.len()..];
        Some(found)
    }
}

impl AgentFormat {
    fn markers(&self) -> [&str; 8] {
        [
            &self.call_open,
            &self.call_close,
            &self.result_open,
            &self.result_close,
            &self.answer_open,
            &self.answer_close,
            &self.thought_open,
            &self.thought_close,
        ]
    }

    /// Whether something has content and no marker in it.
    fn plain(&self, content: &str) -> bool {
        let has = |marker: &&str| !marker.is_empty() && content.contains(*marker);
        !content.trim().is_empty() && !self.markers().iter().any(has)
    }

    fn is_query(&self, call: &str) -> bool {
        if !self.plain(call) {
            return false;
        }
        if self.query == "words" {
            let count = call.split_whitespace().count();
            return self.query_words.is_none_or(|wanted| wanted == count);
        }
        let Ok(serde_json::Value::Array(queries)) = serde_json::from_str(call.trim()) else { return false };
        let has_text = |query: &serde_json::Value| {
            query.get("query").and_then(serde_json::Value::as_str).is_some_and(|q| !q.trim().is_empty())
        };
        !queries.is_empty() && queries.iter().all(has_text)
    }

    /// Whether a result comes next; then it is read.
    fn result(&self, reader: &mut Reader<'_>) -> bool {
        if !self.result_open.is_empty() {
            // What a tool says is not the policy's fault.
            return reader.takes(&self.result_open) && reader.until(&self.result_close).is_some();
        }
        let next = [&self.call_open, &self.answer_open, &self.thought_open];
        let at = next.iter().filter(|m| !m.is_empty()).filter_map(|m| reader.rest.find(m.as_str())).min();
        let Some(at) = at else { return false };
        let found = self.plain(&reader.rest[..at]);
        reader.rest = &reader.rest[at..];
        found
    }

    /// Whether a text keeps to the format.
    pub fn holds(&self, text: &str) -> bool {
        let mut reader = Reader { rest: text };
        let mut calls = 0;
        loop {
            if reader.takes(&self.thought_open)
                && !reader.until(&self.thought_close).is_some_and(|thought| self.plain(thought))
            {
                return false;
            }
            if reader.takes(&self.call_open) {
                if !reader.until(&self.call_close).is_some_and(|call| self.is_query(call))
                    || !self.result(&mut reader)
                {
                    return false;
                }
                calls += 1;
            } else {
                let answered = reader.takes(&self.answer_open)
                    && reader.until(&self.answer_close).is_some_and(|answer| self.plain(answer));
                return answered && calls >= self.calls && reader.rest.trim().is_empty();
            }
        }
    }
}

impl Component for AgentFormat {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        for (at, marker) in [
            ("call_open", &self.call_open),
            ("call_close", &self.call_close),
            ("answer_open", &self.answer_open),
            ("answer_close", &self.answer_close),
        ] {
            if marker.is_empty() {
                return Err(
                    Error::new("calls and answers begin and end with a marker, and this is empty").at(at)
                );
            }
        }
        Ok(())
    }

    fn call(&self, _: &(), x: AgentFormatInputs<'_>, _: &mut Call<'_>) -> Result<AgentFormatOutputs> {
        let scores: Vec<f32> = x.text.iter().map(|text| f32::from(u8::from(self.holds(text)))).collect();
        Ok(AgentFormatOutputs { score: Tensor::f_from_slice(&scores)? })
    }
}
