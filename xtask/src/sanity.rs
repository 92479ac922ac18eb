//! `cargo xtask sanity`: the real csi-sanity against our node plugin and controller, inside worker n1, on a FileSystem of the
//! embedded server: real Ganesha, real quotas. Nothing is skipped by us. What csi-sanity leaves out by itself, because we do
//! not advertise the capability, must be exactly what docs/conformance.md says; and nothing may be left over on the node or
//! on the share.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use workspacefs_e2e::product;

use crate::standalone::{self, Place, Standalone};
use crate::{images, shell};

/// It takes well under a minute.
const TIME_MAX: Duration = Duration::from_secs(600);
/// Size of its volumes: many of them fit into the FileSystem.
const VOLUME_BYTES: u64 = 256 << 20;
const CONFORMANCE: &str = "docs/conformance.md";

/// Arguments of `cargo xtask sanity`.
#[derive(clap::Args)]
pub struct Args {
    /// Which cluster; started if it does not run
    #[arg(long, env = "WSFS_CLUSTER", default_value = "dev")]
    name: String,
}

/// What csi-sanity reports.
#[derive(Debug, Default, PartialEq)]
struct Report {
    passed: Vec<String>,
    failed: Vec<String>,
    left_out: BTreeSet<String>,
}

/// Runs it. The last line is `sanity: N passed, N failed`.
pub fn run(args: Args) -> Result<()> {
    let documented = documented(&fs::read_to_string(shell::root().join(CONFORMANCE))?);
    let cluster = standalone::cluster(&args.name)?;
    // The server is the product's own; the driver that is tested runs beside it.
    product::install_with_server(&cluster, &images::build_with_server()?, &product::values_with_server())?;
    let driver = Standalone::start(cluster, "sanity", Place::Embedded)?;
    let report = csi_sanity(&driver)?;
    let trashed = driver.trash()?.len();
    let logs = if report.failed.is_empty() {
        String::new()
    } else {
        format!("node:\n{}\ncontroller:\n{}", driver.log("node", 40)?, driver.log("controller", 40)?)
    };
    let left_over = driver.stop()?;

    let mut complaints: Vec<String> =
        left_over.into_iter().map(|what| format!("left over: {what}")).collect();
    if trashed == 0 {
        complaints.push("no volume reached the share's trash: was it the share at all?".into());
    }
    complaints
        .extend(report.left_out.difference(&documented).map(|spec| format!("not in {CONFORMANCE}: {spec}")));
    complaints.extend(
        documented
            .difference(&report.left_out)
            .map(|spec| format!("{CONFORMANCE} says left out, but it ran: {spec}")),
    );
    complaints.extend(report.failed.iter().map(|spec| format!("failed: {spec}")));
    print!("{logs}");
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("{} specs left out by csi-sanity itself, as {CONFORMANCE} lists them", report.left_out.len());
    println!("sanity: {} passed, {} failed", report.passed.len(), complaints.len());
    // A run of nothing proves nothing.
    if !complaints.is_empty() || report.passed.is_empty() {
        // Not by an error, whose words would come after the count.
        std::process::exit(1);
    }
    Ok(())
}

fn csi_sanity(driver: &Standalone) -> Result<Report> {
    let node = driver.node()?;
    let run = driver.run_folder();
    let program = driver.cluster().share(&driver.cluster().program("csi-sanity")?)?;
    // The last is what external-provisioner adds; without it nobody knows whose claim it would be.
    let namespace = driver.namespace();
    let parameters = format!(
        "namespace: {namespace}\nfileSystem: default\ncsi.storage.k8s.io/pvc/namespace: {namespace}\n"
    );
    node.shell(&format!("cat >{run}/parameters.yaml <<'END'\n{parameters}END"))?;
    let argv = [
        program,
        format!("--csi.endpoint={}", driver.node_endpoint()),
        format!("--csi.controllerendpoint={}", driver.controller_endpoint()),
        // csi-sanity makes these two itself; volumes belong below kubelet's `pods`.
        format!("--csi.mountdir={}/pods/mount", driver.kubelet_folder()),
        format!("--csi.stagingdir={}/pods/staging", driver.kubelet_folder()),
        format!("--csi.testvolumeparameters={run}/parameters.yaml"),
        format!("--csi.testvolumesize={VOLUME_BYTES}"),
        format!("--csi.testvolumeexpandsize={}", 2 * VOLUME_BYTES),
        format!("--ginkgo.json-report={run}/report.json"),
        "--ginkgo.v".into(),
        "--ginkgo.no-color".into(),
    ];
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let code = node.stream(&argv, std::io::empty(), TIME_MAX, standalone::show)?;
    let text = node.run(&["cat", &format!("{run}/report.json")]).context("csi-sanity wrote no report")?;
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
    fn only_the_list_of_the_section_counts() {
        let text = "- `x`\n## Left out\ntext\n- `a b`: why\n- other\n### sub\n- `c`\n## Next\n- `d`\n";
        assert_eq!(documented(text), BTreeSet::from(["a b".into(), "c".into()]));
    }
}
