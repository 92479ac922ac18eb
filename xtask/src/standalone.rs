//! The drivers' node plugin and controller as plain processes on worker n1, beside the installed product and unknown to
//! kubelet: what csi-sanity and the benchmark talk to. Same binary, real NFS share, real disk ([`LocalDisk`]), real API server.

mod disk;
mod place;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use workspacefs_api::{DRIVER, LOCAL_DRIVER};
use workspacefs_e2e::machine::Stream;
use workspacefs_e2e::{Cluster, ClusterConfig, Machine};

pub use self::disk::LocalDisk;
pub use self::place::Place;
use crate::{images, shell};

/// The export that everything here happens on, and its server.
pub const SERVER: &str = "10.99.0.21";
const EXPORT: &str = "/export/shared";
/// All kinds: both drivers watch theirs.
const KINDS: [&str; 3] =
    ["filesystems.workspacefs.io", "localstorages.workspacefs.io", "localvolumes.workspacefs.io"];
const START_TIME_MAX: Duration = Duration::from_secs(30);
/// The driver lets its RPCs finish, which may take 25 s.
const STOP_TIME_MAX: Duration = Duration::from_secs(35);

/// Two running processes and what was made for them. [`Standalone::stop`] removes it all and says what was left over;
/// dropping it without that only ends the processes.
pub struct Standalone {
    cluster: Cluster,
    purpose: &'static str,
    place: Place,
    brought: Vec<&'static str>,
    trash_before: Vec<String>,
}

/// The cluster `name`, started if it does not run.
pub fn cluster(name: &str) -> Result<Cluster> {
    let config = ClusterConfig::from_environment(name)?;
    Ok(Cluster::up(&config)?)
}

impl Standalone {
    /// Builds the driver, makes namespace `wsfs-<purpose>` with a FileSystem `default`, and starts both processes.
    pub fn start(cluster: Cluster, purpose: &'static str, place: Place) -> Result<Self> {
        let binaries = images::static_binaries()?;
        let brought = bring_kinds(&cluster)?;
        let mut this = Self { cluster, purpose, place, brought, trash_before: Vec::new() };
        // What an interrupted run left.
        this.kill("KILL")?;
        this.unmount_all()?;
        this.trash_before = this.trash()?;
        this.apply_objects()?;
        place.wait(&this.cluster, &this.namespace())?;

        let driver = this.cluster.share(&binaries.join("csi-driver"))?;
        let node = this.node()?;
        let run = this.run_folder();
        node.shell(&format!("rm -rf {run} && mkdir -p {run} {}/pods", this.kubelet_folder()))?;
        // A copy: the shared file changes with the next build, and the helpers are started from it.
        node.run(&["cp", &driver, &format!("{run}/csi-driver")])?;
        node.copy(&this.cluster.kubeconfig("admin"), &format!("{run}/kubeconfig"), 0o600)?;
        let more = place.controller_arguments(&this.cluster, &node, &run)?;
        this.spawn(
            "controller",
            &format!(
                "--endpoint={} --local-endpoint={} --http=127.0.0.1:19810 {more}",
                this.controller_endpoint(),
                this.local_controller_endpoint()
            ),
        )?;
        this.spawn(
            "node",
            &format!(
                "--node-name=n1 --kubelet-dir={} --state-dir={run}/state --http=127.0.0.1:19809",
                this.kubelet_folder()
            ),
        )?;
        this.wait_for_sockets()?;
        Ok(this)
    }

    /// The machine they run on.
    pub fn node(&self) -> Result<Machine> {
        Ok(self.cluster.machine("n1")?)
    }

    /// The cluster they run in.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The namespace of the FileSystem `default`.
    pub fn namespace(&self) -> String {
        format!("wsfs-{}", self.purpose)
    }

    /// A folder on tmpfs for the run's own files.
    pub fn run_folder(&self) -> String {
        format!("/run/wsfs-{}", self.purpose)
    }

    /// What the node plugin takes for kubelet's folder; targets belong below its `pods`.
    pub fn kubelet_folder(&self) -> String {
        format!("/var/lib/wsfs-{}", self.purpose)
    }

    /// Where the node plugin listens.
    pub fn node_endpoint(&self) -> String {
        format!("unix://{}/plugins/{DRIVER}/csi.sock", self.kubelet_folder())
    }

    /// Where the controller listens.
    pub fn controller_endpoint(&self) -> String {
        format!("unix://{}/controller.sock", self.run_folder())
    }

    /// Where the node plugin listens for the driver of local disks.
    pub fn local_node_endpoint(&self) -> String {
        format!("unix://{}/plugins/{LOCAL_DRIVER}/csi.sock", self.kubelet_folder())
    }

    /// Where the controller listens for the driver of local disks.
    pub fn local_controller_endpoint(&self) -> String {
        format!("unix://{}/local-controller.sock", self.run_folder())
    }

    /// The end of a process's log.
    pub fn log(&self, role: &str, lines: u32) -> Result<String> {
        let log = format!("{}/{role}.log", self.run_folder());
        Ok(self.node()?.run(&["tail", "-n", &lines.to_string(), &log])?)
    }

    /// Ends both processes and removes what was made. Gives back what should not have been left over: volumes on the
    /// share, mounts other than the shares' own, processes that do not end.
    pub fn stop(mut self) -> Result<Vec<String>> {
        let mut left = self.kill("TERM")?;
        left.extend(self.unmount_all()?);
        left.extend(self.clean_share()?);
        let node = self.node()?;
        node.shell(&format!("rm -rf {} && rm -rf {}", self.run_folder(), self.kubelet_folder()))?;
        let namespace = self.namespace();
        self.cluster.kubectl("admin", &["delete", "namespace", &namespace, "--ignore-not-found"])?;
        for kind in std::mem::take(&mut self.brought) {
            self.cluster.kubectl("admin", &["delete", "crd", kind])?;
        }
        Ok(left)
    }

    fn apply_objects(&self) -> Result<()> {
        let namespace = self.namespace();
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {
                "apiVersion": "workspacefs.io/v1alpha1",
                "kind": "FileSystem",
                "metadata": {"name": "default", "namespace": namespace},
                "spec": self.place.spec(&namespace),
            },
        ]});
        self.cluster.kubectl_with("admin", &["apply", "-f", "-"], objects.to_string().as_bytes())?;
        Ok(())
    }

    fn spawn(&self, role: &str, arguments: &str) -> Result<()> {
        let run = self.run_folder();
        self.node()?.shell(&format!(
            "KUBECONFIG={run}/kubeconfig WSFS_LOG=info setsid {run}/csi-driver {role} {arguments} \
             </dev/null >{run}/{role}.log 2>&1 & echo $! >{run}/{role}.pid"
        ))?;
        Ok(())
    }

    fn wait_for_sockets(&self) -> Result<()> {
        let started = Instant::now();
        let endpoints = [
            self.node_endpoint(),
            self.controller_endpoint(),
            self.local_node_endpoint(),
            self.local_controller_endpoint(),
        ];
        let test = endpoints.map(|endpoint| endpoint.replacen("unix://", "test -S ", 1)).join(" && ");
        while self.node()?.run_within(&["sh", "-c", &test], b"", START_TIME_MAX)?.code != 0 {
            if started.elapsed() > START_TIME_MAX {
                bail!(
                    "the driver does not listen:\n{}\n{}",
                    self.log("node", 20)?,
                    self.log("controller", 20)?
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Signals both processes, if they run, and waits for their end.
    fn kill(&self, signal: &str) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for role in ["node", "controller"] {
            // The id is ours only if the program still is.
            let alive = format!(
                "id=$(cat {run}/{role}.pid 2>/dev/null) && readlink /proc/$id/exe | grep -q ^{run}/csi-driver",
                run = self.run_folder()
            );
            let node = self.node()?;
            let runs = || anyhow::Ok(node.run_within(&["sh", "-c", &alive], b"", STOP_TIME_MAX)?.code == 0);
            if !runs()? {
                continue;
            }
            node.shell(&format!("{alive} && kill -{signal} $id"))?;
            let asked = Instant::now();
            while runs()? {
                if asked.elapsed() > STOP_TIME_MAX {
                    left.push(format!("the {role} process does not end"));
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(left)
    }

    /// Unmounts what is below our folders. The shares' own mounts and the staging areas stay when a plugin ends, and are
    /// no left-over.
    fn unmount_all(&self) -> Result<Vec<String>> {
        let (kubelet, run) = (self.kubelet_folder(), self.run_folder());
        let stays = [
            format!("{kubelet}/plugins/{DRIVER}/shares/"),
            format!("{run}/state/staging"),
            format!("{run}/state/local-staging"),
        ];
        let node = self.node()?;
        let listed = node.shell(&format!("awk '$2 ~ \"^({kubelet}|{run})/\" {{print $2}}' /proc/mounts"))?;
        let mut left = Vec::new();
        // The last mounted goes first.
        for path in listed.lines().rev() {
            if !stays.iter().any(|known| path.starts_with(known)) {
                left.push(format!("mount at {path}"));
            }
            node.run(&["umount", path])?;
        }
        Ok(left)
    }

    /// Removes what this run put onto the share. A volume that is not in the trash is a left-over.
    fn clean_share(&self) -> Result<Vec<String>> {
        let uid = self.file_system_uid()?;
        let left = self.place.volumes(&self.cluster, &uid)?;
        self.place.clean(&self.cluster, &self.namespace(), &uid, &self.trash_before)?;
        Ok(left)
    }

    /// The uid of the FileSystem.
    pub fn file_system_uid(&self) -> Result<String> {
        let namespace = self.namespace();
        let query =
            ["get", "filesystem", "default", "--namespace", &namespace, "--output=jsonpath={.metadata.uid}"];
        let uid = self.cluster.kubectl("admin", &query)?;
        ensure!(workspacefs_api::volume::is_uid(&uid), "the FileSystem has no uid: {uid:?}");
        Ok(uid)
    }

    /// The names in the share's trash.
    pub fn trash(&self) -> Result<Vec<String>> {
        self.place.trash(&self.cluster)
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill; on the way out of an error this is what must not stay.
        if let Err(error) = self.kill("KILL") {
            eprintln!("the driver on n1 may still run: {error:#}");
        }
    }
}

/// Makes the kinds known where the chart has not. Gives those that this did, and has to undo.
fn bring_kinds(cluster: &Cluster) -> Result<Vec<&'static str>> {
    let mut brought = Vec::new();
    for kind in KINDS {
        let found = cluster.kubectl("admin", &["get", "crd", kind, "--ignore-not-found", "--output=name"])?;
        if !found.trim().is_empty() {
            continue;
        }
        let file = shell::root().join("crds").join(format!("{kind}.yaml"));
        cluster.kubectl("admin", &["create", "-f", &file.to_string_lossy()])?;
        let established = format!("crd/{kind}");
        cluster
            .kubectl("admin", &["wait", "--for=condition=Established", "--timeout=60s", &established])
            .with_context(|| format!("the API server does not take the kind {kind}"))?;
        brought.push(kind);
    }
    Ok(brought)
}

/// Passes on what a program on a machine says.
pub fn show(stream: Stream, bytes: &[u8]) {
    // A reader that went away is no reason to stop in the middle.
    let _ = match stream {
        Stream::Stdout => std::io::stdout().write_all(bytes),
        Stream::Stderr => std::io::stderr().write_all(bytes),
    };
}
