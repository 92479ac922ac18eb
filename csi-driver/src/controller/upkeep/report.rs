//! Writes how full a share is into the status of the FileSystems on it: `status.usage` by server-side apply, under a field
//! manager that owns nothing else. The operator, which owns the rest of the status, leaves it alone and makes the condition
//! and the Events of it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::time::timeout;
use workspacefs_api::FileSystem;
use workspacefs_runtime::chain;

use super::decision;
use crate::controller::removal::Guarded;
use crate::share::Usage;

/// As the API server records whose the field is. Not the manager that says NotOurs: what one apply of a manager leaves out,
/// it takes back.
const FIELD_MANAGER: &str = "workspacefs-csi-controller-usage";
/// How long the API server may take.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// A status was not written; the next look tries again.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error("the API server did not take the status")]
    Refused(#[source] Box<kube::Error>),
    #[error("the API server did not answer within {} s", ANSWER_MAX.as_secs())]
    Late,
}

/// The statuses of FileSystems.
pub struct Statuses(Client);

impl Statuses {
    /// Behind that API server.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Tells these FileSystems how full their share is, where that is news.
    pub async fn tell(&self, file_systems: &[Arc<Guarded>], usage: &Usage) {
        let Some(new) = decision::figures(usage, Timestamp::now()) else {
            return;
        };
        for object in file_systems {
            let status = object.0.as_ref().ok().and_then(|fs| fs.status.as_ref());
            if !decision::is_worth_writing(status.and_then(|status| status.usage.as_ref()), &new) {
                continue;
            }
            let (namespace, name) = (object.meta().namespace.as_deref(), object.meta().name.as_deref());
            match self.write(object, &new).await {
                Ok(()) => {}
                // It is gone, or another of that name is there by now.
                Err(TellError::Refused(error)) if is_overtaken(&error) => {}
                Err(error) => {
                    tracing::warn!(namespace, name, cause = chain(&error), "its usage is not written");
                    // The others of this share would fare no better.
                    return;
                }
            }
        }
    }

    async fn write(&self, object: &Guarded, usage: &workspacefs_api::Usage) -> Result<(), TellError> {
        let meta = object.meta();
        let (Some(namespace), Some(name)) = (&meta.namespace, &meta.name) else {
            return Ok(());
        };
        let patch = json!({
            "apiVersion": FileSystem::api_version(&()), "kind": FileSystem::kind(&()),
            "metadata": {"name": name, "uid": meta.uid}, "status": {"usage": usage},
        });
        let api: Api<PartialObjectMeta<FileSystem>> = Api::namespaced(self.0.clone(), namespace);
        let by_us = PatchParams::apply(FIELD_MANAGER).force();
        match timeout(ANSWER_MAX, api.patch_status(name, &by_us, &Patch::Apply(&patch))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(TellError::Refused(Box::new(error))),
            Err(_) => Err(TellError::Late),
        }
    }
}

fn is_overtaken(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found() || status.is_conflict())
}
