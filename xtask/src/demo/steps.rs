//! What the demo does, step by step. Every step can be repeated on a cluster where it was done before.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use workspacefs_e2e::{Cluster, product};

use super::Step;
use crate::shell;

/// The workspace.
pub(super) const WORKSPACE: &str = "team-a";

pub(super) const STEPS: [Step; 15] = [
    Step {
        does: "kubectl label namespace team-a workspacefs.io/workspace=true",
        expects: "the workspace gets a default FileSystem of 10 GiB, enforced, and its claim by itself",
        run: workspace,
    },
    Step {
        does: "kubectl apply -f examples/managed/filesystem.yaml",
        expects: "the FileSystem datasets is Ready and its claim Bound",
        run: file_system,
    },
    Step {
        does: "kubectl apply -f examples/endpoint.yaml",
        expects: "an Endpoint's two replicas run on two nodes, each on a real NFS mount",
        run: endpoint,
    },
    Step {
        does: "write 64 KiB in the pod on n1, read them in the pod on n2, and the other way round",
        expects: "the same bytes on both nodes and on the server",
        run: bytes_across_nodes,
    },
    Step {
        does: "touch /data/x in the Endpoint, which mounts datasets read-only",
        expects: "refused by the kernel",
        run: read_only,
    },
    Step {
        does: "kubectl apply -f examples/devpod.yaml",
        expects: "the Dev Pod reaches the Endpoint's Service, and reads what that serves",
        run: dev_pod,
    },
    Step {
        does: "kubectl delete pod devpod-0",
        expects: "a new Dev Pod has the old one's home",
        run: home_survives,
    },
    Step {
        does: "kubectl apply -f examples/job.yaml",
        expects: "the batch Job read the Endpoint's folder by an inline mount and wrote its report",
        run: job,
    },
    Step {
        does: "kubectl label node n2 workspacefs.io/node-group=gpu; kubectl apply -f examples/managed/dedicated-filesystem.yaml",
        expects: "the Job that mounts the dedicated FileSystem runs in its node group",
        run: dedicated,
    },
    Step {
        does: "a pod with the dedicated FileSystem's claim, told to run on n1",
        expects: "not scheduled, for the reason",
        run: outside_the_group,
    },
    Step {
        does: "kubectl rollout restart daemonset/workspacefs-node, while the Endpoint writes",
        expects: "the running pods kept their mounts and missed no write",
        run: rollout,
    },
    Step {
        does: "kubectl apply -f examples/managed/claim.yaml; write 200 MiB into its 100 MiB",
        expects: "a further claim of the FileSystem is bound, and ends at its size",
        run: further_claim,
    },
    Step {
        does: "kubectl patch pvc run-1, to 400Mi; write the 200 MiB again",
        expects: "it grew under the running pod",
        run: further_claim_grows,
    },
    Step {
        does: "kill -9 of the NFS server's process, while the Endpoint writes",
        expects: "the writes waited for it, and none failed",
        run: server_killed,
    },
    Step { does: "kubectl get filesystems", expects: "all of them are Ready and Reachable", run: all_ready },
];

pub(super) fn what_is_installed(cluster: &Cluster) -> Result<String> {
    let pods = ["get", "pods", "--namespace", product::NAMESPACE, "--no-headers"];
    let columns =
        "--output=custom-columns=:.metadata.name,:.spec.nodeName,:.spec.containers[*].name,:.status.phase";
    Ok(cluster.kubectl("admin", &[&pods[..], &[columns]].concat())?)
}

fn workspace(cluster: &Cluster) -> Result<String> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": WORKSPACE, "labels": {"workspacefs.io/workspace": "true"},
    }});
    apply(cluster, &namespace)?;
    ready(cluster, "default")
}

fn file_system(cluster: &Cluster) -> Result<String> {
    apply_example(cluster, "managed/filesystem.yaml")?;
    ready(cluster, "datasets")
}

fn endpoint(cluster: &Cluster) -> Result<String> {
    apply_example(cluster, "endpoint.yaml")?;
    kubectl(cluster, &["rollout", "status", "deployment/endpoint", "--timeout=110s"])?;
    let mut seen = Vec::new();
    for node in ["n1", "n2"] {
        let pod = endpoint_on(cluster, node)?;
        let mounts = exec(cluster, &pod, "grep -E ' /(site|var/shared|data) ' /proc/mounts", "")?;
        let count = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("nfs4")).count();
        ensure!(count == 3, "{pod} has {count} NFS mounts instead of 3:\n{mounts}");
        seen.push(format!("{node}: {pod}"));
        seen.extend(mounts.lines().map(|mount| format!("  {}", cut(mount, 100))));
    }
    Ok(seen.join("\n"))
}

fn bytes_across_nodes(cluster: &Cluster) -> Result<String> {
    let mut seen = Vec::new();
    for (from, to) in [("n1", "n2"), ("n2", "n1")] {
        let (writer, reader) = (endpoint_on(cluster, from)?, endpoint_on(cluster, to)?);
        let name = random_text(8)?;
        // Sums only: a stream of this length through `kubectl exec` may lose its second half.
        let make = format!("dd if=/dev/urandom of=/var/shared/{name} bs=64k count=1 conv=fsync status=none");
        let sum = format!("sha256sum < /var/shared/{name}");
        let sent = exec(cluster, &writer, &format!("{make} && {sum}"), "")?;
        let read = exec(cluster, &reader, &sum, "")?;
        ensure!(read == sent, "{reader} on {to} read {read:?}, {writer} on {from} wrote {sent:?}");
        let folder =
            kubectl(cluster, &["get", "filesystem", "default", "--output=jsonpath={.status.share.folder}"])?;
        let file = format!("export/{folder}/shared/{name}");
        let stored = product::on_server_disk(cluster, &format!("stat -c %s {file}; sha256sum < {file}"))?;
        ensure!(stored.trim() == format!("65536\n{}", sent.trim()), "the server's {file}: {stored}");
        exec(cluster, &writer, &format!("rm /var/shared/{name}"), "")?;
        seen.push(format!("{from} -> {to}: 65536 bytes are equal, on the server too, in {folder}/shared"));
    }
    Ok(seen.join("\n"))
}

fn read_only(cluster: &Cluster) -> Result<String> {
    let pod = endpoint_on(cluster, "n1")?;
    let said = exec(cluster, &pod, "! touch /data/x 2>&1", "")?;
    ensure!(said.contains("Read-only file system"), "touch said: {said}");
    Ok(said.trim().to_owned())
}

fn dev_pod(cluster: &Cluster) -> Result<String> {
    apply_example(cluster, "devpod.yaml")?;
    kubectl(cluster, &["rollout", "status", "statefulset/devpod", "--timeout=110s"])?;
    let service = kubectl(cluster, &["get", "service", "endpoint", "--output=jsonpath={.spec.clusterIP}"])?;
    let served =
        exec(cluster, "devpod-0", &format!("timeout 10 wget -q -O - http://{service}/index.html"), "")?;
    let stored = exec(cluster, &endpoint_on(cluster, "n1")?, "cat /site/index.html", "")?;
    ensure!(!stored.is_empty() && served == stored, "served {served:?}, stored {stored:?}");
    Ok(format!("http://{service}/index.html: {}", served.trim()))
}

fn home_survives(cluster: &Cluster) -> Result<String> {
    let text = random_text(16)?;
    exec(cluster, "devpod-0", "cat > /home/dev/notes", &text)?;
    let uid = ["get", "pod", "devpod-0", "--output=jsonpath={.metadata.uid}"];
    let old = kubectl(cluster, &uid)?;
    kubectl(cluster, &["delete", "pod", "devpod-0", "--timeout=60s"])?;
    kubectl(cluster, &["wait", "--for=create", "pod/devpod-0", "--timeout=60s"])?;
    kubectl(cluster, &["wait", "--for=condition=Ready", "pod/devpod-0", "--timeout=90s"])?;
    ensure!(kubectl(cluster, &uid)? != old, "it is still the old pod");
    let read = exec(cluster, "devpod-0", "cat /home/dev/notes", "")?;
    ensure!(read == text, "the note reads {read:?}");
    Ok(format!("/home/dev/notes: {read}"))
}

fn job(cluster: &Cluster) -> Result<String> {
    let ran_on = run_job(cluster, "job.yaml", "report")?;
    let endpoint = endpoint_on(cluster, if ran_on == "n1" { "n2" } else { "n1" })?;
    let expected = exec(cluster, &endpoint, "sha256sum < /site/index.html", "")?;
    let report = exec(cluster, &endpoint, "cat /data/report", "")?;
    ensure!(!report.is_empty() && report == expected, "the report says {report:?}, expected is {expected:?}");
    Ok(format!("ran on {ran_on}; read on the other node: {}", report.trim()))
}

fn dedicated(cluster: &Cluster) -> Result<String> {
    // The suites have put other nodes into the group.
    cluster.kubectl("admin", &["label", "node", "n1", "workspacefs.io/node-group-"])?;
    cluster.kubectl("admin", &["label", "node", "n2", "workspacefs.io/node-group=gpu", "--overwrite"])?;
    let ran_on = run_job(cluster, "managed/dedicated-filesystem.yaml", "train")?;
    ensure!(ran_on == "n2", "it ran on {ran_on}");
    let seen = ready(cluster, "scratch")?;
    let said = kubectl(cluster, &["logs", "job/train"])?;
    Ok(format!("{seen}\n{}", said.trim()))
}

fn outside_the_group(cluster: &Cluster) -> Result<String> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "outsider"}, "spec": {
        "nodeSelector": {"kubernetes.io/hostname": "n1"},
        "containers": [{"name": "c", "image": "workspacefs.io/busybox:dev", "imagePullPolicy": "IfNotPresent",
            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}],
        "volumes": [{"name": "scratch", "persistentVolumeClaim": {"claimName": "scratch"}}],
    }});
    kubectl(cluster, &["delete", "pod", "outsider", "--ignore-not-found", "--timeout=60s"])?;
    apply(cluster, &pod)?;
    let scheduled = r#"--for=jsonpath={.status.conditions[?(@.type=="PodScheduled")].reason}=Unschedulable"#;
    kubectl(cluster, &["wait", scheduled, "pod/outsider", "--timeout=60s"])?;
    let message = r#"--output=jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}"#;
    let said = kubectl(cluster, &["get", "pod", "outsider", message])?;
    kubectl(cluster, &["delete", "pod", "outsider", "--timeout=60s"])?;
    ensure!(said.to_lowercase().contains("node affinity"), "the scheduler said: {said}");
    Ok(said)
}

fn rollout(cluster: &Cluster) -> Result<String> {
    while_writing(cluster, || {
        let daemon_set = ["--namespace", product::NAMESPACE, "rollout"];
        let admin = |verb: &[&str]| cluster.kubectl("admin", &[&daemon_set[..], verb].concat());
        admin(&["restart", "daemonset/workspacefs-node"])?;
        admin(&["status", "daemonset/workspacefs-node", "--timeout=110s"])?;
        Ok(())
    })
}

fn server_killed(cluster: &Cluster) -> Result<String> {
    while_writing(cluster, || {
        let kill = "kill -KILL $(pgrep -x ganesha.nfsd)";
        product::on_server_disk(cluster, kill)?;
        Ok(())
    })
}

/// Does something while the Endpoint's pod on n2 writes; says how many writes there were. That one failed is an error.
fn while_writing(cluster: &Cluster, act: impl FnOnce() -> Result<()>) -> Result<String> {
    let pod = endpoint_on(cluster, "n2")?;
    let name = random_text(8)?;
    // Each line is synced: a write that the mount loses ends the loop, and nothing says that it is done.
    let writer = format!(
        "cd /var/shared; i=0; until [ -f {name}.stop ] || [ $i -ge 1500 ]; do i=$((i+1)); \
         echo $i | dd of={name} oflag=append conv=notrunc,fsync status=none || exit 1; sleep 0.1; done; \
         echo $i > {name}.done"
    );
    exec(cluster, &pod, &format!("sh -c '{writer}' < /dev/null > /dev/null 2>&1 &"), "")?;
    act()?;
    let stop = format!(
        "cd /var/shared; touch {name}.stop; i=0; until [ -f {name}.done ] || [ $i -ge 400 ]; do i=$((i+1)); sleep 0.2; done; \
         cat {name}.done; wc -l < {name}; rm -f {name} {name}.stop {name}.done"
    );
    let counts = exec(cluster, &pod, &stop, "")?;
    let counts: Vec<u32> = counts.split_whitespace().filter_map(|count| count.parse().ok()).collect();
    match counts[..] {
        [wished, written] if wished == written && written > 1 => {
            Ok(format!("{written} synced writes, none failed"))
        }
        _ => bail!("wished and written: {counts:?}"),
    }
}

/// 200 MiB, forced to the server; the words of dd.
const WRITE_200_MIB: &str = "dd if=/dev/zero of=/run-1/big bs=1M count=200 conv=fsync 2>&1 || echo failed";

fn further_claim(cluster: &Cluster) -> Result<String> {
    // An earlier demo's has grown.
    kubectl(cluster, &["delete", "pod/run-1", "pvc/run-1", "--ignore-not-found", "--timeout=100s"])?;
    apply_example(cluster, "managed/claim.yaml")?;
    kubectl(cluster, &["wait", "--for=condition=Ready", "pod/run-1", "--timeout=110s"])?;
    let said = exec(cluster, "run-1", WRITE_200_MIB, "")?;
    ensure!(said.contains("failed"), "200 MiB went into 100: {said}");
    Ok(format!("{}{}", kubectl(cluster, &["get", "pvc", "run-1"])?, said.lines().next().unwrap_or_default()))
}

fn further_claim_grows(cluster: &Cluster) -> Result<String> {
    let patch = r#"{"spec": {"resources": {"requests": {"storage": "400Mi"}}}}"#;
    kubectl(cluster, &["patch", "pvc", "run-1", "--patch", patch])?;
    let grown = "--for=jsonpath={.status.capacity.storage}=400Mi";
    kubectl(cluster, &["wait", grown, "pvc/run-1", "--timeout=60s"])?;
    let said = exec(cluster, "run-1", WRITE_200_MIB, "")?;
    ensure!(!said.contains("failed"), "200 MiB go not into 400: {said}");
    Ok(format!("{}{}", kubectl(cluster, &["get", "pvc", "run-1"])?, said.lines().last().unwrap_or_default()))
}

fn all_ready(cluster: &Cluster) -> Result<String> {
    for name in ["default", "datasets", "scratch"] {
        let object = format!("filesystem/{name}");
        kubectl(cluster, &["wait", "--for=condition=Reachable", &object, "--timeout=60s"])?;
        kubectl(cluster, &["wait", "--for=condition=Ready", &object, "--timeout=60s"])?;
    }
    kubectl(cluster, &["get", "filesystems"])
}

/// Waits until a FileSystem is Ready and its claim Bound.
fn ready(cluster: &Cluster, name: &str) -> Result<String> {
    let (file_system, claim) = (format!("filesystem/{name}"), format!("persistentvolumeclaim/{name}"));
    kubectl(cluster, &["wait", "--for=create", &file_system, "--timeout=60s"])?;
    kubectl(cluster, &["wait", "--for=condition=Ready", &file_system, "--timeout=60s"])?;
    kubectl(cluster, &["wait", "--for=jsonpath={.status.phase}=Bound", &claim, "--timeout=60s"])?;
    kubectl(cluster, &["get", &file_system])
}

/// Runs the Job of an example to its end and says on which node it ran.
fn run_job(cluster: &Cluster, example: &str, name: &str) -> Result<String> {
    let job = format!("job/{name}");
    kubectl(cluster, &["delete", &job, "--ignore-not-found", "--timeout=60s"])?;
    apply_example(cluster, example)?;
    kubectl(cluster, &["wait", "--for=condition=Complete", &job, "--timeout=110s"])?;
    let selector = format!("app={name}");
    kubectl(cluster, &["get", "pods", "--selector", &selector, "--output=jsonpath={.items[0].spec.nodeName}"])
}

/// The Endpoint's replica on a node.
fn endpoint_on(cluster: &Cluster, node: &str) -> Result<String> {
    let listed = kubectl(cluster, &["get", "pods", "--selector=app=endpoint", "--output=json"])?;
    let list: Value = serde_json::from_str(&listed).context("kubectl wrote no JSON")?;
    let pods = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    let pod = pods
        .iter()
        .find(|pod| pod["spec"]["nodeName"] == node && pod["metadata"]["deletionTimestamp"].is_null());
    let name = pod.and_then(|pod| pod["metadata"]["name"].as_str());
    Ok(name.with_context(|| format!("no replica of the Endpoint runs on {node}"))?.to_owned())
}

fn exec(cluster: &Cluster, pod: &str, script: &str, input: &str) -> Result<String> {
    let arguments = ["--namespace", WORKSPACE, "exec", "--stdin", pod, "--", "sh", "-c", script];
    Ok(cluster.kubectl_with("admin", &arguments, input.as_bytes())?)
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    Ok(cluster.kubectl("admin", &[&["--namespace", WORKSPACE], arguments].concat())?)
}

fn apply(cluster: &Cluster, object: &Value) -> Result<()> {
    let arguments = ["--namespace", WORKSPACE, "apply", "--filename", "-"];
    cluster.kubectl_with("admin", &arguments, object.to_string().as_bytes())?;
    Ok(())
}

fn apply_example(cluster: &Cluster, name: &str) -> Result<()> {
    let file = shell::root().join("examples").join(name);
    kubectl(cluster, &["apply", "--filename", &file.to_string_lossy()])?;
    Ok(())
}

/// Text that nobody wrote before.
fn random_text(length: usize) -> Result<String> {
    let mut bytes = vec![0; length.div_ceil(2)];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(text[..length].to_owned())
}

fn cut(line: &str, length: usize) -> String {
    line.chars().take(length).collect()
}
