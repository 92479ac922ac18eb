//! Workspace → its default FileSystem.

use serde_json::{Value, json};
use workspacefs_testkit::builders;

use crate::world::*;

const WORKSPACE: [(&str, &str); 1] = [("workspacefs.io/workspace", "true")];

fn default_of(api: &workspacefs_testkit::FakeApi, namespace: &str) -> Option<workspacefs_api::FileSystem> {
    file_system(api, namespace, "default")
}

#[tokio::test]
async fn a_workspace_gets_its_default_file_system_and_other_namespaces_do_not() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let namespace = api.put(&builders::namespace("work", &WORKSPACE));
    let _operator = Operator::start(&api, "a", config_with_default(nfs.port));
    api.until("the default FileSystem", |api| default_of(api, "work").is_some()).await;
    let fs = default_of(&api, "work").unwrap();
    let uid = namespace.metadata.uid.unwrap();
    assert_eq!(at(&fs, "/spec/backend/nfs/folder"), format!("work-{uid}"));
    assert_eq!(at(&fs, "/metadata/labels/app.kubernetes.io~1managed-by"), "workspacefs");
    // A namespace becomes a workspace by its label.
    api.settled(QUIET).await;
    assert!(default_of(&api, SPACE).is_none());
    api.edit("Namespace", "", SPACE, |ns| {
        ns["metadata"]["labels"]["workspacefs.io/workspace"] = json!("true")
    });
    api.until("the new workspace's FileSystem", |api| default_of(api, SPACE).is_some()).await;
}

#[tokio::test]
async fn one_that_is_there_is_left_alone_whoever_made_it() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    api.put(&builders::namespace("work", &WORKSPACE));
    api.put(&builders::file_system("work", "default", builders::nfs("10.0.0.1", 1)));
    api.put(&builders::namespace("other", &WORKSPACE));
    let _operator = Operator::start(&api, "a", config_with_default(nfs.port));
    api.until("the other workspace's", |api| default_of(api, "other").is_some()).await;
    api.settled(QUIET).await;
    assert_eq!(at(&default_of(&api, "work").unwrap(), "/spec/backend/nfs/server"), "10.0.0.1");
    // Also one of ours that was changed since.
    api.edit("FileSystem", "other", "default", |fs| fs["spec"]["mountOptions"] = json!(["soft"]));
    api.edit("Namespace", "", "other", |ns| ns["metadata"]["annotations"] = json!({"a": "b"}));
    api.settled(QUIET).await;
    assert_eq!(at(&default_of(&api, "other").unwrap(), "/spec/mountOptions"), json!(["soft"]));
}

#[tokio::test]
async fn a_deleted_one_is_made_again() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    api.put(&builders::namespace("work", &WORKSPACE));
    let _operator = Operator::start(&api, "a", config_with_default(nfs.port));
    api.until("the default FileSystem", |api| default_of(api, "work").is_some()).await;
    let first = default_of(&api, "work").unwrap();
    api.settled(QUIET).await;
    api.delete("FileSystem", "work", "default");
    api.until("another", |api| {
        default_of(api, "work").is_some_and(|fs| fs.metadata.uid != first.metadata.uid)
    })
    .await;
}

#[tokio::test]
async fn without_a_template_nothing_is_made() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    api.put(&builders::namespace("work", &WORKSPACE));
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    api.settled(QUIET).await;
    assert!(default_of(&api, "work").is_none());
}

#[tokio::test]
async fn a_namespace_made_again_gets_another_folder() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let _operator = Operator::start(&api, "a", config_with_default(nfs.port));
    let folder = |api: &workspacefs_testkit::FakeApi| {
        default_of(api, "work").map(|fs| at(&fs, "/spec/backend/nfs/folder")).unwrap_or_default()
    };
    api.put(&builders::namespace("work", &WORKSPACE));
    api.until("the first", |api| folder(api).is_string()).await;
    let first = folder(&api);
    api.settled(QUIET).await;
    api.delete("Namespace", "", "work");
    api.until("its end", |api| api.find::<Value>("Namespace", "", "work").is_none()).await;
    api.put(&builders::namespace("work", &WORKSPACE));
    api.until("the second", |api| folder(api).is_string()).await;
    assert_ne!(folder(&api), first);
}
