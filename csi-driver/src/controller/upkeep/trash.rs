//! The pace at which a share's trash is emptied. The share's helper answers one question at a time, and people wait for it
//! behind this one: so it works for a part of a second, then leaves the share alone for longer than that.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use workspacefs_runtime::chain;

use super::Settings;
use crate::controller::seams::WholeShares;
use crate::share::{ShareSpec, TrashSlice};

/// How long the helper works on it at a stretch.
const WORK: Duration = Duration::from_millis(300);
/// Between the beginnings of two stretches at least; the rate holds over this time.
const PERIOD: Duration = Duration::from_secs(1);
/// With so many folders that cannot be removed, somebody has to look at the share first.
const STUCK_MAX: usize = 32;

/// Removes what is due, until nothing more is or it is `until`: the next look goes on.
pub async fn empty(shares: &dyn WholeShares, share: &ShareSpec, settings: &Settings, until: Instant) {
    let (mut entries, mut except) = (0, BTreeSet::new());
    loop {
        let started = Instant::now();
        let slice = TrashSlice {
            keep_seconds: settings.trash_keep.as_secs(),
            entries_max: settings.trash_entries_per_second.saturating_mul(PERIOD.as_secs()),
            work_ms: u64::try_from(WORK.as_millis()).unwrap_or(u64::MAX),
            except: except.clone(),
        };
        let swept = match shares.empty_trash(share, slice).await {
            Ok(swept) => swept,
            Err(error) => {
                tracing::warn!(%share, cause = chain(&error), "cannot empty the trash; later again");
                return;
            }
        };
        entries += swept.entries;
        for name in &swept.emptied {
            tracing::info!(%share, name, "a folder of the trash is removed");
        }
        for stuck in swept.stuck {
            let (name, reason) = (&stuck.name, &stuck.reason);
            tracing::error!(%share, name, reason, "a folder of the trash cannot be removed; later again");
            except.insert(stuck.name);
        }
        if !swept.more {
            break;
        }
        if except.len() >= STUCK_MAX {
            tracing::error!(%share, folders = except.len(), "too many folders of the trash cannot be removed");
            break;
        }
        let now = Instant::now();
        // A slow server has as much time for others as for this.
        let next = (started + PERIOD).max(now + (now - started));
        if next >= until {
            break;
        }
        sleep_until(next).await;
    }
    if entries > 0 {
        tracing::info!(%share, entries, "files and folders of the trash were removed");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::share::{ShareError, StuckInTrash, TrashSwept, Usage};

    /// A trash of so many entries, on a server that takes so long for a slice.
    struct Trash {
        left: Mutex<u64>,
        takes: Duration,
        asked: Mutex<Vec<(Instant, TrashSlice)>>,
        answer: fn(u64, &TrashSlice) -> Result<TrashSwept, ShareError>,
    }

    impl Trash {
        fn of(left: u64, takes: Duration) -> Self {
            let answer = |left: u64, slice: &TrashSlice| {
                let entries = left.min(slice.entries_max);
                Ok(TrashSwept { entries, more: left > entries, ..TrashSwept::default() })
            };
            Self { left: Mutex::new(left), takes, asked: Mutex::default(), answer }
        }

        fn asked(&self) -> Vec<(Instant, TrashSlice)> {
            self.asked.lock().unwrap().clone()
        }
    }

    #[async_trait]
    impl WholeShares for Trash {
        async fn usage(&self, _: &ShareSpec) -> Result<Usage, ShareError> {
            panic!("nobody asks")
        }

        async fn empty_trash(&self, _: &ShareSpec, slice: TrashSlice) -> Result<TrashSwept, ShareError> {
            self.asked.lock().unwrap().push((Instant::now(), slice.clone()));
            tokio::time::sleep(self.takes).await;
            let mut left = self.left.lock().unwrap();
            let swept = (self.answer)(*left, &slice)?;
            *left -= swept.entries;
            Ok(swept)
        }
    }

    fn share() -> ShareSpec {
        ShareSpec { server: "nfs".into(), export: "/e".into(), version: None, port: None, options: vec![] }
    }

    fn settings(trash_entries_per_second: u64) -> Settings {
        let (interval, trash_keep) = (Duration::from_secs(300), Duration::from_secs(86_400));
        Settings { interval, trash_keep, trash_entries_per_second }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_goes_in_a_second_than_may() {
        let (trash, started) = (Trash::of(1000, Duration::from_millis(10)), Instant::now());
        empty(&trash, &share(), &settings(100), started + Duration::from_secs(300)).await;
        assert_eq!(*trash.left.lock().unwrap(), 0);
        assert!(started.elapsed() >= Duration::from_secs(9), "it took {:?}", started.elapsed());
        for (at, slice) in trash.asked() {
            assert!(slice.entries_max == 100 && slice.work_ms <= 1000 && slice.keep_seconds == 86_400);
            assert_eq!((at - started).as_millis() % 1000, 0, "one slice a second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_server_is_left_alone_for_as_long_as_it_worked() {
        let (trash, started) = (Trash::of(300, Duration::from_secs(5)), Instant::now());
        empty(&trash, &share(), &settings(100), started + Duration::from_secs(300)).await;
        let at: Vec<u64> = trash.asked().iter().map(|(at, _)| (*at - started).as_secs()).collect();
        assert_eq!(at, [0, 10, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_look_is_not_kept_waiting_and_a_failure_ends_this_one() {
        let (trash, started) = (Trash::of(u64::MAX, Duration::ZERO), Instant::now());
        empty(&trash, &share(), &settings(100), started + Duration::from_secs(7)).await;
        assert_eq!(trash.asked().len(), 7);
        let failing = Trash {
            answer: |_, _| Err(ShareError::Stale { path: "nfs:/e".into() }),
            ..Trash::of(9, Duration::ZERO)
        };
        empty(&failing, &share(), &settings(100), started + Duration::from_secs(300)).await;
        assert_eq!(failing.asked().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_removed_is_passed_over_and_the_others_go_on() {
        let answer = |_: u64, slice: &TrashSlice| {
            let mut swept = TrashSwept { entries: 1, ..TrashSwept::default() };
            let stuck = |name: &str| StuckInTrash { name: name.into(), reason: "not permitted".into() };
            if !slice.except.contains("a") {
                swept.stuck.push(stuck("a"));
                swept.more = true;
            }
            Ok(swept)
        };
        let trash = Trash { answer, ..Trash::of(9, Duration::ZERO) };
        empty(&trash, &share(), &settings(100), Instant::now() + Duration::from_secs(300)).await;
        assert_eq!((trash.asked().len(), *trash.left.lock().unwrap()), (2, 7));
        // A whole trash of such folders does not end in an endless list.
        let answer = |_: u64, slice: &TrashSlice| {
            let name = format!("{}", slice.except.len());
            let stuck = vec![StuckInTrash { name, reason: "not permitted".into() }];
            Ok(TrashSwept { stuck, more: true, ..TrashSwept::default() })
        };
        let trash = Trash { answer, ..Trash::of(9, Duration::ZERO) };
        empty(&trash, &share(), &settings(100), Instant::now() + Duration::from_secs(300)).await;
        assert_eq!(trash.asked().len(), STUCK_MAX);
    }
}
