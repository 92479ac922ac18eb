//! Bytes that nobody comes upon by chance, of any length, from any place of them: what was uploaded is told from what was not.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{Context, Digest, SHA256};

/// One MiB.
pub const MIB: u64 = 1 << 20;
/// What is made, sent and hashed at a time.
const BLOCK: usize = 4 << 20;

/// A content without end, another one for each name.
#[derive(Clone, Copy, Debug)]
pub struct Content(pub &'static str);

impl Content {
    /// So many bytes of it from there.
    pub fn bytes(self, offset: u64, length: usize) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.0.as_bytes());
        let mut reader = hasher.finalize_xof();
        reader.set_position(offset);
        let mut bytes = vec![0; length];
        reader.fill(&mut bytes);
        bytes
    }

    /// SHA-256 of its first bytes, in hexadecimal as sha256sum prints it.
    pub fn digest(self, length: u64) -> String {
        hex(self.sum(length).as_ref())
    }

    /// The same, in base64 as headers have it.
    pub fn digest_for_header(self, length: u64) -> String {
        BASE64_STANDARD.encode(self.sum(length))
    }

    fn sum(self, length: u64) -> Digest {
        let mut context = Context::new(&SHA256);
        let mut offset = 0;
        while offset < length {
            let part = usize::try_from(length - offset).unwrap_or(BLOCK).min(BLOCK);
            context.update(&self.bytes(offset, part));
            offset += part as u64;
        }
        context.finish()
    }
}

/// SHA-256, in hexadecimal as sha256sum prints it.
pub fn digest(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

/// SHA-256, in base64 as headers have it.
pub fn digest_for_header(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(ring::digest::digest(&SHA256, bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_the_same_as_in_the_whole_and_names_differ() {
        let whole = Content("a").bytes(0, 10_000);
        assert_eq!(Content("a").bytes(4_321, 100), whole[4_321..4_421]);
        assert_ne!(Content("b").bytes(0, 32), whole[..32]);
    }

    #[test]
    fn a_digest_in_parts_is_that_of_the_whole() {
        let length = BLOCK as u64 + 7;
        let whole = Content("a").bytes(0, BLOCK + 7);
        assert_eq!(Content("a").digest(length), digest(&whole));
        assert_eq!(Content("a").digest_for_header(length), digest_for_header(&whole));
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest_for_header(b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
