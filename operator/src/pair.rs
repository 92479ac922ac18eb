//! A claim of ours and its PersistentVolume, as several kinds have them: brought into the wished state, and what stands in
//! their way. What they should be is each kind's own affair.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, ResourceExt};
use serde_json::{Value, to_value};

use crate::child::{self, Child};
use crate::error::PassError;
use crate::filesystem::own::covers;

/// Makes the volume, or brings it into the wished state and frees it for a new claim. `wish` is told the uid of the claim if
/// that is there already: a volume that comes back is bound by it only if it names it in full. Where the volume leads, and
/// for which nodes it is, is immutable: one made by an older release stays as it was.
pub async fn keep_volume(
    api: &Api<PersistentVolume>,
    wish: impl Fn(Option<&str>) -> Value,
    volume: Child<PersistentVolume>,
    claim: &Child<PersistentVolumeClaim>,
) -> Result<Child<PersistentVolume>, PassError> {
    let mut volume = match volume {
        Child::Absent => {
            let uid = claim.ours().and_then(|claim| claim.uid());
            return child::create(api, wish(uid.as_deref()), "make the PersistentVolume").await;
        }
        Child::Ours(volume) => volume,
        other => return Ok(other),
    };
    let mut wish = wish(None);
    let actual = to_value(volume.as_ref()).map_err(PassError::json("read the PersistentVolume"))?;
    for field in ["csi", "nodeAffinity"] {
        wish["spec"][field] = actual["spec"][field].clone();
    }
    if !covers(&actual, &wish) {
        volume = match child::update(api, volume.as_ref(), wish, "update the PersistentVolume").await? {
            Child::Ours(volume) => volume,
            other => return Ok(other),
        };
    }
    if Child::remembers_another(&volume, claim) {
        volume = Arc::new(child::free(api, &volume).await?);
    }
    Ok(Child::Ours(volume))
}

/// Makes the claim, or gives it `metadata`, which has the owner `uid`: the rest of a claim cannot be changed.
pub async fn keep_claim(
    api: &Api<PersistentVolumeClaim>,
    wish: impl FnOnce() -> Value,
    metadata: impl FnOnce() -> Value,
    uid: &str,
    claim: Child<PersistentVolumeClaim>,
) -> Result<Child<PersistentVolumeClaim>, PassError> {
    let seen = match claim {
        Child::Absent => return child::create(api, wish(), "make the PersistentVolumeClaim").await,
        Child::Ours(seen) => seen,
        other => return Ok(other),
    };
    let wish = metadata();
    let actual = to_value(seen.as_ref()).map_err(PassError::json("read the PersistentVolumeClaim"))?;
    let owned = seen.owner_references().iter().any(|owner| owner.uid == uid);
    if owned && covers(&actual["metadata"]["labels"], &wish["metadata"]["labels"]) {
        return Ok(Child::Ours(seen));
    }
    child::update(api, seen.as_ref(), wish, "update the PersistentVolumeClaim").await
}

/// What keeps pods from using the claim `name` of an object of that kind: a reason in CamelCase, and a sentence. None where
/// both are ours, or yet to be made. `stays` is said of what is not lost with them.
pub fn obstacle(
    kind: &str,
    (name, claim): (&str, &Child<PersistentVolumeClaim>),
    (volume_name, volume): (&str, &Child<PersistentVolume>),
    stays: &str,
) -> Option<(&'static str, String)> {
    let taken = |what: &str, name: &str| {
        let remedy = format!("It is left alone; delete it, or give the {kind} another name");
        ("NameTaken", format!("{what} {name} exists and was not made for this {kind}. {remedy}"))
    };
    Some(match (claim, volume) {
        (Child::Foreign, _) => taken("PersistentVolumeClaim", name),
        (_, Child::Foreign) => taken("PersistentVolume", volume_name),
        (_, Child::Refused(why)) => ("Refused", format!("PersistentVolume {volume_name} was refused: {why}")),
        (Child::Refused(why), _) => ("Refused", format!("PersistentVolumeClaim {name} was refused: {why}")),
        (Child::Leaving, _) => (
            "ClaimTerminating",
            format!("claim {name} is being deleted; it is made again when no pod uses it any more{stays}"),
        ),
        (_, Child::Leaving) => (
            "VolumeTerminating",
            format!(
                "volume {volume_name} was deleted and goes when claim {name} does: delete that too, and both are made \
                 again{stays}"
            ),
        ),
        (Child::Ours(_) | Child::Absent, Child::Ours(_) | Child::Absent) => return None,
    })
}
