//! What is known of the bytes of a file under construction. A network file system takes bytes at once and sends them later:
//! that there was no room for them it tells at a later write or sync, drops them, and tells it once. The next sync says that
//! all is well. So a refusal is never forgotten here, and a file that lost something is not written on.

use crate::error::Error;

/// See the module. Bytes are written from the beginning to the end.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// So many are on the disk.
    settled: u64,
    /// So many were written.
    written: u64,
    /// Something was written of which no sync said that it is there.
    is_dirty: bool,
    /// Some of that are bytes, and not only a hole.
    has_bytes: bool,
    /// Why something is lost.
    lost: Option<Error>,
}

impl Kept {
    /// Of so many bytes that are there already, of which nobody knows whether they are on the disk.
    pub fn unknown(bytes: u64) -> Self {
        Self { written: bytes, is_dirty: true, has_bytes: true, ..Self::default() }
    }

    /// Whether nothing is lost.
    ///
    /// # Errors
    /// Why something is.
    pub fn check(&self) -> Result<(), Error> {
        self.lost.clone().map_or(Ok(()), Err)
    }

    /// A write went well up to here.
    pub fn wrote(&mut self, end: u64) {
        self.grew(end);
        self.has_bytes = true;
    }

    /// It was lengthened up to here by a hole, of which nothing can be lost.
    pub fn grew(&mut self, end: u64) {
        self.written = self.written.max(end);
        self.is_dirty = true;
    }

    /// Whether bytes were written that may still be lost. A hole behind them would make the file as long as if they were there.
    pub fn may_lose(&self) -> bool {
        self.has_bytes
    }

    /// A sync said that all that was written is on the disk.
    pub fn settled(&mut self) {
        (self.settled, self.is_dirty, self.has_bytes) = (self.written, false, false);
    }

    /// What came after this was taken back.
    pub fn cut(&mut self, bytes: u64) {
        (self.settled, self.written) = (self.settled.min(bytes), self.written.min(bytes));
    }

    /// Whether a write that was refused so may be tried once more: only that write itself can be what it tells of.
    pub fn may_try_again(&self, error: &Error) -> bool {
        *error == Error::Quota && !self.is_dirty
    }

    /// Something is lost, nobody knows what: all that is not on the disk for certain. How many bytes remain.
    pub fn lose(&mut self, error: Error) -> u64 {
        self.cut(self.settled);
        (self.is_dirty, self.has_bytes) = (false, false);
        self.lost = Some(error);
        self.settled
    }

    /// Bytes that are not on the disk for certain.
    pub fn unsettled(&self) -> u64 {
        self.written - self.settled
    }

    /// Whether a sync has still to say whether they are.
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_refused_write_is_tried_again_only_where_it_can_tell_of_nothing_but_itself() {
        let mut kept = Kept::default();
        assert!(kept.may_try_again(&Error::Quota));
        assert!(!kept.may_try_again(&Error::of("write", Errno::IO)));
        kept.wrote(5);
        assert!(!kept.may_try_again(&Error::Quota));
        kept.settled();
        assert!(kept.may_try_again(&Error::Quota));
        assert!(!Kept::unknown(7).may_try_again(&Error::Quota));
    }

    #[test]
    fn what_is_lost_stays_lost_and_what_was_settled_before_stays_settled() {
        let mut kept = Kept::default();
        kept.wrote(5);
        kept.settled();
        kept.wrote(9);
        assert_eq!((kept.unsettled(), kept.check()), (4, Ok(())));
        assert_eq!(kept.lose(Error::Quota), 5);
        kept.wrote(12);
        kept.settled();
        assert_eq!(kept.check(), Err(Error::Quota));
        assert_eq!(Kept::unknown(7).lose(Error::Quota), 0);
    }

    #[test]
    fn bytes_may_be_lost_until_they_are_settled_and_a_hole_may_not() {
        let mut kept = Kept::default();
        kept.grew(5);
        assert!(!kept.may_lose() && kept.is_dirty());
        kept.wrote(9);
        kept.grew(12);
        assert!(kept.may_lose());
        kept.settled();
        assert!(!kept.may_lose() && Kept::unknown(7).may_lose());
    }

    #[test]
    fn what_is_taken_back_is_settled_no_more() {
        let mut kept = Kept::default();
        kept.wrote(9);
        kept.settled();
        kept.cut(3);
        kept.wrote(4);
        assert_eq!((kept.unsettled(), kept.lose(Error::Quota)), (1, 3));
    }
}
