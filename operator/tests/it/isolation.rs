//! Condition Isolated: the pod that tries, and what the operator makes of it.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use workspacefs_operator::config::Config;
use workspacefs_operator::isolation_probe;
use workspacefs_operator::probe::Target;
use workspacefs_runtime::CancellationToken;
use workspacefs_testkit::{FakeApi, builders};

use crate::embedded::*;
use crate::world::*;

const SERVICE: &str = "workspacefs-isolation-probe";

fn isolation_config() -> Config {
    Config { isolation_probe: Some(SERVICE.into()), ..embedded_config() }
}

/// A probe that tries that address, behind its Service.
async fn start_probe(api: &FakeApi, server: &str, port: u16) -> CancellationToken {
    let address = fresh_address();
    api.put(&builders::service(SYSTEM, SERVICE, &address));
    let listener = TcpListener::bind((address.as_str(), 9814)).await.unwrap();
    let target = Target { server: server.into(), port, version: 4 };
    let stop = CancellationToken::new();
    tokio::spawn(isolation_probe::run(target, listener, Duration::from_millis(100), stop.clone()));
    stop
}

#[tokio::test]
async fn a_server_that_any_pod_reaches_is_not_isolated_and_the_remedy_is_said() {
    let api = api().await;
    let server = Embedded::start(&api).await;
    api.put(&builders::file_system(SPACE, "data", builders::managed("1Gi")));
    let _probe = start_probe(&api, &server.address, 2049).await;
    let _operator = Operator::start(&api, "a", isolation_config());
    let message = until_reason(&api, "data", "Isolated", "Reached").await;
    assert_eq!(condition(&api, "data", "Isolated").unwrap().status, "False");
    for word in [server.address.as_str(), "NetworkPolicy", "nfsServer.nodeCIDRs"] {
        assert!(message.contains(word), "{message}");
    }
    assert!(has_reason(&api, "data", "Bound"));
}

#[tokio::test]
async fn a_probe_that_is_kept_out_of_a_server_that_is_up_proves_it() {
    let api = api().await;
    let mut server = Embedded::start(&api).await;
    api.put(&builders::file_system(SPACE, "data", builders::managed("1Gi")));
    // What a policy of the network would do, a closed port does here.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let probe = start_probe(&api, "127.0.0.1", closed).await;
    let _operator = Operator::start(&api, "a", isolation_config());
    until_reason(&api, "data", "Isolated", "KeptOut").await;
    assert_eq!(condition(&api, "data", "Isolated").unwrap().status, "True");

    server.stop().await;
    until_reason(&api, "data", "Isolated", "ServerAway").await;
    assert_eq!(condition(&api, "data", "Isolated").unwrap().status, "Unknown");
    server.resume(&api).await;
    until_reason(&api, "data", "Isolated", "KeptOut").await;

    probe.cancel();
    until_reason(&api, "data", "Isolated", "ProbeSilent").await;
    api.settled(QUIET).await;
    let before = writes(&api).len();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(writes(&api).len(), before, "{:?}", &writes(&api)[before..]);
}

#[tokio::test]
async fn a_probe_that_is_not_there_proves_nothing() {
    let api = api().await;
    let _server = Embedded::start(&api).await;
    api.put(&builders::file_system(SPACE, "data", builders::managed("1Gi")));
    let _operator = Operator::start(&api, "a", isolation_config());
    let message = until_reason(&api, "data", "Isolated", "ProbeSilent").await;
    assert!(message.contains(SERVICE), "{message}");
    assert_eq!(at(&condition(&api, "data", "Isolated").unwrap(), "/status"), json!("Unknown"));
}
