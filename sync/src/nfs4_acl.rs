//! Access control lists as a mount of NFSv4 shows them, as the attribute `system.nfs4_acl`. A server tells one of every file; most say
//! no more than the mode. What does not, keeps people out or lets them in whom the mode alone does not: knfsd, for one, tells the mask
//! of a POSIX list as the group's bits.

use std::ffi::CStr;

/// The attribute's name.
pub(crate) const NAME: &CStr = c"system.nfs4_acl";

/// `ACE4_FILE_INHERIT_ACE`, `ACE4_DIRECTORY_INHERIT_ACE` and `ACE4_INHERIT_ONLY_ACE` (RFC 8881 §6.2.1.4): what is made later gets it.
const INHERITED: u32 = 0x1 | 0x2 | 0x8;
/// Those of whom a mode speaks (RFC 8881 §6.2.1.5).
const OF_A_MODE: [&[u8]; 3] = [b"OWNER@", b"GROUP@", b"EVERYONE@"];

/// Whether a list speaks of nobody of whom a mode does not. What cannot be read does. It has the form of `fattr4_acl` (RFC 8881
/// §6.2.1, in XDR): a count, and of each entry its type, flags, mask and name.
pub(crate) fn is_a_mode(list: &[u8]) -> bool {
    let mut rest = list;
    let Some(count) = number(&mut rest) else { return false };
    (0..count).all(|_| {
        entry(&mut rest).is_some_and(|(flags, who)| flags & INHERITED == 0 && OF_A_MODE.contains(&who))
    })
}

/// Flags and name of the next entry.
fn entry<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let [_type, flags, _mask] = [number(rest)?, number(rest)?, number(rest)?];
    let length = usize::try_from(number(rest)?).ok()?;
    let who = rest.get(..length)?;
    *rest = rest.get(length.checked_next_multiple_of(4)?..)?;
    Some((flags, who))
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u32, &str)]) -> Vec<u8> {
        let mut list = (entries.len() as u32).to_be_bytes().to_vec();
        for (flags, who) in entries {
            for number in [0, *flags, 0x0012_0089, who.len() as u32] {
                list.extend(number.to_be_bytes());
            }
            list.extend(who.as_bytes());
            list.resize(list.len().next_multiple_of(4), 0);
        }
        list
    }

    #[test]
    fn a_list_of_owner_group_and_everyone_is_a_mode_and_one_of_somebody_else_is_more() {
        const GROUP: u32 = 0x40;
        assert!(is_a_mode(&list(&[])));
        assert!(is_a_mode(&list(&[(0, "OWNER@"), (GROUP, "GROUP@"), (0, "EVERYONE@")])));
        assert!(!is_a_mode(&list(&[(0, "OWNER@"), (0, "4711"), (GROUP, "GROUP@"), (0, "EVERYONE@")])));
        assert!(!is_a_mode(&list(&[(0, "OWNER@"), (0, "jane@example.org")])));
        assert!(!is_a_mode(&list(&[(0, "EVERYONE"), (0, "OWNER@")])));
    }

    #[test]
    fn what_is_inherited_is_more_than_a_mode() {
        for flag in [0x1, 0x2, 0x8] {
            assert!(!is_a_mode(&list(&[(0, "OWNER@"), (flag, "OWNER@")])), "{flag}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_a_mode() {
        let whole = list(&[(0, "OWNER@"), (0, "EVERYONE@")]);
        for length in 0..whole.len() {
            assert!(!is_a_mode(&whole[..length]), "{length}");
        }
        let mut endless = list(&[(0, "OWNER@")]);
        endless[16..20].fill(0xff);
        assert!(!is_a_mode(&endless));
    }
}
