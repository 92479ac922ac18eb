//! Waiting for what takes its time: ask again until the answer fits.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(400);

/// The variable that says by how much limits are too short for the computer: a whole number.
const PATIENCE: &str = "WSFS_PATIENCE";

/// A limit as this computer needs it. Limits are there to end what never ends, and none is a measurement.
pub fn patient(limit: Duration) -> Duration {
    limit * factor(std::env::var(PATIENCE).ok().as_deref())
}

fn factor(said: Option<&str>) -> u32 {
    said.and_then(|said| said.parse().ok()).unwrap_or(1).clamp(1, 10)
}

/// Asks `probe` until it succeeds, whose error says why it is not yet so; the last one goes into the failure.
pub async fn until<T, F, R>(what: &str, limit: Duration, probe: F) -> Result<T>
where
    F: Fn() -> R,
    R: Future<Output = Result<T>>,
{
    let (started, limit) = (Instant::now(), patient(limit));
    loop {
        // A look that hangs must not outlive the limit.
        let left = limit.saturating_sub(started.elapsed()).max(Duration::from_secs(5));
        let error = match tokio::time::timeout(left, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer within {} s", left.as_secs()),
        };
        if started.elapsed() >= limit {
            return Err(error.context(format!("not within {} s: {what}", limit.as_secs())));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whole seconds, for limits.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn patience_makes_limits_longer_and_never_shorter() {
        assert_eq!([None, Some("3"), Some("0"), Some("much"), Some("1000")].map(factor), [1, 3, 1, 1, 10]);
    }

    #[tokio::test]
    async fn a_probe_is_asked_until_it_succeeds() {
        let asked = AtomicU32::new(0);
        let probe = || async {
            match asked.fetch_add(1, Ordering::SeqCst) {
                2 => Ok(7),
                _ => Err(anyhow!("not yet")),
            }
        };
        assert_eq!(until("seven", seconds(5), probe).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_failure_names_the_wish_and_the_last_reason() {
        let error =
            until("rain", Duration::ZERO, || async { Err::<(), _>(anyhow!("blue sky")) }).await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("rain") && text.contains("blue sky"), "{text}");
    }
}
