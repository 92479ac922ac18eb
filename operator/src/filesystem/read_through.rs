//! Condition CacheReady of a FileSystem with `localCache`: whether the nodes that mount it have the kernel's cache to read it
//! through. Pure.

use workspacefs_api::{FileSystem, FileSystemSpec, LocalStorage};

use super::findings::CACHE_READY;
use crate::conditions::Finding;
use crate::local_storage;

/// Where the LocalStorages do not say more.
const NOT_SAID: &str = "Asking";
/// The reasons of LocalStorages that are repeated where all of them say the same.
const REASONS: [&str; 6] = ["DeviceBusy", "NoImage", "NoNodes", "NoReport", "NoneReady", "Unsupported"];

/// Whether nodes are to read it through the kernel's cache.
pub fn is_asked(spec: &FileSystemSpec) -> bool {
    spec.local_cache || spec.mount_options.iter().flatten().any(|option| option == "fsc")
}

/// None where no cache is asked for. `storages` are those there are; None where they are switched off.
pub fn cache_ready<'a>(
    fs: &FileSystem,
    storages: Option<impl IntoIterator<Item = &'a LocalStorage>>,
) -> Option<Finding> {
    if !is_asked(&fs.spec) {
        return None;
    }
    let no = |reason, message| Some(Finding::new(CACHE_READY, false, reason, message));
    let Some(storages) = storages else {
        return no("NoCache", format!("LocalStorages are switched off. {WITHOUT}"));
    };
    let group = fs.spec.node_group.as_deref();
    let mut said: Vec<Said> = storages
        .into_iter()
        .filter(|storage| storage.spec.fs_cache.is_some())
        .filter(|storage| group.is_none_or(|group| storage.spec.node_group == group))
        .map(Said::of)
        .collect();
    said.sort_unstable_by(|a, b| a.sentence.cmp(&b.sentence));
    if said.is_empty() {
        let of = group.map_or_else(String::new, |group| format!(" of node group {group}"));
        return no("NoCache", format!("no LocalStorage{of} has fsCache. {WITHOUT}"));
    }
    let message = said.iter().map(|said| said.sentence.as_str()).collect::<Vec<_>>().join("; ");
    let finding = if said.iter().all(|said| said.is(true, "Ready")) {
        Finding::new(CACHE_READY, true, "Ready", message)
    } else if said.iter().any(|said| said.ready) {
        Finding::new(CACHE_READY, true, "SomeNotReady", format!("{message}. {ELSEWHERE}"))
    } else if said.iter().any(|said| said.is(false, NOT_SAID)) {
        Finding::not_yet(CACHE_READY, message)
    } else {
        let first = said.first().map_or("", |said| said.reason.as_str());
        let same = said.iter().all(|said| said.is(false, first));
        let reason = REASONS.into_iter().find(|known| same && *known == first).unwrap_or("NoneReady");
        Finding::new(CACHE_READY, false, reason, format!("{message}. {WITHOUT}"))
    };
    Some(finding)
}

const WITHOUT: &str = "It is read from the server, unless a node's own cachefilesd caches it";
const ELSEWHERE: &str = "On other nodes it is read from the server";

/// What one LocalStorage says of its nodes' caches.
struct Said {
    ready: bool,
    reason: String,
    sentence: String,
}

impl Said {
    fn of(storage: &LocalStorage) -> Self {
        let name = storage.metadata.name.as_deref().unwrap_or_default();
        let conditions = storage.status.iter().flat_map(|status| &status.conditions);
        let told = conditions.into_iter().find(|told| told.type_ == local_storage::findings::CACHE_READY);
        match told {
            Some(told) => Self {
                ready: told.status == "True",
                reason: told.reason.clone(),
                sentence: format!("LocalStorage {name}: {}", told.message.trim_end_matches('.')),
            },
            None => Self {
                ready: false,
                reason: NOT_SAID.into(),
                sentence: format!("LocalStorage {name} is being looked at"),
            },
        }
    }

    fn is(&self, ready: bool, reason: &str) -> bool {
        self.ready == ready && self.reason == reason
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use workspacefs_testkit::builders;

    use super::*;

    fn file_system(group: Option<&str>) -> FileSystem {
        let mut spec = builders::nfs("s", 2049);
        spec["localCache"] = json!(true);
        spec["nodeGroup"] = json!(group);
        builders::file_system("a", "data", spec)
    }

    fn storage(name: &str, group: &str, told: Option<(&str, &str)>) -> LocalStorage {
        let spec = json!({"nodeGroup": group, "source": {"devices": {}}, "fsCache": {"size": "1Gi"}});
        let mut storage = serde_json::to_value(builders::local_storage(name, spec)).unwrap();
        let condition = told.map(|(status, reason)| {
            json!({"type": "CacheReady", "status": status, "reason": reason, "message": "1Gi on 2 nodes",
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        });
        storage["status"] = json!({"conditions": condition.into_iter().collect::<Vec<Value>>()});
        builders::object(storage)
    }

    fn found(group: Option<&str>, storages: &[LocalStorage]) -> (String, String, String) {
        let finding = cache_ready(&file_system(group), Some(storages)).unwrap();
        (finding.status.into(), finding.reason.into(), finding.message)
    }

    #[test]
    fn it_says_what_the_local_storages_say_of_their_nodes() {
        let ready = Some(("True", "Ready"));
        let busy = Some(("False", "DeviceBusy"));
        for (told, status, reason) in [
            (vec![ready], "True", "Ready"),
            (vec![ready, ready], "True", "Ready"),
            (vec![ready, busy], "True", "SomeNotReady"),
            (vec![ready, None], "True", "SomeNotReady"),
            (vec![Some(("True", "SomeNotReady"))], "True", "SomeNotReady"),
            (vec![busy], "False", "DeviceBusy"),
            (vec![busy, Some(("False", "Unsupported"))], "False", "NoneReady"),
            (vec![Some(("False", "SomethingLater"))], "False", "NoneReady"),
            (vec![busy, None], "Unknown", "Asking"),
        ] {
            let storages: Vec<_> =
                told.iter().enumerate().map(|(i, told)| storage(&format!("s{i}"), "gpu", *told)).collect();
            let (is, why, message) = found(None, &storages);
            assert_eq!((is.as_str(), why.as_str()), (status, reason), "{told:?}: {message}");
            assert!(message.contains("LocalStorage s0"), "{message}");
        }
    }

    #[test]
    fn a_dedicated_one_asks_its_own_node_groups_storages_only() {
        let other = [storage("other", "cpu", Some(("True", "Ready")))];
        let (status, reason, message) = found(Some("gpu"), &other);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "NoCache"));
        assert!(message.contains("gpu") && !message.contains("other"), "{message}");
        assert_eq!(found(Some("cpu"), &other).0, "True");
    }

    #[test]
    fn without_a_storage_for_it_the_server_is_read_and_who_asks_for_no_cache_hears_nothing() {
        assert_eq!(found(None, &[]).1, "NoCache");
        let off = cache_ready(&file_system(None), None::<&[LocalStorage]>).unwrap();
        assert_eq!(off.reason, "NoCache");
        let plain = builders::file_system("a", "d", builders::nfs("s", 1));
        assert_eq!(cache_ready(&plain, None::<&[LocalStorage]>), None);
    }
}
