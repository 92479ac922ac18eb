//! How full a share of a server of your own is: its FileSystems' status says it, and an Event when little is left.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use workspacefs_api::{Usage, UsageScope, quantity};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::pod::PodSpec;
use crate::suites::wait::{seconds, until};

const MIB: u64 = 1 << 20;
/// What the share may hold, by a project quota on the storage host: statfs shows its limit.
const SIZE_MIB: u64 = 128;
/// More than nine tenths of it.
const WRITTEN_MIB: u64 = 119;
/// The project on the storage host, which has no other.
const PROJECT: u32 = 7701;
/// A look at the share, the operator's pass, and much more.
const TOLD_MAX: std::time::Duration = seconds(120);

pub fn cases() -> Vec<Case> {
    cases![a_share_that_fills_up_is_told_of_and_so_is_that_it_has_space_again]
}

impl Context {
    /// What the status says of the share.
    async fn share_usage(&self, fits: impl Fn(&Usage) -> bool) -> Result<Usage> {
        let look = || async {
            let object = self.file_systems().get("data").await?;
            let usage = object.status.and_then(|status| status.usage).context("no usage yet")?;
            ensure!(fits(&usage), "it is {usage:?}");
            Ok(usage)
        };
        until("the status says how full the share is", TOLD_MAX, look).await
    }

    /// The warnings about the FileSystem that speak of its share.
    async fn warnings_of_the_share(&self) -> Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.client(), self.namespace());
        let all = events.list(&ListParams::default()).await?;
        let of_it = all.into_iter().filter(|event| {
            event.type_.as_deref() == Some("Warning")
                && event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some("data")
        });
        Ok(of_it.filter_map(|event| event.note).filter(|note| note.contains("share as a whole")).collect())
    }

    async fn fill_and_empty_a_share(&self, export: &str) -> Result<()> {
        let nfs = json!({ "server": "10.99.0.21", "export": export, "folder": "files" });
        self.file_system_with("data", json!({ "backend": { "nfs": nfs } })).await?;
        let size = SIZE_MIB * MIB;
        let bytes = |text: &str| quantity::bytes(text).unwrap_or_default();
        let usage = self.share_usage(|usage| bytes(&usage.capacity.0) == size).await?;
        ensure!(usage.scope == UsageScope::Share, "its scope is {:?}", usage.scope);
        ensure!(self.warnings_of_the_share().await?.is_empty(), "it is warned of an empty share");

        self.start([PodSpec::new("writer").on("n1").claim("data", "/data")]).await?;
        let write = format!("dd if=/dev/zero of=/data/big bs=1M count={WRITTEN_MIB} conv=fsync 2>&1");
        self.exec("writer", &write).await?;
        self.share_usage(|usage| bytes(&usage.used.0) >= WRITTEN_MIB * MIB).await?;
        let told = || async {
            let warnings = self.warnings_of_the_share().await?;
            warnings.first().cloned().context("nobody is warned")
        };
        let message = until("a Warning says that the share is nearly full", TOLD_MAX, told).await?;
        ensure!(message.contains(export), "which share? {message}");
        self.note(message);
        self.condition("data", "SpaceLow", "True", seconds(10)).await?;

        self.exec("writer", "rm /data/big && sync -d /data").await?;
        self.share_usage(|usage| bytes(&usage.used.0) < size / 2).await?;
        let fine = || async {
            let object = self.file_systems().get("data").await?;
            ensure!(object.condition("SpaceLow").is_none(), "condition SpaceLow is still there");
            Ok(())
        };
        until("there is space again", seconds(30), fine).await?;
        self.stop("writer").await?;
        self.remove_file_system("data").await
    }
}

async fn a_share_that_fills_up_is_told_of_and_so_is_that_it_has_space_again(context: Context) -> Result<()> {
    let export = format!("/export/{}", context.namespace());
    let make = format!(
        "mkdir -p {export} && chmod 0777 {export} && xfs_quota -x -c 'project -s -p {export} {PROJECT}' \
         -c 'limit -p bhard={SIZE_MIB}m {PROJECT}' /export && \
         exportfs -o rw,sync,no_root_squash,no_subtree_check '*:{export}'"
    );
    context.on("nfs", &make).await?;
    let outcome = context.fill_and_empty_a_share(&export).await;
    let unmake = format!(
        "exportfs -u '*:{export}'; rm -rf {export}; xfs_quota -x -c 'limit -p bhard=0 {PROJECT}' /export"
    );
    context.on("nfs", &unmake).await?;
    outcome
}
