//! A folder of an NFS server, mounted on a machine as the node plugin does it: version 4.2, hard.

use anyhow::{Context, Result};
use serde_json::Value;
use workspacefs_e2e::Machine;

use crate::standalone::Standalone;

/// A mount; ends when dropped.
pub struct Mounted {
    machine: Machine,
    path: String,
}

impl Mounted {
    /// Mounts `source` (server:/path) on the machine, under a name of its own.
    pub fn new(machine: &Machine, source: &str, name: &str) -> Result<Self> {
        let path = format!("/run/wsfs-bench-mounts/{name}");
        // What an interrupted run left is in the way.
        machine.shell(&format!(
            "mkdir -p {path} && {{ umount -l {path} 2>/dev/null || true; }} && mount -t nfs4 -o vers=4.2,hard {source} {path}"
        ))?;
        Ok(Self { machine: machine.clone(), path })
    }

    /// Where.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.machine.run(&["umount", &self.path]) {
            eprintln!("{} stays mounted: {error}", self.path);
        }
    }
}

/// Where the run's FileSystem lies on the embedded server.
pub struct Share {
    /// Address of the server.
    pub server: String,
    /// What it exports.
    pub export: String,
    /// The FileSystem's own folder beneath that.
    pub folder: String,
}

impl Share {
    /// Of the run's FileSystem.
    pub fn of(driver: &Standalone) -> Result<Self> {
        let namespace = driver.namespace();
        let query = ["get", "filesystem", "default", "--namespace", &namespace, "--output=json"];
        let object: Value = serde_json::from_str(&driver.cluster().kubectl("admin", &query)?)?;
        let field = |name: &str| {
            let text = object["status"]["share"][name].as_str();
            Ok::<_, anyhow::Error>(text.with_context(|| format!("status.share has no {name}"))?.to_owned())
        };
        Ok(Self { server: field("server")?, export: field("export")?, folder: field("folder")? })
    }

    /// As mount(8) takes it.
    pub fn source(&self) -> String {
        format!("{}:{}/{}", self.server, self.export, self.folder)
    }
}
