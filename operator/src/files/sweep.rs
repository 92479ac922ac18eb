//! `files` are switched off: where the configuration asks for it, whatever an operator that ran them has left is taken away, once after
//! each start. It is found by its labels, and known by name and owner; the Secret of a workspace, which nobody may list, by what else is there. So that goes first, and what tells of
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

/// How many objects are gone. What we may not touch is gone past, and told at the end.
async fn sweep(client: &Client, own: &str) -> Result<usize, PassError> {
    let deployments = left::<Deployment>(client).await?;
    let policies = left::<NetworkPolicy>(client).await?;
    let services = left::<Service>(client).await?;
    let spaces = deployments.iter().filter_map(ResourceExt::namespace);
    let spaces = spaces.chain(policies.iter().filter_map(ResourceExt::namespace));
    let spaces: BTreeSet<String> = spaces.chain(services.iter().filter_map(ResourceExt::namespace)).collect();
    let mut swept = Swept::default();
    // The pods first: they have the Secret, and may use it to their end.
    swept.delete_all(client, &deployments).await?;
    for space in &spaces {
        swept.delete_named::<Secret>(client, space, FILES_SECRET).await?;
    }
    swept.delete_all(client, &policies).await?;
    swept.delete_all(client, &services).await?;
    for secret in [keys::AUTHORITY, GATEWAY_SECRET] {
        swept.delete_named::<Secret>(client, own, secret).await?;
    }
    swept.delete_named::<ConfigMap>(client, own, FILES_CA_CONFIG_MAP).await?;
    swept.refused.map_or(Ok(swept.count), Err)
}

async fn left<K>(client: &Client) -> Result<Vec<K>, PassError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let labelled = ListParams::default().labels(&objects::common_selector());
    let listed = Api::<K>::all(client.clone()).list(&labelled).await;
    let listed = listed.map_err(PassError::api("look for what ran files"))?;
    Ok(listed.items.into_iter().filter(objects::is_made).collect())
}

/// What came of it.
#[derive(Default)]
struct Swept {
    count: usize,
    /// The last refusal.
    refused: Option<PassError>,
}

impl Swept {
    async fn delete_all<K>(&mut self, client: &Client, objects: &[K]) -> Result<(), PassError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        for object in objects {
            let namespace = object.namespace().unwrap_or_default();
            let api = Api::<K>::namespaced(client.clone(), &namespace);
            self.add(child::delete(&api, object, STEP).await.map(|()| 1))?;
        }
        Ok(())
    }

    async fn delete_named<K>(&mut self, client: &Client, namespace: &str, name: &str) -> Result<(), PassError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api = Api::<K>::namespaced(client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(PassError::api("look for what ran files"));
        let gone = match found {
            Ok(found) => match found.filter(is_ours) {
                Some(object) => child::delete(&api, &object, STEP).await.map(|()| 1),
                None => Ok(0),
            },
            Err(error) => Err(error),
        };
        self.add(gone)
    }

    fn add(&mut self, gone: Result<usize, PassError>) -> Result<(), PassError> {
        match gone {
            Ok(count) => self.count += count,
            Err(error) if error.is_refused() => self.refused = Some(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
