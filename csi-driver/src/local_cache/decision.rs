//! What is decided about the node's cache, as pure functions: on whose disk it lies, what is done next, and who reads through it.

use workspacefs_api::LocalStorage;
use workspacefs_api::quantity;

use crate::share::ShareSpec;

/// The mount option that has the kernel read through its cache.
const CACHED: &str = "fsc";
/// The kernel takes two mounts of one export for one, and does not look at [`CACHED`] when it does: whoever comes second would get what
/// the first asked for. This keeps the mount that is cached apart from all others. Source: fs/nfs/super.c (`nfs_compare_super`).
const APART: &str = "nosharecache";

/// How a share is mounted that a FileSystem with `localCache` lies on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// With the option as it was asked for: this node's cache is the administrator's.
    PassedOn,
    /// Through our cache.
    Bound,
    /// Without: our cache is not there.
    Unbound,
}

/// The share as it is mounted. Cached and not, it has two keys: what was mounted before the cache came stays as it is, and who asks
/// for `cache: "off"` never shares a mount with who reads through a cache, be that ours or the administrator's.
pub fn share(mode: Mode, share: ShareSpec, may_be_cached: bool) -> ShareSpec {
    let is_asked = share.options.iter().any(|(key, _)| key == CACHED);
    if !is_asked {
        return share;
    }
    let (cached, apart) = match mode {
        // Whoever has the same export mounted may have it cached.
        _ if !may_be_cached => (false, true),
        Mode::PassedOn => (true, false),
        Mode::Bound => (true, true),
        Mode::Unbound => (false, false),
    };
    let mut options = share.options;
    options.retain(|(key, _)| cached || key != CACHED);
    if apart {
        options.push((APART.into(), None));
        options.sort();
    }
    ShareSpec { options, ..share }
}

/// A LocalStorage that means this node, as far as the cache goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// How many bytes it gives the cache; None if it is not asked for one.
    pub bytes: Option<u64>,
    /// Whether its disk is in use here.
    pub ready: bool,
    /// Whether its disk was looked at: before that nobody knows whether it is ready.
    pub seen: bool,
    /// It is being deleted: its disk is let go as soon as nobody uses it.
    pub leaving: bool,
}

impl Asked {
    /// What a LocalStorage asks for on this node; None for one that was never made. `ready` is None before the first look.
    pub fn of(storage: &LocalStorage, ready: Option<bool>) -> Option<Self> {
        let meta = &storage.metadata;
        let size = storage.spec.fs_cache.as_ref().and_then(|cache| quantity::bytes(&cache.size.0));
        Some(Self {
            uid: meta.uid.clone()?,
            name: meta.name.clone()?,
            created: meta.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
            // In whole blocks of any disk: a file of another size could not be set aside whole.
            bytes: size.map(|bytes| bytes.next_multiple_of(1 << 20)),
            ready: ready == Some(true),
            seen: ready.is_some(),
            leaving: meta.deletion_timestamp.is_some(),
        })
    }
}

/// Which of them gets the node's one cache: the oldest that asks, whether its disk is ready or not, so that it does not move with
/// every disk that is away for a moment.
pub fn chosen(asked: &[Asked]) -> Option<&Asked> {
    let asking = asked.iter().filter(|asked| asked.bytes.is_some() && !asked.leaving);
    asking.min_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)))
}

/// Where the cache is, or is to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// uid of the LocalStorage.
    pub uid: String,
    /// Its size.
    pub bytes: u64,
}

impl Place {
    /// Where it is wished: on the disk of the chosen one, while that is ready.
    pub fn wished(asked: &[Asked]) -> Option<Self> {
        let chosen = chosen(asked).filter(|chosen| chosen.ready)?;
        Some(Self { uid: chosen.uid.clone(), bytes: chosen.bytes? })
    }
}

/// What is done next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Nothing.
    Rest,
    /// What is there is unbound and unmounted; then again.
    LetGo,
    /// An image is made, or found, mounted and bound.
    Take,
    /// What is bound is looked after.
    Tend,
}

/// From what is wished and what is bound.
pub fn next(wished: Option<&Place>, bound: Option<&Place>) -> Next {
    match (wished, bound) {
        (None, None) => Next::Rest,
        (Some(wished), Some(bound)) if wished == bound => Next::Tend,
        (_, Some(_)) => Next::LetGo,
        (Some(_), None) => Next::Take,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(options: &[&str]) -> ShareSpec {
        let options = options.iter().map(|key| ((*key).to_string(), None)).collect();
        ShareSpec { server: "s".into(), export: "/e".into(), version: None, port: None, options }
    }

    #[test]
    fn only_who_asks_and_may_reads_through_a_cache_that_is_there() {
        let cached: &[&str] = &["fsc", "hard", "nosharecache"];
        let around: &[&str] = &["hard", "nosharecache"];
        for (mode, asked, may, expected) in [
            (Mode::Bound, &["fsc", "hard"][..], true, cached),
            (Mode::Bound, &["fsc", "hard"], false, around),
            (Mode::Unbound, &["fsc", "hard"], false, around),
            (Mode::Unbound, &["fsc", "hard"], true, &["hard"]),
            (Mode::Bound, &["hard"], true, &["hard"]),
            (Mode::Bound, &["hard"], false, &["hard"]),
            // The administrator's own.
            (Mode::PassedOn, &["fsc", "hard"], true, &["fsc", "hard"]),
            (Mode::PassedOn, &["fsc", "hard"], false, around),
        ] {
            assert_eq!(share(mode, spec(asked), may), spec(expected), "{mode:?} {asked:?} {may}");
        }
    }

    #[test]
    fn cached_and_not_are_never_one_mount() {
        let asked = spec(&["fsc"]);
        let keys = [
            share(Mode::Bound, asked.clone(), true).key(),
            share(Mode::Unbound, asked.clone(), true).key(),
            share(Mode::PassedOn, asked.clone(), true).key(),
        ];
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        for mode in [Mode::Bound, Mode::Unbound, Mode::PassedOn] {
            let around = share(mode, asked.clone(), false).key();
            assert_eq!(around, spec(&["nosharecache"]).key(), "{mode:?}");
            assert!(!keys.contains(&around), "{mode:?}");
        }
        assert_eq!(keys[1], spec(&[]).key(), "one who never asked shares it");
    }

    fn asked(name: &str, created: i64) -> Asked {
        Asked {
            uid: format!("uid-{name}"),
            name: name.into(),
            created,
            bytes: Some(5),
            ready: true,
            seen: true,
            leaving: false,
        }
    }

    #[test]
    fn the_oldest_that_asks_has_the_cache_and_keeps_it_while_its_disk_is_away() {
        let (old, young) = (asked("b", 1), asked("a", 2));
        let none = Asked { bytes: None, ..asked("c", 0) };
        let leaving = Asked { leaving: true, ..asked("d", 0) };
        let all = [young.clone(), old.clone(), none.clone(), leaving];
        assert_eq!(chosen(&all), Some(&old));
        assert_eq!(Place::wished(&all), Some(Place { uid: "uid-b".into(), bytes: 5 }));
        let away = Asked { ready: false, ..old.clone() };
        assert_eq!(Place::wished(&[young, away]), None);
        assert_eq!(chosen(&[none]), None);
        // Of one age by name, so that all who look say the same.
        assert_eq!(chosen(&[old, asked("a", 1)]).map(|asked| asked.name.as_str()), Some("a"));
    }

    #[test]
    fn another_place_or_size_is_let_go_before_anything_is_taken() {
        let place = |uid: &str, bytes| Place { uid: uid.into(), bytes };
        let a = place("a", 5);
        for (wished, bound, expected) in [
            (None, None, Next::Rest),
            (Some(&a), None, Next::Take),
            (Some(&a), Some(&a), Next::Tend),
            (None, Some(&a), Next::LetGo),
            (Some(&place("b", 5)), Some(&a), Next::LetGo),
            (Some(&place("a", 6)), Some(&a), Next::LetGo),
        ] {
            assert_eq!(next(wished, bound), expected, "{wished:?} {bound:?}");
        }
    }

    #[test]
    fn a_storage_asks_with_its_size_in_whole_mebibytes() {
        let storage = |spec| -> LocalStorage {
            let meta = json!({"name": "fast", "uid": "u", "creationTimestamp": "1970-01-01T00:01:00Z"});
            let kind = json!({"apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalStorage", "metadata": meta, "spec": spec});
            serde_json::from_value(kind).unwrap()
        };
        let with = storage(json!({"nodeGroup": "g", "source": {"devices": {}}, "fsCache": {"size": "200M"}}));
        let asked = Asked::of(&with, Some(true)).unwrap();
        assert_eq!((asked.bytes, asked.created, asked.ready), (Some(191 << 20), 60, true));
        let without = storage(json!({"nodeGroup": "g", "source": {"devices": {}}}));
        assert_eq!(Asked::of(&without, Some(false)).unwrap().bytes, None);
        for (look, ready, seen) in
            [(None, false, false), (Some(false), false, true), (Some(true), true, true)]
        {
            let asked = Asked::of(&with, look).unwrap();
            assert_eq!((asked.ready, asked.seen), (ready, seen), "{look:?}");
        }
    }
}
