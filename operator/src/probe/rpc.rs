//! ONC RPC (RFC 5531) in as few words as one call of the NULL procedure takes: bytes out, bytes in, no I/O.

/// The NFS program.
const NFS_PROGRAM: u32 = 100_003;
const CALL: u32 = 0;
const REPLY: u32 = 1;
/// Set in a record's length where no fragment follows (RFC 5531, section 11).
pub const LAST_FRAGMENT: u32 = 1 << 31;
/// No honest answer to NULL is longer: header, a verifier of at most 400 bytes, two numbers.
pub const REPLY_BYTES_MAX: usize = 1024;

/// What a reply says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The procedure ran.
    Done,
    /// The program is there, in these versions.
    Versions(u32, u32),
    /// It answers ONC RPC, but not as we need; in words.
    Refused(&'static str),
    /// Not a reply to our call.
    Garbage(&'static str),
}

/// A call of procedure 0, as one record.
pub fn null_call(xid: u32, version: u32) -> Vec<u8> {
    // xid, CALL, RPC version 2, program, version, procedure; then credentials and verifier, both AUTH_NONE and empty.
    let words = [xid, CALL, 2, NFS_PROGRAM, version, 0, 0, 0, 0, 0];
    let length = u32::try_from(words.len() * 4).unwrap_or(0) | LAST_FRAGMENT;
    std::iter::once(length).chain(words).flat_map(u32::to_be_bytes).collect()
}

/// Reads the reply to the call `xid`, without its record marks.
pub fn read_reply(xid: u32, bytes: &[u8]) -> Reply {
    parse(xid, bytes).unwrap_or(Reply::Garbage("its answer is cut short"))
}

fn parse(xid: u32, bytes: &[u8]) -> Option<Reply> {
    let mut rest = bytes;
    let mut word = || -> Option<u32> {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        Some(u32::from_be_bytes(*head))
    };
    if word()? != xid || word()? != REPLY {
        return Some(Reply::Garbage("what it answers is no ONC RPC reply"));
    }
    match word()? {
        0 => {}
        1 => return Some(Reply::Refused("it denies the call")),
        _ => return Some(Reply::Garbage("what it answers is no ONC RPC reply")),
    }
    let _flavor = word()?;
    let verifier = usize::try_from(word()?).ok()?;
    rest = rest.get(verifier.checked_next_multiple_of(4)?..)?;
    let mut word = || -> Option<u32> {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        Some(u32::from_be_bytes(*head))
    };
    Some(match word()? {
        0 => Reply::Done,
        1 => Reply::Refused("it serves RPC programs, but not NFS"),
        2 => Reply::Versions(word()?, word()?),
        _ => Reply::Refused("it fails the NULL call"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(words: &[u32]) -> Vec<u8> {
        words.iter().copied().flat_map(u32::to_be_bytes).collect()
    }

    #[test]
    fn the_call_is_the_forty_bytes_of_rfc_5531() {
        let call = null_call(7, 4);
        assert_eq!(call.len(), 44);
        assert_eq!(&call[..4], &[0x80, 0, 0, 40]);
        assert_eq!(call[4..28], reply(&[7, 0, 2, 100_003, 4, 0]));
        assert!(call[28..].iter().all(|b| *b == 0));
    }

    #[test]
    fn each_answer_is_understood() {
        for (words, meaning) in [
            (&[7, 1, 0, 0, 0, 0][..], Reply::Done),
            (&[7, 1, 0, 0, 0, 2, 3, 4], Reply::Versions(3, 4)),
            (&[7, 1, 0, 0, 0, 1], Reply::Refused("it serves RPC programs, but not NFS")),
            (&[7, 1, 0, 0, 0, 5], Reply::Refused("it fails the NULL call")),
            (&[7, 1, 1, 1, 5], Reply::Refused("it denies the call")),
            (&[8, 1, 0, 0, 0, 0], Reply::Garbage("what it answers is no ONC RPC reply")),
            (&[7, 1, 0, 0, 0], Reply::Garbage("its answer is cut short")),
            (&[7, 1, 0, 0, u32::MAX, 0], Reply::Garbage("its answer is cut short")),
        ] {
            assert_eq!(read_reply(7, &reply(words)), meaning, "{words:?}");
        }
    }

    #[test]
    fn a_verifier_is_passed_over_with_its_padding() {
        let mut bytes = reply(&[7, 1, 0, 1, 5]);
        bytes.extend([1, 2, 3, 4, 5, 0, 0, 0]);
        bytes.extend(reply(&[0]));
        assert_eq!(read_reply(7, &bytes), Reply::Done);
    }
}
