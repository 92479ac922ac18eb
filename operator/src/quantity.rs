//! Kubernetes quantities: as the API crate reads and writes them, for the driver too.

pub use workspacefs_api::quantity::{bytes, exact, milli, rounded};
