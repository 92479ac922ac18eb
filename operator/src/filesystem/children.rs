//! The state of a FileSystem's volume, claim and class, as far as the next step depends on it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{Resource, ResourceExt};

use super::objects::Identity;
use super::own::{is_our_claim, is_our_class, is_our_volume};

/// A volume, claim or class of the right name.
#[derive(Clone, Debug)]
pub enum Child<T> {
    /// There is none.
    Absent,
    /// We made it.
    Ours(Arc<T>),
    /// We made it, and it is being deleted.
    Leaving,
    /// Somebody else made it.
    Foreign,
    /// The API server refused to have it made or changed; what it said.
    Refused(String),
}

impl<T: Resource> Child<T> {
    fn of(object: Option<Arc<T>>, is_ours: impl Fn(&T) -> bool) -> Self {
        match object {
            None => Self::Absent,
            Some(object) if !is_ours(&object) => Self::Foreign,
            Some(object) if object.meta().deletion_timestamp.is_some() => Self::Leaving,
            Some(object) => Self::Ours(object),
        }
    }

    /// The object, if it is ours and stays.
    pub fn ours(&self) -> Option<&Arc<T>> {
        match self {
            Self::Ours(object) => Some(object),
            Self::Absent | Self::Leaving | Self::Foreign | Self::Refused(_) => None,
        }
    }
}

impl Child<PersistentVolume> {
    /// What is there under the name of the FileSystem's volume.
    pub fn volume(fs: &Identity, object: Option<Arc<PersistentVolume>>) -> Self {
        Self::of(object, |volume| is_our_volume(volume, &fs.uid))
    }

    /// Whether the volume is bound to a claim that is no more, so that no new claim can bind it.
    pub fn remembers_another(volume: &PersistentVolume, claim: &Child<PersistentVolumeClaim>) -> bool {
        let claim_ref = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        let Some(uid) = claim_ref.and_then(|claim_ref| claim_ref.uid.as_ref()) else {
            return false;
        };
        match claim {
            Child::Absent => true,
            Child::Ours(claim) => claim.uid().as_ref() != Some(uid),
            // Not for a foreign claim, which must not be bound to our volume, nor while the old one is still there.
            Child::Leaving | Child::Foreign | Child::Refused(_) => false,
        }
    }
}

impl Child<PersistentVolumeClaim> {
    /// What is there under the name of the FileSystem's claim.
    pub fn claim(fs: &Identity, object: Option<Arc<PersistentVolumeClaim>>) -> Self {
        Self::of(object, |claim| is_our_claim(claim, &fs.uid))
    }
}

impl Child<StorageClass> {
    /// What is there under the name of the FileSystem's class.
    pub fn class(object: Option<Arc<StorageClass>>) -> Self {
        Self::of(object, is_our_class)
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
