//! The file API over real HTTP on loopback, with a key of the test's own. The client writes requests byte by byte: what callers
//! are not supposed to send is what most of this is about.

mod browse;
mod change;
mod content;
mod contract;
mod harness;
mod hostile;
mod quota;
mod streams;
mod trash;
mod uploads;
