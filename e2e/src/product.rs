//! Our product on a test cluster: images into the machines, the chart by the real Helm, and back out.

use crate::cluster::{Cluster, ImportError, KubectlError, NoSuchMachine};
use crate::disks;
use crate::machine::RunError;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Namespace and name of the release.
pub const NAMESPACE: &str = "workspacefs-system";
const RELEASE: &str = "workspacefs";

/// The embedded server's one pod.
pub const SERVER_POD: &str = "workspacefs-nfs-0";

/// Time for Helm, of which it may wait [`READY_TIME_MAX`] for pods.
const HELM_TIME_MAX: Duration = Duration::from_secs(240);
const READY_TIME_MAX: &str = "180s";

/// Why the product does not run.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A worker machine did not take an image.
    #[error("cannot give the machines the image {}", image.display())]
    Import {
        /// Its archive.
        image: PathBuf,
        /// Why.
        #[source]
        source: ImportError,
    },
    /// The server's disk is not offered.
    #[error("cannot offer the server's disk")]
    Disk(#[source] KubectlError),
    /// Helm failed, or what it installed did not become ready.
    #[error("the chart is not installed; what runs in {NAMESPACE}:\n{pods}")]
    Helm {
        /// The pods and the ends of their logs.
        pods: String,
        /// Helm's own words.
        #[source]
        source: KubectlError,
    },
}

/// The values that fit a test cluster: each workspace gets a folder of its own on the storage host.
pub fn values() -> Value {
    let nfs = json!({
        "server": "10.99.0.21",
        "export": "/export/shared",
        "folder": "workspaces/{workspace}-{workspaceUID}",
    });
    json!({"defaultFileSystem": {"backend": {"nfs": nfs}}})
}

/// The same with the embedded NFS server on the second disk of n1, where each workspace gets a folder with an enforced
/// size; the disk must have been offered, see [`crate::disks`].
pub fn values_with_server() -> Value {
    json!({"nfsServer": {
        "storage": {"block": {"storageClassName": disks::STORAGE_CLASS, "size": disks::SIZE}},
        // Each test of a server that comes back waits so long.
        "graceSeconds": 15,
    }})
}

/// Adds files in the browser to values: `files` for each FileSystem, and the gateway.
pub fn add_files(values: &mut Value) {
    values["files"]["enabled"] = true.into();
    values["dashboard"]["enabled"] = true.into();
}

/// Loads the images (docker-archive tars, each named by its content) into the workers and installs the chart, or
/// upgrades it, with `values` over its defaults. Returns when every pod is ready. Pods of an older image are replaced.
pub fn install(cluster: &Cluster, images: &[PathBuf], values: &Value) -> Result<(), InstallError> {
    for image in images {
        cluster
            .import_image(image)
            .map_err(|source| InstallError::Import { image: image.clone(), source })?;
    }
    let mut values = values.clone();
    // The tag stays the same whatever the image holds; a changed annotation is what makes new pods.
    let contents: Vec<String> = images.iter().map(|image| image.display().to_string()).collect();
    values["podAnnotations"]["workspacefs.io/images"] = json!(digest(&contents));
    install_chart(cluster, &chart(), &values)
}

/// Offers the second disk of n1 to the embedded server, and installs the chart with it.
pub fn install_with_server(
    cluster: &Cluster,
    images: &[PathBuf],
    values: &Value,
) -> Result<(), InstallError> {
    disks::offer(cluster, "n1").map_err(InstallError::Disk)?;
    install(cluster, images, values)
}

/// Installs a chart, or upgrades to it. Returns when every pod is ready.
pub fn install_chart(cluster: &Cluster, chart: &Path, values: &Value) -> Result<(), InstallError> {
    let chart = chart.to_string_lossy();
    let arguments = ["upgrade", "--install", RELEASE, &chart, "--create-namespace", "--values", "-"];
    let wait = ["--wait", "--timeout", READY_TIME_MAX];
    helm(cluster, &[&arguments[..], &wait[..]].concat(), values.to_string().as_bytes())
        .map_err(|source| InstallError::Helm { pods: pods(cluster), source })
}

/// The values that the release was installed with, beside its chart's defaults.
pub fn installed_values(cluster: &Cluster) -> Result<Value, KubectlError> {
    let text = helm_output(cluster, &["get", "values", RELEASE, "--output", "json"], b"")?;
    Ok(serde_json::from_slice(&text).unwrap_or_default())
}

/// Takes back an uninstall that was refused: Helm neither upgrades nor installs a release that it calls `uninstalling`.
pub fn take_uninstall_back(cluster: &Cluster) -> Result<(), KubectlError> {
    let text = helm_output(cluster, &["status", RELEASE, "--output", "json"], b"")?;
    let status: Value = serde_json::from_slice(&text).unwrap_or_default();
    let revision = status["version"].to_string();
    helm(cluster, &["rollback", RELEASE, &revision, "--wait", "--timeout", READY_TIME_MAX], b"")
}

/// Uninstalls the release, if there is one. The kinds and their objects stay.
pub fn uninstall(cluster: &Cluster) -> Result<(), KubectlError> {
    helm(cluster, &["uninstall", RELEASE, "--ignore-not-found", "--wait"], b"")
}

/// Why nothing can be done on the embedded server's disk.
#[derive(Debug, thiserror::Error)]
pub enum ServerDiskError {
    /// Where the server runs is not known.
    #[error("cannot find the embedded server")]
    Find(#[source] KubectlError),
    /// It runs on no machine of the cluster.
    #[error("the embedded server runs nowhere")]
    Nowhere(#[source] NoSuchMachine),
    /// The line failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Runs a line of shell on the embedded server's node, in the root of the server's disk; it must succeed.
pub fn on_server_disk(cluster: &Cluster, line: &str) -> Result<String, ServerDiskError> {
    let pod = ["--namespace", NAMESPACE, "get", "pod", SERVER_POD, "--output=jsonpath={.spec.nodeName}"];
    let node = cluster.kubectl("admin", &pod).map_err(ServerDiskError::Find)?;
    let machine = cluster.machine(node.trim()).map_err(ServerDiskError::Nowhere)?;
    // The disk is mounted in the container only; its first process works in the container's root.
    let enter = "cd /proc/$(pgrep -o -x nfs-server)/cwd/srv/workspacefs";
    Ok(machine.shell(&format!("{enter} && {line}"))?)
}

/// The chart in the checkout.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/workspacefs")
}

fn helm(cluster: &Cluster, arguments: &[&str], input: &[u8]) -> Result<(), KubectlError> {
    helm_output(cluster, arguments, input).map(drop)
}

fn helm_output(cluster: &Cluster, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, KubectlError> {
    let mut helm = cluster.command("helm", "admin")?;
    helm.args(arguments).args(["--namespace", NAMESPACE]);
    // Helm's own files, away from the user's.
    for (variable, folder) in
        [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        helm.env(variable, cluster.layout().root().join("helm").join(folder));
    }
    cluster.run(&mut helm, input, HELM_TIME_MAX)
}

fn digest(parts: &[String]) -> String {
    blake3::hash(parts.join("\n").as_bytes()).to_hex()[..16].to_owned()
}

/// For an error: what a person would look at first.
fn pods(cluster: &Cluster) -> String {
    let ask = |arguments: &[&str]| match cluster.kubectl("admin", arguments) {
        Ok(text) => text,
        Err(error) => error.to_string(),
    };
    let events = ["get", "events", "--namespace", NAMESPACE, "--field-selector", "type=Warning"];
    let logs = |component: &str| {
        let selector = format!("app.kubernetes.io/component={component}");
        ask(&["logs", "--namespace", NAMESPACE, "--prefix", "--tail=20", "--selector", &selector])
    };
    [
        ask(&["get", "pods", "--namespace", NAMESPACE, "--output=wide"]),
        ask(&events),
        logs("node"),
        logs("operator"),
        logs("controller"),
        logs("nfs-server"),
        logs("dashboard"),
    ]
    .join("\n")
}
