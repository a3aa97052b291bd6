//! Runs that are killed or stopped and go on end as if nothing had happened.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Place, experiment, said, signal, text};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};
use zoo_record::RunState;

/// Numbers without a pattern, the same in every test run.
struct Moments(u64);

impl Moments {
    /// Between 0 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Kills a run so many times, at moments that lie anywhere in what it does, goes on each time, and
/// compares what is left with the same run undisturbed, whose arms ran one after the other.
fn killed(kills: u32, jobs: &str) {
    let place = Place::new();
    // `--alone`: each run computes everything itself.
    let settings = ["steps=1500", "base_steps=200", "tune.save_every=50"];
    let experiment = experiment(&settings, 2);
    let begun = Instant::now();
    let reference = place.run(&experiment, "reference", &["--alone", "--jobs", "1"]);
    let whole = begun.elapsed();
    assert_eq!(place.result("reference").state, RunState::Finished, "{}", said(&reference));

    let mut moments = Moments(7);
    let mut hits = 0;
    // The run takes many pieces: each is long enough for the start of the process and some work.
    let piece = whole.div_f64(f64::from(2 * kills.min(8))).max(Duration::from_millis(400));
    let more = ["--alone", "--jobs", jobs];
    let mut child = place.begin(&experiment, "disturbed", &more);
    for _ in 0..kills {
        let limit = piece.mul_f64(1.2 * moments.next());
        if wait(&mut child, limit).is_none() {
            child.kill().unwrap();
            hits += 1;
        }
        child.wait().unwrap();
        let dir = place.dir("disturbed");
        child = if dir.experiment().exists() {
            place.command(&[&["resume", "disturbed"][..], &more].concat()).spawn().unwrap()
        } else {
            // It was killed before there was anything to go on with: what is there is of no use.
            let _ = std::fs::remove_dir_all(dir.root());
            place.begin(&experiment, "disturbed", &more)
        };
    }
    let output = child.wait_with_output().unwrap();
    assert!(hits * 2 >= kills, "only {hits} of {kills} kills came in time");
    let (reference, disturbed) = (place.result("reference"), place.result("disturbed"));
    assert_eq!(disturbed.state, RunState::Finished, "{}", said(&output));
    let models = place.models("reference", &experiment);
    assert!(models.iter().all(|(_, _, bytes)| bytes.len() > 64));
    for (left, right) in models.iter().zip(place.models("disturbed", &experiment)) {
        assert!(*left == right, "arm {} with seed {} differs after {hits} kills", left.0, left.1);
    }
    assert_eq!(reference.arms, disturbed.arms);
    // Every logged step stands there once.
    let steps = |run: &str| {
        let lines = zoo_record::read_metrics(&place.dir(run).metrics()).unwrap();
        let mut steps: Vec<_> =
            lines.into_iter().map(|l| (l.arm, l.seed, l.phase, l.step, l.evaluation)).collect();
        steps.sort();
        steps
    };
    assert_eq!(steps("reference"), steps("disturbed"));
}

#[test]
fn a_run_that_is_killed_three_times_ends_with_the_same_bits() {
    killed(3, "1");
}

#[test]
fn so_does_one_whose_arms_run_side_by_side() {
    killed(3, "3");
}

/// `cargo test -p zoo-runner --test interrupted -- --ignored`
#[test]
#[ignore = "takes half a minute"]
fn a_run_that_is_killed_twenty_times_ends_with_the_same_bits() {
    killed(20, "1");
    killed(20, "3");
}

/// Processes that this one has started, by their numbers.
fn children(of: u32) -> Vec<u32> {
    let path = format!("/proc/{of}/task/{of}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn is_there(process: u32) -> bool {
    // One that has ended and is not waited for by anybody has no memory any more.
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.contains("VmRSS")
}

#[test]
fn processes_of_a_killed_run_end_and_one_that_dies_is_told_of() {
    let place = Place::new();
    let experiment = experiment(&["steps=200000", "base_steps=50", "tune.save_every=1000"], 2);
    let mut child = place.begin(&experiment, "killed", &["--alone", "--jobs", "2"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    until(&mut out, "phase tune");
    let workers = children(child.id());
    assert_eq!(workers.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    while workers.iter().any(|worker| is_there(*worker)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{workers:?} are still there");
        std::thread::sleep(Duration::from_millis(20));
    }

    let mut child = place.command(&["resume", "killed", "--alone", "--jobs", "2"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    until(&mut out, "phase tune");
    let worker = children(child.id())[0];
    Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap();
    let status = wait(&mut child, Duration::from_secs(20)).expect("it ends");
    assert_eq!(status.code(), Some(1));
    let told = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(told.contains("its process ended before the arm did (signal: 9 (SIGKILL))"), "{told}");
    assert_eq!(place.result("killed").state, RunState::Failed);
}

#[test]
fn ctrl_c_stops_arms_that_run_side_by_side() {
    let place = Place::new();
    let experiment = experiment(&["steps=3000", "base_steps=50", "tune.save_every=1000"], 1);
    let reference = place.run(&experiment, "reference", &["--alone", "--jobs", "1"]);
    assert_eq!(place.result("reference").state, RunState::Finished, "{}", said(&reference));
    let mut child = place.begin(&experiment, "stopped", &["--alone", "--jobs", "2"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    until(&mut out, "phase tune");
    signal(&child, "INT");
    let status = wait(&mut child, Duration::from_secs(20)).expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert_eq!(place.result("stopped").state, RunState::Stopped);
    place.resume("stopped", &["--alone", "--jobs", "2"]);
    assert_eq!(place.result("stopped").state, RunState::Finished);
    assert_eq!(place.models("reference", &experiment), place.models("stopped", &experiment));
}

/// Reads what the child says until a line has this in it.
fn until(reader: &mut impl BufRead, part: &str) -> String {
    let mut all = String::new();
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 0 {
        all.push_str(&line);
        if line.contains(part) {
            return all;
        }
        line.clear();
    }
    panic!("the program never said `{part}`:\n{all}");
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let place = Place::new();
    let settings = ["steps=3000", "base_steps=50", "tune.save_every=1000"];
    let experiment = experiment(&settings, 1);
    let reference = place.run(&experiment, "reference", &["--alone"]);
    assert_eq!(place.result("reference").state, RunState::Finished, "{}", said(&reference));
    let mut child = place.begin(&experiment, "stopped", &["--alone"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    until(&mut out, "phase tune");
    signal(&child, "INT");
    let status = wait(&mut child, Duration::from_secs(20)).expect("it ends");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(rest.contains("Stopped. To go on: zoo run --resume stopped"), "{rest}");
    let told = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(told.contains("Finishing the step and saving; again to end at once"), "{told}");
    assert_eq!(place.result("stopped").state, RunState::Stopped);

    let resumed = place.resume("stopped", &["--alone"]);
    assert!(text(&resumed.stdout).contains("goes on from phase tune, step"), "{}", said(&resumed));
    assert_eq!(place.result("stopped").state, RunState::Finished);
    assert_eq!(place.models("reference", &experiment), place.models("stopped", &experiment));
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_another_process_is_kept_out() {
    let place = Place::new();
    let experiment = experiment(&["steps=200000"], 1);
    let mut child = place.begin(&experiment, "long", &["--alone"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    until(&mut out, "phase base");
    let other = place.resume("long", &[]);
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    assert!(text(&other.stderr).contains("is being run by another process"), "{}", said(&other));
    signal(&child, "INT");
    signal(&child, "INT");
    let status = wait(&mut child, Duration::from_secs(10)).expect("it ends");
    assert_eq!(status.code(), Some(130));
    // Whatever it was doing, it can go on.
    let mut resumed = place.command(&["resume", "long", "--alone"]).spawn().unwrap();
    let mut out = BufReader::new(resumed.stdout.take().unwrap());
    until(&mut out, "phase ");
    signal(&resumed, "INT");
    assert_eq!(wait(&mut resumed, Duration::from_secs(20)).expect("it ends").code(), Some(130));
}
