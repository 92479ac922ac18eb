//! Measuring: the part that runs where the measured thing runs, and the arithmetic. `cargo xtask bench` puts it on a
//! machine of the test cluster, collects what it says and writes docs/performance.md.

pub mod connect;
pub mod files;
pub mod report;
pub mod summary;

pub use connect::connect;
pub use report::{DriverReport, FilesReport, UsageReport, VolumeReport};
pub use summary::Summary;
