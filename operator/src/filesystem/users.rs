//! Which pods use a FileSystem, or a claim. Asked only when one is being deleted.

use k8s_openapi::api::core::v1::{Pod, Volume};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use workspacefs_api::DRIVER;

use crate::error::PassError;

/// How many users a message names.
const NAMES_MAX: usize = 10;

/// A file system, as pods name it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// In an inline volume of our driver; None where it mounts none.
    pub inline: Option<&'a str>,
    /// By a claim; None where that name is somebody else's claim, which leads elsewhere.
    pub claim: Option<&'a str>,
}

/// Those of a namespace.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Users {
    /// By name, sorted.
    pub others: Vec<String>,
    /// How many there are of those that were to be set apart.
    pub set_apart: usize,
}

/// Those of a namespace, by name, sorted.
///
/// # Errors
/// The API server's.
pub async fn in_namespace(
    client: &Client,
    namespace: &str,
    file_system: Named<'_>,
) -> Result<Vec<String>, PassError> {
    told_apart(client, namespace, file_system, |_| false).await.map(|users| users.others)
}

/// Those of a namespace; of some only how many there are.
///
/// # Errors
/// The API server's.
pub async fn told_apart(
    client: &Client,
    namespace: &str,
    file_system: Named<'_>,
    is_apart: impl Fn(&Pod) -> bool,
) -> Result<Users, PassError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let live = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed").limit(500);
    let (mut users, mut page) = (Users::default(), live.clone());
    loop {
        let pods = api.list(&page).await.map_err(PassError::api("list the pods that may use it"))?;
        let (apart, others): (Vec<&Pod>, Vec<&Pod>) =
            pods.items.iter().filter(|pod| uses(pod, file_system)).partition(|pod| is_apart(pod));
        users.set_apart += apart.len();
        users.others.extend(others.into_iter().map(ResourceExt::name_any));
        match pods.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = live.clone().continue_token(&token),
            None => break,
        }
    }
    users.others.sort_unstable();
    Ok(users)
}

/// Whether a pod has the file system mounted, or may any moment: it is on a node and has not ended.
pub fn uses(pod: &Pod, file_system: Named<'_>) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let Some(spec) = &pod.spec else { return false };
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    !ended
        && spec.node_name.as_deref().is_some_and(|node| !node.is_empty())
        && spec.volumes.iter().flatten().any(|volume| names(volume, file_system))
}

/// By its claim, or inline.
fn names(volume: &Volume, file_system: Named<'_>) -> bool {
    let claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.as_str());
    let ours = volume.csi.as_ref().filter(|csi| csi.driver == DRIVER);
    let inline = ours.and_then(|csi| csi.volume_attributes.as_ref()?.get("fileSystem")).map(String::as_str);
    (claim.is_some() && claim == file_system.claim) || (inline.is_some() && inline == file_system.inline)
}

/// The sentence of condition InUse; `kind` is what `users` are, as in "pod".
pub fn message(kind: &str, users: &[String]) -> String {
    let (ending, verb) = if users.len() == 1 { ("", "uses") } else { ("s", "use") };
    format!("{} {kind}{ending} {verb} it: {}. It goes when they are gone", users.len(), named(users))
}

/// The first few names, and how many more there are.
pub fn named(users: &[String]) -> String {
    let named = users.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match users.len().saturating_sub(NAMES_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workspacefs_testkit::builders::{object, running_pod};

    use super::*;

    fn pod(volumes: serde_json::Value) -> Pod {
        running_pod("a", "p", volumes)
    }

    const OWN: Named<'static> = Named { inline: Some("data"), claim: Some("data") };
    const OTHER: Named<'static> = Named { inline: Some("other"), claim: Some("other") };

    #[test]
    fn a_pod_uses_a_file_system_by_its_claim_or_inline() {
        let claim = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
        let inline =
            json!([{"name": "v", "csi": {"driver": DRIVER, "volumeAttributes": {"fileSystem": "data"}}}]);
        let other_driver =
            json!([{"name": "v", "csi": {"driver": "x", "volumeAttributes": {"fileSystem": "data"}}}]);
        for (volumes, used) in [(claim, true), (inline, true), (other_driver, false), (json!([]), false)] {
            assert_eq!(uses(&pod(volumes.clone()), OWN), used, "{volumes}");
            assert!(!uses(&pod(volumes), OTHER));
        }
    }

    #[test]
    fn who_mounts_somebody_elses_claim_of_that_name_does_not_use_it() {
        let foreign = Named { claim: None, ..OWN };
        let claim = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
        assert!(!uses(&pod(claim), foreign));
        let inline =
            json!([{"name": "v", "csi": {"driver": DRIVER, "volumeAttributes": {"fileSystem": "data"}}}]);
        assert!(uses(&pod(inline), foreign));
        // Neither name being there is no name in common.
        let nameless = Named { inline: None, claim: None };
        assert!(!uses(&pod(json!([{"name": "v", "emptyDir": {}}])), nameless));
    }

    #[test]
    fn pods_that_ended_or_were_never_placed_do_not_count() {
        let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
        for (change, used) in [
            (json!({"status": {"phase": "Succeeded"}}), false),
            (json!({"status": {"phase": "Failed"}}), false),
            (json!({"status": {"phase": "Pending"}}), true),
            (json!({"spec": {"nodeName": null}}), false),
        ] {
            let mut value = serde_json::to_value(pod(volumes.clone())).unwrap();
            for (section, fields) in change.as_object().unwrap() {
                for (field, new) in fields.as_object().unwrap() {
                    value[section][field] = new.clone();
                }
            }
            assert_eq!(uses(&object(value), OWN), used, "{change}");
        }
    }

    #[test]
    fn a_message_names_ten_pods_and_counts_the_rest() {
        let pods: Vec<String> = (0..12).map(|i| format!("p{i:02}")).collect();
        let message = message("pod", &pods);
        assert!(message.starts_with("12 pods use it: p00, p01,"), "{message}");
        assert!(message.contains("p09 and 2 more") && !message.contains("p10"), "{message}");
        assert!(super::message("pod", &pods[..1]).starts_with("1 pod uses it: p00."));
    }
}
