//! The suite `shared`: a FileSystem, its claim and its inline volumes on real kubelets with a real NFS server, from
//! `kubectl apply` to every fault that the harness can make.

mod api_server;
mod claims;
pub mod driver;
mod examples;
mod frozen;
mod full;
mod hygiene;
mod inline;
mod machines;
mod mounts;
mod names;
mod node_group;
pub mod operator;
mod owner;
mod read_only;
mod refusals;
mod removal;
mod servers;
mod set_up;
mod writer;

pub use machines::shortest_trip;
pub use set_up::{SECOND_EXPORT, SECOND_SERVER, begin_second_server, end_second_server};

use super::case::Suite;

/// The suite. What disturbs nothing comes first; each fault has the cluster to itself; last, nothing may be left.
pub fn suite() -> Suite {
    let parts = [
        examples::cases(),
        mounts::cases(),
        claims::cases(),
        servers::cases(),
        inline::cases(),
        node_group::cases(),
        owner::cases(),
        read_only::cases(),
        names::cases(),
        refusals::cases(),
        removal::cases(),
        full::cases(),
        driver::cases(),
        operator::cases(),
        frozen::cases(),
        api_server::cases(),
        machines::cases(),
        hygiene::cases(),
    ];
    let cases = parts.into_iter().flatten().collect();
    Suite { name: "shared", cases, prepare: set_up::prepare, tidy_up: set_up::tidy_up }
}
