//! Letting shares go that nobody uses: unmounted by their helper, while their server answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use workspacefs_sys::inspect;

use super::entry::{Ask, Share};
use super::protocol::{Answer, Question};
use super::table::{Keep, local, unexpected};
use super::{ShareError, ShareKey, Shares};

impl Shares {
    /// Unmounts every share that has been idle long enough and that `in_use` does not claim. Gives back the names of those that could
    /// not be unmounted, with the reason: they stay mounted and are tried again by the next sweep. A share whose server is
    /// silent is never unmounted: that could wait for ever where no signal reaches it.
    pub async fn sweep(
        &self,
        in_use: impl Fn(&ShareKey) -> bool,
        patience: Duration,
    ) -> Vec<(String, ShareError)> {
        self.adopt_orphans();
        let idle = self.0.config.idle;
        let candidates: Vec<Arc<Share>> = self
            .0
            .lock()
            .values()
            .filter(|share| share.state().last_used.elapsed() >= idle && !in_use(&share.key))
            .cloned()
            .collect();
        // All at once: one that waits for its server must not hold the others up.
        let unmounts = candidates.into_iter().map(|share| {
            let in_use = &in_use;
            async move {
                let deadline = Instant::now() + patience;
                let result = self.unmount(&share, in_use, deadline).await;
                result.err().map(|error| (share.name(), error))
            }
        });
        futures::future::join_all(unmounts).await.into_iter().flatten().collect()
    }

    async fn unmount(
        &self,
        share: &Arc<Share>,
        in_use: &impl Fn(&ShareKey) -> bool,
        deadline: Instant,
    ) -> Result<(), ShareError> {
        let started = Instant::now();
        let doing = "unmount the share";
        let mut slot =
            timeout_at(deadline, share.helper.lock()).await.map_err(|_| share.timed_out(started, doing))?;
        // Users register before they queue up for the helper, so nobody comes between this look and the unmount.
        if in_use(&share.key) || share.state().last_used.elapsed() < self.0.config.idle {
            return Ok(());
        }
        if let Some(mount_point) = self.0.mount_point(&share.key) {
            if inspect::is_mount_root(&mount_point).unwrap_or(false) {
                let ask = Ask { doing, started, deadline };
                let answer = self.ask_helper(share, &mut slot, Question::Unmount, ask).await;
                // A helper that was told nothing of the share must not mount it later.
                if share.spec.get().is_none() {
                    *slot = None;
                }
                let answer = answer?;
                if !matches!(answer, (Answer::Unmounted, _)) {
                    return Err(unexpected(&share.name()));
                }
            }
            // The folder may be gone already, and one that is not empty is not ours to remove.
            let _ = std::fs::remove_dir(&mount_point);
        }
        if let Some(records) = &self.0.records {
            records.remove(&share.key).map_err(local("remove the share's record"))?;
        }
        *slot = None;
        self.0.lock().remove(&share.key);
        share.state().gone = true;
        Ok(())
    }

    /// Takes mounts into the table of which no record is left: a process was killed, or a helper came to its end, just
    /// before they were attached.
    fn adopt_orphans(&self) {
        let Keep::Attached { mounts, .. } = &self.0.config.keep else {
            return;
        };
        let Ok(folder) = std::fs::read_dir(mounts) else {
            return;
        };
        let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for key in names.filter_map(|name| ShareKey::parse(&name)) {
            self.entry(&key);
        }
    }
}
