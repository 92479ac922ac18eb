//! `cargo xtask demo dashboard`: a workspace with sample data, and the gateway's pages at a port of this computer's loopback, which
//! leads into the cluster's network until Ctrl-C. It can be run again; the cluster keeps running.

mod picture;
mod sample;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use workspacefs_e2e::host::forward::Forwarder;
use workspacefs_e2e::host::process::Process;
use workspacefs_e2e::suites::{self, Context, Door, until};
use workspacefs_e2e::{Cluster, ClusterConfig, product};

use crate::images;

/// The suite whose leftovers are removed: pods of another installation's volumes cannot end once that has gone.
const SUITE: &str = "files";
/// The workspace.
const WORKSPACE: &str = "demo-files";
/// Who logs in: a ServiceAccount of the workspace.
const VISITOR: &str = "visitor";
/// The port of this computer, if it is free.
const PORT: u16 = 8443;
/// The process that leads there after the demo has ended, in the cluster's records: it ends with the cluster.
const FORWARDER: &str = "dashboard-forwarder";

/// Starts what is missing, fills the workspace, then forwards until Ctrl-C.
pub fn run(name: &str, as_installed: bool) -> Result<()> {
    println!("Building the pages and the images and starting the cluster, as far as they are not there yet.");
    let images = if as_installed { None } else { Some(images::build()?) };
    let cluster = Cluster::up(&ClusterConfig::from_environment(name)?)?;
    if images.is_some()
        && let Err(error) = suites::clear(&cluster, SUITE)
    {
        println!("not removed yet, and tried again with the product installed: {error:#}");
    }
    let door = suites::in_namespace(&cluster, WORKSPACE, async |context| {
        let mut door = Err(anyhow::anyhow!("not asked for yet"));
        let does =
            "helm upgrade --install workspacefs charts/workspacefs, with files.enabled and dashboard.enabled";
        let install = context.blocking(move |cluster| installed(cluster, images)).await;
        shown(does, "every pod of the chart is ready", async { install }).await?;
        let does = "kubectl create namespace demo-files, labelled workspacefs.io/workspace=true; a ServiceAccount with the role \
                    workspacefs-editor there";
        shown(does, "its FileSystem default is Ready, and files run for it", workspace(&context)).await?;
        let does =
            "upload folders, texts and a picture through the gateway; write 10,000 files on the storage host";
        let fill = async {
            let (found, said) = sample::fill(&context, VISITOR).await?;
            door = Ok(found);
            Ok(said)
        };
        shown(does, "the gateway lists them", fill).await?;
        door
    })?;
    let forwarder = Forwarder::listen(PORT)?;
    let address = forwarder.address()?;
    let (namespace, to) = (cluster.namespace().clone(), door.address());
    let forwarding = std::thread::spawn(move || forwarder.run(&namespace, to));
    println!("\n{}", words(&cluster, WORKSPACE, &answering(&door, address)?, address));
    println!("\nCtrl-C ends this forwarding; the cluster keeps running.");
    forwarding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(())
}

/// The dashboard of a cluster that has it, at a port of this computer for as long as the cluster runs: what a person needs to log
/// in to the workspace.
pub fn opened(cluster: &Cluster, workspace: &str) -> Result<String> {
    let door = suites::in_namespace(cluster, workspace, async |context| {
        context.files_run("default").await?;
        visitor(&context).await?;
        Door::of(&context).await
    })?;
    let (records, log) = (cluster.layout().processes(), cluster.layout().log(FORWARDER));
    if let Some(earlier) = Process::read(&records, FORWARDER)? {
        earlier.kill()?;
    }
    // Let go of at once, and taken by the process that stays.
    let address = Forwarder::listen(PORT)?.address()?;
    let mut forward = Command::new(std::env::current_exe()?);
    forward.args(["cluster", "--name", cluster.name(), "forward"]);
    forward.args([address.port().to_string(), door.address().to_string()]);
    Process::start_outside(FORWARDER, &forward, &log, &records)?;
    let version = answering(&door, address).with_context(|| tail(&log))?;
    Ok(words(cluster, workspace, &version, address))
}

/// What the forwarder said.
fn tail(log: &Path) -> String {
    let said = std::fs::read(log).unwrap_or_default();
    workspacefs_e2e::host::command::last_lines(&String::from_utf8_lossy(&said), 5)
}

/// Asks at the port of this computer, outside of the cluster's network, as a browser would: the gateway's version.
fn answering(door: &Door, address: SocketAddr) -> Result<String> {
    let here = door.behind(address)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let look = || async {
        let answer = here.nobody().get("version").await?.expect(200)?.json()?;
        answer["version"].as_str().map(str::to_owned).context("it names no version")
    };
    runtime.block_on(until("the dashboard answers at this computer's port", suites::seconds(30), look))
}

fn words(cluster: &Cluster, workspace: &str, version: &str, address: SocketAddr) -> String {
    let name = if cluster.name() == "dev" { String::new() } else { format!(" --name {}", cluster.name()) };
    let kubectl =
        format!("cluster{name} kubectl -- create token {VISITOR} --namespace {workspace} --duration 8h");
    [
        format!("Dashboard:  https://{address}/  (version {version})"),
        "            It has a certificate of its own making, of which the browser will warn.".to_owned(),
        "Log in with the token that this prints:".to_owned(),
        format!("            make --silent xtask ARGS=\"{kubectl}\""),
    ]
    .join("\n")
}

async fn shown(does: &str, expects: &str, run: impl Future<Output = Result<String>>) -> Result<()> {
    let started = super::begin(does);
    let result = run.await;
    let passed = super::end(expects, started, &result);
    ensure!(passed, "the demo ends here");
    Ok(())
}

fn installed(cluster: &Cluster, images: Option<Vec<std::path::PathBuf>>) -> Result<String> {
    if let Some(images) = images {
        let mut values = product::values();
        product::add_files(&mut values);
        product::install(cluster, &images, &values)?;
        suites::clear(cluster, SUITE)?;
    }
    let values = product::installed_values(cluster)?;
    let enabled = values["files"]["enabled"] == true && values["dashboard"]["enabled"] == true;
    ensure!(enabled, "what is installed has no dashboard: leave out --as-installed");
    super::steps::what_is_installed(cluster)
}

async fn workspace(context: &Context) -> Result<String> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": context.namespace(), "labels": { "workspacefs.io/workspace": "true" },
    } });
    context.apply(&namespace.to_string()).await?;
    context.usable("default").await?;
    context.files_run("default").await?;
    visitor(context).await?;
    let ended = context.kubectl(&["get", "filesystems,pods"], "").await?;
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// The ServiceAccount with the chart's role for who may change files; again if need be.
async fn visitor(context: &Context) -> Result<()> {
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": VISITOR } });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": VISITOR },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "workspacefs-editor" },
        "subjects": [{ "kind": "ServiceAccount", "name": VISITOR, "namespace": context.namespace() }],
    });
    context.apply(&account.to_string()).await?;
    context.apply(&binding.to_string()).await
}
