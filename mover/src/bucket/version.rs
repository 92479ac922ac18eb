//! An object's version as the manifest has it. Pure.

use workspacefs_buckets::{Assurance, Object};
use workspacefs_sync::{Time, Version};

/// Set in the mark of an object whose content was compared with nothing.
const BY_SIZE: u64 = 1;

/// The versions as which an object may have been written down: with its content verified, and by its size alone.
pub(crate) fn versions(object: &Object) -> [(Version, bool); 2] {
    [false, true].map(|by_size| (of(object, by_size), by_size))
}

/// The version to be written down.
pub(crate) fn version(object: &Object, assurance: Assurance) -> Version {
    of(object, matches!(assurance, Assurance::Size(_)))
}

fn of(object: &Object, by_size: bool) -> Version {
    let digest = blake3::hash(object.etag.as_str().as_bytes());
    let bits = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let mark = (bits & !BY_SIZE) | u64::from(by_size);
    // Listings are more exact than headers are; the ETag is what tells versions apart.
    let modified = Time { seconds: object.modified.as_second(), nanoseconds: 0 };
    Version { size: object.size, modified, mark }
}

#[cfg(test)]
mod tests {
    use workspacefs_buckets::{ETag, Unchecked};

    use super::*;

    #[test]
    fn another_etag_size_or_second_is_another_version_and_how_sure_it_is_is_kept() {
        let modified = "2024-02-03T04:05:06.789Z".parse().unwrap();
        let object = Object { key: "k".into(), size: 5, etag: ETag::new("e"), modified };
        let [(sure, _), (by_size, _)] = versions(&object);
        assert_eq!(version(&object, Assurance::Size(Unchecked::InParts)), by_size);
        let header = Object { modified: "2024-02-03T04:05:06Z".parse().unwrap(), ..object.clone() };
        assert_eq!(versions(&header)[0].0, sure);
        let others = [
            Object { size: 6, ..object.clone() },
            Object { etag: ETag::new("f"), ..object.clone() },
            Object { modified: "2024-02-03T04:05:07Z".parse().unwrap(), ..object },
        ];
        let all: Vec<_> = others.iter().flat_map(versions).map(|(version, _)| version).collect();
        assert!(sure != by_size && !all.contains(&sure) && !all.contains(&by_size));
    }
}
