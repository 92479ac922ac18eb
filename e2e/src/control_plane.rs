//! etcd and Kubernetes' control plane, as plain processes in the network namespace.

use crate::config::Layout;
use crate::credentials::Credentials;
use crate::host::command::command;
use crate::topology::{API_PORT, GATEWAY, PODS, SERVICES};
use std::path::Path;
use std::process::Command;

/// One program of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

/// All of them, in the order in which they start.
pub const PARTS: [Part; 4] = [Part::Etcd, Part::ApiServer, Part::ControllerManager, Part::Scheduler];

impl Part {
    /// The program's name; also that of its log and its record.
    pub fn name(self) -> &'static str {
        match self {
            Part::Etcd => "etcd",
            Part::ApiServer => "kube-apiserver",
            Part::ControllerManager => "kube-controller-manager",
            Part::Scheduler => "kube-scheduler",
        }
    }

    /// Its command line.
    pub fn command(self, program: &Path, layout: &Layout) -> Command {
        let mut command = command(&[program]);
        command.args(match self {
            Part::Etcd => etcd(layout),
            Part::ApiServer => api_server(layout),
            Part::ControllerManager => controller_manager(layout),
            Part::Scheduler => scheduler(layout),
        });
        command
    }
}

fn etcd(layout: &Layout) -> Vec<String> {
    vec![
        format!("--data-dir={}", layout.etcd().display()),
        "--listen-client-urls=http://127.0.0.1:2379".into(),
        "--advertise-client-urls=http://127.0.0.1:2379".into(),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
        // The data lives as long as the cluster; the host's disk is not waited for.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

fn api_server(layout: &Layout) -> Vec<String> {
    let file = |name: &str| Credentials::of(layout).file(name).display().to_string();
    vec![
        "--etcd-servers=http://127.0.0.1:2379".into(),
        format!("--advertise-address={GATEWAY}"),
        format!("--secure-port={API_PORT}"),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--token-auth-file={}", file("tokens.csv")),
        format!("--kubelet-certificate-authority={}", file("ca.crt")),
        format!("--kubelet-client-certificate={}", file("kubelet-client.crt")),
        format!("--kubelet-client-key={}", file("kubelet-client.key")),
        // There is no DNS: without it exec and logs fail.
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", file("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", file("service-accounts.key")),
        "--profiling=false".into(),
    ]
}

fn controller_manager(layout: &Layout) -> Vec<String> {
    let file = |name: &str| Credentials::of(layout).file(name).display().to_string();
    let kubeconfig = layout.kubeconfig(Part::ControllerManager.name());
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-ca-file={}", file("ca.crt")),
        format!("--service-account-private-key-file={}", file("service-accounts.key")),
        "--use-service-account-credentials=true".into(),
        format!("--cluster-cidr={PODS}"),
        "--bind-address=127.0.0.1".into(),
        "--leader-elect=false".into(),
        "--profiling=false".into(),
    ]
}

fn scheduler(layout: &Layout) -> Vec<String> {
    let kubeconfig = layout.kubeconfig(Part::Scheduler.name());
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        "--bind-address=127.0.0.1".into(),
        "--leader-elect=false".into(),
        "--profiling=false".into(),
    ]
}
