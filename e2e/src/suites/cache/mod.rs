//! The suite `cache`: copies of folders of a FileSystem next to a node group's pods, from `kubectl apply` of an FsCache to what
//! pods read when a mover, a node plugin, a disk or the source's server is gone, and when a target is full or read-only.
//!
//! n1 is the node group and n2 is outside of it, so that one look at both tells the copy from the source. All cases share one
//! LocalStorage on n1's disk, which lists each case's namespace: they can go side by side, but for those that break something.

mod admission;
mod bucket;
mod caches;
mod changing;
mod claimed;
mod clock;
mod deletion;
mod facts;
mod filling;
mod frozen;
mod group_target;
mod hygiene;
mod killed;
mod local_cache;
mod lost;
mod nodes;
mod obstacles;
mod paths;
mod placed;
mod power;
mod read_only;
mod refresh;
mod refusals;
mod room;
mod scrub;
mod set_up;
mod shown;
mod silent_target;
mod source;
mod twice;

pub use caches::{FILL_TIME_MAX, Generation};
pub use facts::{copy_in, mounted};

use super::case::Suite;

/// The suite. What disturbs nothing comes first, the longest of it before the rest; last, nothing may be left.
pub fn suite() -> Suite {
    let parts = [
        scrub::cases(),
        refresh::cases(),
        filling::cases(),
        changing::cases(),
        read_only::cases(),
        shown::cases(),
        twice::cases(),
        claimed::cases(),
        deletion::cases(),
        bucket::cases(),
        group_target::cases(),
        placed::cases(),
        paths::cases(),
        obstacles::cases(),
        admission::cases(),
        refusals::cases(),
        killed::cases(),
        frozen::cases(),
        local_cache::cases(),
        nodes::cases(),
        room::cases(),
        read_only::cases_alone(),
        lost::cases(),
        power::cases(),
        clock::cases(),
        silent_target::cases(),
        hygiene::cases(),
    ];
    let cases = parts.into_iter().flatten().collect();
    Suite { name: "cache", cases, prepare: set_up::prepare, tidy_up: set_up::tidy_up }
}
