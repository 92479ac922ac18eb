//! A port that leads to another one as if that were far away: every byte comes later, by half of a round trip in each direction, and
//! as many as anybody likes may be on their way at once. It stands for the kernel's netem, which not every kernel has, and knows
//! no loss and no slow start. Its threads sleep more exactly than timers of a millisecond would.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of one direction of a connection that may be on their way: at 10 ms a way they are more than 6 GB/s.
const WAY_BYTES: usize = 64 << 20;
/// Read at once.
const BLOCK: usize = 256 << 10;

/// The port; it leads there as long as this lives.
#[derive(Debug)]
pub struct Distance {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Distance {
    /// A new port that leads to `target`.
    ///
    /// # Errors
    /// There is none.
    pub fn to(target: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, over) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&over);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let since = Instant::now();
                // Whoever is at its end sees it end; that is all that an error can say here.
                thread::spawn(move || drop(connection(&stream, target, since, round_trip)));
            }
        });
        Ok(Self { address, over })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
    }
}

/// One connection, to its end. The kernel has made it at once: what a handshake over the distance would have taken is waited for
/// before the first byte goes, and the other side learns of it when the third part of that handshake would have come.
fn connection(near: &TcpStream, target: SocketAddr, since: Instant, round_trip: Duration) -> io::Result<()> {
    let way = round_trip / 2;
    let (there, back) = (Arc::new(Way::default()), Arc::new(Way::default()));
    near.set_nodelay(true)?;
    let reader = {
        let (near, there) = (near.try_clone()?, Arc::clone(&there));
        thread::spawn(move || there.take_from(&near, since + round_trip, way))
    };
    sleep_until(since + round_trip + way);
    let far = match TcpStream::connect(target) {
        Ok(far) => far,
        Err(error) => {
            there.give_up();
            drop(near.shutdown(Shutdown::Both));
            drop(reader.join());
            return Err(error);
        }
    };
    far.set_nodelay(true)?;
    thread::scope(|scope| {
        scope.spawn(|| back.take_from(&far, since, way));
        scope.spawn(|| back.give_to(near));
        there.give_to(&far);
    });
    drop(reader.join());
    Ok(())
}

/// What is on its way in one direction.
#[derive(Default)]
struct Way {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// When it arrives, and what; nothing is the end.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// Nobody takes anything any more.
    is_given_up: bool,
}

impl Way {
    /// Reads to the end; nothing is sent before `earliest`.
    fn take_from(&self, mut from: &TcpStream, earliest: Instant, way: Duration) {
        let mut block = vec![0; BLOCK];
        loop {
            // A connection that breaks ends as one that is closed.
            let read = from.read(&mut block).unwrap_or(0);
            let arrives = Instant::now().max(earliest) + way;
            if !self.put(arrives, &block[..read]) {
                drop(from.shutdown(Shutdown::Both));
                return;
            }
            if read == 0 {
                return;
            }
        }
    }

    /// Writes to the end, each piece when it arrives.
    fn give_to(&self, mut to: &TcpStream) {
        loop {
            let (arrives, piece) = self.next();
            sleep_until(arrives);
            if piece.is_empty() {
                drop(to.shutdown(Shutdown::Write));
                return;
            }
            if to.write_all(&piece).is_err() {
                drop(to.shutdown(Shutdown::Both));
                self.give_up();
                return;
            }
            self.state().bytes -= piece.len();
            self.changed.notify_all();
        }
    }

    /// Whether it goes.
    fn put(&self, arrives: Instant, piece: &[u8]) -> bool {
        let is_full = |state: &mut State| state.bytes >= WAY_BYTES && !state.is_given_up;
        let mut state =
            self.changed.wait_while(self.state(), is_full).unwrap_or_else(PoisonError::into_inner);
        if state.is_given_up {
            return false;
        }
        state.bytes += piece.len();
        state.pieces.push_back((arrives, piece.to_vec()));
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Its bytes count until they are written.
    fn next(&self) -> (Instant, Vec<u8>) {
        let is_empty = |state: &mut State| state.pieces.is_empty();
        let mut state =
            self.changed.wait_while(self.state(), is_empty).unwrap_or_else(PoisonError::into_inner);
        // There is one: that was waited for.
        state.pieces.pop_front().unwrap_or_else(|| (Instant::now(), Vec::new()))
    }

    fn give_up(&self) {
        self.state().is_given_up = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sleep_until(when: Instant) {
    thread::sleep(when.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers all that it gets with the same, or speaks first.
    fn echo(greeting: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    stream.write_all(greeting).unwrap();
                    let mut from = stream.try_clone().unwrap();
                    io::copy(&mut from, &mut stream).unwrap();
                });
            }
        });
        address
    }

    #[test]
    fn a_handshake_takes_a_round_trip_and_so_does_each_question() {
        let round_trip = Duration::from_millis(60);
        let distance = Distance::to(echo(b""), round_trip).unwrap();
        let begun = Instant::now();
        let mut stream = TcpStream::connect(distance.address()).unwrap();
        for question in 1..=3 {
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            assert!(begun.elapsed() >= round_trip * (question + 1), "{question}: {:?}", begun.elapsed());
        }
        // Who speaks first does so when the handshake's third part has come.
        let distance = Distance::to(echo(b"hello"), round_trip).unwrap();
        let begun = Instant::now();
        TcpStream::connect(distance.address()).unwrap().read_exact(&mut [0; 5]).unwrap();
        assert!(begun.elapsed() >= round_trip * 2);
    }

    #[test]
    fn what_is_on_its_way_is_not_waited_for_and_arrives_whole_and_in_order() {
        let distance = Distance::to(echo(b""), Duration::from_millis(400)).unwrap();
        let mut stream = TcpStream::connect(distance.address()).unwrap();
        let sent: Vec<u8> = (0..4_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let begun = Instant::now();
        let mut to = stream.try_clone().unwrap();
        let writer = {
            let sent = sent.clone();
            thread::spawn(move || {
                for piece in sent.chunks(1000) {
                    to.write_all(piece).unwrap();
                }
                to.shutdown(Shutdown::Write).unwrap();
            })
        };
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        writer.join().unwrap();
        assert!(got == sent);
        // By a window of 64 KiB they were 244 round trips.
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_target_that_nobody_listens_at_ends_the_connection() {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let distance = Distance::to(nobody, Duration::from_millis(2)).unwrap();
        let mut stream = TcpStream::connect(distance.address()).unwrap();
        let mut got = Vec::new();
        assert!(stream.read_to_end(&mut got).is_err() || got.is_empty());
    }
}
