//! The mover as the operator sees it: a process with arguments, an outcome and an exit code; and where ten thousand
//! cases are wanted, its library. Runs as root, because owners, mounts and full file systems are a part of it. Each
//! test that mounts does so in a mount namespace of its thread.

#![allow(clippy::unwrap_used)]

mod bucket;
mod failing;
mod filling;
mod kills;
mod lies;
mod paths;
mod progress;
mod refreshing;
mod signals;
mod step;
mod tree;
mod world;
