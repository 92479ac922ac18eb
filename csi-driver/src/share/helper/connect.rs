//! Whether a server is there at all: its name resolved, and a TCP connection made and closed again. The kernel's NFS
//! client says "timed out" for almost everything; this says which it is, and within a few seconds.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::super::ShareError;

/// NFS over TCP (RFC 7530 §3.1).
pub(super) const NFS_PORT: u16 = 2049;
/// Longer than the first two of a resolver's questions take by default (resolv.conf(5): 5 s each), so that its second name
/// server is heard. getaddrinfo itself knows no limit.
const RESOLVE_MAX: Duration = Duration::from_secs(11);
/// No server that works takes longer to accept.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// A name may have many addresses; these many are tried.
const ADDRESSES_MAX: usize = 4;

/// Both ends of the connection that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    /// The server.
    pub server: SocketAddr,
    /// This node's address on the way to it.
    pub local: SocketAddr,
}

/// Tries the addresses of `server` until one accepts.
pub(super) fn reach(server: &str, port: u16, by: Instant) -> Result<Reached, ShareError> {
    let addresses = resolve(server, port, by)?;
    let mut last = None;
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        match connect(address, by) {
            Ok(reached) => return Ok(reached),
            Err(error) => last = Some((address, error)),
        }
    }
    let (server, reason) = match last {
        Some((address, error)) if address.ip().to_string() == server => (address.to_string(), words(&error)),
        Some((address, error)) => (format!("{server} ({address})"), words(&error)),
        None => (server.to_string(), "its name has no address".into()),
    };
    Err(ShareError::Unreachable { server, reason })
}

fn resolve(server: &str, port: u16, by: Instant) -> Result<Vec<SocketAddr>, ShareError> {
    let unresolved = |reason| ShareError::NameUnresolved { server: server.into(), reason };
    let patience = RESOLVE_MAX.min(most_of(by));
    let (sender, receiver) = mpsc::channel();
    let name = server.to_string();
    // Whoever asks name servers cannot be called back: it is left to itself when that takes too long.
    thread::spawn(move || {
        let addresses = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Nobody listens any more: too late.
        let _ = sender.send(addresses);
    });
    match receiver.recv_timeout(patience) {
        Ok(addresses) => addresses.map_err(|error: io::Error| unresolved(error.to_string())),
        Err(_) => Err(unresolved(format!("no name server answered within {} s", patience.as_secs()))),
    }
}

fn connect(address: SocketAddr, by: Instant) -> io::Result<Reached> {
    let patience = CONNECT_MAX.min(most_of(by)).max(Duration::from_millis(1));
    let stream = TcpStream::connect_timeout(&address, patience)?;
    Ok(Reached { server: address, local: stream.local_addr()? })
}

/// Of the time that is left; the rest is for the answer to reach its caller.
fn most_of(by: Instant) -> Duration {
    by.saturating_duration_since(Instant::now()).mul_f32(0.7)
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused: the machine is there, but no NFS server listens".into()
        }
        io::ErrorKind::TimedOut => {
            "connection timed out: the machine is off or cut off, or a firewall drops the packets".into()
        }
        io::ErrorKind::HostUnreachable => {
            "no route to host: the machine is off, or its address is wrong".into()
        }
        io::ErrorKind::NetworkUnreachable => "network unreachable: this node has no route to it".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(2)
    }

    #[test]
    fn a_server_that_listens_is_reached_and_both_ends_are_known() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let reached = reach("127.0.0.1", port, soon()).unwrap();
        assert_eq!(reached.server, listener.local_addr().unwrap());
        assert_eq!(reached.local.ip(), reached.server.ip());
    }

    #[test]
    fn a_closed_port_is_refused_in_words() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = reach("127.0.0.1", port, soon()).unwrap_err();
        assert!(
            matches!(&error, ShareError::Unreachable { reason, .. } if reason.contains("refused")),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    }

    #[test]
    fn a_name_without_an_address_is_named() {
        let error = reach("no-such-host.invalid", NFS_PORT, soon()).unwrap_err();
        assert!(
            matches!(&error, ShareError::NameUnresolved { server, .. } if server == "no-such-host.invalid")
        );
    }

    #[test]
    fn a_listener_with_a_full_backlog_is_given_up_in_time() {
        // A listening socket whose queue is full drops further SYNs, as a frozen machine does.
        let listener =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
                .unwrap();
        rustix::net::bind(&listener, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address: SocketAddr = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
        let _fill: Vec<_> =
            (0..4).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(100))).collect();
        let started = Instant::now();
        let error =
            reach("127.0.0.1", address.port(), Instant::now() + Duration::from_millis(600)).unwrap_err();
        assert!(
            matches!(&error, ShareError::Unreachable { reason, .. } if reason.contains("timed out")),
            "{error}"
        );
        assert!(started.elapsed() < Duration::from_millis(600), "{:?}", started.elapsed());
    }
}
