//! NodeGetVolumeHealth: what this node knows of a volume, by its id alone: from the records, the mount points and the
//! latest calls to its share. Never waits for a server. For people, not for automation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;
use thiserror::Error;
use workspacefs_csi_proto::csi::v1::volume_health::VolumeHealthEntry;
use workspacefs_csi_proto::csi::v1::{
    NodeGetVolumeHealthRequest, NodeGetVolumeHealthResponse, VolumeHealth, VolumeHealthErrorType,
};
use workspacefs_runtime::chain;

use super::Node;
use super::arguments::{self, ArgumentError};
use super::target::{State, Target};
use super::targets::Record;

/// This many failed publishes are remembered; then the oldest is forgotten.
const FAILURES_MAX: usize = 256;

/// The question cannot be answered.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The request is wrong.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// Nobody has tried to publish it here.
    #[error("no volume of that id is published on this node")]
    Unknown,
}

/// The latest publish of a volume that failed. CSI wants a volume's health known also where it could not be published.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(Arc<Mutex<HashMap<String, (SystemTime, String)>>>);

impl Failures {
    /// Remembers why a publish failed.
    pub fn remember(&self, volume_id: &str, error: &dyn std::error::Error) {
        let mut failures = self.lock();
        if failures.len() >= FAILURES_MAX {
            let oldest = failures.iter().min_by_key(|(_, (at, _))| *at).map(|(id, _)| id.clone());
            oldest.and_then(|id| failures.remove(&id));
        }
        failures.insert(volume_id.to_string(), (SystemTime::now(), chain(error)));
    }

    /// A publish worked, or nobody wants it any more.
    pub fn forget(&self, volume_id: &str) {
        self.lock().remove(volume_id);
    }

    fn get(&self, volume_id: &str) -> Option<(SystemTime, String)> {
        self.lock().get(volume_id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (SystemTime, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// See the module.
    ///
    /// # Errors
    /// [`HealthError`].
    pub(super) fn health(
        &self,
        request: &NodeGetVolumeHealthRequest,
    ) -> Result<NodeGetVolumeHealthResponse, HealthError> {
        let volume_id = arguments::volume_id(&request.volume_id)?;
        let records = self.0.targets.of_volume(&volume_id);
        let failure = self.0.failures.get(&volume_id);
        if records.is_empty() && failure.is_none() {
            return Err(HealthError::Unknown);
        }
        let mut health_statuses: Vec<VolumeHealthEntry> = Vec::new();
        let mut add = |reason: &str, message: String| {
            // CSI wants each (status, reason) once.
            if health_statuses.iter().all(|entry| entry.reason != reason) {
                health_statuses.push(VolumeHealthEntry {
                    status: VolumeHealthErrorType::Inaccessible.into(),
                    reason: reason.into(),
                    message,
                });
            }
        };
        for record in &records {
            let silence = record.place.share.as_ref().and_then(|share| self.0.shares.silence(&share.key()));
            if let Some(silence) = silence {
                add("ServerNotAnswering", format!("since {}: {}", when(silence.since), silence.cause));
            }
            let is_stale = self.0.usages.is_stale(&record.target);
            if let Some((reason, message)) = mount_fault(record, is_stale) {
                add(reason, message);
            }
        }
        if let Some((at, message)) = failure {
            add("PublishFailed", format!("at {}: {message}", when(at)));
        }
        Ok(NodeGetVolumeHealthResponse { volume_health: Some(VolumeHealth { volume_id, health_statuses }) })
    }
}

fn mount_fault(record: &Record, is_stale: bool) -> Option<(&'static str, String)> {
    let path = record.target.display();
    match Target::parse(record.target.to_str()?).ok()?.state() {
        Ok(State::Mounted) if !is_stale => None,
        Ok(State::Free) => Some(("NotMounted", format!("nothing is mounted at {path}"))),
        Ok(State::Mounted | State::Stale) => {
            Some(("StaleHandle", format!("the server has forgotten the folder mounted at {path}")))
        }
        Err(error) => Some(("TargetUnreadable", chain(&error))),
    }
}

fn when(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| "an unknown time".into(), |t| format!("{t:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_forgotten_oldest_first() {
        let failures = Failures::default();
        for number in 0..=FAILURES_MAX {
            failures.remember(&number.to_string(), &HealthError::Unknown);
        }
        assert_eq!(failures.lock().len(), FAILURES_MAX);
        assert_eq!(failures.get("0"), None);
        assert!(failures.get(&FAILURES_MAX.to_string()).is_some());
        failures.forget("1");
        assert_eq!(failures.get("1"), None);
    }

    #[test]
    fn times_are_written_as_kubernetes_writes_them() {
        assert_eq!(when(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
