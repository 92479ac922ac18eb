//! What a node keeps of an FsCache: there may be thousands, so nothing that it does not decide by.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use workspacefs_api::path::RelativePath;
use workspacefs_api::{CacheUse, Exposure, FsCache, duration};

/// One FsCache, for one node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Of two for one path the one created first is shown.
    pub created: Timestamp,
    /// The FileSystem of its namespace in which it is shown; None if it is shown in none.
    pub source: Option<String>,
    /// It is a claim of its own.
    pub is_claim: bool,
    /// Where its copies lie.
    pub target: Target,
    /// It is going: nobody new gets a copy.
    pub is_deleted: bool,
    /// Older copies are not shown.
    pub age_max: Option<Duration>,
    /// The copy for this node.
    pub copy: Option<Copy>,
    /// What stands in its status of this node.
    pub written: Option<CacheUse>,
}

/// Where copies lie: by the name of the object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// In a dedicated FileSystem of the same namespace.
    FileSystem(String),
    /// In the workspace's share of a LocalStorage.
    LocalStorage(String),
}

/// A copy that is whole as far as it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Copy {
    /// Which.
    pub generation: i64,
    /// As of when it is.
    pub as_of: Option<Timestamp>,
    /// The uid of the FileSystem that it was read from.
    pub source: String,
    /// The paths that may be shown, from the FileSystem's root.
    pub whole: Vec<RelativePath>,
    /// All of what the FsCache keeps is in it.
    pub is_complete: bool,
}

impl Known {
    /// What `node` keeps of the object; None if it has neither of the targets, which its schema does not let pass.
    pub fn of(cache: &FsCache, node: &str) -> Option<Self> {
        let spec = &cache.spec;
        let target = match (&spec.target.file_system, &spec.target.local_storage) {
            (Some(name), None) => Target::FileSystem(name.clone()),
            (None, Some(name)) => Target::LocalStorage(name.clone()),
            _ => return None,
        };
        let is_shown = spec.exposure == Exposure::Transparent;
        let uses = cache.status.iter().flat_map(|status| &status.uses);
        Some(Self {
            namespace: cache.namespace().unwrap_or_default(),
            name: cache.name_any(),
            created: cache.metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
            source: spec.source.file_system.clone().filter(|_| is_shown),
            is_claim: spec.exposure == Exposure::Claim,
            target,
            is_deleted: cache.metadata.deletion_timestamp.is_some(),
            // What cannot be read lets no copy be young enough.
            age_max: spec.max_age.as_deref().map(|text| {
                let seconds = duration::seconds(text).and_then(|seconds| u64::try_from(seconds).ok());
                Duration::from_secs(seconds.unwrap_or(0))
            }),
            copy: copy(cache, node),
            written: uses.into_iter().find(|one| one.node == node).cloned(),
        })
    }
}

fn copy(cache: &FsCache, node: &str) -> Option<Copy> {
    let copy = cache.copy_for(node)?;
    let paths = cache.spec.source.kept_paths();
    let whole = copy.whole.iter().filter_map(|path| RelativePath::parse(path).ok());
    Some(Copy {
        generation: copy.generation?,
        as_of: copy.as_of.as_ref().map(|time| time.0),
        source: copy.source.clone(),
        is_complete: !copy.whole.is_empty() && paths.iter().all(|path| copy.whole.contains(path)),
        whole: whole.filter(|path| !path.is_root()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use workspacefs_api::fs_cache::EVERYWHERE;
    use workspacefs_api::{CacheCopy, CacheSource, CacheTarget, FsCacheSpec, FsCacheStatus};

    use super::*;

    fn cache() -> FsCache {
        let spec = FsCacheSpec {
            source: CacheSource { file_system: Some("default".into()), ..Default::default() },
            target: CacheTarget { file_system: Some("near".into()), local_storage: None },
            ..Default::default()
        };
        let mut cache = FsCache::new("warm", spec);
        cache.metadata.namespace = Some("team-a".into());
        let copy = |node: &str, generation| CacheCopy {
            node: node.into(),
            generation,
            whole: vec!["/a/b".into(), "/../x".into(), "/".into(), "/.workspacefs/x".into()],
            ..Default::default()
        };
        let uses = ["n1", "n2"].map(|node| CacheUse { node: node.into(), seen: 3, in_use: vec![2] });
        cache.status = Some(FsCacheStatus {
            copies: vec![copy("n1", Some(3)), copy("n2", None)],
            uses: uses.into(),
            ..Default::default()
        });
        cache
    }

    #[test]
    fn a_node_keeps_its_own_copy_its_own_entry_and_no_path_that_is_none() {
        let known = Known::of(&cache(), "n1").unwrap();
        let copy = known.copy.unwrap();
        assert_eq!((copy.generation, known.written.unwrap().node.as_str()), (3, "n1"));
        assert_eq!(copy.whole, [RelativePath::parse("a/b").unwrap()]);
        assert_eq!(Known::of(&cache(), "n2").unwrap().copy, None, "nothing is whole there");
        assert_eq!(Known::of(&cache(), "n3").unwrap().written, None);
        let mut everywhere = cache();
        everywhere.status.as_mut().unwrap().copies[0].node = EVERYWHERE.into();
        assert!(Known::of(&everywhere, "n3").unwrap().copy.is_some());
    }

    #[test]
    fn a_copy_is_complete_if_every_path_of_the_spec_is_whole_in_it() {
        for (paths, complete) in [(&["/a/b"][..], true), (&["/a/b", "/c"], false)] {
            let mut cache = cache();
            cache.spec.source.paths = paths.iter().map(|path| (*path).into()).collect();
            assert_eq!(Known::of(&cache, "n1").unwrap().copy.unwrap().is_complete, complete, "{paths:?}");
        }
    }

    #[test]
    fn what_is_no_folder_of_a_file_system_is_shown_in_none() {
        let mut claim = cache();
        claim.spec.exposure = Exposure::Claim;
        let known = Known::of(&claim, "n1").unwrap();
        assert_eq!((known.source, known.is_claim), (None, true));
        let mut neither = cache();
        neither.spec.target = CacheTarget::default();
        assert_eq!(Known::of(&neither, "n1"), None);
    }

    #[test]
    fn an_age_that_cannot_be_read_lets_no_copy_be_young_enough() {
        for (text, seconds) in [("24h", 86_400), ("soon", 0)] {
            let mut cache = cache();
            cache.spec.max_age = Some(text.into());
            assert_eq!(Known::of(&cache, "n1").unwrap().age_max, Some(Duration::from_secs(seconds)));
        }
    }
}
