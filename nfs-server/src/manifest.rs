//! The manifest that mounts a restored claim again: its PersistentVolume went with it, and nothing makes that anew. What only
//! the cluster knows is left to be filled in, in capitals, which Kubernetes refuses as a claim's name.

use workspacefs_agent_proto::EXPORT;
use workspacefs_agent_proto::v1::RestoredClaim;
use workspacefs_api::filesystem::Owner;
use workspacefs_api::path::{PathError, RelativePath};
use workspacefs_api::volume::{Folder, VolumeAttributes, VolumeId};
use workspacefs_api::{DRIVER, quantity};
use workspacefs_storage::names::CLAIMS;

/// Stands for the name of the claim that is wanted.
const CLAIM: &str = "CLAIM";
/// Stands for the server's address, as nodes reach it.
const SERVER: &str = "SERVER";

/// A PersistentVolume as CreateVolume and the provisioner make it, and a claim bound to it.
///
/// # Errors
/// The agent's answer names no folder.
pub fn of(claim: &RestoredClaim) -> Result<String, PathError> {
    let RestoredClaim { namespace, file_system, file_system_uid: uid, name, .. } = claim;
    let size = quantity::exact(claim.size_bytes).0;
    let class = format!("{namespace}.{file_system}");
    let handle = VolumeId::Volume { uid: uid.clone(), folder: name.clone() };
    // Without its FileSystem the driver does not delete it: it would try for ever.
    let (policy, whose) = match claim.has_file_system {
        true => (
            "Delete",
            format!("-n {namespace} get filesystem {file_system} -o jsonpath='{{.status.share.server}}'"),
        ),
        false => ("Retain", "get filesystems -A -o jsonpath='{.items[*].status.share.server}'".to_string()),
    };
    let attributes = attributes(claim)?.to_map();
    let attributes: String =
        attributes.iter().map(|(key, value)| format!("      {key}: {}\n", quoted(value))).collect();
    let name = quoted(name);
    Ok(format!(
        r#"# Fill in {CLAIM}, a free name of a claim, and {SERVER}, then kubectl apply this. {SERVER} is what this says:
#   kubectl {whose}
# If the PersistentVolume wsfs-{uid} has mountOptions, nodeAffinity or the attribute nodeGroup, copy them.
apiVersion: v1
kind: PersistentVolume
metadata:
  name: {name}
  annotations: {{pv.kubernetes.io/provisioned-by: {DRIVER}}}
spec:
  capacity: {{storage: "{size}"}}
  accessModes: [ReadWriteMany]
  persistentVolumeReclaimPolicy: {policy}
  storageClassName: {class}
  claimRef: {{apiVersion: v1, kind: PersistentVolumeClaim, namespace: {namespace}, name: {CLAIM}}}
  csi:
    driver: {DRIVER}
    volumeHandle: {handle}
    volumeAttributes:
{attributes}---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{namespace: {namespace}, name: {CLAIM}}}
spec:
  storageClassName: {class}
  volumeName: {name}
  accessModes: [ReadWriteMany]
  resources: {{requests: {{storage: "{size}"}}}}
"#
    ))
}

/// What CreateVolume says of a claim here. The owner is that of its folder already: it counts where one is made.
fn attributes(claim: &RestoredClaim) -> Result<VolumeAttributes, PathError> {
    let RestoredClaim { namespace, file_system, file_system_uid: uid, name, .. } = claim;
    Ok(VolumeAttributes {
        file_system: format!("{namespace}/{file_system}"),
        file_system_uid: uid.clone(),
        server: SERVER.into(),
        export: EXPORT.into(),
        folder: Folder::Existing(RelativePath::parse(&format!("{CLAIMS}/{uid}/{name}"))?),
        version: None,
        port: None,
        owner: Owner::default(),
        node_group: None,
    })
}

/// As a text, whatever it looks like. Nothing of ours has a quote in it.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn claim() -> RestoredClaim {
        RestoredClaim {
            namespace: "team-a".into(),
            file_system: "data".into(),
            file_system_uid: UID.into(),
            name: "pvc-7".into(),
            size_bytes: 64 << 20,
            has_file_system: true,
        }
    }

    /// The volume and the claim, as `kubectl apply` reads them.
    fn objects(claim: &RestoredClaim) -> (Value, Value) {
        let text = of(claim).unwrap();
        let (volume, claim) = text.split_once("---\n").unwrap();
        (serde_saphyr::from_str(volume).unwrap(), serde_saphyr::from_str(claim).unwrap())
    }

    #[test]
    fn the_driver_takes_the_volume_for_the_one_that_it_made() {
        let (volume, _) = objects(&claim());
        let csi = &volume["spec"]["csi"];
        let handle = VolumeId::parse(csi["volumeHandle"].as_str().unwrap()).unwrap();
        assert_eq!(handle, VolumeId::Volume { uid: UID.into(), folder: "pvc-7".into() });
        let map: BTreeMap<String, String> = serde_json::from_value(csi["volumeAttributes"].clone()).unwrap();
        let read = VolumeAttributes::from_map(&map).unwrap();
        assert_eq!(read, attributes(&claim()).unwrap());
        assert_eq!(map["existing"], format!("claims/{UID}/pvc-7"));
        // So that the provisioner deletes it when its claim goes.
        assert_eq!(volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"], csi["driver"]);
    }

    #[test]
    fn volume_and_claim_name_each_other() {
        let (volume, claim) = objects(&claim());
        let reference = &volume["spec"]["claimRef"];
        assert_eq!(
            (&reference["namespace"], &reference["name"]),
            (&claim["metadata"]["namespace"], &claim["metadata"]["name"])
        );
        assert_eq!(claim["spec"]["volumeName"], volume["metadata"]["name"]);
        for field in ["storageClassName", "accessModes"] {
            assert_eq!(claim["spec"][field], volume["spec"][field], "{field}");
        }
        assert_eq!(claim["spec"]["resources"]["requests"], volume["spec"]["capacity"]);
        assert_eq!(volume["spec"]["capacity"], json!({"storage": "64Mi"}));
    }

    #[test]
    fn names_that_look_like_something_else_are_names() {
        let (volume, _) = objects(&RestoredClaim { name: "1e5".into(), ..claim() });
        assert_eq!(volume["metadata"]["name"], "1e5");
    }

    #[test]
    fn a_claim_that_nothing_can_delete_any_more_is_retained() {
        let policy = |has_file_system| {
            let (volume, _) = objects(&RestoredClaim { has_file_system, ..claim() });
            volume["spec"]["persistentVolumeReclaimPolicy"].clone()
        };
        assert_eq!((policy(true), policy(false)), (json!("Delete"), json!("Retain")));
    }
}
