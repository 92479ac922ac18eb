//! Measuring: the part that runs where the measured thing runs, and the arithmetic. `cargo xtask bench` puts it on a
//! machine of the test cluster, or starts it on this computer where trees of files are measured, collects what it says and
//! writes docs/performance.md.

pub mod arena;
pub mod command_line;
pub mod connect;
pub mod files;
pub mod goals;
pub mod report;
pub mod run;
pub mod summary;
pub mod transfers;
pub mod tree;
pub mod turns;

pub use connect::connect;
pub use report::{DriverReport, FilesReport, UsageReport, VolumeReport};
pub use summary::Summary;
