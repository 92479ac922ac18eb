//! Everything about sizes that is decided, as pure functions: how large a claim is, what is left, what may shrink, and
//! how much of the disk can still be promised. All numbers are bytes, except where a name says inodes.

/// What quotas are counted in: a limit between two multiples could not be kept.
pub const BLOCK: u64 = 4096;
/// The size of a claim that asks for none.
pub const CLAIM_DEFAULT: u64 = 1 << 30;
/// Even a small folder may hold this many files.
const INODES_MIN: u64 = 10_000;
/// Above that, a file for this much space: an inode takes 512 bytes that no quota counts, so at most 3 % more.
const BYTES_PER_INODE: u64 = 16 << 10;
/// One part in this many of the disk is promised to nobody: inodes and the disk's own trees live there.
const RESERVE_PART: u64 = 20;
/// A folder whose files are being deleted may still take this much: moving what lies deep in it takes space, too.
const EMPTYING_BYTES: u64 = 64 << 20;
const EMPTYING_INODES: u64 = 1000;

/// Why a size cannot be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SizeError {
    /// No size is in the range.
    #[error("at least {required} bytes and at most {limit} bytes cannot both hold")]
    EmptyRange {
        /// At least.
        required: u64,
        /// At most.
        limit: u64,
    },
    /// Only sizes between two multiples are in the range.
    #[error("sizes are multiples of {BLOCK} bytes, and none is between {required} and {limit}")]
    NoMultiple {
        /// At least.
        required: u64,
        /// At most.
        limit: u64,
    },
    /// Larger than the FileSystem itself.
    #[error("{asked} bytes are more than the FileSystem's capacity of {capacity} bytes")]
    BeyondCapacity {
        /// What was asked for.
        asked: u64,
        /// All that there is.
        capacity: u64,
    },
    /// Larger than what is left of the FileSystem.
    #[error("{asked} bytes are more than the {left} bytes that are left of the FileSystem")]
    BeyondLeft {
        /// What was asked for.
        asked: u64,
        /// What is left.
        left: u64,
    },
    /// It is larger than what is asked for, and claims do not shrink.
    #[error("it has {size} bytes, which is more than the limit of {limit} bytes, and cannot shrink")]
    AboveLimit {
        /// What it has.
        size: u64,
        /// At most.
        limit: u64,
    },
}

/// How many files and folders a size allows.
pub fn inodes_for(bytes: u64) -> u64 {
    INODES_MIN.max(bytes / BYTES_PER_INODE)
}

/// What a folder may grow to while it is being emptied.
pub fn emptying_limits(bytes_used: u64, inodes_used: u64) -> (u64, u64) {
    (bytes_used.saturating_add(EMPTYING_BYTES), inodes_used.saturating_add(EMPTYING_INODES))
}

/// One FileSystem's account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Balance {
    /// What it was promised.
    pub capacity: u64,
    /// The sizes of its claims together.
    pub claims: u64,
    /// What lies in its own folder.
    pub used: u64,
}

impl Balance {
    /// The limit of its own folder. Never 0, which would be no limit.
    pub fn own_limit(&self) -> u64 {
        self.capacity.saturating_sub(self.claims).max(BLOCK)
    }

    /// The largest claim that still fits.
    pub fn left(&self) -> u64 {
        self.capacity.saturating_sub(self.claims).saturating_sub(self.used)
    }

    /// The account with `size` more given to claims.
    pub fn with_claim(self, size: u64) -> Self {
        Self { claims: self.claims.saturating_add(size), ..self }
    }

    /// Whether capacity covers claims and usage.
    pub fn holds(&self) -> bool {
        self.claims.saturating_add(self.used) <= self.capacity
    }
}

/// The size of a new claim: what is required, or a default that fits if nothing is.
///
/// # Errors
/// [`SizeError`] with the numbers.
pub fn claim_size(required: u64, limit: u64, balance: &Balance) -> Result<u64, SizeError> {
    check_range(required, limit)?;
    let size = match required {
        0 => {
            let most = CLAIM_DEFAULT.min(no_limit(limit)) / BLOCK * BLOCK;
            if most == 0 {
                return Err(SizeError::NoMultiple { required, limit });
            }
            // What is left decides, but not below one block.
            most.min(balance.left() / BLOCK * BLOCK).max(BLOCK)
        }
        _ => whole_blocks(required, limit, balance)?,
    };
    fits(size, size, balance)?;
    Ok(size)
}

/// The new size of a claim of `size`: unchanged where that is enough.
///
/// # Errors
/// [`SizeError`] with the numbers.
pub fn grown_size(size: u64, required: u64, limit: u64, balance: &Balance) -> Result<u64, SizeError> {
    check_range(required, limit)?;
    if size > no_limit(limit) {
        return Err(SizeError::AboveLimit { size, limit });
    }
    if required <= size {
        return Ok(size);
    }
    let new = whole_blocks(required, limit, balance)?;
    fits(new, new - size, balance)?;
    Ok(new)
}

/// Whether a claim that exists is what a repeated request asks for.
pub fn is_in_range(size: u64, required: u64, limit: u64) -> bool {
    required <= size && size <= no_limit(limit)
}

fn no_limit(limit: u64) -> u64 {
    if limit == 0 { u64::MAX } else { limit }
}

fn check_range(required: u64, limit: u64) -> Result<(), SizeError> {
    if required > no_limit(limit) { Err(SizeError::EmptyRange { required, limit }) } else { Ok(()) }
}

fn whole_blocks(required: u64, limit: u64, balance: &Balance) -> Result<u64, SizeError> {
    let too_large = SizeError::BeyondCapacity { asked: required, capacity: balance.capacity };
    let size = required.checked_next_multiple_of(BLOCK).ok_or(too_large)?;
    if size > no_limit(limit) { Err(SizeError::NoMultiple { required, limit }) } else { Ok(size) }
}

/// Whether a claim of `size`, which takes `more` than now, fits.
fn fits(size: u64, more: u64, balance: &Balance) -> Result<(), SizeError> {
    if size > balance.capacity {
        return Err(SizeError::BeyondCapacity { asked: size, capacity: balance.capacity });
    }
    if more > balance.left() {
        return Err(SizeError::BeyondLeft { asked: more, left: balance.left() });
    }
    Ok(())
}

/// Whether what folders may grow to is added up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Promises {
    /// What the disk cannot hold is not promised.
    #[default]
    Kept,
    /// The same, but workspaces' shares of a local disk are promised nothing: each may fill it, and who comes first is served
    /// first.
    NotToShares,
}

/// What a folder is in the disk's account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It was promised so much: a FileSystem's own, with its claims, or a volume.
    Promised(u64),
    /// It was promised nothing, and may fill the disk.
    Unpromised,
    /// A claim of so much, which its FileSystem's promise covers.
    Claim(u64),
    /// A claim of so much, whose FileSystem is gone.
    Orphan(u64),
    /// Removed or retained.
    Removed,
}

/// The disk's account, over all folders.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DiskBalance {
    /// Size of its file system.
    pub total: u64,
    /// Free now.
    pub free: u64,
    /// In all folders of ours, removed ones too.
    pub used: u64,
    /// Of these, in removed and retained folders, which no capacity covers.
    pub removed: u64,
    /// Capacities of FileSystems, and sizes of claims whose FileSystem is gone.
    pub promised: u64,
    /// What lies in folders beyond what they were promised: all of it where nothing was, and what went over a limit, as root's
    /// files do on ext4.
    pub beyond: u64,
    /// What claims have been given and not written yet.
    pub unwritten: u64,
}

impl DiskBalance {
    /// Enters one folder, in which so much lies.
    pub fn enter(&mut self, standing: Standing, used: u64) {
        self.used = self.used.saturating_add(used);
        match standing {
            Standing::Promised(capacity) => self.promise(capacity, used),
            Standing::Unpromised => self.beyond = self.beyond.saturating_add(used),
            Standing::Claim(size) => self.give(size, used),
            Standing::Orphan(size) => {
                self.give(size, used);
                self.promise(size, used);
            }
            Standing::Removed => self.removed = self.removed.saturating_add(used),
        }
    }

    fn promise(&mut self, size: u64, used: u64) {
        self.promised = self.promised.saturating_add(size);
        self.beyond = self.beyond.saturating_add(used.saturating_sub(size));
    }

    fn give(&mut self, size: u64, used: u64) {
        self.unwritten = self.unwritten.saturating_add(size.saturating_sub(used));
    }

    fn reserve(&self) -> u64 {
        self.total / RESERVE_PART
    }

    /// What another FileSystem or volume could be promised. What others have on the same disk counts as gone.
    pub fn unpromised(&self) -> u64 {
        self.free
            .saturating_add(self.used)
            .saturating_sub(self.reserve())
            .saturating_sub(self.removed)
            .saturating_sub(self.beyond)
            .saturating_sub(self.promised)
    }

    /// What another claim could be given so that all claims can be filled: less than its FileSystem has left while the
    /// trash is full.
    pub fn backed(&self) -> u64 {
        self.free.saturating_sub(self.reserve()).saturating_sub(self.unwritten)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn balance(capacity: u64, claims: u64, used: u64) -> Balance {
        Balance { capacity, claims, used }
    }

    #[test]
    fn inodes_follow_the_size_but_not_below_a_floor() {
        assert_eq!(inodes_for(0), 10_000);
        assert_eq!(inodes_for(GIB), 65_536);
    }

    #[test]
    fn left_is_capacity_less_claims_less_usage_and_the_own_limit_is_never_none() {
        assert_eq!(balance(10, 3, 2).left(), 5);
        assert_eq!(balance(10, 8, 5).left(), 0);
        assert_eq!(balance(10 * GIB, 3 * GIB, GIB).own_limit(), 7 * GIB);
        assert_eq!(balance(10 * GIB, 10 * GIB, 0).own_limit(), BLOCK);
    }

    #[test]
    fn a_claim_gets_what_it_requires_or_a_default_that_fits() {
        let b = balance(10 * GIB, 0, 0);
        assert_eq!(claim_size(3 * GIB, 0, &b), Ok(3 * GIB));
        assert_eq!(claim_size(1, 0, &b), Ok(BLOCK));
        assert_eq!(claim_size(0, 0, &b), Ok(GIB));
        assert_eq!(claim_size(0, GIB / 2, &b), Ok(GIB / 2));
        assert_eq!(claim_size(0, 0, &balance(GIB, GIB / 2, 5)), Ok(GIB / 2 - BLOCK));
        assert_eq!(claim_size(10 * GIB, 10 * GIB, &b), Ok(10 * GIB));
    }

    #[test]
    fn a_claim_that_does_not_fit_is_refused_with_both_numbers() {
        let b = balance(10 * GIB, 4 * GIB, GIB);
        assert_eq!(
            claim_size(11 * GIB, 0, &b),
            Err(SizeError::BeyondCapacity { asked: 11 * GIB, capacity: 10 * GIB })
        );
        assert_eq!(claim_size(6 * GIB, 0, &b), Err(SizeError::BeyondLeft { asked: 6 * GIB, left: 5 * GIB }));
        assert_eq!(
            claim_size(u64::MAX, 0, &b),
            Err(SizeError::BeyondCapacity { asked: u64::MAX, capacity: 10 * GIB })
        );
        let full = balance(GIB, GIB, 0);
        assert_eq!(claim_size(0, 0, &full), Err(SizeError::BeyondLeft { asked: BLOCK, left: 0 }));
    }

    #[test]
    fn ranges_without_a_size_in_them_are_refused() {
        let b = balance(10 * GIB, 0, 0);
        assert_eq!(claim_size(2, 1, &b), Err(SizeError::EmptyRange { required: 2, limit: 1 }));
        assert_eq!(claim_size(1, 1, &b), Err(SizeError::NoMultiple { required: 1, limit: 1 }));
        assert_eq!(claim_size(0, 1, &b), Err(SizeError::NoMultiple { required: 0, limit: 1 }));
    }

    #[test]
    fn growing_takes_only_the_difference_and_never_shrinks() {
        let b = balance(10 * GIB, 4 * GIB, GIB);
        assert_eq!(grown_size(4 * GIB, 9 * GIB, 0, &b), Ok(9 * GIB));
        assert_eq!(
            grown_size(4 * GIB, 9 * GIB + 1, 0, &b),
            Err(SizeError::BeyondLeft { asked: 5 * GIB + BLOCK, left: 5 * GIB })
        );
        assert_eq!(grown_size(4 * GIB, 2 * GIB, 0, &b), Ok(4 * GIB));
        assert_eq!(grown_size(4 * GIB, 0, 0, &b), Ok(4 * GIB));
        assert_eq!(grown_size(4 * GIB, 0, GIB, &b), Err(SizeError::AboveLimit { size: 4 * GIB, limit: GIB }));
        assert_eq!(
            grown_size(4 * GIB, 11 * GIB, 0, &b),
            Err(SizeError::BeyondCapacity { asked: 11 * GIB, capacity: 10 * GIB })
        );
    }

    #[test]
    fn a_repeated_request_is_met_by_any_size_in_its_range() {
        assert!(is_in_range(GIB, GIB, GIB) && is_in_range(GIB, 0, 0) && is_in_range(GIB, 1, 2 * GIB));
        assert!(!is_in_range(GIB, GIB + 1, 0) && !is_in_range(GIB, 0, GIB - 1));
    }

    #[test]
    fn the_disk_promises_what_it_has_and_not_what_the_trash_holds() {
        let disk = DiskBalance { total: 1000, free: 600, used: 380, ..Default::default() };
        // 20 are the disk's own, 50 the reserve.
        assert_eq!(disk.unpromised(), 930);
        let disk = DiskBalance { promised: 500, removed: 100, ..disk };
        assert_eq!(disk.unpromised(), 330);
        assert_eq!(DiskBalance { promised: 900, ..disk }.unpromised(), 0);
        assert_eq!(DiskBalance { unwritten: 200, ..disk }.backed(), 350);
    }

    #[test]
    fn what_a_folder_may_still_take_counts_and_of_one_without_a_promise_what_it_has_taken() {
        use Standing::{Claim, Orphan, Promised, Removed, Unpromised};
        // 1000 in all, of which 50 are the reserve and what is used is not free.
        let left = |folders: &[(Standing, u64)]| {
            let mut disk = DiskBalance { total: 1000, free: 1000, ..DiskBalance::default() };
            for (standing, used) in folders {
                disk.enter(*standing, *used);
                disk.free -= used;
            }
            disk.unpromised()
        };
        for (folders, expected) in [
            (&[][..], 950),
            // A promise takes the same, written or not.
            (&[(Promised(300), 0)], 650),
            (&[(Promised(300), 300)], 650),
            // What went over a limit is gone as well.
            (&[(Promised(300), 350)], 600),
            (&[(Unpromised, 0), (Unpromised, 200)], 750),
            (&[(Unpromised, 200), (Promised(300), 100)], 450),
            // Each is covered by what it was promised itself, and by no other's.
            (&[(Promised(300), 0), (Promised(100), 200)], 450),
            (&[(Removed, 100), (Promised(300), 0)], 550),
            (&[(Promised(300), 100), (Claim(100), 50)], 650),
            (&[(Orphan(100), 150)], 800),
            // More than there is: a share that had no promise has filled the disk meanwhile.
            (&[(Promised(600), 0), (Unpromised, 700)], 0),
        ] {
            assert_eq!(left(folders), expected, "{folders:?}");
        }
    }

    proptest! {
        #[test]
        fn a_disk_keeps_every_promise_that_it_makes_to_whoever_stays_within_it(
            total in 1000..4 * GIB, asked in proptest::collection::vec((1..GIB, 0..GIB), 1..8),
        ) {
            let mut disk = DiskBalance { total, free: total, ..DiskBalance::default() };
            let mut unwritten = 0;
            for (size, written) in asked {
                if size <= disk.unpromised() {
                    let written = written.min(size);
                    disk.enter(Standing::Promised(size), written);
                    disk.free -= written;
                    unwritten += size - written;
                }
                prop_assert!(unwritten <= disk.free);
            }
        }

        #[test]
        fn what_is_given_is_in_the_range_and_never_more_than_is_left(
            required in 0..4 * GIB, limit in 0..4 * GIB,
            capacity in 1..4 * GIB, claims in 0..4 * GIB, used in 0..4 * GIB,
        ) {
            let b = balance(capacity, claims, used);
            if let Ok(size) = claim_size(required, limit, &b) {
                prop_assert!(size > 0 && size % BLOCK == 0);
                prop_assert!(is_in_range(size, required, limit));
                prop_assert!(size <= b.left());
                prop_assert!(b.with_claim(size).holds());
            }
        }

        #[test]
        fn what_grows_is_in_the_range_and_never_more_than_is_left(
            blocks in 1..GIB / BLOCK, required in 0..4 * GIB, limit in 0..4 * GIB,
            capacity in 1..4 * GIB, others in 0..4 * GIB, used in 0..4 * GIB,
        ) {
            let size = blocks * BLOCK;
            let b = balance(capacity, others + size, used);
            if let Ok(new) = grown_size(size, required, limit, &b) {
                prop_assert!(new >= size && is_in_range(new, required, limit));
                prop_assert!(new - size <= b.left());
            }
        }

        #[test]
        fn while_the_trash_is_empty_what_a_file_system_has_left_is_there(
            total in 1000..4 * GIB, capacity in 0..4 * GIB, claims in 0..4 * GIB, used in 0..4 * GIB, written in 0..4 * GIB,
        ) {
            let (claims, written) = (claims.min(capacity), written.min(claims));
            let used = used.min(capacity - claims);
            let empty = DiskBalance { total, free: total, ..Default::default() };
            prop_assume!(capacity <= empty.unpromised());
            let disk = DiskBalance {
                total,
                free: total - used - written.min(claims),
                used: used + written.min(claims),
                removed: 0,
                promised: capacity,
                beyond: 0,
                unwritten: claims - written.min(claims),
            };
            prop_assert!(disk.backed() >= balance(capacity, claims, used).left());
        }
    }
}
