//! The embedded server as cases see it: its pod, its disk, its command line; and FileSystems on it.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use workspacefs_api::FileSystem;

use crate::product::{self, SERVER_POD};
use crate::suites::context::{Context, is_ready};
use crate::suites::report::PRODUCT_NAMESPACE;
use crate::suites::wait::{seconds, until};

impl Context {
    /// Makes a FileSystem on the embedded server and waits until it is ready and its claim bound.
    pub async fn managed(&self, name: &str, capacity: &str) -> Result<FileSystem> {
        self.managed_with(name, capacity, json!({})).await
    }

    /// The same, with further fields of the spec.
    pub async fn managed_with(&self, name: &str, capacity: &str, mut spec: Value) -> Result<FileSystem> {
        spec["backend"] = json!({ "managed": { "capacity": capacity } });
        self.file_system_with(name, spec).await
    }

    /// The server's pod, once it is Ready.
    pub async fn server(&self) -> Result<Pod> {
        let look = || async {
            let pod = self.product().get(SERVER_POD).await?;
            ensure!(is_ready(&pod), "it is not Ready");
            Ok(pod)
        };
        until("the embedded server is Ready", seconds(150), look).await
    }

    /// Runs a line of shell where the server's disk is, at its root; it must succeed.
    pub async fn on_disk(&self, line: &str) -> Result<String> {
        let line = line.to_owned();
        self.blocking(move |cluster| product::on_server_disk(cluster, &line)).await
    }

    /// The agent's command line, as the documents say it.
    pub async fn agent(&self, arguments: &[&str]) -> Result<String> {
        let mut words = vec!["--namespace", PRODUCT_NAMESPACE, "exec", SERVER_POD, "--", "nfs-server"];
        words.extend(arguments);
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        self.blocking(move |cluster| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            cluster.kubectl("admin", &words)
        })
        .await
    }

    /// Where a FileSystem's own folder is, beneath the disk's root.
    pub async fn folder_of(&self, name: &str) -> Result<String> {
        let object = self.file_systems().get(name).await?;
        let share = object.status.and_then(|status| status.share).context("it has no place yet")?;
        Ok(format!("export/{}", share.folder))
    }
}
