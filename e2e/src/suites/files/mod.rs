//! The suite `files`: the files of a workspace through the gateway, from a login to a browser's flows, while rights, processes and
//! nodes come and go.
//!
//! The cases are people: each has ServiceAccounts with the chart's roles, whose tokens they bring to the gateway's Service. n1 and n2
//! are a node group each, so that a case can say where the `files` of a FileSystem run; the gateway runs on n1. No workspace has a
//! default FileSystem here: each would have a pod of its own.

mod answer;
mod browser;
mod content;
mod day;
mod dedicated;
mod door;
mod hygiene;
mod imports;
mod killed;
mod names;
mod people;
mod pods;
mod raw;
mod removal;
mod rights;
mod set_up;
mod trust;
mod tus;

pub use answer::{Answer, encoded};
pub use browser::pictures as browser_pictures;
pub use content::{Content, MIB, digest};
pub use door::{Door, Files, Visitor};
pub use hygiene::nothing_of_files_is_left_when_no_file_system_is_there;
pub use people::{EDITOR, Shop, VIEWER};
pub use set_up::{FAR, FAR_NODE, GATEWAY_NODE, IMPORTS_FROM, NEAR, prepare, tidy_up};
pub use trust::believing;

use super::case::Suite;

/// The suite. What disturbs nothing comes first, the longest of it before the rest; last, nothing may be left.
pub fn suite() -> Suite {
    let parts = [
        killed::cases(),
        imports::cases(),
        day::cases(),
        rights::cases(),
        names::cases(),
        removal::cases(),
        dedicated::cases(),
        browser::cases(),
        hygiene::cases(),
    ];
    let cases = parts.into_iter().flatten().collect();
    Suite { name: "files", cases, prepare: set_up::prepare, tidy_up: set_up::tidy_up }
}
