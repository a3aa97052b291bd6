//! Documents whose words tell a topic, paragraphs whose words tell a sub-topic, and questions about them.

use crate::register_language::rows;
use rand::RngExt;
use serde::Deserialize;
use zoo_plugin::prelude::*;

/// Question words that there are.
const QUESTION_WORDS: usize = 6;

/// Sizes of the language of topics.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct TopicLanguage {
    /// Topics of documents.
    pub topics: usize,
    /// Sub-topics of a topic: a paragraph has one.
    pub subtopics: usize,
    /// Classes of words, which follow each other in a cycle.
    pub classes: usize,
    /// Probability that a word is of the class after its predecessor's; else of any.
    pub chain: f64,
    /// General words of a class.
    pub general_words: usize,
    /// Words of a class and a topic.
    pub topic_words: usize,
    /// Words of a class and a sub-topic.
    pub subtopic_words: usize,
    /// Share of words that are of the document's topic.
    pub topic_share: f64,
    /// Share of words that are of the paragraph's sub-topic.
    pub subtopic_share: f64,
    /// Words of a sentence.
    pub sentence_length: usize,
    /// Sentences of a paragraph.
    pub sentences: usize,
    /// Paragraphs of a document, each of another sub-topic.
    pub paragraphs: usize,
}

/// A sentence: its words, and the class of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// In order.
    pub words: Vec<String>,
    /// Of each word.
    pub classes: Vec<usize>,
}

impl TopicLanguage {
    /// Refuses sizes that no document could be made of.
    pub fn check(&self) -> Result<()> {
        if self.topic_share + self.subtopic_share > 1.0 + 1e-9 {
            let text =
                format!("{} and {} of the words are more than all", self.topic_share, self.subtopic_share);
            return Err(Error::new(text)
                .at("subtopic_share")
                .help("`topic_share` and `subtopic_share` are at most 100%"));
        }
        if self.paragraphs > self.subtopics {
            let text = format!("{} paragraphs and {} sub-topics", self.paragraphs, self.subtopics);
            return Err(Error::new(text).at("paragraphs").help("every paragraph has a sub-topic of its own"));
        }
        Ok(())
    }

    /// A sentence about a sub-topic of a topic.
    pub fn sentence(&self, topic: usize, subtopic: usize, length: usize, random: &mut impl RngExt) -> Words {
        let mut made = Words::default();
        let mut class = random.random_range(0..self.classes);
        for _ in 0..length {
            let draw = random.random::<f64>();
            let word = if draw < self.subtopic_share {
                format!("sub{topic}_{subtopic}_{class}_{}", random.random_range(0..self.subtopic_words))
            } else if draw < self.subtopic_share + self.topic_share {
                format!("topic{topic}_{class}_{}", random.random_range(0..self.topic_words))
            } else {
                format!("word{class}_{}", random.random_range(0..self.general_words))
            };
            made.words.push(word);
            made.classes.push(class);
            let follows = random.random::<f64>() < self.chain;
            class = if follows { (class + 1) % self.classes } else { random.random_range(0..self.classes) };
        }
        made
    }

    /// The sentences of a document, paragraph by paragraph.
    pub fn document(&self, random: &mut impl RngExt) -> (usize, Vec<(usize, Vec<Words>)>) {
        let topic = random.random_range(0..self.topics);
        let mut subtopics: Vec<usize> = (0..self.subtopics).collect();
        for i in 0..self.paragraphs {
            let other = random.random_range(i..self.subtopics);
            subtopics.swap(i, other);
        }
        let paragraphs = subtopics[..self.paragraphs]
            .iter()
            .map(|subtopic| {
                let sentence = |_| self.sentence(topic, *subtopic, self.sentence_length, random);
                (*subtopic, (0..self.sentences).map(sentence).collect())
            })
            .collect();
        (topic, paragraphs)
    }
}

/// A row of documents, paragraphs or sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicText {
    text: String,
    classes: String,
    topic: i64,
    subtopic: i64,
}

/// Documents of a made-up language whose words tell what they are about.
///
/// A document has a topic, each of its paragraphs another sub-topic of it, and every word a class: words of class c
/// are mostly followed by words of class c + 1, the first one after the last. Of each class there are general words, words
/// of every topic and words of every sub-topic; of a paragraph's words a share is of its topic, a share of its
/// sub-topic, and the others are general. Sentences of a document are lines, and an empty line stands between
/// paragraphs. Documents follow from the run's seed; the language is the same under every seed.
///
/// What can be found out about a text: its topic, and, word by word, classes. With `unit` its rows are paragraphs or
/// sentences, in the order of the documents.
///
/// # Example
/// ```mlm
/// data documents = synthetic.topic_documents(documents: 100)
/// ```
#[component(
    data,
    name = "synthetic.topic_documents",
    outputs(
        text: "text[B]" = "a document, a paragraph or a sentence",
        tags: "text[B]" = "the class of each word, a number, between single spaces",
        label: "int[B]" = "the document's topic",
        subtopic: "int[B]" = "the paragraph's sub-topic; of a document -1",
    ),
    random,
)]
pub struct TopicDocuments {
    /// Number of documents.
    #[param(default = 1000, range = ">= 1")]
    pub documents: usize,
    /// What a row is.
    #[param(default = "document", one_of("document", "paragraph", "sentence"))]
    pub unit: String,
    /// Topics.
    #[param(default = 10, range = "[1, 1000]")]
    pub topics: usize,
    /// Sub-topics of each topic.
    #[param(default = 4, range = "[1, 1000]")]
    pub subtopics: usize,
    /// Classes of words.
    #[param(default = 4, range = "[1, 100]")]
    pub classes: usize,
    /// Probability that a word is of the class after its predecessor's; else of any.
    #[param(default = 0.8, range = "[0%, 100%]", kind = "fraction")]
    pub chain: f64,
    /// General words of each class.
    #[param(default = 20, range = "[1, 1000]")]
    pub general_words: usize,
    /// Words of each class and topic.
    #[param(default = 2, range = "[1, 1000]")]
    pub topic_words: usize,
    /// Words of each class and sub-topic.
    #[param(default = 2, range = "[1, 1000]")]
    pub subtopic_words: usize,
    /// Share of the words that are of the topic.
    #[param(default = 0.15, range = "[0%, 100%]", kind = "fraction")]
    pub topic_share: f64,
    /// Share of the words that are of the sub-topic.
    #[param(default = 0.35, range = "[0%, 100%]", kind = "fraction")]
    pub subtopic_share: f64,
    /// Words of a sentence.
    #[param(default = 8, range = "[1, 1000]")]
    pub sentence_length: usize,
    /// Sentences of a paragraph.
    #[param(default = 4, range = "[1, 1000]")]
    pub sentences: usize,
    /// Paragraphs of a document.
    #[param(default = 3, range = "[1, 1000]")]
    pub paragraphs: usize,
}

impl TopicDocuments {
    /// The language, its sizes checked.
    pub fn language(&self) -> Result<TopicLanguage> {
        let language = TopicLanguage {
            topics: self.topics,
            subtopics: self.subtopics,
            classes: self.classes,
            chain: self.chain,
            general_words: self.general_words,
            topic_words: self.topic_words,
            subtopic_words: self.subtopic_words,
            topic_share: self.topic_share,
            subtopic_share: self.subtopic_share,
            sentence_length: self.sentence_length,
            sentences: self.sentences,
            paragraphs: self.paragraphs,
        };
        language.check()?;
        Ok(language)
    }

    fn rows(&self, language: &TopicLanguage, random: &mut impl RngExt) -> Vec<TopicText> {
        let (topic, paragraphs) = language.document(random);
        let text = |sentence: &Words| sentence.words.join(" ");
        let tags =
            |sentence: &Words| sentence.classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let joined = |sentences: &[Words], each: &dyn Fn(&Words) -> String, between: &str| {
            sentences.iter().map(each).collect::<Vec<_>>().join(between)
        };
        let topic = topic as i64;
        match self.unit.as_str() {
            "sentence" => paragraphs
                .iter()
                .flat_map(|(subtopic, sentences)| sentences.iter().map(move |sentence| (subtopic, sentence)))
                .map(|(subtopic, sentence)| TopicText {
                    text: text(sentence),
                    classes: tags(sentence),
                    topic,
                    subtopic: *subtopic as i64,
                })
                .collect(),
            "paragraph" => paragraphs
                .iter()
                .map(|(subtopic, sentences)| TopicText {
                    text: joined(sentences, &text, "\n"),
                    classes: joined(sentences, &tags, " "),
                    topic,
                    subtopic: *subtopic as i64,
                })
                .collect(),
            _ => {
                let all = |each: &dyn Fn(&Words) -> String, within: &str, between: &str| {
                    let paragraph = |(_, sentences): &(usize, Vec<Words>)| joined(sentences, each, within);
                    paragraphs.iter().map(paragraph).collect::<Vec<_>>().join(between)
                };
                let (text, classes) = (all(&text, "\n", "\n\n"), all(&tags, " ", " "));
                vec![TopicText { text, classes, topic, subtopic: -1 }]
            }
        }
    }
}

impl Component for TopicDocuments {
    type State = Vec<TopicText>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let language = self.language()?;
        Ok((0..self.documents)
            .flat_map(|document| self.rows(&language, &mut cx.rng("document", document)))
            .collect())
    }

    fn length(&self, texts: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(texts.len())
    }

    fn read(&self, texts: &Self::State, indices: &[i64], _: &mut Call<'_>) -> Result<TopicDocumentsOutputs> {
        let texts = rows(texts, indices)?;
        let numbers = |of: fn(&TopicText) -> i64| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(&texts.iter().map(|text| of(text)).collect::<Vec<_>>())?)
        };
        Ok(TopicDocumentsOutputs {
            text: texts.iter().map(|text| text.text.clone()).collect(),
            tags: texts.iter().map(|text| text.classes.clone()).collect(),
            label: numbers(|text| text.topic)?,
            subtopic: numbers(|text| text.subtopic)?,
        })
    }
}

/// Questions with candidate answers, of which the right ones are about what the question is about.
///
/// A question is question words and a sentence's worth of words of a sub-topic, half as many as a sentence has. Its right
/// answer is another sentence of that sub-topic; `same_document` of the wrong ones are sentences of other paragraphs of the
/// same document, so of the same topic, the others of other documents and never of the sub-topic. A row is a question
/// and one candidate; a question's candidates stand side by side, in random order. Questions follow from the run's
/// seed, and their documents are none of those they are made like.
///
/// # Paper
/// After answer sentence selection as Garg, Vu, Moschitti have it: TANDA, AAAI 2020 (ASNQ, whose wrong candidates are
/// sentences of the same document, too).
///
/// # Example
/// ```mlm
/// data documents = synthetic.topic_documents(documents: 100)
/// data answers = synthetic.answer_candidates(documents: documents, questions: 20)
/// ```
#[component(
    data,
    name = "synthetic.answer_candidates",
    outputs(
        question: "text[B]" = "the question",
        answer: "text[B]" = "a candidate",
        label: "int[B]" = "1 where it is right, else 0",
        question_id: "text[B]" = "a name of the question",
    ),
    random,
)]
pub struct AnswerCandidates {
    /// Documents of the language whose sizes questions take over.
    #[param(component = "data")]
    pub documents: Handle,
    /// Number of questions.
    #[param(default = 50, range = ">= 1")]
    pub questions: usize,
    /// Candidates of a question, one of them right.
    #[param(default = 6, range = ">= 2")]
    pub candidates: usize,
    /// Wrong candidates from the document of the right one.
    #[param(default = 2, range = ">= 0")]
    pub same_document: usize,
}

/// A question and a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question.
    pub question: String,
    /// The candidate.
    pub candidate: String,
    /// Whether it is right.
    pub label: i64,
    /// The question's number.
    pub number: usize,
}

impl AnswerCandidates {
    /// A question with all of its candidates.
    pub fn question(&self, language: &TopicLanguage, number: usize, random: &mut impl RngExt) -> Vec<Answer> {
        let (topic, paragraphs) = language.document(random);
        let of = random.random_range(0..paragraphs.len());
        let subtopic = paragraphs[of].0;
        let about = language.sentence(topic, subtopic, language.sentence_length.div_ceil(2), random);
        let ask = |random: &mut dyn Rng| format!("ask{}", random.random_range(0..QUESTION_WORDS));
        let question = format!("{} {} {}", ask(random), ask(random), about.words.join(" "));
        let any = |sentences: &[Words], random: &mut dyn Rng| {
            sentences[random.random_range(0..sentences.len())].words.join(" ")
        };
        let mut candidates = vec![(any(&paragraphs[of].1, random), 1)];
        for _ in 0..self.same_document {
            // Any paragraph but the right one.
            let other = (of + random.random_range(1..paragraphs.len())) % paragraphs.len();
            candidates.push((any(&paragraphs[other].1, random), 0));
        }
        while candidates.len() < self.candidates {
            let (other, paragraphs) = language.document(random);
            let (own, sentences) = &paragraphs[random.random_range(0..paragraphs.len())];
            if (other, *own) != (topic, subtopic) {
                candidates.push((any(sentences, random), 0));
            }
        }
        for i in (1..candidates.len()).rev() {
            candidates.swap(i, random.random_range(0..=i));
        }
        let row = |(candidate, label)| Answer { question: question.clone(), candidate, label, number };
        candidates.into_iter().map(row).collect()
    }

    /// Refuses numbers of candidates that cannot be.
    pub fn check(&self, language: &TopicLanguage) -> Result<()> {
        language.check()?;
        if self.same_document + 1 > self.candidates {
            let text = format!(
                "of {} candidates one is right and {} are of its document",
                self.candidates, self.same_document
            );
            return Err(Error::new(text).at("same_document"));
        }
        let alone = language.paragraphs < 2 && self.same_document > 0;
        if alone || language.topics * language.subtopics < 2 {
            let text = "wrong candidates need another paragraph and another sub-topic";
            return Err(Error::new(text).at("documents").help("give the language two of each at least"));
        }
        Ok(())
    }
}

impl Component for AnswerCandidates {
    type State = Vec<Answer>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let description = cx.describe(self.documents)?;
        if description.component != "synthetic.topic_documents" {
            let text = format!("`{}` is a {}", description.name, description.component);
            return Err(Error::new(text).at("documents").help("name a `synthetic.topic_documents`"));
        }
        let language: TopicLanguage =
            serde_json::from_value(serde_json::Value::Object(description.parameters))?;
        self.check(&language)?;
        Ok((0..self.questions)
            .flat_map(|number| self.question(&language, number, &mut cx.rng("question", number)))
            .collect())
    }

    fn length(&self, answers: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(answers.len())
    }

    fn read(
        &self,
        answers: &Self::State,
        indices: &[i64],
        _: &mut Call<'_>,
    ) -> Result<AnswerCandidatesOutputs> {
        let answers = rows(answers, indices)?;
        Ok(AnswerCandidatesOutputs {
            question: answers.iter().map(|answer| answer.question.clone()).collect(),
            answer: answers.iter().map(|answer| answer.candidate.clone()).collect(),
            label: Tensor::f_from_slice(&answers.iter().map(|answer| answer.label).collect::<Vec<_>>())?,
            question_id: answers.iter().map(|answer| format!("question {}", answer.number)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]
    use super::*;
    use rand::SeedableRng;

    fn documents(unit: &str) -> TopicDocuments {
        TopicDocuments {
            documents: 1,
            unit: unit.to_owned(),
            topics: 5,
            subtopics: 4,
            classes: 4,
            chain: 0.8,
            general_words: 20,
            topic_words: 2,
            subtopic_words: 2,
            topic_share: 0.15,
            subtopic_share: 0.35,
            sentence_length: 8,
            sentences: 4,
            paragraphs: 3,
        }
    }

    fn of(unit: &str, seed: u64) -> Vec<TopicText> {
        let documents = documents(unit);
        documents.rows(&documents.language().unwrap(), &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn documents_are_paragraphs_of_sentences_of_words_with_classes() {
        let (mut chained, mut all, mut own) = (0.0, 0.0, 0.0);
        for seed in 0..100 {
            let document = of("document", seed).remove(0);
            let paragraphs: Vec<&str> = document.text.split("\n\n").collect();
            assert_eq!(paragraphs.len(), 3);
            let rows = of("paragraph", seed);
            assert_eq!(rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), paragraphs);
            let sentences = of("sentence", seed);
            assert_eq!(sentences.len(), 12);
            assert_eq!(sentences[4].text, paragraphs[1].lines().next().unwrap());
            let subtopics: std::collections::BTreeSet<i64> = rows.iter().map(|row| row.subtopic).collect();
            assert_eq!((subtopics.len(), document.subtopic), (3, -1));
            for sentence in &sentences {
                let classes: Vec<usize> =
                    sentence.classes.split(' ').map(|class| class.parse().unwrap()).collect();
                assert_eq!((sentence.text.split(' ').count(), classes.len()), (8, 8));
                for pair in classes.windows(2) {
                    chained += f64::from(u8::from((pair[0] + 1) % 4 == pair[1]));
                    all += 1.0;
                }
                let word = format!("sub{}_{}_", sentence.topic, sentence.subtopic);
                own += sentence.text.split(' ').filter(|found| found.starts_with(&word)).count() as f64;
            }
        }
        // 8 and a quarter of 2 in ten follow; a share of .35 of 9600 words.
        assert!((chained / all - 0.85_f64).abs() < 0.02, "{chained} of {all}");
        assert!((own / 9600.0_f64 - 0.35).abs() < 0.02, "{own}");
    }

    #[test]
    fn one_candidate_is_about_what_the_question_is_about() {
        let language = documents("document").language().unwrap();
        let answers =
            AnswerCandidates { documents: Handle(1), questions: 1, candidates: 6, same_document: 2 };
        answers.check(&language).unwrap();
        let about = |text: &str| {
            text.split(' ')
                .find_map(|word| word.strip_prefix("sub"))
                .map(|rest| rest.split('_').take(2).collect::<Vec<_>>().join("_"))
        };
        let (mut places, mut same_topic) = ([0; 6], 0);
        for seed in 0..300 {
            let rows = answers.question(&language, 7, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!((rows.len(), rows.iter().map(|row| row.label).sum::<i64>()), (6, 1));
            let Some(asked) = about(&rows[0].question) else { continue };
            for (place, row) in rows.iter().enumerate() {
                assert!(row.question.starts_with("ask") && row.number == 7);
                places[place] += row.label;
                let Some(told) = about(&row.candidate) else { continue };
                assert_eq!(told == asked, row.label == 1, "{row:?}");
                same_topic +=
                    usize::from(row.label == 0 && told.split('_').next() == asked.split('_').next());
            }
        }
        assert!(places.iter().all(|count| (20..80).contains(count)), "{places:?}");
        assert!(same_topic > 400, "{same_topic}");
        let none = AnswerCandidates { same_document: 6, ..answers };
        assert_eq!(none.check(&language).unwrap_err().at, "same_document");
        let alone = TopicLanguage { paragraphs: 1, ..language };
        assert_eq!(AnswerCandidates { same_document: 1, ..none }.check(&alone).unwrap_err().at, "documents");
        let many = TopicDocuments { paragraphs: 5, ..documents("document") };
        assert_eq!(many.language().unwrap_err().at, "paragraphs");
        let shares = TopicDocuments { topic_share: 0.7, ..documents("document") };
        assert_eq!(shares.language().unwrap_err().at, "subtopic_share");
    }
}
