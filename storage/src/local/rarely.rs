//! A figure that is dear to get, and that nobody needs to the second.

use std::time::{Duration, Instant};

/// Between two times that it is got.
const INTERVAL: Duration = Duration::from_secs(60);

/// The figure as it was got last.
#[derive(Debug, Default)]
pub struct Rarely(Option<(Instant, u64)>);

impl Rarely {
    /// What it was a moment ago, or what it is now.
    ///
    /// # Errors
    /// What `ask` says; the next call asks again.
    pub fn get<E>(&mut self, now: Instant, ask: impl FnOnce() -> Result<u64, E>) -> Result<u64, E> {
        match self.0 {
            Some((at, figure)) if now.saturating_duration_since(at) < INTERVAL => Ok(figure),
            _ => {
                let figure = ask()?;
                self.0 = Some((now, figure));
                Ok(figure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_for_once_a_minute_and_again_after_it_could_not_be_had() {
        let now = Instant::now();
        let mut figure = Rarely::default();
        assert_eq!(figure.get(now, || Err("busy")), Err("busy"));
        assert_eq!(figure.get(now, || Ok::<_, &str>(1)), Ok(1));
        assert_eq!(figure.get(now + INTERVAL / 2, || Err("busy")), Ok(1));
        assert_eq!(figure.get(now + INTERVAL, || Ok::<_, &str>(2)), Ok(2));
        assert_eq!(figure.get(now + INTERVAL, || Err("busy")), Ok(2));
    }
}
