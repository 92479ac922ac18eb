//! The routes: each reads its request, calls what does the work where calls may wait, and makes the answer.

pub mod batch;
pub mod browse;
pub mod change;
pub mod content;
pub mod rsync;
pub mod streams;
pub mod trash;
pub mod uploads;
