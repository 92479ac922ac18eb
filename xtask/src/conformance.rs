//! `cargo xtask conformance`: Kubernetes' own storage suite, the real `e2e.test`, on the test cluster with the product and
//! its embedded server. `e2e/conformance/driver.yaml` says what the driver can; all specs that follow from that run, but for
//! those that break nodes by ssh, which these nodes have not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use workspacefs_api::DRIVER;
use workspacefs_e2e::build::container_image::{ContainerImage, Entry};
use workspacefs_e2e::build::programs::Programs;
use workspacefs_e2e::progress::Progress;
use workspacefs_e2e::{Cluster, ClusterConfig, product};

use crate::{images, shell, standalone};

/// What the suite pulls elsewhere, by the names that its version pins.
const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.66.1";
const BUSYBOX: &str = "registry.k8s.io/e2e-test-images/busybox:1.37.0-2";
/// Only its shell is used, for a script on the volume.
const NGINX: &str = "registry.k8s.io/e2e-test-images/nginx:1.27.0-2";
/// Debian's userland there; the pods of most volume tests.
const DEFAULT: &str = "registry.k8s.io/e2e-test-images/glibc-dns-testing:2.1.1";

/// The namespace of the FileSystem that the suite's claims are on; the StorageClass names it.
const NAMESPACE: &str = "wsfs-conformance";

/// All of the driver's specs.
const FOCUS: &str = r"External.Storage.*csi\.workspacefs\.io";

/// Those that stop kubelet or a node through ssh, and one of volume populators, whose controllers nobody has here.
const CANNOT_RUN: [&str; 2] = ["[Disruptive]", "with any volume data source"];

/// State of a spec that is one of those.
const CANNOT: &str = "cannot run";

/// State of a spec of inline volumes that came to its last check, whether no claim is in its namespace: there is its
/// FileSystem's own, always.
const LAST_CHECK: &str = "all but the last check";

/// Inline volumes need a FileSystem in each of the suite's namespaces, and specs of claims find that its claim is none of
/// theirs: two runs, each leaving out what is the other's.
const INLINE: &str = r"\[Testpattern: CSI Ephemeral-volume";
const CLAIMS: &str = r"\[Testpattern: (Dynamic PV|Generic Ephemeral-volume|Pre-provisioned PV|Inline-volume)";

/// Some of each kind.
const SUBSET: &str = concat!(
    r"External.Storage.*csi\.workspacefs\.io.*(",
    "volumes should store data",
    "|volumes should allow exec of files",
    "|subPath should support existing single file",
    "|subPath should fail if subpath directory is outside",
    "|should resize volume when PVC is edited while pod is using it",
    "|same volume mode and retain data across pod recreation on different node",
    "|concurrently access the single volume from pods on different node",
    "|should block a second pod from using an in-use ReadWriteOncePod volume",
    "|should provision storage with mount options",
    r"|late-binding.*should create read/write inline ephemeral volume",
    r"|CSI Ephemeral-volume.*should create read/write inline ephemeral volume",
    ")",
);

/// Specs run one at a time.
const TIME_MAX: Duration = Duration::from_secs(3 * 3600);

/// Arguments of `cargo xtask conformance`.
#[derive(clap::Args)]
pub struct Args {
    /// Only some specs of each kind
    #[arg(long, conflicts_with = "focus")]
    subset: bool,
    /// Only specs whose names match this, of all of the suite's
    #[arg(long)]
    focus: Option<String>,
    /// Only build what it runs
    #[arg(long)]
    no_run: bool,
    /// Which cluster; started if it does not run
    #[arg(long, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
}

/// How a spec ended.
#[derive(Debug, PartialEq)]
struct Spec {
    name: String,
    state: String,
    reason: String,
}

/// Builds Kubernetes' suite, where it is not there yet: minutes.
pub fn build(config: &ClusterConfig) -> Result<Programs> {
    Ok(Programs::build_conformance(config, &Progress::default())?)
}

/// Runs it. The last line is `conformance: N passed, N failed`.
pub fn run(args: Args) -> Result<()> {
    let config = ClusterConfig::from_environment(&args.name)?;
    let programs = build(&config)?;
    if args.no_run {
        return Ok(());
    }
    let cluster = standalone::cluster(&args.name)?;
    let images = images::build_with_server()?;
    let plain = product::values_with_server();
    product::install_with_server(&cluster, &images, &plain)?;
    make_file_system(&cluster)?;
    for image in write_images(&cluster, &programs)? {
        cluster.import_image(&image)?;
    }
    let focus = args.focus.as_deref().unwrap_or(if args.subset { SUBSET } else { FOCUS });
    let mut specs = suite(&cluster, &programs, focus, INLINE)?;
    let mut with_default = plain;
    // Every namespace of the suite has this label.
    with_default["workspaceSelector"] = json!("e2e-framework");
    with_default["defaultFileSystem"] =
        json!({"backend": {"managed": {"capacity": "256Mi"}}, "reclaimPolicy": "Delete"});
    product::install(&cluster, &images, &with_default)?;
    specs.extend(suite(&cluster, &programs, focus, CLAIMS)?);
    ensure!(!specs.is_empty(), "no spec matches {focus}");
    cluster.kubectl("admin", &["delete", "namespace", NAMESPACE, "--timeout=100s"])?;
    let of_state = |wanted: &str| specs.iter().filter(|spec| spec.state == wanted).count();
    let mut lines: BTreeSet<String> = BTreeSet::new();
    for Spec { name, state, reason } in &specs {
        match state.as_str() {
            "passed" => lines.insert(format!("passed: {name}")),
            "skipped" => lines.insert(format!("left out by itself: {name}: {reason}")),
            // In both runs, so that one line must be left of the two.
            CANNOT => lines.insert(format!("cannot run here: {name}")),
            LAST_CHECK => lines
                .insert(format!("passed up to its last check, that no claim is in its namespace: {name}")),
            _ => false,
        };
    }
    for line in lines {
        println!("{line}");
    }
    let failed: Vec<&Spec> = specs
        .iter()
        .filter(|spec| !["passed", "skipped", "pending", CANNOT, LAST_CHECK].contains(&spec.state.as_str()))
        .collect();
    for spec in &failed {
        println!("failed: {}: {}", spec.name, spec.reason);
    }
    println!("conformance: {} passed, {} failed", of_state("passed"), failed.len());
    // A run of nothing proves nothing.
    if !failed.is_empty() || of_state("passed") == 0 {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

fn make_file_system(cluster: &Cluster) -> Result<()> {
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "workspacefs.io/v1alpha1",
            "kind": "FileSystem",
            "metadata": {"name": "default", "namespace": NAMESPACE},
            "spec": {"backend": {"managed": {"capacity": "15Gi"}}, "reclaimPolicy": "Delete"},
        },
    ]});
    cluster.kubectl_with("admin", &["apply", "-f", "-"], objects.to_string().as_bytes())?;
    let ready = ["wait", "--for=condition=Ready", "filesystem/default", "--timeout=60s"];
    cluster.kubectl("admin", &[&["--namespace", NAMESPACE][..], &ready].concat())?;
    Ok(())
}

/// agnhost with a shell, as upstream's has one, and busybox with all of its names for the others.
fn write_images(cluster: &Cluster, programs: &Programs) -> Result<Vec<PathBuf>> {
    let folder = cluster.layout().root().join("images");
    let node = cluster.machine("n1")?;
    let busybox = node.run_within(&["cat", "/bin/busybox"], b"", Duration::from_secs(60))?.stdout;
    let names = node.run(&["busybox", "--list"])?;
    let agnhost = std::fs::read(programs.path("agnhost").context("agnhost was not built")?)?;
    let mut paths = Vec::new();
    for (name, reference, program) in [
        ("agnhost.tar", AGNHOST, Some(agnhost)),
        ("e2e-busybox.tar", BUSYBOX, None),
        ("e2e-default.tar", DEFAULT, None),
        ("e2e-nginx.tar", NGINX, None),
    ] {
        let mut image = ContainerImage {
            reference: reference.into(),
            entries: userland(&busybox, &names),
            entrypoint: Vec::new(),
            environment: vec!["PATH=/bin:/usr/bin:/sbin:/usr/sbin".into()],
        };
        if let Some(content) = program {
            image.entries.push(Entry::File { path: "agnhost".into(), mode: 0o755, content });
            image.entrypoint = vec!["/agnhost".into()];
        }
        let path = folder.join(name);
        image.write(&path)?;
        paths.push(path);
    }
    Ok(paths)
}

/// A small userland: busybox under all of its names, and the users that the suite's pods run as.
fn userland(busybox: &[u8], names: &str) -> Vec<Entry> {
    let text = |path: &str, content: &str| Entry::File {
        path: path.into(),
        mode: 0o644,
        content: content.as_bytes().to_vec(),
    };
    let mut entries = vec![
        Entry::File { path: "bin/busybox".into(), mode: 0o755, content: busybox.to_vec() },
        Entry::Folder { path: "tmp".into(), mode: 0o1777 },
        text("etc/passwd", "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
        text("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ];
    let link = |name: &str| Entry::Link { path: format!("bin/{name}"), target: "busybox".into() };
    entries.extend(names.lines().map(str::trim).filter(|name| *name != "busybox").map(link));
    entries
}

/// Runs the specs in `focus` but those of `others`, and reads ginkgo's report.
fn suite(cluster: &Cluster, programs: &Programs, focus: &str, others: &str) -> Result<Vec<Spec>> {
    let folder = shell::root().join("e2e/conformance");
    let reports = cluster.layout().root().join("conformance");
    std::fs::create_dir_all(&reports)?;
    let report = reports.join("report.json");
    let mut e2e = cluster.command("kubectl", "admin").map(|kubectl| {
        let mut e2e = std::process::Command::new(programs.path("e2e.test").unwrap_or_default());
        e2e.arg("--kubectl-path").arg(kubectl.get_program());
        e2e
    })?;
    let kubeconfig = cluster.kubeconfig("admin");
    e2e.current_dir(&folder).env("KUBECONFIG", &kubeconfig).arg("--kubeconfig").arg(&kubeconfig);
    e2e.args(["--provider=skeleton", "--num-nodes=2", "--disable-log-dump"]);
    e2e.arg(format!("--repo-root={}", folder.display())).arg("--storage.testdriver=driver.yaml");
    e2e.arg(format!("--ginkgo.focus={focus}"));
    // Regular expressions, as `others` is one.
    e2e.args(
        CANNOT_RUN.map(|words| format!("--ginkgo.skip={}", words.replace('[', r"\[").replace(']', r"\]"))),
    );
    e2e.arg(format!("--ginkgo.skip={others}"));
    e2e.arg(format!("--ginkgo.timeout={}s", TIME_MAX.as_secs())).arg("--ginkgo.no-color");
    e2e.arg(format!("--ginkgo.json-report={}", report.display()));
    // Its end says what its report says.
    cluster.run_attached(&mut e2e)?;
    let text = std::fs::read_to_string(&report).context("e2e.test wrote no report")?;
    read_report(&serde_json::from_str(&text)?)
}

/// The specs that were chosen, and those of the driver that cannot run here: ginkgo lists all that it did not run as
/// skipped, without a reason.
fn read_report(json: &Value) -> Result<Vec<Spec>> {
    let suites = json.as_array().context("the report is no list of suites")?;
    let mut specs = Vec::new();
    for spec in suites.iter().filter_map(|suite| suite["SpecReports"].as_array()).flatten() {
        let state = spec["State"].as_str().unwrap_or("unknown").to_owned();
        let reason = spec["Failure"]["Message"].as_str().unwrap_or_default().to_owned();
        let containers = spec["ContainerHierarchyTexts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parts = containers.iter().chain([&spec["LeafNodeText"]]).filter_map(Value::as_str);
        let name = parts.collect::<Vec<_>>().join(" ");
        let cannot = name.contains(DRIVER) && CANNOT_RUN.iter().any(|words| name.contains(words));
        let state = match (state.as_str(), reason.is_empty()) {
            ("skipped", true) if cannot => CANNOT.to_owned(),
            ("skipped", true) => continue,
            ("passed", _) if spec["LeafNodeType"] != "It" => continue,
            ("failed", _) if is_last_check(&name, &reason) => LAST_CHECK.to_owned(),
            _ => state,
        };
        specs.push(Spec { name, state, reason });
    }
    Ok(specs)
}

/// Whether it failed only because one claim was there, a FileSystem's.
fn is_last_check(name: &str, reason: &str) -> bool {
    name.contains("CSI Ephemeral-volume")
        && reason.starts_with("no dangling PVCs")
        && reason.contains("len:1,")
        && reason.contains("app.kubernetes.io/managed-by: workspacefs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_of_inline_volumes_may_find_its_file_systems_claim_and_no_other() {
        let reason = |length: u32, by: &str| {
            format!(
                "no dangling PVCs\nExpected <[]v1.PersistentVolumeClaim | len:{length}, cap:1>: app.kubernetes.io/managed-by: {by}"
            )
        };
        let name = "[Testpattern: CSI Ephemeral-volume (default fs)] ephemeral should";
        assert!(is_last_check(name, &reason(1, "workspacefs")));
        assert!(!is_last_check(name, &reason(2, "workspacefs")));
        assert!(!is_last_check(name, &reason(1, "somebody")));
        assert!(!is_last_check(name, "waiting for pod with inline volume"));
        assert!(!is_last_check("[Testpattern: Generic Ephemeral-volume]", &reason(1, "workspacefs")));
    }

    #[test]
    fn specs_that_nobody_chose_are_no_specs_and_those_that_skip_themselves_are() {
        let spec = |kind: &str, name: &str, state: &str, message: &str| {
            json!({"LeafNodeType": kind, "ContainerHierarchyTexts": ["External"], "LeafNodeText": name,
                "State": state, "Failure": {"Message": message}})
        };
        let report = json!([{"SpecReports": [
            spec("It", "a", "passed", ""),
            spec("It", "b", "skipped", ""),
            spec("It", "csi.workspacefs.io [Disruptive]", "skipped", ""),
            spec("It", "another's [Disruptive]", "skipped", ""),
            spec("It", "c", "skipped", "no snapshots"),
            spec("It", "d", "failed", "broken"),
            spec("SynchronizedBeforeSuite", "", "passed", ""),
            spec("SynchronizedBeforeSuite", "", "failed", "no cluster"),
        ]}]);
        let names: Vec<(String, String)> =
            read_report(&report).unwrap().into_iter().map(|spec| (spec.name, spec.state)).collect();
        let expected = [
            ("External a", "passed"),
            ("External csi.workspacefs.io [Disruptive]", CANNOT),
            ("External c", "skipped"),
            ("External d", "failed"),
            ("External ", "failed"),
        ];
        assert_eq!(names, expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
        assert!(read_report(&json!({})).is_err());
    }
}
