//! Helpers that hang, die, or belong to servers that do.

use std::fs;
use std::time::{Duration, Instant};

use csi_driver::share::ShareSpec;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tonic::Code;

use crate::plugin::Settings;
use crate::source;
use crate::world::{Claim, TestNode, World, refused};

/// A stopped process; it goes on when this is dropped, if it still lives.
pub struct Stopped(Pid);

impl Stopped {
    pub fn by(pid: Pid, signal: Signal) -> Self {
        kill(pid, signal).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// The helper of a claim's share.
pub async fn helper(node: &TestNode, claim: &Claim) -> Pid {
    let key = ShareSpec::new(&claim.attributes(), &[]).key();
    let id = node.shares.helper_id(&key).await.unwrap();
    Pid::from_raw(id.try_into().unwrap())
}

/// A zombie that nobody has reaped yet does not.
fn lives(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
}

async fn gone(pid: Pid) {
    let started = Instant::now();
    while lives(pid) {
        assert!(started.elapsed() < Duration::from_secs(5), "{pid} still lives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn a_frozen_helper_is_given_up_at_the_deadline_and_other_shares_do_not_notice(mut world: World) {
    world.deadline = Duration::from_secs(2);
    let sick = Claim::of(&world.export("sick"), "a");
    let well = Claim {
        server: source::OTHER,
        uid: "11111111-d9cb-469f-a165-70867728950e".into(),
        ..Claim::of(&world.export("well"), "a")
    };
    let node = world.node();
    node.publish(sick.at(&world.target("v"))).await.unwrap();
    let pid = helper(&node, &sick).await;
    let _frozen = Stopped::by(pid, Signal::SIGSTOP);
    let started = Instant::now();
    let (waited, others) = tokio::join!(
        async {
            let result = node.publish(sick.at(&world.target("w"))).await;
            (result, started.elapsed())
        },
        async {
            let mut slowest = Duration::ZERO;
            for number in 0..20 {
                let started = Instant::now();
                let target = world.target(&format!("well-{number}"));
                node.publish(well.at(&target)).await.unwrap();
                node.unpublish(&well.id(), &target).await.unwrap();
                slowest = slowest.max(started.elapsed());
            }
            slowest
        }
    );
    refused(waited.0, Code::Unavailable, &["did not answer within 2 s", "good.test"]);
    assert!(
        waited.1 >= world.deadline && waited.1 < world.deadline + Duration::from_millis(300),
        "{:?}",
        waited.1
    );
    assert!(others < Duration::from_secs(1), "another share waited {others:?}");
    gone(pid).await;
    assert!(!world.target("w").exists(), "what failed left something");
    // The volume that is mounted can be taken away, and the next call finds the share again.
    node.publish(sick.at(&world.target("w"))).await.unwrap();
    for target in ["v", "w"] {
        node.unpublish(&sick.id(), &world.target(target)).await.unwrap();
    }
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

pub async fn a_killed_helper_is_replaced(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    let first = helper(&node, &claim).await;
    kill(first, Signal::SIGKILL).unwrap();
    gone(first).await;
    assert!(fs::read_dir(world.target("v")).is_ok(), "mounts do not hang on helpers");
    node.publish(claim.at(&world.target("w"))).await.unwrap();
    assert_ne!(helper(&node, &claim).await, first);
    // Killed in the middle of a call.
    let second = helper(&node, &claim).await;
    let frozen = Stopped::by(second, Signal::SIGSTOP);
    let (result, ()) = tokio::join!(node.publish(claim.at(&world.target("x"))), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        kill(second, Signal::SIGKILL).unwrap();
    });
    drop(frozen);
    result.unwrap();
    assert_eq!(world.mounts_at(&world.target("x")), 1);
}

pub async fn a_server_that_is_not_there_is_said_so(world: World) {
    let export = world.export("e");
    let away = Claim { server: source::AWAY, ..Claim::of(&export, "a") };
    let node = world.node();
    let words = ["away.test", "unreachable", "no route to host"];
    refused(node.publish(away.at(&world.target("v"))).await, Code::Unavailable, &words);
    let missing = Claim::of(&world.path("exports/none"), "a");
    let result = node.publish(missing.at(&world.target("v"))).await;
    refused(result, Code::NotFound, &["exports/none", "does not exist on the server"]);
    node.node.sweep().await;
    world.assert_nothing_left(&["v"]);
}

pub async fn a_silent_server_holds_no_one_but_its_own_callers(mut world: World) {
    world.deadline = Duration::from_secs(1);
    let export = world.export("e");
    let silent = Claim { server: source::SILENT, ..Claim::of(&export, "a") };
    let good = Claim { uid: "11111111-d9cb-469f-a165-70867728950e".into(), ..Claim::of(&export, "a") };
    let node = world.node();
    let started = Instant::now();
    let (held, free) = tokio::join!(node.publish(silent.at(&world.target("v"))), async {
        node.publish(good.at(&world.target("w"))).await.unwrap();
        started.elapsed()
    });
    refused(held, Code::Unavailable, &["did not answer"]);
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    assert!(free < Duration::from_millis(800), "{free:?}");
    // A sweep while the server is silent ends too, and whatever comes later is not held up by it.
    node.node.sweep().await;
    node.unpublish(&good.id(), &world.target("w")).await.unwrap();
    node.node.sweep().await;
    world.assert_nothing_left(&["v", "w"]);
}

pub async fn calls_that_queue_up_end_at_their_own_deadline(mut world: World) {
    world.deadline = Duration::from_secs(1);
    let silent = Claim { server: source::SILENT, ..Claim::of(&world.export("e"), "a") };
    let node = world.node();
    let started = Instant::now();
    let calls = (0..10).map(|number| {
        let request = silent.at(&world.target(&format!("v{number}")));
        let node = &node;
        async move { node.publish(request).await }
    });
    for result in futures::future::join_all(calls).await {
        refused(result, Code::Unavailable, &["did not answer"]);
    }
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
}

pub async fn helpers_die_with_the_plugin(world: World) {
    let export = world.export("e");
    let settings = Settings {
        api: if world.api == workspacefs_sys::tree::MountApi::Legacy { "legacy" } else { "modern" }.into(),
        root: world.root().to_str().unwrap().into(),
        export: export.to_str().unwrap().into(),
        folder: "a".into(),
        target: world.target("v").to_str().unwrap().into(),
        unpublish: false,
        copies: false,
    };
    crate::kill::finished(&settings);
    no_helpers_left();
    assert!(fs::read_dir(world.target("v")).is_ok(), "mounts do not die with the plugin");
}

/// Waits for the helpers of a plugin that was killed to die with it.
pub fn no_helpers_left() {
    let started = Instant::now();
    while !helpers_of_this_world().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(5), "helpers outlive their plugin");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Helper processes in this mount namespace.
fn helpers_of_this_world() -> Vec<u32> {
    let mine = fs::read_link("/proc/self/ns/mnt").unwrap();
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
    processes
        .filter(|pid: &u32| {
            fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|ns| ns == mine)
                && fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|c| c.windows(12).any(|w| w == b"share-helper"))
        })
        .collect()
}
