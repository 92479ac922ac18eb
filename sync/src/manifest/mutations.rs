//! The reader against files that nobody wrote: what the fuzz target tries for hours, in the same few seconds each time.

use std::os::unix::ffi::OsStrExt;

use super::frame::{ENTRIES, FrameWriter, Header, LAST};
use super::{Entry, ManifestError, ManifestReader, record};
use crate::Time;

const MUTATIONS: usize = 100_000;

/// Numbers that are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A part of something of this length.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let (a, b) = (self.below(length + 1), self.below(length + 1));
        a.min(b)..a.max(b)
    }
}

fn entries() -> Vec<Entry> {
    (0..12_u8)
        .map(|n| Entry {
            path: format!("folder{}/file{n}", n % 3).into(),
            size: u64::from(n) << (n * 5),
            mtime: Time { seconds: -i64::from(n), nanoseconds: 999_999_999 },
            ctime: Time { seconds: 1 << (n * 3), nanoseconds: 0 },
            digest: (n % 2 == 0).then_some([n; 32]),
        })
        .collect()
}

/// The payloads of a manifest of these entries, few in each.
fn payloads(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for some in entries.chunks(5) {
        let mut payload = vec![ENTRIES];
        some.iter().for_each(|entry| payload.extend(record::encode(entry).unwrap()));
        payloads.push(payload);
    }
    payloads.push([vec![LAST], postcard::to_stdvec(&(entries.len() as u64)).unwrap()].concat());
    payloads
}

fn framed(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = FrameWriter::begin(Vec::new(), Header::fresh()).unwrap();
    payloads.iter().for_each(|payload| writer.append(payload).unwrap());
    writer.into_output()
}

/// The entries that a file gives, and how it ends.
fn read(bytes: &[u8]) -> (Vec<Entry>, Option<ManifestError>) {
    let mut entries = Vec::new();
    match ManifestReader::new(bytes) {
        Err(error) => return (entries, Some(error)),
        Ok(reader) => {
            for entry in reader {
                match entry {
                    Ok(entry) => entries.push(entry),
                    Err(error) => return (entries, Some(error)),
                }
            }
        }
    }
    (entries, None)
}

/// Does one of the things to the bytes that disks, kills and people do.
fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers, other: &[u8]) {
    let part = numbers.part(bytes.len());
    match numbers.below(8) {
        0 | 1 => {
            let bit = numbers.below(bytes.len() * 8);
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        2 => bytes.truncate(part.start),
        3 => drop(bytes.drain(part)),
        4 => bytes[part].fill(0),
        5 => {
            let copy = bytes[part].to_vec();
            let at = numbers.below(bytes.len() + 1);
            bytes.splice(at..at, copy);
        }
        6 => {
            let noise: Vec<u8> = (0..numbers.below(40)).map(|_| numbers.next() as u8).collect();
            bytes.splice(part.start..(part.start + noise.len()).min(bytes.len()), noise);
        }
        _ => {
            let from = numbers.part(other.len());
            bytes.splice(part, other[from].iter().copied());
        }
    }
}

#[test]
fn of_a_file_that_is_not_as_it_was_written_only_what_was_written_is_read_and_its_end_is_an_error() {
    let entries = entries();
    let good = framed(&payloads(&entries));
    let other = framed(&payloads(&entries[3..]));
    let (read_good, error) = read(&good);
    assert!(read_good == entries && error.is_none(), "{error:?}");
    let mut numbers = Numbers(1);
    let (mut changed, mut with_entries) = (0, 0);
    for round in 0..MUTATIONS {
        let mut bytes = good.clone();
        (0..=numbers.below(3)).for_each(|_| mutate(&mut bytes, &mut numbers, &other));
        let (found, error) = read(&bytes);
        if bytes == good {
            continue;
        }
        changed += 1;
        // The whole of another good file may have been put in its place.
        let written = if bytes.starts_with(&other[..32]) { &entries[3..] } else { &entries[..] };
        assert!(written.starts_with(&found), "round {round}: {found:?}");
        assert!(error.is_some() || bytes == other, "round {round}: taken for whole");
        with_entries += usize::from(!found.is_empty());
    }
    assert!(changed > MUTATIONS * 9 / 10 && with_entries > MUTATIONS / 10, "{changed}, {with_entries}");
}

#[test]
fn a_file_that_proves_whole_and_makes_no_sense_gives_nothing_but_paths_beneath_a_root() {
    let good = payloads(&entries());
    let mut numbers = Numbers(2);
    let (mut malformed, mut paths) = (0, 0);
    for round in 0..MUTATIONS {
        let mut payloads = good.clone();
        let which = numbers.below(payloads.len());
        let other = good[numbers.below(good.len())].clone();
        mutate(&mut payloads[which], &mut numbers, &other);
        payloads.retain(|payload| !payload.is_empty());
        let bytes = framed(&payloads);
        let (found, error) = read(&bytes);
        assert!(found.len() * 20 <= bytes.len(), "round {round}: {} entries", found.len());
        for entry in found {
            let path = entry.path.as_os_str().as_bytes();
            let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
            assert!(path.split(|byte| *byte == b'/').all(is_name), "round {round}: {path:?}");
        }
        malformed += usize::from(matches!(error, Some(ManifestError::Malformed { .. })));
        paths += usize::from(matches!(error, Some(ManifestError::Path(_))));
    }
    assert!(malformed > MUTATIONS / 10 && paths > 0, "{malformed}, {paths}");
}
