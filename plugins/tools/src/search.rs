//! A tool that searches a corpus.

use std::collections::HashMap;
use zoo_plugin::Handle;
use zoo_plugin::prelude::*;

/// Rows of a corpus that fit a query best, ranked by BM25.
///
/// Words are lower-cased runs of letters and digits. A query may be plain words or the JSON that agents write,
/// `[{"query": "…"}, …]`: the rankings of several queries are merged in turn, first all first places. Each row
/// that is found is one line, cut to `snippet` characters; where nothing has a word in common, so it says.
///
/// # Paper
/// Robertson, Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond, 2009, equation 3.8.
///
/// # Example
/// ```mlm
/// data corpus = text.lines(file: asset("corpus.txt"))
/// tool search = tools.search(corpus: corpus, results: 3)
/// ```
#[component(
    tool,
    name = "tools.search",
    inputs(text: "text[B]" = "queries"),
    outputs(text: "text[B]" = "lines that were found, the best first"),
)]
pub struct Search {
    /// What is searched.
    #[param(component = "data")]
    pub corpus: Handle,
    /// The corpus's column of text.
    #[param(default = "text")]
    pub column: String,
    /// Most rows that are shown.
    #[param(default = 10, range = ">= 1")]
    pub results: usize,
    /// Most characters of a row that are shown.
    #[param(default = 300, range = ">= 1")]
    pub snippet: usize,
    /// How fast a word's weight in a row is used up with the times that it occurs.
    #[param(default = 1.2, range = ">= 0")]
    pub k1: f64,
    /// How much long rows are marked down.
    #[param(default = 0.75, range = "[0, 1]")]
    pub b: f64,
    /// At most this many rows are searched, from the beginning; all, when absent.
    #[param(range = ">= 1")]
    pub rows: Option<usize>,
}

fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    parts.map(str::to_lowercase).collect()
}

/// Which rows have which words.
#[derive(Debug, Default)]
pub struct Index {
    rows: Vec<String>,
    lengths: Vec<u32>,
    /// Row and number of occurrences.
    postings: HashMap<String, Vec<(u32, u32)>>,
}

impl Index {
    /// Adds a row, of which `snippet` characters are kept to be shown.
    pub fn add(&mut self, text: &str, snippet: usize) {
        let mut counts: HashMap<String, u32> = HashMap::new();
        let words = words(text);
        let row = self.rows.len() as u32;
        self.lengths.push(words.len() as u32);
        words.into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
        for (word, count) in counts {
            self.postings.entry(word).or_default().push((row, count));
        }
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.rows.push(line.chars().take(snippet).collect());
    }

    /// Rows with a word of the query and their scores, the best first; earlier ones first among equals.
    pub fn ranked(&self, query: &str, k1: f64, b: f64) -> Vec<(usize, f64)> {
        let count = self.rows.len() as f64;
        let total: f64 = self.lengths.iter().map(|length| f64::from(*length)).sum();
        let average = (total / count.max(1.0)).max(1.0);
        let mut scores: HashMap<u32, f64> = HashMap::new();
        for word in words(query) {
            let Some(postings) = self.postings.get(&word) else { continue };
            let having = postings.len() as f64;
            let rarity = ((count - having + 0.5) / (having + 0.5)).ln_1p();
            for (row, times) in postings {
                let length = f64::from(self.lengths[*row as usize]) / average;
                let times = f64::from(*times);
                let weight = times * (k1 + 1.0) / (times + k1 * (1.0 - b + b * length));
                *scores.entry(*row).or_default() += rarity * weight;
            }
        }
        let mut ranked: Vec<(usize, f64)> =
            scores.into_iter().map(|(row, score)| (row as usize, score)).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked
    }
}

/// The queries of a call: those of the JSON that agents write, or the text itself.
fn queries(call: &str) -> Vec<String> {
    if let Ok(serde_json::Value::Array(list)) = serde_json::from_str(call.trim()) {
        let texts = list.iter().filter_map(|item| item.get("query")?.as_str().map(str::to_owned));
        return texts.collect();
    }
    vec![call.to_owned()]
}

impl Search {
    /// What a call is answered with.
    pub fn answer(&self, index: &Index, call: &str) -> String {
        let rankings: Vec<_> =
            queries(call).iter().map(|query| index.ranked(query, self.k1, self.b)).collect();
        let longest = rankings.iter().map(Vec::len).max().unwrap_or(0).min(self.results);
        let mut found: Vec<usize> = Vec::new();
        for place in 0..longest {
            for ranking in &rankings {
                if let Some((row, _)) = ranking.get(place).filter(|(row, _)| !found.contains(row)) {
                    found.push(*row);
                }
            }
        }
        found.truncate(self.results);
        if found.is_empty() {
            return "nothing was found".to_owned();
        }
        found.iter().map(|row| index.rows[*row].as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// Rows read at once.
const CHUNK: usize = 512;

impl Component for Search {
    type State = Index;

    fn build(&self, cx: &mut Build<'_>) -> Result<Index> {
        let length = cx.length(self.corpus)?.min(self.rows.unwrap_or(usize::MAX));
        let mut index = Index::default();
        let mut from = 0;
        while from < length {
            if cx.cancelled() {
                return Err(Error::cancelled());
            }
            let to = (from + CHUNK).min(length);
            let rows: Vec<i64> = (from as i64..to as i64).collect();
            let columns = cx.read(self.corpus, &rows)?;
            columns
                .texts(&self.column)
                .map_err(|e| e.at("column"))?
                .iter()
                .for_each(|text| index.add(text, self.snippet));
            from = to;
        }
        Ok(index)
    }

    fn call(&self, index: &Index, x: SearchInputs<'_>, _: &mut Call<'_>) -> Result<SearchOutputs> {
        Ok(SearchOutputs { text: x.text.iter().map(|call| self.answer(index, call)).collect() })
    }
}
