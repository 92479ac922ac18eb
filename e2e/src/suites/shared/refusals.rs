//! What `kubectl apply` refuses, and in which words.

use anyhow::{Result, ensure};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;

/// A FileSystem that must be refused: the rule, its spec, the words that the user reads.
const REFUSED: [(&str, &str, &str); 20] = [
    (
        "two_backends_are_refused",
        "{backend: {nfs: {server: nfs, export: /e}, persistentVolumeClaim: {claimName: c}}}",
        "backend takes exactly one of: managed, nfs, persistentVolumeClaim",
    ),
    (
        "no_backend_is_refused",
        "{backend: {}}",
        "backend takes exactly one of: managed, nfs, persistentVolumeClaim",
    ),
    (
        "a_managed_backend_beside_another_is_refused",
        "{backend: {managed: {capacity: 1Gi}, nfs: {server: nfs, export: /e}}}",
        "backend takes exactly one of: managed, nfs, persistentVolumeClaim",
    ),
    (
        "a_managed_backend_of_nothing_is_refused",
        "{backend: {managed: {capacity: 0Gi}}}",
        "capacity is a quantity above zero",
    ),
    (
        "a_managed_backend_with_two_sizes_is_refused",
        "{backend: {managed: {capacity: 1Gi}}, capacity: 1Gi}",
        "the size of a managed backend is backend.managed.capacity",
    ),
    (
        "a_key_to_adopt_that_climbs_is_refused",
        "{backend: {managed: {capacity: 1Gi, adopt: 0f8fad5b-d9cb-469f-a165-70867728950e/../x}}}",
        "spec.backend.managed.adopt",
    ),
    (
        "the_trash_for_a_whole_export_is_refused",
        "{backend: {nfs: {server: nfs, export: /e}}, reclaimPolicy: Delete}",
        "reclaimPolicy Delete and Archive are for folders that the driver makes",
    ),
    (
        "a_relative_export_is_refused",
        "{backend: {nfs: {server: nfs, export: export}}}",
        "export is an absolute path without '..'",
    ),
    (
        "an_export_that_climbs_is_refused",
        "{backend: {nfs: {server: nfs, export: /a/../b}}}",
        "export is an absolute path without '..'",
    ),
    (
        "a_folder_that_climbs_is_refused",
        "{backend: {nfs: {server: nfs, export: /e, folder: a/../../b}}}",
        "folder is a path relative to the export",
    ),
    (
        "an_absolute_folder_is_refused",
        "{backend: {nfs: {server: nfs, export: /e, folder: /a}}}",
        "folder is a path relative to the export",
    ),
    (
        "our_own_folder_is_refused",
        "{backend: {nfs: {server: nfs, export: /e, folder: .workspacefs/trash}}}",
        "not inside .workspacefs",
    ),
    (
        "an_unknown_mount_option_is_refused",
        "{backend: {nfs: {server: nfs, export: /e}}, mountOptions: [sec=none]}",
        "mountOptions takes only: hard, soft",
    ),
    (
        "options_joined_by_commas_are_refused",
        "{backend: {nfs: {server: nfs, export: /e}}, mountOptions: ['hard,addr=10.0.0.9']}",
        "mountOptions takes only: hard, soft",
    ),
    (
        "a_server_that_is_more_than_a_name_is_refused",
        "{backend: {nfs: {server: 'nfs,addr=10.0.0.9', export: /e}}}",
        "spec.backend.nfs.server",
    ),
    (
        "an_unknown_version_is_refused",
        "{backend: {nfs: {server: nfs, export: /e, version: '5'}}}",
        "Unsupported value",
    ),
    (
        "an_unknown_field_is_refused",
        "{backend: {nfs: {server: nfs, export: /e}}, nodegroup: gpu}",
        "unknown field",
    ),
    (
        "a_capacity_of_nothing_is_refused",
        "{backend: {nfs: {server: nfs, export: /e}}, capacity: 0Gi}",
        "capacity is a quantity above zero",
    ),
    (
        "a_mode_that_is_not_octal_is_refused",
        "{backend: {nfs: {server: nfs, export: /e}}, owner: {mode: rwx}}",
        "spec.owner.mode",
    ),
    (
        "an_owner_for_anothers_claim_is_refused",
        "{backend: {persistentVolumeClaim: {claimName: c}}, owner: {uid: 1}}",
        "used as its own driver mounts it",
    ),
];

pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = REFUSED
        .into_iter()
        .map(|(rule, spec, words)| Case::new(rule, move |context| refused(context, spec, words)))
        .collect();
    all.extend(cases![
        what_a_volume_is_made_of_cannot_change_later,
        of_a_managed_backend_only_the_size_can_change_later,
        nobody_but_administrators_writes_file_systems
    ]);
    all
}

fn manifest(spec: &str) -> String {
    format!(
        "{{apiVersion: workspacefs.io/v1alpha1, kind: FileSystem, metadata: {{name: data}}, spec: {spec}}}"
    )
}

async fn refused(context: Context, spec: &str, words: &str) -> Result<()> {
    let said = context.refused(&manifest(spec)).await?;
    ensure!(said.contains(words), "refused without the words {words:?}: {said}");
    let left = context.file_systems().get_opt("data").await?;
    ensure!(left.is_none(), "refused, and made all the same");
    Ok(())
}

async fn what_a_volume_is_made_of_cannot_change_later(context: Context) -> Result<()> {
    let spec = |server: &str, uid: u32, group: &str| {
        let backend = format!("{{nfs: {{server: {server}, export: /e, folder: a}}}}");
        manifest(&format!("{{backend: {backend}, owner: {{uid: {uid}}}, nodeGroup: {group}}}"))
    };
    context.apply(&spec("10.99.0.1", 1, "none")).await?;
    let changes = [
        (spec("10.99.0.2", 1, "none"), "backend is immutable"),
        (spec("10.99.0.1", 2, "none"), "owner is immutable"),
        (spec("10.99.0.1", 1, "other"), "nodeGroup is immutable"),
    ];
    for (change, words) in changes {
        let said = context.refused(&change).await?;
        ensure!(said.contains(words), "refused without the words {words:?}: {said}");
    }
    Ok(())
}

async fn of_a_managed_backend_only_the_size_can_change_later(context: Context) -> Result<()> {
    let spec = |managed: &str| manifest(&format!("{{backend: {{managed: {{{managed}}}}}}}"));
    for size in ["capacity: 2Gi", "capacity: 3Gi", "capacity: 1Gi"] {
        context.apply(&spec(size)).await?;
    }
    let adopting = spec("capacity: 1Gi, adopt: 0f8fad5b-d9cb-469f-a165-70867728950e/data");
    let said = context.refused(&adopting).await?;
    ensure!(said.contains("backend is immutable"), "refused without the words: {said}");
    Ok(())
}

async fn nobody_but_administrators_writes_file_systems(context: Context) -> Result<()> {
    // The rights of somebody who may edit everything in the namespace.
    let binding = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: editor}}, \
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}}, \
         subjects: [{{kind: ServiceAccount, name: editor, namespace: {}}}]}}",
        context.namespace()
    );
    context.apply(&binding).await?;
    let account = format!("system:serviceaccount:{}:editor", context.namespace());
    let may = async |verb: &str, what: &str| -> Result<bool> {
        let ended = context.kubectl(&["auth", "can-i", verb, what, "--as", &account], "").await?;
        Ok(ended.status.success())
    };
    ensure!(may("create", "pods").await?, "the editor cannot even make pods");
    ensure!(may("get", "filesystems.workspacefs.io").await?, "an editor should see FileSystems");
    for verb in ["create", "update", "patch", "delete"] {
        ensure!(
            !may(verb, "filesystems.workspacefs.io").await?,
            "an editor may {verb} FileSystems, which name servers"
        );
    }
    Ok(())
}
