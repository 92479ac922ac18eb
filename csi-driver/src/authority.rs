//! Kubelet's registration client names the socket's path as the HTTP/2 `:authority` (`%2Fvar%2Flib%2F...`: it dials without
//! `WithAuthority`, pkg/kubelet/pluginmanager of 1.37). That is no authority, and the `h2` crate ends such a request with
//! PROTOCOL_ERROR (hyperium/h2#487). So what is read from that one socket passes through here: in every HEADERS frame
//! the value of `:authority` becomes `localhost`, as grpc-go itself says on unix sockets elsewhere. Nothing else changes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// What the client says instead.
const AUTHORITY: &[u8] = b"localhost";
/// The client's first bytes, before any frame (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;
/// Length, type, flags, stream (RFC 9113, 4.1).
const FRAME_HEADER_BYTES: usize = 9;
/// The largest frame that a client may send unless it was told otherwise, which tonic does not (RFC 9113, 6.5.2). A
/// longer one is an error that h2 reports in its own words.
const FRAME_BYTES_MAX: usize = 16_384;
const HEADERS: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// `:authority` in HPACK's static table (RFC 7541, appendix A).
const AUTHORITY_INDEX: usize = 1;

/// A connection whose requests have the authority `localhost`.
#[derive(Debug)]
pub struct LocalAuthority<S> {
    stream: S,
    rewriter: Rewriter,
}

impl<S> LocalAuthority<S> {
    /// Of a connection from which nothing was read yet.
    pub fn new(stream: S) -> Self {
        Self { stream, rewriter: Rewriter::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LocalAuthority<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut bytes = [0; 4096];
        while this.rewriter.ready.is_empty() {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                // The end. What is left of a frame is no frame; h2 sees a connection that was cut.
                return Poll::Ready(Ok(()));
            }
            this.rewriter.push(buffer.filled());
        }
        let count = out.remaining().min(this.rewriter.ready.len());
        out.put_slice(&this.rewriter.ready[..count]);
        this.rewriter.ready.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LocalAuthority<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: Connected> Connected for LocalAuthority<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

/// Bytes in, bytes out, in whatever pieces they come.
#[derive(Debug, Default)]
struct Rewriter {
    preface_seen: bool,
    /// Not yet a whole frame.
    pending: Vec<u8>,
    /// To be read.
    ready: Vec<u8>,
}

impl Rewriter {
    fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if !self.preface_seen {
            if self.pending.len() < PREFACE_BYTES {
                return;
            }
            self.ready.extend(self.pending.drain(..PREFACE_BYTES));
            self.preface_seen = true;
        }
        while let Some(header) = self.pending.first_chunk::<FRAME_HEADER_BYTES>() {
            let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
            if length > FRAME_BYTES_MAX {
                self.ready.append(&mut self.pending);
                return;
            }
            let end = FRAME_HEADER_BYTES + length;
            if self.pending.len() < end {
                return;
            }
            let frame: Vec<u8> = self.pending.drain(..end).collect();
            self.ready.extend(rewritten(&frame).unwrap_or(frame));
        }
    }
}

/// The HEADERS frame with another authority; None for every other frame, and for one that is not understood.
fn rewritten(frame: &[u8]) -> Option<Vec<u8>> {
    let (header, payload) = frame.split_at_checked(FRAME_HEADER_BYTES)?;
    let (kind, flags) = (header[3], header[4]);
    if kind != HEADERS || flags & END_HEADERS == 0 {
        return None;
    }
    let (mut start, mut end) = (0, payload.len());
    if flags & PADDED != 0 {
        start += 1;
        end = end.checked_sub(usize::from(*payload.first()?))?;
    }
    if flags & PRIORITY != 0 {
        start += 5;
    }
    let block = with_local_authority(payload.get(start..end)?)?;
    let mut payload_out = payload[..start].to_vec();
    payload_out.extend(block);
    payload_out.extend(&payload[end..]);
    let length = u32::try_from(payload_out.len()).ok()?.to_be_bytes();
    let mut out = vec![length[1], length[2], length[3]];
    out.extend(&header[3..]);
    out.extend(payload_out);
    Some(out)
}

/// The header block (RFC 7541, 6) with another value behind `:authority`. The peer's table of recent fields keeps its
/// order, so later references to the field find the new value.
fn with_local_authority(block: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(block.len());
    let mut rest = block;
    while let Some(&first) = rest.first() {
        let field = rest;
        let (prefix, is_literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let name;
        (name, rest) = integer(rest, prefix)?;
        if is_literal {
            if name == 0 {
                rest = after_string(rest)?;
            }
            let value = rest;
            rest = after_string(rest)?;
            if name == AUTHORITY_INDEX {
                out.extend(&field[..field.len() - value.len()]);
                // A length below 127 is one byte; without the top bit it is plain text.
                out.push(AUTHORITY.len() as u8);
                out.extend(AUTHORITY);
                continue;
            }
        }
        out.extend(&field[..field.len() - rest.len()]);
    }
    Some(out)
}

/// An integer that begins in the lowest `prefix` bits of the first byte (RFC 7541, 5.1), and what follows it.
fn integer(bytes: &[u8], prefix: u32) -> Option<(usize, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let most = (1usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first()?;
        rest = after;
        value = value.checked_add((usize::from(*byte) & 0x7f) << shift)?;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

/// What follows a string (RFC 7541, 5.2), however it is coded.
fn after_string(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = integer(bytes, 7)?;
    rest.get(length..)
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tonic::service::Routes;
    use tonic::transport::Server;

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SOCKET: &[u8] = b"%2Fvar%2Flib%2Fkubelet%2Fplugins_registry%2Fx-reg.sock";

    fn string(text: &[u8]) -> Vec<u8> {
        let mut out = vec![u8::try_from(text.len()).unwrap()];
        assert!(text.len() < 127);
        out.extend(text);
        out
    }

    /// POST /no.such.Service/Method as grpc-go writes it.
    fn block(authority: &[u8]) -> Vec<u8> {
        let mut out = vec![0x83, 0x86, 0x44];
        out.extend(string(b"/no.such.Service/Method"));
        out.push(0x41);
        out.extend(string(authority));
        out.push(0x5f);
        out.extend(string(b"application/grpc"));
        out.push(0x40);
        out.extend(string(b"te"));
        out.extend(string(b"trailers"));
        out
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut out = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        out.extend(payload);
        out
    }

    fn request(authority: &[u8]) -> Vec<u8> {
        let headers = frame(HEADERS, END_HEADERS, &block(authority));
        let data = frame(0, 1, &[0, 0, 0, 0, 0]);
        [PREFACE, SETTINGS, &headers, &data].concat()
    }

    #[test]
    fn only_the_authority_changes_however_the_bytes_are_cut() {
        let (bytes, expected) = (request(SOCKET), request(AUTHORITY));
        for size in 1..bytes.len() {
            let mut rewriter = Rewriter::default();
            bytes.chunks(size).for_each(|piece| rewriter.push(piece));
            assert_eq!(rewriter.ready, expected, "in pieces of {size}");
            assert!(rewriter.pending.is_empty());
        }
    }

    #[test]
    fn padding_and_priority_stay_where_they_are() {
        let payload = |authority: &[u8]| [&[2, 1, 1, 1, 1, 1][..], &block(authority), &[0, 0]].concat();
        let flags = END_HEADERS | PADDED | PRIORITY;
        let out = rewritten(&frame(HEADERS, flags, &payload(SOCKET))).unwrap();
        assert_eq!(out, frame(HEADERS, flags, &payload(AUTHORITY)));
    }

    #[test]
    fn what_is_not_understood_passes_as_it_is() {
        for bad in [&[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0x41, 5, b'a'], &[0x40], &[0xff]] {
            let bytes = [PREFACE, &frame(HEADERS, END_HEADERS, bad)].concat();
            let mut rewriter = Rewriter::default();
            rewriter.push(&bytes);
            assert_eq!(rewriter.ready, bytes, "{bad:x?}");
        }
        let long = [PREFACE, &[1, 0, 0, HEADERS, 4, 0, 0, 0, 1, 9, 9]].concat();
        let mut rewriter = Rewriter::default();
        rewriter.push(&long);
        assert_eq!(rewriter.ready, long);
    }

    /// The kind of the first frame that a tonic server answers on the request's stream.
    async fn answer<S>(wrap: impl Fn(tokio::io::DuplexStream) -> S) -> u8
    where
        S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let (mut client, server) = tokio::io::duplex(65_536);
        let stream = wrap(server);
        let incoming = futures::stream::once(async { Ok::<_, io::Error>(stream) }).boxed();
        tokio::spawn(Server::builder().add_routes(Routes::default()).serve_with_incoming(incoming));
        client.write_all(&request(SOCKET)).await.unwrap();
        loop {
            let mut header = [0; FRAME_HEADER_BYTES];
            client.read_exact(&mut header).await.unwrap();
            let mut payload = vec![0; usize::from(header[1]) << 8 | usize::from(header[2])];
            client.read_exact(&mut payload).await.unwrap();
            if header[8] == 1 {
                return header[3];
            }
        }
    }

    #[tokio::test]
    async fn a_request_that_names_the_sockets_path_is_answered_and_without_us_it_is_reset() {
        const RST_STREAM: u8 = 0x3;
        assert_eq!(answer(|stream| stream).await, RST_STREAM, "h2 takes it by itself: this module can go");
        assert_eq!(answer(LocalAuthority::new).await, HEADERS);
    }
}
