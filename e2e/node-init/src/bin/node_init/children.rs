//! Child processes of PID 1. Orphans of any kind end up here too, so one loop waits for all of them and hands each
//! status to whoever started that process.

use rustix::process::{WaitId, WaitIdOptions, WaitOptions, wait, waitid};
use std::collections::HashMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The processes that somebody waits for, by id.
#[derive(Default)]
pub struct Children {
    waiting: Mutex<HashMap<u32, SyncSender<ExitStatus>>>,
}

impl Children {
    /// Starts a program. Its end arrives on the channel; nobody may call `wait` on the child.
    pub fn spawn(&self, command: &mut Command) -> io::Result<(Child, Receiver<ExitStatus>)> {
        // Held across the start: the standard library itself collects a child whose exec failed, and a child that
        // ends at once must find its entry.
        let mut waiting = self.lock();
        let child = command.spawn()?;
        let (sender, receiver) = sync_channel(1);
        waiting.insert(child.id(), sender);
        Ok((child, receiver))
    }

    /// Collects every child that ends, for ever.
    pub fn reap_forever(&self) -> ! {
        loop {
            // Only looks: the status is taken under the lock, see `spawn`.
            if waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).is_err() {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let mut waiting = self.lock();
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                let pid = pid.as_raw_nonzero().get().unsigned_abs();
                if let Some(sender) = waiting.remove(&pid) {
                    // Whoever waited may have given up.
                    let _ = sender.try_send(ExitStatus::from_raw(status.as_raw()));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, SyncSender<ExitStatus>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
