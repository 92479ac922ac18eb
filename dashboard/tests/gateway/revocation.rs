//! Transfers that run while their caller's rights go. Class of advisory in other file managers: a revoked share lives on.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use futures::stream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::world::{API, JANE, READER, World, bearer, with};

/// A change of rights acts in that time.
const ACTS_IN: Duration = Duration::from_secs(5);

/// Bytes without end, a few every 50 ms.
fn endless() -> Body {
    Body::from_stream(stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(b"more")), ()))
    }))
}

/// Reads until the body breaks; true if it does so in time, false if it ends as if it were whole.
async fn breaks(body: Incoming, since: Instant) -> bool {
    let read = timeout(ACTS_IN, body.collect()).await.expect("the transfer goes on");
    assert!(since.elapsed() < ACTS_IN);
    read.is_err()
}

async fn download(world: &World, request: Request<Body>) -> Incoming {
    world.files.answer(|_| async { Response::new(endless()) });
    let response = world.send(request).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    body
}

#[tokio::test]
async fn a_download_breaks_when_the_right_goes() {
    let world = World::start().await;
    let body = download(&world, bearer("GET", &format!("{API}/content/a"), READER)).await;
    let since = Instant::now();
    world.api.revoke(|grant| grant.subject == "reader" && grant.verb == "get");
    assert!(breaks(body, since).await);
}

#[tokio::test]
async fn a_download_breaks_when_the_token_goes() {
    let world = World::start().await;
    let body = download(&world, bearer("GET", &format!("{API}/content/a"), JANE)).await;
    let since = Instant::now();
    world.api.delete_token(JANE);
    assert!(breaks(body, since).await);
}

#[tokio::test]
async fn a_download_breaks_when_the_group_goes() {
    let world = World::start().await;
    let body = download(&world, bearer("GET", &format!("{API}/archive/a?format=zip"), JANE)).await;
    let since = Instant::now();
    world.api.put_token(JANE, serde_json::json!({"username": "jane"}), &[]);
    assert!(breaks(body, since).await);
}

#[tokio::test]
async fn a_download_breaks_at_the_logout() {
    let world = World::start().await;
    let (cookie, csrf) = world.log_in(JANE).await;
    let headers = [("cookie", cookie.as_str()), ("x-wfs-csrf", csrf.as_str())];
    let body = download(&world, with("GET", &format!("{API}/content/a"), &headers, Body::empty())).await;
    let since = Instant::now();
    assert_eq!(world.ask(with("POST", "/wfs/v1/logout", &headers, Body::empty())).await.status, 204);
    assert!(breaks(body, since).await);
}

#[tokio::test]
async fn a_download_breaks_when_the_file_system_is_deleted() {
    let world = World::start().await;
    let body = download(&world, bearer("GET", &format!("{API}/content/a"), JANE)).await;
    let since = Instant::now();
    assert!(world.api.delete("FileSystem", "ws", "default"));
    assert!(breaks(body, since).await);
}

#[tokio::test]
async fn an_upload_breaks_when_the_right_goes_and_is_not_taken_for_whole() {
    let world = World::start().await;
    let ended = Arc::new(Mutex::new(None));
    let end = ended.clone();
    world.files.answer(move |request: Request<Incoming>| {
        let end = end.clone();
        async move {
            let whole = request.into_body().collect().await.is_ok();
            *end.lock().unwrap() = Some(whole);
            Response::new(Body::from("stored"))
        }
    });
    let mut request = bearer("PUT", &format!("{API}/content/a"), JANE);
    *request.body_mut() = endless();
    let asking = world.ask(request);
    let revoking = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.api.revoke(|grant| grant.verb == "update");
    };
    let since = Instant::now();
    let (said, ()) = tokio::join!(timeout(ACTS_IN + Duration::from_secs(1), asking), revoking);
    let said = said.expect("the upload goes on");
    assert!(since.elapsed() < ACTS_IN + Duration::from_millis(300));
    assert_eq!(said.status, 403, "{said:?}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*ended.lock().unwrap(), Some(false));
}

#[tokio::test]
async fn a_transfer_whose_rights_stay_goes_on() {
    let world = World::start().await;
    let mut body = download(&world, bearer("GET", &format!("{API}/content/a"), JANE)).await;
    world.api.revoke(|grant| grant.subject == "reader");
    world.api.delete_token(READER);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(6) {
        assert!(body.frame().await.unwrap().is_ok());
    }
}
