//! The local driver's controller RPCs over a unix socket, on LocalStorages, LocalVolumes and nodes of the tests' own; and the
//! same on an API server in this process.
#![allow(clippy::unwrap_used)]

mod api;
#[path = "../common/mod.rs"]
mod common;
mod create;
mod delete;
mod expand;
mod kills;
mod questions;
mod world;
