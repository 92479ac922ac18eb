//! The objects, whole, as they go to the API server, and what must hold whatever the FileSystem is.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use workspacefs_testkit::builders::{managed, nfs};

use super::*;
use crate::files::config::RsyncConfig;

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
    deployment(&shop, &identity(name), spec, &Parts { public_keys: &keys, tolerations, renewed: None })
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
    insta::assert_yaml_snapshot!([
        service(&config, &identity("data")),
        network_policy(&shop, &identity("data"))
    ]);
}

#[test]
fn a_claim_of_another_driver_is_mounted_as_it_is() {
    let pod = plain(json!({"backend": {"persistentVolumeClaim": {"claimName": "theirs"}}}));
    let volume = &pod["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!(*volume, json!({"name": "data", "persistentVolumeClaim": {"claimName": "theirs"}}));
}

/// Whoever has taken all of the API's connections has not had the process restarted by that.
#[test]
fn no_probe_needs_a_connection_of_the_api() {
    let container = &plain(managed("1Gi"))["spec"]["template"]["spec"]["containers"][0];
    for probe in ["livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!((&asked["port"], &asked["scheme"]), (&json!("metrics"), &json!("HTTP")), "{probe}");
    }
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
    let exposed = with_rsync(true);
    there_and_back::<Deployment>(made(&exposed, "data", &spec(managed("1Gi")), Vec::new()));
    there_and_back::<Service>(service(&exposed, &identity("data")));
    there_and_back::<NetworkPolicy>(network_policy(&Shop { config: &exposed, ..shop }, &identity("data")));
    there_and_back::<Service>(service(&config, &identity("data")));
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
fn another_key_of_the_gateway_means_other_pods_and_another_digest() {
    let config = FilesConfig::default();
    let shop = Shop { config: &config, node_group_label: "g", namespace: "s" };
    let with = |key: &str| {
        let keys = [key.to_string()];
        let parts = Parts { public_keys: &keys, tolerations: Vec::new(), renewed: None };
        deployment(&shop, &identity("data"), &spec(managed("1Gi")), &parts)
    };
    let (first, other) = (with("k"), with("l"));
    assert_ne!(first["spec"]["template"], other["spec"]["template"]);
    assert_ne!(first["metadata"]["annotations"], other["metadata"]["annotations"]);
    assert_eq!(first["spec"]["selector"], other["spec"]["selector"], "immutable");
}

/// Only a volume of its own is renewed in a pod that runs: neither a file mounted by `subPath` nor an environment is.
#[test]
fn a_renewed_certificate_comes_to_the_pod_that_runs() {
    let deployment = plain(managed("1Gi"));
    let template = &deployment["spec"]["template"];
    assert!(!template["metadata"].to_string().contains("certificate"), "{template}");
    let mounts = template["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    let tls = mounts.iter().find(|mount| mount["name"] == "tls").unwrap();
    assert_eq!(*tls, json!({"name": "tls", "mountPath": TLS, "readOnly": true}));
    let args = template["spec"]["containers"][0]["args"].to_string();
    assert!(args.contains("--tls-cert=/tls/tls.crt") && args.contains("--tls-key=/tls/tls.key"), "{args}");
}

#[test]
fn an_object_is_ours_by_label_and_owner_both() {
    let fs = identity("data");
    let ours: Service = serde_json::from_value(service(&FilesConfig::default(), &fs)).unwrap();
    assert!(is_of(&ours, UID) && !is_of(&ours, "another"));
    let mut labelled = ours.clone();
    labelled.metadata.owner_references = None;
    let mut owned = ours;
    owned.metadata.labels = None;
    assert!(!is_of(&labelled, UID) && !is_of(&owned, UID));
}

/// With the rsync daemon.
fn with_rsync(expose: bool) -> FilesConfig {
    FilesConfig { rsync: Some(RsyncConfig { expose, ..RsyncConfig::default() }), ..FilesConfig::default() }
}

fn pod_with(config: &FilesConfig) -> Value {
    let mut spec = managed("10Gi");
    spec["owner"] = json!({"uid": 1000, "gid": 2000, "mode": "0750"});
    made(config, "data", &self::spec(spec), Vec::new())["spec"]["template"]["spec"].take()
}

#[test]
fn the_rsync_daemon_is_a_second_container_with_the_files_and_nothing_else() {
    let pod = pod_with(&with_rsync(false));
    insta::assert_yaml_snapshot!(pod["containers"][1]);
    let mounts = |number: usize| -> Vec<Value> {
        pod["containers"][number]["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount["name"].clone())
            .collect()
    };
    assert_eq!(
        (mounts(0), mounts(1)),
        (vec![json!("data"), json!("tls"), json!("rsync")], vec![json!("data"), json!("rsync")])
    );
    assert_eq!(pod["containers"][0]["securityContext"], pod["containers"][1]["securityContext"]);
    assert_eq!(pod["automountServiceAccountToken"], json!(false));
    assert_eq!(
        pod["volumes"][2],
        json!({"name": "rsync", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
    );
    assert!(pod["containers"][0]["args"].as_array().unwrap().contains(&json!("--rsync=/run/rsync")));
}

#[test]
fn only_where_it_is_exposed_the_daemon_has_a_port_for_others() {
    let has_port = |config: &FilesConfig| {
        let shop = Shop { config, node_group_label: "g", namespace: "s" };
        let port = |list: &Value| list.to_string().contains("8873");
        let found = [
            port(&pod_with(config)),
            port(&service(config, &identity("data"))),
            port(&network_policy(&shop, &identity("data"))),
        ];
        assert!(found.iter().all(|has| *has == found[0]), "{found:?}");
        found[0]
    };
    assert!(
        !has_port(&FilesConfig::default()) && !has_port(&with_rsync(false)) && has_port(&with_rsync(true))
    );
    let args = pod_with(&with_rsync(true))["containers"][1]["args"].take();
    for said in ["--expose=0.0.0.0:8873", "--user=team-a", "--mode=0750"] {
        assert!(args.as_array().unwrap().contains(&json!(said)), "{args}");
    }
    let exposed = with_rsync(true);
    let service: Value = service(&exposed, &identity("data"));
    assert_eq!(service["spec"]["type"], "ClusterIP");
}

#[test]
fn a_word_of_the_file_system_has_an_exposed_daemon_start_anew_and_no_other() {
    let template = |config: &FilesConfig, renewed| {
        let shop = Shop { config, node_group_label: "g", namespace: "s" };
        let parts = Parts { public_keys: &[], tolerations: Vec::new(), renewed };
        deployment(&shop, &identity("data"), &spec(managed("1Gi")), &parts)["spec"]["template"].take()
    };
    for (config, differs) in
        [(with_rsync(true), true), (with_rsync(false), false), (FilesConfig::default(), false)]
    {
        assert_eq!(template(&config, Some("1")) != template(&config, Some("2")), differs);
        assert_eq!(template(&config, Some("1")) != template(&config, None), differs);
    }
}
