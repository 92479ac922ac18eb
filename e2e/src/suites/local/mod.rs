//! The suite `local`: the disks of the nodes, from what is found on them to what pods see when one fails. Almost every case
//! has the cluster to itself: there are two disks on each node, and they are blank again after each.

mod admission;
mod claimed;
pub mod disks;
mod entries;
mod examples;
mod failures;
mod found;
mod hygiene;
pub mod killed;
mod occupied;
mod pulled;
mod quotas;
mod renamed;
pub mod scheduling;
pub mod set_up;
pub mod storage;
mod volumes;
mod volumes_faults;
mod workspaces;

pub use failures::DIRECTORIES;
pub use storage::{GROUP, NAME, identity, on_disks};

use super::case::Suite;

/// The suite. What disturbs nothing comes first; last, nothing may be left.
pub fn suite() -> Suite {
    let parts = [
        found::cases(),
        examples::cases(),
        workspaces::cases(),
        quotas::cases(),
        admission::cases(),
        scheduling::cases(),
        volumes::cases(),
        volumes_faults::cases(),
        entries::cases(),
        occupied::cases(),
        killed::cases(),
        pulled::cases(),
        failures::cases(),
        renamed::cases(),
        hygiene::cases(),
    ];
    let cases = parts.into_iter().flatten().collect();
    Suite { name: "local", cases, prepare: set_up::prepare, tidy_up: set_up::tidy_up }
}
