//! How full a volume is by its FileSystem's status: the usage and the limit that the embedded server enforces, which the
//! operator asks for and writes there. A mount of that server may show its whole disk instead.
//!
//! A status is read from the API server's cache, at most once a minute per FileSystem. An API server that is away costs a
//! question two seconds once a minute; what was known stays known, with its age. Nothing here fails.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use workspacefs_api::volume::VolumeId;
use workspacefs_api::{ClaimUsage, FileSystem, UsageScope, quantity};
use workspacefs_runtime::chain;

use super::targets::Record;
use super::volume::Volume;
use crate::controller::seams::FileSystems;
use crate::share::Usage;

/// How long a status is taken for the present.
const KEPT: Duration = Duration::from_secs(60);
/// How long the API server may take.
const LOOKUP_MAX: Duration = Duration::from_secs(2);
/// A FileSystem that nobody has asked about for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Whose files a published volume shows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Whose {
    /// `<namespace>/<name>` of the FileSystem.
    pub file_system: String,
    /// Its uid.
    pub uid: String,
    /// The claim's folder, if the volume is not the FileSystem's own.
    pub claim: Option<String>,
}

impl Whose {
    /// Of a volume to be published.
    pub(super) fn of(volume_id: &str, volume: &Volume) -> Self {
        let claim = match VolumeId::parse(volume_id) {
            Ok(VolumeId::Volume { folder, .. }) if !volume.is_inline => Some(folder),
            _ => None,
        };
        let attributes = &volume.attributes;
        Self { file_system: attributes.file_system.clone(), uid: attributes.file_system_uid.clone(), claim }
    }
}

/// Figures from a status.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Figures {
    /// Of this volume.
    pub usage: Usage,
    /// How long ago the server was asked for them. Small changes since are not in them.
    pub age: Duration,
}

/// The statuses as last read. Clones see the same.
#[derive(Clone)]
pub struct StatusFigures(Arc<Inner>);

struct Inner {
    /// None without an API server.
    file_systems: Option<Arc<dyn FileSystems>>,
    /// By `<namespace>/<name>`. The inner lock is held while the API server is asked: whoever asks meanwhile waits for that
    /// one answer.
    kept: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Kept>>>>,
    /// What was last said of each target: whether its figures come from a status.
    said: Mutex<HashMap<PathBuf, bool>>,
}

#[derive(Default)]
struct Kept {
    asked: Option<Instant>,
    /// The FileSystem, if it was ever read.
    file_system: Option<FileSystem>,
}

impl StatusFigures {
    /// Nothing read yet.
    pub fn new(file_systems: Option<Arc<dyn FileSystems>>) -> Self {
        Self(Arc::new(Inner { file_systems, kept: Mutex::default(), said: Mutex::default() }))
    }

    /// What the status says of a volume, if it says anything.
    pub async fn of(&self, whose: &Whose) -> Option<Figures> {
        let file_systems = self.0.file_systems.as_ref()?;
        let entry = self.entry(&whose.file_system);
        let mut kept = entry.lock().await;
        if kept.asked.is_none_or(|asked| asked.elapsed() >= KEPT) {
            kept.asked = Some(Instant::now());
            read(file_systems, &whose.file_system, &mut kept.file_system).await;
        }
        figures(kept.file_system.as_ref()?, whose, Timestamp::now())
    }

    /// Says where a volume's figures come from: once, and when that changes.
    pub(super) fn say(&self, record: &Record, figures: Option<&Figures>) {
        let target = record.target.display();
        match figures {
            Some(figures) => {
                tracing::debug!(%target, age_s = figures.age.as_secs(), "figures from the FileSystem's status");
            }
            None => tracing::debug!(%target, "figures of the share as it shows itself"),
        }
        let before = lock(&self.0.said).insert(record.target.clone(), figures.is_some());
        if before == Some(figures.is_some()) {
            return;
        }
        let volume_id = &record.volume_id;
        match figures {
            Some(figures) => tracing::info!(
                volume_id, %target, age_s = figures.age.as_secs(),
                "the volume's usage is told from its FileSystem's status: the size that is enforced"
            ),
            // Where no size is enforced that is how it always was.
            None if before.is_none() => {}
            None => tracing::info!(
                volume_id, %target,
                "the volume's usage is told as its share shows it: the FileSystem's status has none any more"
            ),
        }
    }

    /// Something else is or will be published there.
    pub(super) fn forget(&self, target: &Path) {
        lock(&self.0.said).remove(target);
    }

    fn entry(&self, file_system: &str) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut all = lock(&self.0.kept);
        // One that is locked is being asked about.
        all.retain(|_, kept| {
            kept.try_lock().is_ok_and(|kept| kept.asked.is_none_or(|asked| asked.elapsed() < FORGOTTEN))
                || Arc::strong_count(kept) > 1
        });
        all.entry(file_system.to_owned()).or_default().clone()
    }
}

async fn read(file_systems: &Arc<dyn FileSystems>, which: &str, known: &mut Option<FileSystem>) {
    let Some((namespace, name)) = which.split_once('/') else {
        return;
    };
    match timeout(LOOKUP_MAX, file_systems.cached(namespace, name)).await {
        Ok(Ok(found)) => *known = found,
        Ok(Err(error)) => {
            tracing::debug!(file_system = which, cause = chain(&error), "its status cannot be read now");
        }
        Err(_) => tracing::debug!(file_system = which, "its status cannot be read now: no answer in time"),
    }
}

/// What a FileSystem's status says of a volume.
fn figures(fs: &FileSystem, whose: &Whose, now: Timestamp) -> Option<Figures> {
    // One that was made again under the same name is another.
    let is_it = fs.metadata.uid.as_deref() == Some(whose.uid.as_str());
    // Of a whole share the share itself says it better: fresh, and with the volume's quota where the server has one.
    let tells = |usage: &&workspacefs_api::Usage| is_it && usage.scope == UsageScope::FileSystem;
    let usage = fs.status.as_ref()?.usage.as_ref().filter(tells)?;
    let age = now.duration_since(usage.observed_at.0);
    let bytes =
        |quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| quantity::bytes(&quantity.0);
    let (total, used, inodes, inodes_used) = match &whose.claim {
        None => {
            // Its further claims have their part of the capacity for themselves.
            let used = bytes(&usage.used)?;
            (used.saturating_add(bytes(&usage.available)?), used, usage.inodes, usage.inodes_used)
        }
        Some(claim) => {
            let ClaimUsage { capacity, used, inodes, inodes_used, .. } =
                usage.claims.iter().find(|one| one.volume == *claim)?;
            (bytes(capacity)?, bytes(used)?, *inodes, *inodes_used)
        }
    };
    let (inodes, inodes_used) = (u64::try_from(inodes).unwrap_or(0), u64::try_from(inodes_used).unwrap_or(0));
    Some(Figures {
        usage: Usage {
            bytes_total: total,
            bytes_available: total.saturating_sub(used),
            bytes_used: used,
            inodes_total: inodes,
            inodes_available: inodes.saturating_sub(inodes_used),
            inodes_used,
        },
        // A clock that is behind the operator's makes nothing younger than now.
        age: Duration::try_from(age).unwrap_or(Duration::ZERO),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use async_trait::async_trait;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use workspacefs_api::{FileSystemSpec, FileSystemStatus};

    use super::*;
    use crate::controller::seams::LookupError;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    const GIB: u64 = 1 << 30;

    fn whose(claim: Option<&str>) -> Whose {
        Whose { file_system: "team-a/default".into(), uid: UID.into(), claim: claim.map(Into::into) }
    }

    /// Ten GiB, of which a claim has four (one of them used) and its own files two.
    fn file_system(observed_at: Timestamp) -> FileSystem {
        let size = |text: &str| Quantity(text.into());
        let claim = ClaimUsage {
            volume: "pvc-1".into(),
            capacity: size("4Gi"),
            used: size("1Gi"),
            inodes: 100,
            inodes_used: 1,
        };
        let usage = workspacefs_api::Usage {
            scope: UsageScope::FileSystem,
            capacity: size("10Gi"),
            used: size("2Gi"),
            available: size("4Gi"),
            inodes: 1000,
            inodes_used: 10,
            claims: vec![claim],
            observed_at: Time(observed_at),
        };
        let mut fs = FileSystem::new("default", FileSystemSpec::default());
        fs.metadata.uid = Some(UID.into());
        fs.status = Some(FileSystemStatus { usage: Some(usage), ..Default::default() });
        fs
    }

    #[test]
    fn figures_of_a_whole_share_are_no_volumes() {
        let mut fs = file_system(Timestamp::UNIX_EPOCH);
        let tell = |fs: &FileSystem| figures(fs, &whose(None), Timestamp::UNIX_EPOCH);
        assert!(tell(&fs).is_some());
        let usage = fs.status.as_mut().and_then(|status| status.usage.as_mut());
        usage.unwrap().scope = UsageScope::Share;
        assert_eq!(tell(&fs), None);
    }

    #[test]
    fn its_own_folder_has_what_the_claims_leave_and_a_claim_has_its_own() {
        let then = Timestamp::UNIX_EPOCH;
        let now = Timestamp::from_second(42).unwrap();
        let own = figures(&file_system(then), &whose(None), now).unwrap();
        assert_eq!(own.age, Duration::from_secs(42));
        let lines = |usage: &Usage| {
            (
                usage.bytes_total,
                usage.bytes_used,
                usage.bytes_available,
                usage.inodes_total,
                usage.inodes_used,
            )
        };
        assert_eq!(lines(&own.usage), (6 * GIB, 2 * GIB, 4 * GIB, 1000, 10));
        let claim = figures(&file_system(then), &whose(Some("pvc-1")), now).unwrap();
        assert_eq!(lines(&claim.usage), (4 * GIB, GIB, 3 * GIB, 100, 1));
        // A clock that is behind.
        let early = figures(&file_system(now), &whose(None), then).unwrap();
        assert_eq!(early.age, Duration::ZERO);
    }

    #[test]
    fn what_the_status_does_not_say_is_not_made_up() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(figures(&file_system(now), &whose(Some("pvc-2")), now), None, "not among its claims");
        let mut other = file_system(now);
        other.metadata.uid = Some("11111111-d9cb-469f-a165-70867728950e".into());
        assert_eq!(figures(&other, &whose(None), now), None, "another of the same name");
        let mut bare = file_system(now);
        bare.status = Some(FileSystemStatus::default());
        assert_eq!(figures(&bare, &whose(None), now), None);
    }

    #[derive(Default)]
    struct Api {
        asked: AtomicUsize,
        away: AtomicBool,
        silent: AtomicBool,
    }

    struct Shared(Arc<Api>);

    #[async_trait]
    impl FileSystems for Shared {
        async fn by_name(&self, _: &str, _: &str) -> Result<Option<FileSystem>, LookupError> {
            panic!("figures are read from the cache")
        }
        async fn by_uid(&self, _: &str) -> Result<Option<FileSystem>, LookupError> {
            panic!("the node never searches all namespaces")
        }
        async fn cached(&self, namespace: &str, name: &str) -> Result<Option<FileSystem>, LookupError> {
            assert_eq!((namespace, name), ("team-a", "default"));
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            if self.0.silent.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            match self.0.away.load(Ordering::SeqCst) {
                true => Err(LookupError("refused".into())),
                false => Ok(Some(file_system(Timestamp::now()))),
            }
        }
    }

    fn of_api() -> (StatusFigures, Arc<Api>) {
        let api = Arc::new(Api::default());
        (StatusFigures::new(Some(Arc::new(Shared(api.clone())))), api)
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_is_read_once_a_minute_however_many_volumes_ask() {
        let (statuses, api) = of_api();
        let (own, claim) = (whose(None), whose(Some("pvc-1")));
        let (one, two) = tokio::join!(statuses.of(&own), statuses.of(&claim));
        assert!(one.is_some() && two.is_some());
        for _ in 0..100 {
            assert!(statuses.of(&own).await.is_some());
        }
        assert_eq!(api.asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(KEPT).await;
        assert!(statuses.of(&own).await.is_some());
        assert_eq!(api.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_away_leaves_what_was_known_and_costs_little() {
        let (statuses, api) = of_api();
        assert!(statuses.of(&whose(None)).await.is_some());
        for trouble in [&api.away, &api.silent] {
            trouble.store(true, Ordering::SeqCst);
            tokio::time::advance(KEPT).await;
            let started = Instant::now();
            assert!(statuses.of(&whose(None)).await.is_some(), "still known, and older");
            assert!(started.elapsed() <= LOOKUP_MAX);
            let asked = api.asked.load(Ordering::SeqCst);
            assert!(statuses.of(&whose(None)).await.is_some());
            assert_eq!(api.asked.load(Ordering::SeqCst), asked, "and not asked again at once");
        }
        let (never, api) = of_api();
        api.away.store(true, Ordering::SeqCst);
        assert_eq!(never.of(&whose(None)).await, None, "then the share's own figures are told");
        assert_eq!(StatusFigures::new(None).of(&whose(None)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_system_that_nobody_asks_about_is_forgotten() {
        let (statuses, _api) = of_api();
        statuses.of(&whose(None)).await;
        tokio::time::advance(FORGOTTEN).await;
        drop(statuses.entry("team-a/other"));
        assert_eq!(lock(&statuses.0.kept).keys().collect::<Vec<_>>(), ["team-a/other"]);
    }
}
