//! NodeGetVolumeStats: usage and limit as the FileSystem's status has them, where a size is enforced; else what the
//! background check found on the share. Never waits for a server, but for the first figures of a volume that was just
//! published (2 s), and not for an API server that is away.
//!
//! When the server is silent the answer is UNAVAILABLE with the latest figures and their age in its message. An OK with
//! old figures would be shown as the present: the response has no field for an age.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use workspacefs_csi_proto::csi::v1::volume_usage::Unit;
use workspacefs_csi_proto::csi::v1::{NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, VolumeUsage};

use super::Node;
use super::arguments::{self, ArgumentError};
use super::target::{State, TargetError};
use super::usage::{INTERVAL, Sample};
use crate::share::{ShareError, Usage};

/// How long a first answer is waited for.
const FIRST_MAX: Duration = Duration::from_secs(2);
/// Older figures are not given as the present: two rounds were missed.
const AGE_MAX: Duration = Duration::from_secs(INTERVAL.as_secs() * 3);

/// There are no figures to give.
#[derive(Debug, Error)]
pub enum StatsError {
    /// The request is wrong.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// That volume is not at that path.
    #[error("the volume is not published at this path")]
    NotPublished,
    /// Something of ours is there, and we do not know what.
    #[error(
        "this node's record of what is published at this path is damaged: it is written anew when kubelet restarts, or with the pod"
    )]
    DamagedRecord,
    /// The path cannot be looked at.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The latest look failed.
    #[error("the volume's usage is not known{last}")]
    Failed {
        /// The figures before, in words.
        last: String,
        /// Why.
        #[source]
        source: ShareError,
    },
    /// Its disk's helper is asked for workspaces' shares and volumes, not for copies.
    #[error(
        "it is a copy on this node's disk, whose usage is not told here: the FsCache's status has its size"
    )]
    OnDisk,
    /// No look has ended yet.
    #[error("the volume's usage is not known yet")]
    NotYet,
}

impl Node {
    /// See the module.
    ///
    /// # Errors
    /// [`StatsError`].
    pub(super) async fn stats(
        &self,
        request: NodeGetVolumeStatsRequest,
    ) -> Result<NodeGetVolumeStatsResponse, StatsError> {
        let volume_id = arguments::volume_id(&request.volume_id)?;
        if request.volume_path.is_empty() {
            return Err(ArgumentError::NoVolumePath.into());
        }
        // Where nothing can be published nothing is: csi-sanity asks for `some/path` and wants NOT_FOUND.
        let target = arguments::target(&request.volume_path).map_err(|_| StatsError::NotPublished)?;
        if self.0.targets.is_damaged(&target) && target.state()? != State::Free {
            return Err(StatsError::DamagedRecord);
        }
        let record = self.0.targets.at(&target).filter(|r| r.volume_id == volume_id);
        let record = record.ok_or(StatsError::NotPublished)?;
        if target.state()? == State::Free {
            return Err(StatsError::NotPublished);
        }
        if record.place.share.is_none() {
            return Err(StatsError::OnDisk);
        }
        let usages = &self.0.usages;
        let sample = match usages.get(&record.target) {
            Some(sample) => Some(sample),
            None => usages.first(&record, Instant::now() + FIRST_MAX).await,
        };
        let on_share = figures(sample, Instant::now())?;
        let enforced = match &record.place.whose {
            Some(whose) => self.0.figures.of(whose).await,
            None => None,
        };
        self.0.figures.say(&record, enforced.as_ref());
        let usage = enforced.map_or(on_share, |enforced| enforced.usage);
        Ok(NodeGetVolumeStatsResponse { usage: usage_lines(&usage) })
    }
}

fn figures(sample: Option<Sample>, now: Instant) -> Result<Usage, StatsError> {
    let sample = sample.ok_or(StatsError::NotYet)?;
    match (sample.usage, sample.failure) {
        (Some((usage, at)), None) if now - at <= AGE_MAX => Ok(usage),
        (usage, Some(source)) => {
            let last = usage.map(|(usage, at)| in_words(&usage, now - at)).unwrap_or_default();
            Err(StatsError::Failed { last, source })
        }
        (_, None) => Err(StatsError::NotYet),
    }
}

fn in_words(usage: &Usage, age: Duration) -> String {
    format!(" (it was {} of {} bytes {} s ago)", usage.bytes_used, usage.bytes_total, age.as_secs())
}

/// Bytes, and inodes where the server counts them. CSI knows no number beyond i64, and none below 0.
pub(crate) fn usage_lines(usage: &Usage) -> Vec<VolumeUsage> {
    let line = |unit: Unit, total: u64, used: u64, available: u64| VolumeUsage {
        available: available.try_into().unwrap_or(i64::MAX),
        total: total.try_into().unwrap_or(i64::MAX),
        used: used.try_into().unwrap_or(i64::MAX),
        unit: unit.into(),
    };
    let mut lines = vec![line(Unit::Bytes, usage.bytes_total, usage.bytes_used, usage.bytes_available)];
    if usage.inodes_total > 0 {
        lines.push(line(Unit::Inodes, usage.inodes_total, usage.inodes_used, usage.inodes_available));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        bytes_total: 10,
        bytes_available: 6,
        bytes_used: 4,
        inodes_total: 0,
        inodes_available: 0,
        inodes_used: 0,
    };

    fn silent() -> ShareError {
        ShareError::TimedOut { share: "s:/e".into(), seconds: 5, doing: "ask".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn old_figures_are_never_given_as_the_present() {
        let now = Instant::now();
        let aged = |age| Some(Sample { usage: Some((USAGE, now - age)), failure: None });
        assert_eq!(figures(aged(Duration::ZERO), now).unwrap(), USAGE);
        assert_eq!(figures(aged(AGE_MAX), now).unwrap(), USAGE);
        assert!(matches!(figures(aged(AGE_MAX + Duration::from_secs(1)), now), Err(StatsError::NotYet)));
        assert!(matches!(figures(None, now), Err(StatsError::NotYet)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_said_with_the_last_figures_and_their_age() {
        let now = Instant::now();
        let sample = Sample { usage: Some((USAGE, now - Duration::from_secs(42))), failure: Some(silent()) };
        let error = figures(Some(sample), now).unwrap_err();
        assert_eq!(error.to_string(), "the volume's usage is not known (it was 4 of 10 bytes 42 s ago)");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn inodes_that_the_server_does_not_count_are_left_out_and_nothing_is_negative() {
        assert_eq!(usage_lines(&USAGE).len(), 1);
        let huge = Usage { bytes_total: u64::MAX, inodes_total: 1, ..USAGE };
        let lines = usage_lines(&huge);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|l| l.total >= 0 && l.used >= 0 && l.available >= 0));
    }
}
