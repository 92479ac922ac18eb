//! The keeper with hands that are made up.

use std::path::Path;
use std::sync::Mutex as StdMutex;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use workspacefs_runtime::CancellationToken;

use super::super::decision::Mode;
use super::super::stats::Stats;
use super::*;
use crate::local::disks::DiskError;
use crate::local::protocol::{Refusal as DiskRefusal, RefusalKind as DiskKind};

const MIB: u64 = 1 << 20;

/// A node: its kernel's device, its disks' images, and what was done with them.
#[derive(Default)]
struct Machine {
    unsupported: bool,
    /// Somebody else's cachefilesd has the device.
    taken: bool,
    /// The image has no room.
    full: bool,
    /// Something uses it.
    busy: bool,
    /// What the kernel says when it is to bind it.
    refuses: Option<RefusalKind>,
    /// What the next look after the cache says, instead of what it would.
    tend: Option<Result<Tended, Refusal>>,
    mounted: Vec<String>,
    bound: Option<PathBuf>,
    done: Vec<String>,
}

type Shared = Arc<StdMutex<Machine>>;

struct Fake(Shared);

impl Fake {
    fn with<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

fn refusal(kind: RefusalKind) -> Refusal {
    Refusal { kind, message: format!("{kind:?}") }
}

#[async_trait]
impl Hands for Fake {
    fn is_supported(&self) -> bool {
        self.with(|machine| !machine.unsupported)
    }

    async fn image(&mut self, uid: &str, wish: ImageWish) -> Result<PathBuf, DiskError> {
        self.with(|machine| {
            machine.done.push(format!("{wish:?} {uid}"));
            let path = PathBuf::from(format!("/fscache/{uid}"));
            assert!(
                machine.bound.as_ref() != Some(&path) || matches!(wish, ImageWish::Mounted(_)),
                "it is unmounted while the kernel uses it"
            );
            if machine.full && matches!(wish, ImageWish::Mounted(_)) {
                let refusal = DiskRefusal { kind: DiskKind::NoSpace, message: "the disk can give 3".into() };
                return Err(DiskError::Refused(refusal));
            }
            if machine.busy && !matches!(wish, ImageWish::Mounted(_)) {
                let refusal = DiskRefusal { kind: DiskKind::Io, message: "something still uses it".into() };
                return Err(DiskError::Refused(refusal));
            }
            machine.mounted.retain(|mounted| mounted != uid);
            if matches!(wish, ImageWish::Mounted(_)) {
                machine.mounted.push(uid.into());
            }
            Ok(path)
        })
    }

    fn mounted(&self) -> Vec<String> {
        self.with(|machine| machine.mounted.clone())
    }

    async fn bind(&mut self, folder: &Path) -> Result<(), Refusal> {
        self.with(|machine| {
            if machine.taken {
                return Err(refusal(RefusalKind::DeviceBusy));
            }
            if let Some(kind) = machine.refuses {
                return Err(refusal(kind));
            }
            assert_eq!(machine.bound, None, "two caches");
            machine.done.push("bind".into());
            machine.bound = Some(folder.into());
            Ok(())
        })
    }

    async fn tend(&mut self) -> Result<Tended, Refusal> {
        self.with(|machine| {
            let space = Space { bytes_total: 200 * MIB, bytes_used: 20 * MIB };
            machine.tend.take().unwrap_or(Ok(Tended { space, ..Tended::default() }))
        })
    }

    async fn unbind(&mut self) {
        self.with(|machine| {
            if machine.bound.take().is_some() {
                machine.done.push("unbind".into());
            }
        });
    }

    fn stats(&self) -> Option<Stats> {
        None
    }
}

fn node() -> (Keeper<Fake>, Shared, LocalCache) {
    node_with(LocalCache::new())
}

fn node_with(known: LocalCache) -> (Keeper<Fake>, Shared, LocalCache) {
    let machine = Shared::default();
    let figures = CacheFigures::new(&mut Registry::default());
    (Keeper::new(Fake(machine.clone()), known.clone(), figures), machine, known)
}

fn done(machine: &Shared) -> Vec<String> {
    std::mem::take(&mut machine.lock().unwrap().done)
}

fn asked(name: &str, mib: Option<u64>) -> Asked {
    Asked {
        uid: name.into(),
        name: name.into(),
        created: 0,
        bytes: mib.map(|mib| mib * MIB),
        ready: true,
        seen: true,
        leaving: false,
    }
}

fn reason(known: &LocalCache, uid: &str) -> (bool, String) {
    let entry = known.entry(uid).unwrap();
    (entry.ready, entry.reason)
}

#[tokio::test]
async fn a_cache_that_is_asked_for_is_bound_told_and_looked_after() {
    let (mut keeper, machine, known) = node();
    assert_eq!(known.mode(), Mode::Unbound);
    keeper.pass(&[asked("fast", Some(200))]).await;
    assert_eq!(done(&machine), [format!("Mounted({}) fast", 200 * MIB), "bind".into()]);
    assert_eq!(known.mode(), Mode::Bound);
    let entry = known.entry("fast").unwrap();
    assert!(entry.ready && entry.message.is_empty());
    let text = |size: Option<k8s_openapi::apimachinery::pkg::api::resource::Quantity>| size.unwrap().0;
    assert_eq!((text(entry.size), text(entry.used)), ("200Mi".into(), "20Mi".into()));
    keeper.pass(&[asked("fast", Some(200))]).await;
    assert_eq!(done(&machine), [""; 0]);
}

#[tokio::test]
async fn while_the_kernel_wants_more_room_the_next_pass_comes_soon() {
    let (mut keeper, machine, _) = node();
    machine.lock().unwrap().tend = Some(Ok(Tended { unfinished: true, culled: 7, ..Tended::default() }));
    assert_eq!(keeper.pass(&[asked("fast", Some(200))]).await, INTERVAL_CULLING);
    assert_eq!(keeper.pass(&[asked("fast", Some(200))]).await, INTERVAL);
}

#[tokio::test]
async fn another_size_another_place_or_none_unbinds_before_the_image_is_touched() {
    let (mut keeper, machine, known) = node();
    keeper.pass(&[asked("a", Some(200))]).await;
    done(&machine);
    keeper.pass(&[asked("a", Some(300))]).await;
    let larger = format!("Mounted({}) a", 300 * MIB);
    assert_eq!(done(&machine), ["unbind", "Unmounted a", larger.as_str(), "bind"]);
    keeper.pass(&[asked("a", None), asked("b", Some(200))]).await;
    let other = format!("Mounted({}) b", 200 * MIB);
    assert_eq!(done(&machine), ["unbind", "Unmounted a", "Gone a", other.as_str(), "bind"]);
    // Not asked again each time.
    keeper.pass(&[asked("a", None), asked("b", None)]).await;
    assert_eq!(done(&machine), ["unbind", "Unmounted b", "Gone b"]);
    keeper.pass(&[asked("a", None), asked("b", None)]).await;
    assert_eq!((done(&machine), known.mode()), (Vec::new(), Mode::Unbound));
    // Until it is asked for once more.
    keeper.pass(&[asked("a", Some(200)), asked("b", None)]).await;
    keeper.pass(&[asked("a", None), asked("b", None)]).await;
    assert_eq!(done(&machine).last().map(String::as_str), Some("Gone a"));
}

#[tokio::test]
async fn another_programs_cache_is_left_alone_and_had_when_it_ends() {
    let (mut keeper, machine, known) = node();
    machine.lock().unwrap().taken = true;
    keeper.pass(&[asked("fast", Some(200))]).await;
    assert_eq!(reason(&known, "fast"), (false, "DeviceBusy".into()));
    assert!(known.entry("fast").unwrap().message.contains("cachefilesd"));
    assert_eq!(known.mode(), Mode::Unbound, "what is mounted is not cached");
    machine.lock().unwrap().taken = false;
    keeper.pass(&[asked("fast", Some(200))]).await;
    assert_eq!((reason(&known, "fast"), known.mode()), ((true, "Ready".into()), Mode::Bound));
}

#[tokio::test]
async fn a_kernel_without_a_cache_takes_nothing_of_the_disk_and_is_told() {
    let (mut keeper, machine, known) = node();
    machine.lock().unwrap().unsupported = true;
    keeper.pass(&[asked("fast", Some(200))]).await;
    assert_eq!(reason(&known, "fast"), (false, "Unsupported".into()));
    assert!(known.entry("fast").unwrap().message.contains("modprobe cachefiles"));
    assert!(done(&machine).is_empty());
}

#[tokio::test]
async fn what_is_in_the_way_is_told_with_the_words_of_whoever_found_it() {
    let (mut keeper, machine, known) = node();
    machine.lock().unwrap().full = true;
    keeper.pass(&[asked("fast", Some(200))]).await;
    assert_eq!(reason(&known, "fast"), (false, "NoImage".into()));
    assert!(known.entry("fast").unwrap().message.contains("can give 3"));
    let away = Asked { ready: false, ..asked("fast", Some(200)) };
    keeper.pass(&[away]).await;
    assert_eq!(reason(&known, "fast"), (false, "DiskNotReady".into()));
    assert_eq!(known.entry("other"), None);
}

#[tokio::test]
async fn a_node_has_one_cache_and_the_others_say_whose_it_is() {
    let (mut keeper, _, known) = node();
    let young = Asked { created: 5, ..asked("a", Some(200)) };
    keeper.pass(&[young, asked("b", Some(200))]).await;
    assert_eq!(reason(&known, "b"), (true, "Ready".into()));
    assert_eq!(reason(&known, "a"), (false, "AnotherStorage".into()));
    assert!(known.entry("a").unwrap().message.contains("LocalStorage b"));
}

#[tokio::test]
async fn who_loses_the_cache_to_an_older_one_keeps_no_image() {
    let (mut keeper, machine, known) = node();
    let young = Asked { created: 5, ..asked("a", Some(200)) };
    keeper.pass(&[young.clone(), asked("b", None)]).await;
    assert_eq!(reason(&known, "a"), (true, "Ready".into()));
    done(&machine);
    let both = [young, asked("b", Some(200))];
    keeper.pass(&both).await;
    let other = format!("Mounted({}) b", 200 * MIB);
    assert_eq!(done(&machine), ["unbind", "Unmounted a", "Gone a", other.as_str(), "bind"]);
    keeper.pass(&both).await;
    assert_eq!(done(&machine), [""; 0]);
}

#[tokio::test]
async fn a_plugin_that_keeps_no_cache_takes_away_what_is_left_of_one() {
    let (mut keeper, machine, known) = node_with(LocalCache::off());
    machine.lock().unwrap().mounted = vec!["fast".into()];
    let away = Asked { ready: false, ..asked("fast", Some(200)) };
    keeper.pass(&[away]).await;
    assert_eq!(done(&machine), ["Unmounted fast"]);
    keeper.pass(&[asked("fast", Some(200))]).await;
    assert_eq!(done(&machine), ["Gone fast"]);
    keeper.pass(&[asked("fast", Some(200))]).await;
    assert_eq!((done(&machine), known.entry("fast"), known.mode()), (Vec::new(), None, Mode::PassedOn));
}

#[tokio::test]
async fn a_disk_that_is_not_ready_any_more_is_let_go_and_so_is_one_that_is_to_be_unmounted() {
    let (mut keeper, machine, known) = node();
    keeper.pass(&[asked("fast", Some(200))]).await;
    done(&machine);
    keeper.pass(&[Asked { ready: false, ..asked("fast", Some(200)) }]).await;
    assert_eq!(done(&machine), ["unbind", "Unmounted fast"]);
    keeper.pass(&[asked("fast", Some(200))]).await;
    done(&machine);
    keeper.let_go_of("another").await;
    assert!(done(&machine).is_empty() && known.mode() == Mode::Bound);
    keeper.let_go_of("fast").await;
    assert_eq!(
        (done(&machine), known.mode()),
        (vec!["unbind".into(), "Unmounted fast".into()], Mode::Unbound)
    );
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_the_kernel_gave_up_is_made_anew_and_not_again_and_again() {
    let (mut keeper, machine, known) = node();
    let fast = [asked("fast", Some(200))];
    keeper.pass(&fast).await;
    done(&machine);
    let fails = || machine.lock().unwrap().tend = Some(Err(refusal(RefusalKind::Dead)));
    fails();
    keeper.pass(&fast).await;
    assert_eq!(done(&machine), ["unbind", "Unmounted fast", "Gone fast"]);
    assert_eq!(reason(&known, "fast"), (false, "Failed".into()));
    keeper.pass(&fast).await;
    assert_eq!(known.mode(), Mode::Bound);
    done(&machine);
    fails();
    keeper.pass(&fast).await;
    assert_eq!(done(&machine), ["unbind", "Unmounted fast"], "its disk fails: no image after the other");
    tokio::time::advance(ANEW).await;
    keeper.pass(&fast).await;
    fails();
    keeper.pass(&fast).await;
    assert_eq!(done(&machine).last().map(String::as_str), Some("Gone fast"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_image_that_could_not_be_removed_is_removed_the_next_time() {
    let (mut keeper, machine, _) = node();
    let fast = [asked("fast", Some(200))];
    for (busy, last) in [(true, "Gone fast"), (false, "Gone fast"), (false, "Unmounted fast")] {
        keeper.pass(&fast).await;
        machine.lock().unwrap().busy = busy;
        machine.lock().unwrap().tend = Some(Err(refusal(RefusalKind::Dead)));
        keeper.pass(&fast).await;
        machine.lock().unwrap().busy = false;
        assert_eq!(done(&machine).last().map(String::as_str), Some(last));
    }
}

#[tokio::test]
async fn only_an_image_that_is_damaged_is_made_anew_when_it_cannot_be_bound() {
    let (mut keeper, machine, known) = node();
    let fast = [asked("fast", Some(200))];
    let mounted = format!("Mounted({}) fast", 200 * MIB);
    machine.lock().unwrap().refuses = Some(RefusalKind::Bind);
    keeper.pass(&fast).await;
    assert_eq!((done(&machine), reason(&known, "fast").1), (vec![mounted.clone()], "BindFailed".into()));
    machine.lock().unwrap().refuses = Some(RefusalKind::Damaged);
    keeper.pass(&fast).await;
    let anew = vec![mounted, "Gone fast".into()];
    assert_eq!((done(&machine), reason(&known, "fast").1), (anew, "BindFailed".into()));
}

#[tokio::test]
async fn a_helper_that_died_is_followed_by_another_with_the_same_image() {
    let (mut keeper, machine, known) = node();
    let fast = [asked("fast", Some(200))];
    keeper.pass(&fast).await;
    done(&machine);
    machine.lock().unwrap().tend = Some(Err(refusal(RefusalKind::Broken)));
    machine.lock().unwrap().bound = None;
    keeper.pass(&fast).await;
    assert_eq!(reason(&known, "fast"), (false, "HelperFailed".into()));
    keeper.pass(&fast).await;
    let again = format!("Mounted({}) fast", 200 * MIB);
    assert_eq!(done(&machine), ["Unmounted fast", again.as_str(), "bind"]);
}

#[tokio::test]
async fn what_an_earlier_plugin_left_mounted_is_bound_again_or_unmounted() {
    let (mut keeper, machine, _) = node();
    machine.lock().unwrap().mounted = vec!["gone".into(), "fast".into()];
    keeper.pass(&[asked("fast", Some(200))]).await;
    let found = format!("Mounted({}) fast", 200 * MIB);
    assert_eq!(done(&machine), ["Unmounted gone", found.as_str(), "bind"]);
}

#[tokio::test]
async fn what_an_earlier_plugin_left_waits_for_the_first_look_and_not_for_a_disk_that_is_away() {
    let (mut keeper, machine, known) = node();
    machine.lock().unwrap().mounted = vec!["fast".into()];
    let looked_at = |seen| [Asked { ready: false, seen, ..asked("fast", Some(200)) }];
    keeper.pass(&looked_at(false)).await;
    assert_eq!(done(&machine), [""; 0]);
    assert_eq!(reason(&known, "fast"), (false, "DiskNotReady".into()));
    keeper.pass(&looked_at(true)).await;
    assert_eq!(done(&machine), ["Unmounted fast"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_plugin_unbinds_and_leaves_the_image_mounted() {
    let (keeper, machine, known) = node();
    let keeper = Arc::new(Mutex::new(keeper));
    let shutdown = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(INTERVAL * 3).await;
        assert_eq!(known.mode(), Mode::Bound);
        shutdown.cancel();
    };
    let asked = || Some(vec![asked("fast", Some(200))]);
    tokio::join!(run(&keeper, asked, std::future::pending::<()>, shutdown.clone()), stop);
    let bound = format!("Mounted({}) fast", 200 * MIB);
    assert_eq!(done(&machine), [bound.as_str(), "bind", "unbind"]);
    assert_eq!((known.mode(), machine.lock().unwrap().mounted.len()), (Mode::Unbound, 1));
}
