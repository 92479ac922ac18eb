//! A run that is ended from outside.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use super::{Case, Said};

/// What the destination has in the large file's place: such a file is replaced by one that has a temporary name until then.
const OLD: &str = "old";

/// Begins a run that takes 20 seconds, and waits until it is at the large file, which replaces an old one.
fn begin(case: &Case, arguments: &[&str]) -> Child {
    std::fs::create_dir_all(case.destination()).unwrap();
    std::fs::write(case.destination().join("large"), OLD).unwrap();
    start(case, arguments, |_| case.leftovers() > 0)
}

fn start(case: &Case, arguments: &[&str], is_there: impl Fn(&Child) -> bool) -> Child {
    let mut command = case.command(&[&["--bwlimit", "1M"], arguments].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while !is_there(&child) {
        assert!(began.elapsed() < Duration::from_secs(30), "it does not get to the large file");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Whether it has a file in the destination open that has no name.
fn writes_without_a_name(child: &Child, case: &Case) -> bool {
    let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .any(|path| path.starts_with(case.destination()) && path.to_string_lossy().ends_with(" (deleted)"))
}

fn end(child: Child, signal: Signal) -> (Said, Duration) {
    let began = Instant::now();
    kill_process(Pid::from_child(&child), signal).unwrap();
    (Said::of(child.wait_with_output().unwrap()), began.elapsed())
}

#[test]
fn both_signals_end_a_run_in_order_and_the_next_one_completes_it() {
    for signal in [Signal::INT, Signal::TERM] {
        let case = Case::large();
        let (said, took) = end(begin(&case, &[]), signal);
        said.ended(130).complains("stopped: cancelled").says("left out");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(case.leftovers(), 0);
        assert_eq!(case.copied("large").as_deref(), Some(OLD));
        case.sync(&[]).ended(0);
        assert_eq!(case.copied("large").map(|content| content.len()), Some(20 << 20));
    }
}

#[test]
fn a_cancelled_run_says_so_in_json() {
    let case = Case::large();
    let (said, _) = end(begin(&case, &["--json"]), Signal::INT);
    let said = said.ended(130);
    let report: serde_json::Value = serde_json::from_str(said.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((report["exit_code"].as_u64(), report["outcome"].as_str()), (Some(130), Some("cancelled")));
    assert_eq!(report["stopped"]["reason"], "cancelled");
}

#[test]
fn a_run_that_was_killed_is_completed_by_the_next_one_which_cleans_up() {
    let case = Case::large();
    let (said, _) = end(begin(&case, &[]), Signal::KILL);
    assert_eq!(said.code, None);
    assert_ne!(case.leftovers(), 0);
    case.sync(&[]).ended(0).says("1 temporary file of an earlier run removed");
    assert_eq!(case.leftovers(), 0);
}

#[test]
fn of_a_new_file_a_killed_run_leaves_nothing() {
    let case = Case::large();
    let child = start(&case, &[], |child| writes_without_a_name(child, &case));
    let (said, _) = end(child, Signal::KILL);
    assert_eq!((said.code, case.leftovers()), (None, 0));
    assert!(case.copied("large").is_none());
    case.sync(&[]).ended(0);
    assert_eq!(case.copied("large").map(|content| content.len()), Some(20 << 20));
}

#[test]
fn the_second_signal_ends_a_run_that_does_not_come_to_its_end() {
    // Its report is longer than a pipe holds, and nobody reads it.
    let case = Case::new(&[]);
    for n in 0..2000 {
        mknodat(CWD, case.source().join(format!("pipe{n}")), FileType::Fifo, Mode::RWXU, 0).unwrap();
    }
    let mut command = case.command(&["--json", "--quiet"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    // It blocks the signals before it makes the destination.
    while !case.destination().exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(pid, Signal::INT).unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("the same signal again ends at once"), "{line:?}");
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "it ended before");
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
