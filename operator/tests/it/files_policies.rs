//! The chart's policies let pass what the operator makes for `files`, and nothing else. See [`crate::policy`].

use serde_json::{Value, json};
use workspacefs_operator::files::config::{FilesConfig, RsyncConfig};
use workspacefs_operator::files::objects::{Parts, Shop, common_labels, deployment, network_policy, service};
use workspacefs_operator::filesystem::objects::Identity;
use workspacefs_testkit::builders;

use crate::policy::Asked;
use crate::world::SYSTEM;

const OBJECTS: &str = "workspacefs-files-objects";
const PODS: &str = "workspacefs-files-pods";

fn identity() -> Identity {
    let uid = "0f8fad5b-d9cb-469f-a165-70867728950e".into();
    Identity { namespace: "team-a".into(), name: "data".into(), uid }
}

/// What the operator makes of a FileSystem with that spec.
fn made(spec: Value) -> Value {
    let rsync = Some(RsyncConfig { expose: true, ..RsyncConfig::default() });
    let config = FilesConfig { pull_secrets: vec!["s".into()], rsync, ..FilesConfig::default() };
    let shop = Shop { config: &config, node_group_label: "group", namespace: SYSTEM };
    let keys = ["a2V5".to_string()];
    let toleration = json!({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"});
    let parts = Parts { public_keys: &keys, tolerations: vec![toleration], renewed: Some("1") };
    deployment(&shop, &identity(), &serde_json::from_value(spec).unwrap(), &parts)
}

/// One with everything that a FileSystem can have.
fn full() -> Value {
    let mut spec = builders::nfs("s", 2049);
    spec["nodeGroup"] = json!("gpu");
    spec["owner"] = json!({"uid": 1000, "gid": 1000, "mode": "0750"});
    made(spec)
}

fn secret(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}})
}

#[test]
fn what_the_operator_makes_passes() {
    let of_claim = made(json!({"backend": {"persistentVolumeClaim": {"claimName": "theirs"}}}));
    for object in [full(), made(builders::managed("1Gi")), of_claim] {
        for asked in [
            Asked::create("deployments", object.clone()),
            Asked::update("deployments", object.clone(), object.clone()),
        ] {
            assert_eq!(asked.refused(OBJECTS), Vec::<String>::new());
            assert_eq!(asked.refused(PODS), Vec::<String>::new());
        }
        assert_eq!(Asked::delete("deployments", object).refused(OBJECTS), Vec::<String>::new());
    }
    let config = FilesConfig::default();
    let shop = Shop { config: &config, node_group_label: "group", namespace: SYSTEM };
    for (resource, object) in [
        ("services", service(&config, &identity())),
        ("networkpolicies", network_policy(&shop, &identity())),
        ("secrets", secret("workspacefs-files", common_labels())),
    ] {
        for asked in [
            Asked::create(resource, object.clone()),
            Asked::update(resource, object.clone(), object.clone()),
            Asked::delete(resource, object),
        ] {
            assert_eq!(asked.refused(OBJECTS), Vec::<String>::new(), "{resource} {}", asked.operation);
        }
    }
    // In its own namespace it has Secrets of other names.
    let own = secret("workspacefs-gateway", json!({"app.kubernetes.io/managed-by": "workspacefs"}));
    let own = Asked { namespace: SYSTEM, ..Asked::create("secrets", own) };
    assert_eq!(own.refused(OBJECTS), Vec::<String>::new());
}

#[test]
fn objects_of_others_are_neither_made_nor_changed_nor_deleted() {
    let mut theirs = full();
    theirs["metadata"]["labels"] = json!({"app": "theirs"});
    let mut unmarked = full();
    unmarked["metadata"]["labels"].as_object_mut().unwrap().remove("app.kubernetes.io/managed-by");
    // What somebody made of ours can be put right, and deleted with its FileSystem.
    for asked in [
        Asked::update("deployments", unmarked.clone(), full()),
        Asked::delete("deployments", unmarked.clone()),
    ] {
        assert_eq!(asked.refused(OBJECTS), Vec::<String>::new(), "{}", asked.operation);
    }
    let mut renamed = full();
    renamed["metadata"]["name"] = json!("database");
    for asked in [
        Asked::create("deployments", renamed.clone()),
        Asked::delete("deployments", renamed),
        Asked::delete("deployments", theirs.clone()),
        Asked::update("deployments", full(), unmarked.clone()),
        // One does not become ours by being changed.
        Asked::update("deployments", theirs.clone(), full()),
        Asked::create("secrets", secret("token", common_labels())),
        Asked::delete("secrets", secret("workspacefs-files", json!({}))),
    ] {
        assert_eq!(asked.refused(OBJECTS).len(), 1, "{} {}", asked.operation, asked.resource);
    }
    assert_eq!(Asked::update("deployments", full(), theirs).refused(OBJECTS).len(), 2);
    let open = |field: &str, value: Value| {
        let mut service = service(&FilesConfig::default(), &identity());
        service["spec"][field] = value;
        Asked::create("services", service).refused(OBJECTS).len()
    };
    assert_eq!(open("type", json!("LoadBalancer")), 1);
    assert_eq!(open("externalIPs", json!(["192.0.2.1"])), 1);
}

#[test]
fn a_pod_with_a_right_a_privilege_or_another_volume_is_refused() {
    let with = |path: &str, value: Value| {
        let mut object = full();
        let (parent, field) = path.rsplit_once('/').unwrap();
        let parent = format!("/spec/template/spec{parent}");
        object.pointer_mut(&parent).unwrap()[field] = value;
        let made = Asked::create("deployments", object.clone()).refused(PODS).len();
        assert_eq!(Asked::update("deployments", full(), object).refused(PODS).len(), made);
        made
    };
    let context = "/containers/0/securityContext";
    for (path, value) in [
        ("/automountServiceAccountToken".into(), json!(true)),
        ("/automountServiceAccountToken".into(), Value::Null),
        ("/serviceAccountName".into(), json!("admin")),
        ("/hostNetwork".into(), json!(true)),
        ("/hostPID".into(), json!(true)),
        ("/hostIPC".into(), json!(true)),
        ("/volumes".into(), json!([{"name": "v", "hostPath": {"path": "/"}}])),
        ("/volumes".into(), json!([{"name": "v", "secret": {"secretName": "token"}}])),
        ("/volumes".into(), json!([{"name": "v", "projected": {"sources": []}}])),
        ("/volumes".into(), json!([{"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io"}}])),
        ("/initContainers".into(), json!([{"name": "i", "image": "x"}])),
        (
            "/containers".into(),
            json!([full()["spec"]["template"]["spec"]["containers"][0], {"name": "b", "image": FilesConfig::default().image}]),
        ),
        (format!("{context}/privileged"), json!(true)),
        (format!("{context}/allowPrivilegeEscalation"), json!(true)),
        (format!("{context}/capabilities"), json!({"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
        (format!("{context}/capabilities"), json!({})),
        ("/containers/0/securityContext".into(), json!({})),
        ("/containers/0/image".into(), json!("registry.example.com/other:1")),
        (
            "/containers/0/env".into(),
            json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}}]),
        ),
        ("/containers/0/envFrom".into(), json!([{"secretRef": {"name": "t"}}])),
    ] {
        assert_eq!(with(&path, value.clone()), 1, "{path} {value}");
    }
}

#[test]
fn a_deployment_that_belongs_to_no_file_system_is_refused() {
    let owners = |owners: Value| {
        let mut object = full();
        object["metadata"]["ownerReferences"] = owners;
        Asked::create("deployments", object).refused(PODS).len()
    };
    assert_eq!(owners(full()["metadata"]["ownerReferences"].clone()), 0);
    for none in [
        Value::Null,
        json!([]),
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}]),
        json!([{"apiVersion": "example.com/v1", "kind": "FileSystem", "name": "f", "uid": "u"}]),
    ] {
        assert_eq!(owners(none.clone()), 1, "{none}");
    }
}

#[test]
fn beside_files_runs_rsync_alone_by_its_own_image_and_name() {
    assert_eq!(Asked::create("deployments", full()).refused(PODS), Vec::<String>::new());
    for (path, value) in [
        ("/spec/template/spec/containers/1/image", json!("registry.example.com/other:1")),
        ("/spec/template/spec/containers/1/name", json!("other")),
        ("/spec/template/spec/containers/0/image", json!("workspacefs.io/rsync:dev")),
        (
            "/spec/template/spec/containers/1/securityContext/capabilities",
            json!({"drop": ["ALL"], "add": ["CHOWN"]}),
        ),
        ("/spec/template/spec/volumes/2/emptyDir", json!({})),
    ] {
        let mut object = full();
        *object.pointer_mut(path).unwrap() = value;
        assert_eq!(Asked::create("deployments", object).refused(PODS).len(), 1, "{path}");
    }
    let mut three = full();
    let containers = three["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    containers.push(containers[1].clone());
    assert_eq!(Asked::create("deployments", three).refused(PODS).len(), 1);
}
