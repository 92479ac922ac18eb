//! The own folder of an `nfs` FileSystem that is deleted, against an API server in this process and a share in memory.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use csi_driver::controller::lookup::ApiFileSystems;
use csi_driver::controller::removal::Removals;
use csi_driver::controller::seams::{FileSystems, Home, Volumes};
use csi_driver::share::{Leaving, OwnFolder, ShareError, Taken, VolumeRecord};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use workspacefs_api::{FILES_FINALIZER, FINALIZER, FileSystem};
use workspacefs_runtime::CancellationToken;
use workspacefs_testkit::faults::Outage;
use workspacefs_testkit::{FakeApi, Fault, Moment, Verb, builders};

const SPACE: &str = "team-a";

/// The folders of a share that the driver made, and what became of them.
#[derive(Clone, Default)]
struct Share(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Paths that the records know.
    made: Vec<String>,
    moved: Vec<(String, Leaving)>,
    asked: usize,
    silent: bool,
}

impl Share {
    fn with(made: &[&str]) -> Self {
        let made = made.iter().map(|path| (*path).to_owned()).collect();
        Self(Arc::new(Mutex::new(State { made, ..State::default() })))
    }

    fn get<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.lock().unwrap())
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }
}

#[async_trait]
impl Volumes for Share {
    async fn create(&self, _: &Home, _: &str, _: &VolumeRecord) -> Result<VolumeRecord, ShareError> {
        panic!("nothing is made here")
    }
    async fn record(&self, _: &Home, _: &str) -> Result<Option<VolumeRecord>, ShareError> {
        panic!("no volume is looked at here")
    }
    async fn remove(&self, _: &Home, _: &str, _: Leaving) -> Result<(), ShareError> {
        panic!("no volume is removed here")
    }
    async fn bytes_available(&self, _: &Home) -> Result<u64, ShareError> {
        panic!("nobody asks")
    }
    async fn remove_own(
        &self,
        home: &Home,
        folder: OwnFolder,
        leaving: Leaving,
    ) -> Result<Taken, ShareError> {
        assert_eq!(home.attributes.file_system_uid, folder.file_system);
        let mut state = self.0.lock().unwrap();
        state.asked += 1;
        if state.silent {
            let reason = "no route to host".into();
            return Err(ShareError::Unreachable { server: home.server().into(), reason });
        }
        if state.moved.iter().any(|(path, _)| *path == folder.path) {
            return Ok(Taken::Absent);
        }
        if !state.made.contains(&folder.path) {
            return Ok(Taken::NotOurs("there is no record on the share".into()));
        }
        state.moved.push((folder.path, leaving));
        Ok(Taken::Moved(".workspacefs/trash/x".into()))
    }
}

struct Controller {
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Controller {
    fn start(api: &FakeApi, share: &Share) -> Self {
        let shutdown = CancellationToken::new();
        let removals = Removals::new(api.client_as("controller"), share.clone(), "pod-1");
        Self { task: tokio::spawn(removals.run(shutdown.clone())), shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("does not end").unwrap();
    }

    /// As SIGKILL does.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }
}

async fn api() -> FakeApi {
    let api = FakeApi::start().await;
    api.put(&builders::namespace(SPACE, &[]));
    api
}

fn spec(policy: &str, server: &str, folder: Option<&str>) -> Value {
    let nfs = json!({"server": server, "export": "/export", "folder": folder});
    json!({"backend": {"nfs": nfs}, "reclaimPolicy": policy})
}

/// A FileSystem as the operator keeps it, with the finalizers that are given.
fn put(api: &FakeApi, name: &str, spec: Value, finalizers: &[&str]) {
    let mut fs = builders::file_system(SPACE, name, spec);
    fs.metadata.finalizers = Some(finalizers.iter().map(|name| (*name).to_owned()).collect());
    api.put(&fs);
}

/// The same, deleted, and let go by the operator.
fn put_going(api: &FakeApi, name: &str, spec: Value) {
    put(api, name, spec, &[FILES_FINALIZER]);
    assert!(api.delete("FileSystem", SPACE, name));
}

fn find(api: &FakeApi, name: &str) -> Option<FileSystem> {
    api.find("FileSystem", SPACE, name)
}

fn events(api: &FakeApi) -> Vec<(String, String)> {
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    api.all("Event").iter().map(|event| (text(event, "reason"), text(event, "note"))).collect()
}

#[tokio::test]
async fn the_folder_leaves_once_the_operator_has_let_go_and_then_the_object_does() {
    for (policy, wanted) in [
        ("Delete", Leaving::Trash("team-a.data".into())),
        ("Archive", Leaving::Archive("team-a.data.".into())),
    ] {
        let (api, share) = (api().await, Share::with(&["a"]));
        put(&api, "data", spec(policy, "nfs", Some("a")), &[FINALIZER, FILES_FINALIZER]);
        let controller = Controller::start(&api, &share);
        api.settled(Duration::from_millis(200)).await;
        assert!(api.delete("FileSystem", SPACE, "data"));
        api.settled(Duration::from_millis(300)).await;
        assert_eq!(share.get(|state| state.asked), 0, "pods may still use it");
        api.edit("FileSystem", SPACE, "data", |fs| {
            fs["metadata"]["finalizers"] = json!([FILES_FINALIZER]);
        });
        api.until("it is gone", |api| find(api, "data").is_none()).await;
        share.get(|state| match (state.moved.as_slice(), wanted) {
            ([(path, Leaving::Trash(name))], Leaving::Trash(wanted)) => {
                assert_eq!((path.as_str(), name), ("a", &wanted));
            }
            ([(path, Leaving::Archive(name))], Leaving::Archive(wanted)) => {
                assert!(path == "a" && name.starts_with(&wanted) && name.ends_with('Z'), "{name}");
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(events(&api)[0].0, "FilesMoved");
        controller.stop().await;
    }
}

#[tokio::test]
async fn files_that_are_not_known_to_be_ours_stay_and_people_are_told() {
    let (api, share) = (api().await, Share::with(&[]));
    put_going(&api, "data", spec("Delete", "nfs", Some("a")));
    let controller = Controller::start(&api, &share);
    api.until("it is gone", |api| find(api, "data").is_none()).await;
    assert!(share.get(|state| state.moved.is_empty()));
    let told = events(&api);
    assert_eq!(told[0].0, "NotOurs");
    assert!(told[0].1.contains("no record on the share"), "{told:?}");
    let said = api.requests().into_iter().filter(|r| r.verb == Verb::Patch && r.resource == "filesystems");
    assert_eq!(said.count(), 2, "the condition, while the object is there, then the finalizer");
    controller.stop().await;
}

#[tokio::test]
async fn a_folder_that_another_file_system_shows_too_is_not_even_looked_at() {
    for (server, folder) in [
        // The same, one in it, one around it, the whole export.
        ("nfs", Some("a")),
        ("nfs", Some("a/deep")),
        ("nfs", None),
        // A name that nobody can resolve may be the same machine.
        ("no-such-host.invalid", Some("a")),
    ] {
        let (api, share) = (api().await, Share::with(&["a"]));
        put(&api, "other", spec("Retain", server, folder), &[FINALIZER]);
        put_going(&api, "data", spec("Delete", "nfs", Some("a")));
        let controller = Controller::start(&api, &share);
        api.until("it is gone", |api| find(api, "data").is_none()).await;
        assert_eq!(share.get(|state| state.asked), 0, "{server} {folder:?}");
        assert!(events(&api)[0].1.contains("team-a/other"), "{:?}", events(&api));
        assert!(find(&api, "other").is_some_and(|fs| fs.metadata.deletion_timestamp.is_none()));
        controller.stop().await;
    }
    // Neighbours, and the same path on another machine, are no rivals.
    let (api, share) = (api().await, Share::with(&["a"]));
    put(&api, "neighbour", spec("Retain", "127.0.0.1", Some("ab")), &[FINALIZER]);
    put(&api, "elsewhere", spec("Retain", "127.0.0.2", Some("a")), &[FINALIZER]);
    put_going(&api, "data", spec("Delete", "127.0.0.1", Some("a")));
    let controller = Controller::start(&api, &share);
    api.until("it is gone", |api| find(api, "data").is_none()).await;
    assert_eq!(share.get(|state| state.moved.len()), 1);
    controller.stop().await;
}

#[tokio::test]
async fn a_silent_share_is_waited_for_and_the_object_says_so() {
    let (api, share) = (api().await, Share::with(&["a"]));
    share.set(|state| state.silent = true);
    put_going(&api, "data", spec("Delete", "nfs", Some("a")));
    let controller = Controller::start(&api, &share);
    let condition = |api: &FakeApi| find(api, "data").and_then(|fs| fs.condition("NotOurs").cloned());
    api.until("it says so", |api| condition(api).is_some()).await;
    let said = condition(&api).unwrap();
    assert_eq!((said.status.as_str(), said.reason.as_str()), ("Unknown", "ServerNotAnswering"));
    assert!(said.message.contains("no route to host") && said.message.contains("Retain"), "{}", said.message);
    share.set(|state| state.silent = false);
    api.until("it is gone", |api| find(api, "data").is_none()).await;
    assert_eq!(share.get(|state| state.moved.len()), 1);
    controller.stop().await;
}

#[tokio::test]
async fn the_files_of_one_that_is_retained_after_all_stay_and_nobody_waits_for_the_share() {
    let (api, share) = (api().await, Share::with(&["a"]));
    share.set(|state| state.silent = true);
    put_going(&api, "data", spec("Delete", "nfs", Some("a")));
    let controller = Controller::start(&api, &share);
    api.until("it was tried", |_| share.get(|state| state.asked > 0)).await;
    api.edit("FileSystem", SPACE, "data", |fs| fs["spec"]["reclaimPolicy"] = json!("Retain"));
    api.until("it is gone", |api| find(api, "data").is_none()).await;
    assert!(share.get(|state| state.moved.is_empty()));
    controller.stop().await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_ends_like_any_other_and_its_files_stay() {
    let (api, share) = (api().await, Share::with(&["a", "b"]));
    put_going(&api, "broken", spec("Delete", "nfs", Some("a")));
    api.edit("FileSystem", SPACE, "broken", |fs| fs["spec"]["backend"] = json!({"nfs": 7}));
    let controller = Controller::start(&api, &share);
    api.until("it is gone", |api| api.all("FileSystem").is_empty()).await;
    assert_eq!(share.get(|state| state.asked), 0);
    // The watch lives on.
    put_going(&api, "data", spec("Delete", "nfs", Some("b")));
    api.until("it is gone", |api| api.all("FileSystem").is_empty()).await;
    assert_eq!(share.get(|state| state.moved.len()), 1);
    controller.stop().await;
}

#[tokio::test]
async fn killed_at_any_write_its_successor_completes_it_and_nothing_is_moved_twice() {
    for made in [true, false] {
        let mut nth = 0;
        'writes: loop {
            for moment in [Moment::Before, Moment::After] {
                let (api, share) = (api().await, Share::with(if made { &["a"] } else { &[] }));
                put_going(&api, "data", spec("Delete", "nfs", Some("a")));
                let sprung = api.trap(nth, moment, Fault::Hold, |_| true);
                let controller = Controller::start(&api, &share);
                let gone = api.until("it is gone", |api| find(api, "data").is_none());
                let killed = tokio::select! {
                    sprung = sprung => sprung.is_ok(),
                    () = gone => false,
                };
                controller.kill().await;
                let successor = Controller::start(&api, &share);
                api.until("it is gone", |api| find(api, "data").is_none()).await;
                successor.stop().await;
                assert_eq!(share.get(|state| state.moved.len()), usize::from(made), "{nth} {moment:?}");
                assert!(!events(&api).is_empty(), "people are told: {nth} {moment:?}");
                // After the last write the object may be seen gone before the trap is seen sprung.
                if !killed && matches!(moment, Moment::Before) {
                    break 'writes;
                }
            }
            nth += 1;
        }
        assert!(nth >= 2, "only {nth} writes were tried");
    }
}

#[tokio::test]
async fn it_ends_when_it_is_asked_to_whatever_the_api_server_does() {
    for outage in [Outage::Silent, Outage::Refusing] {
        let (api, share) = (api().await, Share::with(&[]));
        api.set_outage(outage);
        let controller = Controller::start(&api, &share);
        tokio::time::sleep(Duration::from_millis(50)).await;
        controller.stop().await;
    }
}

#[tokio::test]
async fn a_finalizer_that_somebody_adds_meanwhile_stays() {
    let (api, share) = (api().await, Share::with(&["a"]));
    put(&api, "data", spec("Delete", "nfs", Some("a")), &[FILES_FINALIZER, "example.com/theirs"]);
    assert!(api.delete("FileSystem", SPACE, "data"));
    let controller = Controller::start(&api, &share);
    let finalizers = |api: &FakeApi| find(api, "data").and_then(|fs| fs.metadata.finalizers);
    api.until("ours is gone", |api| finalizers(api) == Some(vec!["example.com/theirs".into()])).await;
    controller.stop().await;
}

#[tokio::test]
async fn a_file_system_is_found_by_uid_through_the_names_of_the_watch_or_by_search() {
    let (api, share) = (api().await, Share::with(&[]));
    put(&api, "data", spec("Retain", "nfs", Some("a")), &[FINALIZER]);
    let uid = find(&api, "data").unwrap().metadata.uid.unwrap();
    let removals = Removals::new(api.client_as("controller"), share, "pod-1");
    let with_names = ApiFileSystems::with_names(api.client_as("lookup"), removals.store());
    let name = |fs: Option<FileSystem>| fs.and_then(|fs| fs.metadata.name);
    // The watch has seen nothing yet.
    assert_eq!(name(with_names.by_uid(&uid).await.unwrap()), Some("data".into()));
    let (shutdown, store) = (CancellationToken::new(), removals.store());
    let task = tokio::spawn(removals.run(shutdown.clone()));
    // Not by `wait_until_ready`, which wakes only one of those who wait.
    while store.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let lists = |api: &FakeApi| {
        api.requests().iter().filter(|r| r.verb == Verb::List && r.client == "lookup").count()
    };
    let before = lists(&api);
    assert_eq!(name(with_names.by_uid(&uid).await.unwrap()), Some("data".into()));
    assert_eq!(lists(&api), before, "one request for one object");
    // Made again under its name it is another, whatever the watch has seen.
    assert_eq!(name(with_names.by_uid("0f8fad5b-d9cb-469f-a165-70867728950e").await.unwrap()), None);
    assert_eq!(name(with_names.cached(SPACE, "data").await.unwrap()), Some("data".into()));
    assert_eq!(name(with_names.cached(SPACE, "missing").await.unwrap()), None);
    assert_eq!(name(with_names.cached(SPACE, "../secrets").await.unwrap()), None);
    shutdown.cancel();
    task.await.unwrap();
}
