//! The pod sandbox's process: holds the namespaces, and collects the orphans of a pod that shares its process
//! namespace. It needs no signal handling: the runtime ends sandboxes with SIGKILL.

use rustix::process::{WaitOptions, wait};
use std::time::Duration;

/// How long an orphan may stay a zombie while this process had no child to wait for.
const IDLE: Duration = Duration::from_secs(10);

fn main() {
    loop {
        if wait(WaitOptions::empty()).is_err() {
            std::thread::sleep(IDLE);
        }
    }
}
