//! What goes wrong, and the exit code and text for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Case, Said, wfs};

fn close(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
}

#[test]
fn a_wrong_command_line_is_two() {
    let case = Case::new(&[]);
    for arguments in [
        &["--nonsense"][..],
        &["--exclude", "[a"],
        &["--include", "a{b"],
        &["--bwlimit", "fast"],
        &["--workers", "0"],
        &["--max-delete", "1"],
        &["--verify", "size"],
        &["--verify", "nothing", "--manifest", "m"],
        &["--checksum"],
        &["-q", "-v"],
        &["-n", "--manifest", "m", "--verify", "size"],
    ] {
        let said = case.sync(arguments).ended(2);
        assert!(!said.stderr.is_empty(), "{arguments:?}");
    }
    assert!(!case.destination().exists());
    Said::by(wfs(&["sync", "only-one"])).ended(2);
    Said::by(wfs(&[])).ended(2);
}

#[test]
fn a_run_that_cannot_begin_is_one_and_changes_nothing() {
    let case = Case::new(&[("a", "1"), ("d/", "")]);
    let (source, nested) = (case.source(), case.source().join("d/new"));
    let (file, no_parent) = (case.source().join("a"), case.path("x/y"));
    for (from, to, complaint) in [
        (&case.path("nowhere"), &case.destination(), "No such file or directory (os error 2)"),
        (&file, &case.destination(), "Not a directory (os error 20)"),
        (&source, &file, "Not a directory (os error 20)"),
        (&source, &no_parent, "No such file or directory (os error 2)"),
        (&source, &nested, "one lies in the other"),
        (&source, &source, "one lies in the other"),
    ] {
        for dry_run in [&[][..], &["-n"]] {
            let mut command = wfs(&["sync"]);
            command.arg(from).arg(to).args(dry_run);
            Said::by(command).ended(1).complains("wfs: ").complains(complaint);
        }
    }
    assert!(!case.destination().exists() && !nested.exists() && !no_parent.exists());
    let manifest = case.source().join("m");
    case.sync(&["--manifest", manifest.to_str().unwrap()]).ended(1).complains("must be outside");
    assert!(!case.destination().exists(), "it was made for a run that did not begin");
}

#[test]
fn one_unreadable_file_is_a_partial_failure_that_is_told_even_when_quiet() {
    for (arguments, quiet) in [(&[][..], false), (&["-q"], true), (&["--json", "-q"], true)] {
        let case = Case::new(&[("a", "1"), ("d/closed", "2")]);
        close(&case.source().join("d/closed"));
        let said = case.sync_as_nobody(arguments).ended(3);
        let said = said.complains("wfs: d/closed: ").complains("Permission denied (os error 13)");
        assert_eq!(case.copied("a").as_deref(), Some("1"));
        assert_eq!(said.stdout.contains("1 FAILED"), !quiet);
    }
}

#[test]
fn when_every_file_fails_it_is_a_total_failure() {
    let case = Case::new(&[("a", "1"), ("b", "2")]);
    close(&case.source().join("a"));
    close(&case.source().join("b"));
    case.sync_as_nobody(&[]).ended(1).complains("wfs: a: ").complains("wfs: b: ").says("2 FAILED");
}

#[test]
fn an_unreadable_directory_fails_alone() {
    let case = Case::new(&[("a", "1"), ("d/b", "2")]);
    close(&case.source().join("d"));
    case.sync_as_nobody(&[]).ended(3).complains("wfs: d: ").says("1 directory FAILED");
    assert_eq!(case.copied("a").as_deref(), Some("1"));
}

#[test]
fn a_fifo_is_left_out_which_is_no_failure_and_named_when_asked() {
    let case = Case::new(&[("a", "1")]);
    mknodat(CWD, case.source().join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let said = case.sync(&[]).ended(0).says("1 left out").says("1 note about what was left out");
    assert_eq!(said.stderr, "");
    case.sync(&["-v"]).ended(0).complains("wfs: pipe: a ").complains("is not copied");
    assert!(!case.destination().join("pipe").exists());
}

#[test]
fn a_full_destination_stops_the_run_and_the_next_one_goes_on() {
    let case = Case::new(&[("a", "1")]);
    for n in 0..8 {
        fs::write(case.source().join(format!("big{n}")), vec![1; 1 << 20]).unwrap();
    }
    fs::create_dir(case.destination()).unwrap();
    // In a mount namespace of its own: nothing stays mounted, whatever happens.
    let script = r#"
        set -e
        mount -t tmpfs -o size=4m none "$3"
        code=0; "$1" sync "$2" "$3" || code=$?
        test $code = 4
        ls -A "$3" | grep -q '^[.]wsfs-sync-' && exit 99
        mount -o remount,size=16m "$3"
        "$1" sync "$2" "$3"
        diff -r "$2" "$3"
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_wfs")]);
    let output = command.arg(case.source()).arg(case.destination()).output().unwrap();
    let said = Said::of(output).ended(0);
    let said = said.complains("stopped: the destination takes nothing more");
    said.complains("No space left on device (os error 28)").says("unchanged");
}

#[test]
fn a_name_that_would_change_the_terminal_is_shown_escaped() {
    let case = Case::new(&[]);
    fs::write(case.source().join("a\u{1b}[2Jb\n"), "1").unwrap();
    close(&case.source().join("a\u{1b}[2Jb\n"));
    let said = case.sync_as_nobody(&[]).ended(1).complains(r#"wfs: "a\u{1b}[2Jb\n": "#);
    assert!(!said.stderr.contains('\u{1b}'));
}
