//! End-to-end suites: what users rely on, one named rule per case, checked on the test cluster with the product installed.
//!
//! A suite is a list of [`Case`]s. [`run`] runs them, each in a namespace of its own, and prints each one's name, time and
//! outcome. Errors are `anyhow`'s: a case has nobody who would match on them, a person reads them.

mod cache;
mod case;
mod cli;
mod context;
mod fault;
mod files;
mod fio;
mod hygiene;
mod local;
mod managed;
mod node;
mod pod;
mod report;
mod runner;
mod shared;
mod wait;

pub use cache::{FILL_TIME_MAX as CACHE_FILL_TIME_MAX, Generation, copy_in, mounted};
pub use case::{Case, Suite};
pub use cli::install_clients as install_lep_clients;
pub use context::Context;
pub use fault::Fault;
pub use files::{Answer, Door, FAR, FAR_NODE, Files, GATEWAY_NODE, IMPORTS_FROM, Shop, Visitor};
pub use files::{browser_pictures, encoded};
pub use fio::FIO_IMAGE;
pub use local::{DIRECTORIES as LOCAL_DIRECTORIES, disks as local_disks, identity as local_identity};
pub use local::{GROUP as LOCAL_GROUP, NAME as LOCAL_NAME, on_disks as local_on_disks};
pub use pod::PodSpec;
pub use report::surroundings;
pub use runner::{Choice, Options, Summary, clean_up, clear, in_namespace, run, with_context};
pub use shared::shortest_trip;
pub use wait::{seconds, until};

/// The suite of that name.
pub fn named(name: &str) -> Option<Suite> {
    all().find(|suite| suite.name == name)
}

fn all() -> impl Iterator<Item = Suite> {
    [shared::suite, managed::suite, cache::suite, local::suite, files::suite, cli::suite]
        .into_iter()
        .map(|suite| suite())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn every_case_of_a_suite_has_a_namespace_of_its_own() {
        for suite in super::all() {
            let name = |case: &super::Case| super::runner::namespace_name(case.name);
            let names: HashSet<_> = suite.cases.iter().map(name).collect();
            assert_eq!(names.len(), suite.cases.len(), "{}", suite.name);
        }
    }
}
