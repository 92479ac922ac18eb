//! The objects of a case: FileSystems, claims, pods, their states and their Events.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use workspacefs_api::FileSystem;

use super::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

/// Time for the operator.
const READY_TIME_MAX: Duration = seconds(90);

/// Time for a pod whose volumes are well. No rule: two cores carry the whole cluster.
const START_TIME_MAX: Duration = seconds(180);

/// Time for a pod to go when nothing holds it up.
const STOP_TIME_MAX: Duration = seconds(120);

impl Context {
    /// The namespace's pods.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client(), self.namespace())
    }

    /// The namespace's FileSystems.
    pub fn file_systems(&self) -> Api<FileSystem> {
        Api::namespaced(self.client(), self.namespace())
    }

    /// The namespace's claims.
    pub fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client(), self.namespace())
    }

    /// All PersistentVolumes.
    pub fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client())
    }

    /// The case's own folder beneath an export of the storage host, removed with the namespace.
    pub fn folder(&self, name: &str) -> String {
        format!("e2e/{}/{name}", self.namespace())
    }

    /// The backend: the case's folder `name` on the export `/export/shared`.
    pub fn shared(&self, name: &str) -> Value {
        json!({ "nfs": { "server": "10.99.0.21", "export": "/export/shared", "folder": self.folder(name) } })
    }

    /// Makes a FileSystem.
    pub async fn create_file_system(&self, name: &str, spec: Value) -> Result<FileSystem> {
        let object = json!({
            "apiVersion": "workspacefs.io/v1alpha1",
            "kind": "FileSystem",
            "metadata": { "name": name },
            "spec": spec,
        });
        let object: FileSystem = serde_json::from_value(object)?;
        Ok(self.file_systems().create(&PostParams::default(), &object).await?)
    }

    /// Makes a FileSystem on the shared export, in the case's folder of the same name, and waits until it is ready.
    pub async fn file_system(&self, name: &str) -> Result<FileSystem> {
        self.file_system_with(name, json!({ "backend": self.shared(name) })).await
    }

    /// Makes a FileSystem and waits until it is ready and its claim bound.
    pub async fn file_system_with(&self, name: &str, spec: Value) -> Result<FileSystem> {
        self.create_file_system(name, spec).await?;
        self.usable(name).await
    }

    /// Waits until a FileSystem is ready and its claim bound.
    pub async fn usable(&self, name: &str) -> Result<FileSystem> {
        let ready = self.condition(name, "Ready", "True", READY_TIME_MAX).await?;
        self.bound(name).await?;
        Ok(ready)
    }

    /// Waits until a claim is bound.
    pub async fn bound(&self, claim: &str) -> Result<PersistentVolumeClaim> {
        let look = || async {
            let object = self.claims().get(claim).await?;
            let phase = object.status.as_ref().and_then(|status| status.phase.clone());
            ensure!(phase.as_deref() == Some("Bound"), "its phase is {phase:?}");
            Ok(object)
        };
        until(&format!("claim {claim} is bound"), READY_TIME_MAX, look).await
    }

    /// Waits for a condition of a FileSystem.
    pub async fn condition(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        limit: Duration,
    ) -> Result<FileSystem> {
        let fits = |condition: &Condition| condition.status == status;
        self.condition_that(name, kind, status, fits, limit).await
    }

    /// Waits until a condition of a FileSystem has this reason.
    pub async fn reason(&self, name: &str, kind: &str, reason: &str, limit: Duration) -> Result<FileSystem> {
        let fits = |condition: &Condition| condition.reason == reason;
        self.condition_that(name, kind, reason, fits, limit).await
    }

    /// Waits for a condition of a FileSystem that fits, which `wish` says for the reader.
    async fn condition_that(
        &self,
        name: &str,
        kind: &str,
        wish: &str,
        fits: impl Fn(&Condition) -> bool,
        limit: Duration,
    ) -> Result<FileSystem> {
        let look = || async {
            let object = self.file_systems().get(name).await?;
            match object.condition(kind) {
                Some(condition) if fits(condition) => Ok(object),
                Some(other) => bail!("it is {}: {}: {}", other.status, other.reason, other.message),
                None => bail!("there is no such condition"),
            }
        };
        until(&format!("FileSystem {name} has {kind}={wish}"), limit, look).await
    }

    /// Deletes a FileSystem and waits until it is gone.
    pub async fn remove_file_system(&self, name: &str) -> Result<()> {
        let api = self.file_systems();
        api.delete(name, &Default::default()).await?;
        let look = || async {
            let left = api.get_opt(name).await?;
            let say = |object: FileSystem| format!("it is there, with {:?}", object.finalizers());
            ensure!(left.is_none(), left.map(say).unwrap_or_default());
            Ok(())
        };
        until(&format!("FileSystem {name} is gone"), seconds(90), look).await
    }

    /// Makes a pod.
    pub async fn create(&self, pod: &PodSpec) -> Result<Pod> {
        let object = pod.build().with_context(|| format!("pod {}", pod.name()))?;
        Ok(self.pods().create(&PostParams::default(), &object).await?)
    }

    /// Makes pods and waits until all of them run.
    pub async fn start<const N: usize>(&self, pods: [PodSpec; N]) -> Result<[Pod; N]> {
        for pod in &pods {
            self.create(pod).await?;
        }
        let running = try_join_all(pods.iter().map(|pod| self.running(pod.name()))).await?;
        running.try_into().map_err(|_| anyhow::anyhow!("as many pods as were asked for"))
    }

    /// Waits until a pod has a node, whether or not it can start there.
    pub async fn placed(&self, pod: &str) -> Result<Pod> {
        let look = || async {
            let object = self.pods().get(pod).await?;
            let node = object.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            ensure!(node.is_some_and(|node| !node.is_empty()), "it has none");
            Ok(object)
        };
        until(&format!("pod {pod} has a node"), READY_TIME_MAX, look).await
    }

    /// Waits until a pod is Ready.
    pub async fn running(&self, pod: &str) -> Result<Pod> {
        let look = || async {
            let object = self.pods().get(pod).await?;
            ensure!(is_ready(&object), "it is {}", phase(&object));
            Ok(object)
        };
        until(&format!("pod {pod} runs"), START_TIME_MAX, look).await
    }

    /// Waits until a pod is Ready, or an Event says that it cannot start; gives whether it is Ready.
    pub async fn runs(&self, pod: &str) -> Result<bool> {
        let look = || async {
            let events = self.events(pod).await?;
            let failed = |event: &String| event.starts_with("Failed:") || event.starts_with("FailedMount:");
            if events.iter().any(failed) {
                return Ok(false);
            }
            let object = self.pods().get(pod).await?;
            ensure!(is_ready(&object), "it is {}", phase(&object));
            Ok(true)
        };
        until(&format!("pod {pod} runs or fails"), START_TIME_MAX, look).await
    }

    /// Waits until a pod has done its work; it must have succeeded.
    pub async fn succeeded(&self, pod: &str, limit: Duration) -> Result<()> {
        let look = || async {
            let object = self.pods().get(pod).await?;
            let phase = phase(&object);
            ensure!(phase == "Succeeded" || phase == "Failed", "it is {phase}");
            Ok(phase)
        };
        let phase = until(&format!("pod {pod} ends"), limit, look).await?;
        ensure!(phase == "Succeeded", "pod {pod} failed");
        Ok(())
    }

    /// Asks for a pod's end without waiting for it.
    pub async fn delete(&self, pod: &str) -> Result<()> {
        self.pods().delete(pod, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until a pod is gone.
    pub async fn gone(&self, pod: &str, limit: Duration) -> Result<()> {
        let look = || async {
            match self.pods().get_opt(pod).await? {
                None => Ok(()),
                Some(object) => bail!("it is still there, {}", phase(&object)),
            }
        };
        until(&format!("pod {pod} is gone"), limit, look).await
    }

    /// Ends a pod and waits until it is gone.
    pub async fn stop(&self, pod: &str) -> Result<()> {
        self.delete(pod).await?;
        self.gone(pod, STOP_TIME_MAX).await
    }

    /// Waits until an Event about the object says all of the words, and gives its whole message.
    pub async fn event(&self, object: &str, words: &[&str], limit: Duration) -> Result<String> {
        let look = || async {
            let messages = self.events(object).await?;
            let fits = |message: &&String| words.iter().all(|word| message.contains(word));
            match messages.iter().find(fits) {
                Some(message) => Ok(message.clone()),
                None => bail!("its Events say:\n{}", messages.join("\n")),
            }
        };
        until(&format!("an Event of {object} says {words:?}"), limit, look).await
    }

    /// The messages of an object's Events, each with its reason.
    pub async fn events(&self, object: &str) -> Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.client(), self.namespace());
        let of_object = ListParams::default().fields(&format!("involvedObject.name={object}"));
        let list = events.list(&of_object).await?;
        let line = |event: Event| {
            format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default())
        };
        Ok(list.into_iter().map(line).collect())
    }
}

/// Whether all containers of a pod are Ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn phase(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_else(|| "without a phase".into())
}
