//! Listening on a unix socket that only root may open, that replaces what a killed predecessor left, and that comes back
//! when somebody removes its file.
//!
//! The socket is made under a hidden name with mode 0600 and then renamed into place: whoever finds it (kubelet watches
//! its registry folder) finds it private and already listening.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::Stream;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{UnixListener, UnixStream};

/// How often the socket's file is looked at. One stat; a person or a cleaning script removes it rarely.
const CHECK_SECONDS: u64 = 5;
/// How long to wait after a failed accept or bind: the cause (no descriptors, no folder) does not go in a blink.
const RETRY_SECONDS: u64 = 1;
const BACKLOG: i32 = 128;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something that is no socket has this name; it is not ours to remove.
    #[error("{0:?} exists and is not a socket")]
    Foreign(PathBuf),
    /// A system call failed.
    #[error("cannot {what} {path:?}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
}

/// A listening socket and the file that leads to it. The file is removed on drop, unless a successor has replaced it.
#[derive(Debug)]
pub struct PrivateSocket {
    listener: UnixListener,
    path: PathBuf,
    identity: Identity,
}

type Identity = (u64, u64);

impl PrivateSocket {
    /// Listens on `path`. Makes its folder (0700) if it is missing. Needs a tokio runtime.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |what| {
            let path = path.to_path_buf();
            move |source: io::Error| SocketError::Io { what, path, source }
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed("make the folder of"))?;
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::Foreign(path.into())),
            _ => {}
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Kubelet passes over names that begin with a dot.
        let hidden = folder.join(format!(".{name}"));
        let listener = listen(&hidden).map_err(failed("listen on"))?;
        let identity = identity(&hidden).map_err(failed("stat"))?;
        std::fs::rename(&hidden, path).map_err(failed("rename into place"))?;
        Ok(Self { listener, path: path.into(), identity })
    }

    fn is_in_place(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The connections made to it, for ever: failed accepts are logged, a removed file is made again.
    pub fn incoming(self) -> impl Stream<Item = io::Result<UnixStream>> {
        futures::stream::unfold(self, |mut socket| async move {
            let stream = socket.accept().await;
            Some((Ok(stream), socket))
        })
    }

    async fn accept(&mut self) -> UnixStream {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => return stream,
                    Err(error) => {
                        tracing::warn!(%error, socket = ?self.path, "accept failed");
                        tokio::time::sleep(Duration::from_secs(RETRY_SECONDS)).await;
                    }
                },
                () = tokio::time::sleep(Duration::from_secs(CHECK_SECONDS)) => self.come_back(),
            }
        }
    }

    fn come_back(&mut self) {
        if self.is_in_place() {
            return;
        }
        match Self::bind(&self.path) {
            Ok(socket) => {
                tracing::warn!(socket = ?self.path, "the socket's file was removed: made again");
                *self = socket;
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the socket's file was removed")
            }
        }
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        // A successor (rolling update) may have its own socket here already.
        if self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// The mode is set on the descriptor before the name exists: there is no moment at which others could connect, and no
/// process-wide umask to change.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::pin::pin;

    use futures::StreamExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn the_socket_and_a_folder_made_for_it_are_private() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("plugin/csi.sock");
        let socket = PrivateSocket::bind(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let names: Vec<_> =
            std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["csi.sock"], "no hidden file is left");
        drop(socket);
        assert!(!path.exists(), "removed when it is closed");
    }

    #[tokio::test]
    async fn a_dead_predecessors_socket_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("csi.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(std::os::unix::net::UnixStream::connect(&path).is_err(), "a stale file");
        let _socket = PrivateSocket::bind(&path).unwrap();
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_never_replaced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("csi.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(PrivateSocket::bind(&path), Err(SocketError::Foreign(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn an_ending_process_leaves_its_successors_socket() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("csi.sock");
        let old = PrivateSocket::bind(&path).unwrap();
        let _new = PrivateSocket::bind(&path).unwrap();
        drop(old);
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn a_removed_socket_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("csi.sock");
        let mut incoming = pin!(PrivateSocket::bind(&path).unwrap().incoming());
        std::fs::remove_file(&path).unwrap();
        let connect = async {
            for _ in 0..200 {
                if let Ok(stream) = UnixStream::connect(&path).await {
                    return stream;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("the socket did not come back");
        };
        let (_client, server) = tokio::join!(connect, incoming.next());
        assert!(server.unwrap().is_ok());
    }
}
