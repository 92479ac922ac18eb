//! The port of a proxy that says by headers who calls.

use axum::body::Body;
use serde_json::json;

use crate::pki::Pki;
use crate::world::{API, JOE, World, login, with};

const JANE: [(&str, &str); 2] = [("x-remote-user", "jane"), ("x-remote-group", "team")];

#[tokio::test]
async fn only_the_proxys_certificate_opens_its_port() {
    let world = World::start().await;
    let session = || with("GET", "/wfs/v1/session", &JANE, Body::empty());
    assert!(world.by_proxy(None, session()).await.is_err());
    let forged = Pki::new().leaf("proxy");
    assert!(world.by_proxy(Some(&forged), session()).await.is_err());
    let own = world.pki.leaf("proxy");
    let said = world.by_proxy(Some(&own), session()).await.unwrap();
    assert_eq!((said.status.as_u16(), &said.json()["user"]), (200, &json!("jane")));
}

#[tokio::test]
async fn a_proxy_speaks_for_people_only_and_their_groups_count() {
    let world = World::start().await;
    let own = world.pki.leaf("proxy");
    let list = format!("{API}/list/");
    for (headers, status) in [
        (&JANE[..], 200),
        (&[("x-remote-user", "jane")], 404),
        (&[("x-remote-user", "jane"), ("x-remote-group", "x, team")], 200),
        (&[("x-remote-user", "jane"), ("x-remote-group", "team,system:masters")], 401),
        (&[("x-remote-user", "system:serviceaccount:ws:default"), ("x-remote-group", "team")], 401),
        (&[("x-remote-user", "jane"), ("x-remote-user", "joe"), ("x-remote-group", "team")], 401),
        (&[("x-remote-group", "team")], 401),
        (&[], 401),
    ] {
        let said = world.by_proxy(Some(&own), with("GET", &list, headers, Body::empty())).await.unwrap();
        assert_eq!(said.status, status, "{headers:?}");
    }
    let groups = world.api.reviews().pop().unwrap()["spec"]["groups"].take();
    assert!(groups.as_array().unwrap().contains(&json!("system:authenticated")), "{groups}");
}

#[tokio::test]
async fn behind_the_proxy_a_bearer_token_counts_more_and_changes_need_the_csrf_token() {
    let world = World::start().await;
    let own = world.pki.leaf("proxy");
    let token = format!("Bearer {JOE}");
    let both = [JANE[0], JANE[1], ("authorization", token.as_str())];
    let said =
        world.by_proxy(Some(&own), with("GET", "/wfs/v1/session", &both, Body::empty())).await.unwrap();
    assert_eq!(said.json()["user"], "joe");
    let put = |csrf: &str| {
        with("PUT", &format!("{API}/folders/a"), &[JANE[0], JANE[1], ("x-wfs-csrf", csrf)], Body::empty())
    };
    assert_eq!(world.by_proxy(Some(&own), put("")).await.unwrap().status, 403);
    let said =
        world.by_proxy(Some(&own), with("GET", "/wfs/v1/session", &JANE, Body::empty())).await.unwrap();
    let csrf = said.json()["csrf"].as_str().unwrap().to_owned();
    assert_eq!(world.by_proxy(Some(&own), put(&csrf)).await.unwrap().status, 200);
    assert!(!world.files.last().headers.contains_key("x-remote-user"));
    assert_eq!(world.by_proxy(Some(&own), login(&json!({"token": JOE}))).await.unwrap().status, 404);
}
