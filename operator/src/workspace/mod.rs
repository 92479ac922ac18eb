//! Workspace → its default FileSystem: made once from the template, then the administrators'; made again when it is deleted.

pub mod controller;
pub mod template;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{PartialObjectMeta, PostParams};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use workspacefs_api::FileSystem;

use self::template::Template;
use crate::FIELD_MANAGER;
use crate::child::namespace_is_ending;
use crate::error::PassError;
use crate::filesystem::own::MANAGED_BY;
use crate::reconciler::{Held, Next, Reconciler};

/// The name of the FileSystem that every workspace has.
pub const DEFAULT_FILE_SYSTEM: &str = "default";

/// Reconciles namespaces that are workspaces.
pub struct Workspaces {
    client: Client,
    /// FileSystems named `default`.
    defaults: Store<PartialObjectMeta<FileSystem>>,
    template: Template,
}

impl Reconciler for Workspaces {
    type Object = Namespace;
    const KIND: &'static str = "Workspace";

    async fn apply(&self, namespace: &Namespace) -> Result<Next, PassError> {
        self.defaults.wait_until_ready().await.map_err(|_| PassError::WatchEnded)?;
        let name = namespace.name_any();
        let there = self.defaults.get(&ObjectRef::new(DEFAULT_FILE_SYSTEM).within(&name)).is_some();
        if there || namespace.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done(None));
        }
        let uid = namespace.uid().ok_or(PassError::Incomplete("uid"))?;
        let mut fs = FileSystem::new(DEFAULT_FILE_SYSTEM, self.template.fill(&name, &uid));
        fs.labels_mut().insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
        let by_us = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        // Created, never applied: one that is there, whoever made it, is not ours to change.
        match Api::namespaced(self.client.clone(), &name).create(&by_us, &fs).await {
            Ok(_) => tracing::info!("default FileSystem made"),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => {
                let error = PassError::api("make the default FileSystem")(error);
                // Deleted a moment ago: its own watch has not told us yet.
                if !namespace_is_ending(&error) {
                    return Err(error);
                }
            }
        }
        Ok(Next::Done(None))
    }

    async fn cleanup(&self, _: &Namespace) -> Result<Next, PassError> {
        Ok(Next::Done(None))
    }

    /// What is in a namespace goes with it; nothing of ours must hold it.
    fn held(&self, _: &Namespace) -> Option<Held<Namespace>> {
        None
    }
}
