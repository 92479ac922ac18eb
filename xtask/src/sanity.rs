//! `cargo xtask sanity`: the real csi-sanity against our node plugin and controller, inside worker n1, once for each driver:
//! `csi.workspacefs.io` on a FileSystem of the embedded server (real Ganesha, real quotas), `local.csi.workspacefs.io` on the
//! machine's SSD (real XFS, real quotas). Nothing is skipped by us. What csi-sanity leaves out by itself, because we do not
//! advertise the capability, must be exactly what docs/conformance.md says; and nothing may be left over on the node, on the
//! share, on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use workspacefs_api::{DRIVER, LOCAL_DRIVER};
use workspacefs_e2e::{product, suites};

use crate::standalone::{self, LocalDisk, Place, Standalone};
use crate::{images, shell};

/// It takes well under a minute for each.
const TIME_MAX: Duration = Duration::from_secs(600);
/// Size of its volumes: many of them fit into the FileSystem, and onto the disk.
const VOLUME_BYTES: u64 = 256 << 20;
const CONFORMANCE: &str = "docs/conformance.md";

/// Arguments of `cargo xtask sanity`.
#[derive(clap::Args)]
pub struct Args {
    /// Which cluster; started if it does not run
    #[arg(long, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
}

/// A driver as csi-sanity reaches it.
struct Tested {
    name: &'static str,
    node: String,
    controller: String,
    /// What a volume is made by, as YAML.
    parameters: String,
}

/// What csi-sanity reports.
#[derive(Debug, Default, PartialEq)]
struct Report {
    passed: Vec<String>,
    failed: Vec<String>,
    left_out: BTreeSet<String>,
}

/// Runs it for both. The last line is `sanity: N passed, N failed`.
pub fn run(args: Args) -> Result<()> {
    let documented = documented(&fs::read_to_string(shell::root().join(CONFORMANCE))?);
    let cluster = standalone::cluster(&args.name)?;
    // The server is the product's own; the drivers that are tested run beside it. The disks of n1 are left to them.
    let mut values = product::values_with_server();
    values["localStorage"]["enabled"] = false.into();
    // The FileSystems of a demonstration promise their sizes: beside them the server's disk has no room for a volume.
    suites::clear(&cluster, "managed")?;
    product::install_with_server(&cluster, &images::build_with_server()?, &values)?;
    let driver = Standalone::start(cluster, "sanity", Place::Embedded)?;
    let (shared, mut complaints) = on_the_share(&driver, &documented)?;
    let (local, more) = on_the_disk(&driver, &documented)?;
    complaints.extend(more);
    if !(shared.failed.is_empty() && local.failed.is_empty()) {
        println!("node:\n{}\ncontroller:\n{}", driver.log("node", 40)?, driver.log("controller", 40)?);
    }
    complaints.extend(driver.stop()?.into_iter().map(|what| format!("left over: {what}")));

    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("{} specs left out by csi-sanity itself, as {CONFORMANCE} lists them", shared.left_out.len());
    for (name, report) in [(DRIVER, &shared), (LOCAL_DRIVER, &local)] {
        println!("{name}: {} passed, {} failed", report.passed.len(), report.failed.len());
    }
    println!("sanity: {} passed, {} failed", shared.passed.len() + local.passed.len(), complaints.len());
    // A run of nothing proves nothing.
    if !complaints.is_empty() || shared.passed.is_empty() || local.passed.is_empty() {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

/// The shared driver, on a FileSystem of the embedded server. With the report what is wrong with it.
fn on_the_share(driver: &Standalone, documented: &BTreeSet<String>) -> Result<(Report, Vec<String>)> {
    let namespace = driver.namespace();
    let tested = Tested {
        name: DRIVER,
        node: driver.node_endpoint(),
        controller: driver.controller_endpoint(),
        // The last is what external-provisioner adds; without it nobody knows whose claim it would be.
        parameters: format!(
            "namespace: {namespace}\nfileSystem: default\ncsi.storage.k8s.io/pvc/namespace: {namespace}\n"
        ),
    };
    let report = csi_sanity(driver, &tested)?;
    let mut complaints = complaints(DRIVER, &report, documented);
    if driver.trash()?.is_empty() {
        complaints.push(format!("{DRIVER}: no volume reached the share's trash: was it the share at all?"));
    }
    Ok((report, complaints))
}

/// The driver of local disks, on the SSD of n1.
fn on_the_disk(driver: &Standalone, documented: &BTreeSet<String>) -> Result<(Report, Vec<String>)> {
    let disk = LocalDisk::take(driver)?;
    let tested = Tested {
        name: LOCAL_DRIVER,
        node: driver.local_node_endpoint(),
        controller: driver.local_controller_endpoint(),
        parameters: disk.parameters(),
    };
    let report = csi_sanity(driver, &tested)?;
    let mut complaints = complaints(LOCAL_DRIVER, &report, documented);
    if disk.trash()?.is_empty() {
        complaints
            .push(format!("{LOCAL_DRIVER}: no volume reached the disk's trash: was it the disk at all?"));
    }
    complaints.extend(disk.give_back()?.into_iter().map(|what| format!("left over: {what}")));
    Ok((report, complaints))
}

/// What of a report is wrong: specs that failed, and a list of left out ones that is another than the documented.
fn complaints(driver: &str, report: &Report, documented: &BTreeSet<String>) -> Vec<String> {
    let ran = documented.difference(&report.left_out);
    let ran = ran.map(|spec| format!("{driver}: {CONFORMANCE} says left out, but it ran: {spec}"));
    let unknown = report.left_out.difference(documented);
    let unknown = unknown.map(|spec| format!("{driver}: not in {CONFORMANCE}: {spec}"));
    let failed = report.failed.iter().map(|spec| format!("failed: {driver}: {spec}"));
    unknown.chain(ran).chain(failed).collect()
}

fn csi_sanity(driver: &Standalone, tested: &Tested) -> Result<Report> {
    println!("csi-sanity: {}", tested.name);
    let node = driver.node()?;
    let program = driver.cluster().share(&driver.cluster().program("csi-sanity")?)?;
    // Files of its own for each driver: what one run wrote is not taken for another's.
    let file = |kind: &str| format!("{}/{}.{kind}", driver.run_folder(), tested.name);
    let (parameters, results) = (file("parameters.yaml"), file("report.json"));
    node.shell(&format!("cat >{parameters} <<'END'\n{}END", tested.parameters))?;
    let argv = [
        program,
        format!("--csi.endpoint={}", tested.node),
        format!("--csi.controllerendpoint={}", tested.controller),
        // csi-sanity makes these two itself; volumes belong below kubelet's `pods`.
        format!("--csi.mountdir={}/pods/mount", driver.kubelet_folder()),
        format!("--csi.stagingdir={}/pods/staging", driver.kubelet_folder()),
        format!("--csi.testvolumeparameters={parameters}"),
        format!("--csi.testvolumesize={VOLUME_BYTES}"),
        format!("--csi.testvolumeexpandsize={}", 2 * VOLUME_BYTES),
        format!("--ginkgo.json-report={results}"),
        "--ginkgo.v".into(),
        "--ginkgo.no-color".into(),
    ];
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let code = node.stream(&argv, std::io::empty(), TIME_MAX, standalone::show)?;
    let text = node.run(&["cat", &results]).context("csi-sanity wrote no report")?;
    let report = read_report(&serde_json::from_str(&text)?)?;
    if code != 0 && report.failed.is_empty() {
        bail!("csi-sanity ended with code {code} and reports no failure");
    }
    Ok(report)
}

/// Reads ginkgo's JSON report.
fn read_report(json: &Value) -> Result<Report> {
    let suites = json.as_array().context("the report is no list of suites")?;
    let mut report = Report::default();
    for spec in suites.iter().filter_map(|suite| suite["SpecReports"].as_array()).flatten() {
        // Set-up and tear-down nodes of the suite are no specs, unless they fail.
        let state = spec["State"].as_str().unwrap_or("unknown");
        if spec["LeafNodeType"] != "It" && state == "passed" {
            continue;
        }
        let name = spec_name(spec);
        match state {
            "passed" => report.passed.push(name),
            "skipped" | "pending" => drop(report.left_out.insert(name)),
            _ => report.failed.push(name),
        }
    }
    Ok(report)
}

fn spec_name(spec: &Value) -> String {
    let containers = spec["ContainerHierarchyTexts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let parts = containers.iter().chain([&spec["LeafNodeText"]]).filter_map(Value::as_str);
    parts.collect::<Vec<_>>().join(" ")
}

/// The specs that the documentation lists as left out: every list item that begins with a name in backquotes, in the
/// section "Left out".
fn documented(text: &str) -> BTreeSet<String> {
    let section = text.lines().skip_while(|line| !line.starts_with("## Left out")).skip(1);
    section
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("- `")?.split('`').next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_report_is_read_by_state_and_set_up_nodes_are_no_specs() {
        let spec = |kind: &str, name: &str, state: &str| json!({"LeafNodeType": kind, "ContainerHierarchyTexts": ["Node"], "LeafNodeText": name, "State": state});
        let report = json!([{"SpecReports": [
            spec("It", "a", "passed"),
            spec("It", "b", "skipped"),
            spec("It", "c", "pending"),
            spec("It", "d", "failed"),
            spec("It", "e", "panicked"),
            spec("BeforeSuite", "f", "passed"),
            spec("AfterSuite", "g", "failed"),
        ]}]);
        let read = read_report(&report).unwrap();
        assert_eq!(read.passed, ["Node a"]);
        assert_eq!(read.failed, ["Node d", "Node e", "Node g"]);
        assert_eq!(read.left_out, BTreeSet::from(["Node b".into(), "Node c".into()]));
        assert!(read_report(&json!({})).is_err());
    }

    #[test]
    fn a_failure_and_every_difference_from_what_is_documented_is_a_complaint() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let report =
            Report { passed: vec!["a".into()], failed: vec!["b".into()], left_out: set(&["c", "d"]) };
        let said = complaints("drv", &report, &set(&["d", "e"]));
        let expected = [
            "drv: not in docs/conformance.md: c",
            "drv: docs/conformance.md says left out, but it ran: e",
            "failed: drv: b",
        ];
        assert_eq!(said, expected);
        let right = Report { failed: Vec::new(), ..report };
        assert!(complaints("drv", &right, &set(&["c", "d"])).is_empty());
    }

    #[test]
    fn only_the_list_of_the_section_counts() {
        let text = "- `x`\n## Left out\ntext\n- `a b`: why\n- other\n### sub\n- `c`\n## Next\n- `d`\n";
        assert_eq!(documented(text), BTreeSet::from(["a b".into(), "c".into()]));
    }
}
