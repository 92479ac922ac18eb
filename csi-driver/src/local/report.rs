//! This node's entry in a LocalStorage's status: written by server-side apply, by this node's own field manager, and only when
//! it says something new.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use workspacefs_api::{LocalStorage, NodeCache, NodeStorage, level, quantity};

/// Whether an entry says something that the one before it does not. When it was seen, and small changes of what is used and of
/// what nobody was given, are nothing new: a status that is written every few seconds is a load on everybody who watches it.
/// What is available is news whenever it changes: whoever says it says the same until something was made or removed, or until
/// it has moved as far (`workspacefs_storage::local`).
pub fn is_news(before: Option<&NodeStorage>, now: &NodeStorage) -> bool {
    let Some(before) = before else {
        return true;
    };
    let used_in = |entry: &NodeStorage| entry.cache.as_ref().and_then(|cache| cache.used.clone());
    let cache = before.cache.as_ref().map(|cache| NodeCache { used: used_in(now), ..cache.clone() });
    let same_but_figures = NodeStorage {
        used: now.used.clone(),
        unaccounted: now.unaccounted.clone(),
        observed_at: now.observed_at.clone(),
        cache,
        ..before.clone()
    };
    if same_but_figures != *now {
        return true;
    }
    let of = bytes(now.capacity.as_ref()).unwrap_or(0);
    let of_cache = now.cache.as_ref().and_then(|cache| bytes(cache.size.as_ref())).unwrap_or(0);
    has_moved(&before.used, &now.used, of)
        || has_moved(&before.unaccounted, &now.unaccounted, of)
        || has_moved(&used_in(before), &used_in(now), of_cache)
}

fn has_moved(before: &Option<Quantity>, now: &Option<Quantity>, of: u64) -> bool {
    match (bytes(before.as_ref()), bytes(now.as_ref())) {
        (Some(before), Some(now)) => level::has_moved(before, now, of),
        (before, now) => before != now,
    }
}

fn bytes(quantity: Option<&Quantity>) -> Option<u64> {
    quantity::bytes(&quantity?.0)
}

/// Writes the entry.
///
/// # Errors
/// The API server's.
pub async fn write(client: &Client, storage: &str, entry: &NodeStorage) -> Result<(), kube::Error> {
    let api: Api<LocalStorage> = Api::all(client.clone());
    let status = json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "LocalStorage",
        "metadata": {"name": storage},
        "status": {"nodes": [entry]},
    });
    api.patch_status(storage, &by(&entry.node), &Patch::Apply(status)).await.map(drop)
}

/// As whom a node writes.
pub(crate) fn by(node: &str) -> PatchParams {
    PatchParams::apply(&format!("workspacefs-node-{node}")).force()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use workspacefs_api::Health;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn entry(used: u64) -> NodeStorage {
        NodeStorage {
            node: "n1".into(),
            ready: true,
            reason: "Ready".into(),
            message: String::new(),
            health: Health::Healthy,
            device: None,
            capacity: Some(quantity::exact(100 * GIB)),
            used: Some(quantity::rounded(used)),
            available: None,
            unaccounted: None,
            shares_file_system: false,
            cache: None,
            found: Vec::new(),
            observed_at: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn only_what_a_person_would_want_to_know_is_news() {
        let before = entry(GIB);
        assert!(is_news(None, &before));
        let later = NodeStorage { observed_at: Time(Timestamp::MAX), ..before.clone() };
        assert!(!is_news(Some(&before), &later));
        assert!(!is_news(Some(&before), &entry(GIB + GIB / 2)));
        assert!(is_news(Some(&before), &entry(3 * GIB)));
        let unaccounted = |bytes: u64| NodeStorage {
            available: Some(quantity::exact(50 * GIB)),
            unaccounted: Some(quantity::rounded(bytes)),
            ..before.clone()
        };
        assert!(!is_news(Some(&unaccounted(0)), &unaccounted(GIB / 2)));
        assert!(is_news(Some(&unaccounted(0)), &unaccounted(GIB)));
        // The smallest volume that was made.
        let less = NodeStorage { available: Some(quantity::exact(50 * GIB - 4096)), ..unaccounted(0) };
        assert!(is_news(Some(&unaccounted(0)), &less));
        let cached = |reason: &str, used: u64| {
            let cache = NodeCache {
                reason: reason.into(),
                size: Some(quantity::exact(50 * GIB)),
                used: Some(quantity::rounded(used)),
                ..NodeCache::default()
            };
            NodeStorage { cache: Some(cache), ..before.clone() }
        };
        assert!(is_news(Some(&before), &cached("Ready", 0)));
        assert!(is_news(Some(&cached("Ready", 0)), &before));
        assert!(is_news(Some(&cached("Ready", GIB)), &cached("DeviceBusy", GIB)));
        assert!(!is_news(Some(&cached("Ready", GIB)), &cached("Ready", GIB + GIB / 4)));
        assert!(is_news(Some(&cached("Ready", GIB)), &cached("Ready", 3 * GIB)));
        for changed in [
            unaccounted(0),
            NodeStorage { ready: false, ..before.clone() },
            NodeStorage { message: "x".into(), ..before.clone() },
            NodeStorage { health: Health::Degraded, ..before.clone() },
            NodeStorage { used: None, ..before.clone() },
        ] {
            assert!(is_news(Some(&before), &changed), "{changed:?}");
        }
    }
}
