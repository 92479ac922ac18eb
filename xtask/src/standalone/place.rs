//! Where the volumes of a run lie: on the storage host's export, or on the embedded server of the installed product. What a
//! run leaves there, and how it is taken away.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use workspacefs_api::RESERVED_FOLDER;
use workspacefs_e2e::{Cluster, Machine, product};

use super::{EXPORT, SERVER};

/// The Secret that the controller shows to the agent.
const CLIENT_SECRET: &str = "workspacefs-nfs-client";

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An NFS server of one's own.
    Export,
    /// The embedded one, which must be installed.
    Embedded,
}

impl Place {
    /// The spec of the run's FileSystem.
    pub(super) fn spec(self, namespace: &str) -> Value {
        match self {
            Self::Export => {
                json!({"backend": {"nfs": {"server": SERVER, "export": EXPORT, "folder": namespace}}})
            }
            // csi-sanity asks for volumes of 10 GiB each; nothing is written into them.
            Self::Embedded => {
                json!({"backend": {"managed": {"capacity": "24Gi"}}, "reclaimPolicy": "Delete"})
            }
        }
    }

    /// Waits until the FileSystem can be used.
    pub(super) fn wait(self, cluster: &Cluster, namespace: &str) -> Result<()> {
        if self == Self::Embedded {
            let ready = ["wait", "--for=condition=Ready", "filesystem/default", "--timeout=60s"];
            let namespace = ["--namespace", namespace];
            cluster
                .kubectl("admin", &[&namespace[..], &ready].concat())
                .context("no FileSystem on the embedded server")?;
        }
        Ok(())
    }

    /// What the controller's process is told beside its endpoints. Writes what it needs into the run's folder on `node`.
    pub(super) fn controller_arguments(self, cluster: &Cluster, node: &Machine, run: &str) -> Result<String> {
        if self == Self::Export {
            return Ok(String::new());
        }
        let secret =
            ["--namespace", product::NAMESPACE, "get", "secret", CLIENT_SECRET, "--output=jsonpath={.data}"];
        let data: Value = serde_json::from_str(&cluster.kubectl("admin", &secret)?)?;
        for (name, content) in data.as_object().context("a Secret without data")? {
            let content = content.as_str().unwrap_or_default();
            node.shell(&format!(
                "umask 077 && mkdir -p {run}/tls && echo '{content}' | base64 -d > {run}/tls/{name}"
            ))?;
        }
        Ok(format!("--agent-tls={run}/tls"))
    }

    /// The names in the trash.
    pub(super) fn trash(self, cluster: &Cluster) -> Result<Vec<String>> {
        let listed = match self {
            Self::Export => self.list(cluster, &format!("{EXPORT}/{RESERVED_FOLDER}/trash"))?,
            Self::Embedded => self.list(cluster, "trash")?,
        };
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Volumes of the FileSystem that are still there: left-overs.
    pub(super) fn volumes(self, cluster: &Cluster, uid: &str) -> Result<Vec<String>> {
        let listed = match self {
            Self::Export => self.list(cluster, &format!("{EXPORT}/{RESERVED_FOLDER}/volumes/{uid}"))?,
            Self::Embedded => self.list(cluster, &format!("export/claims/{uid}"))?,
        };
        Ok(listed.lines().map(|volume| format!("volume {volume} on the share")).collect())
    }

    /// What is in a folder, which need not be there; one name a line.
    fn list(self, cluster: &Cluster, folder: &str) -> Result<String> {
        let line = format!("ls -A {folder} 2>/dev/null || true");
        Ok(match self {
            Self::Export => cluster.machine("nfs")?.shell(&line)?,
            Self::Embedded => product::on_server_disk(cluster, &line)?,
        })
    }

    /// Removes the run's folders. On the embedded server that is the product's work, when its FileSystem goes.
    pub(super) fn clean(
        self,
        cluster: &Cluster,
        namespace: &str,
        uid: &str,
        trash_before: &[String],
    ) -> Result<()> {
        if self == Self::Embedded {
            return Ok(());
        }
        let reserved = format!("{EXPORT}/{RESERVED_FOLDER}");
        let mut remove = vec![
            format!("{EXPORT}/{namespace}"),
            format!("{reserved}/volumes/{uid}"),
            format!("{reserved}/owners/{uid}.json"),
        ];
        let new = self.trash(cluster)?.into_iter().filter(|name| !trash_before.contains(name));
        remove.extend(new.map(|name| format!("{reserved}/trash/{name}")));
        let argv: Vec<&str> =
            ["rm", "-rf", "--"].into_iter().chain(remove.iter().map(String::as_str)).collect();
        cluster.machine("nfs")?.run(&argv)?;
        Ok(())
    }
}
