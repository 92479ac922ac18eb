//! The file API of one FileSystem, over HTTPS: lists, reads, writes, deletes what lies in one mounted directory, for
//! whoever the gateway vouches for. It knows neither Kubernetes nor who its callers are. The contract is ADR 18.
//!
//! From below: [`root`] resolves paths beneath the directory, [`place`] and [`write`] make files whole, [`trash`], [`walk`] and
//! [`tree`] deal with what is there; `imports` brings what lies in buckets.

pub mod error;
pub mod facts;
mod ids;
#[allow(dead_code, reason = "until there are routes")]
mod imports;
pub mod place;
pub mod pool;
pub mod room;
pub mod root;
pub mod trash;
pub mod tree;
pub mod walk;
pub mod write;

pub use error::Error;
