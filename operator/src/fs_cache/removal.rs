//! Which generations may go: those that no node uses and none will ever use again. Pure, and without a clock: a node
//! that has seen a newer generation never goes back to an older one.

use std::collections::BTreeSet;

use workspacefs_api::fs_cache::EVERYWHERE;
use workspacefs_api::{CacheCopy, CacheUse};

/// What nodes know and use.
pub struct Nodes<'a> {
    /// Those that could expose what lies on the target.
    pub exposing: &'a BTreeSet<String>,
    /// What they say. Entries of nodes that are gone are not in it.
    pub uses: &'a [CacheUse],
}

impl Nodes<'_> {
    /// The superseded generations of a copy that may be taken away.
    pub fn removable(&self, copy: &CacheCopy) -> Vec<i64> {
        copy.superseded
            .iter()
            .copied()
            .filter(|generation| self.held_by(copy, *generation).is_empty())
            .collect()
    }

    /// The nodes that use a generation of a copy, or may still come to use it.
    pub fn held_by(&self, copy: &CacheCopy, generation: i64) -> Vec<String> {
        let concerns = |node: &str| copy.node == EVERYWHERE || copy.node == node;
        let uses =
            self.uses.iter().filter(|entry| concerns(&entry.node) && entry.in_use.contains(&generation));
        let has_moved_on =
            |node: &str| self.uses.iter().any(|entry| entry.node == node && entry.seen > generation);
        let behind = self.exposing.iter().filter(|node| concerns(node) && !has_moved_on(node));
        let held: BTreeSet<String> = uses.map(|entry| entry.node.clone()).chain(behind.cloned()).collect();
        held.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removable(node: &str, uses: &[(&str, i64, &[i64])]) -> Vec<i64> {
        let entry = |(node, seen, in_use): &(&str, i64, &[i64])| CacheUse {
            node: (*node).into(),
            seen: *seen,
            in_use: in_use.to_vec(),
        };
        let uses: Vec<CacheUse> = uses.iter().map(entry).collect();
        let exposing = BTreeSet::from(["a".to_string(), "b".to_string()]);
        let copy = CacheCopy {
            node: node.into(),
            generation: Some(3),
            superseded: vec![1, 2],
            ..CacheCopy::default()
        };
        Nodes { exposing: &exposing, uses: &uses }.removable(&copy)
    }

    #[test]
    fn a_generation_goes_when_every_node_has_moved_on_and_none_uses_it() {
        for (uses, goes) in [
            (&[("a", 3, &[3][..]), ("b", 3, &[])][..], &[1, 2][..]),
            (&[("a", 3, &[1, 3]), ("b", 3, &[])], &[2]),
            (&[("a", 3, &[]), ("b", 2, &[])], &[1]),
            // One that was never heard of may have chosen any.
            (&[("a", 3, &[])], &[]),
            (&[("a", 3, &[]), ("b", 0, &[])], &[]),
            // It has left the group, with what it uses.
            (&[("a", 3, &[]), ("b", 3, &[]), ("left", 3, &[2])], &[1]),
            (&[], &[]),
        ] {
            assert_eq!(removable(EVERYWHERE, uses), goes, "{uses:?}");
        }
    }

    #[test]
    fn of_a_nodes_own_copy_only_that_node_is_asked() {
        assert_eq!(removable("a", &[("a", 3, &[])]), [1, 2]);
        assert_eq!(removable("a", &[("b", 3, &[])]), [] as [i64; 0]);
        assert_eq!(removable("a", &[("a", 3, &[2]), ("b", 1, &[1])]), [1]);
    }
}
