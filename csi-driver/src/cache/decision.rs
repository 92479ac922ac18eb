//! Which copies a volume gets, and where in it: a pure function of what is known.

use k8s_openapi::jiff::Timestamp;
use workspacefs_api::path::RelativePath;

use super::known::{Copy, Known};

/// A volume about to be published.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'a> {
    /// Of its FileSystem.
    pub namespace: &'a str,
    /// Its FileSystem's name.
    pub file_system: &'a str,
    /// Its FileSystem's uid: one that was made again under the same name has other files.
    pub uid: &'a str,
    /// Its root, from the FileSystem's root.
    pub root: &'a RelativePath,
    /// Nothing is to be written through it.
    pub read_only: bool,
}

/// A folder of a copy, to be shown in a volume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nest<L> {
    /// Beneath the volume's root; empty if it is shown instead of that.
    pub place: String,
    /// The FsCache's uid.
    pub cache: String,
    /// Which generation.
    pub generation: i64,
    /// The folder in the copy, as in the FileSystem, without leading slash.
    pub path: String,
    /// Where the copy lies.
    pub lies: L,
}

/// The copies for a volume, of `known` (by uid). `reach` says where a cache's copies lie, if this node can have them;
/// `floor` is the oldest generation of a cache that may be chosen. Of paths that overlap the one of the cache that was
/// created first is shown, then by name; the other is left out.
pub fn decide<'a, L>(
    volume: Volume<'_>,
    now: Timestamp,
    known: impl Iterator<Item = (&'a String, &'a Known)>,
    reach: impl Fn(&Known) -> Option<L>,
    floor: impl Fn(&str) -> i64,
) -> Vec<Nest<L>>
where
    L: Clone,
{
    let mut caches: Vec<(&String, &Known, &Copy)> = known
        .filter(|(_, cache)| is_source(cache, volume))
        .filter_map(|(uid, cache)| Some((uid, cache, cache.copy.as_ref()?)))
        .filter(|(_, _, copy)| copy.source == volume.uid)
        .filter(|(uid, cache, copy)| copy.generation >= floor(uid) && is_young(cache, copy, now))
        .collect();
    caches.sort_by(|(_, one, _), (_, other, _)| (one.created, &one.name).cmp(&(other.created, &other.name)));
    let mut shown: Vec<&RelativePath> = Vec::new();
    let mut nests = Vec::new();
    for (uid, cache, copy) in caches {
        let Some(lies) = reach(cache) else {
            continue;
        };
        for path in &copy.whole {
            let Some((place, folder)) = place(volume, path) else {
                continue;
            };
            if shown.iter().any(|other| overlap(other, path)) {
                continue;
            }
            shown.push(path);
            nests.push(Nest {
                place,
                cache: uid.clone(),
                generation: copy.generation,
                path: folder,
                lies: lies.clone(),
            });
        }
    }
    nests
}

fn is_source(cache: &Known, volume: Volume<'_>) -> bool {
    !cache.is_deleted
        && cache.namespace == volume.namespace
        && cache.source.as_deref() == Some(volume.file_system)
}

/// Of a copy that does not say how old it is nobody knows.
pub(super) fn is_young(cache: &Known, copy: &Copy, now: Timestamp) -> bool {
    let Some(age_max) = cache.age_max else {
        return true;
    };
    copy.as_of.is_some_and(|as_of| {
        // A clock that is behind makes nothing younger than now.
        let age = std::time::Duration::try_from(now.duration_since(as_of)).unwrap_or_default();
        age <= age_max
    })
}

/// Where in the volume a cached path is shown, and which folder of the copy. At the volume's root or above it only
/// where nothing is to be written.
fn place(volume: Volume<'_>, cached: &RelativePath) -> Option<(String, String)> {
    if let Some(place) = beneath(cached, volume.root).filter(|place| !place.is_empty()) {
        return Some((place.into(), cached.as_str().into()));
    }
    beneath(volume.root, cached)
        .filter(|_| volume.read_only)
        .map(|_| (String::new(), volume.root.as_str().into()))
}

/// What is left of `path` beneath `root`; empty where they are the same.
fn beneath<'a>(path: &'a RelativePath, root: &RelativePath) -> Option<&'a str> {
    if root.is_root() {
        return Some(path.as_str());
    }
    let rest = path.as_str().strip_prefix(root.as_str())?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

fn overlap(one: &RelativePath, other: &RelativePath) -> bool {
    beneath(one, other).is_some() || beneath(other, one).is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::known::Target;
    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    /// Of `team-a/default`, created at `second`.
    fn known(name: &str, second: i64, whole: &[&str]) -> (String, Known) {
        let copy = Copy {
            generation: 5,
            as_of: Some(Timestamp::from_second(1000).unwrap()),
            source: "uid-of-default".into(),
            is_complete: true,
            whole: whole.iter().map(|text| path(text)).collect(),
        };
        let known = Known {
            namespace: "team-a".into(),
            name: name.into(),
            created: Timestamp::from_second(second).unwrap(),
            source: Some("default".into()),
            is_claim: false,
            target: Target::FileSystem("near".into()),
            is_deleted: false,
            age_max: None,
            copy: Some(copy),
            written: None,
        };
        (format!("uid-of-{name}"), known)
    }

    /// `<uid's name> <place> <path>` of each nest.
    fn shown(root: &str, read_only: bool, caches: &[(String, Known)]) -> Vec<String> {
        let root = path(root);
        let volume = Volume {
            namespace: "team-a",
            file_system: "default",
            uid: "uid-of-default",
            root: &root,
            read_only,
        };
        let now = Timestamp::from_second(2000).unwrap();
        let all = caches.iter().map(|(uid, known)| (uid, known));
        let nests = decide(volume, now, all, |_| Some(()), |_| 5);
        let name = |nest: &Nest<()>| nest.cache.strip_prefix("uid-of-").unwrap().to_string();
        nests.iter().map(|nest| format!("{} [{}] {}", name(nest), nest.place, nest.path)).collect()
    }

    #[test]
    fn a_path_is_shown_beneath_the_root_at_its_place_and_instead_of_it_only_where_nothing_is_written() {
        let caches = [known("c", 1, &["a/b", "d"])];
        let none: &[&str] = &[];
        for (root, read_only, expected) in [
            ("", false, &["c [a/b] a/b", "c [d] d"][..]),
            ("", true, &["c [a/b] a/b", "c [d] d"]),
            ("a", false, &["c [b] a/b"]),
            ("a", true, &["c [b] a/b"]),
            ("a/b", false, none),
            ("a/b", true, &["c [] a/b"]),
            ("a/b/deep/er", false, none),
            ("a/b/deep/er", true, &["c [] a/b/deep/er"]),
            ("a/bc", true, none),
            ("a/c", true, none),
            ("e", true, none),
        ] {
            assert_eq!(shown(root, read_only, &caches), expected, "{root:?} read-only: {read_only}");
        }
    }

    #[test]
    fn of_overlapping_paths_the_first_caches_is_shown_and_the_other_left_out() {
        let (early, late) = (known("early", 1, &["a/b"]), known("late", 2, &["a/b"]));
        assert_eq!(shown("", false, &[late, early.clone()]), ["early [a/b] a/b"]);
        let same_time = [known("z", 1, &["a"]), known("y", 1, &["a"])];
        assert_eq!(shown("", false, &same_time), ["y [a] a"], "then by name");
        let above = known("above", 2, &["a", "d"]);
        assert_eq!(shown("", false, &[above.clone(), early.clone()]), ["early [a/b] a/b", "above [d] d"]);
        let below = known("below", 0, &["a/b/c"]);
        assert_eq!(shown("", false, &[early.clone(), below.clone()]), ["below [a/b/c] a/b/c"]);
        // A prefix of the text is not one of the path.
        let other = known("other", 3, &["a/bc"]);
        assert_eq!(shown("", false, &[early.clone(), other]), ["early [a/b] a/b", "other [a/bc] a/bc"]);
        // What is not shown in this volume is in nobody's way.
        assert_eq!(shown("a/b", false, &[early.clone(), below.clone()]), ["below [c] a/b/c"]);
        assert_eq!(shown("a/b", true, &[early, known("later", 4, &["a/b/c"])]), ["early [] a/b"]);
    }

    #[test]
    fn a_cache_that_is_not_for_this_volume_now_shows_nothing() {
        let changed = |change: &dyn Fn(&mut Known)| {
            let mut cache = known("c", 1, &["a"]);
            change(&mut cache.1);
            shown("", false, &[cache]).len()
        };
        assert_eq!(changed(&|_| {}), 1);
        assert_eq!(changed(&|known| known.namespace = "team-b".into()), 0);
        assert_eq!(changed(&|known| known.source = Some("other".into())), 0);
        assert_eq!(changed(&|known| known.source = None), 0);
        assert_eq!(changed(&|known| known.copy.as_mut().unwrap().source = "uid-of-the-one-before".into()), 0);
        assert_eq!(changed(&|known| known.copy.as_mut().unwrap().source.clear()), 0);
        assert_eq!(changed(&|known| known.is_deleted = true), 0);
        assert_eq!(changed(&|known| known.copy = None), 0);
        assert_eq!(changed(&|known| known.copy.as_mut().unwrap().whole.clear()), 0);
        assert_eq!(changed(&|known| known.copy.as_mut().unwrap().generation = 4), 0, "older than one seen");
        let aged = |seconds| changed(&move |known| known.age_max = Some(Duration::from_secs(seconds)));
        assert_eq!((aged(1000), aged(999)), (1, 0));
        let ageless = |known: &mut Known| {
            known.age_max = Some(Duration::MAX);
            known.copy.as_mut().unwrap().as_of = None;
        };
        assert_eq!(changed(&ageless), 0);
        let ahead = |known: &mut Known| {
            known.age_max = Some(Duration::from_secs(60));
            known.copy.as_mut().unwrap().as_of = Some(Timestamp::from_second(9000).unwrap());
        };
        assert_eq!(changed(&ahead), 1);
    }

    #[test]
    fn what_this_node_cannot_reach_is_in_nobodys_way() {
        let caches = [known("far", 1, &["a"]), known("near", 2, &["a"])];
        let root = path("");
        let volume = Volume {
            namespace: "team-a",
            file_system: "default",
            uid: "uid-of-default",
            root: &root,
            read_only: false,
        };
        let all = caches.iter().map(|(uid, known)| (uid, known));
        let reach = |known: &Known| (known.name == "near").then_some(());
        let nests = decide(volume, Timestamp::UNIX_EPOCH, all, reach, |_| 0);
        assert_eq!(nests.iter().map(|nest| nest.cache.as_str()).collect::<Vec<_>>(), ["uid-of-near"]);
    }
}
