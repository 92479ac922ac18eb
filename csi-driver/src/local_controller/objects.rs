//! The seams on a real API server. It is asked each time, but for figures: volumes are made and deleted rarely, and a stale
//! answer could make one twice. Waiting is a watch of the one object.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use workspacefs_api::local_volume::{
    DISCARD_FILES_ANNOTATION, LOCAL_VOLUME_FINALIZER, LOCAL_VOLUME_NAME_LABEL,
};
use workspacefs_api::volume::is_uid;
use workspacefs_api::{LocalStorage, LocalVolume};

use super::progress::is_marked;
use super::seams::{ApiError, LocalStorages, LocalVolumes, NodeState, Nodes, Until, Waited};
use crate::controller::lookup::{ANSWER_SECONDS_MAX, is_name};
use crate::local::storages::Storages;

/// As the API server records who changed what.
const FIELD_MANAGER: &str = "workspacefs-csi-controller";
/// Between two attempts to watch, and to write what somebody else has changed meanwhile.
const PAUSE: Duration = Duration::from_millis(500);
/// Attempts to mark an object, and to take a finalizer off.
const ATTEMPTS: usize = 4;

/// The objects of the cluster behind a client.
#[derive(Clone)]
pub struct ApiObjects {
    client: Client,
    /// What a watch of this process has seen.
    seen: Storages,
}

impl ApiObjects {
    /// Asks through `client`; `seen` is kept current by whoever runs the process.
    pub fn new(client: Client, seen: Storages) -> Self {
        Self { client, seen }
    }

    fn volumes(&self) -> Api<LocalVolume> {
        Api::all(self.client.clone())
    }
}

#[async_trait]
impl LocalStorages for ApiObjects {
    async fn by_name(&self, name: &str) -> Result<Option<Arc<LocalStorage>>, ApiError> {
        // A name goes into a URL's path: what is no name names nothing.
        if !is_name(name) {
            return Ok(None);
        }
        let api: Api<LocalStorage> = Api::all(self.client.clone());
        Ok(answer("read the LocalStorage", api.get_opt(name)).await?.map(Arc::new))
    }

    async fn seen(&self, name: &str) -> Result<Option<Arc<LocalStorage>>, ApiError> {
        match self.seen.current() {
            Some(known) => Ok(known.get(name).cloned()),
            // The watch has not begun yet.
            None => self.by_name(name).await,
        }
    }
}

#[async_trait]
impl LocalVolumes for ApiObjects {
    async fn get(&self, name: &str) -> Result<Option<LocalVolume>, ApiError> {
        if !is_uid(name) {
            return Ok(None);
        }
        answer("read the LocalVolume", self.volumes().get_opt(name)).await
    }

    async fn labelled(&self, value: &str) -> Result<Vec<LocalVolume>, ApiError> {
        // Without a version: what etcd has now.
        let params = ListParams::default().labels(&format!("{LOCAL_VOLUME_NAME_LABEL}={value}"));
        Ok(answer("list LocalVolumes", self.volumes().list(&params)).await?.items)
    }

    async fn create(&self, volume: &LocalVolume) -> Result<Option<LocalVolume>, ApiError> {
        let by_us = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let (api, action) = (self.volumes(), "create a LocalVolume");
        let created = async {
            match api.create(&by_us, volume).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
                answer => answer.map(Some),
            }
        };
        answer(action, created).await
    }

    async fn delete(&self, volume: &LocalVolume) -> Result<(), ApiError> {
        self.edit(volume, "mark the LocalVolume for deletion", marked).await?;
        if volume.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let this = Preconditions { uid: volume.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(this), ..DeleteParams::default() };
        let (api, name) = (self.volumes(), volume.name_any());
        let deleted = async {
            match api.delete(&name, &params).await {
                // It is gone; or another has its name, and so it is gone.
                Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
                answer => answer.map(drop),
            }
        };
        answer("delete the LocalVolume", deleted).await
    }

    async fn resize(&self, volume: &LocalVolume, size_bytes: i64) -> Result<LocalVolume, ApiError> {
        // Over exactly the version that was read: what its node has said meanwhile makes this a conflict.
        let patch = json!({
            "metadata": {"resourceVersion": volume.metadata.resource_version, "uid": volume.metadata.uid},
            "spec": {"sizeBytes": size_bytes},
        });
        let (api, name, params) = (self.volumes(), volume.name_any(), by_us());
        answer("change the size of the LocalVolume", api.patch(&name, &params, &Patch::Merge(&patch))).await
    }

    async fn release(&self, volume: &LocalVolume) -> Result<(), ApiError> {
        self.edit(volume, "take the finalizer off the LocalVolume", released).await
    }

    async fn wait(&self, name: &str, until: Until, deadline: Instant) -> Result<Waited, ApiError> {
        let mut failure = None;
        let came = async {
            loop {
                let condition = |volume: Option<&LocalVolume>| until(volume);
                match await_condition(self.volumes(), name, condition).await {
                    Ok(volume) => return volume.map(Box::new),
                    Err(error) => failure = Some(error),
                }
                sleep(PAUSE).await;
            }
        };
        let came = timeout_at(deadline, came).await;
        match (came, failure) {
            (Ok(volume), _) => Ok(Waited::Came(volume)),
            (Err(_), None) => Ok(Waited::Late),
            (Err(_), Some(error)) => {
                Err(ApiError::NoAnswer { action: "watch the LocalVolume", source: Box::new(error) })
            }
        }
    }
}

/// What of an object's metadata is to be another; None where it is so already.
type Change = fn(&ObjectMeta) -> Option<Value>;

impl ApiObjects {
    async fn edit(&self, volume: &LocalVolume, action: &'static str, change: Change) -> Result<(), ApiError> {
        for _ in 1..ATTEMPTS {
            match self.try_edit(volume, action, change).await {
                Err(ApiError::Overtaken) => sleep(PAUSE).await,
                done => return done,
            }
        }
        self.try_edit(volume, action, change).await
    }

    async fn try_edit(
        &self,
        volume: &LocalVolume,
        action: &'static str,
        change: Change,
    ) -> Result<(), ApiError> {
        let api: Api<PartialObjectMeta<LocalVolume>> = Api::all(self.client.clone());
        let name = volume.name_any();
        // Its version may have changed since it was seen: its node writes too.
        let fresh = answer("read the LocalVolume", api.get_metadata_opt(&name)).await?;
        let Some(fresh) = fresh.filter(|fresh| fresh.metadata.uid == volume.metadata.uid) else {
            return Ok(());
        };
        let Some(mut new) = change(&fresh.metadata) else { return Ok(()) };
        // Over exactly the version that was read: a finalizer that somebody adds meanwhile makes this a conflict.
        new["resourceVersion"] = json!(fresh.metadata.resource_version);
        let (patch, params) = (Patch::Merge(json!({"metadata": new})), by_us());
        let edited = async {
            match api.patch(&name, &params, &patch).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                answer => answer.map(drop),
            }
        };
        answer(action, edited).await
    }
}

/// With the mark, by which its node knows that the files are to go. And with the finalizer, which an uninstall has taken off: without
/// it the object would be gone before its node has moved them away.
fn marked(meta: &ObjectMeta) -> Option<Value> {
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    // What is being deleted takes no new one.
    let is_held = meta.deletion_timestamp.is_some() || finalizers.iter().any(|f| f == LOCAL_VOLUME_FINALIZER);
    if is_marked(meta) && is_held {
        return None;
    }
    let mut new = json!({"annotations": {DISCARD_FILES_ANNOTATION: "true"}});
    if !is_held {
        let all = finalizers.iter().map(String::as_str).chain([LOCAL_VOLUME_FINALIZER]);
        new["finalizers"] = all.collect::<Vec<&str>>().into();
    }
    Some(new)
}

/// Without our finalizer.
fn released(meta: &ObjectMeta) -> Option<Value> {
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    let rest: Vec<&String> = finalizers.iter().filter(|f| *f != LOCAL_VOLUME_FINALIZER).collect();
    (rest.len() < finalizers.len()).then(|| json!({"finalizers": rest}))
}

#[async_trait]
impl Nodes for ApiObjects {
    async fn state(&self, name: &str) -> Result<NodeState, ApiError> {
        // Names come from objects that nodes write.
        if !is_name(name) {
            return Ok(NodeState::Absent);
        }
        let api: Api<Node> = Api::all(self.client.clone());
        let node = answer("read the Node", api.get_opt(name)).await?;
        Ok(node.as_ref().map_or(NodeState::Absent, state))
    }
}

fn state(node: &Node) -> NodeState {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    match conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True") {
        true => NodeState::Ready,
        false => NodeState::NotReady,
    }
}

fn by_us() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

async fn answer<T>(
    action: &'static str,
    answer: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    match timeout(Duration::from_secs(ANSWER_SECONDS_MAX), answer).await {
        Ok(answer) => answer.map_err(|error| failure(action, error)),
        Err(_) => {
            let source = format!("nothing within {ANSWER_SECONDS_MAX} s").into();
            Err(ApiError::NoAnswer { action, source })
        }
    }
}

fn failure(action: &'static str, error: kube::Error) -> ApiError {
    let answered = match &error {
        kube::Error::Api(status) if status.is_conflict() => return ApiError::Overtaken,
        // "Too many requests", and what an API server says that cannot reach its etcd, are no answers.
        kube::Error::Api(status) => (400..500).contains(&status.code) && status.code != 429,
        // It answered, in words that are not understood.
        kube::Error::SerdeError(_) => true,
        _ => false,
    };
    let source: Box<dyn Error + Send + Sync> = Box::new(error);
    match answered {
        true => ApiError::Refused { action, source },
        false => ApiError::NoAnswer { action, source },
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeCondition, NodeStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_api_server_refuses_is_told_apart_from_what_it_did_not_answer() {
        let failed = |code: u16, reason: &str| {
            let status = Status { code, reason: reason.into(), ..Default::default() };
            failure("do it", kube::Error::Api(Box::new(status)))
        };
        for (code, reason) in [(403, "Forbidden"), (404, "NotFound"), (422, "Invalid")] {
            assert!(matches!(failed(code, reason), ApiError::Refused { .. }), "{code}");
        }
        for (code, reason) in [(429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")]
        {
            assert!(matches!(failed(code, reason), ApiError::NoAnswer { .. }), "{code}");
        }
        assert!(matches!(failed(409, "Conflict"), ApiError::Overtaken));
    }

    #[test]
    fn what_is_deleted_is_marked_and_held_but_what_is_leaving_takes_no_finalizer() {
        let meta = |is_marked: bool, finalizers: &[&str], is_leaving: bool| ObjectMeta {
            annotations: is_marked.then(|| [(DISCARD_FILES_ANNOTATION.to_owned(), "true".to_owned())].into()),
            finalizers: Some(finalizers.iter().map(|one| (*one).to_owned()).collect()),
            deletion_timestamp: is_leaving.then_some(Time(Timestamp::UNIX_EPOCH)),
            ..ObjectMeta::default()
        };
        let (ours, mark) = (LOCAL_VOLUME_FINALIZER, json!({DISCARD_FILES_ANNOTATION: "true"}));
        for (meta, wanted) in [
            (meta(false, &[ours], false), Some(json!({"annotations": mark}))),
            (meta(false, &["a"], false), Some(json!({"annotations": mark, "finalizers": ["a", ours]}))),
            (meta(true, &[], false), Some(json!({"annotations": mark, "finalizers": [ours]}))),
            (meta(false, &["a"], true), Some(json!({"annotations": mark}))),
            (meta(true, &[ours], false), None),
            (meta(true, &["a"], true), None),
        ] {
            assert_eq!(marked(&meta), wanted, "{meta:?}");
        }
        assert_eq!(released(&meta(true, &["a", ours, "b"], true)), Some(json!({"finalizers": ["a", "b"]})));
        assert_eq!(released(&meta(true, &["a"], true)), None);
    }

    #[test]
    fn a_node_is_ready_only_if_kubernetes_says_so() {
        let with = |type_: &str, status: &str| Node {
            status: Some(NodeStatus {
                conditions: Some(vec![NodeCondition {
                    type_: type_.into(),
                    status: status.into(),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(state(&with("Ready", "True")), NodeState::Ready);
        for node in
            [with("Ready", "False"), with("Ready", "Unknown"), with("DiskPressure", "True"), Node::default()]
        {
            assert_eq!(state(&node), NodeState::NotReady);
        }
    }
}
