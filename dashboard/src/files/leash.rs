//! What a transfer hangs on while it runs. The caller and their rights are reviewed again and again; a transfer whose caller may
//! no longer, or that does not move, is cut: both bodies end in an error, which the other side sees as a broken connection, never
//! as a whole file. What it held is let go then and there, whether or not anybody still reads.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::metrics::Metrics;

/// The times that a transfer is held to.
#[derive(Clone, Copy, Debug)]
pub struct LeashTimes {
    /// Between two reviews. With [`crate::review::AGE_MAX`] a change of rights acts within less than five seconds.
    pub review_every: Duration,
    /// Without any answer to a review.
    pub unreviewed_max: Duration,
    /// The caller neither sends nor takes anything.
    pub caller_idle_max: Duration,
    /// `files` neither takes nor sends anything.
    pub files_idle_max: Duration,
}

impl Default for LeashTimes {
    /// `files` has deadlines of its own; its are shorter.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            review_every: seconds(2),
            unreviewed_max: seconds(20),
            caller_idle_max: seconds(60),
            files_idle_max: seconds(300),
        }
    }
}

/// Why a transfer was cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Cut {
    /// The caller's token or session is good no longer.
    #[error("the caller is known no longer")]
    Unauthenticated,
    /// The caller may no longer.
    #[error("the caller may no longer")]
    Forbidden,
    /// The FileSystem is gone, or another.
    #[error("the file system is gone")]
    Gone,
    /// The API server does not say whether the caller may.
    #[error("nobody says whether the caller may")]
    Unreviewed,
    /// The caller neither sends nor takes.
    #[error("the caller is too slow")]
    CallerIdle,
    /// `files` neither takes nor sends.
    #[error("the file system's server is too slow")]
    FilesIdle,
}

/// What a review of a running transfer came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Go on.
    Good,
    /// Stop.
    Cut(Cut),
    /// There was no answer.
    Unknown,
}

/// Which way a body goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// From the caller to `files`.
    Up,
    /// From `files` to the caller.
    Down,
}

/// Where a body stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Stand {
    /// Not begun: for the answer, that means waiting for its head.
    Rest = 0,
    /// Its source has nothing yet.
    AtSource = 1,
    /// Its sink has not asked for more yet.
    AtSink = 2,
    /// At its end.
    Done = 3,
}

/// One body's movement: its stand, and since when.
struct Movement {
    stand: AtomicU8,
    since_ms: AtomicU64,
}

/// What both bodies and the watcher of a transfer share.
pub struct Tether {
    begun: Instant,
    cut: CancellationToken,
    reason: OnceLock<Cut>,
    /// What the bodies hold, to be dropped at the cut.
    held: Mutex<Vec<Release>>,
    up: Movement,
    down: Movement,
    metrics: Metrics,
}

type Release = Box<dyn FnOnce() + Send>;

impl Tether {
    /// A transfer that begins now.
    pub fn new(metrics: Metrics) -> Arc<Self> {
        let movement = || Movement { stand: AtomicU8::new(Stand::Rest as u8), since_ms: AtomicU64::new(0) };
        Arc::new(Self {
            begun: Instant::now(),
            cut: CancellationToken::new(),
            reason: OnceLock::new(),
            held: Mutex::default(),
            up: movement(),
            down: movement(),
            metrics,
        })
    }

    /// A connection that becomes a pipe: both sides may be silent, and have times of their own for that.
    pub fn piped(metrics: Metrics) -> Arc<Self> {
        let tether = Self::new(metrics);
        for way in [Way::Up, Way::Down] {
            tether.moved(way, Stand::Done);
        }
        tether
    }

    /// Ends both bodies, for that reason; the first one stays. What they hold is dropped.
    pub fn cut(&self, reason: Cut) {
        if self.reason.set(reason).is_ok() {
            self.metrics.cut(reason);
            self.cut.cancel();
            let held = std::mem::take(&mut *lock(&self.held));
            held.into_iter().for_each(|release| release());
        }
    }

    /// Has `release` called at the cut; at once, where that was.
    fn at_cut(&self, release: Release) {
        lock(&self.held).push(release);
        if self.reason().is_some() {
            let held = std::mem::take(&mut *lock(&self.held));
            held.into_iter().for_each(|release| release());
        }
    }

    /// Why it was cut, if it was.
    pub fn reason(&self) -> Option<Cut> {
        self.reason.get().copied()
    }

    /// Waits until it is cut.
    pub async fn is_cut(&self) {
        self.cut.cancelled().await;
    }

    fn movement(&self, way: Way) -> &Movement {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    fn moved(&self, way: Way, to: Stand) {
        let movement = self.movement(way);
        let was = movement.stand.swap(to as u8, Ordering::Relaxed);
        // Asked again and still nothing there: that is no movement.
        if was != to as u8 || to != Stand::AtSource {
            movement.since_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn still(&self, way: Way) -> (u8, Duration) {
        let movement = self.movement(way);
        let since = movement.since_ms.load(Ordering::Relaxed);
        let still = Duration::from_millis(self.now_ms().saturating_sub(since));
        (movement.stand.load(Ordering::Relaxed), still)
    }

    /// Who holds the transfer up for too long, if anybody does.
    fn idle(&self, times: &LeashTimes) -> Option<Cut> {
        const REST: u8 = Stand::Rest as u8;
        const SOURCE: u8 = Stand::AtSource as u8;
        const SINK: u8 = Stand::AtSink as u8;
        let (up, up_still) = self.still(Way::Up);
        let (down, down_still) = self.still(Way::Down);
        let caller = (up == SOURCE && up_still > times.caller_idle_max)
            || (down == SINK && down_still > times.caller_idle_max);
        let files = match (up, down) {
            // Its head is waited for: what went up meanwhile counts.
            (SOURCE, REST) => false,
            (_, REST) => up_still > times.files_idle_max,
            (_, SOURCE) => down_still > times.files_idle_max,
            _ => false,
        };
        if caller { Some(Cut::CallerIdle) } else { files.then_some(Cut::FilesIdle) }
    }
}

/// Watches a transfer until it is dropped: reviews it by `review`, and cuts it where it must. `hang_up` closes the caller's
/// connection, where no other request is on it, if the caller takes nothing: for then nobody sees an error of the body either.
pub fn watch<F>(
    tether: &Arc<Tether>,
    times: LeashTimes,
    hang_up: Option<CancellationToken>,
    review: impl Fn() -> F + Send + 'static,
) -> Watch
where
    F: Future<Output = Standing> + Send,
{
    let tether = tether.clone();
    Watch(tokio::spawn(async move {
        let cut = reason_to_cut(&tether, &times, review).await;
        tether.cut(cut);
        let Some(hang_up) = hang_up else { return };
        // Whoever reads sees the error and is gone by then, and this task with them.
        if cut != Cut::CallerIdle {
            sleep(times.caller_idle_max).await;
        }
        hang_up.cancel();
    }))
}

/// Waits until there is one.
async fn reason_to_cut<F>(tether: &Tether, times: &LeashTimes, review: impl Fn() -> F) -> Cut
where
    F: Future<Output = Standing>,
{
    let mut answered = Instant::now();
    let mut ticks = tokio::time::interval_at(answered + times.review_every, times.review_every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(cut) = tether.idle(times) {
            return cut;
        }
        // However long a review waits, for whatever, the transfer does not outlive its time without one.
        match timeout_at(answered + times.unreviewed_max, review()).await {
            Ok(Standing::Good) => answered = Instant::now(),
            Ok(Standing::Cut(cut)) => return cut,
            Ok(Standing::Unknown) if answered.elapsed() < times.unreviewed_max => {}
            Ok(Standing::Unknown) | Err(_) => return Cut::Unreviewed,
        }
    }
}

/// Ends the watching when it is dropped.
pub struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A body on the leash, and what is held for it: both go at the cut.
pub struct Leashed<B, H> {
    body: Arc<Mutex<Option<(B, H)>>>,
    way: Way,
    tether: Arc<Tether>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _watch: Option<Watch>,
}

impl<B: Send + 'static, H: Send + 'static> Leashed<B, H> {
    /// Puts it on. `watch` ends with it, not at the cut.
    pub fn new(body: B, way: Way, tether: Arc<Tether>, held: H, watch: Option<Watch>) -> Self {
        let cut = Box::pin(tether.cut.clone().cancelled_owned());
        let body = Arc::new(Mutex::new(Some((body, held))));
        let weak = Arc::downgrade(&body);
        tether.at_cut(Box::new(move || {
            // Dropped outside the lock.
            drop(weak.upgrade().and_then(|body| lock(&body).take()));
        }));
        Self { body, way, tether, cut, _watch: watch }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B, H> Body for Leashed<B, H>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let is_cut = this.cut.as_mut().poll(cx).is_ready();
        let mut body = lock(&this.body);
        let Some((body, _)) = body.as_mut().filter(|_| !is_cut) else {
            let reason = this.tether.reason().unwrap_or(Cut::Unreviewed);
            return Poll::Ready(Some(Err(reason.into())));
        };
        let polled = Pin::new(body).poll_frame(cx).map_err(Into::into);
        match &polled {
            Poll::Pending => this.tether.moved(this.way, Stand::AtSource),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.tether.metrics.bytes(if this.way == Way::Up { "in" } else { "out" }, bytes);
                this.tether.moved(this.way, Stand::AtSink);
            }
            Poll::Ready(_) => this.tether.moved(this.way, Stand::Done),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.body).as_ref().is_some_and(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.body).as_ref().map_or_else(SizeHint::default, |(body, _)| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body as AxumBody;
    use futures::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Nothing for ever, after one chunk.
    fn stuck() -> AxumBody {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
        AxumBody::from_stream(first.chain(stream::pending()))
    }

    fn leashed(tether: &Arc<Tether>, way: Way) -> Leashed<AxumBody, ()> {
        Leashed::new(stuck(), way, tether.clone(), (), None)
    }

    async fn ends(
        tether: &Arc<Tether>,
        standing: impl Fn() -> Standing + Send + Sync + 'static,
    ) -> (Cut, Duration, bool) {
        let (begun, hang_up, standing) = (Instant::now(), CancellationToken::new(), Arc::new(standing));
        let _watch = watch(tether, LeashTimes::default(), Some(hang_up.clone()), move || {
            let standing = standing.clone();
            async move { standing() }
        });
        tether.is_cut().await;
        // The watcher hangs up right after.
        tokio::task::yield_now().await;
        (tether.reason().unwrap(), begun.elapsed(), hang_up.is_cancelled())
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_sends_nothing_is_cut_and_hung_up_on() {
        let tether = Tether::new(Metrics::default());
        let mut body = leashed(&tether, Way::Up);
        let reading = tokio::spawn(async move {
            assert!(body.frame().await.unwrap().is_ok());
            body.frame().await.unwrap().unwrap_err().to_string()
        });
        let (cut, after, hung_up) = ends(&tether, || Standing::Good).await;
        assert_eq!((cut, hung_up), (Cut::CallerIdle, true));
        assert!(after >= seconds(60) && after <= seconds(64), "{after:?}");
        assert_eq!(reading.await.unwrap(), Cut::CallerIdle.to_string());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_nothing_is_cut_and_hung_up_on() {
        let tether = Tether::new(Metrics::default());
        let mut body = leashed(&tether, Way::Down);
        assert!(body.frame().await.unwrap().is_ok());
        let (cut, after, hung_up) = ends(&tether, || Standing::Good).await;
        assert_eq!((cut, hung_up), (Cut::CallerIdle, true));
        assert!(after >= seconds(60) && after <= seconds(64), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn files_may_take_longer_but_not_for_ever() {
        // One that never answers, and one that stops in the middle.
        for begun in [false, true] {
            let tether = Tether::new(Metrics::default());
            let mut body = leashed(&tether, Way::Down);
            let reading =
                begun.then(|| tokio::spawn(async move { while body.frame().await.unwrap().is_ok() {} }));
            let (cut, after, hung_up) = ends(&tether, || Standing::Good).await;
            assert_eq!((cut, hung_up), (Cut::FilesIdle, false));
            assert!(after >= seconds(300) && after <= seconds(304), "{after:?}");
            if let Some(reading) = reading {
                reading.await.unwrap();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_outlives_a_short_silence_of_the_api_server_not_a_long_one() {
        let (tether, asked) = (Tether::new(Metrics::default()), Mutex::new(0));
        let (cut, after, _) = ends(&tether, move || {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            // Silent for 18 s, then an answer, then silence.
            if *asked == 10 { Standing::Good } else { Standing::Unknown }
        })
        .await;
        assert_eq!(cut, Cut::Unreviewed);
        assert!(after >= seconds(40) && after <= seconds(42), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_review_that_never_ends_is_no_right() {
        let (tether, begun) = (Tether::new(Metrics::default()), Instant::now());
        let _watch = watch(&tether, LeashTimes::default(), None, std::future::pending);
        tether.is_cut().await;
        assert_eq!((tether.reason(), begun.elapsed()), (Some(Cut::Unreviewed), seconds(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_cut_all_that_was_held_goes_though_nobody_reads_and_later_the_connection() {
        let (tether, hang_up) = (Tether::new(Metrics::default()), CancellationToken::new());
        let watch = watch(&tether, LeashTimes::default(), Some(hang_up.clone()), async || {
            Standing::Cut(Cut::Forbidden)
        });
        let held = Arc::new(());
        let body = Leashed::new(stuck(), Way::Down, tether.clone(), held.clone(), Some(watch));
        let up = Leashed::new(stuck(), Way::Up, tether.clone(), held.clone(), None);
        assert_eq!(Arc::strong_count(&held), 3);
        tether.is_cut().await;
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 1);
        let since = Instant::now();
        hang_up.cancelled().await;
        assert_eq!(since.elapsed(), seconds(60));
        // One that comes after the cut holds nothing either.
        drop(Leashed::new(stuck(), Way::Up, tether.clone(), held.clone(), None));
        drop((body, up));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_after_a_cut_is_not_hung_up_on() {
        let (tether, hang_up) = (Tether::new(Metrics::default()), CancellationToken::new());
        let watch = watch(&tether, LeashTimes::default(), Some(hang_up.clone()), async || {
            Standing::Cut(Cut::Forbidden)
        });
        let mut body = Leashed::new(stuck(), Way::Down, tether.clone(), (), Some(watch));
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        drop(body);
        sleep(seconds(120)).await;
        assert!(!hang_up.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_reason_stays_and_acts_with_the_next_review() {
        let tether = Tether::new(Metrics::default());
        let (cut, after, hung_up) = ends(&tether, || Standing::Cut(Cut::Forbidden)).await;
        tether.cut(Cut::CallerIdle);
        assert_eq!((cut, tether.reason(), hung_up), (Cut::Forbidden, Some(Cut::Forbidden), false));
        assert!(after <= seconds(2));
        let mut body = leashed(&tether, Way::Down);
        assert!(body.frame().await.unwrap().is_err(), "nothing passes after a cut");
    }
}
