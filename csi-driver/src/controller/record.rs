//! What is kept about a volume that CreateVolume made: enough to tell a repeated call from an incompatible one.

use workspacefs_api::volume::is_folder_name;
use workspacefs_csi_proto::csi::v1::CapacityRange;

use crate::share::VolumeRecord;

/// Begins the folder names made from names that cannot be folder names themselves.
const HASHED: &str = "hash-";

/// A capacity range that contradicts itself.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("capacity range: required {required_bytes} bytes, limit {limit_bytes} bytes")]
pub struct RangeError {
    required_bytes: i64,
    limit_bytes: i64,
}

/// The record of a volume to be made.
///
/// # Errors
/// A negative number, or a limit below what is required.
pub fn record(range: Option<&CapacityRange>) -> Result<VolumeRecord, RangeError> {
    let CapacityRange { required_bytes, limit_bytes } = range.copied().unwrap_or_default();
    let contradicts = limit_bytes != 0 && limit_bytes < required_bytes;
    if required_bytes < 0 || limit_bytes < 0 || contradicts {
        return Err(RangeError { required_bytes, limit_bytes });
    }
    Ok(VolumeRecord { required_bytes, limit_bytes })
}

/// Whether the volume that was made for `made` is what `asked` wants: its size lies within the range asked for.
pub fn satisfies(made: &VolumeRecord, asked: &VolumeRecord) -> bool {
    made.required_bytes >= asked.required_bytes
        && (asked.limit_bytes == 0 || made.required_bytes <= asked.limit_bytes)
}

/// The folder for a volume's name: the name itself where it is plain, else a hash of it. Two names never get the same
/// folder: a plain name that looks like a hash is hashed too.
pub fn folder_name(volume_name: &str) -> String {
    if is_folder_name(volume_name) && !volume_name.starts_with(HASHED) {
        return volume_name.into();
    }
    format!("{HASHED}{}", blake3::hash(volume_name.as_bytes()).to_hex())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sized(required_bytes: i64, limit_bytes: i64) -> Result<VolumeRecord, RangeError> {
        record(Some(&CapacityRange { required_bytes, limit_bytes }))
    }

    #[test]
    fn a_volume_satisfies_the_ranges_that_hold_its_size() {
        let made = sized(10, 20).unwrap();
        for (required, limit, wanted) in [
            (10, 20, true),
            (10, 0, true),
            (5, 0, true),
            (0, 0, true),
            (10, 10, true),
            (11, 0, false),
            (0, 9, false),
            (20, 20, false),
        ] {
            assert_eq!(satisfies(&made, &sized(required, limit).unwrap()), wanted, "{required}..{limit}");
        }
    }

    #[test]
    fn a_range_that_contradicts_itself_is_refused() {
        for (required, limit) in [(-1, 0), (0, -1), (2, 1)] {
            assert_eq!(
                sized(required, limit),
                Err(RangeError { required_bytes: required, limit_bytes: limit })
            );
        }
        assert_eq!(record(None), sized(0, 0));
    }

    #[test]
    fn plain_names_stay_themselves() {
        assert_eq!(
            folder_name("pvc-0f8fad5b-d9cb-469f-a165-70867728950e"),
            "pvc-0f8fad5b-d9cb-469f-a165-70867728950e"
        );
        for name in ["../x", "a/b", ".hidden", "", "hash-a", &"a".repeat(85), "ä", "a\0"] {
            let folder = folder_name(name);
            assert!(folder.starts_with(HASHED) && is_folder_name(&folder), "{name:?} -> {folder}");
        }
        let hashed = folder_name("a/b");
        assert_ne!(folder_name(&hashed), hashed, "nobody can name another's folder");
    }

    proptest! {
        #[test]
        fn every_name_gets_a_valid_folder(name in ".*") {
            prop_assert!(is_folder_name(&folder_name(&name)));
        }
    }
}
