//! The report of made-up runs: what it says, and that nothing in a run can break it.

#![allow(clippy::unwrap_used)] // helpers of tests are no tests to clippy

mod common;

use common::{End, Sample};
use std::fs;
use zoo_record::{RunDir, report};

/// The page of a made-up run.
fn page(sample: &Sample) -> String {
    let folder = tempfile::tempdir().unwrap();
    let html = report::html(&sample.write(folder.path())).unwrap();
    check_form(&html);
    html
}

/// Every element is closed by its own name and in order; nothing is loaded; no script.
fn check_form(html: &str) {
    let mut open = vec!["html", "body"];
    let body = html.split("<body>").nth(1).unwrap();
    for piece in body.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap_or_else(|| panic!("no end of a tag: {piece}"));
        let name: &str = tag.split([' ', '\n', '/']).find(|part| !part.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "after {open:?}");
        } else if !tag.ends_with('/') && !["br", "img", "meta"].contains(&name) {
            open.push(name);
        }
        assert!(
            !["script", "link", "iframe", "object", "embed", "form", "use", "image"].contains(&name),
            "{tag}"
        );
        let values: Vec<&str> = tag.split('"').collect();
        assert!(values.len() % 2 == 1, "quotes of {tag}");
        for (index, outside) in values.iter().step_by(2).enumerate() {
            // What stands outside of quotes is ours alone: no handler can have been smuggled in.
            assert!(!outside.contains(" on"), "{tag} at {index}");
        }
        for address in ["src=\"", "href=\""] {
            if let Some(at) = tag.split(address).nth(1) {
                assert!(at.starts_with("data:image/") || at.starts_with("https://arxiv.org/abs/"), "{tag}");
            }
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    assert!(!body.contains("NaN,") && !body.contains("=\"NaN") && !body.contains("inf\""));
    assert!(!body.contains("{"), "a placeholder was not filled in");
}

/// The text alone, without pictures, a line an element.
fn text(html: &str) -> String {
    let body = html.split("<body>").nth(1).unwrap();
    let mut out = String::new();
    let mut in_svg = false;
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        in_svg |= tag.starts_with("svg");
        if !in_svg && !text.trim().is_empty() {
            out.push_str(text.trim());
            out.push('\n');
        }
        in_svg &= !tag.starts_with("/svg");
    }
    out.replace("&minus;", "−")
}

/// Without what is another on every machine and at every time.
fn without_machine(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "variables" {
            lines.next();
            continue;
        }
        out.push_str(if line.ends_with(" UTC") { "[time]" } else { line });
        out.push('\n');
        if ["system", "processor", "memory"].contains(&line) {
            lines.next();
            out.push_str("[machine]\n");
        }
    }
    out
}

#[test]
fn the_verdict_comes_first_and_everything_is_told() {
    let html = page(&Sample::default());
    insta::assert_snapshot!("finished", without_machine(&text(&html)));
    let answer = html.find("1 of 3 claims fails").unwrap();
    for later in ["id=\"claims\"", "id=\"results\"", "id=\"curves\"", "id=\"recipe\"", "id=\"environment\""] {
        assert!(html.find(later).unwrap() > answer, "{later}");
    }
    // Three pictures of intervals, each with the region, and as many seeds as there were.
    assert_eq!(html.matches("class=\"whisker\"").count(), 3 * 3);
    assert_eq!(html.matches("class=\"seed\"").count(), 3 * 3);
    // A chart has a line an arm.
    let loss = html.split("<figcaption>loss").nth(1).unwrap().split("</figure>").next().unwrap();
    assert_eq!(loss.matches("<polyline").count(), 3);
    assert_eq!(loss.matches("<polygon").count(), 3);
    assert_eq!(loss.matches("class=\"lost").count(), 1, "the value that is no number is marked");
}

#[test]
fn the_report_is_the_same_whenever_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = Sample { seeds: 2, steps: 60, ..Sample::default() }.write(folder.path());
    let first = report::html(&run_dir).unwrap();
    report::write(&run_dir).unwrap();
    assert_eq!(fs::read_to_string(run_dir.report()).unwrap(), first);
    assert_eq!(report::html(&run_dir).unwrap(), first);
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u{202e}\u{0}";
    for end in [End::Finished, End::Stopped, End::Failed] {
        let html = page(&Sample { hostile, seeds: 2, steps: 60, end, ..Sample::default() });
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(!html.contains("<script") && !html.contains("<img src=x") && !html.contains('\u{202e}'));
    }
}

#[test]
fn a_run_that_stopped_or_failed_says_so_first() {
    let stopped = page(&Sample { end: End::Stopped, seeds: 2, steps: 60, ..Sample::default() });
    assert!(stopped.contains("The run was stopped") && stopped.contains("not judged yet"));
    assert!(stopped.contains("zoo run --resume runs/electra-mini-1"));
    let failed = page(&Sample { end: End::Failed, seeds: 2, steps: 60, ..Sample::default() });
    assert!(failed.contains("The run failed"));
    assert!(failed.contains("arm uniform, seed 2: the loss of update 317 is not a number"));
}

#[test]
fn a_run_can_be_looked_at_after_any_event() {
    let sample = Sample { arms: vec!["a", "b"], seeds: 2, steps: 12, ..Sample::default() };
    for cut in 0..26 {
        let html = page(&Sample { cut_after: Some(cut), ..sample.clone() });
        assert!(html.contains("The run is not finished"), "{cut}");
    }
}

#[test]
fn damaged_files_are_named_and_the_rest_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = Sample { seeds: 2, steps: 60, ..Sample::default() }.write(folder.path());
    fs::write(run_dir.metrics(), "{\"arm\": 3}\n{}\n").unwrap();
    fs::write(run_dir.lock(), "version = ").unwrap();
    fs::write(run_dir.environment(), "{").unwrap();
    fs::remove_dir_all(folder.path().join("artifacts")).unwrap();
    let html = report::html(&run_dir).unwrap();
    check_form(&html);
    for file in ["metrics.jsonl", "zoo.lock", "environment.json"] {
        assert!(html.contains(&format!("{file} is damaged")), "{file}");
    }
    assert!(html.contains("`artifacts/samples.txt` is missing"));
    assert!(html.contains("of 3 claims"));

    // Without any history the result still gives the answers.
    fs::remove_file(run_dir.events()).unwrap();
    let html = report::html(&run_dir).unwrap();
    check_form(&html);
    assert!(html.contains("of 3 claims"));

    // A folder with an experiment alone is a run that has not begun.
    let folder = tempfile::tempdir().unwrap();
    fs::copy(run_dir.experiment(), RunDir::new(folder.path()).experiment()).unwrap();
    let html = report::html(&RunDir::new(folder.path())).unwrap();
    check_form(&html);
    assert!(html.contains("The run is not finished"));
    fs::remove_file(RunDir::new(folder.path()).experiment()).unwrap();
    assert!(report::html(&RunDir::new(folder.path())).unwrap_err().to_string().contains("experiment.json"));
}

#[test]
fn runs_become_rows_of_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let runs = ["a", "b"].map(|name| {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        Sample::default().write(&folder.path().join(name))
    });
    let table = report::table(&runs).unwrap();
    insta::assert_snapshot!("table", table);
    let columns: Vec<usize> =
        table.lines().map(|line| line.replace("\\|", "").matches('|').count()).collect();
    assert!(columns.iter().all(|count| *count == 8), "{table}");
    assert!(report::table(&[RunDir::new(folder.path())]).is_err());
}

#[test]
fn many_seeds_and_one_seed() {
    let many = page(&Sample { seeds: 12, steps: 24, ..Sample::default() });
    assert!(many.contains("Every seed") && many.contains("<th>lowest</th>"));
    let one = page(&Sample { arms: vec!["only"], seeds: 1, steps: 24, ..Sample::default() });
    assert!(!one.contains("±"), "one seed has no interval");
}

#[test]
fn long_runs_give_small_pages() {
    let html =
        page(&Sample { arms: vec!["a", "b"], seeds: 2, steps: 20_000, log_every: 4, ..Sample::default() });
    assert!(html.len() < 400_000, "{} bytes", html.len());
}
