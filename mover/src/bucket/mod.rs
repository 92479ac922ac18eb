//! A bucket as the source of a generation. It is one path, the root: every object beneath the prefix is a file, at what follows the
//! last slash of the prefix in its key.
//!
//! **Files** are root's, `0644`, in folders `0755`, with the time that the object was written: a bucket knows no owners. One is
//! fetched as one version, under another name, and has its own once it is whole. An object that is changed meanwhile is begun
//! again; one that is gone by then is none.
//!
//! **Versions.** The manifest has each object's size, time and a digest of its ETag ([`workspacefs_sync::Version`]): what says the same
//! at the next refresh is linked from the generation before, and what a run that was cut had written down is not fetched again.
//!
//! **Keys that can be no files** are told by number and name, and do not keep the rest from being whole: no later run could make
//! files of them. Empty objects with a slash at the end stand for folders, and nothing is said of them.

mod claims;
mod copying;
mod fetching;
mod fill;
mod notes;
mod origin;
mod sweep;
mod tree;
mod version;

pub(crate) use fill::fill;
pub use origin::Origin;

/// The one path that a bucket is.
pub(crate) const ROOT: &str = workspacefs_api::fs_cache::WHOLE;
