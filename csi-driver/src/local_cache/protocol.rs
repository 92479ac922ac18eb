//! What the plugin and the cache's helper process say to each other: one question, one answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The first message to a new helper. It is not answered.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Hello {
    /// The kernel's device.
    pub device: PathBuf,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Question {
    /// Binds a folder as the cache.
    Bind(PathBuf),
    /// Looks after it, for so many milliseconds at most, looking through it apart.
    Tend { within_ms: u64 },
    /// Unbinds it.
    Unbind,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    Bound,
    Tended(Tended),
    Unbound,
}

/// What came of it.
pub(super) type Reply = Result<Answer, Refusal>;

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tended {
    /// The kernel asked for room.
    pub culling: bool,
    /// So many files were thrown away.
    pub culled: u64,
    /// It wants more, and there was no time left.
    pub unfinished: bool,
    /// How full the cache is.
    pub space: Space,
}

/// How full the cache is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Space {
    /// Of its file system.
    pub bytes_total: u64,
    /// Taken.
    pub bytes_used: u64,
}

/// Why the helper did not do it.
#[derive(Clone, Debug, Deserialize, Eq, Error, PartialEq, Serialize)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of reason that is.
    pub kind: RefusalKind,
    /// For a person.
    pub message: String,
}

/// See [`Refusal`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RefusalKind {
    /// Another program has the kernel's cache.
    DeviceBusy,
    /// The kernel has none.
    Unsupported,
    /// The folder cannot be bound, and not because of what is in it.
    Bind,
    /// It cannot be bound, by an error of its file system or disk.
    Damaged,
    /// The kernel gave the cache up.
    Dead,
    /// Nothing is bound, or the device does not answer as it should.
    Broken,
}
