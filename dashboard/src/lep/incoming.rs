//! A request's body that is read twice: by what carries the request out, as far as that gets, and then to its end. The client sends all
//! before it reads anything; if nobody took the rest, it would see a broken connection and not what is wrong.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures::{Stream, StreamExt, future};
use tokio::time::timeout;

use crate::error::ApiError;

/// Bytes that may come before and behind the file in a form: heads of parts.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long the rest of a body may stand still.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// The largest rest that is taken of somebody who is known, and of others.
const REST_BYTES_MAX: [u64; 2] = [4 << 30, 8 << 20];

/// The body. Clones read the same.
#[derive(Clone)]
pub struct Incoming(Arc<Mutex<State>>);

struct State {
    body: BodyDataStream,
    /// While heads are read: what they may still have.
    head_bytes_left: Option<usize>,
    /// The reader of a form takes whatever is there before it looks at it: after each piece there is nothing.
    pauses: bool,
    is_taken_back: bool,
}

impl Incoming {
    /// Of a request.
    pub fn new(body: Body) -> Self {
        let body = body.into_data_stream();
        let head_bytes_left = Some(HEAD_BYTES_MAX);
        Self(Arc::new(Mutex::new(State { body, head_bytes_left, pauses: false, is_taken_back: false })))
    }

    /// Heads come now, or contents.
    pub fn expect_heads(&self, heads: bool) {
        self.lock().head_bytes_left = heads.then_some(HEAD_BYTES_MAX);
    }

    /// Takes the rest, as long as it comes, and lets nobody else have it.
    pub async fn drain(&self, is_known: bool) {
        self.lock().is_taken_back = true;
        let [known, unknown] = REST_BYTES_MAX;
        let mut left = if is_known { known } else { unknown };
        while let Ok(Some(Ok(piece))) = timeout(SILENCE_MAX, self.rest()).await {
            left = left.saturating_sub(piece.len() as u64);
            if left == 0 {
                return;
            }
        }
    }

    /// The next piece, whoever else reads.
    async fn rest(&self) -> Option<Result<Bytes, axum::Error>> {
        future::poll_fn(|cx| self.lock().body.poll_next_unpin(cx)).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, ApiError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.lock();
        if state.is_taken_back {
            return Poll::Ready(Some(Err(ApiError::bad("the upload is given up", None))));
        }
        if std::mem::take(&mut state.pauses) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if state.head_bytes_left == Some(0) {
            return Poll::Ready(Some(Err(ApiError::bad("a head of the form is too long", None))));
        }
        let polled = state.body.poll_next_unpin(cx);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            state.pauses = true;
            let length = piece.len();
            state.head_bytes_left = state.head_bytes_left.map(|left| left.saturating_sub(length));
        }
        polled.map_err(|_| ApiError::bad("the upload broke off", None))
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn pieces(count: usize, bytes: usize) -> Incoming {
        let piece = move |_| Ok::<_, std::io::Error>(Bytes::from(vec![0; bytes]));
        Incoming::new(Body::from_stream(stream::iter(0..count).map(piece)))
    }

    #[tokio::test]
    async fn heads_have_a_limit_and_contents_have_none() {
        let mut body = pieces(100, 4 << 10);
        let read = body.by_ref().take_while(|piece| future::ready(piece.is_ok())).count().await;
        assert_eq!(read, 16);
        let mut body = pieces(100, 4 << 10);
        assert!(body.next().await.is_some());
        body.expect_heads(false);
        assert_eq!(body.by_ref().filter(|piece| future::ready(piece.is_ok())).count().await, 99);
    }

    #[tokio::test]
    async fn after_each_piece_there_is_nothing_for_once() {
        let mut body = pieces(2, 1);
        assert!(futures::poll!(body.next()).is_ready());
        assert!(futures::poll!(body.next()).is_pending());
        assert!(futures::poll!(body.next()).is_ready());
    }

    #[tokio::test]
    async fn the_rest_is_taken_from_whoever_had_it() {
        let body = pieces(3, 1);
        let mut reader = body.clone();
        assert!(reader.next().await.unwrap().is_ok());
        body.drain(true).await;
        assert!(reader.next().await.unwrap().is_err());
        assert!(body.rest().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_that_never_comes_is_not_waited_for() {
        let body = Incoming::new(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()));
        let begun = tokio::time::Instant::now();
        body.drain(true).await;
        assert_eq!(begun.elapsed(), SILENCE_MAX);
    }

    #[tokio::test]
    async fn of_those_whom_nobody_knows_less_is_taken() {
        let body = pieces(100, 1 << 20);
        body.drain(false).await;
        let mut left = 0;
        while body.rest().await.is_some() {
            left += 1;
        }
        assert_eq!(left, 92);
    }
}
