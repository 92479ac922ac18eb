//! What a person fills in, and how patient we are.

use std::time::Duration;

use crate::address::Style;
use crate::credentials::Credentials;
use crate::guard::Guard;

/// A bucket and how to come to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service's URL without the bucket; AWS S3 where there is none.
    pub endpoint: Option<String>,
    /// The bucket's name.
    pub bucket: String,
    /// Its region; found by itself where there is none.
    pub region: Option<String>,
    /// Where the bucket's name stands in a URL. By default as the host of AWS's, and in the path of all others.
    pub style: Option<Style>,
    /// Whose the requests are.
    pub credentials: Credentials,
    /// Which addresses may be connected to.
    pub guard: Guard,
    /// How long it is tried.
    pub patience: Patience,
}

impl Settings {
    /// A bucket of AWS S3, with everything else by default.
    pub fn new(bucket: &str, credentials: Credentials) -> Self {
        Self {
            endpoint: None,
            bucket: bucket.to_owned(),
            region: None,
            style: None,
            credentials,
            guard: Guard::default(),
            patience: Patience::default(),
        }
    }
}

/// How long one request is tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// How often it is sent, at least once.
    pub tries: u32,
    /// The pause after the first failure; each further one is twice as long, up to [`Patience::pause_max`]. A random part of
    /// it is left out, so that many do not come back at once.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// Until a connection is made.
    pub connect: Duration,
    /// The longest silence of the service.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            tries: 6,
            pause: Duration::from_millis(200),
            pause_max: seconds(10),
            connect: seconds(10),
            silence: seconds(30),
        }
    }
}

impl Patience {
    /// The pause after so many failures, counted from 1; `luck` is between 0 and 1.
    pub(crate) fn pause_after(&self, failures: u32, luck: f64) -> Duration {
        let doubled = self.pause.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.pause_max).mul_f64(0.5 + luck.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_never_none() {
        let patience = Patience::default();
        let pause = |failures| patience.pause_after(failures, 1.0).as_millis();
        assert_eq!([1, 2, 3, 6, 7, 60].map(pause), [200, 400, 800, 6400, 10_000, 10_000]);
        assert_eq!(patience.pause_after(1, 0.0).as_millis(), 100);
    }
}
