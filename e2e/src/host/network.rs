//! Bridges, taps and routes of the cluster's network namespace, as `ip` commands. There is no default route and no
//! device that leads out: nothing leaves the namespace.

use crate::topology::{COMMAND_GATEWAY, GATEWAY, MACHINES, PREFIX, SERVICES, workers};

/// A bridge that is never up: what a machine sends into it is lost without an error, and nothing comes back. A pulled
/// cable leads there. (A tap that is down refuses a frame, and the machine's driver never recovers from that.)
const NOWHERE: &str = "nowhere";
/// The bridge of the cluster's own network.
const MACHINES_BRIDGE: &str = "machines";

/// The commands that build the network in a fresh namespace.
pub fn commands() -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned()];
    for (bridge, address) in [(MACHINES_BRIDGE, GATEWAY), ("commands", COMMAND_GATEWAY)] {
        lines.push(format!("link add {bridge} type bridge"));
        lines.push(format!("address add {address}/{PREFIX} dev {bridge}"));
        lines.push(format!("link set {bridge} up"));
    }
    lines.push(format!("link add {NOWHERE} type bridge"));
    for plan in &MACHINES {
        for (tap, bridge) in [(plan.tap(), MACHINES_BRIDGE), (plan.command_tap(), "commands")] {
            lines.push(format!("tuntap add dev {tap} mode tap"));
            lines.push(format!("link set {tap} master {bridge}"));
            lines.push(format!("link set {tap} up"));
        }
        if let Some(pods) = plan.pods() {
            lines.push(format!("route add {pods} via {}", plan.address()));
        }
    }
    // Service addresses work for clients in the namespace as well, through the first worker's kube-proxy.
    if let Some(first) = workers().next() {
        lines.push(format!("route add {SERVICES} via {}", first.address()));
    }
    lines
}

/// The command that takes a tap off the cluster's network.
pub fn pull(tap: &str) -> String {
    format!("link set {tap} master {NOWHERE}")
}

/// The command that ends [`pull`].
pub fn plug(tap: &str) -> String {
    format!("link set {tap} master {MACHINES_BRIDGE}")
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn nothing_leads_out_of_the_namespace() {
        for line in commands() {
            assert!(!line.contains("default") && !line.contains("netns") && !line.contains("veth"), "{line}");
        }
    }

    #[test]
    fn interface_names_fit_the_kernels_limit() {
        for line in commands() {
            if let Some(rest) = line.strip_prefix("tuntap add dev ") {
                let name = rest.split(' ').next().unwrap();
                assert!(name.len() <= 15, "{name}");
            }
        }
    }
}
