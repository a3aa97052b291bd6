//! Beam search, as transformers does it with early stopping off.

use crate::options::Options;
use crate::scores::penalised;
use crate::search::{Ended, Generated, Pen, Watch, Writer, numbers, wholes};
use tch::{Kind, Tensor};

/// The texts of one prompt that have ended, best first.
#[derive(Default)]
struct Finished {
    texts: Vec<Generated>,
    closed: bool,
}

impl Finished {
    fn add(&mut self, text: Generated, beams: usize) {
        let place = self.texts.partition_point(|other| other.score >= text.score);
        self.texts.insert(place, text);
        self.texts.truncate(beams);
    }
}

pub(crate) fn search<W: Writer>(
    mut pen: Pen<'_, W>,
    prompts: &[Vec<i64>],
    options: &Options,
    watch: &mut Watch<'_, W::Error>,
) -> Result<Vec<Generated>, W::Error> {
    let beams = options.beams;
    let penalty = |count: usize| (count.max(1) as f64).powf(options.length_penalty);
    let text = |tokens: Vec<i64>, prompt: usize, score: f64, ended: Ended| {
        let prompt = prompts[prompt].len();
        let score = score / penalty(tokens.len() - prompt);
        Generated { tokens, prompt, log_probabilities: Vec::new(), inserted: Vec::new(), score, ended }
    };
    let mut finished: Vec<Finished> = prompts.iter().map(|_| Finished::default()).collect();
    // Scores and tokens of the open texts, `beams` for each prompt. In the beginning all are the same: one counts.
    let mut scores: Vec<f64> =
        (0..prompts.len() * beams).map(|i| if i % beams == 0 { 0.0 } else { -1e9 }).collect();
    let mut texts: Vec<Vec<i64>> =
        prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt.clone(), beams)).collect();
    for step in 1..=options.new_tokens {
        let mut next = pen.writer.scores(&pen.rows)?;
        if step == 1 {
            next = pen.spread(next, beams)?;
        }
        let logarithms = next.f_log_softmax(-1, Kind::Float)?;
        let logarithms =
            penalised(&logarithms, &pen.rows.ids, pen.rows.mask.as_ref(), options.repetition_penalty)?;
        let vocabulary = logarithms.size2()?.1;
        let before: Vec<f32> = scores.iter().map(|score| *score as f32).collect();
        let before = Tensor::f_from_slice(&before)?.f_unsqueeze(1)?.f_to_device(logarithms.device())?;
        let all = logarithms.f_add(&before)?.f_view([prompts.len() as i64, beams as i64 * vocabulary])?;
        // As many that go on remain even if every beam has a way to end.
        let wanted = (beams * (1 + options.ends.len().max(1))).min(beams * vocabulary as usize);
        let (best, places) = all.f_topk(wanted as i64, 1, true, true)?;
        let (best, places) = (numbers(&best)?, wholes(&places)?);
        let (mut sources, mut tokens, mut next_scores) = (Vec::new(), Vec::new(), Vec::new());
        for (prompt, done) in finished.iter_mut().enumerate() {
            let start = prompts[prompt].len();
            let mut open = 0;
            for rank in 0..wanted {
                let (score, place) = (best[prompt * wanted + rank], places[prompt * wanted + rank]);
                let (row, token) = (prompt * beams + (place / vocabulary) as usize, place % vocabulary);
                let mut longer = texts[row].clone();
                longer.push(token);
                let ended = if options.ends.contains(&token) {
                    Some(Ended::Token)
                } else {
                    watch(prompt, &longer[start..])?.then_some(Ended::Watch)
                };
                if let Some(ended) = ended {
                    if rank < beams && !done.closed {
                        done.add(text(longer, prompt, score, ended), beams);
                    }
                } else if open < beams {
                    sources.push(row as i64);
                    tokens.push(token);
                    next_scores.push(score);
                    open += 1;
                }
            }
            for _ in open..beams {
                sources.push((prompt * beams) as i64);
                tokens.push(options.padding);
                next_scores.push(-1e9);
            }
            let likeliest = next_scores[prompt * beams] / penalty(step);
            done.closed |=
                done.texts.len() == beams && done.texts.last().is_some_and(|worst| worst.score >= likeliest);
        }
        texts = sources.iter().map(|row| texts[*row as usize].clone()).collect();
        texts.iter_mut().zip(&tokens).for_each(|(text, token)| text.push(*token));
        scores = next_scores;
        if step == options.new_tokens || finished.iter().all(|done| done.closed) {
            break;
        }
        pen.choose(&sources)?;
        pen.add(&tokens)?;
    }
    for (prompt, done) in finished.iter_mut().enumerate().filter(|(_, done)| !done.closed) {
        for row in prompt * beams..(prompt + 1) * beams {
            done.add(text(texts[row].clone(), prompt, scores[row], Ended::Length), beams);
        }
    }
    Ok(finished.into_iter().flat_map(|done| done.texts.into_iter().take(options.samples)).collect())
}
