//! `files` of each FileSystem: what runs them, what is said of them, and their end.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};
use workspacefs_api::files::{
    FILES_CA_CONFIG_MAP, FILES_SECRET, GATEWAY_SECRET, certificate_entry, key_entry, object_name,
};
use workspacefs_operator::config::Config;
use workspacefs_operator::files::config::{FilesConfig, RsyncConfig};
use workspacefs_testkit::{FakeApi, Fault, Moment, Request, Verb, builders};

use crate::world::*;

const NAME: &str = "files-data";

/// With `files`.
pub fn files_config() -> Config {
    Config { files: Some(FilesConfig::default()), ..config() }
}

/// What runs the files of FileSystem `data`, if it is there.
pub fn deployment(api: &FakeApi) -> Option<Deployment> {
    api.find("Deployment", SPACE, NAME)
}

/// As the Deployment's controller does once its pod is ready.
pub fn have_it_run(api: &FakeApi, name: &str) {
    api.edit("Deployment", SPACE, name, |deployment| {
        let generation = deployment["metadata"]["generation"].clone();
        deployment["status"] = json!({
            "observedGeneration": generation, "availableReplicas": 1, "updatedReplicas": 1, "replicas": 1,
        });
    });
}

/// A pod as the Deployment of `data` makes it, on a node.
fn put_pod(api: &FakeApi, name: &str) {
    let template = at(&deployment(api).unwrap(), "/spec/template");
    let mut pod = builders::running_pod(SPACE, name, template["spec"]["volumes"].clone());
    pod.metadata.labels = serde_json::from_value(template["metadata"]["labels"].clone()).unwrap();
    api.put(&pod);
}

fn secret(api: &FakeApi) -> Option<Secret> {
    api.find("Secret", SPACE, FILES_SECRET)
}

fn uid(api: &FakeApi, name: &str) -> String {
    file_system(api, SPACE, name).unwrap().metadata.uid.unwrap()
}

/// Waits until FilesReady of FileSystem `data` has that reason.
async fn until_files(api: &FakeApi, reason: &str) -> String {
    until_reason(api, "data", "FilesReady", reason).await
}

#[tokio::test]
async fn each_file_system_gets_what_runs_its_files_and_the_condition_follows_its_pod() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", files_config());
    assert_eq!(until_files(&api, "Starting").await, "its pod starts");
    let uid = uid(&api, "data");
    let entries: Vec<String> = secret(&api).unwrap().data.unwrap().into_keys().collect();
    assert_eq!(entries, [certificate_entry(&uid), key_entry(&uid)]);
    assert!(api.find::<Service>("Service", SPACE, NAME).is_some());
    assert!(api.find::<NetworkPolicy>("NetworkPolicy", SPACE, NAME).is_some());
    assert!(api.find::<Secret>("Secret", SYSTEM, GATEWAY_SECRET).is_some());
    assert!(api.find::<Value>("ConfigMap", SYSTEM, FILES_CA_CONFIG_MAP).is_some());
    have_it_run(&api, NAME);
    until_files(&api, "Running").await;
    assert_eq!(condition(&api, "data", "FilesReady").unwrap().status, "True");
    api.edit("Deployment", SPACE, NAME, |deployment| deployment["status"]["availableReplicas"] = json!(0));
    until_files(&api, "Starting").await;
}

#[tokio::test]
async fn nobody_makes_a_pod_that_could_not_mount() {
    let api = api().await;
    // There is no embedded server.
    api.put(&builders::file_system(SPACE, "data", builders::managed("1Gi")));
    let _operator = Operator::start(&api, "a", files_config());
    let message = until_files(&api, "Starting").await;
    assert!(message.contains("itself"), "{message}");
    api.settled(QUIET).await;
    assert!(deployment(&api).is_none() && secret(&api).is_none());
}

#[tokio::test]
async fn when_all_is_well_passes_ask_and_write_nothing() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    have_it_run(&api, NAME);
    until_files(&api, "Running").await;
    until_reason(&api, "data", "Reachable", "Answered").await;
    api.settled(QUIET).await;
    let (before, asked) = (requests(&api), nfs.calls());
    while nfs.calls() < asked + 3 {
        tokio::time::sleep(QUIET).await;
    }
    let after = requests(&api);
    assert_eq!(before.len(), after.len(), "{:?}", &after[before.len()..]);
    // Nor does an operator that starts write anything.
    operator.stop().await;
    let (before, asked) = (writes(&api).len(), nfs.calls());
    let _operator = Operator::start(&api, "a", files_config());
    while nfs.calls() < asked + 3 {
        tokio::time::sleep(QUIET).await;
    }
    assert_eq!(writes(&api).len(), before, "{:#?}", &writes(&api)[before..]);
}

#[tokio::test]
async fn what_a_quota_refuses_is_told_and_not_tried_again_at_once() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    drop(api.trap(0, Moment::Before, Fault::Status(403), |r: &Request| r.resource == "deployments"));
    let _operator = Operator::start(&api, "a", files_config());
    let message = until_files(&api, "Forbidden").await;
    assert!(message.contains("injected by the test"), "{message}");
    until_bound(&api, "data").await;
    // Passes come with every change and every answer of the server; none of them tries.
    let tries = |api: &FakeApi| {
        writes(api).iter().filter(|r| r.resource == "deployments" && r.verb == Verb::Create).count()
    };
    assert_eq!(tries(&api), 1);
    let asked = nfs.calls();
    while nfs.calls() < asked + 5 {
        tokio::time::sleep(QUIET).await;
    }
    assert_eq!(tries(&api), 1);
    api.until("it is tried again in the end", |api| deployment(api).is_some()).await;
}

#[tokio::test]
async fn what_keeps_the_pod_away_is_told_with_one_event() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    for try_ in 0..3 {
        let message =
            format!("pods \"files-data-{try_}\" is forbidden: exceeded quota: q, requested: pods=1");
        let failure =
            json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message});
        api.edit("Deployment", SPACE, NAME, |d| d["status"] = json!({"conditions": [failure]}));
        until_files(&api, "QuotaExceeded").await;
        api.settled(QUIET).await;
    }
    let told = event_reasons(&api).into_iter().filter(|reason| reason == "FilesNotReady").count();
    assert_eq!(told, 1, "{:?}", event_reasons(&api));
    api.edit("Deployment", SPACE, NAME, |d| d["status"] = json!({}));
    put_pod(&api, "files-data-x");
    let unplaced =
        json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"});
    api.edit("Pod", SPACE, "files-data-x", |pod| {
        pod["status"] = json!({"phase": "Pending", "conditions": [unplaced]})
    });
    until_files(&api, "NotScheduled").await;
}

#[tokio::test]
async fn what_others_made_under_its_names_is_left_alone_and_said() {
    for (kind, api_version) in
        [("Deployment", "apps/v1"), ("Service", "v1"), ("NetworkPolicy", "networking.k8s.io/v1")]
    {
        let (api, nfs) = (api().await, NfsServer::start().await);
        let theirs: Value = api.put(&json!({
            "apiVersion": api_version, "kind": kind, "metadata": {"namespace": SPACE, "name": NAME}, "spec": {},
        }));
        put_nfs(&api, "data", nfs.port);
        let _operator = Operator::start(&api, "a", files_config());
        let message = until_files(&api, "NameTaken").await;
        assert!(message.contains(kind) && message.contains(NAME), "{message}");
        api.delete("FileSystem", SPACE, "data");
        api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
        assert_eq!(api.find::<Value>(kind, SPACE, NAME).unwrap(), theirs, "{kind}");
    }
}

#[tokio::test]
async fn what_somebody_changes_or_deletes_comes_back() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    let container = "/spec/template/spec/containers/0/image";
    let made = at(&deployment(&api).unwrap(), container);
    api.edit("Deployment", SPACE, NAME, |deployment| {
        *deployment.pointer_mut(container).unwrap() = json!("theirs");
        deployment["metadata"]["generation"] = json!(2);
    });
    api.until("the image is back", |api| at(&deployment(api).unwrap(), container) == made).await;
    api.edit("Service", SPACE, NAME, |service| service["spec"]["selector"] = json!({"app": "theirs"}));
    api.until("the Service selects it", |api| {
        let service: Service = api.find("Service", SPACE, NAME).unwrap();
        at(&service, "/spec/selector")["app.kubernetes.io/component"] == "files"
    })
    .await;
    for kind in ["Deployment", "Service", "NetworkPolicy"] {
        assert!(api.delete(kind, SPACE, NAME));
        api.until("it is made again", |api| api.find::<Value>(kind, SPACE, NAME).is_some()).await;
    }
}

#[tokio::test]
async fn what_a_webhook_makes_of_the_deployment_is_not_fought() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    // As if it had come so from the API server: the generation is that of our own write.
    api.edit("Deployment", SPACE, NAME, |deployment| {
        *deployment.pointer_mut("/spec/template/spec/containers/0/image").unwrap() =
            json!("mirror/files:dev");
    });
    let generation = at(&deployment(&api).unwrap(), "/metadata/generation");
    assert_eq!(generation, json!(1), "an edit of the test's is no write");
    api.settled(QUIET).await;
    let asked = nfs.calls();
    while nfs.calls() < asked + 3 {
        tokio::time::sleep(QUIET).await;
    }
    assert!(!writes(&api).iter().any(|r| r.resource == "deployments" && r.verb == Verb::Update));
}

#[tokio::test]
async fn another_signing_key_reaches_every_pod() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    put_nfs(&api, "more", nfs.port);
    let operator = Operator::start(&api, "a", files_config());
    let keys = |api: &FakeApi| -> Vec<String> {
        let all = api.all("Deployment");
        let arguments = all
            .iter()
            .flat_map(|d| d["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap());
        arguments
            .filter_map(Value::as_str)
            .filter(|a| a.starts_with("--public-key="))
            .map(String::from)
            .collect()
    };
    api.until("both run", |api| keys(api).len() == 2).await;
    let old = keys(&api);
    assert_eq!(old[0], old[1]);
    operator.stop().await;
    api.delete("Secret", SYSTEM, GATEWAY_SECRET);
    let _operator = Operator::start(&api, "a", files_config());
    api.until("both have another", |api| keys(api).iter().all(|key| !old.contains(key))).await;
}

#[tokio::test]
async fn a_dedicated_file_system_runs_on_its_group_whatever_its_nodes_are_tainted_with() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let mut node = builders::node("gpu-1", "True");
    node.metadata.labels = Some([("workspacefs.io/node-group".to_string(), "gpu".to_string())].into());
    let taint = json!({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"});
    node.spec = Some(serde_json::from_value(json!({"taints": [taint]})).unwrap());
    api.put(&node);
    let mut spec = builders::nfs("127.0.0.1", nfs.port);
    spec["nodeGroup"] = json!("gpu");
    api.put(&builders::file_system(SPACE, "data", spec));
    let _operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    let pod = |api: &FakeApi| at(&deployment(api).unwrap(), "/spec/template/spec");
    assert_eq!(pod(&api)["nodeSelector"]["workspacefs.io/node-group"], "gpu");
    assert_eq!(pod(&api)["tolerations"][0]["key"], "nvidia.com/gpu");
    api.edit("Node", "", "gpu-1", |node| {
        node["spec"]["taints"] = json!([{"key": "other", "effect": "NoExecute"}])
    });
    api.until("it follows", |api| pod(api)["tolerations"][0]["key"] == "other").await;
    // A group that is empty for a while changes nothing: nobody knows what its next node will be like.
    api.delete("Node", "", "gpu-1");
    api.settled(QUIET).await;
    assert_eq!(pod(&api)["tolerations"][0]["key"], "other");
}

#[tokio::test]
async fn a_file_system_with_the_longest_name_runs_too() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let name = "a".repeat(63);
    put_nfs(&api, &name, nfs.port);
    let _operator = Operator::start(&api, "a", files_config());
    until_reason(&api, &name, "FilesReady", "Starting").await;
    let made = object_name(&name, &uid(&api, &name));
    assert!(made.len() <= 63);
    assert!(api.find::<Service>("Service", SPACE, &made).is_some());
    have_it_run(&api, &made);
    until_reason(&api, &name, "FilesReady", "Running").await;
}

#[tokio::test]
async fn its_own_pods_go_before_anybody_waits_for_users() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    put_nfs(&api, "other", nfs.port);
    let _operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    until_reason(&api, "other", "FilesReady", "Starting").await;
    put_pod(&api, "files-data-x");
    api.delete("FileSystem", SPACE, "data");
    api.until("what runs it is gone", |api| deployment(api).is_none()).await;
    let waits = until_reason(&api, "data", "Ready", "Terminating").await;
    assert!(waits.contains("pod of its files"), "{waits}");
    assert!(condition(&api, "data", "InUse").is_none(), "its own pod is no user");
    // As the garbage collector does.
    api.delete("Pod", SPACE, "files-data-x");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
    for kind in ["Service", "NetworkPolicy"] {
        let names: Vec<Value> = api.all(kind).iter().map(|o| o["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["files-other"], "{kind}");
    }
    let entries: Vec<String> = secret(&api).unwrap().data.unwrap().into_keys().collect();
    let other = uid(&api, "other");
    assert_eq!(entries, [certificate_entry(&other), key_entry(&other)]);
    api.delete("FileSystem", SPACE, "other");
    api.until("the Secret goes with the last", |api| secret(api).is_none()).await;
}

#[tokio::test]
async fn what_may_not_be_deleted_is_told() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    put_pod(&api, "files-data-x");
    api.forbid(|r| r.resource == "deployments" && r.verb == Verb::Delete);
    api.delete("FileSystem", SPACE, "data");
    let waits = until_reason(&api, "data", "Ready", "Terminating").await;
    assert!(waits.contains("nobody has told it to: cannot delete what runs its files"), "{waits}");
}

#[tokio::test]
async fn users_are_named_and_what_runs_the_files_has_gone_all_the_same() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    put_pod(&api, "files-data-x");
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    api.put(&builders::running_pod(SPACE, "user", volumes));
    api.delete("FileSystem", SPACE, "data");
    let message = until_reason(&api, "data", "InUse", "PodsUseIt").await;
    assert!(message.starts_with("1 pod uses it: user."), "{message}");
    assert!(deployment(&api).is_none());
}

#[tokio::test]
async fn a_claim_of_another_driver_is_mounted_as_such_and_not_held_by_its_own_pod() {
    let api = api().await;
    let spec = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "theirs"});
    let claim_ref = json!({"namespace": SPACE, "name": "theirs"});
    api.put(&builders::volume("theirs", json!({"csi": {"driver": "x", "volumeHandle": "h"}, "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}, "claimRef": claim_ref})));
    api.put(&builders::claim(SPACE, "theirs", spec));
    api.put(&builders::file_system(
        SPACE,
        "data",
        json!({"backend": {"persistentVolumeClaim": {"claimName": "theirs"}}}),
    ));
    let _operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    let volume = at(&deployment(&api).unwrap(), "/spec/template/spec/volumes/0/persistentVolumeClaim");
    assert_eq!(volume["claimName"], "theirs");
    put_pod(&api, "files-data-x");
    api.delete("FileSystem", SPACE, "data");
    until_reason(&api, "data", "Ready", "Terminating").await;
    assert!(condition(&api, "data", "InUse").is_none());
    api.delete("Pod", SPACE, "files-data-x");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
    assert!(claim(&api, SPACE, "theirs").is_some());
}

#[tokio::test]
async fn switched_off_everything_goes_and_the_condition_says_so() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    // Of others, with a label like ours or a name.
    let labels = [
        json!({"app.kubernetes.io/component": "files"}),
        json!({"app.kubernetes.io/component": "files", "app.kubernetes.io/managed-by": "workspacefs"}),
    ];
    let theirs = labels.map(|labels| {
        let name = format!("files-theirs-{}", labels.as_object().unwrap().len());
        api.put(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "spec": {},
            "metadata": {"namespace": SPACE, "name": name, "labels": labels},
        }))
    });
    let operator = Operator::start(&api, "a", files_config());
    until_files(&api, "Starting").await;
    operator.stop().await;
    // Without being asked to, it looks at nobody's Deployments.
    let before = api.all("Deployment");
    let operator = Operator::start(&api, "off", config());
    until_files(&api, "Disabled").await;
    api.settled(QUIET).await;
    operator.stop().await;
    let of_files = |r: &Request| {
        matches!(r.resource, "deployments" | "services" | "networkpolicies" | "secrets" | "configmaps")
    };
    assert!(!api.requests().iter().any(|r| r.client == "off" && of_files(r)));
    assert_eq!(api.all("Deployment"), before);
    api.forbid(|r| r.resource == "deployments" && r.verb == Verb::Delete);
    let _operator = Operator::start(&api, "a", Config { files_clean_up: true, ..config() });
    api.until("it goes past what it may not touch", |api| api.all("NetworkPolicy").is_empty()).await;
    assert!(deployment(&api).is_some());
    api.permit();
    api.until("all is gone", |api| {
        deployment(api).is_none()
            && secret(api).is_none()
            && api.find::<Value>("Service", SPACE, NAME).is_none()
            && api.all("NetworkPolicy").is_empty()
            && api.all("Secret").is_empty()
            && api.all("ConfigMap").is_empty()
    })
    .await;
    assert_eq!(api.all("Deployment"), theirs);
    until_bound(&api, "data").await;
}

#[tokio::test]
async fn without_files_nothing_is_said_of_them() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    let _operator = Operator::start(&api, "a", config());
    until_bound(&api, "data").await;
    api.settled(QUIET).await;
    assert!(condition(&api, "data", "FilesReady").is_none());
    assert!(api.all("Deployment").is_empty() && api.all("Secret").is_empty());
}

#[tokio::test]
async fn rights_that_are_missing_harm_nothing_but_the_files() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    put_nfs(&api, "data", nfs.port);
    // Of every write that has to do with files, as where RBAC is older than the operator.
    let mut traps = Vec::new();
    for _ in 0..40 {
        let of_files = |r: &Request| matches!(r.resource, "secrets" | "configmaps" | "deployments");
        traps.push(api.trap(0, Moment::Before, Fault::Status(403), of_files));
    }
    let _operator = Operator::start(&api, "a", files_config());
    until_bound(&api, "data").await;
    until_reason(&api, "data", "Reachable", "Answered").await;
    let message = until_files(&api, "Starting").await;
    assert!(message.contains("workspacefs-files-authority"), "{message}");
    api.delete("FileSystem", SPACE, "data");
    api.until("it is gone", |api| file_system(api, SPACE, "data").is_none()).await;
}

#[test]
fn what_the_chart_writes_into_the_configuration_is_what_the_operator_has_by_itself() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/rendered/files.yaml");
    let rendered = std::fs::read_to_string(file).unwrap();
    let map = rendered.split("\n---").find(|object| object.contains("kind: ConfigMap")).unwrap();
    let map: Value = serde_saphyr::from_str(map).unwrap();
    let config = Config::parse(map["data"]["config.yaml"].as_str().unwrap()).unwrap();
    // They are rendered with rsync, which is off by itself.
    let rsync = Some(RsyncConfig::default());
    assert_eq!(config.files, Some(FilesConfig { rsync, ..FilesConfig::default() }));
}
