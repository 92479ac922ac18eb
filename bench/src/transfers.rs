//! Files over HTTP and from buckets (goals G13 and G14): the program `files` as it is installed, beside nginx, s5cmd and rclone.
//! `races` says who does what, `course` does it; the others start and ask the servers that it takes.

mod command;
mod contents;
mod course;
mod files;
mod identity;
mod nginx;
mod process;
mod races;
mod stub;

pub(crate) use contents::{files, same_contents};
pub use course::Servers;
pub(crate) use identity::free_address;
pub(crate) use process::Process;
pub use races::TRANSFERS;
