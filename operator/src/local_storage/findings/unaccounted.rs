//! Files on a node's disk that are in no share and no volume, where they are many: an owner who changes a file's project id
//! puts it there, out of reach of every quota. Condition QuotaEnforced says so, and an Event, once for each node.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use workspacefs_api::{NodeStorage, quantity};

use super::NODES_MAX;
use crate::local_storage::nodes::Selected;

/// What takes more than this is many, however large the disk is. What is ours and in no share is far less.
const BYTES: u64 = 1 << 30;
/// So is what takes more than one part of so many of the disk.
const PARTS: u64 = 20;

/// A node with many such files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unaccounted {
    /// The node's name.
    pub node: String,
    /// At least that much: a step, so that it is the same sentence while the figure moves.
    size: String,
    /// Whether it was said before.
    pub is_known: bool,
}

impl Unaccounted {
    fn words(&self) -> String {
        format!("{}{}", words(&self.node), self.size)
    }

    /// What is to be said of this one.
    pub fn sentence(&self) -> String {
        sentence_of(&self.words())
    }
}

/// The first few of those nodes. `before` is what the condition said.
pub fn unaccounted(selected: &[Selected<'_>], before: &str) -> Vec<Unaccounted> {
    let many = selected.iter().filter_map(|node| node.entry).filter_map(|entry| {
        let is_known = before.contains(&words(&entry.node));
        let bytes = bytes(entry.unaccounted.as_ref()?)?;
        let size = quantity::exact(1 << bytes.checked_ilog2()?).0;
        is_many(bytes, entry, is_known).then(|| Unaccounted { node: entry.node.clone(), size, is_known })
    });
    many.take(NODES_MAX).collect()
}

/// What was told is many until it is clearly less: else who writes and deletes at the border is told of again and again.
fn is_many(size: u64, entry: &NodeStorage, is_known: bool) -> bool {
    let part = entry.capacity.as_ref().and_then(bytes).map_or(BYTES, |capacity| capacity / PARTS);
    size > BYTES.min(part) / if is_known { 2 } else { 1 }
}

fn bytes(quantity: &Quantity) -> Option<u64> {
    quantity::bytes(&quantity.0)
}

/// By these the condition remembers a node.
fn words(node: &str) -> String {
    format!("node {node}: at least ")
}

/// What is to be said of them.
pub fn sentence(nodes: &[Unaccounted]) -> Option<String> {
    let named: Vec<String> = nodes.iter().map(Unaccounted::words).collect();
    (!named.is_empty()).then(|| sentence_of(&named.join(", ")))
}

fn sentence_of(nodes: &str) -> String {
    format!(
        "Files of no workspace and of no claim's volume, which no quota holds, take room on {nodes}: their owners changed their \
         project id, or somebody else put them there"
    )
}

#[cfg(test)]
mod tests {
    use workspacefs_testkit::builders;

    use super::*;

    fn found(capacity: Option<&str>, size: Option<&str>, before: &str) -> Vec<Unaccounted> {
        let quantity = |text: &str| Quantity(text.into());
        let entry = NodeStorage {
            capacity: capacity.map(quantity),
            unaccounted: size.map(quantity),
            ..builders::node_storage("n1", true)
        };
        unaccounted(&[Selected { name: "n1".into(), entry: Some(&entry), is_alive: true }], before)
    }

    #[test]
    fn more_than_a_gibibyte_or_a_twentieth_of_the_disk_is_many_and_stays_so_until_it_is_half() {
        const TOLD: &str = "take room on node n1: at least 1Gi: …";
        for (capacity, size, before, is_many) in [
            (Some("1Ti"), None, "", false),
            (Some("1Ti"), Some("0"), "", false),
            (Some("1Ti"), Some("1Gi"), "", false),
            (Some("1Ti"), Some("1025Mi"), "", true),
            (Some("1000Mi"), Some("50Mi"), "", false),
            (Some("1000Mi"), Some("51Mi"), "", true),
            (None, Some("1Gi"), "", false),
            (None, Some("2Gi"), "", true),
            (Some("1Ti"), Some("600Mi"), TOLD, true),
            (Some("1Ti"), Some("512Mi"), TOLD, false),
            (Some("1Ti"), Some("600Mi"), "take room on node xn1: at least 1Gi", false),
        ] {
            assert_eq!(found(capacity, size, before).len() == 1, is_many, "{capacity:?} {size:?} {before}");
        }
    }

    #[test]
    fn the_sentence_is_the_same_while_the_figure_moves_and_remembers_the_node() {
        let first = found(Some("1Ti"), Some("2100Mi"), "");
        let said = sentence(&first).unwrap();
        assert!(said.contains("node n1: at least 2Gi"), "{said}");
        assert!(!first[0].is_known);
        let second = found(Some("1Ti"), Some("3900Mi"), &said);
        assert_eq!(sentence(&second).unwrap(), said);
        assert!(second[0].is_known);
        assert_eq!(sentence(&[]), None);
    }
}
