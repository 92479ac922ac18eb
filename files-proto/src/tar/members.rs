//! The entries of an archive that comes piece by piece, from wherever: what feeds the [`Decoder`], for both sides.

use std::future::Future;

use bytes::Bytes;

use super::{BadArchive, Decoder, Member, Step};

/// What follows the end of an archive is read up to here, bytes.
const FILLING_BYTES_MAX: usize = 1 << 20;

/// Where an archive comes from.
pub trait Source {
    /// Why nothing more comes, or why what came is no archive.
    type Error: From<BadArchive>;

    /// The next piece, which is not empty; none at the end.
    ///
    /// # Errors
    /// Nothing more comes, and this was not the end.
    fn piece(&mut self) -> impl Future<Output = Result<Option<Bytes>, Self::Error>> + Send;
}

/// See the module. In memory is one piece, and what describes one entry.
#[derive(Debug)]
pub struct Members<S> {
    source: S,
    decoder: Decoder,
    /// What came and was not looked at yet.
    rest: Bytes,
    /// Content that was looked at, and not told.
    held: Bytes,
}

enum Told {
    Member(Member),
    Content(Bytes),
    End,
}

impl<S: Source> Members<S> {
    /// Of all that `source` has.
    pub fn new(source: S) -> Self {
        Self { source, decoder: Decoder::default(), rest: Bytes::new(), held: Bytes::new() }
    }

    /// The next entry; what is left of the content of the one before is passed over. None at the end.
    ///
    /// # Errors
    /// The archive is damaged, or broke off.
    pub async fn next(&mut self) -> Result<Option<Member>, S::Error> {
        loop {
            match self.step().await? {
                Told::Member(member) => return Ok(Some(member)),
                Told::Content(_) => {}
                Told::End => return Ok(None),
            }
        }
    }

    /// The next `length` bytes of the current entry's content, all of which are held in memory.
    ///
    /// # Errors
    /// As [`Members::next`]; `Cut` where the entry has fewer.
    pub async fn whole(&mut self, length: u64) -> Result<Vec<u8>, S::Error> {
        let length = usize::try_from(length).map_err(|_| BadArchive::Cut)?;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let Told::Content(mut content) = self.step().await? else { return Err(BadArchive::Cut.into()) };
            self.held = content.split_off(content.len().min(length - bytes.len()));
            bytes.extend_from_slice(&content);
        }
        Ok(bytes)
    }

    async fn step(&mut self) -> Result<Told, S::Error> {
        if !self.held.is_empty() {
            return Ok(Told::Content(std::mem::take(&mut self.held)));
        }
        loop {
            let rest = self.rest.clone();
            let mut input = &rest[..];
            let step = self.decoder.next(&mut input)?;
            self.rest = rest.slice_ref(input);
            match step {
                Step::Member(member) => return Ok(Told::Member(member)),
                Step::Content(content) => return Ok(Told::Content(rest.slice_ref(content))),
                Step::End => {
                    self.read_out().await;
                    return Ok(Told::End);
                }
                Step::More => self.rest = self.source.piece().await?.ok_or(BadArchive::Cut)?,
            }
        }
    }

    /// What fills up the last record of a tape: a connection can be used again where it was read. All of the archive is there, so that
    /// nobody minds what becomes of it.
    async fn read_out(&mut self) {
        let mut read = 0;
        while read < FILLING_BYTES_MAX
            && let Ok(Some(piece)) = self.source.piece().await
        {
            read += piece.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::tests::{archive, file};
    use super::*;

    /// The pieces, and whether it breaks after them rather than ends.
    struct Pieces(std::vec::IntoIter<Bytes>, bool);

    #[derive(Debug, PartialEq)]
    enum Failure {
        Bad(BadArchive),
        Broken,
    }

    impl From<BadArchive> for Failure {
        fn from(bad: BadArchive) -> Self {
            Self::Bad(bad)
        }
    }

    impl Source for Pieces {
        type Error = Failure;

        async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
            match self.0.next() {
                None if self.1 => Err(Failure::Broken),
                piece => Ok(piece),
            }
        }
    }

    fn members(bytes: &[u8], piece: usize, is_broken: bool) -> Members<Pieces> {
        let pieces: Vec<_> = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        Members::new(Pieces(pieces.into_iter(), is_broken))
    }

    /// Of what never waits.
    fn now<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn two() -> Vec<u8> {
        archive(&[(file(b"a", 1300), &[7; 1300][..]), (file(b"b", 2), b"xy")])
    }

    #[test]
    fn contents_are_taken_whole_in_parts_or_not_at_all_whatever_the_pieces() {
        let bytes = two();
        for piece in [1, 100, 512, 1000, bytes.len()] {
            for taken in [&[1300][..], &[1, 1000, 299], &[0, 700], &[]] {
                let mut members = members(&bytes, piece, false);
                assert_eq!(now(members.next()), Ok(Some(file(b"a", 1300))));
                for length in taken {
                    assert_eq!(now(members.whole(*length)).unwrap(), vec![7; *length as usize]);
                }
                assert_eq!(now(members.next()), Ok(Some(file(b"b", 2))), "{piece} {taken:?}");
                assert_eq!(now(members.whole(2)).unwrap(), b"xy");
                assert_eq!(now(members.next()), Ok(None));
            }
        }
    }

    #[test]
    fn more_than_an_entry_has_is_not_taken_from_the_next() {
        let mut members = members(&two(), 4096, false);
        now(members.next()).unwrap();
        assert_eq!(now(members.whole(1301)), Err(Failure::Bad(BadArchive::Cut)));
    }

    #[test]
    fn what_ends_or_breaks_before_the_end_of_the_archive_says_which() {
        let bytes = two();
        for (is_broken, failure) in [(false, Failure::Bad(BadArchive::Cut)), (true, Failure::Broken)] {
            let mut members = members(&bytes[..2000], 300, is_broken);
            now(members.next()).unwrap();
            assert_eq!(now(members.whole(1300)), Err(failure));
        }
        let mut none = members(&[b'x'; 600], 100, false);
        assert_eq!(now(none.next()), Err(Failure::Bad(BadArchive::Header)));
    }

    #[test]
    fn what_follows_the_end_is_read_to_a_limit_and_spoils_nothing() {
        for is_broken in [false, true] {
            let mut bytes = two();
            bytes.resize(bytes.len() + 3 * FILLING_BYTES_MAX, 9);
            let mut members = members(&bytes, 1 << 16, is_broken);
            while now(members.next()).unwrap().is_some() {}
            let left = members.source.0.len() << 16;
            assert!((FILLING_BYTES_MAX..2 * FILLING_BYTES_MAX + (1 << 16)).contains(&left), "{left}");
            // A short filling is read to its end, so that a connection is used again.
            let mut members = self::members(&bytes[..two().len() + 10_240], 512, is_broken);
            while now(members.next()).unwrap().is_some() {}
            assert_eq!(members.source.0.len(), 0);
        }
    }
}
