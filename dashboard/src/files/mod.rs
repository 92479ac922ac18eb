//! The door to the file APIs: which request takes which rights, which headers pass, and the way there and back.

pub mod disposition;
pub mod headers;
pub mod imports;
pub mod leash;
mod proxy;
mod route;
mod tunnel;
mod upstream;

pub use proxy::{Place, allowed, forward, proxy};
pub use tunnel::{Exposed, exposed, tunnel};
pub use upstream::{Locate, Upstream};
