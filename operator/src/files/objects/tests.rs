//! The objects, whole, as they go to the API server, and what must hold whatever the FileSystem is.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use workspacefs_testkit::builders::{managed, nfs};

use super::*;

const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

fn identity(name: &str) -> Identity {
    Identity { namespace: "team-a".into(), name: name.into(), uid: UID.into() }
}

fn spec(value: Value) -> FileSystemSpec {
    serde_json::from_value(value).unwrap()
}

fn made(config: &FilesConfig, name: &str, spec: &FileSystemSpec, tolerations: Vec<Value>) -> Value {
    let shop = Shop { config, node_group_label: "example.com/pool", namespace: "workspacefs-system" };
    let keys = ["a2V5".to_string()];
    deployment(
        &shop,
        &identity(name),
        spec,
        &Parts { print: "0123456789abcdef", public_keys: &keys, tolerations },
    )
}

fn plain(spec: Value) -> Value {
    made(&FilesConfig::default(), "data", &self::spec(spec), Vec::new())
}

#[test]
fn the_deployment_of_a_managed_file_system() {
    insta::assert_yaml_snapshot!(plain(managed("10Gi")));
}

#[test]
fn the_deployment_of_a_dedicated_file_system_with_an_owner_and_every_value_set() {
    let config = FilesConfig {
        image: "registry.example.com/files:1".into(),
        pull_policy: "Always".into(),
        pull_secrets: vec!["my-registry".into()],
        trash_days: 0,
        upload_days: 2,
        allow_endpoints: vec!["10.0.0.0/8".into(), "minio.storage.svc".into()],
        ..FilesConfig::default()
    };
    let mut spec = nfs("nfs.example.com", 2049);
    spec["nodeGroup"] = json!("gpu");
    spec["owner"] = json!({"uid": 1000, "gid": 2000, "mode": "0750"});
    let toleration = json!({"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"});
    insta::assert_yaml_snapshot!(made(&config, "data", &self::spec(spec), vec![toleration]));
}

#[test]
fn the_service_and_the_network_policy() {
    let config = FilesConfig::default();
    let shop = Shop { config: &config, node_group_label: "g", namespace: "workspacefs-system" };
    insta::assert_yaml_snapshot!([service(&identity("data")), network_policy(&shop, &identity("data"))]);
}

#[test]
fn a_claim_of_another_driver_is_mounted_as_it_is() {
    let pod = plain(json!({"backend": {"persistentVolumeClaim": {"claimName": "theirs"}}}));
    let volume = &pod["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!(*volume, json!({"name": "data", "persistentVolumeClaim": {"claimName": "theirs"}}));
}

#[test]
fn every_field_is_one_that_the_api_knows_and_nothing_is_lost_on_the_way() {
    fn there_and_back<K: serde::de::DeserializeOwned + serde::Serialize>(wish: Value) {
        let typed: K = serde_json::from_value(wish.clone()).unwrap();
        let back = serde_json::to_value(typed).unwrap();
        assert!(crate::filesystem::own::covers(&back, &wish), "{back:#}\n{wish:#}");
    }
    let config = FilesConfig::default();
    let shop = Shop { config: &config, node_group_label: "g", namespace: "s" };
    there_and_back::<Deployment>(plain(managed("10Gi")));
    there_and_back::<Service>(service(&identity("data")));
    there_and_back::<NetworkPolicy>(network_policy(&shop, &identity("data")));
}

#[test]
fn whatever_the_owner_the_pod_has_no_privilege_and_no_token() {
    for uid in [0_u32, 1, 1000, u32::MAX] {
        let mut spec = managed("1Gi");
        spec["owner"] = json!({"uid": uid, "gid": 5});
        let pod = plain(spec)["spec"]["template"]["spec"].take();
        let (of_pod, container) = (&pod["securityContext"], &pod["containers"][0]["securityContext"]);
        assert_eq!((&of_pod["runAsUser"], &of_pod["runAsGroup"]), (&json!(uid), &json!(5)));
        assert_eq!(of_pod["runAsNonRoot"], json!(uid != 0));
        assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault");
        assert!(of_pod["fsGroup"].is_null(), "kubelet would give another driver's files away");
        assert_eq!(container["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(
            (&container["readOnlyRootFilesystem"], &container["allowPrivilegeEscalation"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(pod["automountServiceAccountToken"], json!(false));
        assert_eq!(pod["containers"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn the_longest_names_make_names_that_the_api_server_takes() {
    for length in [1, 57, 58, 63] {
        let name = "a".repeat(length);
        let deployment = made(&FilesConfig::default(), &name, &spec(managed("1Gi")), Vec::new());
        let made = deployment["metadata"]["name"].as_str().unwrap();
        assert!(made.len() <= 63, "{made}");
        let labels = deployment["spec"]["template"]["metadata"]["labels"].as_object().unwrap();
        assert!(labels.values().all(|value| value.as_str().unwrap().len() <= 63));
        // Whose it is stands in the volume, in full.
        let volume = &deployment["spec"]["template"]["spec"]["volumes"][0];
        assert_eq!(volume["csi"]["volumeAttributes"], json!({"fileSystem": name, "cache": "off"}));
    }
}

#[test]
fn what_kubelet_would_expand_is_said_as_it_is() {
    let mut spec = spec(managed("1Gi"));
    spec.owner = Some(workspacefs_api::Owner { mode: "$(X)".into(), ..Default::default() });
    let config = FilesConfig::default();
    let container = &made(&config, "data", &spec, Vec::new())["spec"]["template"]["spec"]["containers"][0];
    assert!(container["args"].as_array().unwrap().contains(&json!("--mode=$$(X)")));
}

#[test]
fn another_certificate_or_another_key_means_other_pods_and_another_digest() {
    let config = FilesConfig::default();
    let shop = Shop { config: &config, node_group_label: "g", namespace: "s" };
    let with = |print: &str, key: &str| {
        let keys = [key.to_string()];
        let parts = Parts { print, public_keys: &keys, tolerations: Vec::new() };
        deployment(&shop, &identity("data"), &spec(managed("1Gi")), &parts)
    };
    let first = with("a", "k");
    for other in [with("b", "k"), with("a", "l")] {
        assert_ne!(first["spec"]["template"], other["spec"]["template"]);
        assert_ne!(first["metadata"]["annotations"], other["metadata"]["annotations"]);
        assert_eq!(first["spec"]["selector"], other["spec"]["selector"], "immutable");
    }
}

#[test]
fn an_object_is_ours_by_label_and_owner_both() {
    let fs = identity("data");
    let ours: Service = serde_json::from_value(service(&fs)).unwrap();
    assert!(is_of(&ours, UID) && !is_of(&ours, "another"));
    let mut labelled = ours.clone();
    labelled.metadata.owner_references = None;
    let mut owned = ours;
    owned.metadata.labels = None;
    assert!(!is_of(&labelled, UID) && !is_of(&owned, UID));
}
