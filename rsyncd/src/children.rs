//! Processes of the daemon, each for one connection. As the first process of its container this one gets every orphan too: what
//! rsync leaves behind is reaped with the rest, so nobody but [`Children`] waits for anything here.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// All of them. Clones are the same.
#[derive(Clone, Default)]
pub struct Children(Arc<Mutex<HashMap<Pid, oneshot::Sender<()>>>>);

/// One of them, with all that it started: killed when this is dropped.
pub struct Child {
    group: Pid,
    ended: oneshot::Receiver<()>,
}

impl Children {
    /// Starts one, as the first of a process group.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, command: &mut Command) -> io::Result<Child> {
        // Held until it is known: one that ends at once is not reaped before.
        let mut known = self.lock();
        let started = command.process_group(0).spawn()?;
        let id = i32::try_from(started.id()).ok().and_then(Pid::from_raw);
        let group = id.ok_or_else(|| io::Error::other("a process without an id"))?;
        let (end, ended) = oneshot::channel();
        known.insert(group, end);
        Ok(Child { group, ended })
    }

    /// Reaps what ends, for ever.
    ///
    /// # Errors
    /// The signal cannot be listened to.
    pub async fn reap(self) -> io::Result<()> {
        let mut ended = signal(SignalKind::child())?;
        loop {
            {
                let mut known = self.lock();
                while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
                    // Whoever waits hears it because the sender goes.
                    known.remove(&pid);
                }
            }
            ended.recv().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pid, oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Child {
    /// Waits for its end.
    pub async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Most have ended by now, and then there is nobody of that group.
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}
