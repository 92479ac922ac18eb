//! Further claims on a FileSystem: volumes that the CSI controller made by its StorageClass. Asked for only when it is being
//! deleted.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use workspacefs_api::DRIVER;
use workspacefs_api::volume::VolumeId;

use super::findings::IN_USE;
use super::objects::Identity;
use super::{FileSystems, users};
use crate::conditions::Finding;
use crate::error::PassError;

/// The uid of the FileSystem that a volume was made on, if it is a further claim's.
pub fn made_on(volume: &PersistentVolume) -> Option<String> {
    let csi = volume.spec.as_ref()?.csi.as_ref().filter(|csi| csi.driver == DRIVER)?;
    match VolumeId::parse(&csi.volume_handle) {
        Ok(VolumeId::Volume { uid, .. }) => Some(uid),
        _ => None,
    }
}

/// The claim, as namespace/name, that a volume of the FileSystem of that uid is bound to, or about to be. A claim that is gone
/// holds it still while its volume is to be deleted: without the FileSystem nobody knows on which server that is.
pub fn holder(volume: &PersistentVolume, uid: &str) -> Option<String> {
    let spec = volume.spec.as_ref()?;
    let ours = made_on(volume).is_some_and(|of| of == uid);
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let claim = spec.claim_ref.as_ref()?;
    let released = matches!(phase, Some("Released" | "Failed"));
    let deleted = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
    if !ours || released && !deleted {
        return None;
    }
    let claim = format!("{}/{}", claim.namespace.as_deref()?, claim.name.as_deref()?);
    Some(match released {
        true => format!("{claim} (gone, its volume {} is to be deleted)", volume.name_any()),
        false => claim,
    })
}

impl FileSystems {
    /// Condition InUse, where further claims are bound.
    pub(super) async fn claims_on(&self, fs: &Identity) -> Result<Option<Finding>, PassError> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let all = ListParams::default().limit(500);
        let mut claims = Vec::new();
        let mut page = all.clone();
        loop {
            let volumes = api.list(&page).await.map_err(PassError::api("list the volumes made on it"))?;
            claims.extend(volumes.items.iter().filter_map(|volume| holder(volume, &fs.uid)));
            match volumes.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = all.clone().continue_token(&token),
                None => break,
            }
        }
        claims.sort_unstable();
        let found = || Finding::new(IN_USE, true, "ClaimsUseIt", users::message("claim", &claims));
        Ok((!claims.is_empty()).then(found))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use workspacefs_testkit::builders::volume;

    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn made(handle: &str, claim: Value, phase: &str) -> PersistentVolume {
        let mut volume = volume(
            "pvc-1",
            json!({"csi": {"driver": "csi.workspacefs.io", "volumeHandle": handle}, "claimRef": claim}),
        );
        volume.status.get_or_insert_default().phase = Some(phase.into());
        volume
    }

    #[test]
    fn a_volume_holds_the_file_system_it_was_made_on_as_long_as_its_claim_lives() {
        let claim = json!({"namespace": "b", "name": "x"});
        let (ours, other) = (format!("v1.vol.{UID}.pvc-1"), UID.replace('0', "1"));
        for (handle, claim, phase, held) in [
            (ours.as_str(), claim.clone(), "Bound", true),
            (&ours, claim.clone(), "Pending", true),
            (&ours, claim.clone(), "Released", false),
            (&ours, claim.clone(), "Failed", false),
            (&ours, Value::Null, "Available", false),
            (&format!("v1.vol.{other}.pvc-1"), claim.clone(), "Bound", false),
            (&format!("v1.fs.{UID}"), claim.clone(), "Bound", false),
        ] {
            let found = holder(&made(handle, claim, phase), UID);
            assert_eq!(found, held.then(|| "b/x".to_string()), "{handle} {phase}");
        }
        let mut foreign = made(&ours, claim, "Bound");
        foreign.spec.as_mut().unwrap().csi.as_mut().unwrap().driver = "other".into();
        assert_eq!(holder(&foreign, UID), None);
    }

    #[test]
    fn a_volume_that_is_to_be_deleted_holds_it_beyond_its_claim() {
        let handle = format!("v1.vol.{UID}.pvc-1");
        for (phase, policy, held) in [
            ("Released", "Delete", true),
            ("Failed", "Delete", true),
            ("Released", "Retain", false),
            ("Failed", "Retain", false),
        ] {
            let mut volume = made(&handle, json!({"namespace": "b", "name": "x"}), phase);
            volume.spec.as_mut().unwrap().persistent_volume_reclaim_policy = Some(policy.into());
            let found = holder(&volume, UID);
            let words = "b/x (gone, its volume pvc-1 is to be deleted)";
            assert_eq!(found.as_deref(), held.then_some(words), "{phase} {policy}");
        }
    }
}
