//! The Helm chart, rendered by the real Helm, and the rules for what it renders.

mod files;
mod policies;
mod rules;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use workspacefs_e2e::ClusterConfig;
use workspacefs_e2e::build::programs::Programs;
use workspacefs_e2e::progress::Progress;

use crate::shell;

/// Values that the schema must refuse, as `--set` takes them: a slip of the pen each.
const REFUSED: [&str; 35] = [
    "kubeletdir=/var/lib/kubelet",
    "node.htttpPort=1",
    "kubeletDir=var/lib/kubelet",
    "kubeletDir=/var/lib/../../etc",
    "workspaceSelector=",
    "operator.replicas=-1",
    "node.rpcDeadlineSeconds=0",
    "defaultFileSystem.backend.nfs.server=only",
    "defaultFileSystem=true",
    "defaultFileSystem.backend.managed.capacity=lots",
    "nfsServer.storage.directory.path=/srv/workspacefs",
    "nfsServer.storage.block.size=10Gi",
    "nfsServer.nodeCIDRs={10.0.0.1}",
    "controller.kubeAPIQPS=0",
    "controller.lookIntervalSeconds=0",
    "localStorage.enabled=maybe",
    "localStorage.directories={mnt/disks}",
    "localStorage.directories={/etc/kubernetes}",
    "localStorage.directories={/mnt/../etc}",
    "caches.enabled=maybe",
    "caches.localCache=maybe",
    "files.enabled=maybe",
    "files.cleanUp=maybe",
    "files.trashDays=-1",
    "files.uploadDays=0",
    "files.allowEndpoints={a b}",
    "files.resources.limit.cpu=1",
    "files.rsync.enabled=maybe",
    "files.rsync.connections=0",
    "files.rsync.expose.port=1",
    "dashboard.enabled=true",
    "dashboard.replicas=2",
    "dashboard.proxy.userHeader=a b",
    "files.enabled=true,dashboard.enabled=true,dashboard.proxy.enabled=true",
    "files.enabled=true,dashboard.enabled=true,dashboard.httpRoute.enabled=true",
];

/// A chart and the program that renders it.
pub struct Chart {
    helm: PathBuf,
    folder: PathBuf,
}

impl Chart {
    /// Our chart. Builds Helm where the cache does not have it.
    pub fn open() -> Result<Chart> {
        let programs = Programs::build(&ClusterConfig::from_environment("lint")?, &Progress::default())?;
        let helm = programs.path("helm").context("the programs have no helm")?;
        Ok(Chart { helm, folder: shell::root().join("charts/workspacefs") })
    }

    /// Helm's own lint, the schema, and our rules, with the default values and with each file of `ci/`.
    pub fn check(&self) -> Result<()> {
        let mut values = vec![None];
        for entry in std::fs::read_dir(self.folder.join("ci"))? {
            values.push(Some(entry?.path()));
        }
        shell::output(Command::new(&self.helm).args(["lint", "--strict", "--quiet"]).arg(&self.folder))?;
        for values in &values {
            let objects = parse(&self.template(values.as_deref())?)?;
            let mut broken = rules::broken(&objects);
            // Switched off is one of them on purpose.
            let all_on = values.as_ref().is_none_or(|file| !file.ends_with("everything-values.yaml"));
            broken.extend(policies::broken(&objects, all_on));
            broken.extend(files::broken(&objects, all_on));
            let with = values.as_ref().map_or("the default values".into(), |file| file.display().to_string());
            ensure!(broken.is_empty(), "the chart, rendered with {with}: {}", broken.join("; "));
        }
        for set in REFUSED {
            let rendered = shell::output(self.command().args(["--set", set]));
            ensure!(rendered.is_err(), "values.schema.json accepts --set {set}");
        }
        Ok(())
    }

    /// What `kubectl apply -k deploy/kustomize` applies: the chart with its default values, without Helm's marks.
    pub fn kustomize_base(&self) -> Result<String> {
        // A hook belongs to Helm: as a plain object the Job would run at once.
        Ok(plain(&shell::output(self.command().arg("--no-hooks"))?))
    }

    /// Everybody's rights, the gateway and its policies, with files in the browser switched on: committed, so that a change of a
    /// right is seen where it is reviewed.
    pub fn files(&self) -> Result<String> {
        let mut helm = self.command();
        helm.arg("--values").arg(self.folder.join("ci/files-values.yaml"));
        for template in [
            "operator-config",
            "operator-rbac",
            "retire-rbac",
            "dashboard-rbac",
            "user-roles",
            "dashboard",
            "files-policies",
        ] {
            helm.args(["--show-only", &format!("templates/{template}.yaml")]);
        }
        Ok(plain(&shell::output(&mut helm)?))
    }

    fn template(&self, values: Option<&Path>) -> Result<String> {
        let mut helm = self.command();
        if let Some(file) = values {
            helm.arg("--values").arg(file);
        }
        shell::output(&mut helm)
    }

    fn command(&self) -> Command {
        let mut helm = Command::new(&self.helm);
        helm.args(["template", "workspacefs"]).arg(&self.folder).args(["--namespace", "workspacefs-system"]);
        helm
    }
}

/// Without Helm's marks.
fn plain(rendered: &str) -> String {
    let lines = rendered.lines().filter(|line| !line.trim_start().starts_with("helm.sh/chart:"));
    let text: Vec<&str> = lines.map(str::trim_end).collect();
    let text = text.join("\n").replace("managed-by: Helm", "managed-by: kustomize");
    format!(
        "# Generated by `cargo xtask generate` from charts/workspacefs. Do not edit.\n{}\n",
        text.trim_end()
    )
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn parse(rendered: &str) -> Result<Vec<Value>> {
    let documents = rendered.split("\n---").filter(|text| text.lines().any(|line| line.contains("kind:")));
    documents.map(|text| serde_saphyr::from_str(text).with_context(|| format!("not YAML: {text}"))).collect()
}
