//! Headers and frames: bytes that prove that they are what was written, and where. See the format in [`super`].

use std::io::{self, Read, Write};

use super::ManifestError;
use super::record::RECORD_LEN_MAX;

const MAGIC: [u8; 8] = *b"wsfsmani";
const VERSION: u32 = 1;
/// Of the header that its own check proves.
const PROVEN_LEN: usize = 24;
pub(super) const HEADER_LEN: usize = 32;
const CHECK_LEN: usize = 16;
const FRAME_HEAD_LEN: usize = 4 + CHECK_LEN;

/// A batch is closed when it has so much: a frame is read and written as one piece.
pub(super) const PAYLOAD_LEN: usize = 64 << 10;
/// So much it has at most.
const PAYLOAD_LEN_MAX: usize = PAYLOAD_LEN + RECORD_LEN_MAX;

/// The first byte of payloads.
pub(super) const ENTRIES: u8 = 0;
pub(super) const LAST: u8 = 1;

/// What a file begins with, and what all of its frames depend on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header([u8; HEADER_LEN]);

impl Header {
    /// One that no other file has.
    pub fn fresh() -> Self {
        Self::with(VERSION, super::random())
    }

    fn with(version: u32, nonce: [u8; 12]) -> Self {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[12..PROVEN_LEN].copy_from_slice(&nonce);
        let check = blake3::hash(&bytes[..PROVEN_LEN]);
        bytes[PROVEN_LEN..].copy_from_slice(&check.as_bytes()[..HEADER_LEN - PROVEN_LEN]);
        Self(bytes)
    }

    /// What a file that begins so is. A file that is shorter than a header, or all zeros, is what a kill or a power cut
    /// leaves of a new one.
    fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let cut = ManifestError::Damaged { at: 0, bytes: bytes.len() as u64 };
        let begins = bytes.len().min(MAGIC.len());
        let blank = bytes.iter().all(|byte| *byte == 0);
        if bytes[..begins] != MAGIC[..begins] && !blank {
            return Err(ManifestError::Foreign);
        }
        let Ok(bytes) = <[u8; HEADER_LEN]>::try_from(bytes) else { return Err(cut) };
        let [.., a, b, c, d] = bytes[..12] else { return Err(cut) };
        let version = u32::from_le_bytes([a, b, c, d]);
        let check = blake3::hash(&bytes[..PROVEN_LEN]);
        match check.as_bytes()[..HEADER_LEN - PROVEN_LEN] == bytes[PROVEN_LEN..] {
            false => Err(cut),
            true if version != VERSION => Err(ManifestError::Version(version)),
            true => Ok(Self(bytes)),
        }
    }

    fn check(&self, at: u64, payload: &[u8]) -> [u8; CHECK_LEN] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0).update(&at.to_le_bytes()).update(payload);
        let mut check = [0; CHECK_LEN];
        hasher.finalize_xof().fill(&mut check);
        check
    }
}

/// Writes frames behind each other.
#[derive(Debug)]
pub(super) struct FrameWriter<W> {
    output: W,
    header: Header,
    at: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Begins a file.
    pub fn begin(mut output: W, header: Header) -> io::Result<Self> {
        output.write_all(&header.0)?;
        Ok(Self::go_on(output, header, HEADER_LEN as u64))
    }

    /// Goes on with a file that has this header and ends here.
    pub fn go_on(output: W, header: Header, at: u64) -> Self {
        Self { output, header, at }
    }

    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_LEN_MAX);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        let mut frame = Vec::with_capacity(FRAME_HEAD_LEN + payload.len());
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&self.header.check(self.at, payload));
        frame.extend_from_slice(payload);
        self.output.write_all(&frame)?;
        self.at += frame.len() as u64;
        Ok(())
    }

    pub fn output(&self) -> &W {
        &self.output
    }

    /// How long the file is.
    pub fn len(&self) -> u64 {
        self.at
    }

    pub fn header(&self) -> Header {
        self.header
    }

    #[cfg(test)]
    pub fn into_output(self) -> W {
        self.output
    }
}

/// Reads frames, one in memory at a time.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    input: R,
    header: Header,
    /// Where the present frame begins.
    start: u64,
    /// Where it ends.
    end: u64,
    payload: Vec<u8>,
}

impl<R: Read> FrameReader<R> {
    pub fn open(mut input: R) -> Result<Self, ManifestError> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        input.by_ref().take(HEADER_LEN as u64).read_to_end(&mut bytes)?;
        let header = match Header::parse(&bytes) {
            Err(ManifestError::Damaged { at, bytes }) => {
                return Err(ManifestError::Damaged { at, bytes: bytes + drain(&mut input)? });
            }
            parsed => parsed?,
        };
        let at = HEADER_LEN as u64;
        Ok(Self { input, header, start: at, end: at, payload: Vec::new() })
    }

    pub fn header(&self) -> Header {
        self.header
    }

    /// Where the last good frame ends.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Where the present one begins.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The present one's.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Goes to the next frame; false if the file ends with the present one.
    ///
    /// # Errors
    /// [`ManifestError::Damaged`] where the next one is not what was written.
    pub fn advance(&mut self) -> Result<bool, ManifestError> {
        self.payload.clear();
        self.start = self.end;
        let mut head = Vec::with_capacity(FRAME_HEAD_LEN);
        self.input.by_ref().take(FRAME_HEAD_LEN as u64).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(false);
        }
        match self.read_payload(&head)? {
            true => Ok(true),
            false => {
                let bytes = head.len() + self.payload.len();
                self.payload.clear();
                Err(ManifestError::Damaged { at: self.start, bytes: bytes as u64 + drain(&mut self.input)? })
            }
        }
    }

    /// Whether it is as its head says.
    fn read_payload(&mut self, head: &[u8]) -> io::Result<bool> {
        let Some((length, check)) = head.split_first_chunk::<4>() else { return Ok(false) };
        let length = u64::from(u32::from_le_bytes(*length));
        if check.len() != CHECK_LEN || length == 0 || length > PAYLOAD_LEN_MAX as u64 {
            return Ok(false);
        }
        // Grows with what is there, whatever the length says.
        self.input.by_ref().take(length).read_to_end(&mut self.payload)?;
        self.end = self.start + (FRAME_HEAD_LEN as u64) + length;
        let good =
            self.payload.len() as u64 == length && self.header.check(self.start, &self.payload) == *check;
        if !good {
            self.end = self.start;
        }
        Ok(good)
    }
}

/// How much is left.
fn drain(input: &mut impl Read) -> io::Result<u64> {
    io::copy(input, &mut io::sink())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(payloads: &[&[u8]]) -> Vec<u8> {
        let mut writer = FrameWriter::begin(Vec::new(), Header::fresh()).unwrap();
        payloads.iter().for_each(|payload| writer.append(payload).unwrap());
        writer.into_output()
    }

    /// The good payloads and where and how the reading ended.
    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<(u64, u64)>) {
        let (mut payloads, mut damage) = (Vec::new(), None);
        let mut note = |error| match error {
            ManifestError::Damaged { at, bytes } => damage = Some((at, bytes)),
            other => panic!("{other}"),
        };
        match FrameReader::open(bytes) {
            Ok(mut reader) => loop {
                match reader.advance() {
                    Ok(true) => payloads.push(reader.payload().to_vec()),
                    Ok(false) => break,
                    Err(error) => break note(error),
                }
            },
            Err(error) => note(error),
        }
        (payloads, damage)
    }

    #[test]
    fn wherever_a_file_is_cut_the_whole_frames_are_read_and_the_rest_is_measured() {
        let bytes = written(&[b"one", b"second", b"x"]);
        let ends = [32, 32 + 23, 32 + 23 + 26, bytes.len()];
        for cut in 0..=bytes.len() {
            let (payloads, damage) = read(&bytes[..cut]);
            let good = ends.iter().rposition(|end| *end <= cut);
            assert_eq!(payloads.len(), good.unwrap_or(0), "cut at {cut}");
            let end = good.map_or(0, |good| ends[good]);
            let expected = (end != cut || cut == 0).then_some((end as u64, (cut - end) as u64));
            assert_eq!(damage, expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_counts_only_where_it_was_written() {
        let bytes = written(&[b"same", b"same"]);
        assert_eq!(read(&bytes).0.len(), 2);
        let (first, second) = (&bytes[32..56], &bytes[56..80]);
        let moved = [&bytes[..32], second, first].concat();
        assert_eq!(read(&moved), (vec![], Some((32, 48))));
        // The same frame in a file with another header.
        let other = [&written(&[])[..], first].concat();
        assert_eq!(read(&other), (vec![], Some((32, 24))));
    }

    #[test]
    fn a_flipped_bit_ends_the_reading_before_its_frame() {
        let bytes = written(&[b"one", b"two"]);
        for bit in 32 * 8..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let at = if bit / 8 < 55 { 32 } else { 55 };
            assert_eq!(read(&bytes).1, Some((at, bytes.len() as u64 - at)), "bit {bit}");
        }
    }

    #[test]
    fn what_a_cut_leaves_of_a_new_file_is_told_from_foreign_files_and_later_versions() {
        let parse = |bytes: &[u8]| Header::parse(bytes);
        let good = Header::fresh().0;
        assert!(parse(&good).is_ok());
        for cut in [&[][..], &[0; 32], &[0; 7], &good[..3], &good[..31]] {
            assert!(matches!(parse(cut), Err(ManifestError::Damaged { at: 0, .. })), "{cut:?}");
        }
        for foreign in [&b"w0"[..], b"wsfsmanx", b"#!/bin/sh\n", &[1; 32]] {
            assert!(matches!(parse(foreign), Err(ManifestError::Foreign)), "{foreign:?}");
        }
        assert!(matches!(parse(&Header::with(2, [0; 12]).0), Err(ManifestError::Version(2))));
        let mut flipped = good;
        flipped[9] ^= 1;
        assert!(matches!(parse(&flipped), Err(ManifestError::Damaged { at: 0, bytes: 32 })));
    }

    #[test]
    fn a_length_beyond_the_limit_is_damage_and_is_never_written() {
        let mut bytes = written(&[b"one"]);
        bytes[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&bytes), (vec![], Some((32, 23))));
        let mut writer = FrameWriter::begin(io::sink(), Header::fresh()).unwrap();
        assert!(writer.append(&vec![0; PAYLOAD_LEN_MAX]).is_ok());
        assert!(writer.append(&vec![0; PAYLOAD_LEN_MAX + 1]).is_err());
    }
}
