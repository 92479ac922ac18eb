//! The copy engine: makes one directory tree equal to another, verifies it, and deletes trees. A library without
//! Kubernetes; caches, moves, the trash and `wfs sync` stand on it.
//!
//! **Guarantees.** Whatever is opened is opened beneath the two directories that the caller hands in, one name at a time
//! and never through a symbolic link: nothing outside them is read or written, whoever swaps what meanwhile. (A directory
//! that is moved elsewhere while it is in work is still worked in: it is the one that was beneath.) A file
//! appears under its name whole: a reader sees the old one or the new one. A source that changes while it is read is
//! copied again or reported, never mixed. A run that is cut anywhere leaves a tree that the next run completes; its
//! temporary files are removed by that one. Every path that was found is counted once, as done, unchanged, failed or
//! skipped ([`Report::adds_up`]).
//!
//! **Linking.** With [`Options::earlier`], what is unchanged since an earlier copy is linked from there, as generations
//! of a cache share their files: compared as with a file that is in the destination already, and not read. A file of
//! which anything differs is copied; one that has another name is never changed in place. So the earlier copy stays as
//! it was, but for its files' number of links and ctime.
//!
//! **Units.** Sizes are bytes, rates bytes per second. Paths are relative to the directories handed in and may hold any
//! byte but `/` and NUL.

mod abilities;
mod allowance;
mod attributes;
mod chunked;
mod compare;
mod comparison;
mod confirm;
mod copy;
mod delete;
mod digest;
mod directory;
mod doom;
mod earlier;
mod engine;
mod error;
mod files;
mod filter;
mod limit;
mod linking;
mod links;
mod listing;
mod locked;
mod manifest;
mod move_up;
mod names;
mod nfs4_acl;
mod options;
mod pace;
mod place;
mod progress;
mod pump;
mod queue;
mod rate;
mod recorder;
mod report;
mod run;
mod selection;
mod setup;
mod stat;
mod temporary;
mod time;
mod trouble;
mod verify;
mod visit;
mod worker;

pub use comparison::compare;
pub use confirm::Confirm;
pub use delete::{DeleteError, DeleteOptions, DeleteReport, delete};
pub use error::SyncError;
pub use filter::{Filter, FilterError};
pub use manifest::{Entry, ManifestError, ManifestReader};
pub use options::{DeleteLimit, Earlier, Keep, Options};
pub use progress::{Control, Snapshot, Snapshots};
pub use recorder::{Counted, Counting, Recorder, Said, Version};
pub use report::{Counts, Note, Problem, Report, Stop, Tally};
pub use run::{sync, sync_confirmed};
pub use rustix::io::Errno;
pub use time::Time;
pub use verify::{Difference, Verify, VerifyError, VerifyReport, Wrong, verify, verify_entries};
