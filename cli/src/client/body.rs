//! The body of a request: bytes that are in memory, given in pieces, so that nothing on their way holds all of them once more.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Given at once.
const PIECE_BYTES: usize = 128 << 10;

/// See the module.
pub struct Pieces(Bytes);

impl Pieces {
    /// Of these bytes.
    pub fn of(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.0.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_pieces_are_the_whole_and_its_length_is_known() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES] {
            let whole: Bytes = (0..length).map(|n| n as u8).collect::<Vec<_>>().into();
            let mut body = Pieces::of(whole.clone());
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(length as u64), length == 0));
            let first = body.frame().await.map(|frame| frame.unwrap().into_data().unwrap());
            assert_eq!(first.map_or(0, |first| first.len()), length.min(PIECE_BYTES));
            let body = Pieces::of(whole.clone());
            assert_eq!(body.collect().await.unwrap().to_bytes(), whole);
        }
    }
}
