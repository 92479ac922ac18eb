//! A slow file system: hands every operation through to a folder after a pause, as a file system far away would, and counts
//! what it is asked. Benchmarks and tests start the program `slowfs` by [`SlowFs`] and read its [`Counters`].
//!
//! Only who mounts it may use it, as root; extended attributes are not known; a folder below it lies on one file system.

mod attributes;
mod client;
mod counters;
mod directory;
mod filesystem;
mod handles;
mod later;
mod listing;
mod lower;
mod nodes;
mod operation;
mod pace;
mod self_check;
mod serve;
mod slowly;

pub use client::{Settings, SlowFs};
pub use counters::Counters;
pub use operation::Operation;
pub use self_check::{SelfCheck, self_check};
pub use serve::{Mount, ServeError, serve};
