//! What is told about a volume.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tonic::Code;
use workspacefs_csi_proto::csi::v1::volume_usage::Unit;

use super::faults::{Stopped, helper};
use crate::source;
use crate::world::{Claim, World, refused};

pub async fn usage_and_health_are_told(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    let usage = node.stats(&claim.id(), &world.target("v")).await.unwrap();
    assert_eq!(usage.iter().map(|u| u.unit()).collect::<Vec<_>>(), [Unit::Bytes, Unit::Inodes]);
    assert!(usage.iter().all(|u| u.total > 0 && u.available > 0 && u.used >= 0), "{usage:?}");
    assert_eq!(node.health(&claim.id()).await.unwrap(), []);
    let stats = |id: &str, path: &str| {
        let (id, path) = (id.to_string(), world.target(path));
        let node = &node;
        async move { node.stats(&id, &path).await.map(drop) }
    };
    refused(stats(&claim.id(), "w").await, Code::NotFound, &[]);
    refused(stats("unknown", "v").await, Code::NotFound, &[]);
    refused(stats("", "v").await, Code::InvalidArgument, &[]);
    refused(node.stats(&claim.id(), "".as_ref()).await.map(drop), Code::InvalidArgument, &[]);
    refused(node.health("unknown").await.map(drop), Code::NotFound, &[]);
    refused(node.health("").await.map(drop), Code::InvalidArgument, &[]);
    // What somebody else took off is told as gone, and the next publish repairs it.
    super::shares::somebody_unmounts(&world.target("v"));
    assert_eq!(node.health(&claim.id()).await.unwrap()[0].reason, "NotMounted");
    refused(stats(&claim.id(), "v").await, Code::NotFound, &[]);
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    assert_eq!(node.health(&claim.id()).await.unwrap(), []);
    // A volume that could not be published has a health, too.
    let away = Claim { server: source::AWAY, uid: "11111111-d9cb-469f-a165-70867728950e".into(), ..claim };
    refused(node.publish(away.at(&world.target("w"))).await, Code::Unavailable, &[]);
    let health = node.health(&away.id()).await.unwrap();
    assert_eq!(health[0].reason, "PublishFailed");
    assert!(health[0].message.contains("no route to host"), "{}", health[0].message);
}

pub async fn stats_never_wait_for_a_silent_server(world: World) {
    let claim = Claim::of(&world.export("e"), "a");
    let node = world.node();
    node.publish(claim.at(&world.target("v"))).await.unwrap();
    node.publish(claim.at(&world.target("w"))).await.unwrap();
    let helper = helper(&node, &claim).await;
    let frozen = Stopped::by(helper, Signal::SIGSTOP);
    // No figures yet: at most the 2 s of a first answer.
    let started = Instant::now();
    refused(node.stats(&claim.id(), &world.target("v")).await.map(drop), Code::Unavailable, &[]);
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    // Once the look has failed: nothing is waited for, and health says why.
    tokio::time::sleep(Duration::from_secs(4)).await;
    drop(frozen);
    let started = Instant::now();
    let result = node.stats(&claim.id(), &world.target("v")).await.map(drop);
    refused(result, Code::Unavailable, &["did not answer"]);
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    let health = node.health(&claim.id()).await.unwrap();
    assert_eq!(health[0].reason, "ServerNotAnswering");
    // The server answers again: so do we.
    node.publish(claim.at(&world.target("x"))).await.unwrap();
    assert_eq!(node.health(&claim.id()).await.unwrap(), []);
}
