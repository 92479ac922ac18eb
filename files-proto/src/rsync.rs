//! What is said of a FileSystem's rsync daemon (ADR 19), and the names under which `files` and the daemon's container find each
//! other in the folder that they share.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the connection becomes, in the header `Upgrade`.
pub const PROTOCOL: &str = "wsfs-rsync";
/// The daemon's socket, in the shared folder.
pub const SOCKET_FILE: &str = "socket";
/// The secret of its port, as JSON ([`RsyncSecret`]), in the shared folder; there is none where no port is exposed.
pub const EXPOSED_FILE: &str = "exposed.json";

/// Whether there is one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rsync {
    /// Whether uploads by rsync are switched on.
    pub enabled: bool,
}

/// How whoever is not behind the gateway gets in.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RsyncSecret {
    /// The one user: the workspace's name.
    pub user: String,
    /// Another one every hour.
    pub password: String,
    /// TCP port at the FileSystem's Service.
    pub port: u16,
}

impl fmt::Debug for RsyncSecret {
    /// Without the password: it must stand in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsyncSecret")
            .field("user", &self.user)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
