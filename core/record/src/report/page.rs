//! The page around everything, and its order.

use super::facts::Facts;
use super::text::{bytes, counted, digits, duration, escape, paragraphs, spaced, with_code};
use super::{artifacts, curves, environment, tables, verdict};
use crate::environment::utc;
use crate::{Event, RunState};
use std::fmt::Write;
use zoo_statistics::Outcome;

const STYLE: &str = include_str!("style.css");

pub(super) fn page(facts: &Facts) -> String {
    let paper = &facts.experiment.paper;
    let name = if paper.name.is_empty() { facts.experiment.recipe.as_str() } else { paper.name.as_str() };
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <title>{}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(name),
        escape(&headline(facts).1)
    );
    header(&mut html, facts, name);
    banner(&mut html, facts);
    section(&mut html, "claims", "Claims", &verdict::claims(facts));
    problems(&mut html, facts);
    section(&mut html, "results", "Results", &tables::metrics(facts));
    section(&mut html, "curves", "Curves", &curves::curves(facts));
    section(&mut html, "artifacts", "Artifacts", &artifacts::artifacts(facts));
    section(&mut html, "cost", "Cost", &tables::cost(facts));
    section(&mut html, "again", "Run it again", &environment::commands(facts));
    section(&mut html, "recipe", "Recipe", &environment::recipe(facts));
    section(&mut html, "environment", "Environment", &environment::environment(facts));
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn section(html: &mut String, id: &str, title: &str, body: &str) {
    if !body.is_empty() {
        let _ = writeln!(html, "<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>");
    }
}

fn header(html: &mut String, facts: &Facts, name: &str) {
    let experiment = &facts.experiment;
    let paper = &experiment.paper;
    let _ = writeln!(html, "<header>\n<p class=\"kicker\">{}</p>", escape(name));
    let title = if paper.title.is_empty() { name } else { &paper.title };
    let _ = writeln!(html, "<h1>{}</h1>", escape(title));
    let mut line = Vec::new();
    line.push(format!("recipe <code>{}</code>", escape(&experiment.recipe)));
    match &experiment.profile {
        Some(profile) => line.push(format!("profile <strong>{}</strong>", escape(profile))),
        None => line.push("no profile".to_owned()),
    }
    line.push(format!(
        "{} × {}",
        counted(experiment.arms.len(), "arm"),
        counted(experiment.seeds as usize, "seed")
    ));
    if let Some(started) = facts.started() {
        line.push(escape(&utc(started)));
    }
    let seconds: f64 = facts.finished.iter().map(|done| done.seconds).sum();
    if seconds > 0.0 {
        line.push(format!("{} of computing", duration(seconds)));
    }
    if let Some(device) = facts.environment.as_ref().map(|e| &e.device).filter(|d| !d.name.is_empty()) {
        let model = if device.model.is_empty() { String::new() } else { format!(" ({})", device.model) };
        line.push(escape(&format!("{}{model}", device.name)));
    }
    // The number is shown only where it is one: it becomes part of an address.
    let is_number = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '/' || c == '-';
    if !paper.arxiv.is_empty() && paper.arxiv.chars().all(is_number) {
        line.push(format!("<a href=\"https://arxiv.org/abs/{0}\">arXiv:{0}</a>", paper.arxiv));
    }
    let _ = writeln!(html, "<p class=\"facts\">{}</p>", line.join(" <span class=\"dot\">·</span> "));
    for paragraph in paragraphs(&paper.summary) {
        let _ = writeln!(html, "<p class=\"summary\">{}</p>", with_code(&paragraph));
    }
    html.push_str("</header>\n");
}

/// The class of the banner and the answer in one line.
pub(super) fn headline(facts: &Facts) -> (&'static str, String) {
    let count = |outcome| facts.claims.iter().filter(|claim| claim.outcome == outcome).count();
    let (holds, fails, undecided) = (count(Outcome::Holds), count(Outcome::Fails), count(Outcome::Undecided));
    let all = facts.claims.len();
    match facts.state {
        RunState::Failed => return ("fails", "The run failed".to_owned()),
        RunState::Stopped => return ("open", "The run was stopped".to_owned()),
        RunState::Running => return ("open", "The run is not finished".to_owned()),
        RunState::Finished => {}
    }
    if all == 0 {
        return ("plain", "Finished; the recipe claims nothing".to_owned());
    }
    if facts.experiment.control.is_some() {
        return match holds {
            0 => ("holds", "A control: no claim holds, as it should be".to_owned()),
            _ => ("fails", format!("A control, in which no claim should hold: {holds} of {all} hold")),
        };
    }
    if fails > 0 {
        let text =
            if all == 1 { "The claim fails".to_owned() } else { format!("{fails} of {all} claims fail") };
        let text = if all > 1 && fails == 1 { format!("1 of {all} claims fails") } else { text };
        return ("fails", text);
    }
    if undecided > 0 {
        let text = match (all, undecided) {
            (1, _) => "The claim is undecided".to_owned(),
            (_, 1) => format!("1 of {all} claims is undecided"),
            _ => format!("{undecided} of {all} claims are undecided"),
        };
        return ("open", text);
    }
    let text = match holds {
        1 => "The claim holds".to_owned(),
        2 => "Both claims hold".to_owned(),
        _ => format!("All {holds} claims hold"),
    };
    ("holds", text)
}

/// How many claims came out how, where they did not all come out alike.
fn tally(facts: &Facts) -> String {
    let outcomes = [Outcome::Holds, Outcome::Fails, Outcome::Undecided];
    let counts: Vec<(usize, Outcome)> = outcomes
        .into_iter()
        .map(|outcome| (facts.claims.iter().filter(|claim| claim.outcome == outcome).count(), outcome))
        .filter(|(count, _)| *count > 0)
        .collect();
    let words = |(count, outcome): &(usize, Outcome)| match (outcome, count) {
        (Outcome::Holds, 1) => "1 holds".to_owned(),
        (Outcome::Holds, count) => format!("{count} hold"),
        (Outcome::Fails, 1) => "1 fails".to_owned(),
        (Outcome::Fails, count) => format!("{count} fail"),
        (Outcome::Undecided, 1) => "1 is undecided".to_owned(),
        (Outcome::Undecided, count) => format!("{count} are undecided"),
    };
    if counts.len() < 2 {
        return String::new();
    }
    counts.iter().map(words).collect::<Vec<_>>().join(", ")
}

fn banner(html: &mut String, facts: &Facts) {
    let (class, text) = headline(facts);
    let _ = writeln!(html, "<div class=\"banner {class}\">\n<p class=\"answer\">{}</p>", escape(&text));
    if let Some((reason, resume)) = &facts.end {
        let _ = writeln!(html, "<p>{}</p>", escape(reason));
        if let Some(resume) = resume {
            let _ = writeln!(html, "<p>Goes on with <code>{}</code></p>", escape(resume));
        }
    }
    let tally = tally(facts);
    if !tally.is_empty() {
        let _ = writeln!(html, "<p>Of {} claims {tally}.</p>", facts.claims.len());
    }
    let (done, wanted) =
        (facts.finished.len(), facts.experiment.arms.len() * facts.experiment.seeds as usize);
    if done < wanted && facts.state == RunState::Finished {
        let _ = writeln!(
            html,
            "<p>Ended early, as every claim was decided: {done} of {wanted} planned runs.</p>"
        );
    } else if done < wanted {
        let _ = writeln!(html, "<p>{done} of {wanted} runs (arms times seeds) are done.</p>");
    }
    html.push_str("</div>\n");
}

/// What the reader should know before trusting the rest.
fn problems(html: &mut String, facts: &Facts) {
    let mut items: Vec<String> =
        facts.problems.iter().map(|problem| format!("Not shown: {}.", escape(problem))).collect();
    let mut warnings: Vec<(String, usize)> = Vec::new();
    for line in &facts.history {
        let Event::Warning { arm, seed, message, help } = &line.event else { continue };
        let mut text = escape(message);
        if let Some(help) = help {
            let _ = write!(text, " <span class=\"faint\">{}</span>", escape(help));
        }
        let place = match (arm, seed) {
            (Some(arm), Some(seed)) => format!("{}, seed {seed}: ", escape(arm)),
            (Some(arm), None) => format!("{}: ", escape(arm)),
            _ => String::new(),
        };
        let text = format!("{place}{text}");
        match warnings.iter_mut().find(|(known, _)| *known == text) {
            Some((_, times)) => *times += 1,
            None => warnings.push((text, 1)),
        }
    }
    items.extend(warnings.into_iter().map(|(text, times)| {
        if times > 1 { format!("{text} <span class=\"faint\">({times} times)</span>") } else { text }
    }));
    if items.is_empty() {
        return;
    }
    let list: String = items.iter().map(|item| format!("<li>{item}</li>\n")).collect();
    let open = if items.len() <= 3 { " open" } else { "" };
    let title = counted(items.len(), "warning");
    let _ = writeln!(
        html,
        "<details class=\"warnings\"{open}>\n<summary>{title}</summary>\n<ul>\n{list}</ul>\n</details>"
    );
}

/// A number of a plan or measurement in its unit.
pub(super) fn measured(value: f64, measure: crate::Measure) -> String {
    match measure {
        crate::Measure::Bytes => bytes(value),
        crate::Measure::Seconds => duration(value),
        crate::Measure::Flops => format!("{}FLOP", spaced(value)),
        crate::Measure::Count => digits(value, value.abs() / 1000.0),
    }
}
