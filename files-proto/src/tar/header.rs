//! The header of an entry: one block of fields at fixed places (ustar, POSIX.1-1988), with GNU's larger numbers.

use super::{BLOCK_BYTES, BadArchive};

type Block = [u8; BLOCK_BYTES];

const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const SIZE: std::ops::Range<usize> = 124..136;
const MODIFIED: std::ops::Range<usize> = 136..148;
const SUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..265;
const PREFIX: std::ops::Range<usize> = 345..500;
/// In a GNU header of a sparse file: whether its map goes on in the next block; and where that block says so.
const SPARSE_GOES_ON: usize = 482;
const SPARSE_BLOCK_GOES_ON: usize = 504;

/// The longest name that a header holds by itself.
pub(super) const NAME_BYTES_MAX: usize = 100;

/// What a header says.
#[derive(Debug)]
pub(super) struct Header {
    pub name: Vec<u8>,
    pub kind: u8,
    pub size: u64,
    pub mode: u32,
    /// Seconds since 1970.
    pub modified: i64,
    pub sparse_goes_on: bool,
}

/// Whether it is one of the blocks that close an archive.
pub(super) fn is_end(block: &Block) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Whether the map of a sparse file has one more block after this one.
pub(super) fn goes_on(block: &Block) -> bool {
    block[SPARSE_BLOCK_GOES_ON] != 0
}

impl Header {
    pub fn parse(block: &Block) -> Result<Self, BadArchive> {
        if number(&block[SUM]) != Ok(sum(block).into()) {
            return Err(BadArchive::Header);
        }
        let mut name = text(&block[NAME]).to_vec();
        // GNU has other things where POSIX has the beginning of a longer name.
        if block[MAGIC] == *b"ustar\x0000" && block[PREFIX][0] != 0 {
            name = [text(&block[PREFIX]), &name].join(&b'/');
        }
        let kind = block[KIND];
        let size = u64::try_from(number(&block[SIZE])?).map_err(|_| BadArchive::Field)?;
        Ok(Self {
            name,
            kind,
            // Only of files do these say how much follows.
            size: if matches!(kind, b'2'..=b'6') { 0 } else { size },
            mode: (number(&block[MODE])? & 0o7777) as u32,
            modified: i64::try_from(number(&block[MODIFIED])?).map_err(|_| BadArchive::Field)?,
            sparse_goes_on: kind == b'S' && block[SPARSE_GOES_ON] != 0,
        })
    }

    /// As a block. What is too long for it is cut: a description before it says it then.
    pub fn write(&self, into: &mut Vec<u8>) {
        let mut block = [0; BLOCK_BYTES];
        let name = &self.name[..self.name.len().min(NAME_BYTES_MAX)];
        block[..name.len()].copy_from_slice(name);
        put(&mut block[MODE], u64::from(self.mode));
        put(&mut block[108..116], 0);
        put(&mut block[116..124], 0);
        put(&mut block[SIZE], self.size);
        put(&mut block[MODIFIED], u64::try_from(self.modified).unwrap_or(0));
        block[KIND] = self.kind;
        block[MAGIC].copy_from_slice(b"ustar\x0000");
        let sum = sum(&block);
        put(&mut block[SUM], u64::from(sum));
        into.extend_from_slice(&block);
    }
}

/// Whether a number can stand in the field of sizes, and of times.
pub(super) fn fits(value: i128) -> bool {
    (0..1 << 33).contains(&value)
}

/// Of all bytes, with spaces in the place of the sum itself.
fn sum(block: &Block) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum + u32::from(*byte));
    sum(&block[..SUM.start]) + sum(&block[SUM.end..]) + 8 * u32::from(b' ')
}

/// Up to the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or GNU's form of what they cannot hold: binary, in two's complement, with the first bit set.
fn number(field: &[u8]) -> Result<i128, BadArchive> {
    if field[0] & 0x80 != 0 {
        // The bit below says the sign.
        let first = i128::from((field[0] << 1) as i8 >> 1);
        return Ok(field[1..].iter().fold(first, |value, byte| value << 8 | i128::from(*byte)));
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) || digits.iter().any(|digit| *digit > b'7') {
        return Err(BadArchive::Field);
    }
    Ok(digits.iter().fold(0, |value, digit| value << 3 | i128::from(digit - b'0')))
}

/// Octal digits and a zero; what does not fit is cut.
fn put(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    for (at, byte) in field[..digits].iter_mut().enumerate() {
        let shift = 3 * (digits - 1 - at);
        *byte = b'0' + (value >> shift & 7) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_gnus() {
        for (field, value) in [
            (&b"0000644\0"[..], Ok(0o644)),
            (b"   644 \0", Ok(0o644)),
            (b"77777777", Ok(0o77_777_777)),
            (b"\0\0\0\0\0\0\0\0", Ok(0)),
            (b"        ", Ok(0)),
            (b"\x80\0\0\0\0\0\x01\0", Ok(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Ok(-2)),
            (b"0000x44\0", Err(BadArchive::Field)),
            (b"-000001\0", Err(BadArchive::Field)),
            (b"0000008\0", Err(BadArchive::Field)),
            (b"000\x00001\0", Err(BadArchive::Field)),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }

    #[test]
    fn a_number_that_is_put_is_read_again() {
        for value in [0, 1, 0o644, (1 << 33) - 1] {
            let mut field = [0; 12];
            put(&mut field, value);
            assert_eq!(number(&field), Ok(value.into()));
            assert!(fits(value.into()));
        }
        assert!(!fits(1 << 33) && !fits(-1));
    }
}
