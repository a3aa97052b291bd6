//! What the structure of documents teaches: pairs and groups of their parts, labelled by where they stand.

use crate::part::mix;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use zoo_plugin::prelude::*;

/// Documents read from a source at once.
const CHUNK: usize = 256;

/// A document: paragraphs of sentences.
pub type Document = Vec<Vec<String>>;

/// How texts are taken apart, and what is too short to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Stands between paragraphs.
    pub paragraph_separator: String,
    /// Stands between sentences; where it is not a line's end it stays with the sentence before it.
    pub sentence_separator: String,
    /// Characters that a sentence, a paragraph and a document have at least.
    pub minimum_characters: [usize; 3],
}

impl Structure {
    /// The paragraphs of a text that are long enough, each with the sentences that are; none of a document that is
    /// too short.
    pub fn document(&self, text: &str) -> Document {
        let [sentence, paragraph, document] = self.minimum_characters;
        if text.chars().count() < document {
            return Vec::new();
        }
        let long = |text: &str, least: usize| text.chars().count() >= least.max(1);
        text.split(self.paragraph_separator.as_str())
            .filter(|text| long(text.trim(), paragraph))
            .map(|text| {
                text.split_inclusive(self.sentence_separator.as_str())
                    .map(str::trim)
                    .filter(|text| long(text, sentence))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .filter(|sentences| !sentences.is_empty())
            .collect()
    }
}

/// Declares a component over documents: the parameters that all have, and how their texts are read.
macro_rules! documents_component {
    ($(#[$attribute:meta])* $visibility:vis struct $name:ident { $($extra:tt)* }) => {
        $(#[$attribute])*
        $visibility struct $name {
            /// Documents, one a row.
            #[param(component = "data")]
            pub source: Handle,
            /// The source's column of text.
            #[param(default = "text")]
            pub column: String,
            /// What stands between paragraphs.
            #[param(default = "\n\n")]
            pub paragraph_separator: String,
            /// What stands between sentences: a line's end, or ". ", which stays with the sentence before it.
            #[param(default = "\n")]
            pub sentence_separator: String,
            /// Shorter sentences are left out, in characters.
            #[param(default = 20)]
            pub minimum_sentence: usize,
            /// Shorter paragraphs are left out, in characters.
            #[param(default = 60)]
            pub minimum_paragraph: usize,
            /// Shorter documents are left out, in characters.
            #[param(default = 200)]
            pub minimum_document: usize,
            $($extra)*
        }

        impl $name {
            fn structure(&self) -> Result<Structure> {
                for (at, separator) in [
                    ("paragraph_separator", &self.paragraph_separator),
                    ("sentence_separator", &self.sentence_separator),
                ] {
                    if separator.is_empty() {
                        return Err(Error::new("nothing separates nothing").at(at));
                    }
                }
                Ok(Structure {
                    paragraph_separator: self.paragraph_separator.clone(),
                    sentence_separator: self.sentence_separator.clone(),
                    minimum_characters: [
                        self.minimum_sentence,
                        self.minimum_paragraph,
                        self.minimum_document,
                    ],
                })
            }

            /// The rows of the source whose documents can be used, and a number for draws.
            fn usable(&self, cx: &Build<'_>) -> Result<Usable> {
                let structure = self.structure()?;
                let length = cx.length(self.source)?;
                let mut rows = Vec::new();
                for from in (0..length).step_by(CHUNK) {
                    if cx.cancelled() {
                        return Err(Error::cancelled());
                    }
                    let indices: Vec<i64> = (from as i64..(from + CHUNK).min(length) as i64).collect();
                    let columns = cx.read(self.source, &indices)?;
                    let texts = columns.texts(&self.column)?.iter().zip(indices);
                    rows.extend(texts.filter(|(text, _)| self.fits(&structure.document(text))).map(|(_, i)| i));
                }
                if rows.len() < 2 {
                    let text = format!("of {length} documents {} can be used", rows.len());
                    return Err(Error::new(text)
                        .at("source")
                        .help("look at the separators and at the minimum lengths; two documents are needed"));
                }
                Ok(Usable { rows, structure, seed: cx.seed("rows", 0) })
            }
        }
    };
}

/// Documents that rows are made of.
#[derive(Debug)]
pub struct Usable {
    rows: Vec<i64>,
    structure: Structure,
    seed: u64,
}

impl Usable {
    /// The randomness of a row, the same whenever it is read.
    fn random(&self, row: usize) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(mix(self.seed ^ mix(row as u64)))
    }

    /// For each row its document, and another one that it may take wrong parts of.
    fn documents(
        &self,
        cx: &Call<'_>,
        source: Handle,
        column: &str,
        each: &[(usize, usize)],
    ) -> Result<Vec<(Document, Document)>> {
        let places: Vec<i64> =
            each.iter().flat_map(|(one, other)| [self.rows[*one], self.rows[*other]]).collect();
        let columns = cx.read(source, &places)?;
        let texts = columns.texts(column)?;
        Ok(texts
            .chunks_exact(2)
            .map(|pair| (self.structure.document(&pair[0]), self.structure.document(&pair[1])))
            .collect())
    }

    /// Any document but this one.
    fn other(&self, own: usize, random: &mut impl RngExt) -> usize {
        (own + random.random_range(1..self.rows.len())) % self.rows.len()
    }
}

/// Any number below `count` but `own`.
fn another(own: usize, count: usize, random: &mut impl RngExt) -> usize {
    (own + random.random_range(1..count)) % count
}

documents_component! {
    /// Pairs of texts from documents, labelled by how they stand to each other: pre-training for tasks whose inputs
    /// are pairs, such as answer sentence selection.
    ///
    /// * `spans_in_same_paragraph` (SSP): two disjoint spans of one paragraph, of 1 to `maximum_span` sentences each.
    ///   Wrong is a span of another paragraph of the document (hard) or of another document (easy).
    /// * `span_in_paragraph` (SP): a span, and its paragraph without it. Wrong is another paragraph, hard or easy as
    ///   above, without as many sentences at a random place: otherwise its length gave it away.
    /// * `paragraphs_in_same_document` (PSD): two paragraphs of one document. Wrong ones are of other documents.
    ///
    /// With several objectives rows take turns (ALL). Of each document come one right pair, `hard` hard and `easy` easy
    /// wrong ones; of PSD, which has no hard ones, as many easy ones. Which parts are drawn follows from the run's
    /// seed and the row.
    ///
    /// With `context` the second text is followed by `separator` and a context of it: `first_paragraph` of its document
    /// (SDC), its `paragraph` without it (DPC), or its `neighbours`, the sentences before and after it (DSLC).
    ///
    /// Documents without two paragraphs, one of them of two sentences, are left out. Texts are read from the source as
    /// rows are asked for; nothing is held in memory.
    ///
    /// # Paper
    /// Di Liello, Garg, Soldaini, Moschitti: Pre-training Transformer Models with Sentence-Level Objectives for Answer
    /// Sentence Selection, EMNLP 2022; Di Liello, Garg, Moschitti: Context-Aware Transformer Pre-Training for Answer
    /// Sentence Selection, ACL 2023.
    ///
    /// # Example
    /// ```mlm
    /// data documents = synthetic.topic_documents(documents: 40)
    /// data pairs = text.structure_pairs(source: documents)
    /// ```
    #[component(
        data,
        name = "text.structure_pairs",
        outputs(
            first: "text[B]" = "a text",
            second: "text[B]" = "what it is paired with, with its context",
            label: "int[B]" = "1 where they stand together, else 0",
        ),
        random,
        loader,
    )]
    pub struct StructurePairs {
        /// Which relations are asked for.
        #[param(default = ["spans_in_same_paragraph"])]
        pub objectives: Vec<String>,
        /// Sentences of a span at most.
        #[param(default = 2, range = ">= 1")]
        pub maximum_span: usize,
        /// Wrong pairs from the same document, for every right one.
        #[param(default = 2)]
        pub hard: usize,
        /// Wrong pairs with another document, for every right one.
        #[param(default = 2)]
        pub easy: usize,
        /// What of the second text's surroundings follows it.
        #[param(default = "none", one_of("none", "first_paragraph", "paragraph", "neighbours"))]
        pub context: String,
        /// Stands between the second text and its context, between spaces.
        #[param(default = "[SEP]")]
        pub separator: String,
    }
}

/// A relation between two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// SSP.
    SpansInSameParagraph,
    /// SP.
    SpanInParagraph,
    /// PSD.
    ParagraphsInSameDocument,
}

/// How the second text stands to the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// As the relation says.
    Right,
    /// Not, in the same document.
    Hard,
    /// In another document.
    Easy,
}

/// Sentences `from..to` of a paragraph.
type Span = std::ops::Range<usize>;

/// Sentences but those of a span.
fn without(sentences: &[String], span: &Span) -> String {
    [&sentences[..span.start], &sentences[span.end..]].concat().join(" ")
}

impl StructurePairs {
    fn fits(&self, document: &Document) -> bool {
        document.len() > 1 && document.iter().any(|sentences| sentences.len() > 1)
    }

    /// The objectives as relations.
    ///
    /// # Errors
    ///
    /// None, or one that there is not.
    pub fn relations(&self) -> Result<Vec<Relation>> {
        let known = [
            ("spans_in_same_paragraph", Relation::SpansInSameParagraph),
            ("span_in_paragraph", Relation::SpanInParagraph),
            ("paragraphs_in_same_document", Relation::ParagraphsInSameDocument),
        ];
        let relations = self.objectives.iter().map(|name| {
            known.iter().find(|(known, _)| known == name).map(|(_, relation)| *relation).ok_or_else(|| {
                Error::new(format!("there is no objective `{name}`"))
                    .at("objectives")
                    .help(format!("they are {}", known.map(|(name, _)| name).join(", ")))
            })
        });
        let relations = relations.collect::<Result<Vec<_>>>()?;
        if relations.is_empty() {
            return Err(Error::new("pairs need an objective").at("objectives"));
        }
        Ok(relations)
    }

    /// A span of a paragraph of which at least `left` sentences stay.
    fn span(&self, sentences: usize, left: usize, random: &mut impl RngExt) -> Span {
        let length = random.random_range(1..=self.maximum_span.min(sentences.saturating_sub(left)).max(1));
        let start = random.random_range(0..=sentences.saturating_sub(length));
        start..(start + length).min(sentences)
    }

    /// What follows the second text.
    fn context(&self, document: &Document, paragraph: usize, span: &Span) -> String {
        let sentences = &document[paragraph];
        match self.context.as_str() {
            "first_paragraph" => document[0].join(" "),
            "paragraph" => without(sentences, span),
            "neighbours" => {
                let before = span.start.checked_sub(1).and_then(|at| sentences.get(at));
                before.into_iter().chain(sentences.get(span.end)).cloned().collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        }
    }

    /// A pair of texts from a document, and from another one where it is an easy wrong pair.
    pub fn pair(
        &self,
        relation: Relation,
        sort: Sort,
        (document, other): (&Document, &Document),
        random: &mut impl RngExt,
    ) -> (String, String) {
        let whole = relation == Relation::ParagraphsInSameDocument;
        // Of a paragraph with one sentence no two spans can be taken.
        let candidates: Vec<usize> =
            (0..document.len()).filter(|paragraph| whole || document[*paragraph].len() > 1).collect();
        let own = candidates[random.random_range(0..candidates.len())];
        let sentences = &document[own];
        let first = if whole { 0..sentences.len() } else { self.span(sentences.len(), 1, random) };
        let (from, paragraph) = match (sort, whole) {
            (Sort::Easy, _) => (other, random.random_range(0..other.len())),
            (Sort::Right, false) => (document, own),
            _ => (document, another(own, document.len(), random)),
        };
        let there = &from[paragraph];
        // The second text is the span, or what is left without it.
        let (span, is_rest) = match (relation, sort) {
            (Relation::ParagraphsInSameDocument, _) => (0..there.len(), false),
            (Relation::SpanInParagraph, Sort::Right) => (first.clone(), true),
            (Relation::SpanInParagraph, _) => {
                let length = first.len().min(there.len() - 1);
                let start = random.random_range(0..=there.len() - length);
                (start..start + length, true)
            }
            (Relation::SpansInSameParagraph, Sort::Right) => {
                // Before the first span or behind it, as much room as there is.
                let rooms: Vec<Span> = [0..first.start, first.end..there.len()]
                    .into_iter()
                    .filter(|room| !room.is_empty())
                    .collect();
                let room = &rooms[random.random_range(0..rooms.len())];
                let within = self.span(room.len(), 0, random);
                (room.start + within.start..room.start + within.end, false)
            }
            (Relation::SpansInSameParagraph, _) => (self.span(there.len(), 0, random), false),
        };
        let mut second = if is_rest { without(there, &span) } else { there[span.clone()].join(" ") };
        let context = match is_rest {
            // The paragraph is there already.
            true if self.context != "first_paragraph" => String::new(),
            _ => self.context(from, paragraph, &span),
        };
        if self.context != "none" {
            second = format!("{second} {} {context}", self.separator).trim_end().to_owned();
        }
        (sentences[first].join(" "), second)
    }

    /// What the row's pair is: its document, its objective, its sort.
    fn plan(&self, row: usize, relations: &[Relation]) -> (usize, Relation, Sort) {
        let each = 1 + self.hard + self.easy;
        let (document, place) = (row / each, row % each);
        let relation = relations[document % relations.len()];
        let sort = match place {
            0 => Sort::Right,
            place if place <= self.hard && relation != Relation::ParagraphsInSameDocument => Sort::Hard,
            _ => Sort::Easy,
        };
        (document, relation, sort)
    }
}

impl Component for StructurePairs {
    type State = (Usable, Vec<Relation>);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let relations = self.relations()?;
        Ok((self.usable(cx)?, relations))
    }

    fn length(&self, (usable, _): &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(usable.rows.len() * (1 + self.hard + self.easy))
    }

    fn read(
        &self,
        (usable, relations): &Self::State,
        indices: &[i64],
        cx: &mut Call<'_>,
    ) -> Result<StructurePairsOutputs> {
        let length = usable.rows.len() * (1 + self.hard + self.easy);
        let (mut plans, mut each) = (Vec::new(), Vec::new());
        for index in indices {
            let row = crate::file::row(*index, length)?;
            let (document, relation, sort) = self.plan(row, relations);
            let mut random = usable.random(row);
            let other = if sort == Sort::Easy { usable.other(document, &mut random) } else { document };
            each.push((document, other));
            plans.push((relation, sort, random));
        }
        let documents = usable.documents(cx, self.source, &self.column, &each)?;
        let labels: Vec<i64> = plans.iter().map(|(_, sort, _)| i64::from(*sort == Sort::Right)).collect();
        let pairs: Vec<(String, String)> = plans
            .into_iter()
            .zip(&documents)
            .map(|((relation, sort, mut random), (own, other))| {
                self.pair(relation, sort, (own, other), &mut random)
            })
            .collect();
        let (first, second) = pairs.into_iter().unzip();
        Ok(StructurePairsOutputs { first, second, label: Tensor::f_from_slice(&labels)? })
    }
}

documents_component! {
    /// Groups of a premise and several candidates from documents: pre-training for models that read a question
    /// together with all of its candidates (MSPP).
    ///
    /// The premise is a sentence with others behind it; right is the text of 1 to `maximum_span` sentences that
    /// follows it in its paragraph. Of the text before it, as long, and of chunks of the document's other paragraphs, up to
    /// `hard` are wrong candidates; those of other documents fill up to `candidates`. Candidates are in random order,
    /// and follow from the run's seed and the row. That a text stands before the premise makes it wrong: the task is
    /// partly one of order.
    ///
    /// The texts of a group are the lines of `texts`, the premise first, for `text.slots`.
    ///
    /// # Paper
    /// Di Liello, Garg, Soldaini, Moschitti: Paragraph-based Transformer Pre-training for Multi-Sentence Inference, NAACL
    /// 2022.
    ///
    /// # Example
    /// ```mlm
    /// data documents = synthetic.topic_documents(documents: 40)
    /// data groups = text.structure_groups(source: documents, candidates: 3)
    /// ```
    #[component(
        data,
        name = "text.structure_groups",
        outputs(
            texts: "text[B]" = "the premise and its candidates, a line each",
            labels: "int[B, candidates]" = "1 where a candidate follows the premise, else 0",
        ),
        random,
        loader,
    )]
    pub struct StructureGroups {
        /// Candidates of a premise.
        #[param(default = 5, range = ">= 2")]
        pub candidates: usize,
        /// Sentences of a candidate at most.
        #[param(default = 2, range = ">= 1")]
        pub maximum_span: usize,
        /// Wrong candidates from the same document at most.
        #[param(default = 2)]
        pub hard: usize,
    }
}

impl StructureGroups {
    fn fits(&self, document: &Document) -> bool {
        document.iter().any(|sentences| sentences.len() > 1)
    }

    /// A chunk of a paragraph.
    fn chunk(&self, sentences: &[String], random: &mut impl RngExt) -> String {
        let length = random.random_range(1..=self.maximum_span.min(sentences.len()));
        let start = random.random_range(0..=sentences.len() - length);
        sentences[start..start + length].join(" ")
    }

    /// The premise, its candidates, and their labels.
    pub fn group(
        &self,
        document: &Document,
        other: &Document,
        random: &mut impl RngExt,
    ) -> (String, Vec<(String, i64)>) {
        let long: Vec<usize> = (0..document.len()).filter(|at| document[*at].len() > 1).collect();
        let own = long[random.random_range(0..long.len())];
        let sentences = &document[own];
        let premise = random.random_range(0..sentences.len() - 1);
        let length = random.random_range(1..=self.maximum_span.min(sentences.len() - premise - 1));
        let right = sentences[premise + 1..=premise + length].join(" ");
        let mut wrong = Vec::new();
        if premise > 0 {
            wrong.push(sentences[premise.saturating_sub(length)..premise].join(" "));
        }
        let others = document.iter().enumerate().filter(|(at, _)| *at != own);
        wrong.extend(others.map(|(_, sentences)| self.chunk(sentences, random)));
        for i in (1..wrong.len()).rev() {
            wrong.swap(i, random.random_range(0..=i));
        }
        wrong.truncate(self.hard.min(self.candidates - 1));
        while wrong.len() + 1 < self.candidates {
            let paragraph = &other[random.random_range(0..other.len())];
            wrong.push(self.chunk(paragraph, random));
        }
        let mut candidates: Vec<(String, i64)> = wrong.into_iter().map(|text| (text, 0)).collect();
        candidates.push((right, 1));
        candidates.shuffle(random);
        (sentences[premise].clone(), candidates)
    }
}

/// Texts as the lines of one.
fn lines<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.map(|text| text.replace('\n', " ")).collect::<Vec<_>>().join("\n")
}

impl Component for StructureGroups {
    type State = Usable;

    fn build(&self, cx: &mut Build<'_>) -> Result<Usable> {
        self.usable(cx)
    }

    fn length(&self, usable: &Usable, _: &mut Call<'_>) -> Result<usize> {
        Ok(usable.rows.len())
    }

    fn read(&self, usable: &Usable, indices: &[i64], cx: &mut Call<'_>) -> Result<StructureGroupsOutputs> {
        let (mut randoms, mut each) = (Vec::new(), Vec::new());
        for index in indices {
            let row = crate::file::row(*index, usable.rows.len())?;
            let mut random = usable.random(row);
            each.push((row, usable.other(row, &mut random)));
            randoms.push(random);
        }
        let documents = usable.documents(cx, self.source, &self.column, &each)?;
        let (mut texts, mut labels) = (Vec::new(), Vec::new());
        for ((own, other), mut random) in documents.iter().zip(randoms) {
            let (premise, candidates) = self.group(own, other, &mut random);
            let candidate = candidates.iter().map(|(text, _)| text.as_str());
            texts.push(lines([premise.as_str()].into_iter().chain(candidate)));
            labels.extend(candidates.iter().map(|(_, label)| *label));
        }
        let shape = [indices.len() as i64, self.candidates as i64];
        Ok(StructureGroupsOutputs { texts, labels: Tensor::f_from_slice(&labels)?.f_reshape(shape)? })
    }
}

/// Questions with candidates side by side, as groups for a model that reads several candidates together.
///
/// The rows of a question, those with its `key`, stand side by side in the source. They are dealt out in random order
/// into groups of `size`; what is missing in the last one are empty texts with the label -100. The order follows from
/// the run's seed.
///
/// # Paper
/// Di Liello, Garg, Soldaini, Moschitti: Paragraph-based Transformer Pre-training for Multi-Sentence Inference, NAACL
/// 2022, section 4.
///
/// # Example
/// ```mlm
/// data documents = synthetic.topic_documents(documents: 40)
/// data answers = synthetic.answer_candidates(documents: documents, questions: 10)
/// data groups = text.candidate_groups(source: answers, size: 3)
/// ```
#[component(
    data,
    name = "text.candidate_groups",
    outputs(
        texts: "text[B]" = "the question and its candidates, a line each",
        labels: "int[B, size]" = "labels of the candidates; -100 for none",
        question_id: "text[B]" = "the question's name",
    ),
    random,
    loader,
)]
pub struct CandidateGroups {
    /// A question and a candidate a row.
    #[param(component = "data")]
    pub source: Handle,
    /// Candidates in a group.
    #[param(default = 5, range = ">= 1")]
    pub size: usize,
    /// The source's column of questions.
    #[param(default = "question")]
    pub question: String,
    /// The source's column of candidates.
    #[param(default = "answer")]
    pub candidate: String,
    /// The source's column of labels.
    #[param(default = "label")]
    pub label: String,
    /// The source's column that names a question.
    #[param(default = "question_id")]
    pub key: String,
}

impl CandidateGroups {
    /// Groups of rows from the keys of all rows.
    pub fn groups(&self, keys: &[String], mut random: impl FnMut(usize) -> ChaCha8Rng) -> Vec<Vec<i64>> {
        let mut groups = Vec::new();
        let mut start = 0;
        for rows in keys.chunk_by(|one, other| one == other) {
            let mut places: Vec<i64> = (start as i64..(start + rows.len()) as i64).collect();
            places.shuffle(&mut random(start));
            groups.extend(places.chunks(self.size.max(1)).map(<[i64]>::to_vec));
            start += rows.len();
        }
        groups
    }
}

impl Component for CandidateGroups {
    type State = Vec<Vec<i64>>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let length = cx.length(self.source)?;
        let mut keys = Vec::with_capacity(length);
        for from in (0..length).step_by(CHUNK) {
            if cx.cancelled() {
                return Err(Error::cancelled());
            }
            let indices: Vec<i64> = (from as i64..(from + CHUNK).min(length) as i64).collect();
            keys.extend_from_slice(cx.read(self.source, &indices)?.texts(&self.key)?);
        }
        Ok(self.groups(&keys, |start| cx.rng("order", start)))
    }

    fn length(&self, groups: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(groups.len())
    }

    fn read(
        &self,
        groups: &Self::State,
        indices: &[i64],
        cx: &mut Call<'_>,
    ) -> Result<CandidateGroupsOutputs> {
        let chosen = indices
            .iter()
            .map(|index| crate::file::row(*index, groups.len()).map(|row| &groups[row]))
            .collect::<Result<Vec<_>>>()?;
        let places: Vec<i64> = chosen.iter().flat_map(|group| group.iter().copied()).collect();
        let rows = cx.read(self.source, &places)?;
        let (questions, candidates) = (rows.texts(&self.question)?, rows.texts(&self.candidate)?);
        let found: Vec<i64> = Vec::try_from(&rows.tensor(&self.label)?.f_to_kind(Kind::Int64)?)?;
        let keys = rows.texts(&self.key)?;
        let (mut texts, mut labels, mut key) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for group in chosen {
            let own = start..start + group.len();
            let missing = self.size - group.len();
            let candidate = candidates[own.clone()].iter().map(String::as_str);
            let all = [questions[start].as_str()].into_iter().chain(candidate);
            texts.push(lines(all.chain(std::iter::repeat_n("", missing))));
            labels.extend(found[own].iter().copied().chain(std::iter::repeat_n(-100, missing)));
            key.push(keys[start].clone());
            start += group.len();
        }
        let shape = [indices.len() as i64, self.size as i64];
        Ok(CandidateGroupsOutputs {
            texts,
            labels: Tensor::f_from_slice(&labels)?.f_reshape(shape)?,
            question_id: key,
        })
    }
}
