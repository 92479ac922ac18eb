//! Which copy the claim of an FsCache gets: the current one, if it is Ready for this node, or none. A claim has no source
//! behind it, so that nothing less will do: its pod waits, and is told what for. A pure function of what is known.

use k8s_openapi::jiff::Timestamp;
use thiserror::Error;
use workspacefs_api::cache_attributes::CacheVolumeAttributes;

use super::decision::{Nest, is_young};
use super::known::{Known, Target};

/// No copy can be shown now.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Unready {
    /// The watch has not brought it.
    #[error(
        "FsCache {0} is not known on this node: it is gone or another has its name, or the API server has not been reached since the node plugin started"
    )]
    Unknown(String),
    /// It is being deleted.
    #[error("FsCache {0} is being deleted")]
    Going(String),
    /// It is shown in its source instead.
    #[error("FsCache {0} has no claim any more: its exposure is Transparent")]
    NoClaim(String),
    /// Nothing lies here yet.
    #[error(
        "FsCache {0} has no verified copy for this node yet: the volume is mounted once it has, see its status"
    )]
    NoCopy(String),
    /// Some path is not in it.
    #[error(
        "the copy of FsCache {0} for this node is not whole: the volume is mounted once all its paths are, see its status.paths"
    )]
    NotWhole(String),
    /// It is older than the FsCache allows.
    #[error(
        "the copy of FsCache {0} for this node is older than its maxAge: the volume is mounted after its next refresh"
    )]
    Stale(String),
    /// What is known of it is older than what was.
    #[error("what this node hears of FsCache {0} is older than what it knew: it waits for the present")]
    Behind(String),
    /// It is for other nodes.
    #[error(
        "the copies of FsCache {0} are in {1}, which is not for this node: give the pod no nodeName, the scheduler knows where it may run"
    )]
    Elsewhere(String, String),
}

/// The whole copy of the FsCache with that uid, or what keeps it from being shown. `lies` says where copies of it lie for
/// this node, `floor` is the oldest generation that may be chosen.
///
/// # Errors
/// [`Unready`].
pub fn decide<L>(
    uid: &str,
    whose: &CacheVolumeAttributes,
    known: Option<&Known>,
    lies: impl FnOnce(&Known) -> Option<L>,
    floor: i64,
    now: Timestamp,
) -> Result<Nest<L>, Unready> {
    let name = || format!("{}/{}", whose.namespace, whose.name);
    let is_it = |known: &&Known| known.namespace == whose.namespace && known.name == whose.name;
    let Some(known) = known.filter(is_it) else { return Err(Unready::Unknown(name())) };
    if known.is_deleted {
        return Err(Unready::Going(name()));
    }
    if !known.is_claim {
        return Err(Unready::NoClaim(name()));
    }
    // Before all that passes by itself: on this node nothing would come of waiting.
    let Some(lies) = lies(known) else {
        let target = match &known.target {
            Target::FileSystem(target) => format!("FileSystem {target}"),
            Target::LocalStorage(target) => format!("LocalStorage {target}"),
        };
        return Err(Unready::Elsewhere(name(), target));
    };
    let Some(copy) = &known.copy else { return Err(Unready::NoCopy(name())) };
    if copy.generation < floor {
        return Err(Unready::Behind(name()));
    }
    if !copy.is_complete {
        return Err(Unready::NotWhole(name()));
    }
    if !is_young(known, copy, now) {
        return Err(Unready::Stale(name()));
    }
    let (place, path) = (String::new(), String::new());
    Ok(Nest { place, cache: uid.into(), generation: copy.generation, path, lies })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use workspacefs_api::path::RelativePath;

    use super::super::known::Copy;
    use super::*;

    fn known() -> Known {
        let copy = Copy {
            generation: 5,
            as_of: Some(Timestamp::from_second(1000).unwrap()),
            source: "uid".into(),
            whole: vec![RelativePath::parse("a").unwrap()],
            is_complete: true,
        };
        Known {
            namespace: "team-a".into(),
            name: "warm".into(),
            created: Timestamp::UNIX_EPOCH,
            source: None,
            is_claim: true,
            target: Target::LocalStorage("nvme".into()),
            is_deleted: false,
            age_max: None,
            copy: Some(copy),
            written: None,
        }
    }

    fn decided(change: impl FnOnce(&mut Known)) -> Result<Nest<()>, Unready> {
        let mut known = known();
        change(&mut known);
        let whose = CacheVolumeAttributes { namespace: "team-a".into(), name: "warm".into() };
        let lies = |known: &Known| (known.target == Target::LocalStorage("nvme".into())).then_some(());
        decide("u", &whose, Some(&known), lies, 5, Timestamp::from_second(2000).unwrap())
    }

    #[test]
    fn the_current_copy_is_shown_as_a_whole() {
        let nest = decided(|_| {}).unwrap();
        assert_eq!((nest.cache.as_str(), nest.generation), ("u", 5));
        assert_eq!((nest.place.as_str(), nest.path.as_str()), ("", ""));
    }

    #[test]
    fn a_copy_that_is_not_ready_is_refused_and_the_refusal_says_why() {
        type Change = fn(&mut Known);
        let table: [(Change, &str); 9] = [
            (|known| known.name = "other".into(), "not known"),
            (|known| known.namespace = "team-b".into(), "not known"),
            (|known| known.is_deleted = true, "being deleted"),
            (|known| known.is_claim = false, "Transparent"),
            (|known| known.target = Target::FileSystem("far".into()), "FileSystem far"),
            (|known| known.copy = None, "no verified copy"),
            (|known| known.copy.as_mut().unwrap().is_complete = false, "not whole"),
            (|known| known.copy.as_mut().unwrap().generation = 4, "older than what it knew"),
            (|known| known.age_max = Some(Duration::from_secs(999)), "maxAge"),
        ];
        for (change, word) in table {
            let why = decided(change).expect_err(word).to_string();
            assert!(why.contains(word) && why.contains("team-a/warm"), "{why}");
        }
        let whose = CacheVolumeAttributes { namespace: "team-a".into(), name: "warm".into() };
        let gone = decide("u", &whose, None, |_| Some(()), 0, Timestamp::UNIX_EPOCH);
        assert_eq!(gone, Err(Unready::Unknown("team-a/warm".into())));
    }
}
