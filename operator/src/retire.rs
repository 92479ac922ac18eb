//! What an uninstall begins with. Without the node plugin kubelet could unmount nothing, so it does not begin while pods use
//! FileSystems or LocalStorages. Then the operator is stopped, its lease taken, the pods of `files`, which are its own, ended, and
//! what holds both kinds, and LocalVolumes, taken off them: nobody would be left to do it, and neither their namespaces nor their kinds could ever end. No file, no volume and no
//! node's label is touched. Each step can be repeated, and be cut.

use std::collections::HashSet;
use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use kube::api::{DeleteParams, ListParams, ObjectList, PartialObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;
use tokio::time::timeout;
use workspacefs_api::fs_cache::FS_CACHE_FINALIZER;
use workspacefs_api::local_storage::LOCAL_STORAGE_FINALIZER;
use workspacefs_api::local_volume::LOCAL_VOLUME_FINALIZER;
use workspacefs_api::{
    DRIVER, FILES_FINALIZER, FINALIZER, FileSystem, FsCache, LOCAL_DRIVER, LocalStorage, LocalVolume,
};

use crate::error::{chain, is_refused};
use crate::files::objects::{common_selector, is_made, is_made_pod};
use crate::filesystem::users;
use crate::lease::{Election, LostLease};
use crate::reconciler::set_finalizers;
use crate::{FIELD_MANAGER, Replica};

/// The Deployment that runs the operator.
const DEPLOYMENT: &str = "workspacefs-operator";
const PAGE: u32 = 500;
/// How long the pods of `files` may take to end: longer than their grace, shorter than an uninstall's patience.
const FILES_TIME_MAX: Duration = Duration::from_secs(60);
/// For starting the operator again.
const BACK_TIME_MAX: Duration = Duration::from_secs(15);
/// How often it is looked whether they have.
const FILES_LOOK: Duration = Duration::from_millis(500);

/// Whose use of a FileSystem counts.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Whose {
    Everybodys,
    /// All but the pods of `files`.
    Others,
}

/// Why an uninstall must not go on.
#[derive(Debug, Error)]
pub enum RetireError {
    /// Pods have FileSystems or LocalStorages mounted.
    #[error(
        "{} FileSystems or local storage, and could not end without the node plugin: {}. Delete them, or scale what owns them to 0, and \
         uninstall again",
        if .0.len() == 1 { "1 pod uses".to_string() } else { format!("{} pods use", .0.len()) },
        users::named(.0)
    )]
    InUse(Vec<String>),
    /// The API server refused, or did not answer.
    #[error("cannot {step}")]
    Api {
        /// What was being done.
        step: &'static str,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// Somebody else took the lease.
    #[error("an operator works again")]
    Lease(#[source] LostLease),
    /// It took too long: an operator may still be running.
    #[error("not done within {0:?}; what was begun is completed by the next try")]
    Late(Duration),
}

fn failed(step: &'static str) -> impl FnOnce(kube::Error) -> RetireError {
    move |source| RetireError::Api { step, source: Box::new(source) }
}

/// Carries it out within `time_max`, as `replica`.
///
/// # Errors
/// [`RetireError`].
pub async fn retire(client: Client, replica: Replica, time_max: Duration) -> Result<(), RetireError> {
    let operators: Api<Deployment> = Api::namespaced(client.clone(), &replica.namespace);
    let mut were = None;
    let done = timeout(time_max, steps(client, replica, &operators, &mut were)).await;
    let done = done.unwrap_or(Err(RetireError::Late(time_max)));
    if let (Err(_), Some(replicas)) = (&done, were.filter(|replicas| *replicas > 0)) {
        // The uninstall does not go on, so the operator does.
        let back = timeout(BACK_TIME_MAX, scale(&operators, replicas)).await;
        if let Err(error) = back.unwrap_or(Err(RetireError::Late(BACK_TIME_MAX))) {
            tracing::error!(error = chain(&error), replicas, "the operator stays stopped: scale it up again");
        }
    }
    done
}

/// `were`: how many operators ran before this stopped them.
async fn steps(
    client: Client,
    replica: Replica,
    operators: &Api<Deployment>,
    were: &mut Option<i32>,
) -> Result<(), RetireError> {
    refuse_if_used(&client, Whose::Others).await?;
    let Replica { identity, namespace, times } = replica;
    *were = replicas(operators).await?;
    if were.is_some() {
        scale(operators, 0).await?;
    }
    let mut election = Election::new(client.clone(), &namespace, identity, times);
    election.acquire(|| {}).await;
    // Looked at again: between the first look and now pods may have come.
    let held = async {
        refuse_if_used(&client, Whose::Others).await?;
        end_files(&client).await?;
        refuse_if_used(&client, Whose::Everybodys).await?;
        take_finalizers_off::<FileSystem>(&client, Api::namespaced).await?;
        // What lies on their targets stays.
        take_finalizers_off::<FsCache>(&client, Api::namespaced).await?;
        take_finalizers_off::<LocalStorage>(&client, |client, _| Api::all(client)).await?;
        // Their files stay on the nodes' disks, also of those that are being deleted.
        take_finalizers_off::<LocalVolume>(&client, |client, _| Api::all(client)).await
    };
    let done = tokio::select! {
        done = held => done,
        lost = election.keep() => match lost {
            Ok(never) => match never {},
            Err(lost) => return Err(RetireError::Lease(lost)),
        },
    };
    election.release().await;
    done
}

/// How many operators there are to be. None where there is no such Deployment.
async fn replicas(operators: &Api<Deployment>) -> Result<Option<i32>, RetireError> {
    match operators.get_scale(DEPLOYMENT).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        scale => {
            let scale = scale.map_err(failed("read how many operators there are"))?;
            Ok(Some(scale.spec.and_then(|spec| spec.replicas).unwrap_or_default()))
        }
    }
}

/// Sets the number of operators, if their Deployment is there.
async fn scale(operators: &Api<Deployment>, replicas: i32) -> Result<(), RetireError> {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let by_us = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match operators.patch_scale(DEPLOYMENT, &by_us, &patch).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        scaled => {
            scaled.map_err(failed("scale the operator"))?;
            tracing::info!(replicas, "operator scaled");
            Ok(())
        }
    }
}

/// Has the pods of `files` end, and waits until they have, or for as long as that may take.
async fn end_files(client: &Client) -> Result<(), RetireError> {
    let labelled = || ListParams::default().labels(&common_selector());
    let everywhere: Api<Deployment> = Api::all(client.clone());
    let found = match all(everywhere, labelled()).await {
        // The chart gives the right only where `files` are or were run. Their pods, if there are any, are named by who looks next.
        Err(error) if is_refused(&error) => {
            tracing::warn!(error = chain(&error), "what runs files is not looked for");
            return Ok(());
        }
        found => found.map_err(failed("list what runs files"))?,
    };
    for deployment in found.iter().filter(|deployment| is_made(*deployment)) {
        let own: Api<Deployment> =
            Api::namespaced(client.clone(), &deployment.namespace().unwrap_or_default());
        let exactly = Preconditions { uid: deployment.uid(), resource_version: None };
        let how = DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() };
        match own.delete(&deployment.name_any(), &how).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) if is_refused(&error) => {
                let name = deployment.name_any();
                tracing::warn!(error = chain(&error), name, "what runs files is not deleted");
            }
            deleted => drop(deleted.map_err(failed("end what runs files"))?),
        }
    }
    let ended = async {
        loop {
            let live = labelled().fields("status.phase!=Succeeded,status.phase!=Failed");
            let pods: Vec<Pod> =
                all(Api::all(client.clone()), live).await.map_err(failed("list the pods of files"))?;
            if !pods.iter().any(is_made_pod) {
                return Ok(());
            }
            tokio::time::sleep(FILES_LOOK).await;
        }
    };
    // Those that do not are named by who looks next.
    timeout(FILES_TIME_MAX, ended).await.unwrap_or(Ok(()))
}

async fn refuse_if_used(client: &Client, whose: Whose) -> Result<(), RetireError> {
    let volumes: Vec<PersistentVolume> =
        all(Api::all(client.clone()), ListParams::default()).await.map_err(failed("list the volumes"))?;
    let claims: HashSet<(String, String)> = volumes.iter().filter_map(claim_of).collect();
    let live = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    let pods: Vec<Pod> = all(Api::all(client.clone()), live).await.map_err(failed("list the pods"))?;
    let counts = |pod: &&Pod| whose == Whose::Everybodys || !is_made_pod(pod);
    let mut users: Vec<String> =
        pods.iter().filter(counts).filter(|pod| uses(pod, &claims)).map(full_name).collect();
    users.sort_unstable();
    if users.is_empty() { Ok(()) } else { Err(RetireError::InUse(users)) }
}

/// Namespace and name of the claim that a volume of ours is for.
fn claim_of(volume: &PersistentVolume) -> Option<(String, String)> {
    let spec = volume
        .spec
        .as_ref()
        .filter(|spec| spec.csi.as_ref().is_some_and(|csi| is_our_driver(&csi.driver)))?;
    let claim = spec.claim_ref.as_ref()?;
    Some((claim.namespace.clone()?, claim.name.clone()?))
}

fn is_our_driver(name: &str) -> bool {
    [DRIVER, LOCAL_DRIVER].contains(&name)
}

/// Whether a pod has a volume of ours mounted, or may any moment.
fn uses(pod: &Pod, claims: &HashSet<(String, String)>) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let placed = spec.node_name.as_deref().is_some_and(|node| !node.is_empty());
    let ours = |claim: String| claims.contains(&(pod.namespace().unwrap_or_default(), claim));
    placed
        && !matches!(phase, Some("Succeeded" | "Failed"))
        && spec.volumes.iter().flatten().any(|volume| {
            let by_claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone());
            let of_its_own = volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name_any(), volume.name));
            by_claim.or(of_its_own).is_some_and(ours)
                || volume.csi.as_ref().is_some_and(|csi| is_our_driver(&csi.driver))
        })
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

/// Of every object of a kind, until a look at all of them finds none. `of` says how one of a namespace is written.
async fn take_finalizers_off<K>(
    client: &Client,
    of: impl Fn(Client, &str) -> Api<PartialObjectMeta<K>>,
) -> Result<(), RetireError>
where
    K: Resource<DynamicType = ()> + Clone + Debug,
{
    let everywhere: Api<PartialObjectMeta<K>> = Api::all(client.clone());
    loop {
        let listed = match all(everywhere.clone(), ListParams::default()).await {
            // The kind is gone, and with it every object.
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
            listed => listed.map_err(failed("list what is held"))?,
        };
        let held: Vec<_> =
            listed.iter().filter(|object| object.finalizers().iter().any(|name| is_ours(name))).collect();
        if held.is_empty() {
            return Ok(());
        }
        for object in held {
            let own = of(client.clone(), &object.namespace().unwrap_or_default());
            let left = object.finalizers().iter().filter(|name| !is_ours(name)).cloned().collect();
            match set_finalizers(&own, object.meta(), left).await {
                // Somebody was faster, or it is gone: the next look tells.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                set => set.map_err(failed("take the finalizers off"))?,
            }
        }
    }
}

fn is_ours(finalizer: &str) -> bool {
    let ours =
        [FINALIZER, FILES_FINALIZER, FS_CACHE_FINALIZER, LOCAL_STORAGE_FINALIZER, LOCAL_VOLUME_FINALIZER];
    ours.contains(&finalizer)
}

/// Every object, page by page.
async fn all<K>(api: Api<K>, selection: ListParams) -> Result<Vec<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let selection = selection.limit(PAGE);
    let (mut items, mut page) = (Vec::new(), selection.clone());
    loop {
        let ObjectList { items: some, metadata, .. } = api.list(&page).await?;
        items.extend(some);
        match metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = selection.clone().continue_token(&token),
            None => return Ok(items),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use workspacefs_testkit::builders::{running_pod, volume};

    use super::*;

    #[test]
    fn pods_with_a_claim_of_ours_or_inline_count_and_others_do_not() {
        let of = |driver: &str| {
            let claim = json!({"namespace": "a", "name": "data"});
            volume("v", json!({"csi": {"driver": driver, "volumeHandle": "x"}, "claimRef": claim}))
        };
        let ours = HashSet::from_iter(claim_of(&of(DRIVER)));
        assert_eq!((ours.len(), claim_of(&of("other"))), (1, None));
        assert_eq!(claim_of(&of(LOCAL_DRIVER)), claim_of(&of(DRIVER)));
        let by_claim = |name: &str| json!([{"name": "v", "persistentVolumeClaim": {"claimName": name}}]);
        let check = |namespace: &str, volumes: Value| uses(&running_pod(namespace, "p", volumes), &ours);
        assert!(check("a", by_claim("data")));
        assert!(!check("b", by_claim("data")), "another namespace's claim of that name");
        assert!(!check("a", by_claim("other")));
        assert!(check("b", json!([{"name": "v", "csi": {"driver": DRIVER}}])));
        assert!(!check("a", json!([{"name": "v", "csi": {"driver": "other"}}])));
        let template = json!([{"name": "v", "ephemeral": {}}]);
        let own = HashSet::from([("a".to_string(), "p-v".to_string())]);
        assert!(uses(&running_pod("a", "p", template.clone()), &own) && !check("a", template));
        let mut unplaced = running_pod("a", "p", by_claim("data"));
        unplaced.spec.as_mut().unwrap().node_name = None;
        assert!(!uses(&unplaced, &ours));
    }

    #[test]
    fn a_refusal_names_ten_pods_and_says_what_to_do() {
        let pods: Vec<String> = (0..12).map(|i| format!("a/p{i:02}")).collect();
        let message = RetireError::InUse(pods).to_string();
        assert!(
            message.starts_with("12 pods use FileSystems") && message.contains("a/p09 and 2 more"),
            "{message}"
        );
        assert!(RetireError::InUse(vec!["a/p".into()]).to_string().starts_with("1 pod uses F"));
    }
}
