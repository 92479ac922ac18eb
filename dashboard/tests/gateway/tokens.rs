//! Tokens: good, bad, of others, and gone.

use std::time::{Duration, Instant};

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use workspacefs_api::TOKEN_AUDIENCE;
use workspacefs_testkit::API_AUDIENCE;

use crate::world::{API, JANE, JOE, READER, World, bearer, with};

#[tokio::test]
async fn without_a_good_token_nothing_is_said_and_nothing_passes() {
    let world = World::start().await;
    let list = format!("{API}/list/");
    for path in [
        &list,
        "/wfs/v1/session",
        "/wfs/v1/workspaces",
        "/wfs/v1/workspaces/ws/filesystems",
        "/wfs/v1/workspaces/ws/storage",
    ] {
        for headers in [
            &[][..],
            &[("authorization", "Bearer unknown")],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer")],
            &[("authorization", "Basic amFuZTp4")],
            &[("authorization", "Bearer token-of-jane"), ("authorization", "Bearer token-of-joe")],
            &[("cookie", "__Host-wfs=forged")],
            &[("cookie", "__Host-wfs=token-of-jane")],
            &[("x-remote-user", "jane"), ("x-remote-group", "team")],
            &[("x-forwarded-user", "jane"), ("impersonate-user", "jane")],
        ] {
            let said = world.ask(with("GET", path, headers, Body::empty())).await;
            assert_eq!(
                (said.status.as_u16(), said.code().as_str()),
                (401, "Unauthenticated"),
                "{path} {headers:?}"
            );
        }
    }
    assert!(world.files.seen().is_empty());
}

#[tokio::test]
async fn a_bad_bearer_token_is_not_made_good_by_a_good_cookie() {
    let world = World::start().await;
    let (cookie, _) = world.log_in(JANE).await;
    let headers = [("authorization", "Bearer unknown"), ("cookie", cookie.as_str())];
    let said = world.ask(with("GET", "/wfs/v1/session", &headers, Body::empty())).await;
    assert_eq!(said.status, 401);
}

#[tokio::test]
async fn what_is_anothers_reads_as_if_it_were_not_there() {
    let world = World::start().await;
    world.api.put_token("stranger", json!({"username": "stranger"}), &[]);
    for (method, path) in [
        ("GET", "list/"),
        ("GET", "content/a"),
        ("PUT", "content/a"),
        ("DELETE", "content/a"),
        ("POST", "uploads"),
    ] {
        let mut answers = Vec::new();
        for (token, ws, fs) in [
            (JOE, "ws", "default"),
            (JOE, "nowhere", "default"),
            (JOE, "ws", "nothing"),
            ("stranger", "ws", "default"),
            (JOE, "other", "nothing"),
        ] {
            let path = format!("/wfs/v1/workspaces/{ws}/filesystems/{fs}/api/{path}");
            let said = world.ask(bearer(method, &path, token)).await;
            answers.push((said.status, said.bytes, said.headers.len()));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 404), "{answers:?}");
    }
    for path in ["filesystems", "storage"] {
        let of = async |ws: &str| {
            let said = world.get(JOE, &format!("/wfs/v1/workspaces/{ws}/{path}")).await;
            (said.status.as_u16(), said.bytes)
        };
        let (there, not_there) = (of("ws").await, of("nowhere").await);
        assert_eq!((there.0, &there), (404, &not_there));
    }
    assert!(world.files.seen().is_empty());
}

#[tokio::test]
async fn a_namespace_that_is_no_workspace_is_none_whatever_the_rights() {
    let world = World::start().await;
    world.api.grant("jane", &["*"], "*", "plain", "*");
    let said = world.get(JANE, "/wfs/v1/workspaces/plain/filesystems/default/api/list/").await;
    assert_eq!(said.status, 404);
    assert_eq!(world.get(JANE, "/wfs/v1/workspaces/plain/filesystems").await.status, 404);
}

#[tokio::test]
async fn each_request_takes_its_own_right_and_half_of_one_is_none() {
    let world = World::start().await;
    for (method, path, status) in [
        ("GET", "list/", 200),
        ("GET", "content/a", 200),
        ("PUT", "content/a", 403),
        ("DELETE", "content/a", 403),
        ("POST", "move", 403),
        ("POST", "copy", 403),
        ("POST", "uploads", 403),
        ("GET", "uploads", 403),
        ("DELETE", "trash", 403),
        ("POST", "imports", 403),
    ] {
        let said = world.ask(bearer(method, &format!("{API}/{path}"), READER)).await;
        assert_eq!(said.status, status, "{method} {path}: {said:?}");
    }
    // One verb of two: a role that lets nobody list does not let them list.
    world.api.put_token("half", json!({"username": "half"}), &[]);
    world.api.grant("half", &["get"], "filesystems/files", "ws", "default");
    assert_eq!(world.get("half", &format!("{API}/content/a")).await.status, 404);
    // Moving takes the place that is left too.
    world.api.put_token("writer", json!({"username": "writer"}), &[]);
    world.api.grant("writer", &["create", "update"], "filesystems/files", "ws", "default");
    let said = world.ask(bearer("POST", &format!("{API}/move"), "writer")).await;
    assert_eq!(
        (said.status.as_u16(), said.json()["message"].as_str().unwrap()),
        (403, "you may not delete here")
    );
}

#[tokio::test]
async fn a_deleted_token_and_taken_rights_act_within_seconds() {
    let world = World::start().await;
    let path = format!("{API}/list/");
    assert_eq!(world.get(JANE, &path).await.status, 200);
    assert_eq!(world.get(READER, &path).await.status, 200);
    world.api.delete_token(JANE);
    world.api.revoke(|grant| grant.subject == "reader");
    let since = Instant::now();
    for (token, status) in [(JANE, 401), (READER, 404)] {
        while world.get(token, &path).await.status != status {
            assert!(since.elapsed() < Duration::from_secs(4), "{token} still works");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn reviews_are_asked_with_all_that_is_known_and_seldom() {
    let world = World::start().await;
    let path = format!("{API}/list/");
    for _ in 0..20 {
        assert_eq!(world.get(JANE, &path).await.status, 200);
    }
    let reviews = world.api.reviews();
    let tokens = reviews.iter().filter(|review| review["kind"] == "TokenReview").count();
    let access: Vec<_> = reviews.iter().filter(|review| review["kind"] == "SubjectAccessReview").collect();
    assert!(tokens <= 3 && access.len() <= 6, "{tokens} {}", access.len());
    for review in access {
        let spec = &review["spec"];
        assert_eq!(
            (&spec["user"], &spec["groups"], &spec["uid"]),
            (&json!("jane"), &json!(["team"]), &json!("7"))
        );
        assert_eq!(spec["extra"], json!({"scopes": ["files"]}));
    }
}

#[tokio::test]
async fn a_token_for_another_audience_is_not_for_us() {
    let world = World::with(&["wfs"]).await;
    world.api.put_token("elsewhere", json!({"username": "jane", "groups": ["team"]}), &["vault"]);
    assert_eq!(world.get(JANE, "/wfs/v1/session").await.status, 200);
    assert_eq!(world.get("elsewhere", "/wfs/v1/session").await.status, 401);
}

/// What a token says of itself, as a JWT says it. The fake API server knows by its list alone whether that is true.
fn jwt(audiences: &[&str]) -> String {
    let claims = json!({"sub": "jane", "aud": audiences}).to_string();
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

fn audiences_asked(world: &World) -> Vec<Value> {
    let tokens = world.api.reviews().into_iter().filter(|review| review["kind"] == "TokenReview");
    tokens.map(|review| review["spec"]["audiences"].clone()).collect()
}

#[tokio::test]
async fn by_default_a_token_for_the_gateway_alone_is_taken_and_one_for_another_service_is_not() {
    let world = World::start().await;
    let jane = json!({"username": "jane", "groups": ["team"]});
    let ask = async |token: &str, audiences: &[&str]| {
        world.api.put_token(token, jane.clone(), audiences);
        world.get(token, "/wfs/v1/session").await.status.as_u16()
    };
    let ours = jwt(&[TOKEN_AUDIENCE]);
    assert_eq!(ask(&ours, &[TOKEN_AUDIENCE]).await, 200);
    assert_eq!(audiences_asked(&world), [json!([TOKEN_AUDIENCE])], "one question is enough");
    assert_eq!(world.get(&ours, &format!("{API}/list/")).await.status, 200);
    assert_eq!(ask(&jwt(&["vault", TOKEN_AUDIENCE]), &["vault", TOKEN_AUDIENCE]).await, 200);
    assert_eq!(ask(&jwt(&[API_AUDIENCE]), &[API_AUDIENCE]).await, 200);
    for other in ["vault", "workspacefs.io.example.com", "wfs"] {
        assert_eq!(ask(&jwt(&[other]), &[other]).await, 401, "{other}");
    }
}

#[tokio::test]
async fn what_a_token_says_of_its_audience_is_not_believed() {
    let world = World::start().await;
    let jane = json!({"username": "jane", "groups": ["team"]});
    let claiming = jwt(&[TOKEN_AUDIENCE, "claims"]);
    let session = async |token: &str| world.get(token, "/wfs/v1/session").await.status.as_u16();
    // Nobody's; and another service's, by the API server's word.
    assert_eq!(session(&claiming).await, 401);
    let other = jwt(&[TOKEN_AUDIENCE, "other"]);
    world.api.put_token(&other, jane.clone(), &["vault"]);
    assert_eq!(session(&other).await, 401);
    // An issuer's, whose client id happens to be ours: it is for the API server, as it was before.
    let issued = jwt(&[TOKEN_AUDIENCE, "issued"]);
    world.api.put_token(&issued, jane, &[API_AUDIENCE]);
    assert_eq!(session(&issued).await, 200);
}

#[tokio::test]
async fn configured_audiences_are_exact() {
    let world = World::with(&["wfs"]).await;
    let ours = jwt(&[TOKEN_AUDIENCE]);
    world.api.put_token(&ours, json!({"username": "jane", "groups": ["team"]}), &[TOKEN_AUDIENCE]);
    assert_eq!(world.get(&ours, "/wfs/v1/session").await.status, 401);
    assert_eq!(audiences_asked(&world), [json!(["wfs"])]);
}

#[tokio::test]
async fn without_the_api_server_nobody_gets_in() {
    let world = World::start().await;
    world.api.set_outage(workspacefs_testkit::faults::Outage::Refusing);
    let said = world.get(JANE, &format!("{API}/list/")).await;
    assert_eq!((said.status.as_u16(), said.code().as_str()), (502, "Unreachable"));
    assert!(world.files.seen().is_empty());
}
