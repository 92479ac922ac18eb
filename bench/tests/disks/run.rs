//! What a command takes is told, and a failure is none of it.

use std::process::Command;
use std::time::Instant;

use workspacefs_bench::run::{RunError, Usage, run};

fn sh(script: &str) -> Result<Usage, RunError> {
    run(env!("CARGO_BIN_EXE_measured").as_ref(), Command::new("sh").args(["-c", script]))
}

#[test]
fn time_processor_and_memory_are_those_of_the_command_and_its_children() {
    let started = Instant::now();
    let idle = sh("sleep 0.3; echo never seen").unwrap();
    assert!(idle.seconds >= 0.3 && idle.seconds <= started.elapsed().as_secs_f64(), "{idle:?}");
    assert!(idle.processor_seconds < 0.2 && idle.memory_bytes < 10 << 20, "{idle:?}");

    // A child of a child that works, with 64 MiB in its hands.
    let busy = sh("sh -c 'head -c 64M /dev/zero | tail -n 1 | wc -c; true'; true").unwrap();
    assert!(busy.memory_bytes > 60 << 20 && busy.memory_bytes < 200 << 20, "{busy:?}");
    let loops = sh("n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done").unwrap();
    assert!(loops.processor_seconds > 0.02 && loops.processor_seconds <= loops.seconds * 1.5, "{loops:?}");
}

#[test]
fn surroundings_of_a_command_are_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "test \"$A\" = b && test -z \"${HOME+x}\" && touch made"]);
    command.env("A", "b").env_remove("HOME").current_dir(&folder);
    run(env!("CARGO_BIN_EXE_measured").as_ref(), &command).unwrap();
    assert!(folder.path().join("made").exists());
}

#[test]
fn a_command_that_fails_is_an_error_with_the_end_of_what_it_said() {
    let said = |error: RunError| error.to_string();
    assert_eq!(
        said(sh("seq 1 12 >&2; exit 3").unwrap_err()),
        "sh failed with Some(3): 3\n4\n5\n6\n7\n8\n9\n10\n11\n12"
    );
    assert_eq!(said(sh("kill -9 $$").unwrap_err()), "sh failed with None: ");
    let measured = env!("CARGO_BIN_EXE_measured");
    let missing = run(measured.as_ref(), &Command::new("/no/such/program")).unwrap_err();
    assert!(said(missing).starts_with("/no/such/program was not measured: "));
    let nobody = run("/no/measured".as_ref(), &Command::new("true")).unwrap_err();
    assert_eq!(said(nobody), "cannot run /no/measured");
}
