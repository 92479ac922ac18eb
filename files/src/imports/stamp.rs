//! The mark that an imported file carries of the version of the object that it was: its time of modification, to the second the
//! object's own, and below that some bits of the ETag. So an import knows what is there already, also after a restart, after its
//! record was deleted, or as another import of the same bucket; and nothing has to be kept beside the files. Pure.

use workspacefs_buckets::Object;

/// Servers may keep microseconds only.
const MICROSECONDS: u32 = 1_000_000;

/// See the module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    seconds: i64,
    microseconds: u32,
}

impl Stamp {
    /// The object's.
    pub fn of(object: &Object) -> Self {
        let bits = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, object.etag.as_str().as_bytes());
        let microseconds = (bits % u64::from(MICROSECONDS)) as u32;
        // Listings are more exact than headers are.
        Self { seconds: object.modified.as_second(), microseconds }
    }

    /// To be set: nanoseconds since 1970.
    pub fn time(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.microseconds) * 1000
    }

    /// Whether a file has it, of this time of modification.
    pub fn is_of(self, modified: i128) -> bool {
        modified.div_euclid(1000) * 1000 == self.time()
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_buckets::ETag;

    use super::*;

    #[test]
    fn another_etag_or_second_is_another_stamp_and_what_is_below_a_second_does_not_count() {
        let object = |etag: &str, modified: &str| Object {
            key: "k".into(),
            size: 1,
            etag: ETag::new(etag),
            modified: modified.parse().unwrap(),
        };
        let stamp = Stamp::of(&object("e", "2024-02-03T04:05:06.789Z"));
        assert!(stamp.is_of(stamp.time()));
        assert_eq!(stamp, Stamp::of(&object("\"e\"", "2024-02-03T04:05:06Z")));
        for other in [object("f", "2024-02-03T04:05:06Z"), object("e", "2024-02-03T04:05:07Z")] {
            assert!(!stamp.is_of(Stamp::of(&other).time()));
        }
        // A server that keeps more says the same; one that rounds away all below the second does not.
        assert!(stamp.is_of(stamp.time() + 999));
        assert!(!stamp.is_of(stamp.time() / 1_000_000_000 * 1_000_000_000));
        let early = Stamp::of(&object("e", "1969-12-31T23:59:59Z"));
        assert!(early.is_of(early.time()) && early.time() < 0);
    }
}
