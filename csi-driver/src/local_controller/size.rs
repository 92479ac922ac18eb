//! How large a volume is to be, by what was asked for alone: what a disk has left is for its node to say.

use workspacefs_storage::sizes::{self, Balance, SizeError};

use crate::share::VolumeRecord;

/// Of a disk without end: only the range decides.
const ENDLESS: Balance = Balance { capacity: u64::MAX, claims: 0, used: 0 };

/// No size is in the range.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RangeError {
    /// None is, or the volume would have to shrink.
    #[error(transparent)]
    Sizes(SizeError),
    /// More bytes than can be counted.
    #[error("{0} bytes, rounded up to whole blocks, are more than there can be")]
    TooLarge(u64),
}

/// The size of a new volume: what is required in whole blocks, or a default that the limit allows.
///
/// # Errors
/// [`RangeError`] with the numbers.
pub fn wished(asked: &VolumeRecord) -> Result<i64, RangeError> {
    let (required, limit) = range(asked);
    countable(sizes::claim_size(required, limit, &ENDLESS).map_err(RangeError::Sizes)?)
}

/// The new size of a volume of `size` bytes: unchanged where that is enough.
///
/// # Errors
/// [`RangeError`] with the numbers.
pub fn grown(size: i64, asked: &VolumeRecord) -> Result<i64, RangeError> {
    let (required, limit) = range(asked);
    let grown = sizes::grown_size(size.unsigned_abs(), required, limit, &ENDLESS);
    countable(grown.map_err(RangeError::Sizes)?)
}

/// Whether a volume that exists is what a repeated request asks for.
pub fn satisfies(size: i64, asked: &VolumeRecord) -> bool {
    let (required, limit) = range(asked);
    sizes::is_in_range(size.unsigned_abs(), required, limit)
}

fn range(asked: &VolumeRecord) -> (u64, u64) {
    (asked.required_bytes.unsigned_abs(), asked.limit_bytes.unsigned_abs())
}

fn countable(size: u64) -> Result<i64, RangeError> {
    size.try_into().map_err(|_| RangeError::TooLarge(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: i64 = 1 << 30;

    fn asked(required_bytes: i64, limit_bytes: i64) -> VolumeRecord {
        VolumeRecord { required_bytes, limit_bytes }
    }

    #[test]
    fn a_new_volume_has_what_is_required_in_whole_blocks_or_a_default_within_the_limit() {
        for (required, limit, size) in [
            (GIB, 0, GIB),
            (1, 0, 4096),
            (4097, 8192, 8192),
            (0, 0, GIB),
            (0, 4097, 4096),
            (0, 2 * GIB, GIB),
            (3 * GIB, 3 * GIB, 3 * GIB),
        ] {
            assert_eq!(wished(&asked(required, limit)), Ok(size), "{required}..{limit}");
        }
        for (required, limit) in [(1, 1), (0, 4095), (4097, 8191)] {
            let refused = wished(&asked(required, limit));
            assert!(
                matches!(refused, Err(RangeError::Sizes(SizeError::NoMultiple { .. }))),
                "{required}..{limit}"
            );
        }
        assert_eq!(wished(&asked(i64::MAX, 0)), Err(RangeError::TooLarge(1 << 63)));
    }

    #[test]
    fn a_volume_grows_to_what_is_required_and_never_shrinks() {
        assert_eq!(grown(GIB, &asked(2 * GIB, 0)), Ok(2 * GIB));
        assert_eq!(grown(GIB, &asked(GIB + 1, 0)), Ok(GIB + 4096));
        for required in [0, 1, GIB] {
            assert_eq!(grown(GIB, &asked(required, 0)), Ok(GIB), "{required}");
        }
        assert_eq!(
            grown(GIB, &asked(0, GIB - 1)),
            Err(RangeError::Sizes(SizeError::AboveLimit { size: 1 << 30, limit: (1 << 30) - 1 }))
        );
        assert!(matches!(
            grown(GIB, &asked(GIB + 1, GIB + 2)),
            Err(RangeError::Sizes(SizeError::NoMultiple { .. }))
        ));
    }

    #[test]
    fn a_repeated_request_is_met_by_any_size_in_its_range() {
        assert!(
            satisfies(GIB, &asked(GIB, GIB))
                && satisfies(GIB, &asked(0, 0))
                && satisfies(GIB, &asked(1, 2 * GIB))
        );
        assert!(!satisfies(GIB, &asked(GIB + 1, 0)) && !satisfies(GIB, &asked(0, GIB - 1)));
    }
}
