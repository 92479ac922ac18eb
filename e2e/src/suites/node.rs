//! A worker as the driver leaves it: mounts, records, helper processes, logs; and its CSI socket, called directly.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tonic::transport::{Channel, Endpoint};
use workspacefs_api::DRIVER;
use workspacefs_csi_proto::csi::v1::node_client::NodeClient;

use super::context::{Context, is_ready};
use super::report::PRODUCT_NAMESPACE;
use super::wait::{seconds, until};
use crate::Machine;

/// Where the driver keeps its shares' mounts.
pub const SHARES: &str = "/var/lib/kubelet/plugins/csi.workspacefs.io/shares/";

/// kubelet's folders of CSI volumes, in any pod.
const VOLUMES: &str = "/volumes/kubernetes.io~csi/";

/// The socket of a driver.
fn socket(driver: &str) -> String {
    format!("/var/lib/kubelet/plugins/{driver}/csi.sock")
}

/// One line of mountinfo, see proc_pid_mountinfo(5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    /// The mount's id: another one means that it was mounted anew.
    pub id: u64,
    /// The folder of the file system that is its root.
    pub root: String,
    /// Where it is.
    pub at: String,
    /// Its own options.
    pub options: String,
    /// `nfs4`, `tmpfs` ...
    pub kind: String,
    /// What is mounted. Of NFS it has the path of the folder that is the root, which `root` then has not.
    pub source: String,
    /// The file system's options.
    pub super_options: String,
}

impl Mount {
    /// A line that says what it should.
    pub fn parse(line: &str) -> Option<Mount> {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        Some(Mount {
            id: left.first()?.parse().ok()?,
            root: (*left.get(3)?).to_owned(),
            at: (*left.get(4)?).to_owned(),
            options: (*left.get(5)?).to_owned(),
            kind: (*right.first()?).to_owned(),
            source: (*right.get(1)?).to_owned(),
            super_options: (*right.get(2)?).to_owned(),
        })
    }

    /// Whether the file system has this option.
    pub fn has(&self, option: &str) -> bool {
        self.super_options.split(',').any(|other| other == option)
    }

    /// Whether nothing can be written through this mount.
    pub fn is_read_only(&self) -> bool {
        self.options.split(',').any(|option| option == "ro")
    }
}

/// Chooses the operators among the product's pods.
pub const OPERATORS: &str = "app.kubernetes.io/component=operator";

/// The share helpers in what ps tells as pid, parent's pid and command line, but for those of a CSI controller on the same
/// machine, which keeps them for five minutes.
fn helpers(processes: &str) -> Vec<String> {
    let parsed: Vec<(&str, &str, String)> = processes
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?, words.collect::<Vec<_>>().join(" ")))
        })
        .collect();
    let is_controller = |parent: &str| {
        parsed.iter().any(|(pid, _, what)| *pid == parent && what.contains("csi-driver controller"))
    };
    parsed
        .iter()
        .filter(|(_, parent, what)| what.contains("share-helper") && !is_controller(parent))
        .map(|(pid, _, what)| format!("process {pid} {what}"))
        .collect()
}

impl Context {
    /// All mounts on a machine that are the driver's: shares, volumes, and what is nested in them.
    pub async fn mounts(&self, machine: &str) -> Result<Vec<Mount>> {
        let text = self.on(machine, "cat /proc/1/mountinfo").await?;
        let ours = |mount: &Mount| mount.at.starts_with(SHARES) || mount.at.contains(VOLUMES);
        Ok(text.lines().filter_map(Mount::parse).filter(ours).collect())
    }

    /// The mounts of one pod's volumes on its node, in mountinfo's order.
    pub async fn mounts_of(&self, pod: &Pod) -> Result<Vec<Mount>> {
        let uid = pod.metadata.uid.as_deref().context("a pod without a uid")?;
        let mut mounts = self.mounts(node_of(pod)?).await?;
        mounts.retain(|mount| mount.at.contains(&format!("/pods/{uid}/")));
        Ok(mounts)
    }

    /// The one mount of a pod that has one volume.
    pub async fn mount_of(&self, pod: &Pod) -> Result<Mount> {
        let mut mounts = self.mounts_of(pod).await?;
        let mount = mounts.pop().context("the pod has no mount of ours")?;
        ensure!(mounts.is_empty(), "more than one mount: {mounts:?} {mount:?}");
        Ok(mount)
    }

    /// Whatever the driver keeps on a machine for volumes in use: mounts, records, helper processes. One line each.
    pub async fn traces(&self, machine: &str) -> Result<Vec<String>> {
        let mut traces: Vec<String> =
            self.mounts(machine).await?.iter().map(|mount| format!("mount {}", mount.at)).collect();
        let look = "find /run/workspacefs/targets /run/workspacefs/shares -type f -printf 'record %p\\n'; \
                    find /var/lib/kubelet/plugins/csi.workspacefs.io/shares -mindepth 1 -printf 'folder %p\\n'";
        traces.extend(self.on(machine, look).await?.lines().map(str::to_owned));
        traces.extend(helpers(&self.on(machine, "ps ax -o pid=,ppid=,args=").await?));
        Ok(traces)
    }

    /// Waits until no trace is left of volumes on a machine.
    pub async fn traceless(&self, machine: &str) -> Result<()> {
        let look = || async {
            let traces = self.traces(machine).await?;
            ensure!(traces.is_empty(), "{}", traces.join("\n"));
            Ok(())
        };
        until(&format!("{machine} has no trace of any volume"), seconds(60), look).await
    }

    /// The product's pods.
    pub fn product(&self) -> Api<Pod> {
        Api::namespaced(self.client(), PRODUCT_NAMESPACE)
    }

    /// The driver's pod on a node, once it is Ready.
    pub async fn driver(&self, node: &str) -> Result<Pod> {
        let look = || async {
            let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
            let list = self.product().list(&on_node).await?;
            let is_driver = |pod: &Pod| {
                pod.metadata.name.as_deref().is_some_and(|name| name.starts_with("workspacefs-node"))
                    && pod.metadata.deletion_timestamp.is_none()
            };
            let pod = list.into_iter().find(is_driver).context("there is none")?;
            ensure!(is_ready(&pod), "it is not Ready");
            Ok(pod)
        };
        until(&format!("the driver's pod on {node} is Ready"), seconds(90), look).await
    }

    /// The CSI node service of a worker's driver, reached through the command network.
    pub async fn csi(&self, node: &str) -> Result<Csi> {
        self.csi_of(DRIVER, node).await
    }

    /// The same of one of the two drivers.
    pub async fn csi_of(&self, driver: &str, node: &str) -> Result<Csi> {
        let socket = socket(driver);
        let machine = self.machine(node)?;
        let (address, port) = (machine.plan().command_address(), 9971);
        let line = format!(
            "socat TCP-LISTEN:{port},bind={address},reuseaddr,fork UNIX-CONNECT:{socket} </dev/null >/dev/null 2>&1 & echo $!"
        );
        let relay = Relay { pid: self.on(node, &line).await?.trim().to_owned(), machine };
        let endpoint = Endpoint::from_shared(format!("http://{address}:{port}"))?;
        let connect = || async { Ok(endpoint.connect().await?) };
        let channel = until("the driver's socket is reached", seconds(15), connect).await?;
        Ok(Csi { client: NodeClient::new(channel), _relay: relay })
    }
}

/// A connection to a driver's socket.
pub struct Csi {
    /// The calls.
    pub client: NodeClient<Channel>,
    _relay: Relay,
}

/// The process that passes bytes on, ended with its user.
struct Relay {
    machine: Machine,
    pid: String,
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A machine that was cut off has lost it anyway.
        drop(self.machine.run(&["kill", &self.pid]));
    }
}

/// The node a pod runs on.
pub fn node_of(pod: &Pod) -> Result<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).context("the pod has no node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_understood_with_and_without_optional_fields() {
        let line = "36 35 0:40 /data /mnt ro,nosuid shared:1 master:2 - nfs4 10.99.0.21:/e rw,vers=4.2,hard";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.id, mount.root.as_str(), mount.at.as_str()), (36, "/data", "/mnt"));
        assert!(mount.is_read_only() && mount.has("vers=4.2") && !mount.has("vers=4"));
        assert!(Mount::parse("36 35 0:40 / /mnt rw - tmpfs tmpfs rw").is_some());
        assert!(Mount::parse("nonsense").is_none());
    }
    #[test]
    fn helpers_count_unless_a_controller_is_their_parent() {
        let processes = "    1     0 /node-init n1\n\
                         1267  1175 /csi-driver controller --http=0.0.0.0:9810\n\
                         1270  1267 /proc/self/exe share-helper 1\n\
                         15031 14953 /csi-driver node --node-name=n1\n\
                         15051 15031 /proc/self/exe share-helper 1\n\
                         15060     1 /proc/self/exe share-helper 1\n";
        let expected =
            ["process 15051 /proc/self/exe share-helper 1", "process 15060 /proc/self/exe share-helper 1"];
        assert_eq!(helpers(processes), expected);
    }
}
