//! The volumes on real shares: each call goes to the share's helper process, with a deadline.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::seams::{Home, Volumes, WholeShares};
use crate::share::{
    Leaving, OwnFolder, PosixOwner, ShareError, ShareSpec, Shares, Taken, TrashSlice, TrashSwept, Usage,
    VolumeName, VolumeRecord,
};

/// Volumes on the shares of this process.
#[derive(Clone, Debug)]
pub struct ShareVolumes {
    shares: Shares,
    patience: Duration,
}

impl ShareVolumes {
    /// Each call waits for a server no longer than `patience`.
    pub fn new(shares: Shares, patience: Duration) -> Self {
        Self { shares, patience }
    }
}

fn spec(home: &Home) -> ShareSpec {
    ShareSpec::new(&home.attributes, &home.mount_options)
}

fn place(home: &Home, folder: &str) -> (ShareSpec, VolumeName) {
    let name = VolumeName { file_system: home.attributes.file_system_uid.clone(), name: folder.into() };
    (spec(home), name)
}

#[async_trait]
impl Volumes for ShareVolumes {
    async fn create(
        &self,
        home: &Home,
        folder: &str,
        record: &VolumeRecord,
    ) -> Result<VolumeRecord, ShareError> {
        let (spec, name) = place(home, folder);
        let owner = PosixOwner::from(&home.attributes.owner);
        let deadline = Instant::now() + self.patience;
        self.shares.create_volume(&spec, name, *record, owner, deadline).await.map(|created| created.record)
    }

    async fn record(&self, home: &Home, folder: &str) -> Result<Option<VolumeRecord>, ShareError> {
        let (spec, name) = place(home, folder);
        self.shares.volume_record(&spec, name, Instant::now() + self.patience).await
    }

    async fn remove(&self, home: &Home, folder: &str, leaving: Leaving) -> Result<(), ShareError> {
        let (spec, name) = place(home, folder);
        self.shares.remove_volume(&spec, name, leaving, Instant::now() + self.patience).await.map(drop)
    }

    async fn remove_own(
        &self,
        home: &Home,
        folder: OwnFolder,
        leaving: Leaving,
    ) -> Result<Taken, ShareError> {
        self.shares.remove_own(&spec(home), folder, leaving, Instant::now() + self.patience).await
    }

    async fn bytes_available(&self, home: &Home) -> Result<u64, ShareError> {
        let usage = self.shares.space(&spec(home), Instant::now() + self.patience).await?;
        Ok(usage.bytes_available)
    }
}

#[async_trait]
impl WholeShares for ShareVolumes {
    async fn usage(&self, share: &ShareSpec) -> Result<Usage, ShareError> {
        self.shares.space(share, Instant::now() + self.patience).await
    }

    async fn empty_trash(&self, share: &ShareSpec, slice: TrashSlice) -> Result<TrashSwept, ShareError> {
        self.shares.empty_trash(share, slice, Instant::now() + self.patience).await
    }
}
