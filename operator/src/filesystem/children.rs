//! The state of a FileSystem's volume and claim, as far as the next step depends on it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::objects::Identity;
use super::own::{is_our_claim, is_our_volume};
use crate::child::Child;

impl Child<PersistentVolume> {
    /// What is there under the name of the FileSystem's volume.
    pub fn volume(fs: &Identity, object: Option<Arc<PersistentVolume>>) -> Self {
        Self::of(object, |volume| is_our_volume(volume, &fs.uid))
    }
}

impl Child<PersistentVolumeClaim> {
    /// What is there under the name of the FileSystem's claim.
    pub fn claim(fs: &Identity, object: Option<Arc<PersistentVolumeClaim>>) -> Self {
        Self::of(object, |claim| is_our_claim(claim, &fs.uid))
    }
}

/// The size that a claim asks for.
pub fn request_of(claim: &PersistentVolumeClaim) -> Option<&Quantity> {
    claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")
}

/// A claim's phase.
pub fn claim_phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("")
}
