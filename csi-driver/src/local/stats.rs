//! NodeGetVolumeStats and NodeGetVolumeHealth of the local driver. Stats are the quota's figures, asked of the disk's helper
//! with a short deadline; health is what the latest look at the disk said, and asks nobody.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use workspacefs_api::Health;
use workspacefs_csi_proto::csi::v1::volume_health::VolumeHealthEntry;
use workspacefs_csi_proto::csi::v1::{
    NodeGetVolumeHealthRequest, NodeGetVolumeHealthResponse, NodeGetVolumeStatsRequest,
    NodeGetVolumeStatsResponse, VolumeHealth, VolumeHealthErrorType,
};

use super::disks::DiskError;
use super::protocol::Figures;
use super::service::LocalNode;
use crate::node::arguments::{self, ArgumentError};
use crate::node::stats::usage_lines;
use crate::node::target::{State, TargetError};
use crate::share::Usage;

/// How long the disk may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// There are no figures to give.
#[derive(Debug, Error)]
pub(super) enum StatsError {
    /// The request is wrong.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// That volume is not at that path.
    #[error("the volume is not published at this path")]
    NotPublished,
    /// The path cannot be looked at.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The disk.
    #[error("the volume's usage is not known")]
    Disk(#[from] DiskError),
}

/// The question cannot be answered.
#[derive(Debug, Error)]
pub(super) enum HealthError {
    /// The request is wrong.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// Nobody has published it here.
    #[error("no volume of that id is published on this node")]
    Unknown,
}

impl LocalNode {
    pub(super) async fn stats(
        &self,
        request: &NodeGetVolumeStatsRequest,
    ) -> Result<NodeGetVolumeStatsResponse, StatsError> {
        let volume_id = arguments::volume_id(&request.volume_id)?;
        if request.volume_path.is_empty() {
            return Err(ArgumentError::NoVolumePath.into());
        }
        // Where nothing can be published nothing is: csi-sanity asks for `some/path` and wants NOT_FOUND.
        let target = arguments::target(&request.volume_path).map_err(|_| StatsError::NotPublished)?;
        let record = self.0.targets.at(&target).filter(|record| record.volume_id == volume_id);
        let record = record.ok_or(StatsError::NotPublished)?;
        if target.state()? == State::Free {
            return Err(StatsError::NotPublished);
        }
        let by = Instant::now() + ANSWER_MAX;
        let place = &record.place;
        let figures = self.0.config.disks.usage(place.storage_uid(), place.place(), by).await?;
        let figures = figures.ok_or(StatsError::NotPublished)?;
        Ok(NodeGetVolumeStatsResponse { usage: usage_lines(&usage(figures)) })
    }

    pub(super) fn health(
        &self,
        request: &NodeGetVolumeHealthRequest,
    ) -> Result<NodeGetVolumeHealthResponse, HealthError> {
        let volume_id = arguments::volume_id(&request.volume_id)?;
        let records = self.0.targets.of_volume(&volume_id);
        let record = records.first().ok_or(HealthError::Unknown)?;
        let entry = self.0.config.disks.entry(record.place.storage_uid());
        let health_statuses = entry
            .and_then(|entry| Some((fault(entry.health, entry.ready)?, entry)))
            .map(|(status, entry)| VolumeHealthEntry {
                status: status.into(),
                reason: entry.reason,
                message: entry.message,
            })
            .into_iter()
            .collect();
        Ok(NodeGetVolumeHealthResponse { volume_health: Some(VolumeHealth { volume_id, health_statuses }) })
    }
}

fn fault(health: Health, ready: bool) -> Option<VolumeHealthErrorType> {
    match health {
        Health::Failed => Some(VolumeHealthErrorType::Inaccessible),
        Health::Degraded => Some(VolumeHealthErrorType::Degraded),
        Health::Healthy | Health::Unknown if ready => None,
        // It is mounted in a pod, and the node does not offer it any more.
        Health::Healthy | Health::Unknown => Some(VolumeHealthErrorType::Degraded),
    }
}

fn usage(figures: Figures) -> Usage {
    Usage {
        bytes_total: figures.bytes_total,
        bytes_available: figures.bytes_available,
        bytes_used: figures.bytes_used,
        inodes_total: figures.inodes_total,
        inodes_available: figures.inodes_total.saturating_sub(figures.inodes_used),
        inodes_used: figures.inodes_used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_disk_is_inaccessible_and_one_that_is_fine_says_nothing() {
        for (health, ready, expected) in [
            (Health::Healthy, true, None),
            (Health::Failed, false, Some(VolumeHealthErrorType::Inaccessible)),
            (Health::Degraded, true, Some(VolumeHealthErrorType::Degraded)),
            (Health::Healthy, false, Some(VolumeHealthErrorType::Degraded)),
        ] {
            assert_eq!(fault(health, ready), expected, "{health:?} {ready}");
        }
    }
}
