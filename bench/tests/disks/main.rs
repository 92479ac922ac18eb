//! Disks that lie in files, and commands that are measured on them. Needs to be root; each test runs in a process with a
//! mount namespace of its own.

// Every line here is a test.
#![allow(clippy::unwrap_used)]

mod alone;
mod disk;
mod run;
