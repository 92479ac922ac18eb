//! A test in a process of its own, whose mounts are its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use workspacefs_slowfs::{Settings, SlowFs};

const INSIDE: &str = "WSFS_TEST_IN_NAMESPACE";

/// Runs a test, whose full name this is, in a namespace of its own, with an empty folder.
pub fn alone(module: &str, name: &str, test: impl FnOnce(&Path)) {
    if std::env::var_os(INSIDE).is_some() {
        return test(tempfile::tempdir().unwrap().path());
    }
    let (_, module) = module.split_once("::").unwrap();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120", "unshare", "--mount", "--propagation", "private"]);
    command.args(["--fork", "--kill-child"]).arg(std::env::current_exe().unwrap());
    command.arg(format!("{module}::{name}")).args(["--exact", "--nocapture"]).env(INSIDE, "1");
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "needs to be root\n{out}\n{err}");
}

/// A folder and what is mounted of it.
pub struct Mounted {
    pub below: PathBuf,
    pub above: PathBuf,
    pub slow: SlowFs,
}

pub fn quick(plus: bool) -> Settings {
    Settings { delay: Duration::from_micros(10), plus, read_only: false }
}

pub fn mounted(folder: &Path, settings: Settings) -> Mounted {
    let (below, above) = (folder.join("below"), folder.join("above"));
    std::fs::create_dir_all(&below).unwrap();
    std::fs::create_dir_all(&above).unwrap();
    let slow = start(&below, &above, settings);
    Mounted { below, above, slow }
}

pub fn start(below: &Path, above: &Path, settings: Settings) -> SlowFs {
    SlowFs::start(env!("CARGO_BIN_EXE_slowfs").as_ref(), below, above, settings).unwrap()
}
