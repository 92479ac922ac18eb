//! Where the programs are started: with a kubeconfig, an address and a port that lead into the cluster over a longer way.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use workspacefs_bench::command_line::Distance;
use workspacefs_bench::run::{self, Usage};
use workspacefs_e2e::Cluster;
use workspacefs_e2e::suites::{Context, Shop, seconds, until};

use super::ways::{Way, words};
use crate::shell;

/// What is added to each way and back.
const ROUND_TRIP: Duration = Duration::from_millis(20);
/// A program that hangs is ended, in seconds.
const TIME_MAX: &str = "1800";
/// As whom `wfs` acts, where the kubeconfig could be anybody's.
const ACCOUNT: &str = "editor";
/// What would lead `wfs` elsewhere.
const NOT_INHERITED: [&str; 8] = [
    "WFS_URL",
    "WFS_CA",
    "WFS_TOKEN",
    "WFS_TOKEN_FILE",
    "WFS_WORKSPACE",
    "LEPTON_WORKSPACE_ID",
    "LEPTON_WORKSPACE_TOKEN",
    "LEPTON_WORKSPACE_URL",
];

/// The environment of each program.
pub struct Desk {
    folder: PathBuf,
    binaries: PathBuf,
    kubectl: PathBuf,
    straight: Vec<(&'static str, OsString)>,
    /// Who comes and where to, as rsync's URLs have it.
    daemon: String,
    password: String,
    /// They lead there as long as they live.
    _ways: [Distance; 3],
}

/// Of the peers, for the page.
pub fn versions(cluster: &Cluster) -> Result<String> {
    let said = shell::output(Command::new(cluster.program("kubectl")?).args([
        "version",
        "--client",
        "--output=json",
    ]))?;
    let said: Value = serde_json::from_str(&said)?;
    let kubectl = said["clientVersion"]["gitVersion"].as_str().context("kubectl has no version")?;
    let rsync = shell::output(Command::new("rsync").arg("--version"))?;
    let rsync = rsync.split_whitespace().nth(2).context("rsync has no version")?;
    Ok(format!("kubectl {}, rsync {rsync}", kubectl.trim_start_matches('v')))
}

impl Desk {
    /// Files of its own lie in the folder.
    pub async fn open(context: &Context, shop: &Shop, folder: &Path, binaries: &Path) -> Result<Self> {
        let cluster = context.cluster();
        let text = std::fs::read_to_string(cluster.kubeconfig("admin"))?;
        let mut kubeconfig: Value = serde_json::from_str(&text)?;
        let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().unwrap_or_default();
        let server: SocketAddr = server.trim_start_matches("https://").parse().context(server.to_owned())?;
        let api_server = Distance::to(server, ROUND_TRIP)?;
        // The API server's certificate is for 127.0.0.1 too.
        kubeconfig["clusters"][0]["cluster"]["server"] = format!("https://{}", api_server.address()).into();
        kubeconfig["contexts"][0]["context"]["namespace"] = context.namespace().into();
        std::fs::write(folder.join("kubeconfig"), kubeconfig.to_string())?;

        let gateway = Distance::to(shop.door.address(), ROUND_TRIP)?;
        let straight = vec![
            ("WFS_URL", format!("https://{}", gateway.address()).into()),
            ("WFS_CA", format!("sha256:{}", shop.door.fingerprint()).into()),
            ("WFS_TOKEN", shop.token.clone().into()),
            ("WFS_WORKSPACE", context.namespace().into()),
        ];
        let (daemon, password) = exposed(context, shop).await?;
        let daemon = Distance::to(daemon, ROUND_TRIP)?;
        Ok(Self {
            folder: folder.to_owned(),
            binaries: binaries.to_owned(),
            kubectl: cluster.program("kubectl")?,
            straight,
            daemon: format!("{}@{}", context.namespace(), daemon.address()),
            password,
            _ways: [api_server, gateway, daemon],
        })
    }

    /// Where the daemon is, from here.
    pub fn daemon(&self) -> &str {
        &self.daemon
    }

    /// Runs it in that folder, to its end.
    pub fn run(&self, way: Way, command: &str, folder: &Path) -> Result<Usage> {
        let mut words = words(command);
        let program = match words.next() {
            Some("kubectl") => self.kubectl.clone(),
            Some("wfs") => self.binaries.join("wfs"),
            other => PathBuf::from(other.context("an empty command")?),
        };
        let mut timed = Command::new("timeout");
        timed.arg(TIME_MAX).arg(program).args(words).current_dir(folder).env("HOME", &self.folder);
        for name in NOT_INHERITED {
            timed.env_remove(name);
        }
        match way {
            Way::Straight => timed.envs(self.straight.iter().cloned()).env("KUBECONFIG", "/dev/null"),
            Way::Rsync => timed.env("RSYNC_PASSWORD", &self.password),
            // By WebSocket, its default, it ended with an i/o timeout.
            Way::KubectlCp => timed
                .env("KUBECONFIG", self.folder.join("kubeconfig"))
                .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"),
            Way::Forwarded | Way::Tunnelled => {
                timed.env("KUBECONFIG", self.folder.join("kubeconfig")).env("WFS_SERVICE_ACCOUNT", ACCOUNT)
            }
        };
        run::run(&self.binaries.join("measured"), &timed).with_context(|| command.to_owned())
    }
}

/// The daemon's port past the gateway and its password, as the gateway tells them to the real `lep`.
async fn exposed(context: &Context, shop: &Shop) -> Result<(SocketAddr, String)> {
    let ask = async |rest: &str| {
        let workspace = context.namespace();
        let line = format!("GET /api/v2/workspaces/{workspace}/deployments/storage-rsync-by-lepton{rest}");
        let (status, body) = shop.door.ask_raw(context, &line, &shop.token).await?;
        ensure!(status == 200, "it answers {status} {body}");
        Ok(serde_json::from_str::<Value>(&body)?)
    };
    let look = || async {
        let (told, replicas) = (ask("").await?, ask("/replicas").await?);
        let (spec, host) = (&told["spec"], replicas[0]["status"]["public_ip"].as_str().unwrap_or_default());
        let address = format!("{host}:{}", spec["container"]["ports"][0]["host_port"]);
        let password = spec["envs"][0]["value"].as_str().context("no password")?;
        Ok((address.parse().context(address)?, password.to_owned()))
    };
    until("the daemon's port is exposed", seconds(60), look).await
}
