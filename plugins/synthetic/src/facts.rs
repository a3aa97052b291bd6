//! Worlds of facts that nobody knows: each question has one of its own.

use std::fmt::Write;
use zoo_plugin::prelude::*;

/// Facts `entity relation: entity`, all of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    first: usize,
    relations: usize,
    /// By entity, then relation.
    values: Vec<usize>,
}

/// Which entities and relations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The first entity's number.
    pub first: usize,
    /// How many entities.
    pub entities: usize,
    /// How many relations.
    pub relations: usize,
}

/// A question with the text that answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub prompt: String,
    /// Calls, results and the answer, as they should be written.
    pub response: String,
    /// The answer alone.
    pub answer: String,
    /// The facts that it is asked of, a line each.
    pub facts: String,
    /// Masks or hops.
    pub level: i64,
}

impl Names {
    /// Facts drawn at random: every entity has a value of every relation.
    pub fn facts(self, random: &mut impl Rng) -> Facts {
        let value = |_| self.first + random.random_range(0..self.entities);
        let values = (0..self.entities * self.relations).map(value).collect();
        Facts { first: self.first, relations: self.relations, values }
    }

    fn key(self, random: &mut impl Rng) -> (usize, usize) {
        (self.first + random.random_range(0..self.entities), random.random_range(0..self.relations))
    }

    /// A list of facts with masks for their values: `Q e1 r1 [MASK] e2 r2 [MASK]`.
    pub fn masked(self, masks: usize, random: &mut impl Rng) -> Question {
        let facts = self.facts(random);
        let mut keys: Vec<(usize, usize)> = Vec::new();
        while keys.len() < masks.min(self.entities * self.relations) {
            let key = self.key(random);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let mut prompt = "Q".to_owned();
        let (mut response, mut answers) = (String::new(), Vec::new());
        for (entity, relation) in &keys {
            let value = facts.value(*entity, *relation);
            let _ = write!(prompt, " e{entity} r{relation} [MASK]");
            let _ = write!(response, "SEARCH e{entity} r{relation} INFO e{value} ");
            answers.push(format!("e{value}"));
        }
        let answer = answers.join(" ");
        let _ = write!(response, "ANS {answer} END");
        Question { prompt, response, answer, facts: facts.text(), level: keys.len() as i64 }
    }

    /// A fact about what another fact names: `Q e1 r1 r2 [MASK]`.
    pub fn two_hops(self, random: &mut impl Rng) -> Question {
        let facts = self.facts(random);
        let (entity, one) = self.key(random);
        let two = random.random_range(0..self.relations);
        let middle = facts.value(entity, one);
        let value = facts.value(middle, two);
        Question {
            prompt: format!("Q e{entity} r{one} r{two} [MASK]"),
            response: format!(
                "SEARCH e{entity} r{one} INFO e{middle} SEARCH e{middle} r{two} INFO e{value} ANS e{value} END"
            ),
            answer: format!("e{value}"),
            facts: facts.text(),
            level: 2,
        }
    }

    fn check(self) -> Result<()> {
        if self.entities * self.relations == 0 {
            return Err(Error::new("a world has an entity and a relation at least").at("entities"));
        }
        Ok(())
    }
}

impl Facts {
    /// The value of an entity's relation.
    pub fn value(&self, entity: usize, relation: usize) -> usize {
        self.values[(entity - self.first) * self.relations + relation]
    }

    /// `e1 r0: e7`, a line each.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.values.len() * 11);
        for (place, value) in self.values.iter().enumerate() {
            let (entity, relation) = (self.first + place / self.relations, place % self.relations);
            let _ = writeln!(text, "e{entity} r{relation}: e{value}");
        }
        text
    }
}

fn texts(questions: &[Question], of: impl Fn(&Question) -> String) -> Vec<String> {
    questions.iter().map(of).collect()
}

fn levels(questions: &[Question]) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(&questions.iter().map(|question| question.level).collect::<Vec<_>>())?)
}

fn whole(question: &Question) -> String {
    format!("{} {}", question.prompt, question.response)
}

/// Seeds of the items at these indices.
fn seeds<'s>(seeds: &'s [u64], indices: &'s [i64]) -> Result<Vec<u64>> {
    Ok(crate::register_language::rows(seeds, indices)?.into_iter().copied().collect())
}

/// Facts with masks for what they say, which a tool knows: retrieval-augmented mask prediction in a made-up
/// world.
///
/// An item is `Q e3 r1 [MASK] e7 r0 [MASK]`: some entities with relations, the values masked. Its facts are its
/// own, drawn at random, so that nothing can be known without asking. The response asks `SEARCH e3 r1 INFO e9` for
/// each mask and then answers `ANS e9 e2 END`. The number of masks is uniform between two bounds, which may
/// vary in time: a curriculum from one mask to four.
///
/// # Paper
/// Wu et al.: MaskSearch, arXiv 2505.20285, section 3.1.
///
/// # Example
/// ```mlm
/// data items = synthetic.masked_facts(items: 1000)
/// ```
#[component(
    data,
    name = "synthetic.masked_facts",
    outputs(
        prompt: "text[B]" = "what is asked",
        response: "text[B]" = "calls, results and the answer, as they should be written",
        answer: "text[B]" = "the masked values",
        facts: "text[B]" = "lines `entity relation: entity`, for a tool to look into",
        text: "text[B]" = "prompt and response",
        masks: "int[B]" = "how many masks",
    ),
    random,
)]
pub struct MaskedFacts {
    /// Number of items.
    #[param(default = 10_000, range = ">= 1")]
    pub items: usize,
    /// Number of entities.
    #[param(default = 30, range = "[1, 10000]")]
    pub entities: usize,
    /// Number of relations.
    #[param(default = 5, range = "[1, 1000]")]
    pub relations: usize,
    /// The first entity's number: worlds of other entities have other names.
    #[param(default = 0)]
    pub first_entity: usize,
    /// Fewest masks.
    #[param(default = 1, range = "[1, 16]", varies)]
    pub minimum_masks: Varying,
    /// Most masks.
    #[param(default = 4, range = "[1, 16]", varies)]
    pub maximum_masks: Varying,
}

impl Component for MaskedFacts {
    type State = Vec<u64>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Vec<u64>> {
        Names { first: self.first_entity, entities: self.entities, relations: self.relations }.check()?;
        Ok((0..self.items).map(|item| cx.seed("item", item)).collect())
    }

    fn length(&self, items: &Vec<u64>, _: &mut Call<'_>) -> Result<usize> {
        Ok(items.len())
    }

    fn read(&self, items: &Vec<u64>, indices: &[i64], cx: &mut Call<'_>) -> Result<MaskedFactsOutputs> {
        let names = Names { first: self.first_entity, entities: self.entities, relations: self.relations };
        let bound = |of: &Varying, name: &str| of.at(name, cx).round().max(1.0) as usize;
        let least = bound(&self.minimum_masks, "minimum_masks");
        let most = bound(&self.maximum_masks, "maximum_masks");
        if least > most {
            let text = format!("at least {least} masks and at most {most} is never");
            return Err(Error::new(text).at("minimum_masks"));
        }
        let question = |seed: u64| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let masks = random.random_range(least..=most);
            names.masked(masks, &mut random)
        };
        let questions: Vec<Question> = seeds(items, indices)?.into_iter().map(question).collect();
        Ok(MaskedFactsOutputs {
            prompt: texts(&questions, |q| q.prompt.clone()),
            response: texts(&questions, |q| q.response.clone()),
            answer: texts(&questions, |q| q.answer.clone()),
            facts: texts(&questions, |q| q.facts.clone()),
            text: texts(&questions, whole),
            masks: levels(&questions)?,
        })
    }
}

/// Questions over two facts, which a tool knows: multi-hop question answering in a made-up world.
///
/// A question is `Q e3 r1 r4 [MASK]`: the value of `r4` of what is the value of `r1` of `e3`. Facts are the
/// question's own, as in `synthetic.masked_facts`. The response asks for one fact, then for the other with what it
/// was told, and answers.
///
/// # Example
/// ```mlm
/// data questions = synthetic.two_hop_questions(items: 256)
/// ```
#[component(
    data,
    name = "synthetic.two_hop_questions",
    outputs(
        prompt: "text[B]" = "what is asked",
        response: "text[B]" = "calls, results and the answer, as they should be written",
        answer: "text[B]" = "the value that is asked for",
        facts: "text[B]" = "lines `entity relation: entity`, for a tool to look into",
        text: "text[B]" = "prompt and response",
        hops: "int[B]" = "facts that are needed",
    ),
    random,
)]
pub struct TwoHopQuestions {
    /// Number of questions.
    #[param(default = 1000, range = ">= 1")]
    pub items: usize,
    /// Number of entities.
    #[param(default = 30, range = "[1, 10000]")]
    pub entities: usize,
    /// Number of relations.
    #[param(default = 5, range = "[1, 1000]")]
    pub relations: usize,
    /// The first entity's number: worlds of other entities have other names.
    #[param(default = 0)]
    pub first_entity: usize,
}

impl Component for TwoHopQuestions {
    type State = Vec<u64>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Vec<u64>> {
        Names { first: self.first_entity, entities: self.entities, relations: self.relations }.check()?;
        Ok((0..self.items).map(|item| cx.seed("item", item)).collect())
    }

    fn length(&self, items: &Vec<u64>, _: &mut Call<'_>) -> Result<usize> {
        Ok(items.len())
    }

    fn read(&self, items: &Vec<u64>, indices: &[i64], _: &mut Call<'_>) -> Result<TwoHopQuestionsOutputs> {
        let names = Names { first: self.first_entity, entities: self.entities, relations: self.relations };
        let question = |seed: u64| names.two_hops(&mut ChaCha8Rng::seed_from_u64(seed));
        let questions: Vec<Question> = seeds(items, indices)?.into_iter().map(question).collect();
        Ok(TwoHopQuestionsOutputs {
            prompt: texts(&questions, |q| q.prompt.clone()),
            response: texts(&questions, |q| q.response.clone()),
            answer: texts(&questions, |q| q.answer.clone()),
            facts: texts(&questions, |q| q.facts.clone()),
            text: texts(&questions, whole),
            hops: levels(&questions)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(facts: &str, key: &str) -> String {
        let line = facts.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
        line.unwrap().to_owned()
    }

    const NAMES: Names = Names { first: 10, entities: 20, relations: 5 };

    #[test]
    fn masked_items_are_their_facts() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for masks in 1..=4 {
            let item = NAMES.masked(masks, &mut random);
            assert_eq!(item.prompt.matches("[MASK]").count(), masks);
            assert_eq!((item.level, item.facts.lines().count()), (masks as i64, 100));
            // The answer with its masks put back is the prompt, and facts say the answer.
            let answers: Vec<&str> = item.answer.split(' ').collect();
            let words: Vec<&str> = item.prompt.split(' ').collect();
            for (place, key) in words[1..].chunks(3).enumerate() {
                assert_eq!(key[2], "[MASK]");
                let key = format!("{} {}", key[0], key[1]);
                assert_eq!(looked_up(&item.facts, &key), answers[place]);
                assert!(item.response.contains(&format!("SEARCH {key} INFO {}", answers[place])));
            }
            assert!(item.response.ends_with(&format!("ANS {} END", item.answer)));
        }
    }

    #[test]
    fn two_hops_lead_to_the_answer_within_the_worlds_names() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..50 {
            let item = NAMES.two_hops(&mut random);
            let words: Vec<&str> = item.prompt.split(' ').collect();
            let middle = looked_up(&item.facts, &format!("{} {}", words[1], words[2]));
            assert_eq!(looked_up(&item.facts, &format!("{middle} {}", words[3])), item.answer);
            for word in item.facts.split([' ', ':', '\n']).filter(|word| word.starts_with('e')) {
                assert!((10..30).contains(&word[1..].parse::<usize>().unwrap()));
            }
        }
    }
}
