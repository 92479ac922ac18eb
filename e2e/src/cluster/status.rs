//! What of a cluster runs.

use super::Cluster;
use crate::control_plane::PARTS;
use crate::host::process::{Process, ProcessError};
use crate::topology::workers;
use std::time::Duration;

/// Time for a machine to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// How many errors a machine's ext4 has met on its root disk since that was made. A power cut in the wrong moment leaves some, and
/// the product is right to use no directory there.
const ROOT_ERRORS: &str = "/sys/fs/ext4/ubda/errors_count";

/// How one part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartStatus {
    /// It runs and answers.
    Well,
    /// It does not run.
    Stopped,
    /// It runs and was frozen.
    Frozen,
    /// It runs and does not do its work; why.
    Sick(String),
}

impl std::fmt::Display for PartStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PartStatus::Well => formatter.write_str("well"),
            PartStatus::Stopped => formatter.write_str("does not run"),
            PartStatus::Frozen => formatter.write_str("frozen"),
            PartStatus::Sick(why) => write!(formatter, "sick: {why}"),
        }
    }
}

/// How all parts are: names and states, in the order in which they start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Processes of the control plane, machines, Kubernetes' nodes.
    pub parts: Vec<(String, PartStatus)>,
}

fn root_disk(errors: &[u8]) -> PartStatus {
    match String::from_utf8_lossy(errors).trim() {
        "0" => PartStatus::Well,
        errors => PartStatus::Sick(format!("its root disk has recorded {errors:?} errors")),
    }
}

impl Status {
    /// Whether nothing is missing.
    pub fn is_well(&self) -> bool {
        self.parts.iter().all(|(_, status)| *status == PartStatus::Well)
    }
}

impl Cluster {
    /// Asks every part. Waits a few seconds at most for each that does not answer.
    pub fn status(&self) -> Result<Status, ProcessError> {
        let mut parts = Vec::new();
        let processes = Process::read_all(&self.layout().processes())?;
        let process = |name: &str| match processes.iter().find(|process| process.name == name) {
            Some(process) if process.is_stopped() => PartStatus::Frozen,
            Some(process) if process.runs() => PartStatus::Well,
            _ => PartStatus::Stopped,
        };
        for part in PARTS {
            parts.push((part.name().to_owned(), process(part.name())));
        }
        for machine in self.machines() {
            let mut status = process(machine.name());
            if status == PartStatus::Well {
                status = match machine.run_within(&["cat", ROOT_ERRORS], b"", ANSWER_TIME_MAX) {
                    Ok(said) => root_disk(&said.stdout),
                    Err(error) => PartStatus::Sick(error.to_string()),
                };
            }
            parts.push((machine.name().to_owned(), status));
        }
        let nodes =
            if process("kube-apiserver") == PartStatus::Well { self.nodes_ready() } else { Vec::new() };
        for plan in workers() {
            let name = format!("node {}", plan.name);
            let ready = nodes.iter().find(|(node, _)| node == plan.name);
            parts.push((
                name,
                match ready {
                    Some((_, true)) => PartStatus::Well,
                    Some((_, false)) => PartStatus::Sick("not Ready".into()),
                    None => PartStatus::Sick("not registered".into()),
                },
            ));
        }
        Ok(Status { parts })
    }

    /// Kubernetes' nodes and whether each is Ready; empty when the API server does not answer.
    pub(super) fn nodes_ready(&self) -> Vec<(String, bool)> {
        let arguments = ["get", "nodes", "--output=json", "--request-timeout=5s"];
        match self.kubectl("admin", &arguments) {
            Ok(text) => parse_nodes(&text),
            Err(_) => Vec::new(),
        }
    }
}

fn parse_nodes(json: &str) -> Vec<(String, bool)> {
    let list: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let node = |item: &serde_json::Value| {
        let name = item["metadata"]["name"].as_str()?.to_owned();
        let conditions = item["status"]["conditions"].as_array()?;
        let ready =
            conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        Some((name, ready))
    };
    items.iter().filter_map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::{PartStatus, parse_nodes, root_disk};

    #[test]
    fn only_a_true_ready_condition_is_ready() {
        let json = r#"{"items": [
            {"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"metadata": {"name": "b"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
            {"metadata": {"name": "c"}, "status": {"conditions": [{"type": "DiskPressure", "status": "True"}]}}
        ]}"#;
        let expected = [("a", true), ("b", false), ("c", false)];
        assert_eq!(parse_nodes(json), expected.map(|(name, ready)| (name.to_owned(), ready)));
        assert_eq!(parse_nodes("not JSON"), []);
    }

    #[test]
    fn a_machine_is_well_only_with_a_root_disk_that_says_it_has_met_no_error() {
        assert_eq!(root_disk(b"0\n"), PartStatus::Well);
        for errors in ["42\n", ""] {
            assert!(matches!(root_disk(errors.as_bytes()), PartStatus::Sick(_)), "{errors:?}");
        }
    }
}
