//! What holds for every process of the product in every suite: no secret and no panic in a log, figures that name nobody,
//! no port that the chart does not declare, no trace of a volume that nobody uses.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::context::{Context, is_ready};
use super::node::node_of;
use super::pod::PodSpec;
use super::wait::{seconds, until};

/// A secret that the driver is given; it must show nowhere.
const CANARY: &str = "canary-7d1f0c-must-not-be-seen";

pub const NODES: [&str; 2] = ["n1", "n2"];

/// The port that every process of ours serves figures at, as the chart calls it: that of health too, or by itself where health
/// is asked over TLS.
const FIGURES: [&str; 2] = ["http", "metrics"];

/// A process's figures.
pub struct Figures {
    /// The chart's name for what it is.
    pub component: String,
    /// Its pod.
    pub pod: String,
    /// What it serves.
    pub text: String,
}

impl Figures {
    /// What is counted, without how much: it must not grow with what users make.
    pub fn series(&self) -> BTreeSet<&str> {
        let figure = |line: &&str| !line.starts_with('#');
        self.text.lines().filter(figure).filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect()
    }
}

impl Context {
    /// Mounts a FileSystem `data`, which is there, once well and once in vain, with a secret in the call: errors tell more
    /// than successes.
    pub async fn publish_with_a_secret(&self) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client(), self.namespace());
        let secret = json!({ "metadata": { "name": "canary" }, "stringData": { "password": CANARY } });
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        let volume = |attributes| {
            json!({ "csi": {
                "driver": "csi.workspacefs.io",
                "nodePublishSecretRef": { "name": "canary" },
                "volumeAttributes": attributes,
            } })
        };
        let good = volume(json!({ "fileSystem": "data" }));
        let bad = volume(json!({ "fileSystem": "data", "mountFrom": "/missing" }));
        let pod = |name: &str, source| {
            PodSpec::new(name).on("n1").volume("v", source).mount("v", "/data", json!({}))
        };
        self.create(&pod("bad", bad)).await?;
        self.start([pod("good", good)]).await?;
        self.event("bad", &["NotFound", "missing"], seconds(30)).await.map(drop)
    }

    /// No log of the product, of any container that is still known, tells a secret or speaks of a panic.
    pub async fn logs_are_clean(&self) -> Result<()> {
        self.logs_are_clean_of(&[]).await
    }

    /// The same, with further words that must not be there.
    pub async fn logs_are_clean_of(&self, words: &[String]) -> Result<()> {
        let words: String = [CANARY, "panicked"]
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .fold(String::new(), |all, word| all + "'" + word + "' ");
        for node in NODES {
            // The tokens of the product's own pods, as kubelet gave them.
            let line = format!(
                "cd /var/log/pods && ls -d workspacefs-system_* >/dev/null && ours=$(ls -d workspacefs-system_* *_files-* 2>/dev/null); \
                 {{ printf '%s\\n' {words}; \
                    cat /var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/kube-api-access-*/token 2>/dev/null | \
                    sed 's/eyJhbGci/\\neyJhbGci/g' | grep . ; }} > /run/e2e-words; \
                 grep -rFf /run/e2e-words $ours | cut -c1-400; rm -f /run/e2e-words"
            );
            let found = self.on(node, &line).await?;
            ensure!(found.is_empty(), "on {node} a log holds what it must not:\n{found}");
        }
        Ok(())
    }

    /// No Event and no record of the driver tells the secret, and none of the figures does.
    pub async fn secret_is_told_nowhere(&self, components: &[&str]) -> Result<()> {
        let events: Api<Event> = Api::all(self.client());
        let told = events.list(&ListParams::default()).await?.into_iter().filter_map(|event| event.message);
        let told: Vec<String> = told.filter(|message| message.contains(CANARY)).collect();
        ensure!(told.is_empty(), "the secret stands in Events: {told:?}");
        for figures in self.all_figures(components).await? {
            let Figures { component, pod, text } = figures;
            ensure!(!text.contains(CANARY), "the secret stands in the figures of {component} {pod}");
        }
        let recorded = self.on("n1", &format!("grep -rlF {CANARY} /run/workspacefs || true")).await?;
        ensure!(recorded.is_empty(), "the secret stands in the records {recorded}");
        Ok(())
    }

    /// The figures of every process of these components, each of which has one at least; none names a namespace of a case
    /// or one of `names`.
    pub async fn figures_that_name_nobody(
        &self,
        components: &[&str],
        names: &[&str],
    ) -> Result<Vec<Figures>> {
        let all = self.all_figures(components).await?;
        for Figures { component, pod, text } in &all {
            let ours = text.lines().any(|line| line.starts_with("workspacefs_"));
            ensure!(ours, "no figure of ours of {component} {pod}:\n{text}");
            for name in names.iter().chain(&["e2e-"]) {
                let found = text.lines().find(|line| line.contains(name));
                ensure!(found.is_none(), "figures of {component} {pod} grow without end: {found:?}");
            }
        }
        Ok(all)
    }

    async fn all_figures(&self, components: &[&str]) -> Result<Vec<Figures>> {
        let mut all = Vec::new();
        for component in components {
            let before = all.len();
            for pod in self.pods_of(component).await? {
                let text = self.served(&pod, "/metrics").await?;
                all.push(Figures { component: (*component).to_owned(), pod: pod.name_any(), text });
            }
            ensure!(all.len() > before, "no {component} is Ready");
        }
        Ok(all)
    }

    /// The product's Ready pods of one component.
    pub async fn pods_of(&self, component: &str) -> Result<Vec<Pod>> {
        let of_component = ListParams::default().labels(&format!("app.kubernetes.io/component={component}"));
        let pods = self.product().list(&of_component).await?;
        Ok(pods
            .into_iter()
            .filter(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none())
            .collect())
    }

    /// What a pod's process serves at its port for health and figures, as its node reaches it.
    pub async fn served(&self, pod: &Pod, path: &str) -> Result<String> {
        let name = pod.name_any();
        let address =
            pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("no address")?;
        let port = declared(pod).into_iter().find(|(name, _)| FIGURES.contains(&name.as_str()));
        let (_, port) = port.with_context(|| format!("{name} declares no port {FIGURES:?}"))?;
        self.on(node_of(pod)?, &format!("busybox wget -qO- http://{address}:{port}{path}")).await
    }

    /// No pod that has a network of its own listens where the chart does not say it does.
    pub async fn only_declared_ports_are_open(&self, component: &str) -> Result<()> {
        let pods = self.pods_of(component).await?;
        ensure!(!pods.is_empty(), "no {component} is Ready");
        for pod in &pods {
            self.only_declared_ports_are_open_in(pod).await?;
        }
        Ok(())
    }

    /// The same for one pod.
    pub async fn only_declared_ports_are_open_in(&self, pod: &Pod) -> Result<()> {
        let (name, uid) = (pod.name_any(), pod.uid().context("no uid")?);
        // Any process of the pod will do: they share the network.
        let line = format!(
            "cd /proc && cat $(grep -ls pod{uid} [0-9]*/cgroup | head -n1 | cut -d/ -f1)/net/{{tcp,tcp6,udp,udp6}}"
        );
        let open = listening(&self.on(node_of(pod)?, &format!("bash -c '{line}'")).await?)?;
        let declared = declared(pod).into_iter().map(|(_, port)| port).collect();
        ensure!(open == declared, "{name} listens at {open:?} and declares {declared:?}");
        Ok(())
    }

    /// No mount, record or process on a node, and no PersistentVolume, is left of a case.
    pub async fn nothing_is_left(&self) -> Result<()> {
        for node in NODES {
            self.traceless(node).await?;
        }
        let look = || async {
            let ours = ListParams::default().labels("app.kubernetes.io/managed-by=workspacefs");
            let volumes = self.volumes().list(&ours).await?;
            let of_cases = volumes.into_iter().filter_map(|volume| volume.spec?.claim_ref?.namespace);
            let of_cases: Vec<String> = of_cases.filter(|namespace| namespace.starts_with("e2e-")).collect();
            ensure!(of_cases.is_empty(), "PersistentVolumes of {of_cases:?}");
            Ok(())
        };
        until("no PersistentVolume of a removed namespace is left", seconds(60), look).await?;
        // Whatever the driver started on the nodes is the driver's own process again.
        for node in NODES {
            let waiting = self.on(node, "ps ax -o stat=,args= | grep '^D.*[c]si-driver' || true").await?;
            ensure!(waiting.is_empty(), "a process of the driver on {node} waits for ever: {waiting}");
        }
        Ok(())
    }
}

/// The ports that a pod's containers say they have, with their names.
fn declared(pod: &Pod) -> Vec<(String, u16)> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let port = |number: i32| u16::try_from(number).unwrap_or_default();
    ports.map(|found| (found.name.clone().unwrap_or_default(), port(found.container_port))).collect()
}

/// The ports that others can reach, in what the kernel's tables of TCP and UDP sockets say: see proc_net_tcp(5).
fn listening(tables: &str) -> Result<BTreeSet<u16>> {
    /// Waiting for connections; of UDP, for anything.
    const WAITING: [&str; 2] = ["0A", "07"];
    let mut ports = BTreeSet::new();
    for line in tables.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Some((address, port)) = local.rsplit_once(':').filter(|_| WAITING.contains(&state)) else {
            continue;
        };
        // 127.0.0.0/8, ::1, and the first as the second's kind writes it; each word in the processor's order.
        let is_loopback = address.ends_with("7F") && (address.len() == 8 || address.contains("FFFF0000"))
            || address == "00000000000000000000000001000000";
        if !is_loopback {
            ports.insert(u16::from_str_radix(port, 16).with_context(|| format!("no port in {line:?}"))?);
        }
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_others_reach_are_found_in_the_kernels_tables() {
        let tables = "  sl  local_address rem_address   st tx_queue rx_queue\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
             1: 00000000:0801 00000000:0000 0A 00000000:00000000\n\
             2: 0B00630A:24E3 0C00630A:D431 01 00000000:00000000\n\
             0: 00000000000000000000000000000000:2655 00000000000000000000000000000000:0000 0A\n\
             1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A\n\
             2: 0000000000000000FFFF00000100007F:0017 00000000000000000000000000000000:0000 0A\n\
            12: 00000000:006F 00000000:0000 07 00000000:00000000\n";
        assert_eq!(listening(tables).unwrap(), BTreeSet::from([2049, 9813, 111]));
    }

    #[test]
    fn series_are_names_and_labels_without_their_numbers() {
        let text = "# HELP a b\na{x=\"y z\"} 3\nb 4\n# EOF\n".to_owned();
        let figures = Figures { component: String::new(), pod: String::new(), text };
        assert_eq!(figures.series(), BTreeSet::from(["a{x=\"y z\"}", "b"]));
    }
}
