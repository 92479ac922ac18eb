//! The command line (goal G17): `wfs storage` against the gateway and the file API as they are installed, beside the real `lep storage`
//! client, rsync to our daemon, and a tar stream, each 20 ms away. `races` says who does what, `course` does it, `far` starts the
//! servers and `distance` puts them there.

mod command;
mod course;
mod distance;
mod far;
mod lep;
mod pki;
mod races;

pub use course::{Counter, STARTS};
pub use distance::Distance;
pub use races::COMMANDS;

/// The release of the real client that we are measured against.
pub const LEP_VERSION: &str = workspacefs_testkit::lep::NEW.version;
