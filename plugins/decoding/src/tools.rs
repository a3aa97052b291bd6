//! A text that calls a tool while it is written: the loop that all agents share.
//!
//! A model writes a call between two markers; as soon as the call is complete it is answered, the answer's
//! tokens are put behind it, and the model goes on. [`ToolLoop`] is that for a batch of texts, as a
//! [`Guide`](crate::Guide) of [`guided`](crate::guided). It knows neither tokenizer nor tool: both are given to
//! it, so that components of a recipe and the command line use the same loop.

use crate::search::Next;

/// How calls and their results are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Begins a call.
    pub call_open: String,
    /// Ends a call, which is then answered.
    pub call_close: String,
    /// Stands before a result; nothing, when empty.
    pub result_open: String,
    /// Stands behind a result; nothing, when empty.
    pub result_close: String,
    /// Most calls of a text. One that begins another ends there.
    pub maximum_calls: usize,
}

impl Protocol {
    /// What is put behind a call: the result in its markers.
    pub fn answered(&self, result: &str) -> String {
        let parts = [self.result_open.as_str(), result, self.result_close.as_str()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// A recorded text in pieces, each with whether a model wrote it: results, with their markers, are the
    /// tool's. Where results have no markers they reach to the next of `marks` or the next call.
    pub fn pieces<'t>(&self, text: &'t str, marks: &[&str]) -> Vec<(&'t str, bool)> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(&self.call_close) {
            let (own, after) = rest.split_at(at + self.call_close.len());
            pieces.push((own, true));
            let end = if self.result_close.is_empty() {
                let next = marks.iter().copied().chain([self.call_open.as_str()]).filter(|m| !m.is_empty());
                next.filter_map(|mark| after.find(mark)).min().unwrap_or(after.len())
            } else {
                after.find(&self.result_close).map_or(after.len(), |at| at + self.result_close.len())
            };
            let (result, others) = after.split_at(end);
            pieces.push((result, false));
            rest = others;
        }
        pieces.push((rest, true));
        pieces.retain(|(piece, _)| !piece.trim().is_empty());
        pieces
    }
}

/// From ids to text and back, without special tokens at the ends.
pub trait Spelling {
    /// What it can end in.
    type Error;

    /// The ids of a text.
    ///
    /// # Errors
    /// The tokenizer's.
    fn ids(&mut self, text: &str) -> Result<Vec<i64>, Self::Error>;

    /// The text of ids, with special tokens in it.
    ///
    /// # Errors
    /// The tokenizer's.
    fn text(&mut self, ids: &[i64]) -> Result<String, Self::Error>;
}

/// A call that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// What was asked.
    pub query: String,
    /// What the tool said.
    pub result: String,
}

/// Where a text stands.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// New tokens before those that a call may yet begin in.
    read: usize,
    calls: Vec<Called>,
}

/// Answers the calls of a batch of texts.
#[derive(Clone, Debug)]
pub struct ToolLoop {
    protocol: Protocol,
    /// The end of a call in ids.
    close: Vec<i64>,
    texts: Vec<Progress>,
}

impl ToolLoop {
    /// For so many texts.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn new<S: Spelling>(protocol: Protocol, texts: usize, spelling: &mut S) -> Result<Self, S::Error> {
        let close = spelling.ids(&protocol.call_close)?;
        Ok(Self { protocol, close, texts: vec![Progress::default(); texts] })
    }

    /// What comes after the last of a text's new tokens: a tool's answer where they complete a call. `tool` gets
    /// the number of the text and what it asks.
    ///
    /// # Errors
    /// The tokenizer's and the tool's.
    pub fn next<S: Spelling>(
        &mut self,
        text: usize,
        tokens: &[i64],
        spelling: &mut S,
        mut tool: impl FnMut(usize, &str) -> Result<String, S::Error>,
    ) -> Result<Next, S::Error> {
        let Some(progress) = self.texts.get_mut(text) else { return Ok(Next::Write) };
        let own = tokens.get(progress.read..).unwrap_or_default();
        if !ends_call(&self.close, &self.protocol.call_close, own, spelling)? {
            return Ok(Next::Write);
        }
        progress.read = tokens.len();
        let written = spelling.text(own)?;
        let end = written.rfind(&self.protocol.call_close).unwrap_or(written.len());
        // An end without a beginning is no call.
        let Some(start) = written[..end].rfind(&self.protocol.call_open) else { return Ok(Next::Write) };
        if progress.calls.len() >= self.protocol.maximum_calls {
            return Ok(Next::End);
        }
        let query = written[start + self.protocol.call_open.len()..end].trim().to_owned();
        let result = tool(text, &query)?;
        let given = spelling.ids(&self.protocol.answered(&result))?;
        progress.read += given.len();
        progress.calls.push(Called { query, result });
        Ok(Next::Insert(given))
    }

    /// The calls of a text, in order.
    pub fn calls(&self, text: usize) -> &[Called] {
        self.texts.get(text).map_or(&[], |progress| &progress.calls)
    }
}

/// Whether the last token completes the end of a call.
fn ends_call<S: Spelling>(
    close: &[i64],
    marker: &str,
    own: &[i64],
    spelling: &mut S,
) -> Result<bool, S::Error> {
    if let [close] = close {
        return Ok(own.last() == Some(close));
    }
    // Models need not write a marker in the tokens that a tokenizer gives it. A token has a byte at least.
    let tail = &own[own.len().saturating_sub(marker.len() + 1)..];
    Ok(!tail.is_empty() && spelling.text(tail)?.contains(marker))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A character is a token, but for words that are one.
    struct Characters(&'static [&'static str]);

    impl Spelling for Characters {
        type Error = Infallible;

        fn ids(&mut self, text: &str) -> Result<Vec<i64>, Infallible> {
            let mut ids = Vec::new();
            let mut rest = text;
            while let Some(first) = rest.chars().next() {
                if let Some(word) = self.0.iter().position(|word| rest.starts_with(word)) {
                    ids.push(-1 - word as i64);
                    rest = &rest[self.0[word].len()..];
                } else {
                    ids.push(i64::from(u32::from(first)));
                    rest = &rest[first.len_utf8()..];
                }
            }
            Ok(ids)
        }

        fn text(&mut self, ids: &[i64]) -> Result<String, Infallible> {
            let one = |id: &i64| match u32::try_from(*id) {
                Ok(id) => char::from_u32(id).unwrap().to_string(),
                Err(_) => self.0[(-1 - id) as usize].to_owned(),
            };
            Ok(ids.iter().map(one).collect())
        }
    }

    fn protocol() -> Protocol {
        Protocol {
            call_open: "<call>".to_owned(),
            call_close: "</call>".to_owned(),
            result_open: "<result>".to_owned(),
            result_close: "</result>".to_owned(),
            maximum_calls: 2,
        }
    }

    /// Writes a text token by token, with what the tool says in between; the whole text, and whether the loop
    /// ended it.
    fn written(words: &'static [&'static str], own: &[&str]) -> (String, bool, Vec<Called>) {
        let mut spelling = Characters(words);
        let mut tools = ToolLoop::new(protocol(), 1, &mut spelling).unwrap();
        let mut tokens = Vec::new();
        for part in own {
            for id in Characters(words).ids(part).unwrap() {
                tokens.push(id);
                match tools.next(0, &tokens, &mut spelling, |text, query| {
                    assert_eq!(text, 0);
                    Ok(format!("{} letters", query.len()))
                }) {
                    Ok(Next::Write) => {}
                    Ok(Next::Insert(given)) => tokens.extend(given),
                    Ok(Next::End) => return (spelling.text(&tokens).unwrap(), true, tools.calls(0).to_vec()),
                    Err(never) => match never {},
                }
            }
        }
        (spelling.text(&tokens).unwrap(), false, tools.calls(0).to_vec())
    }

    #[test]
    fn calls_are_answered_where_they_end_however_their_markers_are_cut() {
        let own = ["I ask: <call> abc </call>", " and <call>defgh</call>", " so it is."];
        let expected = "I ask: <call> abc </call><result> 3 letters </result> and \
                        <call>defgh</call><result> 5 letters </result> so it is.";
        for words in [&[][..], &["</call>"], &["</ca", "ll>", "<call>"]] {
            let (text, ended, calls) = written(words, &own);
            assert_eq!((text.as_str(), ended), (expected, false), "{words:?}");
            let called = |query: &str, result: &str| Called { query: query.into(), result: result.into() };
            assert_eq!(calls, [called("abc", "3 letters"), called("defgh", "5 letters")]);
        }
    }

    #[test]
    fn what_is_no_call_is_not_answered_and_too_many_calls_end_a_text() {
        let (text, ended, calls) = written(&[], &["no </call> start, <call> no end"]);
        assert_eq!((text.as_str(), ended, calls.len()), ("no </call> start, <call> no end", false, 0));
        // The result of a call is not read as a call.
        let (text, ended, calls) =
            written(&[], &["<call>a</call>", "</call>", "<call>b</call>", "<call>c</call>x"]);
        assert!(ended && calls.len() == 2 && text.ends_with("<call>c</call>"), "{text}");
    }

    #[test]
    fn recorded_texts_are_taken_apart() {
        let text = "I <call> a </call> <result> b </result> so <call>c</call><result></result> end";
        let pieces = [
            ("I <call> a </call>", true),
            (" <result> b </result>", false),
            (" so <call>c</call>", true),
            ("<result></result>", false),
            (" end", true),
        ];
        assert_eq!(protocol().pieces(text, &[]), pieces);
        let plain = Protocol {
            call_open: "SEARCH".to_owned(),
            call_close: "INFO".to_owned(),
            result_open: String::new(),
            result_close: String::new(),
            maximum_calls: 4,
        };
        let text = "SEARCH e r INFO v SEARCH v s INFO w ANS w END";
        let pieces = [
            ("SEARCH e r INFO", true),
            (" v ", false),
            ("SEARCH v s INFO", true),
            (" w ", false),
            ("ANS w END", true),
        ];
        assert_eq!(plain.pieces(text, &["ANS"]), pieces);
        assert_eq!(plain.answered("v"), "v");
        assert_eq!(protocol().answered("v"), "<result> v </result>");
    }
}
