//! The mover: copies chosen folders of a source into a generation of a cache, verifies it, and makes it final. A
//! process of a workspace's own, with two directories and no Kubernetes; what it says is [`workspacefs_api::mover`].
//!
//! The source is a file system, or a bucket (module `bucket`), which is one path.
//!
//! **On the target.** `<generation>/data` holds the paths at their places; beside it lie `manifest/<n>`, what the copy
//! engine verifies path number n by, and `paths.json`, what came of each path. A generation is filled as
//! `filling-<generation>`, verified and renamed: what has the name is whole and is never changed again. One that is to
//! go is renamed first, to `removing-<generation>`. `lock` keeps a second mover out.
//!
//! **Guarantees.** The source is only read. Nothing is followed: a link at a path, or on the way to it, is no folder. A
//! path is [`Whole`](workspacefs_api::PathState::Whole) only if everything in it was copied and, once it was on the target's
//! disk or server, read back and compared; what is linked from the earlier generation was so when that was made.
//! A run that is cut anywhere is completed by the next one, which reads again nothing that the engine had written down
//! as done. What becomes of one path does not concern the others.
//!
//! **Units.** Sizes are bytes. The only time of the wall clock is `asOf`, in seconds since 1970.

mod abort;
mod args;
mod bucket;
mod capacity;
mod copying;
mod engine;
mod fill;
mod filling;
mod generation;
mod http;
mod job;
mod meter;
mod names;
mod pace;
mod path;
mod record;
mod removal;
mod run;
mod scrub;
mod source;
mod target;
mod unchanged;
mod verdict;

pub use args::{Args, VerifyArg};
pub use bucket::Origin;
pub use engine::{CopyEngine, Engine};
pub use http::serve;
pub use job::{BucketFill, Fill, Job, Task};
pub use meter::Meter;
pub use path::{CachePath, PathError};
pub use run::{failed, run};
