//! Which shares there are, what a status says of one, and when that is worth a write: pure functions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::Resource;
use workspacefs_api::level::{Level, has_moved};
use workspacefs_api::{UsageScope, quantity};

use crate::controller::removal::Guarded;
use crate::controller::seams::{Home, Keeper};
use crate::share::{ShareSpec, Usage};

/// Figures are written again after so long, changed or not: people see that somebody looks.
const AGE_SECONDS_MAX: i64 = 3600;

/// A share, however it is mounted.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place {
    server: String,
    export: String,
    port: Option<u16>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.server, self.export)
    }
}

/// A share to look at.
#[derive(Clone, Debug)]
pub struct Share {
    /// Which one.
    pub place: Place,
    /// How it can be mounted, each way once: FileSystems may ask for different options.
    pub specs: Vec<ShareSpec>,
    /// The FileSystems on it.
    pub file_systems: Vec<Arc<Guarded>>,
}

/// The shares of `nfs` FileSystems that are not being deleted, each once.
pub fn shares(mut all: Vec<Arc<Guarded>>) -> Vec<Share> {
    all.sort_by(|a, b| {
        let name = |object: &Guarded| (object.meta().namespace.clone(), object.meta().name.clone());
        name(a).cmp(&name(b))
    });
    let mut shares: BTreeMap<Place, Share> = BTreeMap::new();
    for object in all {
        let Some(spec) = spec(&object) else { continue };
        let place =
            Place { server: spec.server.to_lowercase(), export: spec.export.clone(), port: spec.port };
        let share = shares.entry(place.clone()).or_insert_with(|| Share {
            place,
            specs: Vec::new(),
            file_systems: Vec::new(),
        });
        if !share.specs.contains(&spec) {
            share.specs.push(spec);
        }
        share.file_systems.push(object);
    }
    shares.into_values().collect()
}

/// The share of a FileSystem, if it is on one of ours.
fn spec(object: &Guarded) -> Option<ShareSpec> {
    let fs = object.0.as_ref().ok().filter(|fs| fs.metadata.deletion_timestamp.is_none())?;
    let home = Home::of(fs).ok().filter(|home| home.keeper == Keeper::Share)?;
    Some(ShareSpec::new(&home.attributes, &home.mount_options))
}

/// What a status says of a share; None where its server tells no size.
pub fn figures(usage: &Usage, now: Timestamp) -> Option<workspacefs_api::Usage> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    (usage.bytes_total > 0).then(|| workspacefs_api::Usage {
        scope: UsageScope::Share,
        capacity: quantity::exact(usage.bytes_total),
        used: quantity::rounded(usage.bytes_used),
        available: quantity::rounded(usage.bytes_available),
        inodes: count(usage.inodes_total),
        inodes_used: count(usage.inodes_used),
        claims: Vec::new(),
        observed_at: Time(now),
    })
}

/// Whether a status should say `new` instead of `old`: a hundredth has come or gone, it has become nearly full or is not any
/// more, or the old figures are an hour old.
pub fn is_worth_writing(old: Option<&workspacefs_api::Usage>, new: &workspacefs_api::Usage) -> bool {
    let Some(old) = old.filter(|old| old.scope == UsageScope::Share) else {
        return true;
    };
    let bytes = |text: &str| quantity::bytes(text).unwrap_or(0);
    let size = bytes(&new.capacity.0);
    let level = |usage| Level::of_share(Level::Fine, usage);
    let has_moved_in_bytes = |old: &str, new: &str| has_moved(bytes(old), bytes(new), size);
    has_moved_in_bytes(&old.capacity.0, &new.capacity.0)
        || has_moved_in_bytes(&old.used.0, &new.used.0)
        || has_moved_in_bytes(&old.available.0, &new.available.0)
        || has_moved(
            old.inodes_used.unsigned_abs(),
            new.inodes_used.unsigned_abs(),
            new.inodes.unsigned_abs(),
        )
        || level(old) != level(new)
        || new.observed_at.0.as_second() - old.observed_at.0.as_second() >= AGE_SECONDS_MAX
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;

    const GIB: u64 = 1 << 30;

    fn read(name: &str, meta: Value, spec: Value) -> Arc<Guarded> {
        let uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let mut metadata = json!({"namespace": "team-a", "name": name, "uid": uid});
        if let (Some(all), Some(more)) = (metadata.as_object_mut(), meta.as_object()) {
            all.extend(more.clone());
        }
        let object = json!({
            "apiVersion": "workspacefs.io/v1alpha1", "kind": "FileSystem", "metadata": metadata, "spec": spec,
        });
        Arc::new(serde_json::from_value::<DeserializeGuard<_>>(object).unwrap())
    }

    fn nfs(server: &str, export: &str, options: &[&str]) -> Value {
        let nfs = json!({"server": server, "export": export, "folder": "a"});
        json!({"backend": {"nfs": nfs}, "mountOptions": options})
    }

    #[test]
    fn each_share_is_looked_at_once_however_many_file_systems_name_it() {
        let no = json!({});
        let all = vec![
            read("b", no.clone(), nfs("nfs", "/one", &[])),
            read("a", no.clone(), nfs("nfs", "/two", &[])),
            read("c", no.clone(), nfs("NFS", "/one", &["nconnect=4"])),
            read("d", no.clone(), nfs("nfs", "/one", &["nconnect=4"])),
            read("managed", no.clone(), json!({"backend": {"managed": {"capacity": "1Gi"}}})),
            read("theirs", no.clone(), json!({"backend": {"persistentVolumeClaim": {"claimName": "c"}}})),
            read("broken", no, json!({"backend": {"nfs": 7}})),
            read("going", json!({"deletionTimestamp": "2026-08-01T00:00:00Z"}), nfs("gone", "/e", &[])),
        ];
        let shares = shares(all);
        let names: Vec<String> = shares.iter().map(|share| share.place.to_string()).collect();
        assert_eq!(names, ["nfs:/one", "nfs:/two"]);
        let on = |share: &Share| share.file_systems.iter().filter_map(|fs| fs.meta().name.clone()).collect();
        let on_one: Vec<String> = on(&shares[0]);
        assert_eq!(on_one, ["b", "c", "d"]);
        // The server's name is the administrator's text: with another case it is another mount.
        assert_eq!(shares[0].specs.len(), 3);
        assert_eq!(shares[1].specs.len(), 1);
    }

    fn on_share(used: u64, available: u64) -> Usage {
        Usage {
            bytes_total: 100 * GIB,
            bytes_available: available,
            bytes_used: used,
            inodes_total: 1000,
            inodes_available: 990,
            inodes_used: 10,
        }
    }

    fn at(usage: &Usage, second: i64) -> workspacefs_api::Usage {
        figures(usage, Timestamp::from_second(second).unwrap()).unwrap()
    }

    #[test]
    fn a_status_says_that_the_figures_are_a_whole_shares() {
        let said = at(&on_share(10 * GIB, 90 * GIB), 7);
        assert_eq!(said.scope, UsageScope::Share);
        assert_eq!((said.capacity.0.as_str(), said.used.0.as_str()), ("100Gi", "10240Mi"));
        assert_eq!((said.available.0.as_str(), said.inodes, said.inodes_used), ("92160Mi", 1000, 10));
        let nothing = Usage { bytes_total: 0, ..on_share(0, 0) };
        assert_eq!(figures(&nothing, Timestamp::UNIX_EPOCH), None, "no size is no figure");
    }

    #[test]
    fn a_status_is_written_for_a_hundredth_a_new_level_or_after_an_hour() {
        let old = at(&on_share(50 * GIB, 50 * GIB), 1000);
        let inodes = Usage { inodes_used: 20, ..on_share(50 * GIB, 50 * GIB) };
        let size = Usage { bytes_total: 102 * GIB, ..on_share(50 * GIB, 50 * GIB) };
        for (new, seconds, written) in [
            (on_share(50 * GIB, 50 * GIB), 300, false),
            (on_share(50 * GIB + GIB / 2, 50 * GIB - GIB / 2), 300, false),
            (on_share(50 * GIB + GIB / 2, 50 * GIB - GIB / 2), 3599, false),
            (on_share(50 * GIB, 50 * GIB), 3600, true),
            (on_share(51 * GIB, 49 * GIB), 300, true),
            (on_share(49 * GIB, 51 * GIB), 300, true),
            // What is reserved has become more.
            (on_share(50 * GIB, 48 * GIB), 300, true),
            (inodes, 300, true),
            (size, 300, true),
        ] {
            assert_eq!(is_worth_writing(Some(&old), &at(&new, 1000 + seconds)), written, "{new:?} {seconds}");
        }
        let nearly = at(&on_share(90 * GIB - (64 << 20), 10 * GIB + (64 << 20)), 1000);
        let over = at(&on_share(90 * GIB, 10 * GIB), 1300);
        assert!(is_worth_writing(Some(&nearly), &over), "a small step over nine tenths is told");
        assert!(is_worth_writing(None, &old));
        let others = workspacefs_api::Usage { scope: UsageScope::FileSystem, ..old.clone() };
        assert!(is_worth_writing(Some(&others), &old));
    }
}
