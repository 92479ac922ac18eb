//! Shows a run while it runs: a bar on a terminal, a line every few seconds elsewhere, JSON where that was asked for.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use workspacefs_sync::{Control, Snapshot};

use crate::{json, render, text};

/// How often a run is looked at: as often as a bar is worth drawing.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(3);
const JSON_EVERY: Duration = Duration::from_secs(1);
/// A bar's steps.
const STEPS: u64 = 1000;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Show {
    Bar,
    Lines,
    Json,
    Nothing,
}

/// What is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    Copy,
    Verify,
    Upload,
    Download,
}

impl Phase {
    /// The word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Verify => "verify",
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }
}

impl Show {
    /// Standard error is where it goes, but for JSON.
    pub fn choose(json: bool, quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self::of(json, quiet, std::io::stderr().is_terminal() && !dumb)
    }

    fn of(json: bool, quiet: bool, terminal: bool) -> Self {
        match (quiet, json, terminal) {
            (true, ..) => Self::Nothing,
            (false, true, _) => Self::Json,
            (false, false, true) => Self::Bar,
            (false, false, false) => Self::Lines,
        }
    }
}

/// A run that is being shown; no longer when this is dropped.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to show a run, which may begin later.
    pub fn new(control: &Control, show: Show, phase: Phase) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = match show {
            Show::Nothing => None,
            _ => {
                let (control, stopped) = (control.clone(), Arc::clone(&stop));
                let thread = std::thread::Builder::new().name("progress".to_owned());
                Some(
                    thread
                        .spawn(move || watch(&control, show, phase, &stopped))
                        .context("cannot start a thread")?,
                )
            }
        };
        Ok(Self { stop, thread })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A run that did not begin has no last snapshot.
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(control: &Control, show: Show, phase: Phase, stop: &AtomicBool) {
    let mut display = Display::new(show, phase);
    for snapshot in control.snapshots(LOOK_EVERY) {
        display.show(&snapshot);
        if snapshot.over || stop.load(Ordering::Relaxed) {
            break;
        }
    }
}

/// Where snapshots appear; a bar goes away when this is dropped.
pub struct Display {
    show: Show,
    phase: Phase,
    bar: Option<ProgressBar>,
    shown: Duration,
}

impl Display {
    /// Nothing is shown yet.
    pub fn new(show: Show, phase: Phase) -> Self {
        Self { show, phase, bar: (show == Show::Bar).then(bar), shown: Duration::ZERO }
    }

    /// Shows it, if it is time to.
    pub fn show(&mut self, snapshot: &Snapshot) {
        match self.show {
            Show::Json => {
                if snapshot.over || self.is_due(snapshot, JSON_EVERY) {
                    // Whoever read it may be gone; the run is not for him alone.
                    let _ = json::print(&json::Line::progress(snapshot, self.phase));
                }
            }
            Show::Lines => {
                if !snapshot.over && self.is_due(snapshot, LINE_EVERY) {
                    let _ = writeln!(std::io::stderr(), "{}", render::progress(snapshot, self.phase));
                }
            }
            Show::Bar | Show::Nothing => {}
        }
        if let Some(bar) = &self.bar {
            draw(bar, snapshot, self.phase);
        }
    }

    fn is_due(&mut self, snapshot: &Snapshot, every: Duration) -> bool {
        let due = snapshot.elapsed >= self.shown + every;
        if due {
            self.shown = snapshot.elapsed;
        }
        due
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("[{bar:24}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar
}

fn draw(bar: &ProgressBar, snapshot: &Snapshot, phase: Phase) {
    let current = snapshot.current.first().map(|path| format!("  {}", text::shown(path))).unwrap_or_default();
    bar.set_message(format!("{}{current}", render::progress(snapshot, phase)));
    bar.set_position((render::fraction(snapshot) * STEPS as f64) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_shows_nothing_json_is_json_and_a_bar_needs_a_terminal() {
        for (json, quiet, terminal, show) in [
            (false, false, true, Show::Bar),
            (false, false, false, Show::Lines),
            (true, false, true, Show::Json),
            (true, true, true, Show::Nothing),
            (false, true, true, Show::Nothing),
        ] {
            assert_eq!(Show::of(json, quiet, terminal), show);
        }
    }

    #[test]
    fn what_shows_a_run_that_never_begins_ends_with_it() {
        let watch = Watch::new(&Control::new(), Show::Bar, Phase::Copy).unwrap();
        drop(watch);
    }
}
