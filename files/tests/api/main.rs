//! The file API over real HTTP on loopback, with a key of the test's own. The client writes requests byte by byte: what callers
//! are not supposed to send is what most of this is about.

#![allow(clippy::unwrap_used)]

mod batch;
mod browse;
mod bundle;
mod change;
mod content;
mod contract;
mod harness;
mod hostile;
mod memory;
mod moto;
mod process;
mod quota;
mod refused;
mod rsync;
mod streams;
mod tls;
mod trash;
mod uploads;
