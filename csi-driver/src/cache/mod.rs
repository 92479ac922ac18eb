//! FsCaches as a node sees them: what it knows of each ([`known`], [`state`]), which copies a volume gets
//! ([`decision`]; [`claim`] for those that are claims of their own), where those lie ([`ground`]), and what it tells of their use ([`report`]).
//!
//! Everything is decided from memory, which watches keep current: a publish waits for no API server, and what is not
//! known is not shown ([ADR 15](../../../docs/adr/0015-caches.md)). How a copy comes into a volume is the Node
//! service's affair (`node::nest`).

pub mod claim;
pub mod decision;
pub mod figures;
pub mod ground;
pub mod known;
pub mod report;
pub mod state;

pub use figures::CopyFigures;
pub use ground::{Dedicated, Ground, Lies};
pub use known::{Known, Target};
pub use state::Caches;
