//! The end of an FsCache. A node that sees that it is being deleted shows no more of it and says so, by a number that
//! is newer than any generation. When all have said so and none uses any, a mover takes everything away. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use workspacefs_api::CacheCopy;

use super::ledger::{self, Entry};
use super::objects::{Errand, Task};
use super::plan;
use super::removal::Nodes;
use super::runs::{Run, State};
use super::setting::Place;
use super::survey::Act;
use crate::events::Happened;
use crate::filesystem::users;

/// What it is decided from.
pub struct Input<'a> {
    /// The entries as the pass saw them.
    pub copies: &'a [CacheCopy],
    /// What nodes know and use, and could still expose.
    pub nodes: Nodes<'a>,
    /// Where copies may be.
    pub places: &'a [Place],
    /// Its Jobs.
    pub runs: &'a [Run],
    /// The time.
    pub now: Timestamp,
}

/// What is to be written and done. Where nothing is left and nothing waits, it has ended.
#[derive(Debug, Default)]
pub struct Farewell {
    /// The entries.
    pub copies: Vec<CacheCopy>,
    /// What is to be done once they are written.
    pub acts: Vec<Act>,
    /// What is to be told.
    pub happened: Vec<Happened>,
    /// What it waits for, for a person.
    pub waits: Vec<String>,
    /// Nodes that are not the target's any more: no mover can work there, and what lies there stays, as all does of a node
    /// that leaves its LocalStorage.
    pub left: Vec<String>,
}

impl Farewell {
    /// Decides.
    pub fn of(input: &Input<'_>) -> Self {
        let mut farewell = Self::default();
        for run in input.runs {
            farewell.end(run);
        }
        for copy in input.copies {
            // With its Node the disk is gone from the cluster.
            let Some(place) = input.places.iter().find(|place| place.node == copy.node) else { continue };
            let mut copy = copy.clone();
            if farewell.keeps(input, place, &mut copy) {
                farewell.copies.push(copy);
            }
        }
        farewell
    }

    /// Whatever still fills is stopped.
    fn end(&mut self, run: &Run) {
        let is_removal = run.errand.task == Task::RemoveAll;
        match &run.state {
            State::Running(mover) if is_removal => self.waits.push(match &*mover.waits {
                "" => "what lies on the target is being removed".into(),
                waits => format!("what lies on the target is to be removed, but the mover's {waits}"),
            }),
            State::Leaving => self.waits.push("waits for its mover to end".into()),
            State::Running(_) | State::Ended { .. } => {
                self.acts.push(Act::End(run.job.clone()));
                if !is_removal {
                    self.waits.push("waits for its mover to end".into());
                }
            }
        }
    }

    /// Whether the copy's entry stays.
    fn keeps(&mut self, input: &Input<'_>, place: &Place, copy: &mut CacheCopy) -> bool {
        // Nothing was ever begun there.
        if copy.generation.is_none() && copy.filling.is_none() && copy.superseded.is_empty() {
            return false;
        }
        let run = input.runs.iter().find(|run| run.errand.node == copy.node);
        if let Some(run) = run
            && run.errand.task == Task::RemoveAll
        {
            return self.keeps_after(run, copy, input.now);
        }
        let lies_there = copy.superseded.iter().copied().chain(copy.generation);
        let held = lies_there.flat_map(|generation| input.nodes.held_by(copy, generation));
        let held: BTreeSet<String> = held.collect();
        if !held.is_empty() {
            let held: Vec<String> = held.into_iter().collect();
            self.waits.push(format!("pods use it, or may, on nodes {}", users::named(&held)));
            return true;
        }
        if run.is_some() {
            return true;
        }
        // No mover and no other pod comes to the disk of a node that left.
        if !place.is_ready && !input.nodes.exposing.contains(&place.node) {
            self.left.push(copy.node.clone());
            return false;
        }
        if !place.is_ready {
            let node = &copy.node;
            self.waits.push(format!(
                "waits for node {node}, whose storage is not ready, or for its Node to be deleted"
            ));
            return true;
        }
        if let Some(at) = plan::retry_at(copy).filter(|at| *at > input.now) {
            self.waits.push(format!(
                "what lies on the target was not removed: {}. It is tried again",
                copy.message
            ));
            tracing::debug!(node = copy.node, %at, "a removal is tried again");
            return true;
        }
        let node = copy.node.clone();
        let (source, remove) = (String::new(), Vec::new());
        let errand = Errand { node, task: Task::RemoveAll, generation: 0, earlier: None, source, remove };
        self.acts.push(Act::Send(errand));
        self.waits.push("what lies on the target is being removed".into());
        true
    }

    /// Whether the copy's entry stays after, or while, everything of it is taken away.
    fn keeps_after(&mut self, run: &Run, copy: &mut CacheCopy, now: Timestamp) -> bool {
        let State::Ended { outcome, .. } = &run.state else { return true };
        if outcome.as_ref().is_ok_and(|outcome| outcome.failure.is_none()) {
            return false;
        }
        let entry = Entry { job: run.uid(), errand: &run.errand, outcome, at: now, room: "" };
        let superseded = copy.superseded.clone();
        self.happened.extend(ledger::take_in(&entry, copy, &mut []));
        copy.superseded = superseded;
        self.waits
            .push(format!("what lies on the target was not removed: {}. It is tried again", copy.message));
        true
    }
}

#[cfg(test)]
mod tests {
    use workspacefs_api::CacheUse;

    use super::*;

    fn filled(node: &str) -> CacheCopy {
        CacheCopy {
            node: node.into(),
            generation: Some(3),
            whole: vec!["/a".into()],
            superseded: vec![2],
            ..CacheCopy::default()
        }
    }

    fn decide(copies: &[CacheCopy], uses: &[(&str, i64, &[i64])], places: &[(&str, bool)]) -> Farewell {
        let exposing: Vec<&str> = places.iter().map(|(node, _)| *node).collect();
        decide_where(copies, uses, places, &exposing)
    }

    fn decide_where(
        copies: &[CacheCopy],
        uses: &[(&str, i64, &[i64])],
        places: &[(&str, bool)],
        exposing: &[&str],
    ) -> Farewell {
        let uses: Vec<CacheUse> = uses
            .iter()
            .map(|(node, seen, in_use)| CacheUse {
                node: (*node).into(),
                seen: *seen,
                in_use: in_use.to_vec(),
            })
            .collect();
        let places: Vec<Place> = places
            .iter()
            .map(|(node, is_ready)| Place { node: (*node).into(), is_ready: *is_ready })
            .collect();
        let exposing = exposing.iter().map(|node| (*node).to_string()).collect::<BTreeSet<_>>();
        let nodes = Nodes { exposing: &exposing, uses: &uses };
        let now = Timestamp::UNIX_EPOCH;
        Farewell::of(&Input { copies, nodes, places: &places, runs: &[], now })
    }

    fn sends(farewell: &Farewell) -> usize {
        farewell
            .acts
            .iter()
            .filter(|act| matches!(act, Act::Send(errand) if errand.task == Task::RemoveAll))
            .count()
    }

    #[test]
    fn a_copy_goes_when_every_node_has_let_go_of_it() {
        for (uses, goes) in [
            (&[("a", 3, &[][..])][..], false),
            (&[("a", i64::MAX, &[3])], false),
            (&[("a", i64::MAX, &[2])], false),
            (&[], false),
            (&[("a", i64::MAX, &[])], true),
        ] {
            let farewell = decide(&[filled("a")], uses, &[("a", true)]);
            assert_eq!((sends(&farewell) == 1, farewell.copies.len()), (goes, 1), "{uses:?}");
            assert!(!farewell.waits.is_empty());
        }
    }

    #[test]
    fn what_was_never_begun_and_what_is_on_a_node_that_is_gone_is_let_go() {
        let pending = CacheCopy { node: "a".into(), ..CacheCopy::default() };
        let farewell = decide(&[pending, filled("gone")], &[], &[("a", true)]);
        assert!(farewell.copies.is_empty() && farewell.waits.is_empty() && farewell.acts.is_empty());
    }

    #[test]
    fn what_a_mover_had_begun_is_removed_too_and_a_node_that_is_not_ready_is_waited_for() {
        let begun = CacheCopy { node: "a".into(), filling: Some(1), ..CacheCopy::default() };
        assert_eq!(sends(&decide(std::slice::from_ref(&begun), &[], &[("a", true)])), 1);
        let waits = decide(&[begun], &[], &[("a", false)]);
        assert_eq!((sends(&waits), waits.copies.len()), (0, 1));
        assert!(waits.waits[0].contains("node a"), "{:?}", waits.waits);
    }

    #[test]
    fn a_node_that_left_the_group_is_waited_for_only_while_pods_there_use_the_copy() {
        let places = &[("a", false)];
        let used = decide_where(&[filled("a")], &[("a", 3, &[3])], places, &[]);
        assert_eq!((used.copies.len(), used.left.len(), used.waits.len()), (1, 0, 1));
        let left = decide_where(&[filled("a")], &[("a", 3, &[])], places, &[]);
        assert_eq!((left.copies.len(), left.left.as_slice()), (0, &["a".to_string()][..]));
        assert!(left.waits.is_empty() && left.acts.is_empty(), "{left:?}");
        // One that is of the group, and not ready for now, is waited for.
        let waits = decide_where(&[filled("a")], &[("a", i64::MAX, &[])], places, &["a"]);
        assert_eq!((waits.copies.len(), waits.left.len()), (1, 0));
    }
}
