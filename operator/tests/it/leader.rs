//! One operator works at a time.

use std::time::{Duration, Instant};

use serde_json::json;
use workspacefs_operator::RunError;
use workspacefs_operator::lease::LostLease;
use workspacefs_testkit::Fault;
use workspacefs_testkit::Moment;
use workspacefs_testkit::faults::Outage;

use crate::world::*;

const SYSTEM: &str = "workspacefs-system";
const LEASE: &str = "workspacefs-operator";

fn holder(api: &workspacefs_testkit::FakeApi) -> String {
    let lease: Option<serde_json::Value> = api.find("Lease", SYSTEM, LEASE);
    lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(String::from)).unwrap_or_default()
}

async fn until_held_by(api: &workspacefs_testkit::FakeApi, name: &str) {
    api.until(&format!("{name} leads"), |api| holder(api) == name).await;
}

#[tokio::test]
async fn of_two_only_the_leader_watches_and_writes() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let _a = Operator::with_lease(&api, "a", config(), LONG_LEASE);
    until_held_by(&api, "a").await;
    let _b = Operator::with_lease(&api, "b", config(), LONG_LEASE);
    put_nfs(&api, "data", nfs.port);
    until_bound(&api, "data").await;
    api.settled(QUIET).await;
    assert!(api.requests().iter().any(|r| r.client == "b"), "b never looked at the lease");
    let of_b: Vec<_> = requests(&api).into_iter().filter(|r| r.client == "b").collect();
    assert!(of_b.is_empty(), "{of_b:?}");
    assert!(!api.requests().iter().any(|r| r.client == "b" && r.is_write()), "b wrote the lease");
}

#[tokio::test]
async fn a_leader_that_is_stopped_hands_over_at_once_and_one_that_is_killed_after_the_lease_has_run_out() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let a = Operator::with_lease(&api, "a", config(), QUICK_LEASE);
    until_held_by(&api, "a").await;
    let b = Operator::with_lease(&api, "b", config(), QUICK_LEASE);
    let start = Instant::now();
    a.stop().await;
    until_held_by(&api, "b").await;
    assert!(start.elapsed() < QUICK_LEASE.duration, "the lease was not released: {:?}", start.elapsed());

    let _c = Operator::with_lease(&api, "c", config(), QUICK_LEASE);
    // c must have seen the lease as b last renewed it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let killed = Instant::now();
    b.kill().await;
    until_held_by(&api, "c").await;
    let waited = killed.elapsed();
    assert!(waited >= QUICK_LEASE.duration - QUICK_LEASE.retry * 2, "taken from a living leader: {waited:?}");
    put_nfs(&api, "data", nfs.port);
    until_bound(&api, "data").await;
}

#[tokio::test]
async fn a_leader_whose_lease_was_taken_ends_without_another_write() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let a = Operator::with_lease(&api, "a", config(), QUICK_LEASE);
    until_held_by(&api, "a").await;
    api.edit("Lease", SYSTEM, LEASE, |lease| lease["spec"]["holderIdentity"] = json!("thief"));
    let error = a.ended().await;
    assert!(matches!(&error, RunError::Lease(LostLease::Taken(who)) if who == "thief"), "{error:?}");
    put_nfs(&api, "data", nfs.port);
    api.settled(QUIET).await;
    assert!(writes(&api).is_empty());
    assert_eq!(holder(&api), "thief", "a lease that is not ours was released");
}

#[tokio::test]
async fn a_leader_that_cannot_renew_ends_before_others_may_take_over() {
    let api = api().await;
    let a = Operator::with_lease(&api, "a", config(), QUICK_LEASE);
    until_held_by(&api, "a").await;
    let start = Instant::now();
    api.set_outage(Outage::Silent);
    let error = a.ended().await;
    assert!(matches!(error, RunError::Lease(LostLease::NotRenewed(_))), "{error:?}");
    assert!(start.elapsed() < QUICK_LEASE.duration, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_stop_lets_the_running_pass_end_before_the_lease_is_given_back() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let a = Operator::with_lease(&api, "a", config(), LONG_LEASE);
    until_held_by(&api, "a").await;
    // The answer to the volume's creation is lost in a silence, in which the stop arrives.
    let made = api.trap(0, Moment::After, Fault::Status(504), |r| r.resource == "persistentvolumes");
    put_nfs(&api, "data", nfs.port);
    let request = made.await.unwrap();
    assert_eq!(request.client, "a");
    a.stop().await;
    assert_eq!(holder(&api), "");
    let requests = api.requests();
    let of_a = requests.iter().rfind(|r| r.client == "a" && r.is_write()).unwrap();
    assert_eq!(of_a.resource, "leases", "it wrote after it had given the lease back: {of_a:?}");
    let _b = Operator::start(&api, "b", config());
    until_bound(&api, "data").await;
}
