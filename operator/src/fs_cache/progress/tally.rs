//! What the movers of an FsCache say, summed up for its status. Pure.

use workspacefs_api::Amount;
use workspacefs_api::mover::Progress;

/// The sum.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Files found and done.
    pub files: Amount,
    /// The same in bytes.
    pub bytes: Amount,
    /// Bytes per second.
    pub rate: i64,
    /// Until the last of them is done; not known before all know.
    pub eta_seconds: Option<u64>,
}

impl Tally {
    /// Of these movers.
    pub fn of<'a>(movers: impl IntoIterator<Item = &'a Progress>) -> Self {
        let mut sum = Self { eta_seconds: Some(0), ..Self::default() };
        for mover in movers {
            add(&mut sum.files.total, mover.files_found);
            add(&mut sum.files.done, mover.files_done);
            add(&mut sum.bytes.total, mover.bytes_found);
            add(&mut sum.bytes.done, mover.bytes_done);
            add(&mut sum.rate, mover.bytes_per_second);
            sum.eta_seconds = sum.eta_seconds.zip(mover.eta_seconds).map(|(a, b)| a.max(b));
        }
        sum
    }

    /// As in `42%`: of the bytes, or of the files where all are empty. Never 100 before the end.
    pub fn percent(&self) -> String {
        let of = if self.bytes.total > 0 { self.bytes } else { self.files };
        let hundredths =
            i128::from(of.done).saturating_mul(100).checked_div(i128::from(of.total)).unwrap_or(0);
        format!("{}%", hundredths.clamp(0, 99))
    }

    /// As in `4m10s`.
    pub fn eta(&self) -> Option<String> {
        self.eta_seconds.map(|seconds| {
            let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, _) => format!("{minutes}m{rest}s"),
                // Nobody's estimate is better than that.
                _ => format!("{hours}h{minutes}m"),
            }
        })
    }
}

fn add(sum: &mut i64, more: u64) {
    *sum = sum.saturating_add(i64::try_from(more).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mover(found: u64, done: u64, eta_seconds: Option<u64>) -> Progress {
        Progress {
            bytes_found: found,
            bytes_done: done,
            bytes_per_second: 5,
            eta_seconds,
            ..Progress::default()
        }
    }

    #[test]
    fn movers_are_summed_up_and_the_slowest_says_when_it_ends() {
        let sum = Tally::of(&[mover(100, 10, Some(5)), mover(300, 100, Some(250))]);
        assert_eq!((sum.bytes, sum.rate), (Amount { total: 400, done: 110 }, 10));
        assert_eq!((sum.percent().as_str(), sum.eta().as_deref()), ("27%", Some("4m10s")));
        assert_eq!(Tally::of(&[mover(1, 0, Some(5)), mover(1, 0, None)]).eta(), None);
        assert_eq!(Tally::of(&[mover(1, 0, Some(9000))]).eta().as_deref(), Some("2h30m"));
        assert_eq!(Tally::of(&[mover(1, 0, Some(7))]).eta().as_deref(), Some("7s"));
    }

    #[test]
    fn a_hundred_percent_is_what_has_ended() {
        assert_eq!(Tally::of(&[mover(7, 7, None)]).percent(), "99%");
        assert_eq!(Tally::of(&[mover(0, 0, None)]).percent(), "0%");
        assert_eq!(Tally::of(&[mover(u64::MAX, u64::MAX, None)]).percent(), "99%");
        let empty_files = Progress { files_found: 4, files_done: 1, ..Progress::default() };
        assert_eq!(Tally::of(&[empty_files]).percent(), "25%");
    }
}
