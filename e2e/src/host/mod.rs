//! What the harness does on the computer it runs on: programs to their end, processes that stay, the network namespace.

pub mod command;
pub mod forward;
pub mod lock;
pub mod namespace;
pub mod network;
pub mod pressure;
pub mod process;
