//! Bars on a terminal.

use super::lines::step_values;
use super::progress::Progress;
use super::text::duration;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Duration;
use zoo_record::Event;

/// Parts of the whole run's bar.
const WHOLE: u64 = 10_000;

/// Two bars: the whole run, and what is going on.
pub(crate) struct Live {
    bars: MultiProgress,
    whole: ProgressBar,
    part: ProgressBar,
    place: String,
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constant and sound; a bar in the default style would still be a bar.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

impl Live {
    pub(crate) fn new() -> Self {
        let bars = MultiProgress::new();
        let whole = bars.add(ProgressBar::new(WHOLE));
        whole.set_style(style("{prefix:>24} {bar:30.green} {percent:>3}%  {wide_msg}"));
        whole.set_prefix("run");
        let part = bars.add(ProgressBar::new(0));
        part.set_style(style("{prefix:>24} {bar:30.cyan} {pos}/{len}  {wide_msg}"));
        part.set_prefix("preparing");
        part.enable_steady_tick(Duration::from_millis(500));
        Self { bars, whole, part, place: String::new() }
    }

    pub(crate) fn bars(&self) -> MultiProgress {
        self.bars.clone()
    }

    pub(crate) fn say(&self, line: &str) {
        // A terminal that is gone shows nothing, which is no reason to end a run.
        let _ = self.bars.println(line);
    }

    pub(crate) fn event(&mut self, event: &Event, progress: &Progress) {
        match event {
            Event::SeedStarted { arm, seed, .. } => {
                self.place = place(*seed, progress);
                self.part.set_prefix(arm.clone());
                self.part.set_message("preparing");
            }
            Event::StageStarted { stage, .. } => self.part.set_message(format!("making {stage}")),
            Event::PhaseStarted { phase, step, total, .. } => {
                self.part.set_length(*total);
                self.part.set_position(*step);
                self.part.set_message(phase.clone());
            }
            Event::StepLogged(logged) => {
                self.part.set_length(logged.total);
                self.part.set_position(logged.step);
                self.part.set_message(format!("{}, {}", logged.phase, step_values(&logged.values)));
            }
            Event::EvaluationStarted { evaluation, .. } => {
                self.part.set_message(format!("evaluating {evaluation}"));
            }
            Event::RunFinished { .. } | Event::RunStopped { .. } | Event::RunFailed { .. } => {
                self.part.finish_and_clear();
                self.whole.finish_and_clear();
                return;
            }
            _ => {}
        }
        self.whole.set_position((progress.share() * WHOLE as f64) as u64);
        let left = progress.left().map(|left| format!(", {} left", duration(left))).unwrap_or_default();
        self.whole.set_message(format!("{}{left}", self.place));
    }
}

/// `seed 2 of 3`
fn place(seed: u64, progress: &Progress) -> String {
    let number = progress.seeds.iter().position(|known| *known == seed).map_or(0, |index| index + 1);
    format!("seed {number} of {}", progress.seeds.len())
}
