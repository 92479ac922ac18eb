//! Where what is printed: people and programs, terminals and logs.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use super::{Case, Said, wfs};

/// Long enough for some progress: 5 MiB at a megabyte per second.
fn slow() -> Case {
    let case = Case::new(&[("a", "1")]);
    fs::write(case.source().join("large"), vec![7; 5 << 20]).unwrap();
    case
}

fn lines(said: &Said) -> Vec<Value> {
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn without_a_terminal_there_are_plain_lines_and_none_when_quiet() {
    let case = slow();
    let said = case.sync(&["--bwlimit", "1M"]).ended(0);
    let progress: Vec<_> = said.stderr.lines().collect();
    assert!(!progress.is_empty() && progress.len() < 20, "every few seconds: {progress:?}");
    assert!(progress.iter().all(|line| line.contains(" of 2") && line.contains("/s")), "{progress:?}");
    assert!(!said.stderr.contains('\u{1b}') && !said.stderr.contains('\r'), "{progress:?}");
    let case = slow();
    let said = case.sync(&["-q", "--bwlimit", "1500K"]).ended(0);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
}

#[test]
fn on_a_terminal_there_is_a_bar_that_goes_away() {
    let case = slow();
    let line = format!(
        "{} sync {} {} --bwlimit 2M >{}",
        env!("CARGO_BIN_EXE_wfs"),
        case.source().display(),
        case.destination().display(),
        case.path("stdout").display(),
    );
    // script(1) gives it a terminal and copies what appears there.
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    let said = Said::of(script.stdin(Stdio::null()).output().unwrap()).ended(0);
    assert!(said.stdout.contains("[====") && said.stdout.contains(" files, "), "{:?}", said.stdout);
    assert!(said.stdout.ends_with("\r\u{1b}[2K"), "{:?}", said.stdout);
    assert!(fs::read_to_string(case.path("stdout")).unwrap().contains("2 files copied"));
}

#[test]
fn json_is_one_object_per_line_and_the_last_one_is_the_report() {
    let case = slow();
    let said = case.sync(&["--json", "--bwlimit", "2M"]).ended(0);
    assert_eq!(said.stderr, "");
    let lines = lines(&said);
    let (report, progress) = lines.split_last().unwrap();
    assert!(progress.len() >= 2, "{lines:?}");
    assert!(progress.iter().all(|line| line["type"] == "progress" && line["phase"] == "copy"), "{lines:?}");
    assert!(
        progress[0]["bytes_read"].as_u64() > Some(0) && progress[0]["rate"].as_f64() > Some(0.0),
        "{lines:?}"
    );
    assert_eq!(
        (&report["type"], &report["exit_code"], &report["outcome"]),
        (&json!("report"), &json!(0), &json!("done"))
    );
    assert_eq!(report["files"]["done"], json!({"files": 2, "bytes": (5 << 20) + 1}));
    assert_eq!((&report["stopped"], &report["verify"]), (&json!(null), &json!(null)));
}

#[test]
fn json_names_paths_of_any_bytes_and_what_the_verification_found() {
    let case = Case::new(&[("a", "content")]);
    let pipe = case.source().join(OsStr::from_bytes(b"p\xff"));
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let manifest = case.path("manifest");
    let arguments = ["--json", "-q", "--verify", "checksum", "--manifest", manifest.to_str().unwrap()];
    case.sync(&arguments).ended(0);
    let copy = case.destination().join("a");
    let time = fs::metadata(&copy).unwrap().modified().unwrap();
    fs::write(&copy, "c0ntent").unwrap();
    fs::File::options().write(true).open(&copy).unwrap().set_modified(time).unwrap();
    let lines = lines(&case.sync(&arguments).ended(5));
    assert_eq!(lines.len(), 1, "quiet: the report alone");
    let report = &lines[0];
    assert_eq!((&report["exit_code"], &report["outcome"]), (&json!(5), &json!("different")));
    assert_eq!(report["notes"][0]["path"], json!({"bytes": "70ff"}));
    assert_eq!(report["notes"][0]["problem"], json!("special"));
    assert_eq!(report["verify"]["checked"], json!({"files": 1, "bytes": 7}));
    assert_eq!(report["verify"]["wrong"][0]["path"], json!("a"));
    assert_eq!(report["verify"]["wrong"][0]["problem"], json!("content"));
}

#[test]
fn json_of_a_run_that_did_not_begin_is_an_error_line() {
    let case = Case::new(&[]);
    fs::remove_dir(case.source()).unwrap();
    let said = case.sync(&["--json"]).ended(1).complains("No such file or directory (os error 2)");
    let lines = lines(&said);
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["type"], &lines[0]["exit_code"]), (&json!("error"), &json!(1)));
    assert!(lines[0]["message"].as_str().unwrap().contains("os error 2"));
}

#[test]
fn a_reader_that_went_away_is_an_error_and_no_panic() {
    let case = Case::new(&[("a", "1")]);
    for mut command in
        [wfs(&["man"]), wfs(&["completion", "zsh"]), case.command(&[]), case.command(&["--json"])]
    {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let mut child = command.stdout(write).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{stderr}");
        assert!(stderr.contains("Broken pipe (os error 32)") && !stderr.contains("panicked"), "{stderr}");
    }
    assert_eq!(case.copied("a").as_deref(), Some("1"));
}
