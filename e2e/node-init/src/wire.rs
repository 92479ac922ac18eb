//! The command channel: one TCP connection runs one program. Frames are a kind byte, a length (u32, big endian) and
//! that many bytes. The client sends one [`Request`], then the program's input and its end; the machine sends output
//! as it comes and one [`Exit`] last. A connection that closes early kills the program with its process group.

use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Longest payload that is accepted or sent, in bytes.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON of a [`Request`]; client to machine, first.
    Request,
    /// Bytes for standard input; client to machine.
    Stdin,
    /// Standard input ends; client to machine, empty.
    StdinEnd,
    /// Bytes from standard output.
    Stdout,
    /// Bytes from standard error.
    Stderr,
    /// JSON of an [`Exit`]; the last frame.
    Exit,
}

impl Kind {
    fn to_byte(self) -> u8 {
        match self {
            Kind::Request => b'R',
            Kind::Stdin => b'I',
            Kind::StdinEnd => b'E',
            Kind::Stdout => b'o',
            Kind::Stderr => b'e',
            Kind::Exit => b'X',
        }
    }

    fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Request, Kind::Stdin, Kind::StdinEnd, Kind::Stdout, Kind::Stderr, Kind::Exit]
            .into_iter()
            .find(|kind| kind.to_byte() == byte)
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Program (looked up in PATH) and arguments.
    pub argv: Vec<String>,
    /// Variables added to the machine's own environment.
    pub env: Vec<(String, String)>,
    /// After this many milliseconds the program's process group is killed.
    pub time_limit_ms: u64,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Killed at its time limit.
    TimedOut,
    /// It never ran; the reason.
    NotStarted(String),
}

/// Writes one frame. Payloads longer than [`FRAME_BYTES_MAX`] are an error.
pub fn write_frame(stream: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    if payload.len() > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame too long"));
    }
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = Vec::with_capacity(5 + payload.len());
    frame.push(kind.to_byte());
    frame.extend_from_slice(&length);
    frame.extend_from_slice(payload);
    stream.write_all(&frame)
}

/// Reads one frame; `None` when the other side closed between two frames.
pub fn read_frame(stream: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut kind = [0u8; 1];
    if stream.read(&mut kind)? == 0 {
        return Ok(None);
    }
    let kind = Kind::from_byte(kind[0])
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown kind of frame"))?;
    let mut length = [0u8; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok(Some((kind, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut stream = Vec::new();
        write_frame(&mut stream, Kind::Stdout, b"hello").unwrap();
        write_frame(&mut stream, Kind::StdinEnd, b"").unwrap();
        let mut reader = stream.as_slice();
        assert_eq!(read_frame(&mut reader).unwrap(), Some((Kind::Stdout, b"hello".to_vec())));
        assert_eq!(read_frame(&mut reader).unwrap(), Some((Kind::StdinEnd, Vec::new())));
        assert_eq!(read_frame(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_frame_cut_short_is_an_error() {
        let mut stream = Vec::new();
        write_frame(&mut stream, Kind::Stdout, b"hello").unwrap();
        stream.pop();
        let cut = read_frame(&mut stream.as_slice()).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_allocated() {
        let stream = [b'o', 0xff, 0xff, 0xff, 0xff];
        assert_eq!(read_frame(&mut stream.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let long = vec![0; FRAME_BYTES_MAX + 1];
        assert!(write_frame(&mut Vec::new(), Kind::Stdin, &long).is_err());
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        assert_eq!(
            read_frame(&mut [b'?', 0, 0, 0, 0].as_slice()).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
