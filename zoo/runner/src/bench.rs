//! `zoo-runner bench`

use crate::display::text::{bytes, count, duration, operations};
use std::fmt::Write;
use zoo_engine::BenchResult;

/// The speed of an arm as people read it.
pub(crate) fn text(result: &BenchResult) -> String {
    let mut text = String::new();
    let device = match result.device.model.as_str() {
        "" => result.device.name.clone(),
        model => format!("{} ({model})", result.device.name),
    };
    let _ = writeln!(
        text,
        "{}, phase {}: {} steps of {} examples in {} on {device}, {} threads, {}",
        result.arm,
        result.phase,
        result.steps,
        result.batch,
        duration(result.seconds),
        result.threads,
        result.precision
    );
    let tokens =
        result.tokens_per_second.map(|speed| format!(", {} tokens/s", count(speed))).unwrap_or_default();
    let _ = writeln!(
        text,
        "  {:.2} steps/s, {} examples/s{tokens}",
        result.steps_per_second,
        count(result.examples_per_second)
    );
    for part in &result.parts {
        let _ =
            writeln!(text, "  {:<17} {:>9.2} ms {:>5.1}%", part.name, part.seconds * 1e3, part.share * 100.0);
    }
    let _ = writeln!(text, "  {} calls of components a step", result.calls);
    if let Some(peak) = result.peak_memory {
        let planned =
            result.planned_memory.map(|planned| format!(", planned {}", bytes(planned))).unwrap_or_default();
        let _ = writeln!(text, "  peak memory of training {}{planned}", bytes(peak));
    }
    let _ = writeln!(
        text,
        "  {} a step by the schemas: {}/s, {:.1}% of the device's {}/s in a matrix product",
        operations(result.flops_per_step),
        operations(result.flops_per_second),
        result.share_of_peak * 100.0,
        operations(result.peak_flops_per_second)
    );
    text
}
