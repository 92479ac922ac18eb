//! PID 1 of a test machine: mounts, network, files and services as the machine's description says, then programs on
//! behalf of the harness. The main thread only collects dead children; a boot that fails says why on the console and
//! switches the machine off, which the harness sees as the end of the kernel's process.

mod boot;
mod children;
mod commands;
mod services;
mod system;

use children::Children;
use std::sync::Arc;

fn main() {
    let children = Arc::new(Children::default());
    let for_boot = Arc::clone(&children);
    std::thread::spawn(move || {
        if let Err(error) = boot::boot(&for_boot) {
            println!("node-init: the boot failed: {}", chain(&error));
            if let Err(error) = rustix::system::reboot(rustix::system::RebootCommand::PowerOff) {
                println!("node-init: cannot switch off: {error}");
            }
        }
    });
    children.reap_forever();
}

/// An error with everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
