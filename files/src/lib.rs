//! The file API of one FileSystem, over HTTPS: lists, reads, writes, deletes what lies in one mounted directory, for
//! whoever the gateway vouches for. It knows neither Kubernetes nor who its callers are. The contract is ADR 18.
//!
//! From below: [`root`] resolves paths beneath the directory, [`place`] and [`write`] make files whole, [`trash`], [`walk`] and
//! [`tree`] deal with what is there; `imports` brings what lies in buckets.

pub mod app;
pub mod archive;
pub mod auth;
mod bundle;
pub mod cli;
pub mod conditions;
pub mod copy;
mod disk;
pub mod error;
pub mod facts;
pub mod http;
mod ids;
mod imports;
mod kept;
pub mod listing;
pub mod memory;
pub mod metrics;
pub mod openapi;
mod opened;
pub mod place;
pub mod placing;
pub mod pool;
pub mod receive;
pub mod record;
mod refusals;
pub mod room;
pub mod root;
mod routes;
pub mod server;
mod settling;
pub mod shares;
#[cfg(test)]
mod swapped;
pub mod sweep;
pub mod tls;
pub mod trash;
pub mod tree;
mod turns;
mod unpack;
pub mod uploads;
pub mod walk;
mod watched;
pub mod write;

pub use error::Error;
