//! The API server away, slow or forgetful.

use std::time::Duration;

use tokio::time::sleep;
use workspacefs_testkit::faults::Outage;
use workspacefs_testkit::{Fault, Moment};

use crate::world::*;

async fn survives(outage: Outage) {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let _operator = Operator::start(&api, "a", config());
    put_nfs(&api, "before", nfs.port);
    put_nfs(&api, "leaving", nfs.port);
    until_bound(&api, "before").await;
    until_bound(&api, "leaving").await;
    api.set_outage(outage);
    sleep(Duration::from_millis(300)).await;
    put_nfs(&api, "meanwhile", nfs.port);
    api.delete("PersistentVolumeClaim", SPACE, "before");
    api.delete("FileSystem", SPACE, "leaving");
    sleep(Duration::from_secs(3)).await;
    api.set_outage(Outage::None);
    until_bound(&api, "meanwhile").await;
    api.until("the claim is back", |api| {
        claim(api, SPACE, "before").is_some_and(|claim| at(&claim, "/status/phase") == "Bound")
    })
    .await;
    api.until("the deleted one is gone", |api| file_system(api, SPACE, "leaving").is_none()).await;
    api.settled(QUIET).await;
    assert_eq!(api.all("PersistentVolume").len(), 2);
    assert_eq!(api.all("PersistentVolumeClaim").len(), 2);
}

#[tokio::test]
async fn an_api_server_that_refused_for_a_while_is_caught_up_with() {
    survives(Outage::Refusing).await;
}

#[tokio::test]
async fn an_api_server_that_was_silent_for_a_while_is_caught_up_with() {
    survives(Outage::Silent).await;
}

#[tokio::test]
async fn an_outage_longer_than_the_lease_ends_the_operator_and_the_next_one_completes() {
    let (api, nfs) = (api().await, NfsServer::start().await);
    let operator = Operator::with_lease(&api, "a", config(), QUICK_LEASE);
    put_nfs(&api, "before", nfs.port);
    until_bound(&api, "before").await;
    api.set_outage(Outage::Refusing);
    api.delete("PersistentVolumeClaim", SPACE, "before");
    operator.ended().await;
    put_nfs(&api, "meanwhile", nfs.port);
    // As kubelet does.
    let _again = Operator::with_lease(&api, "a", config(), QUICK_LEASE);
    sleep(Duration::from_millis(500)).await;
    api.set_outage(Outage::None);
    until_bound(&api, "meanwhile").await;
    until_bound(&api, "before").await;
}

#[tokio::test]
async fn a_connection_cut_at_any_write_is_made_good_by_the_next_pass() {
    let mut struck = 0;
    for nth in 0.. {
        let (api, nfs) = (api().await, NfsServer::start().await);
        let mut sprung = Vec::new();
        for moment in [Moment::Before, Moment::After] {
            sprung.push(api.trap(nth, moment, Fault::Cut, |r| r.resource != "leases"));
        }
        put_nfs(&api, "data", nfs.port);
        let _operator = Operator::start(&api, "a", config());
        until_bound(&api, "data").await;
        until_reason(&api, "data", "Reachable", "Answered").await;
        api.settled(QUIET).await;
        assert_eq!(api.all("PersistentVolume").len(), 1);
        assert_eq!(api.all("PersistentVolumeClaim").len(), 1);
        if sprung.iter_mut().all(|sprung| sprung.try_recv().is_err()) {
            break;
        }
        struck += 1;
    }
    assert!(struck >= 5, "only {struck} writes were cut");
}
