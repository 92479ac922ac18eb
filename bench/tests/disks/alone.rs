//! A test in a process of its own, whose mounts are its own.

use std::path::Path;
use std::process::Command;

const INSIDE: &str = "WSFS_TEST_IN_NAMESPACE";

/// The test of this full name, in a namespace of its own, with an empty folder.
pub fn alone(module: &str, name: &str, test: impl FnOnce(&Path)) {
    if std::env::var_os(INSIDE).is_some() {
        return test(tempfile::tempdir().unwrap().path());
    }
    let output = inside(module, name).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "needs to be root\n{out}\n{err}");
}

/// The command that runs this test alone.
pub fn inside(module: &str, name: &str) -> Command {
    let (_, module) = module.split_once("::").unwrap();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120", "unshare", "--mount", "--propagation", "private"]);
    command.args(["--fork", "--kill-child"]).arg(std::env::current_exe().unwrap());
    command.arg(format!("{module}::{name}")).args(["--exact", "--nocapture"]).env(INSIDE, "1");
    command
}
