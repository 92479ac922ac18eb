//! What `kubectl apply` accepts and refuses: the schema's CEL rules, evaluated as the API server does. (Patterns, lengths
//! and unknown fields are the API server's own schema checks; the end-to-end suite applies those.)

use kube::core::cel::{validate_cel, validate_cel_update};
use workspacefs_api::FileSystem;

fn file_system(spec: &str) -> FileSystem {
    let yaml = format!(
        "apiVersion: workspacefs.io/v1alpha1\nkind: FileSystem\nmetadata: {{name: data, namespace: team-a}}\nspec: {spec}"
    );
    serde_saphyr::from_str(&yaml).expect(spec)
}

fn refusal(spec: &str) -> String {
    validate_cel(&file_system(spec)).expect_err(spec).to_string()
}

fn change_refusal(old: &str, new: &str) -> String {
    validate_cel_update(&file_system(new), &file_system(old)).expect_err(new).to_string()
}

#[test]
fn a_plain_file_system_of_each_backend_is_accepted() {
    for spec in [
        "{backend: {nfs: {server: nfs, export: /export}}}",
        "{backend: {nfs: {server: 10.0.0.1, export: /, folder: a/b..c, version: '4.1', port: 2050}}, owner: {uid: 5, mode: '0700'}, \
          nodeGroup: gpu, capacity: 10Gi, mountOptions: [hard, timeo=600, lookupcache=none], localCache: true}",
        "{backend: {persistentVolumeClaim: {claimName: efs}}}",
        "{backend: {managed: {capacity: 10Gi}}}",
        "{backend: {managed: {capacity: 10Gi, adopt: 0f8fad5b-d9cb-469f-a165-70867728950e/data}}, owner: {uid: 5}, \
          nodeGroup: gpu, mountOptions: [nconnect=4], localCache: true, reclaimPolicy: Archive}",
    ] {
        validate_cel(&file_system(spec)).expect(spec);
    }
}

#[test]
fn exactly_one_backend_is_demanded() {
    let sentence = "backend takes exactly one of";
    assert!(refusal("{backend: {}}").contains(sentence));
    let both = "{backend: {nfs: {server: nfs, export: /e}, persistentVolumeClaim: {claimName: c}}}";
    assert!(refusal(both).contains(sentence));
    let both = "{backend: {nfs: {server: nfs, export: /e}, managed: {capacity: 1Gi}}}";
    assert!(refusal(both).contains(sentence));
}

#[test]
fn an_export_is_absolute_and_does_not_climb() {
    for export in ["export", "''", "/a/..", "/../a", "/a/../b"] {
        let spec = format!("{{backend: {{nfs: {{server: nfs, export: {export}}}}}}}");
        assert!(refusal(&spec).contains("export is an absolute path"), "{export}");
    }
}

#[test]
fn a_folder_stays_beneath_its_export_and_out_of_ours() {
    for folder in
        ["/a", "a/../b", "..", "a/", "a//b", "./a", ".workspacefs", ".workspacefs/trash", "\"a\\nb\""]
    {
        let spec = format!("{{backend: {{nfs: {{server: nfs, export: /e, folder: {folder}}}}}}}");
        assert!(refusal(&spec).contains("folder is a path relative to the export"), "{folder}");
    }
}

#[test]
fn mount_options_come_from_the_allow_list() {
    for option in ["sec=none", "addr=10.0.0.9", "'hard,addr=10.0.0.9'", "exec", "timeo=x", "vers=3"] {
        let spec = format!("{{backend: {{nfs: {{server: nfs, export: /e}}}}, mountOptions: [{option}]}}");
        assert!(refusal(&spec).contains("mountOptions takes only"), "{option}");
    }
}

#[test]
fn a_capacity_is_a_quantity_above_zero() {
    let spec =
        |capacity: &str| format!("{{backend: {{nfs: {{server: nfs, export: /e}}}}, capacity: {capacity}}}");
    for capacity in ["banana", "0", "-1Gi", "''", "0Gi"] {
        assert!(refusal(&spec(capacity)).contains("capacity is a quantity above zero"), "{capacity}");
    }
    validate_cel(&file_system(&spec("1.5Ti"))).expect("1.5Ti");
}

#[test]
fn what_a_persistent_volume_fixes_cannot_change_later() {
    let old = "{backend: {nfs: {server: nfs, export: /e, folder: a}}, owner: {uid: 1}, nodeGroup: gpu}";
    for (new, sentence) in [
        (
            "{backend: {nfs: {server: other, export: /e, folder: a}}, owner: {uid: 1}, nodeGroup: gpu}",
            "backend is immutable",
        ),
        (
            "{backend: {nfs: {server: nfs, export: /e, folder: b}}, owner: {uid: 1}, nodeGroup: gpu}",
            "backend is immutable",
        ),
        ("{backend: {persistentVolumeClaim: {claimName: c}}}", "backend is immutable"),
        (
            "{backend: {nfs: {server: nfs, export: /e, folder: a}}, owner: {uid: 2}, nodeGroup: gpu}",
            "owner is immutable",
        ),
        ("{backend: {nfs: {server: nfs, export: /e, folder: a}}, nodeGroup: gpu}", "owner is immutable"),
        ("{backend: {nfs: {server: nfs, export: /e, folder: a}}, owner: {uid: 1}}", "nodeGroup is immutable"),
        (
            "{backend: {nfs: {server: nfs, export: /e, folder: a}}, owner: {uid: 1}, nodeGroup: cpu}",
            "nodeGroup is immutable",
        ),
    ] {
        assert!(change_refusal(old, new).contains(sentence), "{new}");
    }
    let more = "{backend: {nfs: {server: nfs, export: /e, folder: a}}, owner: {uid: 1}, nodeGroup: gpu, mountOptions: [soft]}";
    validate_cel_update(&file_system(more), &file_system(old)).expect("mount options may change");
}

#[test]
fn a_claim_backend_refuses_what_only_our_own_mounts_can_do() {
    for extra in
        ["owner: {uid: 1}", "nodeGroup: gpu", "mountOptions: [soft]", "localCache: true", "capacity: 1Gi"]
    {
        let spec = format!("{{backend: {{persistentVolumeClaim: {{claimName: c}}}}, {extra}}}");
        assert!(refusal(&spec).contains("used as its own driver mounts it"), "{extra}");
    }
}

#[test]
fn a_managed_backends_size_is_its_own_and_above_zero() {
    for capacity in ["banana", "0", "-1Gi", "''", "0Gi"] {
        let spec = format!("{{backend: {{managed: {{capacity: {capacity}}}}}}}");
        assert!(refusal(&spec).contains("capacity is a quantity above zero"), "{capacity}");
    }
    let twice = "{backend: {managed: {capacity: 1Gi}}, capacity: 1Gi}";
    assert!(refusal(twice).contains("the size of a managed backend is backend.managed.capacity"));
}

#[test]
fn of_a_managed_backend_only_the_size_may_change() {
    const KEY: &str = "0f8fad5b-d9cb-469f-a165-70867728950e/data";
    let plain = "{backend: {managed: {capacity: 10Gi}}}";
    let adopting = format!("{{backend: {{managed: {{capacity: 10Gi, adopt: {KEY}}}}}}}");
    for (old, size) in [(plain, "20Gi"), (plain, "5Gi"), (adopting.as_str(), "20Gi")] {
        let new = old.replace("10Gi", size);
        validate_cel_update(&file_system(&new), &file_system(old)).expect(&new);
    }
    let sentence = "backend is immutable";
    let other = adopting.replace("/data", "/other");
    let nfs = "{backend: {nfs: {server: nfs, export: /e}}}";
    for (old, new) in [
        (plain, adopting.as_str()),
        (adopting.as_str(), plain),
        (adopting.as_str(), other.as_str()),
        (plain, nfs),
        (nfs, plain),
    ] {
        assert!(change_refusal(old, new).contains(sentence), "{old} -> {new}");
    }
}

#[test]
fn files_may_go_only_where_the_driver_makes_the_folder() {
    let sentence = "reclaimPolicy Delete and Archive are for folders that the driver makes";
    for policy in ["Delete", "Archive"] {
        let with = |backend: &str| format!("{{backend: {{{backend}}}, reclaimPolicy: {policy}}}");
        for backend in ["nfs: {server: nfs, export: /e}", "persistentVolumeClaim: {claimName: c}"] {
            assert!(refusal(&with(backend)).contains(sentence), "{policy} {backend}");
        }
        for backend in ["nfs: {server: nfs, export: /e, folder: a}", "managed: {capacity: 1Gi}"] {
            validate_cel(&file_system(&with(backend))).expect(backend);
        }
        // It may be taken back, and given, at any time.
        let keep = "{backend: {managed: {capacity: 1Gi}}, reclaimPolicy: Retain}";
        let gone = with("managed: {capacity: 1Gi}");
        validate_cel_update(&file_system(keep), &file_system(&gone)).expect(policy);
        validate_cel_update(&file_system(&gone), &file_system(keep)).expect(policy);
    }
    validate_cel(&file_system("{backend: {persistentVolumeClaim: {claimName: c}}, reclaimPolicy: Retain}"))
        .expect("Retain is for everybody");
}

#[test]
fn a_name_is_a_dns_label() {
    let mut fs = file_system("{backend: {nfs: {server: nfs, export: /e}}}");
    fs.metadata.name = Some("a.b".into());
    assert!(validate_cel(&fs).unwrap_err().to_string().contains("DNS label"));
}
