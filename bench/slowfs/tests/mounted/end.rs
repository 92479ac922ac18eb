//! However it ends, nothing stays mounted.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::alone::{alone, mounted, quick, start};

fn is_mounted(path: &Path) -> bool {
    let parent = path.parent().unwrap();
    fs::metadata(path).unwrap().dev() != fs::metadata(parent).unwrap().dev()
}

#[test]
fn it_is_unmounted_when_it_is_stopped_dropped_or_told_by_a_signal() {
    alone(module_path!(), "it_is_unmounted_when_it_is_stopped_dropped_or_told_by_a_signal", |folder| {
        let mounted = mounted(folder, quick(false));
        let (below, above) = (&mounted.below, &mounted.above);
        fs::write(above.join("file"), "x").unwrap();
        assert!(is_mounted(above));
        mounted.slow.stop().unwrap();
        assert!(!is_mounted(above) && !above.join("file").exists());

        let slow = start(below, above, quick(false));
        // A file that is still open does not keep the place.
        let file = fs::File::open(above.join("file")).unwrap();
        drop(slow);
        assert!(!is_mounted(above));
        assert!(file.metadata().is_err());

        for signal in [Signal::TERM, Signal::INT] {
            let mut slow = start(below, above, quick(false));
            let pid = i32::try_from(slow.pid()).unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
            while slow.counters().is_ok() {}
            slow.stop().unwrap();
            assert!(!is_mounted(above));
        }
    });
}

#[test]
fn it_ends_when_who_started_it_is_killed() {
    alone(module_path!(), "it_ends_when_who_started_it_is_killed", |folder| {
        let (below, above) = (folder.join("below"), folder.join("above"));
        fs::create_dir(&below).unwrap();
        fs::create_dir(&above).unwrap();
        // The only one who holds the other end of its stdin.
        let mut holder = Command::new("sleep").arg("1000").stdout(Stdio::piped()).spawn().unwrap();
        let mut slow = Command::new(env!("CARGO_BIN_EXE_slowfs"))
            .args([&below, &above])
            .stdin(holder.stdout.take().unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(slow.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap(), "ready");
        assert!(is_mounted(&above));
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(slow.wait().unwrap().success());
        assert!(!is_mounted(&above));
    });
}

#[test]
fn what_cannot_be_mounted_is_an_error_and_not_a_wait() {
    alone(module_path!(), "what_cannot_be_mounted_is_an_error_and_not_a_wait", |folder| {
        let program = Path::new(env!("CARGO_BIN_EXE_slowfs"));
        let missing = folder.join("missing");
        let start = |below: &Path, above: &Path| {
            workspacefs_slowfs::SlowFs::start(program, below, above, quick(false)).map(drop)
        };
        assert!(start(&missing, folder).is_err());
        assert!(start(folder, &missing).is_err());
        assert!(!is_mounted(folder));
    });
}
