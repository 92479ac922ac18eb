//! `files` are switched off: whatever an operator that ran them has left is taken away, once after each start. It is found by
//! its labels; the Secret of a workspace, which nobody may list, by what else is there. So that goes first, and what tells of
//! the namespace last: killed anywhere, the next sweep finds the rest.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use workspacefs_api::files::{FILES_CA_CONFIG_MAP, FILES_SECRET, GATEWAY_SECRET};
use workspacefs_runtime::CancellationToken;

use super::{keys, objects};
use crate::backoff;
use crate::child;
use crate::error::{PassError, chain};
use crate::server::secrets::is_ours;

const STEP: &str = "take away what ran files";

/// Tries until it is done, or `shutdown`.
pub async fn run(client: Client, namespace: &str, shutdown: CancellationToken) {
    for failures in 1.. {
        let swept = shutdown.run_until_cancelled(sweep(&client, namespace)).await;
        let error = match swept {
            None => return,
            Some(Ok(0)) => return,
            Some(Ok(count)) => return tracing::info!(count, "files are switched off: what ran them is gone"),
            Some(Err(error)) => error,
        };
        tracing::warn!(error = chain(&error), "files are switched off, but something of them may be left");
        let wait = backoff::delay(error.kind(), failures, backoff::chance());
        tokio::select! { () = sleep(wait) => {}, () = shutdown.cancelled() => return }
    }
}

/// How many objects are gone.
async fn sweep(client: &Client, own: &str) -> Result<usize, PassError> {
    let deployments = left::<Deployment>(client).await?;
    let policies = left::<NetworkPolicy>(client).await?;
    let services = left::<Service>(client).await?;
    let spaces = deployments.iter().filter_map(ResourceExt::namespace);
    let spaces = spaces.chain(policies.iter().filter_map(ResourceExt::namespace));
    let spaces: BTreeSet<String> = spaces.chain(services.iter().filter_map(ResourceExt::namespace)).collect();
    let mut count = 0;
    // The pods first: they have the Secret, and may use it to their end.
    count += delete_all(client, &deployments).await?;
    for space in &spaces {
        count += delete_named::<Secret>(client, space, FILES_SECRET).await?;
    }
    count += delete_all(client, &policies).await?;
    count += delete_all(client, &services).await?;
    for secret in [keys::AUTHORITY, GATEWAY_SECRET] {
        count += delete_named::<Secret>(client, own, secret).await?;
    }
    Ok(count + delete_named::<ConfigMap>(client, own, FILES_CA_CONFIG_MAP).await?)
}

async fn left<K>(client: &Client) -> Result<Vec<K>, PassError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let labelled = ListParams::default().labels(&objects::common_selector());
    let listed = Api::<K>::all(client.clone()).list(&labelled).await;
    Ok(listed.map_err(PassError::api("look for what ran files"))?.items)
}

async fn delete_all<K>(client: &Client, objects: &[K]) -> Result<usize, PassError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    for object in objects {
        let namespace = object.namespace().unwrap_or_default();
        child::delete(&Api::<K>::namespaced(client.clone(), &namespace), object, STEP).await?;
    }
    Ok(objects.len())
}

async fn delete_named<K>(client: &Client, namespace: &str, name: &str) -> Result<usize, PassError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(PassError::api("look for what ran files"))?;
    match found.filter(is_ours) {
        Some(object) => child::delete(&api, &object, STEP).await.map(|()| 1),
        None => Ok(0),
    }
}
