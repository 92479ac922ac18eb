//! The controller's RPCs over a unix socket, on FileSystems, shares and an agent of the tests' own.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod idempotent;
mod ids;
mod kills;
mod managed;
mod share;
mod world;
