//! An open file that is closed where nobody waits for it. Over NFS close(2) sends what was written, and asks the server: where that
//! does not answer it does not return. On a thread that serves everybody it would hang all others, and what asks whether this
//! process is alive.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};

use tokio::runtime::Handle;

/// See the module.
#[derive(Debug)]
pub struct Opened(Option<File>);

impl Opened {
    /// Of this file.
    pub fn new(file: impl Into<File>) -> Self {
        Self(Some(file.into()))
    }

    /// The file, for whoever closes it himself where he may wait. Nothing can be done with this any more.
    pub fn take(&mut self) -> Option<File> {
        self.0.take()
    }
}

impl Deref for Opened {
    type Target = File;

    fn deref(&self) -> &File {
        self.0.as_ref().expect("it is taken only where this is given up")
    }
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        File::as_fd(self)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let Some(file) = self.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(file))),
            Err(_) => drop(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::time::{Duration, Instant};

    use rustix::net::sockopt::set_socket_linger;

    use super::*;

    /// What it takes to close this: a socket that waits until its peer has taken everything stands for a file of a server that
    /// does not answer.
    const LINGER: Duration = Duration::from_secs(4);

    fn slow_to_close() -> (OwnedFd, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        slow.set_nonblocking(true).unwrap();
        let mut sent = 0;
        let full = loop {
            match slow.write(&[7; 65_536]) {
                Ok(bytes) => sent += bytes,
                Err(error) => break error,
            }
        };
        assert!(full.kind() == ErrorKind::WouldBlock && sent > 0, "{full}");
        slow.set_nonblocking(false).unwrap();
        set_socket_linger(&slow, Some(LINGER)).unwrap();
        (slow.into(), peer)
    }

    #[test]
    fn a_close_that_does_not_return_holds_up_nobody_who_serves_others() {
        let (slow, _peer) = slow_to_close();
        let began = Instant::now();
        drop(slow);
        assert!(began.elapsed() > LINGER / 2, "it is no slow one: {:?}", began.elapsed());

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (slow, mut peer) = slow_to_close();
        let began = Instant::now();
        runtime.block_on(async { drop(Opened::new(File::from(slow))) });
        assert!(began.elapsed() < LINGER / 2, "{:?}", began.elapsed());
        // It is closed all the same.
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert!(!all.is_empty());
        runtime.shutdown_background();
    }
}
