//! The gateway (ADR 18): the only door to the files of workspaces. It knows who calls and what they may, by the API server's word,
//! and nothing of files; what it lets through goes to the FileSystem's `files`, with a signed assertion and without any token.

mod answers;
pub mod api;
pub mod audit;
pub mod caller;
pub mod cli;
pub mod error;
pub mod files;
pub mod gateway;
pub mod lep;
pub mod limits;
pub mod listen;
pub mod manifest;
pub mod metrics;
pub mod objects;
pub mod pages;
pub mod review;
pub mod run;
pub mod secret;
