//! Lines that tell a person what takes so long.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a long step says that it still runs.
const BEAT: Duration = Duration::from_secs(20);

/// Prints to standard error, each line with the seconds since the start.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    started: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Progress { started: Instant::now() }
    }
}

impl Progress {
    /// One line.
    pub fn say(&self, text: &str) {
        eprintln!("[{:6.1} s] {text}", self.started.elapsed().as_secs_f32());
    }

    /// Announces a step that takes long and repeats itself until the returned guard is dropped.
    pub fn long(&self, text: &str) -> LongStep {
        self.say(text);
        let (stop, stopped) = channel::<()>();
        let (progress, text) = (*self, text.to_owned());
        let beat = std::thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                progress.say(&format!("{text} ..."));
            }
        });
        LongStep { stop: Some(stop), beat: Some(beat) }
    }
}

/// A step under way; ends when dropped.
#[derive(Debug)]
pub struct LongStep {
    stop: Option<Sender<()>>,
    beat: Option<JoinHandle<()>>,
}

impl Drop for LongStep {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(beat) = self.beat.take() {
            // It only prints; a panic in it changes nothing here.
            let _ = beat.join();
        }
    }
}
