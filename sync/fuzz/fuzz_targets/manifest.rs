//! The manifest's reader, given what nobody wrote. See README.md.

#![no_main]

use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use workspacefs_sync::{Entry, ManifestError, ManifestReader};

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((kind, rest)) if kind % 2 == 0 => check(rest),
        Some((_, rest)) => check(&framed(rest)),
        None => {}
    }
});

/// No entry takes less.
const ENTRY_LEN_MIN: usize = 8;

fn check(bytes: &[u8]) {
    let (entries, error) = read(bytes);
    assert!(entries.len() <= bytes.len() / ENTRY_LEN_MIN);
    for entry in &entries {
        let path = entry.path.as_os_str().as_bytes();
        let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
        assert!(path.split(|byte| *byte == b'/').all(is_name));
    }
    let length = bytes.len() as u64;
    match error {
        Some(ManifestError::Damaged { at, bytes }) => assert_eq!(at + bytes, length),
        Some(ManifestError::Incomplete { at }) => assert_eq!(at, length),
        Some(ManifestError::Malformed { at }) => assert!(at < length),
        Some(ManifestError::Io(error)) => panic!("{error}"),
        Some(ManifestError::Foreign | ManifestError::Version(_) | ManifestError::Path(_)) | None => {}
    }
    // What is cut off takes entries from the end and adds none.
    let (fewer, _) = read(&bytes[..bytes.len() / 2]);
    assert!(entries.starts_with(&fewer));
}

fn read(bytes: &[u8]) -> (Vec<Entry>, Option<ManifestError>) {
    let mut entries = Vec::new();
    let mut reader = match ManifestReader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (entries, Some(error)),
    };
    let error = loop {
        match reader.next() {
            Some(Ok(entry)) => entries.push(entry),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(reader.next().is_none());
    (entries, error)
}

/// A file with these payloads, as the format's description says it. Before each stands its length in two bytes.
fn framed(mut data: &[u8]) -> Vec<u8> {
    let mut file = [&b"wsfsmani"[..], &1_u32.to_le_bytes(), &[0; 12]].concat();
    file.extend_from_slice(&blake3::hash(&file).as_bytes()[..8]);
    let header = file.clone();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        let at = (file.len() as u64).to_le_bytes();
        let check = blake3::hash(&[&header[..], &at, payload].concat());
        file.extend_from_slice(&u32::try_from(length).expect("two bytes").to_le_bytes());
        file.extend_from_slice(&check.as_bytes()[..16]);
        file.extend_from_slice(payload);
        data = rest;
    }
    file
}
