//! The names of LocalVolumes, derived from what was asked for: a call that is repeated comes to the same ones, whatever became
//! of the process that began.

/// Hexadecimal digits of a label's value, and of a name without its dashes.
const DIGITS: usize = 32;

/// Which volume of CSI's it is: the value of the label by which it is found on whatever node it was made.
pub fn label(storage_uid: &str, volume: &str) -> String {
    digest("workspacefs local volume label", &[storage_uid, volume])
}

/// Name of the LocalVolume on that node. It has the form of a uid, as volume ids want it.
pub fn object(storage_uid: &str, volume: &str, node: &str) -> String {
    let digits = digest("workspacefs local volume name", &[storage_uid, volume, node]);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// No two lists of texts have the same, nor two contexts.
fn digest(context: &str, texts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..DIGITS].to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use workspacefs_api::local_attributes::LocalVolumeId;
    use workspacefs_api::volume::is_uid;

    use super::*;

    const STORAGE: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    #[test]
    fn names_stay_what_they_are_from_one_version_to_the_next() {
        // LocalVolumes that an earlier version wrote must be found by them.
        assert_eq!(label(STORAGE, "pvc-1"), "2c70a4ba8f5034927529996063cdb36e");
        assert_eq!(object(STORAGE, "pvc-1", "n1"), "871a9223-4332-db7e-f6ad-429e59fe60e9");
    }

    #[test]
    fn what_differs_in_anything_has_another_name() {
        let names = [
            object(STORAGE, "pvc-1", "n1"),
            object(STORAGE, "pvc-1", "n2"),
            object(STORAGE, "pvc-1n", "1"),
            object(STORAGE, "pvc-2", "n1"),
            object("other", "pvc-1", "n1"),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
        }
        assert_ne!(label(STORAGE, "pvc-1"), label("other", "pvc-1"));
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_gets_a_label_and_a_name_that_volume_ids_take(volume in ".*", node in ".*") {
            let label = label(STORAGE, &volume);
            prop_assert!(label.len() == 32 && label.bytes().all(|b| b.is_ascii_hexdigit()));
            let name = object(STORAGE, &volume, &node);
            prop_assert!(is_uid(&name));
            let id = LocalVolumeId::Volume { storage: STORAGE.into(), volume: name };
            prop_assert_eq!(LocalVolumeId::parse(&id.to_string()), Ok(id));
        }
    }
}
