//! A disk of n1 for a run: the SSD, blank at first, as a LocalStorage that the run's own node plugin carries out. The installed
//! product must leave disks alone meanwhile (`localStorage.enabled: false`): its plugin there would take the same one.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::json;
use workspacefs_api::{LOCAL_DRIVER, NODE_GROUP_LABEL};
use workspacefs_e2e::suites::{local_disks, local_identity};
use workspacefs_e2e::topology::Drive;
use workspacefs_e2e::{Cluster, Machine};

use super::Standalone;

/// The machine, and its drive.
const NODE: &str = "n1";
const DRIVE: Drive = Drive::Ssd;
/// To be looked at, formatted, and looked at again.
const READY_TIME_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(1);

/// The taken disk. [`LocalDisk::give_back`] makes it blank again and says what was left over; dropping it without that only
/// does the first.
pub struct LocalDisk {
    cluster: Cluster,
    name: String,
    namespace: String,
    kubelet_folder: String,
    is_given_back: bool,
}

impl LocalDisk {
    /// Makes n1 the only node of a group, and a LocalStorage of the run's name on its SSD for the run's namespace; waits until
    /// the node plugin has formatted and mounted it.
    pub fn take(driver: &Standalone) -> Result<Self> {
        let this = Self {
            cluster: driver.cluster().clone(),
            name: driver.purpose.to_owned(),
            namespace: driver.namespace(),
            kubelet_folder: driver.kubelet_folder(),
            is_given_back: false,
        };
        // What an interrupted run left.
        this.remove_objects()?;
        let machine = this.node()?;
        machine.plug_drive(DRIVE)?;
        for at in local_disks::blank(&machine, &[DRIVE])? {
            println!("{NODE} still had its SSD mounted at {at}");
        }
        let label = format!("{NODE_GROUP_LABEL}={}", this.name);
        this.cluster.kubectl("admin", &["label", "--overwrite", "node", NODE, &label])?;
        let object = json!({
            "apiVersion": "workspacefs.io/v1alpha1",
            "kind": "LocalStorage",
            "metadata": {"name": this.name},
            "spec": {
                "nodeGroup": this.name,
                "source": {"devices": {"approved": [{"identity": local_identity(NODE, DRIVE)}]}},
                "workspaces": [this.namespace],
            },
        });
        this.cluster.kubectl_with("admin", &["create", "-f", "-"], object.to_string().as_bytes())?;
        this.wait_until_ready()?;
        Ok(this)
    }

    /// What a volume on it is made by: parameters of a StorageClass, and what external-provisioner adds to them.
    pub fn parameters(&self) -> String {
        format!("localStorage: {}\ncsi.storage.k8s.io/pvc/namespace: {}\n", self.name, self.namespace)
    }

    /// Where it is mounted on n1.
    pub fn mount_point(&self) -> Result<String> {
        let uid = self.get(&["localstorage", &self.name, "--output=jsonpath={.metadata.uid}"])?;
        ensure!(workspacefs_api::volume::is_uid(&uid), "the LocalStorage has no uid: {uid:?}");
        Ok(format!("{}/plugins/{LOCAL_DRIVER}/disks/{uid}", self.kubelet_folder))
    }

    /// The names in the disk's trash.
    pub fn trash(&self) -> Result<Vec<String>> {
        self.list(&format!("ls -A {}/trash", self.mount_point()?))
    }

    /// Volumes that are still there, as folders on the disk and as objects: left-overs.
    pub fn volumes(&self) -> Result<Vec<String>> {
        let root = self.mount_point()?;
        let folders = self.list(&format!(
            "find {root}/export/workspaces -mindepth 2 -maxdepth 2; find {root}/new -mindepth 1 -maxdepth 1"
        ))?;
        let folders = folders.iter().map(|folder| format!("the folder {folder} on the disk"));
        let objects = self.objects()?.into_iter().map(|name| format!("LocalVolume {name}"));
        Ok(folders.chain(objects).collect())
    }

    /// Removes the LocalStorage, and makes disk and node what they were. Gives back what should not have been left over.
    pub fn give_back(mut self) -> Result<Vec<String>> {
        let mut left = self.volumes()?;
        self.is_given_back = true;
        let mounted = self.undo()?;
        left.extend(
            mounted.into_iter().map(|at| format!("the disk is mounted at {at} without its LocalStorage")),
        );
        Ok(left)
    }

    /// What [`LocalDisk::take`] did. Gives back where the disk was still mounted.
    fn undo(&self) -> Result<Vec<String>> {
        self.remove_objects()?;
        let mounted = local_disks::blank(&self.node()?, &[DRIVE])?;
        self.cluster.kubectl("admin", &["label", "node", NODE, &format!("{NODE_GROUP_LABEL}-")])?;
        Ok(mounted)
    }

    fn remove_objects(&self) -> Result<()> {
        for name in self.objects()? {
            // The controller that would take its finalizer off may be gone.
            let free = json!({"metadata": {"finalizers": null}}).to_string();
            self.cluster
                .kubectl("admin", &["patch", "localvolume", &name, "--type=merge", "--patch", &free])?;
            self.cluster.kubectl("admin", &["delete", "localvolume", &name, "--ignore-not-found"])?;
        }
        let delete = ["delete", "localstorage", &self.name, "--ignore-not-found", "--timeout=60s"];
        self.cluster.kubectl("admin", &delete)?;
        Ok(())
    }

    /// The LocalVolumes of its LocalStorage.
    fn objects(&self) -> Result<Vec<String>> {
        let template = format!(
            "--output=jsonpath={{range .items[?(@.spec.storage==\"{}\")]}}{{.metadata.name}}{{\"\\n\"}}{{end}}",
            self.name
        );
        Ok(self.get(&["localvolumes", &template])?.lines().map(str::to_owned).collect())
    }

    fn wait_until_ready(&self) -> Result<()> {
        let ready = format!("--output=jsonpath={{.status.nodes[?(@.node==\"{NODE}\")].ready}}");
        let started = Instant::now();
        while self.get(&["localstorage", &self.name, &ready])?.trim() != "true" {
            if started.elapsed() > READY_TIME_MAX {
                let status = self.get(&["localstorage", &self.name, "--output=jsonpath={.status}"])?;
                bail!("the SSD of {NODE} is not ready: {status}");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn get(&self, arguments: &[&str]) -> Result<String> {
        Ok(self.cluster.kubectl("admin", &[&["get"], arguments].concat())?)
    }

    fn list(&self, line: &str) -> Result<Vec<String>> {
        Ok(self.node()?.shell(line)?.lines().map(str::to_owned).collect())
    }

    fn node(&self) -> Result<Machine> {
        Ok(self.cluster.machine(NODE)?)
    }
}

impl Drop for LocalDisk {
    fn drop(&mut self) {
        if !self.is_given_back
            && let Err(error) = self.undo()
        {
            eprintln!("the SSD of {NODE} may still be in use: {error:#}");
        }
    }
}
