//! What makes a pass over a workspace happen: the namespace changed, or its default FileSystem came or went.

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{trigger_self, trigger_with};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use workspacefs_api::FileSystem;
use workspacefs_runtime::CancellationToken;

use super::template::Template;
use super::{DEFAULT_FILE_SYSTEM, Workspaces};
use crate::metrics::Metrics;
use crate::reconciler;

/// Runs until `shutdown`.
pub async fn run(
    client: Client,
    selector: &str,
    template: Template,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    if template.shares_one_folder() {
        tracing::warn!(
            "the default FileSystem's folder has neither {{workspace}} nor {{workspaceUID}}: all workspaces share one folder"
        );
    }
    let (store, writer) = reflector::store();
    let namespaces =
        watcher(Api::<Namespace>::all(client.clone()), watcher::Config::default().labels(selector))
            .default_backoff()
            .modify(|object| object.managed_fields_mut().clear())
            .reflect(writer)
            .applied_objects();

    let (defaults, writer) = reflector::store();
    let only_defaults = watcher::Config::default().fields(&format!("metadata.name={DEFAULT_FILE_SYSTEM}"));
    let changed = watcher(Api::<PartialObjectMeta<FileSystem>>::all(client.clone()), only_defaults)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let known = store.clone();
    let changed = trigger_with(changed, move |fs| {
        let workspace = ObjectRef::<Namespace>::new(&fs.namespace().unwrap_or_default());
        known.get(&workspace).map(|_| workspace)
    });

    let queue = stream::select_all([trigger_self(namespaces, ()).boxed(), changed.boxed()]);
    let workspaces = Workspaces { client, defaults, template };
    reconciler::run(workspaces, store, queue, metrics, shutdown).await;
}
