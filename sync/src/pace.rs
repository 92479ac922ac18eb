//! How many workers are of use: follows the latency that they see.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::limit::{Limit, Window};
use crate::locked::lock;

/// So long is measured before something is changed.
const WINDOW: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    limit: Limit,
    window: Window,
    began: Instant,
}

impl Pace {
    /// All of the workers may work until their latency says otherwise; at least so many as the processors can use.
    pub fn new(workers: usize, processors: usize) -> Self {
        let limit = Limit::new(processors.min(workers), workers, workers);
        Self(Mutex::new(State { limit, window: Window::default(), began: Instant::now() }))
    }

    /// Adds what a worker measured; once in a while it gives back how many may work from now on.
    pub fn observe(&self, operations: u64, latency: Duration) -> Option<usize> {
        let mut state = lock(&self.0);
        state.window.operations += operations;
        state.window.total_latency += latency;
        if state.began.elapsed() < WINDOW {
            return None;
        }
        state.began = Instant::now();
        let window = std::mem::take(&mut state.window);
        Some(state.limit.next(&window))
    }
}
