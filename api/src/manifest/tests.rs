//! Exactly what is written, and what is refused.

use serde_json::json;

use super::*;

fn named(text: &str) -> Name {
    name(text).unwrap()
}

fn mount(what: What, from: &str, at: &str) -> Mount {
    Mount { what, from: RelativePath::parse(from).unwrap(), at: place(at).unwrap(), read_only: false }
}

fn of(kind: Kind) -> Manifest {
    let mut manifest = Manifest::new(kind, named("dev"), "busybox:1".into());
    manifest.mounts = vec![
        Mount { read_only: true, ..mount(What::FileSystem(named("default")), "/datasets/a", "/data") },
        mount(What::FileSystem(named("default")), "", "/home"),
    ];
    manifest
}

fn pod_of(object: &serde_json::Value) -> &serde_json::Value {
    if object["kind"] == "Pod" { &object["spec"] } else { &object["spec"]["template"]["spec"] }
}

#[test]
fn each_kind_holds_the_same_pod_and_one_volume_for_all_mounts_of_a_claim() {
    for (kind, kinds) in [
        (Kind::Pod, &["Pod"][..]),
        (Kind::Job, &["Job"]),
        (Kind::Deployment, &["Deployment"]),
        (Kind::Endpoint, &["Deployment", "Service"]),
        (Kind::DevPod, &["StatefulSet"]),
    ] {
        let objects = objects(&of(kind)).unwrap();
        let got: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert_eq!(got, kinds);
        let pod = pod_of(&objects[0]);
        let claim = json!([{"name": "files-1", "persistentVolumeClaim": {"claimName": "default"}}]);
        assert_eq!(pod["volumes"], claim, "{kind:?}");
        let mounts = json!([
            {"name": "files-1", "mountPath": "/data", "readOnly": true, "subPath": "datasets/a"},
            {"name": "files-1", "mountPath": "/home"},
        ]);
        assert_eq!(pod["containers"][0]["volumeMounts"], mounts, "{kind:?}");
    }
}

#[test]
fn an_endpoint_is_reached_by_its_service_and_a_dev_pod_waits() {
    let endpoint = objects(&Manifest { port: 9000, ..of(Kind::Endpoint) }).unwrap();
    let container = &pod_of(&endpoint[0])["containers"][0];
    assert_eq!(container["ports"], json!([{"name": "http", "containerPort": 9000}]));
    assert_eq!(endpoint[1]["spec"]["ports"], json!([{"name": "http", "port": 80, "targetPort": "http"}]));
    assert_eq!(endpoint[1]["spec"]["selector"], endpoint[0]["spec"]["selector"]["matchLabels"]);
    let dev = objects(&of(Kind::DevPod)).unwrap();
    assert_eq!(pod_of(&dev[0])["containers"][0]["command"], json!(["sleep", "infinity"]));
}

#[test]
fn local_storage_goes_with_a_node_group_and_as_a_whole() {
    let storage = || What::LocalStorage(named("nvme"));
    let mut manifest = of(Kind::Job);
    manifest.mounts.push(mount(storage(), "", "/scratch"));
    let refused = objects(&manifest).unwrap_err();
    assert_eq!(
        (refused.field().as_str(), &refused),
        ("nodeGroup", &ManifestError::NoNodeGroup { storage: "nvme".into() })
    );
    manifest.node_group = Some("gpu".into());
    let job = objects(&manifest).unwrap();
    assert_eq!(pod_of(&job[0])["nodeSelector"], json!({"workspacefs.io/node-group": "gpu"}));
    assert_eq!(pod_of(&job[0])["volumes"][1]["persistentVolumeClaim"]["claimName"], "nvme");
    manifest.mounts[2] = mount(storage(), "x", "/scratch");
    assert_eq!(objects(&manifest).unwrap_err().field(), "mounts[2].from");
}

#[test]
fn two_mounts_at_one_place_name_the_second() {
    let mut manifest = of(Kind::Pod);
    manifest.mounts.push(mount(What::FileSystem(named("more")), "", "/data/"));
    let refused = objects(&manifest).unwrap_err();
    assert_eq!(
        (refused.field().as_str(), refused.to_string().as_str()),
        ("mounts[2].as", "two mounts at /data")
    );
}

#[test]
fn inline_mounts_are_volumes_of_the_pod_and_local_storage_stays_a_claim() {
    let mut manifest = Manifest { inline: true, node_group: Some("gpu".into()), ..of(Kind::Pod) };
    manifest.mounts.push(mount(What::LocalStorage(named("nvme")), "", "/scratch"));
    let pod = &objects(&manifest).unwrap()[0]["spec"];
    let attributes = json!({"fileSystem": "default", "mountFrom": "/datasets/a"});
    let csi = json!({"driver": "csi.workspacefs.io", "readOnly": true, "volumeAttributes": attributes});
    assert_eq!(pod["volumes"][0], json!({"name": "inline-1", "csi": csi}));
    assert_eq!(pod["volumes"][2]["persistentVolumeClaim"]["claimName"], "nvme");
    assert!(pod["containers"][0]["volumeMounts"][0]["subPath"].is_null());
}

#[test]
fn warm_nodes_are_preferred_or_required_and_need_the_namespace() {
    let mut manifest = Manifest { caches: vec![named("warm")], ..of(Kind::Pod) };
    assert_eq!(objects(&manifest).unwrap_err(), ManifestError::NoNamespace);
    manifest.namespace = Some(named("team-a"));
    let affinity =
        |manifest: &Manifest| objects(manifest).unwrap()[0]["spec"]["affinity"]["nodeAffinity"].clone();
    let term = json!({"key": "cache.workspacefs.io/team-a.warm", "operator": "In", "values": ["ready"]});
    let preferred = affinity(&manifest)["preferredDuringSchedulingIgnoredDuringExecution"].clone();
    assert_eq!(preferred, json!([{"weight": 100, "preference": {"matchExpressions": [term]}}]));
    manifest.require_warm = true;
    let required = affinity(&manifest)["requiredDuringSchedulingIgnoredDuringExecution"].clone();
    assert_eq!(required, json!({"nodeSelectorTerms": [{"matchExpressions": [term]}]}));
    manifest.caches = vec![named(&"c".repeat(60))];
    assert_eq!(objects(&manifest).unwrap_err().field(), "caches");
}

#[test]
fn what_kubernetes_would_refuse_is_refused() {
    for bad in ["", "A", "-a", "a-", "a.b", "a\n", "ä", &"a".repeat(64)] {
        assert!(name(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "a b", "a\n", "ä"] {
        assert!(image(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "-a", "a/b", "a\n", &"a".repeat(64)] {
        assert!(label_value(bad).is_err(), "{bad:?}");
    }
    for (key, good) in [("group", true), ("a.b/c_D", true), ("/c", false), ("a/b/c", false), ("A/b", false)] {
        assert_eq!(label_key(key).is_ok(), good, "{key}");
    }
    for bad in ["", "/", "data", "/..", "/a\n", "/a:b", "/.workspacefs/x", "/a/../b"] {
        assert!(place(bad).is_err(), "{bad:?}");
    }
    assert_eq!(place("/c//d/").unwrap(), "/c/d");
}
