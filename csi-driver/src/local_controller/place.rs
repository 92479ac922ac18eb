//! On which node a volume can be: by what was asked for and what the nodes say of themselves in the LocalStorage's status.

use std::cmp::Reverse;

use workspacefs_api::local_volume::LOCAL_TOPOLOGY_KEY;
use workspacefs_api::{Health, LocalStorage, NodeStorage, quantity};
use workspacefs_csi_proto::csi::v1::{Topology, TopologyRequirement};

/// A message names no more nodes than this.
const NODES_NAMED_MAX: usize = 5;

/// The nodes from which a volume must be reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Whichever it is.
    Any,
    /// One of these, the first that can.
    OneOf(Vec<String>),
}

/// No node can have the volume now.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoPlace {
    /// None of those that were asked for has so much.
    #[error("LocalStorage {storage:?} has no node for a volume of {size} bytes: {}", .nodes.join(", "))]
    Full {
        /// Its name.
        storage: String,
        /// What was asked for.
        size: i64,
        /// What stands against each node.
        nodes: Vec<String>,
    },
    /// Another node would not do either.
    #[error(
        "LocalStorage {0:?} has no volumes of a size: nothing on its disks enforces one. They must be XFS mounted with prjquota, \
         or ext4 with project quotas"
    )]
    NoQuota(String),
}

impl Reach {
    /// Reads what the caller asks for. Terms of other topologies than ours name no node.
    pub fn of(asked: Option<&TopologyRequirement>) -> Self {
        let Some(asked) = asked.filter(|asked| !asked.requisite.is_empty() || !asked.preferred.is_empty())
        else {
            return Self::Any;
        };
        let must = |node: &&str| {
            asked.requisite.is_empty() || asked.requisite.iter().any(|term| node_of(term) == Some(*node))
        };
        let mut nodes: Vec<String> = Vec::new();
        for node in asked.preferred.iter().chain(&asked.requisite).filter_map(node_of).filter(must) {
            if !nodes.iter().any(|known| known == node) {
                nodes.push(node.into());
            }
        }
        Self::OneOf(nodes)
    }

    /// Whether a volume on that node is where it must be.
    pub fn admits(&self, node: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(nodes) => nodes.iter().any(|one| one == node),
        }
    }
}

/// The topology from which a volume on that node is reached.
pub fn topology(node: &str) -> Topology {
    Topology { segments: [(LOCAL_TOPOLOGY_KEY.to_owned(), node.to_owned())].into() }
}

/// The node that a topology means: none if there is anything else in it.
pub fn node_of(term: &Topology) -> Option<&str> {
    match term.segments.len() {
        1 => term.segments.get(LOCAL_TOPOLOGY_KEY).map(String::as_str),
        _ => None,
    }
}

/// How large a volume can still be made there: none on a disk that reports errors.
pub fn room(entry: &NodeStorage) -> i64 {
    let available = entry.available.as_ref().filter(|_| entry.ready && entry.health < Health::Degraded);
    let bytes = available.and_then(|available| quantity::bytes(&available.0)).unwrap_or(0);
    bytes.try_into().unwrap_or(i64::MAX)
}

/// The nodes that can have a volume of `size` bytes, the best first: as asked for, else those with most room.
///
/// # Errors
/// There is none.
pub fn candidates(storage: &LocalStorage, reach: &Reach, size: i64) -> Result<Vec<String>, NoPlace> {
    let entries = storage.status.as_ref().map(|status| status.nodes.as_slice()).unwrap_or_default();
    let asked: Vec<(&str, Option<&NodeStorage>)> = match reach {
        Reach::OneOf(nodes) => nodes.iter().map(|node| (node.as_str(), storage.on_node(node))).collect(),
        Reach::Any => {
            let mut all: Vec<&NodeStorage> = entries.iter().collect();
            all.sort_by_key(|entry| (Reverse(room(entry)), &entry.node));
            all.into_iter().map(|entry| (entry.node.as_str(), Some(entry))).collect()
        }
    };
    let fits = |entry: Option<&NodeStorage>| entry.is_some_and(|entry| room(entry) >= size);
    let found: Vec<String> =
        asked.iter().filter(|(_, entry)| fits(*entry)).map(|(node, _)| (*node).to_owned()).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let name = storage.metadata.name.clone().unwrap_or_default();
    let mut ready = entries.iter().filter(|entry| entry.ready).peekable();
    if ready.peek().is_some() && ready.all(|entry| entry.available.is_none()) {
        return Err(NoPlace::NoQuota(name));
    }
    Err(NoPlace::Full { storage: name, size, nodes: why_not(&asked) })
}

/// What stands against each.
fn why_not(asked: &[(&str, Option<&NodeStorage>)]) -> Vec<String> {
    let mut all: Vec<String> = asked
        .iter()
        .take(NODES_NAMED_MAX)
        .map(|(node, entry)| match entry {
            None => format!("{node} is not one of its nodes"),
            Some(entry) if !entry.ready => format!("{node} is not ready ({})", entry.reason),
            Some(entry) if entry.health >= Health::Degraded => format!("{node}'s disk reports errors"),
            Some(entry) if entry.available.is_none() => format!("{node} enforces no size"),
            Some(entry) => format!("{node} has {} bytes left", room(entry)),
        })
        .collect();
    match asked.len() {
        0 => all.push("none of its nodes was asked for".into()),
        count if count > NODES_NAMED_MAX => all.push(format!("and {} more", count - NODES_NAMED_MAX)),
        _ => {}
    }
    all
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use workspacefs_api::{LocalStorageSpec, LocalStorageStatus};

    use super::*;

    /// `n1` not ready, `n2` without quota, the others with that much room.
    fn storage(room: &[(&str, &str)]) -> LocalStorage {
        let entry = |(node, available): &(&str, &str)| NodeStorage {
            node: (*node).into(),
            ready: *available != "away",
            reason: if *available == "away" { "NoDisk" } else { "Ready" }.into(),
            message: String::new(),
            health: Default::default(),
            device: None,
            capacity: None,
            used: None,
            available: available.parse::<u64>().is_ok().then(|| Quantity((*available).into())),
            unaccounted: None,
            shares_file_system: false,
            cache: None,
            found: Vec::new(),
            observed_at: Time(Timestamp::UNIX_EPOCH),
        };
        let mut storage = LocalStorage::new("fast", LocalStorageSpec::default());
        storage.status =
            Some(LocalStorageStatus { nodes: room.iter().map(entry).collect(), ..Default::default() });
        storage
    }

    fn one_of(nodes: &[&str]) -> Reach {
        Reach::OneOf(nodes.iter().map(|node| (*node).into()).collect())
    }

    fn requirement(requisite: &[&str], preferred: &[&str]) -> TopologyRequirement {
        let terms = |nodes: &[&str]| nodes.iter().map(|node| topology(node)).collect();
        TopologyRequirement { requisite: terms(requisite), preferred: terms(preferred) }
    }

    #[test]
    fn what_is_preferred_comes_first_and_what_is_requisite_is_all_there_is() {
        for (requisite, preferred, wanted) in [
            (&["a", "b", "c"][..], &["b"][..], &["b", "a", "c"][..]),
            (&["a", "b"], &[], &["a", "b"]),
            (&[], &["b", "a"], &["b", "a"]),
            (&["a"], &["z", "a"], &["a"]),
        ] {
            assert_eq!(Reach::of(Some(&requirement(requisite, preferred))), one_of(wanted));
        }
        assert_eq!(Reach::of(None), Reach::Any);
        assert_eq!(Reach::of(Some(&TopologyRequirement::default())), Reach::Any);
    }

    #[test]
    fn a_term_with_anything_but_our_key_names_no_node() {
        let mut term = topology("a");
        assert_eq!(node_of(&term), Some("a"));
        term.segments.insert("topology.kubernetes.io/zone".into(), "z".into());
        assert_eq!(node_of(&term), None);
        let asked = TopologyRequirement { requisite: vec![term, Topology::default()], preferred: Vec::new() };
        assert_eq!(Reach::of(Some(&asked)), one_of(&[]));
        assert!(!one_of(&[]).admits("a") && one_of(&["a"]).admits("a") && Reach::Any.admits("a"));
    }

    #[test]
    fn the_first_node_asked_for_that_has_room_is_taken_else_the_one_with_most() {
        let all = storage(&[("n1", "away"), ("n2", ""), ("n3", "100"), ("n4", "300"), ("n5", "200")]);
        for (reach, size, wanted) in [
            (Reach::Any, 50, &["n4", "n5", "n3"][..]),
            (Reach::Any, 200, &["n4", "n5"]),
            (one_of(&["n3", "n4"]), 50, &["n3", "n4"]),
            (one_of(&["n3", "n4"]), 200, &["n4"]),
            (one_of(&["n1", "n2", "n5"]), 200, &["n5"]),
        ] {
            assert_eq!(candidates(&all, &reach, size).unwrap(), wanted, "{reach:?} {size}");
        }
    }

    #[test]
    fn where_none_fits_each_is_named_with_its_reason() {
        let all = storage(&[("n1", "away"), ("n2", ""), ("n3", "100")]);
        let words = candidates(&all, &one_of(&["n1", "n2", "n3", "n9"]), 4096).unwrap_err().to_string();
        for part in [
            "\"fast\"",
            "4096 bytes",
            "n1 is not ready (NoDisk)",
            "n2 enforces no size",
            "n3 has 100 bytes left",
            "n9 is not one of its nodes",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        let words = candidates(&all, &one_of(&[]), 1).unwrap_err().to_string();
        assert!(words.contains("none of its nodes was asked for"), "{words}");
        let many: Vec<(String, &str)> = (0..30).map(|at| (format!("n{at}"), "away")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(node, room)| (node.as_str(), *room)).collect();
        let words = candidates(&storage(&many), &Reach::Any, 1).unwrap_err().to_string();
        assert!(words.contains("and 25 more") && words.len() < 300, "{words}");
    }

    #[test]
    fn where_no_ready_node_enforces_sizes_another_node_would_not_do_either() {
        let none = storage(&[("n1", "away"), ("n2", "")]);
        assert_eq!(candidates(&none, &one_of(&["n2"]), 1), Err(NoPlace::NoQuota("fast".into())));
        for room in [&[("n1", "away")][..], &[("n1", "5"), ("n2", "")], &[]] {
            let refused = candidates(&storage(room), &Reach::Any, 10);
            assert!(matches!(refused, Err(NoPlace::Full { .. })), "{room:?}");
        }
    }

    #[test]
    fn there_is_room_only_where_it_is_ready_and_reports_no_errors() {
        let mut all = storage(&[("n3", "100")]);
        let mut entry = all.status.take().unwrap().nodes.remove(0);
        assert_eq!(room(&entry), 100);
        entry.health = Health::Degraded;
        assert_eq!(room(&entry), 0);
        let ill = [("n3", Some(&entry))];
        assert_eq!(why_not(&ill), ["n3's disk reports errors"]);
        entry.ready = false;
        assert_eq!(
            (room(&entry), why_not(&[("n3", Some(&entry))])),
            (0, vec!["n3 is not ready (Ready)".into()])
        );
    }
}
