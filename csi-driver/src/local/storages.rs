//! The LocalStorages of the cluster, and what one of them says of this node.

use std::sync::Arc;

use kube::runtime::watcher;
use kube::{Api, Client};
use workspacefs_api::LocalStorage;
use workspacefs_runtime::CancellationToken;

use super::watched;
use super::watched::Watched;

/// All LocalStorages.
pub type Storages = Watched<LocalStorage>;

/// By name.
pub type ByName = watched::ByName<LocalStorage>;

impl Watched<LocalStorage> {
    /// Follows them until `shutdown`.
    pub async fn follow(&self, client: Client, shutdown: CancellationToken) {
        self.follow_selected(Api::all(client), watcher::Config::default(), shutdown).await;
    }
}

/// The LocalStorage of that name, if it is still the one with that uid.
pub(super) fn find<'a>(storages: &'a ByName, name: &str, uid: &str) -> Option<&'a Arc<LocalStorage>> {
    storages.get(name).filter(|storage| storage.metadata.uid.as_deref() == Some(uid))
}
