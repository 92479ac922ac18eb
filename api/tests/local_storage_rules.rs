//! What `kubectl apply` accepts and refuses of a LocalStorage: the schema's CEL rules, evaluated as the API server does.
//! (Patterns and lengths are the API server's own schema checks.)

use kube::core::cel::{validate_cel, validate_cel_update};
use workspacefs_api::LocalStorage;

fn storage(spec: &str) -> LocalStorage {
    named("fast", spec)
}

fn named(name: &str, spec: &str) -> LocalStorage {
    let yaml = format!(
        "apiVersion: workspacefs.io/v1alpha1\nkind: LocalStorage\nmetadata: {{name: {name}}}\nspec: {spec}"
    );
    serde_saphyr::from_str(&yaml).expect(spec)
}

fn refusal(spec: &str) -> String {
    validate_cel(&storage(spec)).expect_err(spec).to_string()
}

fn change(old: &str, new: &str) -> Result<(), String> {
    validate_cel_update(&storage(new), &storage(old)).map_err(|error| error.to_string())
}

#[test]
fn a_storage_of_each_source_is_accepted() {
    for spec in [
        "{nodeGroup: gpu, source: {devices: {}}}",
        "{nodeGroup: gpu, nodeSelector: {rack: a}, media: SSD, fsType: ext4, workspaces: [team-a], perWorkspaceQuota: 10Gi, \
          source: {devices: {approved: [{identity: 'wwn:0x5000c500a1b2c3d4'}, {identity: 'serial:A B', media: HDD}]}}}",
        "{nodeGroup: gpu, source: {directory: {path: /mnt/ssd, media: NVMe}}}",
    ] {
        validate_cel(&storage(spec)).expect(spec);
    }
}

#[test]
fn exactly_one_source_is_demanded() {
    for source in ["{}", "{devices: {}, directory: {path: /mnt}}"] {
        let sentence = refusal(&format!("{{nodeGroup: gpu, source: {source}}}"));
        assert!(sentence.contains("source takes exactly one of"), "{sentence}");
    }
}

#[test]
fn a_directory_is_absolute_and_does_not_climb() {
    for path in ["mnt", "''", "/mnt/..", "/./mnt", "/a/../b", "\"/a\\nb\""] {
        let sentence = refusal(&format!("{{nodeGroup: gpu, source: {{directory: {{path: {path}}}}}}}"));
        assert!(sentence.contains("path is an absolute path"), "{path}: {sentence}");
    }
}

#[test]
fn a_quota_is_above_zero_and_a_directory_is_not_formatted() {
    let sentence = refusal("{nodeGroup: gpu, source: {devices: {}}, perWorkspaceQuota: '0'}");
    assert!(sentence.contains("perWorkspaceQuota is a quantity above zero"), "{sentence}");
    let sentence = refusal("{nodeGroup: gpu, source: {directory: {path: /mnt}}, fsType: xfs}");
    assert!(sentence.contains("fsType is for devices"), "{sentence}");
}

#[test]
fn a_cache_is_large_enough_for_a_file_system_and_may_get_another_size() {
    let cache =
        |size: &str| format!("{{nodeGroup: gpu, source: {{devices: {{}}}}, fsCache: {{size: {size}}}}}");
    for size in ["'0'", "100Mi", "-1Gi", "much"] {
        let sentence = refusal(&cache(size));
        assert!(sentence.contains("fsCache.size is a quantity of at least 128Mi"), "{size}: {sentence}");
    }
    for size in ["128Mi", "1Ti", "'200000000'"] {
        validate_cel(&storage(&cache(size))).expect(size);
    }
    assert_eq!(change(&cache("128Mi"), &cache("64Gi")), Ok(()));
    assert_eq!(change(&cache("64Gi"), "{nodeGroup: gpu, source: {devices: {}}}"), Ok(()));
}

#[test]
fn a_name_is_a_dns_label_because_it_ends_a_labels_name() {
    let spec = "{nodeGroup: gpu, source: {devices: {}}}";
    for name in ["a.b", &"a".repeat(64)] {
        let sentence = validate_cel(&named(name, spec)).expect_err(name).to_string();
        assert!(sentence.contains("DNS label"), "{sentence}");
    }
}

#[test]
fn disks_may_be_approved_later_and_what_holds_data_does_not_change() {
    let devices = "{nodeGroup: gpu, source: {devices: {}}}";
    let directory = "{nodeGroup: gpu, source: {directory: {path: /mnt}}}";
    for (old, new) in [
        (
            devices,
            "{nodeGroup: gpu, source: {devices: {approved: [{identity: 'serial:A'}]}}, workspaces: [a], perWorkspaceQuota: 1Gi}",
        ),
        (directory, "{nodeGroup: gpu, media: SSD, source: {directory: {path: /mnt, media: SSD}}}"),
        (devices, "{nodeGroup: gpu, source: {devices: {}}, fsType: xfs}"),
    ] {
        change(old, new).expect(new);
    }
    for (old, new, sentence) in [
        (devices, "{nodeGroup: cpu, source: {devices: {}}}", "nodeGroup is immutable"),
        (devices, directory, "source is immutable"),
        (directory, "{nodeGroup: gpu, source: {directory: {path: /other}}}", "source is immutable"),
        (devices, "{nodeGroup: gpu, source: {devices: {}}, fsType: ext4}", "fsType is immutable"),
    ] {
        let refused = change(old, new).expect_err(new);
        assert!(refused.contains(sentence), "{refused}");
    }
}
