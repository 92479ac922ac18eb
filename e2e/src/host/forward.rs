//! A port of this computer's loopback that leads into a cluster's network: what a browser here needs to reach a Service there.

use crate::host::namespace::Namespace;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Time to connect to what is forwarded to.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// A port that listens and forwards nothing yet.
#[derive(Debug)]
pub struct Forwarder {
    listener: TcpListener,
}

impl Forwarder {
    /// Listens on loopback at that port, or if it is taken at any.
    pub fn listen(port: u16) -> io::Result<Forwarder> {
        let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = match at(port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => at(0)?,
            other => other?,
        };
        Ok(Forwarder { listener })
    }

    /// Where.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Forwards every connection to `to` in the namespace, for ever: a connection that cannot be made is closed.
    pub fn run(self, namespace: &Namespace, to: SocketAddr) -> io::Result<()> {
        let namespace = namespace.clone();
        self.serve(move || {
            // The thread stays there, and ends with the connection.
            namespace.enter().map_err(io::Error::other)?;
            TcpStream::connect_timeout(&to, CONNECT_TIME_MAX)
        })
    }

    fn serve(self, connect: impl Fn() -> io::Result<TcpStream> + Clone + Send + 'static) -> io::Result<()> {
        loop {
            let (near, _) = self.listener.accept()?;
            let connect = connect.clone();
            thread::spawn(move || {
                if let Err(error) = connect().and_then(|far| join(&near, &far)) {
                    eprintln!("a connection was not forwarded to its end: {error}");
                }
            });
        }
    }
}

/// Passes bytes both ways until both sides have said all.
fn join(near: &TcpStream, far: &TcpStream) -> io::Result<()> {
    thread::scope(|scope| {
        let back = scope.spawn(|| pass(far, near));
        let there = pass(near, far);
        there.and(back.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// One way. Whatever ends it, the other side hears that nothing more comes.
fn pass(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let passed = io::copy(&mut from, &mut to);
    if passed.is_err() {
        // Nor is anything read any more that could not be passed on.
        let _ = from.shutdown(Shutdown::Both);
    }
    let _ = to.shutdown(Shutdown::Write);
    passed.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// Answers with what it was told, once that has come to its end.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut said = Vec::new();
                stream.read_to_end(&mut said).unwrap();
                stream.write_all(&said).unwrap();
            }
        });
        address
    }

    fn forwarded(connect: impl Fn() -> io::Result<TcpStream> + Clone + Send + 'static) -> TcpStream {
        let forwarder = Forwarder::listen(0).unwrap();
        let address = forwarder.address().unwrap();
        thread::spawn(move || forwarder.serve(connect));
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    #[test]
    fn bytes_go_both_ways_and_an_end_is_passed_on() {
        let to = echo();
        let mut stream = forwarded(move || TcpStream::connect(to));
        let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
    }

    #[test]
    fn a_connection_that_cannot_be_made_is_closed() {
        let mut stream = forwarded(|| Err(io::Error::other("nobody is there")));
        let mut back = Vec::new();
        // An end, or a reset: either is one.
        let _ = stream.read_to_end(&mut back);
        assert!(back.is_empty());
    }

    #[test]
    fn a_port_that_is_taken_makes_it_another() {
        let first = Forwarder::listen(0).unwrap();
        let taken = first.address().unwrap().port();
        let second = Forwarder::listen(taken).unwrap();
        assert_ne!(second.address().unwrap().port(), taken);
        assert!(second.address().unwrap().ip().is_loopback());
    }
}
