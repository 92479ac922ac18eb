//! All that the gateway asks of the API server: what its ClusterRole must allow, and nothing more.

use std::collections::BTreeSet;

use axum::body::Body;
use serde_json::json;

use crate::world::{API, JANE, World, login, with};

#[tokio::test]
async fn the_gateway_reads_our_kinds_and_the_namespaces_and_makes_reviews() {
    let world = World::start().await;
    world.ask(login(&json!({"token": JANE}))).await;
    for path in [
        "/wfs/v1/workspaces",
        "/wfs/v1/workspaces/ws/filesystems",
        "/wfs/v1/workspaces/ws/storage",
        "/wfs/v1/session",
    ] {
        assert_eq!(world.get(JANE, path).await.status, 200);
    }
    assert_eq!(world.get(JANE, &format!("{API}/list/")).await.status, 200);
    let token = format!("Bearer {JANE}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    world.ask(with("POST", "/wfs/v1/workspaces/ws/manifest", &headers, "{}")).await;
    world.ask(with("PUT", &format!("{API}/content/a"), &headers, Body::empty())).await;
    let requests = world.api.requests();
    let asked: BTreeSet<String> = requests
        .iter()
        .map(|r| format!("{:?} {}{}{}", r.verb, r.resource, r.subresource, r.namespace))
        .collect();
    let expected = [
        "Create subjectaccessreviews",
        "Create tokenreviews",
        "List filesystems",
        "List fscaches",
        "List localstorages",
        "List namespaces",
        "Watch filesystems",
        "Watch fscaches",
        "Watch localstorages",
        "Watch namespaces",
    ];
    assert_eq!(asked.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let lists = requests.iter().filter(|r| r.verb == workspacefs_testkit::Verb::List).count();
    assert_eq!(lists, 4, "nothing is polled");
}
