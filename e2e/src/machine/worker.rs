//! A worker: containerd, kubelet, kube-proxy, and the network of its pods.

use super::description::{Part, file, secret, serve, sysctls, words};
use crate::topology::{Drive, PODS, Plan};
use serde_json::json;
use workspacefs_node_init::spec::Step;

/// The pause image's name; see [`crate::cluster`].
pub const PAUSE_IMAGE: &str = "workspacefs.io/pause:dev";

const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";
const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
const KUBELET_CONFIG: &str = "/etc/kubernetes/kubelet.json";
const KUBELET_KUBECONFIG: &str = "/etc/kubernetes/kubelet.kubeconfig";
const KUBELET_CERTIFICATE: &str = "/etc/kubernetes/kubelet.crt";
const KUBELET_KEY: &str = "/etc/kubernetes/kubelet.key";
const PROXY_CONFIG: &str = "/etc/kubernetes/kube-proxy.json";
const PROXY_KUBECONFIG: &str = "/etc/kubernetes/kube-proxy.kubeconfig";
const AUTHORITY: &str = "/etc/kubernetes/ca.crt";

/// Texts from the cluster's credentials that go onto a worker.
pub struct Secrets {
    /// The authority's certificate, PEM.
    pub authority: String,
    /// The certificate of kubelet's server, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    /// The node's own kubeconfig.
    pub kubelet: String,
    /// kube-proxy's.
    pub proxy: String,
}

/// What makes a machine a worker.
pub fn part(plan: &Plan, pods: &str, secrets: Secrets) -> Part {
    Part {
        modules: words(
            "overlay veth bridge br_netfilter nf_conntrack iptable_nat iptable_filter iptable_mangle xt_comment \
             xt_conntrack xt_mark xt_statistic xt_MASQUERADE xt_addrtype xt_nat nfs nfsv3 nfsv4 loop xfs cachefiles",
        ),
        sysctls: sysctls(&[
            ("net/ipv4/ip_forward", "1"),
            ("net/bridge/bridge-nf-call-iptables", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            // kubelet insists on these.
            ("kernel/panic", "10"),
            ("kernel/panic_on_oops", "1"),
            ("vm/overcommit_memory", "1"),
            ("fs/inotify/max_user_instances", "1024"),
            // Files reach the disk within two seconds, not half a minute: a power cut loses as little as it can.
            ("vm/dirty_writeback_centisecs", "50"),
            ("vm/dirty_expire_centisecs", "100"),
        ]),
        files: vec![
            file(CONTAINERD_CONFIG, containerd_config()),
            file("/etc/cni/net.d/10-pods.conflist", pod_network(pods)),
            file(KUBELET_CONFIG, kubelet_config()),
            file(PROXY_CONFIG, proxy_config(plan)),
            file(AUTHORITY, secrets.authority),
            file(KUBELET_CERTIFICATE, secrets.certificate),
            secret(KUBELET_KEY, secrets.key),
            secret(KUBELET_KUBECONFIG, secrets.kubelet),
            secret(PROXY_KUBECONFIG, secrets.proxy),
        ],
        steps: vec![
            platters(plan),
            serve("containerd", &format!("containerd --config {CONTAINERD_CONFIG}"), Some(CONTAINERD_SOCKET)),
            serve("kubelet", &kubelet_command(plan), None),
            serve("kube-proxy", &format!("kube-proxy --config={PROXY_CONFIG}"), None),
        ],
    }
}

/// Has the one drive say that it has platters, before anybody looks. This kernel takes that back whenever a disk is opened
/// that nobody else has open: so it is held open, which keeps nobody from mounting or formatting it.
fn platters(plan: &Plan) -> Step {
    let serial = plan.drive_serial(Drive::Hdd).unwrap_or_default();
    let done = "/run/platters";
    // No line break ends a serial number.
    let script = format!(
        "for disk in /sys/block/ubd*; do read -r serial < $disk/serial || true; \
         [ \"$serial\" = {serial} ] || continue; \
         exec 3< /dev/${{disk##*/}}; echo 1 > $disk/queue/rotational; done; : > {done}; exec sleep infinity"
    );
    let argv = vec!["sh".into(), "-ec".into(), script];
    Step::Serve { name: "platters".into(), argv, ready_path: Some(done.into()) }
}

fn kubelet_command(plan: &Plan) -> String {
    format!(
        "kubelet --config={KUBELET_CONFIG} --kubeconfig={KUBELET_KUBECONFIG} --node-ip={} --hostname-override={} --v=2",
        plan.address(),
        plan.name
    )
}

/// No registry is reached, so the sandbox's image is pinned and imported; the plugins are Debian's.
fn containerd_config() -> String {
    format!(
        r#"version = 3

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "/etc/cni/net.d"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "/usr/sbin/runc"
  SystemdCgroup = false
"#
    )
}

fn pod_network(pods: &str) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": pods }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                    // Gone after a power cut, like the pods whose addresses it lists.
                    "dataDir": "/run/cni",
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
    .to_string()
}

fn kubelet_config() -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": AUTHORITY },
        },
        "authorization": { "mode": "Webhook" },
        // Made by us: the pair that kubelet makes for itself may be empty files after a power cut, which it never
        // repairs.
        "tlsCertFile": KUBELET_CERTIFICATE,
        "tlsPrivateKeyFile": KUBELET_KEY,
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "cgroupDriver": "cgroupfs",
        "failSwapOn": false,
        "enforceNodeAllocatable": [],
        "resolvConf": "/dev/null",
        "evictionHard": { "memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 60,
        "featureGates": { "CSIVolumeHealth": true },
    })
    .to_string()
}

fn proxy_config(plan: &Plan) -> String {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": plan.name,
        "clientConnection": { "kubeconfig": PROXY_KUBECONFIG },
        // The kernel's own values stay: these are not settable in a user-mode Linux.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    })
    .to_string()
}
