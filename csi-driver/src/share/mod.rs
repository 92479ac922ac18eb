//! Shares: one kernel mount per server, export and options, with one long-lived helper process that does everything that
//! may wait for the server. The plugin itself never touches a path on a share; it asks, with a deadline, and gets an
//! answer, a typed error, or a helper that is killed and forgotten.
//!
//! - [`ShareSpec`], [`ShareKey`]: what a share is.
//! - [`Shares`]: the table of them, and the operations.
//! - [`helper`]: the other side, a process of the same binary.

mod entry;
mod error;
pub mod helper;
mod process;
mod protocol;
pub(crate) mod record;
mod spec;
mod sweep;
mod table;
mod view;

pub use entry::Silence;
pub use error::ShareError;
pub use protocol::{
    CACHE, CopyPart, CreatedVolume, FolderRequest, Leaving, OwnFolder, Part, PosixOwner, StuckInTrash, Taken,
    TrashSlice, TrashSwept, Usage, ViewRequest, VolumeName, VolumeRecord,
};
pub use spec::{ShareKey, ShareSpec};
pub use table::{Keep, Shares, SharesConfig, StartError};
pub(crate) use view::Unfinished;
pub use view::View;
