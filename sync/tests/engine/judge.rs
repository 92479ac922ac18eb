//! rsync as judge: asked what it would still do to make the destination equal to the source, it has to say nothing.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::mounts::require;
use crate::tree::Terms;

/// What rsync would change, one line per path.
pub fn verdict(source: &Path, destination: &Path, terms: Terms) -> String {
    require("rsync", "rsync");
    let with_slash = |path: &Path| {
        let mut path: OsString = path.into();
        path.push("/");
        path
    };
    let mut rsync = Command::new("rsync");
    // -1: times are compared to the nanosecond.
    rsync.args(["-n", "-i", "-aH", "--checksum", "--delete", "--modify-window=-1"]);
    if !terms.owner {
        rsync.args(["--no-owner", "--no-group"]);
    }
    if terms.xattrs {
        rsync.arg("-X");
    }
    if terms.acls {
        rsync.arg("-A");
    }
    let output = rsync.arg(with_slash(source)).arg(with_slash(destination)).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "rsync ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&said)
    );
    String::from_utf8_lossy(&said).into_owned()
}

pub fn assert_satisfied(source: &Path, destination: &Path, terms: Terms) {
    let verdict = verdict(source, destination, terms);
    assert!(verdict.is_empty(), "rsync would still change:\n{verdict}");
}
