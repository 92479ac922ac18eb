//! Volumes of claims that are lost: whoever has the claim is told, once, by an Event on it. Condition Degraded says it of all.

use std::collections::BTreeSet;

use kube::ResourceExt;
use workspacefs_api::{LocalStorageStatus, LocalVolume};

use super::findings::DEGRADED;
use super::objects::{Identity, volume_of};
use super::status::of_claim;
use super::{LocalStorages, message_of, volumes};
use crate::error::PassError;
use crate::events::Happened;

impl LocalStorages {
    /// Those that nobody was told of yet. An operator that has just started knows from the condition whether they are news: only
    /// then, for its own first pass says it there too.
    pub(super) fn newly_lost<'a>(
        &self,
        storage: &Identity,
        old: &LocalStorageStatus,
        lost: &[&'a LocalVolume],
    ) -> Vec<&'a LocalVolume> {
        let now = uids(lost);
        let is_said = || volumes::sentence(lost).is_some_and(|all| message_of(old, DEGRADED).contains(&all));
        if !self.told_lost.knows(&storage.uid) && is_said() {
            self.told_lost.remember(&storage.uid, now.clone());
        }
        let unknown = self.told_lost.unknown(&storage.uid, &now);
        self.told_lost.remember(&storage.uid, &now - &unknown);
        lost.iter().filter(|volume| volume.uid().is_some_and(|uid| unknown.contains(&uid))).copied().collect()
    }

    /// Tells of `new`, and remembers each as it is told: where one fails, the next pass begins with that one.
    pub(super) async fn tell_of_losses(
        &self,
        storage: &Identity,
        new: &[&LocalVolume],
    ) -> Result<(), PassError> {
        for volume in new {
            self.tell_of_loss(storage, volume).await?;
            self.told_lost.add(&storage.uid, volume.uid().unwrap_or_default());
        }
        Ok(())
    }

    async fn tell_of_loss(&self, storage: &Identity, volume: &LocalVolume) -> Result<(), PassError> {
        let spec = &volume.spec;
        if spec.claim.is_empty() {
            return Ok(());
        }
        let claim = self.claims(&spec.namespace).get_opt(&spec.claim).await;
        let claim = claim.map_err(PassError::api("read the claim of a lost volume"))?;
        // A claim that was made again under that name has another volume.
        if let Some(claim) = claim.filter(|claim| volume_of(claim) == Some(&spec.volume)) {
            self.status.tell_about(&of_claim(&claim), storage, &happened(volume)).await;
        }
        Ok(())
    }
}

fn uids(volumes: &[&LocalVolume]) -> BTreeSet<String> {
    volumes.iter().filter_map(|volume| volume.uid()).collect()
}

fn happened(volume: &LocalVolume) -> Happened {
    let said = volume.status.as_ref().map_or("", |status| status.message.trim_end_matches('.'));
    let more = if said.is_empty() { String::new() } else { format!(" ({said})") };
    let note = format!(
        "its files are not on the disk that is in node {} now{more}. Nothing is put in their place: they are there again when \
         their disk is; if it does not come back, delete this claim and make another",
        volume.spec.node
    );
    Happened { warning: true, reason: "VolumeLost", note }
}
