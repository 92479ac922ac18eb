//! A case's source: FileSystem `data` on the storage host, whose files are written there, behind every client; and the
//! workspace's place in the suite's LocalStorage.

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::suites::context::Context;
use crate::suites::local::storage::NAME;
use crate::suites::wait::{seconds, until};

/// The FileSystem, and its folder beneath the case's own.
pub const SOURCE: &str = "data";

impl Context {
    /// Makes the source with these files and their content, and waits until it is ready.
    pub async fn source(&self, files: &[(&str, &str)]) -> Result<()> {
        self.on_server(&format!("mkdir -p {SOURCE}")).await?;
        for (path, content) in files {
            let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
            self.on_server(&format!("mkdir -p {SOURCE}/{folder}")).await?;
            self.write_source(path, content).await?;
        }
        self.on_server(&format!("chmod -R 0777 {SOURCE}")).await?;
        self.file_system(SOURCE).await.map(drop)
    }

    /// Writes a file of the source on the storage host.
    pub async fn write_source(&self, path: &str, content: &str) -> Result<()> {
        self.on_server(&format!("echo {content} > {SOURCE}/{path}")).await.map(drop)
    }

    /// Writes a file of the source that takes a throttled mover a while, in MiB.
    pub async fn write_much(&self, path: &str, mib: u32) -> Result<()> {
        let line = format!("dd if=/dev/urandom of={SOURCE}/{path} bs=1M count={mib} status=none");
        self.on_server(&line).await.map(drop)
    }

    /// Writes a folder of the source with so many files of so many MiB, named by numbers of equally many digits.
    pub async fn write_many(&self, folder: &str, files: u32, mib: u32) -> Result<()> {
        let line = format!(
            "mkdir -p {SOURCE}/{folder} && for i in $(seq -w {files}); do \
             dd if=/dev/urandom of={SOURCE}/{folder}/$i bs=1M count={mib} status=none || exit 1; done"
        );
        self.on_server(&line).await.map(drop)
    }

    /// Makes the namespace a workspace that may use the suite's LocalStorage, on n1 at least.
    pub async fn join_storage(&self) -> Result<()> {
        self.become_workspace().await?;
        self.ready_on(NAME, "n1").await?;
        // Other cases change the same list.
        let look = || async {
            let object = self.local_storages().get(NAME).await?;
            let mut workspaces = object.spec.workspaces.clone();
            if !workspaces.iter().any(|name| name == self.namespace()) {
                workspaces.push(self.namespace().to_owned());
            }
            let patch = json!({
                "metadata": { "resourceVersion": object.metadata.resource_version },
                "spec": { "workspaces": workspaces },
            });
            self.local_storages().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await?;
            Ok(())
        };
        until("the workspace is on the list", seconds(30), look).await?;
        self.bound(NAME).await.map(drop)
    }
}
