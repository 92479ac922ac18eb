//! The folders on a disk in memory: the rules, and what holds when an operation is cut.

// Every line here is a test.
#![allow(clippy::unwrap_used)]

mod discards;
mod fake;
mod kills;
mod rate;
mod rules;
mod volumes;
mod world;
