//! The upkeep of shares, against an API server in this process and shares in memory.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use csi_driver::controller::removal::Removals;
use csi_driver::controller::seams::{Home, Volumes, WholeShares};
use csi_driver::controller::upkeep::{Settings, Upkeep};
use csi_driver::share::{
    Leaving, OwnFolder, ShareError, ShareSpec, Taken, TrashSlice, TrashSwept, Usage, VolumeRecord,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use workspacefs_api::{FileSystem, UsageScope};
use workspacefs_runtime::CancellationToken;
use workspacefs_testkit::faults::Outage;
use workspacefs_testkit::{FakeApi, Verb, builders};

const SPACE: &str = "team-a";
const GIB: u64 = 1 << 30;
const INTERVAL: Duration = Duration::from_millis(200);

/// Shares by their server. One that is not there never answers.
#[derive(Clone, Default)]
struct Servers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    used: BTreeMap<String, u64>,
    /// Servers that refuse a mount with options.
    picky: bool,
    looks: usize,
    slices: Vec<(String, TrashSlice)>,
}

impl Servers {
    fn with(used: &[(&str, u64)]) -> Self {
        let used = used.iter().map(|(server, gib)| ((*server).to_owned(), gib * GIB)).collect();
        Self(Arc::new(Mutex::new(State { used, ..State::default() })))
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    fn uses(&self, server: &str, bytes: u64) {
        self.set(|state| {
            state.used.insert(server.into(), bytes);
        });
    }

    fn get<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.lock().unwrap())
    }
}

#[async_trait]
impl WholeShares for Servers {
    async fn usage(&self, share: &ShareSpec) -> Result<Usage, ShareError> {
        let (used, refused) = self
            .get(|state| (state.used.get(&share.server).copied(), state.picky && !share.options.is_empty()));
        self.set(|state| state.looks += 1);
        if refused {
            let reason = "invalid argument".into();
            return Err(ShareError::MountFailed { share: share.to_string(), reason });
        }
        let Some(used) = used else {
            // As a share's deadline ends it.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (share, doing) = (share.to_string(), "look".into());
            return Err(ShareError::TimedOut { share, seconds: 1, doing });
        };
        let total = 100 * GIB;
        Ok(Usage {
            bytes_total: total,
            bytes_available: total - used,
            bytes_used: used,
            inodes_total: 0,
            inodes_available: 0,
            inodes_used: 0,
        })
    }

    async fn empty_trash(&self, share: &ShareSpec, slice: TrashSlice) -> Result<TrashSwept, ShareError> {
        self.set(|state| state.slices.push((share.server.clone(), slice)));
        Ok(TrashSwept::default())
    }
}

/// What the watch needs to begin.
#[derive(Clone)]
struct NoVolumes;

#[async_trait]
impl Volumes for NoVolumes {
    async fn create(&self, _: &Home, _: &str, _: &VolumeRecord) -> Result<VolumeRecord, ShareError> {
        panic!("nothing is made here")
    }
    async fn record(&self, _: &Home, _: &str) -> Result<Option<VolumeRecord>, ShareError> {
        panic!("no volume is looked at here")
    }
    async fn remove(&self, _: &Home, _: &str, _: Leaving) -> Result<(), ShareError> {
        panic!("no volume is removed here")
    }
    async fn remove_own(&self, _: &Home, _: OwnFolder, _: Leaving) -> Result<Taken, ShareError> {
        panic!("no folder is moved away here")
    }
    async fn bytes_available(&self, _: &Home) -> Result<u64, ShareError> {
        panic!("nobody asks")
    }
}

struct Controller {
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Controller {
    fn start(api: &FakeApi, servers: &Servers) -> Self {
        let shutdown = CancellationToken::new();
        let removals = Removals::new(api.client_as("controller"), NoVolumes, "pod-1");
        let settings =
            Settings { interval: INTERVAL, trash_keep: Duration::from_secs(7), trash_entries_per_second: 70 };
        let upkeep = Upkeep::new(api.client_as("controller"), removals.store(), servers.clone(), settings);
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            tokio::join!(removals.run(stop.clone()), upkeep.run(stop));
        });
        Self { task, shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("does not end").unwrap();
    }
}

async fn api() -> FakeApi {
    let api = FakeApi::start().await;
    api.put(&builders::namespace(SPACE, &[]));
    api
}

fn put(api: &FakeApi, name: &str, server: &str, options: &[&str]) {
    let nfs = json!({"server": server, "export": "/export", "folder": name});
    let spec = json!({"backend": {"nfs": nfs}, "mountOptions": options});
    api.put(&builders::file_system(SPACE, name, spec));
}

fn usage(api: &FakeApi, name: &str) -> Option<workspacefs_api::Usage> {
    api.find::<FileSystem>("FileSystem", SPACE, name)?.status?.usage
}

fn used(api: &FakeApi, name: &str) -> Option<String> {
    usage(api, name).map(|usage| usage.used.0)
}

fn status_writes(api: &FakeApi) -> usize {
    api.requests().iter().filter(|r| r.verb == Verb::Patch && r.resource == "filesystems").count()
}

/// Until the servers have seen something.
async fn seen(servers: &Servers, what: &str, is: impl Fn(&State) -> bool) {
    let wait = async {
        while !servers.get(&is) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect(what);
}

/// Until so many further looks have begun.
async fn looks(servers: &Servers, further: usize) {
    let before = servers.get(|state| state.looks);
    seen(servers, "nobody looks", |state| state.looks >= before + further).await;
}

#[tokio::test]
async fn every_file_system_of_a_share_says_how_full_the_whole_share_is() {
    let (api, servers) = (api().await, Servers::with(&[("nfs", 10), ("other", 50)]));
    put(&api, "a", "nfs", &[]);
    put(&api, "b", "nfs", &[]);
    put(&api, "c", "other", &[]);
    let managed = json!({"backend": {"managed": {"capacity": "1Gi"}}});
    api.put(&builders::file_system(SPACE, "managed", managed));
    let claim = json!({"backend": {"persistentVolumeClaim": {"claimName": "x"}}});
    api.put(&builders::file_system(SPACE, "theirs", claim));
    let controller = Controller::start(&api, &servers);
    for (name, gib) in [("a", "10240Mi"), ("b", "10240Mi"), ("c", "51200Mi")] {
        api.until(name, |api| used(api, name).as_deref() == Some(gib)).await;
        let usage = usage(&api, name).unwrap();
        assert_eq!((usage.scope, usage.capacity.0.as_str()), (UsageScope::Share, "100Gi"));
        assert_eq!((usage.inodes, usage.inodes_used, usage.claims.len()), (0, 0, 0));
    }
    looks(&servers, 6).await;
    for name in ["managed", "theirs"] {
        assert_eq!(usage(&api, name), None, "{name} is not ours to look at");
    }
    assert_eq!(status_writes(&api), 3, "nothing has changed, so nothing is written again");
    servers.uses("nfs", 12 * GIB);
    api.until("the change is told", |api| used(api, "b").as_deref() == Some("12288Mi")).await;
    looks(&servers, 4).await;
    assert_eq!(status_writes(&api), 5);
    controller.stop().await;
}

#[tokio::test]
async fn what_others_say_in_the_status_stays_and_ours_survives_their_writes() {
    let (api, servers) = (api().await, Servers::with(&[("nfs", 10)]));
    put(&api, "a", "nfs", &[]);
    api.edit("FileSystem", SPACE, "a", |fs| {
        fs["status"] = json!({"claimName": "a", "conditions": [{"type": "Ready", "status": "True",
            "reason": "Bound", "message": "m", "lastTransitionTime": "2026-08-01T00:00:00Z"}]});
    });
    let controller = Controller::start(&api, &servers);
    api.until("it is told", |api| used(api, "a").is_some()).await;
    let fs: Value = api.find("FileSystem", SPACE, "a").unwrap();
    assert_eq!(fs["status"]["claimName"], "a");
    assert_eq!(fs["status"]["conditions"][0]["reason"], "Bound");
    controller.stop().await;
}

#[tokio::test]
async fn a_silent_server_keeps_nobody_waiting_and_no_trash_of_its_is_looked_at() {
    let (api, servers) = (api().await, Servers::with(&[("nfs", 10)]));
    put(&api, "a", "dead", &[]);
    put(&api, "b", "nfs", &[]);
    let started = std::time::Instant::now();
    let controller = Controller::start(&api, &servers);
    api.until("the other is told", |api| used(api, "b").is_some()).await;
    assert!(started.elapsed() < Duration::from_millis(900), "it waited: {:?}", started.elapsed());
    seen(&servers, "no trash is looked at", |state| !state.slices.is_empty()).await;
    servers.get(|state| {
        assert!(state.slices.iter().all(|(server, _)| server == "nfs"), "{:?}", state.slices);
        let slice = &state.slices[0].1;
        assert_eq!((slice.keep_seconds, slice.entries_max), (7, 70));
    });
    assert_eq!(usage(&api, "a"), None);
    servers.uses("dead", GIB);
    api.until("it is back", |api| used(api, "a").is_some()).await;
    controller.stop().await;
}

#[tokio::test]
async fn options_of_one_file_system_that_do_not_mount_do_not_hide_the_share() {
    let (api, servers) = (api().await, Servers::with(&[("nfs", 10)]));
    servers.set(|state| state.picky = true);
    put(&api, "a", "nfs", &["nconnect=4"]);
    put(&api, "b", "nfs", &[]);
    let controller = Controller::start(&api, &servers);
    api.until("both are told", |api| used(api, "a").is_some() && used(api, "b").is_some()).await;
    controller.stop().await;
}

#[tokio::test]
async fn a_file_system_that_is_being_deleted_is_left_alone() {
    let (api, servers) = (api().await, Servers::with(&[("nfs", 10)]));
    let nfs = json!({"backend": {"nfs": {"server": "nfs", "export": "/export", "folder": "a"}}});
    let mut going = builders::file_system(SPACE, "going", nfs);
    going.metadata.finalizers = Some(vec!["example.com/theirs".into()]);
    api.put(&going);
    assert!(api.delete("FileSystem", SPACE, "going"));
    put(&api, "b", "nfs", &[]);
    let controller = Controller::start(&api, &servers);
    api.until("the other is told", |api| used(api, "b").is_some()).await;
    looks(&servers, 2).await;
    assert_eq!(usage(&api, "going"), None);
    controller.stop().await;
}

#[tokio::test]
async fn it_ends_when_it_is_asked_to_and_goes_on_after_an_outage() {
    let (api, servers) = (api().await, Servers::with(&[("nfs", 10)]));
    put(&api, "a", "nfs", &[]);
    let controller = Controller::start(&api, &servers);
    api.until("it is told", |api| used(api, "a").is_some()).await;
    api.set_outage(Outage::Refusing);
    servers.uses("nfs", 20 * GIB);
    looks(&servers, 3).await;
    api.set_outage(Outage::None);
    api.until("it is told again", |api| used(api, "a").as_deref() == Some("20480Mi")).await;
    api.set_outage(Outage::Silent);
    controller.stop().await;
    // One that never got to see anything.
    let controller = Controller::start(&api, &servers);
    tokio::time::sleep(Duration::from_millis(50)).await;
    controller.stop().await;
}
