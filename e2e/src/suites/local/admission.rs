//! The whole share or nothing: `subPath` on a local claim is refused when the object is made, in every kind that has pods.

use anyhow::{Result, ensure};
use kube::api::PostParams;
use serde_json::{Value, json};

use super::storage::{NAME, on_disks, says};
use crate::cluster::BUSYBOX_IMAGE;
use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    let all = cases![sub_path_on_a_local_claim_is_refused_in_pods_and_in_each_kind_of_pod_template];
    all.into_iter().map(Case::alone).collect()
}

/// Every kind that makes pods by a template, and Pod itself. (Nothing makes pods of a PodTemplate.)
const KINDS: [(&str, &str); 8] = [
    ("v1", "Pod"),
    ("v1", "ReplicationController"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
];

/// An object of the kind whose pods are so.
fn object(api_version: &str, kind: &str, pod: Value) -> Value {
    let labels = json!({ "app": "x" });
    let mut pod = pod;
    if kind == "Job" || kind == "CronJob" {
        pod["restartPolicy"] = "Never".into();
    }
    let template = json!({ "metadata": { "labels": labels }, "spec": pod });
    let selected = json!({ "selector": { "matchLabels": labels }, "template": template });
    let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "x" } });
    match kind {
        "Pod" => object["spec"] = template["spec"].clone(),
        "ReplicationController" => object["spec"] = json!({ "selector": labels, "template": template }),
        "Job" => object["spec"] = json!({ "template": template }),
        "CronJob" => {
            object["spec"] =
                json!({ "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": template } } });
        }
        "StatefulSet" => {
            object["spec"] = selected;
            object["spec"]["serviceName"] = "x".into();
        }
        _ => object["spec"] = selected,
    }
    object
}

/// A pod that mounts a claim by these containers and init containers.
fn pod(claim: &str, mount: Value, init_mount: Value) -> Value {
    let container = |name: &str, mut mount: Value| {
        mount["name"] = "v".into();
        mount["mountPath"] = "/data".into();
        let env = json!([{ "name": "X", "value": "x" }]);
        json!({ "name": name, "image": BUSYBOX_IMAGE, "env": env, "volumeMounts": [mount] })
    };
    json!({
        "containers": [container("main", mount)],
        "initContainers": [container("init", init_mount)],
        "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": claim } }],
    })
}

impl Context {
    /// What the API server says to an object that it is not to keep: None if it would take it.
    async fn refusal(&self, object: &Value) -> Result<Option<String>> {
        let apply = ["create", "--dry-run=server", "-f", "-"];
        let ended = self.kubectl(&apply, &object.to_string()).await?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        Ok((!ended.status.success()).then_some(said))
    }
}

async fn sub_path_on_a_local_claim_is_refused_in_pods_and_in_each_kind_of_pod_template(
    context: Context,
) -> Result<()> {
    context.become_workspace().await?;
    let (unlisted, gone) = context.workspace_beside("b").await?;
    let storage = context.local_storage(NAME, on_disks(&[], &[context.namespace()])).await?;
    context.bound(NAME).await?;
    let whole = || pod(NAME, json!({}), json!({}));
    let parts = [
        pod(NAME, json!({ "subPath": "a" }), json!({})),
        pod(NAME, json!({ "subPathExpr": "$(X)" }), json!({})),
        pod(NAME, json!({}), json!({ "subPath": "a" })),
    ];
    let first = object("v1", "Pod", parts[0].clone());
    let look = || async {
        ensure!(context.refusal(&first).await?.is_some(), "it is accepted");
        Ok(())
    };
    // The API server hears of a new LocalStorage as anybody does.
    until("the policy knows the LocalStorage", seconds(60), look).await?;
    for (api_version, kind) in KINDS {
        for part in &parts {
            let said = context.refusal(&object(api_version, kind, part.clone())).await?;
            let said = said.unwrap_or_else(|| "nothing".into());
            ensure!(says(&said, &["subPath", NAME, "whole"]), "{kind} {part}: the API server says {said}");
            if kind == "Pod" && part == &parts[0] {
                context.note(said);
            }
        }
        let said = context.refusal(&object(api_version, kind, whole())).await?;
        ensure!(said.is_none(), "{kind} without subPath: {said:?}");
        let elsewhere = pod("default", json!({ "subPath": "a" }), json!({}));
        let said = context.refusal(&object(api_version, kind, elsewhere)).await?;
        ensure!(said.is_none(), "{kind} with subPath on another claim: {said:?}");
    }
    // A claim of that name is nobody's business where the LocalStorage does not list the workspace.
    let own = json!({
        "metadata": { "name": NAME },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "somebody",
            "resources": { "requests": { "storage": "1Gi" } },
        },
    });
    unlisted.claims().create(&PostParams::default(), &serde_json::from_value(own)?).await?;
    for (api_version, kind) in KINDS {
        let said = unlisted.refusal(&object(api_version, kind, parts[0].clone())).await?;
        ensure!(said.is_none(), "{kind} of a workspace that is not listed: {said:?}");
    }
    storage.end().await?;
    gone.end().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_is_found_in_every_kind_that_has_one() {
        for (api_version, kind) in KINDS {
            let text = object(api_version, kind, pod("c", json!({ "subPath": "a" }), json!({}))).to_string();
            assert!(
                text.contains("\"claimName\":\"c\"") && text.contains("\"subPath\":\"a\""),
                "{kind}: {text}"
            );
        }
    }
}
