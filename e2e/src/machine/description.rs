//! What every machine's description has in common.

use crate::config::Layout;
use crate::topology::{GATEWAY, MACHINES, PREFIX, Plan, SERVICES, workers};
use workspacefs_node_init::spec::{File, HostFolder, Link, MachineSpec, Route, Step};

/// The parts that depend on what a machine is for.
pub struct Part {
    /// Kernel modules.
    pub modules: Vec<String>,
    /// Kernel settings.
    pub sysctls: Vec<(String, String)>,
    /// Files.
    pub files: Vec<File>,
    /// What runs.
    pub steps: Vec<Step>,
}

/// The whole description of a machine.
pub fn describe(plan: &Plan, layout: &Layout, part: Part) -> MachineSpec {
    let folder = |path: std::path::PathBuf, target: &str| HostFolder {
        source: path.display().to_string(),
        target: target.to_owned(),
    };
    let mut files = part.files;
    files.push(file("/etc/hosts", hosts()));
    files.push(file("/etc/machine-id", format!("{:032x}\n", plan.number)));
    files.push(file("/etc/resolv.conf", String::new()));
    MachineSpec {
        hostname: plan.name.to_owned(),
        host_folders: vec![folder(layout.host(), "/host")],
        links: vec![
            Link { device: "vec0".into(), address: format!("{}/{PREFIX}", plan.address()) },
            Link { device: "vec1".into(), address: format!("{}/{PREFIX}", plan.command_address()) },
        ],
        routes: routes(plan),
        modules: part.modules,
        sysctls: part.sysctls,
        files,
        steps: part.steps,
        commands: plan.commands(),
    }
}

/// To the pods of the other workers; and for Services, so that what uses a worker's own network (hostNetwork) has a way to
/// them at all: kube-proxy gives a packet its real target only after its route was found.
fn routes(plan: &Plan) -> Vec<Route> {
    let others = workers().filter(|other| other.name != plan.name);
    let mut routes: Vec<Route> = others
        .filter_map(|other| Some(Route { to: other.pods()?, via: other.address().to_string() }))
        .collect();
    if plan.pods().is_some() {
        routes.push(Route { to: SERVICES.to_owned(), via: GATEWAY.to_string() });
    }
    routes
}

fn hosts() -> String {
    let mut text = "127.0.0.1 localhost\n".to_owned();
    for plan in &MACHINES {
        text.push_str(&format!("{} {}\n", plan.address(), plan.name));
    }
    text
}

/// A file that everybody may read.
pub fn file(path: &str, content: String) -> File {
    File { path: path.to_owned(), mode: 0o644, content }
}

/// A file with a secret.
pub fn secret(path: &str, content: String) -> File {
    File { path: path.to_owned(), mode: 0o600, content }
}

/// Words of a command line without quoting.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A step that runs to its end.
pub fn run(line: &str) -> Step {
    Step::Run { argv: words(line) }
}

/// A step that runs a line of shell.
pub fn shell(line: &str) -> Step {
    Step::Run { argv: vec!["sh".into(), "-ec".into(), line.into()] }
}

/// A service.
pub fn serve(name: &str, line: &str, ready_path: Option<&str>) -> Step {
    Step::Serve { name: name.to_owned(), argv: words(line), ready_path: ready_path.map(str::to_owned) }
}

/// Names and values.
pub fn sysctls(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
