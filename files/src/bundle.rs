//! Many small files of a folder in one answer, as a tar: exactly those that are asked for, each as it is known to whoever asks. What
//! is another by now, cannot be read or is too large is left out, and asked for by itself, which says why. Each file is read whole
//! before it is told, so none can break off the others.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::tar::{END, Member, MemberKind, padding};

use crate::app::App;
use crate::error::Error;
use crate::facts::Facts;
use crate::root::Root;
use crate::shares::Place;
use crate::unpack::SMALL_BYTES_MAX;

/// Files that are read by one call: so many, or of so many bytes.
const GROUP_FILES: usize = 16;
const GROUP_BYTES: u64 = 512 << 10;
/// Groups that are read before they are sent.
const AHEAD: usize = 3;

/// A file as it is known to whoever asks for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    /// From the folder.
    pub path: FilePath,
    pub size: u64,
    pub etag: String,
}

/// What is read together, in the order in which it was asked for.
fn groups(wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let (mut groups, mut bytes) = (Vec::<Vec<Wanted>>::new(), 0);
    for one in wanted.into_iter().filter(|one| one.size <= SMALL_BYTES_MAX) {
        bytes += one.size;
        match groups.last_mut() {
            Some(last) if last.len() < GROUP_FILES && bytes <= GROUP_BYTES => last.push(one),
            _ => {
                bytes = one.size;
                groups.push(vec![one]);
            }
        }
    }
    groups
}

/// The answer's body. `place` is held until it ends.
pub(crate) fn body(app: &Arc<App>, folder: FilePath, wanted: Vec<Wanted>, place: Place) -> Body {
    let (app, folder) = (Arc::clone(app), Arc::new(folder));
    let read = move |group: Vec<Wanted>| {
        let (app, folder) = (Arc::clone(&app), Arc::clone(&folder));
        async move {
            let root = Arc::clone(&app.root);
            let packed = app.pool.run_piece(move || Ok(packed(&root, &folder, &group))).await;
            let packed = packed.map_err(|error| {
                tracing::info!(%error, "a bundle broke off");
                std::io::Error::other(error)
            })?;
            app.metrics.sent.inc_by(packed.len() as u64);
            Ok(Bytes::from(packed))
        }
    };
    let end = stream::once(async move {
        drop(place);
        Ok::<_, std::io::Error>(Bytes::from_static(&END))
    });
    let contents = stream::iter(groups(wanted)).map(read).buffered(AHEAD);
    Body::from_stream(
        contents
            .filter(|piece| {
                let is_empty = piece.as_ref().is_ok_and(Bytes::is_empty);
                std::future::ready(!is_empty)
            })
            .chain(end),
    )
}

/// Those of a group that are what they are asked for as, as they stand in the archive.
fn packed(root: &Root, folder: &FilePath, group: &[Wanted]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for wanted in group {
        let begin = bytes.len();
        match pack(root, folder, wanted, &mut bytes) {
            Ok(true) => {}
            Ok(false) | Err(_) => bytes.truncate(begin),
        }
    }
    bytes
}

/// Appends a file; false if it is another by now.
fn pack(root: &Root, folder: &FilePath, wanted: &Wanted, into: &mut Vec<u8>) -> Result<bool, Error> {
    let path = FilePath::from_bytes(&[folder.as_bytes(), wanted.path.as_bytes()].join(&b'/'))?;
    let (file, facts) = root.file(&path)?;
    if facts.size != wanted.size || facts.etag() != wanted.etag {
        return Ok(false);
    }
    let member = Member {
        name: wanted.path.as_bytes().to_vec(),
        kind: MemberKind::File,
        size: facts.size,
        mode: facts.mode,
        modified: facts.modified,
        sha256: None,
    };
    // Its size was compared: it is small.
    into.reserve(4096 + usize::try_from(facts.size).unwrap_or(0));
    member.write(into);
    let end = into.len() + usize::try_from(facts.size).unwrap_or(0);
    while into.len() < end {
        let missing = end - into.len();
        let mut piece = std::mem::take(into);
        piece.reserve(missing);
        let read = rustix::io::read(&file, spare_capacity(&mut piece));
        *into = piece;
        match read {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::of("read the file", errno)),
        }
    }
    into.truncate(end);
    into.resize(end + padding(facts.size), 0);
    // Of what was changed while it was read this is no whole.
    Ok(Facts::of(file.as_fd()).is_ok_and(|now| now.etag() == wanted.etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: usize, size: u64) -> Wanted {
        let path = FilePath::decode(&name.to_string()).unwrap();
        Wanted { path, size, etag: String::new() }
    }

    #[test]
    fn groups_hold_few_bytes_and_few_files_in_the_order_of_the_request() {
        let sizes = (0..200).map(|n| if n % 50 == 0 { SMALL_BYTES_MAX + 1 } else { n * 900 });
        let all: Vec<_> = sizes.enumerate().map(|(name, size)| wanted(name, size)).collect();
        let groups = groups(all.clone());
        for group in &groups {
            let bytes: u64 = group.iter().map(|one| one.size).sum();
            assert!(group.len() <= GROUP_FILES && (bytes <= GROUP_BYTES || group.len() == 1), "{bytes}");
        }
        let small: Vec<_> = all.into_iter().filter(|one| one.size <= SMALL_BYTES_MAX).collect();
        assert_eq!(groups.concat(), small);
        assert!(groups.len() < small.len() / 2 && super::groups(Vec::new()).is_empty());
    }
}
