//! zip, stored: sizes and checksums follow each file, in the 64-bit form of PKWARE's APPNOTE 4.3.9, so that nothing need be
//! known before it is read. A backslash, which some programs take for a slash, is written `%5C`: unpacked anywhere, a name
//! stays one name.

use std::io::{self, Read, Write};
use std::sync::Arc;

use crc_fast::{CrcAlgorithm, Digest};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::spool::Spool;
use super::{Archive, Pipe};
use crate::facts::Facts;
use crate::root::Root;

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END64: u32 = 0x0606_4b50;
const END64_PLACE: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;
/// 4.5: the 64-bit form.
const VERSION: u16 = 45;
/// Made on Unix: the upper half of the attributes is the mode.
const MADE_BY: u16 = 3 << 8 | VERSION;
const FLAG_DESCRIPTOR: u16 = 1 << 3;
const FLAG_UTF8: u16 = 1 << 11;
const EXTRA_64: u16 = 1;
const EXTRA_TIME: u16 = 0x5455;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_FOLDER: u32 = 0o040_000;
const TYPE_LINK: u32 = 0o120_000;
const NS_PER_S: i128 = 1_000_000_000;
const BUFFER_BYTES: usize = 128 * 1024;

pub(super) struct Zip {
    out: Pipe,
    at: u64,
    list: Spool,
    count: u64,
    /// What is read of a file at once. There may be millions, and new memory for each would cost more than a small one.
    buffer: Vec<u8>,
}

/// One file of it.
struct Member {
    name: Vec<u8>,
    flags: u16,
    time: i64,
    kind: u32,
    mode: u32,
    crc: u32,
    size: u64,
    at: u64,
}

impl Zip {
    pub fn new(root: &Arc<Root>, out: Pipe) -> Self {
        Self { out, at: 0, list: Spool::new(root), count: 0, buffer: vec![0; BUFFER_BYTES] }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// What is known before: folders and links.
    fn known(&mut self, path: &[u8], facts: &Facts, kind: u32, content: &[u8]) -> io::Result<()> {
        let mut member = Member::new(path, facts, kind, self.at)?;
        member.crc = crc32(content);
        member.size = content.len() as u64;
        self.put(&member.local())?;
        self.put(content)?;
        self.list(&member)
    }

    fn list(&mut self, member: &Member) -> io::Result<()> {
        self.count += 1;
        self.list.push(&member.central())
    }
}

impl Archive for Zip {
    fn folder(&mut self, path: &[u8], facts: &Facts) -> io::Result<()> {
        self.known(&[path, b"/"].concat(), facts, TYPE_FOLDER, b"")
    }

    fn link(&mut self, path: &[u8], facts: &Facts, target: &[u8]) -> io::Result<()> {
        self.known(path, facts, TYPE_LINK, target)
    }

    fn file(&mut self, path: &[u8], facts: &Facts, content: &mut dyn Read) -> io::Result<()> {
        let mut member = Member::new(path, facts, TYPE_FILE, self.at)?;
        member.flags |= FLAG_DESCRIPTOR;
        self.put(&member.local())?;
        let mut digest = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
        loop {
            let read = content.read(&mut self.buffer)?;
            if read == 0 {
                break;
            }
            let bytes = &self.buffer[..read];
            digest.update(bytes);
            self.out.write_all(bytes)?;
            self.at += read as u64;
            member.size += read as u64;
        }
        member.crc = low(digest.finalize());
        self.put(&member.descriptor())?;
        self.list(&member)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let (start, length) = (self.at, self.list.len());
        self.list.copy_to(&mut self.out)?;
        let mut end = Fields::default();
        if self.count >= u16::MAX.into() || start + length >= u32::MAX.into() {
            end.u32(END64).u64(44).u16(MADE_BY).u16(VERSION).u32(0).u32(0);
            end.u64(self.count).u64(self.count).u64(length).u64(start);
            end.u32(END64_PLACE).u32(0).u64(start + length).u32(1);
        }
        let count = u16::try_from(self.count).unwrap_or(u16::MAX);
        end.u32(END).u16(0).u16(0).u16(count).u16(count);
        end.u32(capped(length)).u32(capped(start)).u16(0);
        self.out.write_all(&end.0)?;
        self.out.end()
    }
}

impl Member {
    fn new(path: &[u8], facts: &Facts, kind: u32, at: u64) -> io::Result<Self> {
        let name = path.split(|byte| *byte == b'\\').collect::<Vec<_>>().join(&b"%5C"[..]);
        if name.len() > u16::MAX.into() {
            // A folder may lie deeper than a path can be written.
            return Err(io::Error::other("a zip holds no name of more than 64 KiB"));
        }
        let flags = if std::str::from_utf8(&name).is_ok() { FLAG_UTF8 } else { 0 };
        let time = i64::try_from(facts.modified.div_euclid(NS_PER_S)).unwrap_or(0);
        Ok(Self { name, flags, time, kind, mode: facts.mode, crc: 0, size: 0, at })
    }

    fn follows(&self) -> bool {
        self.flags & FLAG_DESCRIPTOR != 0
    }

    fn local(&self) -> Vec<u8> {
        let mut extra = Fields::default();
        if self.follows() {
            // Says that the sizes that follow have 64 bits.
            extra.u16(EXTRA_64).u16(16).u64(0).u64(0);
        }
        self.time_extra(&mut extra);
        let size = if self.follows() { u32::MAX } else { capped(self.size) };
        let mut fields = Fields::default();
        fields.u32(LOCAL);
        self.common(&mut fields, size, size, extra.0.len());
        fields.0.extend_from_slice(&self.name);
        fields.0.extend_from_slice(&extra.0);
        fields.0
    }

    fn descriptor(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.u32(DESCRIPTOR).u32(self.crc).u64(self.size).u64(self.size);
        fields.0
    }

    fn central(&self) -> Vec<u8> {
        let mut large = Fields::default();
        for number in [self.size, self.size, self.at] {
            if number >= u32::MAX.into() {
                large.u64(number);
            }
        }
        let mut extra = Fields::default();
        if !large.0.is_empty() {
            extra.u16(EXTRA_64).u16(short(large.0.len())).0.extend_from_slice(&large.0);
        }
        self.time_extra(&mut extra);
        let size = capped(self.size);
        let mut fields = Fields::default();
        fields.u32(CENTRAL).u16(MADE_BY);
        self.common(&mut fields, size, size, extra.0.len());
        let folder = u32::from(self.kind == TYPE_FOLDER) << 4;
        fields.u16(0).u16(0).u16(0).u32((self.kind | self.mode) << 16 | folder).u32(capped(self.at));
        fields.0.extend_from_slice(&self.name);
        fields.0.extend_from_slice(&extra.0);
        fields.0
    }

    /// What both headers have alike.
    fn common(&self, fields: &mut Fields, packed: u32, size: u32, extra: usize) {
        let (date, time) = dos(self.time);
        fields.u16(VERSION).u16(self.flags).u16(0).u16(time).u16(date).u32(self.crc);
        fields.u32(packed).u32(size).u16(short(self.name.len())).u16(short(extra));
    }

    fn time_extra(&self, extra: &mut Fields) {
        if let Ok(time) = i32::try_from(self.time) {
            extra.u16(EXTRA_TIME).u16(5).0.push(1);
            extra.0.extend_from_slice(&time.to_le_bytes());
        }
    }
}

/// Little-endian fields one after the other.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
}

/// A number that has its true value elsewhere where it does not fit.
fn capped(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Names are not longer ([`Member::new`]), extra fields much shorter.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
    digest.update(bytes);
    low(digest.finalize())
}

/// The checksum has 32 bits in a wider type.
fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

/// Date and time as MS-DOS has them: in UTC, for who knows no better; the extra field is exact.
fn dos(time: i64) -> (u16, u16) {
    let Ok(time) = Timestamp::from_second(time) else { return (0x21, 0) };
    let time = time.to_zoned(TimeZone::UTC);
    let part = |value: i8| u16::try_from(value).unwrap_or(0);
    match u16::try_from(time.year() - 1980) {
        Ok(years @ 0..128) => (
            years << 9 | part(time.month()) << 5 | part(time.day()),
            part(time.hour()) << 11 | part(time.minute()) << 5 | part(time.second()) >> 1,
        ),
        _ => (0x21, 0),
    }
}
