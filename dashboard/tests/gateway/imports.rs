//! Imports run on without a request; the rights of who began them count all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{sleep, timeout};
use workspacefs_dashboard::files::imports::GATEWAY_USER;
use workspacefs_files_proto::Verb;

use crate::fake_files::Seen;
use crate::world::{API, JANE, READER, World, with};

/// A change of rights acts in that time.
const ACTS_IN: Duration = Duration::from_secs(5);
const KEYS: &str = r#"{"accessKeyId":"a","secretAccessKey":"b"}"#;

/// A file API with one import, which runs until it is told to end.
struct Shop {
    world: World,
    runs: Arc<AtomicBool>,
    /// So many requests to cancel it fail.
    failing: Arc<AtomicUsize>,
}

impl Shop {
    async fn start() -> Self {
        let world = World::start().await;
        let (runs, failing) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (running, fails) = (runs.clone(), failing.clone());
        world.files.answer(move |request: Request<Incoming>| {
            let (running, fails) = (running.clone(), fails.clone());
            async move {
                let is_begun = request.uri().path() == "/v1/imports";
                let status = match request.method().as_str() {
                    "POST" if is_begun => 201,
                    "DELETE" if fails.load(Ordering::Relaxed) > 0 => {
                        fails.fetch_sub(1, Ordering::Relaxed);
                        503
                    }
                    "DELETE" => {
                        running.store(false, Ordering::Relaxed);
                        204
                    }
                    _ => 200,
                };
                if is_begun {
                    sleep(Duration::from_millis(200)).await;
                }
                let state = if running.load(Ordering::Relaxed) { "running" } else { "done" };
                let body = format!(r#"{{"id":"i1","state":"{state}","startedBy":"jane","failures":[]}}"#);
                Response::builder().status(status).body(Body::from(body)).unwrap()
            }
        });
        Self { world, runs, failing }
    }

    fn request(token: &str, path: &str) -> Request<Body> {
        let token = format!("Bearer {token}");
        with("POST", &format!("{API}/{path}"), &[("authorization", &token)], KEYS)
    }

    async fn begun(token: &str) -> Self {
        let shop = Self::start().await;
        let said = shop.world.ask(Self::request(token, "imports")).await;
        assert_eq!((said.status.as_u16(), said.json()["id"].as_str()), (201, Some("i1")));
        assert_eq!(shop.world.gateway.imports.count(), 1);
        shop
    }

    fn cancels(&self) -> Vec<Seen> {
        let seen = self.world.files.seen();
        seen.into_iter().filter(|seen| seen.request == "DELETE /v1/imports/i1").collect()
    }

    async fn is_cancelled(&self) {
        let since = Instant::now();
        let cancelled = async {
            while self.cancels().is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(ACTS_IN, cancelled).await.expect("the import goes on");
        assert!(since.elapsed() < ACTS_IN);
        let claims = self.cancels()[0].claims.clone().expect("its assertion is not good");
        assert_eq!((claims.user.as_str(), claims.verbs.as_slice()), (GATEWAY_USER, &[Verb::Write][..]));
    }

    async fn is_forgotten(&self) {
        let forgotten = async {
            while self.world.gateway.imports.count() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(ACTS_IN, forgotten).await.expect("it is not forgotten");
    }

    async fn goes_on(&self) {
        sleep(Duration::from_secs(6)).await;
        assert!(self.cancels().is_empty());
        assert_eq!(self.world.gateway.imports.count(), 1);
    }
}

#[tokio::test]
async fn an_import_is_cancelled_when_the_right_of_who_began_it_goes() {
    let shop = Shop::begun(JANE).await;
    shop.world.api.revoke(|grant| grant.verb == "update");
    shop.is_cancelled().await;
    shop.is_forgotten().await;
}

#[tokio::test]
async fn an_import_is_cancelled_when_the_token_goes_and_again_until_the_file_api_does_it() {
    let shop = Shop::begun(JANE).await;
    shop.failing.store(2, Ordering::Relaxed);
    shop.world.api.delete_token(JANE);
    shop.is_cancelled().await;
    shop.is_forgotten().await;
    assert_eq!(shop.cancels().len(), 3);
}

#[tokio::test]
async fn an_import_goes_on_while_its_rights_stay_after_a_logout_too() {
    let shop = Shop::start().await;
    let (cookie, csrf) = shop.world.log_in(JANE).await;
    let headers = [("cookie", cookie.as_str()), ("x-wfs-csrf", csrf.as_str())];
    assert_eq!(shop.world.ask(with("POST", &format!("{API}/imports"), &headers, KEYS)).await.status, 201);
    assert_eq!(shop.world.ask(with("POST", "/wfs/v1/logout", &headers, Body::empty())).await.status, 204);
    shop.world.api.revoke(|grant| grant.subject == "reader");
    shop.world.api.delete_token(READER);
    shop.goes_on().await;
}

#[tokio::test]
async fn whoever_resumes_an_import_answers_for_it_from_then_on() {
    let shop = Shop::begun(JANE).await;
    shop.world.api.grant("reader", &["create", "update"], "filesystems/files", "ws", "default");
    // Jane's rights were looked at a moment ago; the reader's lack of one was not.
    assert_eq!(shop.world.ask(Shop::request(READER, "imports/i1/resume")).await.status, 200);
    shop.world.api.delete_token(JANE);
    shop.goes_on().await;
    shop.world.api.revoke(|grant| grant.subject == "reader" && grant.verb == "create");
    shop.is_cancelled().await;
}

#[tokio::test]
async fn an_import_that_has_ended_is_not_forgotten_by_the_file_api_when_the_right_goes() {
    let shop = Shop::begun(JANE).await;
    shop.runs.store(false, Ordering::Relaxed);
    shop.world.api.delete_token(JANE);
    shop.is_forgotten().await;
    assert!(shop.cancels().is_empty());
}

#[tokio::test]
async fn an_import_whose_beginner_did_not_wait_for_the_answer_is_watched_too() {
    let shop = Shop::start().await;
    let asking = shop.world.send(Shop::request(JANE, "imports"));
    assert!(timeout(Duration::from_millis(100), asking).await.is_err(), "it was answered");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(shop.world.gateway.imports.count(), 1);
    shop.world.api.delete_token(JANE);
    shop.is_cancelled().await;
}
