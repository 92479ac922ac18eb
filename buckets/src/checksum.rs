//! Whether what was read is what the service has: against the best checksum that it offers for a whole object.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use http::HeaderMap;
use md5::Digest as _;

use crate::error::BucketError;
use crate::object::{ETag, header};

/// How a content's checksum is computed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// `x-amz-checksum-sha256`
    Sha256,
    /// `x-amz-checksum-sha1`
    Sha1,
    /// `x-amz-checksum-crc64nvme`
    Crc64Nvme,
    /// `x-amz-checksum-crc32c`
    Crc32C,
    /// `x-amz-checksum-crc32`
    Crc32,
    /// An ETag that is one.
    Md5,
}

/// How sure it is that an object was read as it is. Its size was compared in any case.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Assurance {
    /// Its content has the checksum that the service says.
    Content(Algorithm),
    /// There was nothing to compare its content with.
    Size(Unchecked),
}

/// Why there was nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Unchecked {
    /// It was uploaded in parts: what the service has are checksums of these.
    InParts,
    /// It is encrypted with a key of the key service or the customer's: its ETag is none of the content.
    Encrypted,
    /// The service says nothing.
    Nothing,
}

/// In the order in which they are taken.
const HEADERS: [(&str, Algorithm); 5] = [
    ("x-amz-checksum-sha256", Algorithm::Sha256),
    ("x-amz-checksum-sha1", Algorithm::Sha1),
    ("x-amz-checksum-crc64nvme", Algorithm::Crc64Nvme),
    ("x-amz-checksum-crc32c", Algorithm::Crc32C),
    ("x-amz-checksum-crc32", Algorithm::Crc32),
];

/// What a content is compared with.
#[derive(Debug)]
pub(crate) struct Check {
    algorithm: Algorithm,
    expected: Vec<u8>,
    state: State,
}

enum State {
    Sha256(sha2::Sha256),
    Sha1(sha1::Sha1),
    Crc(crc_fast::Digest, usize),
    Md5(md5::Md5),
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha1 => "SHA-1",
            Self::Crc64Nvme => "CRC-64/NVME",
            Self::Crc32C => "CRC-32C",
            Self::Crc32 => "CRC-32",
            Self::Md5 => "MD5",
        })
    }
}

impl Check {
    /// From the headers of an answer about the whole object.
    pub fn of(headers: &HeaderMap, etag: &ETag) -> Result<Self, Unchecked> {
        let kind = header(headers, "x-amz-checksum-type");
        let is_composite = match kind {
            Some(kind) => kind.eq_ignore_ascii_case("COMPOSITE"),
            // There are services (moto's) that write a checksum of parts as if it was one of the whole.
            None => etag.is_of_parts(),
        };
        for (name, algorithm) in HEADERS {
            // One of parts is written `<base64>-<number>`; of a CRC-64/NVME there is none.
            let is_whole = |value: &&str| {
                !value.contains('-')
                    && (!is_composite || (kind.is_none() && algorithm == Algorithm::Crc64Nvme))
            };
            let value = header(headers, name).filter(is_whole);
            let Some(Ok(expected)) = value.map(|value| STANDARD.decode(value.trim())) else { continue };
            if expected.len() == algorithm.length() {
                return Ok(Self::new(algorithm, expected));
            }
        }
        let kms =
            header(headers, "x-amz-server-side-encryption").is_some_and(|kind| kind.starts_with("aws:"));
        let customer = headers.contains_key("x-amz-server-side-encryption-customer-algorithm");
        match etag.md5() {
            _ if kms || customer => Err(Unchecked::Encrypted),
            Some(digest) => Ok(Self::new(Algorithm::Md5, digest.to_vec())),
            None if is_composite || etag.is_of_parts() => Err(Unchecked::InParts),
            None => Err(Unchecked::Nothing),
        }
    }

    fn new(algorithm: Algorithm, expected: Vec<u8>) -> Self {
        let crc = |kind| State::Crc(crc_fast::Digest::new(kind), algorithm.length());
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Algorithm::Crc32C => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
        };
        Self { algorithm, expected, state }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha1(state) => state.update(bytes),
            State::Crc(state, _) => state.update(bytes),
            State::Md5(state) => state.update(bytes),
        }
    }

    /// # Errors
    /// [`BucketError::Checksum`]
    pub fn finish(self) -> Result<Algorithm, BucketError> {
        let found = match self.state {
            State::Sha256(state) => state.finalize().to_vec(),
            State::Sha1(state) => state.finalize().to_vec(),
            State::Crc(state, length) => {
                let bytes = state.finalize().to_be_bytes();
                bytes.iter().copied().skip(bytes.len() - length).collect()
            }
            State::Md5(state) => state.finalize().to_vec(),
        };
        if found == self.expected { Ok(self.algorithm) } else { Err(BucketError::Checksum(self.algorithm)) }
    }
}

impl Algorithm {
    /// Bytes.
    fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha1 => 20,
            Self::Md5 => 16,
            Self::Crc64Nvme => 8,
            Self::Crc32C | Self::Crc32 => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn check(headers: &[(&'static str, &str)], etag: &str) -> Result<Check, Unchecked> {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        Check::of(&headers.iter().map(pair).collect(), &ETag::new(etag))
    }

    /// Published check values of "123456789"; the digests by coreutils.
    #[test]
    fn each_checksum_is_the_published_one_and_finds_another_content() {
        for (name, value) in [
            ("x-amz-checksum-crc32", "cbf43926"),
            ("x-amz-checksum-crc32c", "e3069283"),
            ("x-amz-checksum-crc64nvme", "ae8b14860a799888"),
            ("x-amz-checksum-sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            ("x-amz-checksum-sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            let bytes: Vec<u8> = (0..value.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&value[at..at + 2], 16).unwrap())
                .collect();
            let value = STANDARD.encode(bytes);
            let run = |parts: &[&[u8]]| {
                let mut check = check(&[(name, &value)], "x-2").unwrap();
                parts.iter().for_each(|part| check.update(part));
                check.finish()
            };
            assert!(run(&[b"1234", b"56789"]).is_ok(), "{name}");
            assert!(matches!(run(&[b"123456788"]), Err(BucketError::Checksum(_))), "{name}");
        }
        let mut md5 = check(&[], "25f9e794323b453885f5181f1b624d0b").unwrap();
        md5.update(b"123456789");
        assert_eq!(md5.finish().unwrap(), Algorithm::Md5);
    }

    #[test]
    fn what_is_no_checksum_of_the_whole_content_is_not_taken_for_one() {
        let md5 = "25f9e794323b453885f5181f1b624d0b";
        let sse = "x-amz-server-side-encryption";
        let crc = "x-amz-checksum-crc32";
        for (headers, etag, why) in [
            (&[(sse, "aws:kms")][..], md5, Unchecked::Encrypted),
            (&[(sse, "aws:kms:dsse")], md5, Unchecked::Encrypted),
            (&[("x-amz-server-side-encryption-customer-algorithm", "AES256")], md5, Unchecked::Encrypted),
            (&[], "25f9e794323b453885f5181f1b624d0b-2", Unchecked::InParts),
            (&[(crc, "y/Q5Jg==-2")], "25f9e794323b453885f5181f1b624d0b-2", Unchecked::InParts),
            (&[(crc, "y/Q5Jg=="), ("x-amz-checksum-type", "COMPOSITE")], "x", Unchecked::InParts),
            (&[(crc, "y/Q5Jg==")], "25f9e794323b453885f5181f1b624d0b-2", Unchecked::InParts),
            (&[(crc, "nonsense")], "x", Unchecked::Nothing),
            (&[], "0x8D4BCC2E4835CD0", Unchecked::Nothing),
        ] {
            assert_eq!(check(headers, etag).err(), Some(why), "{headers:?} {etag}");
        }
        let both = [(sse, "aws:kms"), (crc, "y/Q5Jg=="), ("x-amz-checksum-type", "FULL_OBJECT")];
        assert_eq!(check(&both, md5).unwrap().algorithm, Algorithm::Crc32);
        let parts = "25f9e794323b453885f5181f1b624d0b-2";
        let whole = [(crc, "y/Q5Jg=="), ("x-amz-checksum-type", "FULL_OBJECT")];
        assert_eq!(check(&whole, parts).unwrap().algorithm, Algorithm::Crc32);
        let nvme = [("x-amz-checksum-crc64nvme", "rosUhgp5mIg=")];
        assert_eq!(check(&nvme, parts).unwrap().algorithm, Algorithm::Crc64Nvme);
        assert_eq!(check(&[(sse, "AES256")], md5).unwrap().algorithm, Algorithm::Md5);
    }
}
