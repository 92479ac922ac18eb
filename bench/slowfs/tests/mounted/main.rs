//! The slow file system as it is mounted: what is done through it is done below, and counted. Needs to be root; each test
//! runs in a process with a mount namespace of its own.

// Every line here is a test.
#![allow(clippy::unwrap_used)]

mod alone;
mod count;
mod end;
mod same;
mod seen;
