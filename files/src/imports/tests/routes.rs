//! The routes: who may, which status, and nothing said that must not be.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use workspacefs_files_proto::{ASSERTION_HEADER, Claims, Signer, Verb, Verifier};
use workspacefs_testkit::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

use super::{World, resume_body, root};
use crate::app::{App, Settings, router};
use crate::metrics::Metrics;

const READ: &[Verb] = &[Verb::Read];
const WRITE: &[Verb] = &[Verb::Write];

struct Api {
    world: World,
    router: axum::Router,
    signer: Signer,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    json: Value,
}

impl Api {
    async fn new() -> Self {
        let world = World::new().await;
        let signer = Signer::from_pem(&Signer::generate_pem().unwrap()).unwrap();
        let verifier = Verifier::new(vec![signer.public_key()], "uid");
        let allow_endpoints = world.exceptions();
        let settings = Settings { trash_days: 1, upload_days: 1, allow_endpoints, rsync: None };
        let app = App::new(root(world.root.path()), verifier, settings, Metrics::default());
        Self { router: router(&app), world, signer }
    }

    /// Each answer is looked through for keys.
    async fn call(&self, verbs: &[Verb], method: &str, target: &str, body: impl Into<Body>) -> Answer {
        let now = u64::try_from(Timestamp::now().as_second()).unwrap();
        let claims = Claims::new("jane", "uid", verbs, format!("{method} {target}"), now);
        let request = Request::builder().method(method).uri(target);
        let request = request.header(ASSERTION_HEADER, self.signer.sign(&claims)).body(body.into()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, 16 << 20).await.unwrap();
        let text = format!("{:?} {}", parts.headers, String::from_utf8_lossy(&body));
        assert!(!text.contains(ACCESS_KEY_ID) && !text.contains(SECRET_ACCESS_KEY), "{text}");
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, json }
    }

    async fn ended(&self, id: &str) -> Value {
        for _ in 0..6000 {
            let import = self.call(READ, "GET", &format!("/v1/imports/{id}"), "").await.json;
            if import["state"] != "listing" && import["state"] != "running" {
                return import;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("it does not end");
    }
}

#[tokio::test]
async fn an_import_is_begun_shown_listed_and_forgotten() {
    let api = Api::new().await;
    api.world.store().put("photos/a", "content");
    api.world.store().put("../b", "x");
    let begun = api.call(WRITE, "POST", "/v1/imports", api.world.form().to_string()).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{}", begun.json);
    let id = begun.json["id"].as_str().unwrap().to_owned();
    assert!(["listing", "running", "done"].contains(&begun.json["state"].as_str().unwrap()));
    let import = api.ended(&id).await;
    assert_eq!(import["objects"], json!({ "total": 2, "done": 1, "skipped": 0, "failed": 1 }));
    assert_eq!((&import["state"], &import["failures"][0]["key"]), (&json!("done"), &json!("../b")));
    assert_eq!((&import["startedBy"], &import["bytes"]["total"]), (&json!("jane"), &json!(8)));
    assert_eq!(api.world.read("in/photos/a"), b"content");
    let list = api.call(READ, "GET", "/v1/imports", "").await;
    assert_eq!((list.status, &list.json[0]["id"]), (StatusCode::OK, &json!(id)));
    let resumed = api.call(WRITE, "POST", &format!("/v1/imports/{id}/resume"), resume_body()).await;
    assert_eq!((resumed.status, &resumed.json["code"]), (StatusCode::CONFLICT, &json!("Conflict")));
    let one = format!("/v1/imports/{id}");
    assert_eq!(api.call(WRITE, "DELETE", &one, "").await.status, StatusCode::NO_CONTENT);
    for (verbs, method, target) in [(READ, "GET", &one), (WRITE, "DELETE", &one)] {
        assert_eq!(api.call(verbs, method, target, "").await.status, StatusCode::NOT_FOUND);
    }
    let resumed = api.call(WRITE, "POST", &format!("{one}/resume"), resume_body()).await;
    assert_eq!((resumed.status, &resumed.json["code"]), (StatusCode::NOT_FOUND, &json!("NotFound")));
}

#[tokio::test]
async fn who_may_only_read_sees_imports_and_changes_none() {
    let api = Api::new().await;
    api.world.store().put("a", "x");
    assert_eq!(api.call(READ, "GET", "/v1/imports", "").await.json, json!([]));
    for (method, target) in
        [("POST", "/v1/imports"), ("POST", "/v1/imports/x/resume"), ("DELETE", "/v1/imports/x")]
    {
        let answer = api.call(READ, method, target, api.world.form().to_string()).await;
        assert_eq!((answer.status, &answer.json["code"]), (StatusCode::FORBIDDEN, &json!("Forbidden")));
    }
    assert_eq!(api.call(WRITE, "GET", "/v1/imports", "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(api.world.store().take_seen(), []);
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_field_and_without_keys() {
    let api = Api::new().await;
    api.world.store().put("a", "x");
    for (field, value) in [
        ("bucket", json!("other")),
        ("secretAccessKey", json!("x")),
        ("accessKeyId", json!("AKIDOFNOBODY")),
        ("endpoint", json!("http://10.0.0.1")),
        ("endpoint", json!(format!("{}/buck", api.world.service.endpoint()))),
        ("destination", json!("a/../b")),
    ] {
        let mut form = api.world.form();
        form[field] = value;
        let answer = api.call(WRITE, "POST", "/v1/imports", form.to_string()).await;
        assert_eq!((answer.status, &answer.json["field"]), (StatusCode::BAD_REQUEST, &json!(field)));
        assert!(answer.json["message"].as_str().is_some_and(|message| message.contains(": ")));
    }
    for body in ["".to_owned(), "{".to_owned(), json!([SECRET_ACCESS_KEY]).to_string()] {
        let answer = api.call(WRITE, "POST", "/v1/imports", body).await;
        assert_eq!((answer.status, &answer.json["code"]), (StatusCode::BAD_REQUEST, &json!("BadRequest")));
    }
    let long = api.call(WRITE, "POST", "/v1/imports", " ".repeat(20_000)).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
    api.world.store().on_request(|_, _| Some(workspacefs_testkit::s3::Fault::Error(503, "SlowDown")));
    let busy = api.call(WRITE, "POST", "/v1/imports", api.world.form().to_string()).await;
    assert_eq!((busy.status, &busy.json["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("Busy")));
    assert!(busy.headers.contains_key("retry-after"));
}
