//! Whether an NFS server answers: condition Reachable. Asked with the NULL procedure over TCP, which mounts nothing, and at
//! most once per server and interval, however many FileSystems lie on it.

pub mod ask;
pub mod rpc;
pub mod shared;

use std::fmt;

/// A server to ask.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Target {
    /// Host name or address.
    pub server: String,
    /// TCP port.
    pub port: u16,
    /// Version of program 100003.
    pub version: u32,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, port, .. } = self;
        if server.contains(':') { write!(f, "[{server}]:{port}") } else { write!(f, "{server}:{port}") }
    }
}

/// What came of asking.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// An NFS server of the version asked for.
    Answered,
    /// An NFS server, but only of these versions.
    OtherVersions(u32, u32),
    /// Nothing listens on the port.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The network says that there is no way there.
    NoRoute(String),
    /// The name has no address.
    NameUnknown(String),
    /// Something answers that is no NFS server.
    NotNfs(String),
}

impl Outcome {
    /// The condition's reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Answered | Self::OtherVersions(..) => "Answered",
            Self::Refused => "Refused",
            Self::TimedOut => "TimedOut",
            Self::NoRoute(_) => "NoRoute",
            Self::NameUnknown(_) => "NameUnknown",
            Self::NotNfs(_) => "NotNfs",
        }
    }

    /// Whether the server is there.
    pub fn reachable(&self) -> bool {
        matches!(self, Self::Answered | Self::OtherVersions(..))
    }

    /// A sentence on what was found and, where it helps, what to do. Equal outcomes give equal sentences.
    pub fn message(&self, target: &Target) -> String {
        let Target { server, version, port } = target;
        match self {
            Self::Answered => format!("{target} answers as an NFS server"),
            Self::OtherVersions(low, high) => {
                format!("{target} is an NFS server, but speaks versions {low} to {high}, not {version}")
            }
            Self::Refused => format!("{target} refuses connections: does an NFS server run there?"),
            Self::TimedOut => {
                format!("{target} does not answer: is it up, and does a firewall let TCP port {port} pass?")
            }
            Self::NoRoute(cause) => format!("{target} cannot be reached: {cause}"),
            Self::NameUnknown(cause) => format!("the name {server} has no address: {cause}"),
            Self::NotNfs(cause) => format!("{target} is not an NFS server: {cause}"),
        }
    }
}
