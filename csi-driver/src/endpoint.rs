//! Where a process listens: `unix:///path`, `unix:/path` or a bare absolute path. Sockets of other kinds are refused:
//! CSI has no authentication of its own, so who may open the file may call.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The kernel's limit for a socket's path is 107 bytes and a closing zero (unix(7)); one is left for the dot of the
/// hidden name under which the socket is made.
const SOCKET_PATH_BYTES_MAX: usize = 106;

/// The path of a unix socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint(PathBuf);

/// The text names no unix socket.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum EndpointError {
    /// Another scheme, or a relative path.
    #[error("{0:?} is not unix:///absolute/path")]
    NotUnix(String),
    /// Longer than the kernel takes.
    #[error("{0:?} is longer than the {SOCKET_PATH_BYTES_MAX} bytes a unix socket's path may have")]
    TooLong(String),
}

impl Endpoint {
    /// The socket's absolute path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let path = match text.strip_prefix("unix:") {
            // Three slashes: an empty authority, then the path. Two would make the first folder a host name.
            Some(rest) if rest.starts_with("///") => &rest[2..],
            Some(rest) if rest.starts_with("//") => return Err(EndpointError::NotUnix(text.into())),
            Some(rest) => rest,
            None => text,
        };
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
            return Err(EndpointError::NotUnix(text.into()));
        }
        if path.len() > SOCKET_PATH_BYTES_MAX {
            return Err(EndpointError::TooLong(text.into()));
        }
        Ok(Self(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_address_with_an_absolute_path_is_an_endpoint() {
        for text in ["unix:///csi/csi.sock", "unix:/csi/csi.sock", "/csi/csi.sock"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().path(), Path::new("/csi/csi.sock"), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "csi.sock", "tcp://0.0.0.0:1", "unix://csi.sock", "unix://csi/csi.sock", "unix:///", "unix:"]
        {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::NotUnix(text.into())), "{text}");
        }
        let long = format!("/{}", "a".repeat(SOCKET_PATH_BYTES_MAX));
        assert_eq!(long.parse::<Endpoint>(), Err(EndpointError::TooLong(long.clone())));
        assert!(long[..SOCKET_PATH_BYTES_MAX].parse::<Endpoint>().is_ok());
    }
}
