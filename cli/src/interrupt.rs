//! SIGINT and SIGTERM: the first one lets the run end in order, the second one ends the process at once.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use workspacefs_sync::Control;

use crate::exit::Exit;
use crate::text::complain;

/// Both signals wait for one thread that asks for them: no code runs in a signal's handler.
pub struct Interrupt(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    interrupted: bool,
    running: Option<Control>,
}

impl Interrupt {
    /// To be called before there are other threads: those begin with what is blocked here.
    pub fn new() -> Result<Self> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        signals.thread_block().context("cannot block SIGINT and SIGTERM")?;
        let state = Arc::new(Mutex::new(State::default()));
        let seen = Arc::clone(&state);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || wait(signals, &seen))
            .context("cannot start a thread")?;
        Ok(Self(state))
    }

    /// Lets the signals cancel this run, at once if one has come before.
    pub fn cancels(&self, control: &Control) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.interrupted {
            control.cancel();
        }
        state.running = Some(control.clone());
    }
}

fn wait(signals: SigSet, state: &Mutex<State>) {
    while signals.wait().is_ok() {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.interrupted {
            std::process::exit(Exit::Cancelled.code().into());
        }
        state.interrupted = true;
        if let Some(control) = &state.running {
            control.cancel();
        }
        complain("stopping; the same signal again ends at once and leaves temporary files to the next run");
    }
}
