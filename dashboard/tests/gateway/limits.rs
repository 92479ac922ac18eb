//! Too much of everything.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures::{future, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use workspacefs_dashboard::files::leash::LeashTimes;
use workspacefs_testkit::{Fault, Moment};

use crate::world::{API, JANE, JOE, PER_FILE_SYSTEM_MAX, PER_USER_MAX, READER, World, bearer, with};

#[tokio::test]
async fn headers_without_end_are_refused() {
    let world = World::start().await;
    let long = "x".repeat(70_000);
    let many: Vec<(String, String)> = (0..200).map(|n| (format!("x-{n}"), "x".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    for headers in [&[("x-long", long.as_str())][..], many.as_slice()] {
        // Where not all of it was read, the connection may be reset before the answer is.
        if let Ok(answer) = world.try_send(with("GET", "/wfs/v1/version", headers, Body::empty())).await {
            assert_eq!(answer.status(), 431);
        }
    }
    let fits = "x".repeat(20_000);
    assert_eq!(
        world.ask(with("GET", "/wfs/v1/version", &[("x-long", &fits)], Body::empty())).await.status,
        200
    );
}

#[tokio::test]
async fn one_users_transfers_do_not_take_anothers_place() {
    let world = World::start().await;
    world.files.answer(|_| async {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
        Response::new(Body::from_stream(futures::StreamExt::chain(first, stream::pending())))
    });
    let path = format!("{API}/content/a");
    let running = future::join_all((0..PER_USER_MAX).map(|_| world.send(bearer("GET", &path, JANE)))).await;
    assert!(running.iter().all(|response| response.status() == 200));
    let said = world.get(JANE, &path).await;
    assert_eq!((said.status.as_u16(), said.code().as_str(), said.header("retry-after")), (429, "Busy", "2"));
    assert_eq!(world.send(bearer("GET", &path, READER)).await.status(), 200);
    drop(running);
    let freed = async {
        while world.send(bearer("GET", &path, JANE)).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(5), freed).await.expect("nothing is given back");
}

#[tokio::test]
async fn users_together_do_not_take_all_of_a_file_system_and_those_of_another_lose_nothing() {
    let world = World::start().await;
    world.api.grant("joe", &["get", "list"], "filesystems/files", "ws", "default");
    world
        .files
        .answer(|_| async { Response::new(Body::from_stream(stream::pending::<std::io::Result<Bytes>>())) });
    let path = format!("{API}/content/a");
    let users = [JANE, READER].into_iter().flat_map(|user| std::iter::repeat_n(user, PER_USER_MAX));
    let users = users.take(PER_FILE_SYSTEM_MAX);
    let running = future::join_all(users.map(|user| world.send(bearer("GET", &path, user)))).await;
    assert!(running.iter().all(|response| response.status() == 200));
    let said = world.get(JOE, &path).await;
    assert_eq!((said.status.as_u16(), said.code().as_str(), said.header("retry-after")), (429, "Busy", "2"));
    assert!(said.json()["message"].as_str().unwrap().contains("this file system"), "{said:?}");
    // Behind its name here is the wrong server: that it is asked at all is what counts.
    let other = world.get(JOE, "/wfs/v1/workspaces/other/filesystems/default/api/content/a").await;
    assert_eq!(other.status, 502);
}

/// A connection of HTTP/2 whose streams take little ahead.
async fn over_http_2(world: &World) -> hyper::client::conn::http2::SendRequest<Body> {
    let mut tls = (*world.pki.client(None)).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(world.address).await.unwrap();
    let tls = TlsConnector::from(std::sync::Arc::new(tls));
    let stream = tls.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let mut builder = hyper::client::conn::http2::Builder::new(executor);
    builder.initial_stream_window_size(65_535);
    let (sender, connection) = builder.handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn callers_that_take_nothing_cost_the_others_on_their_connection_nothing() {
    let seconds = Duration::from_secs;
    let times = LeashTimes {
        review_every: Duration::from_millis(200),
        caller_idle_max: seconds(1),
        ..LeashTimes::default()
    };
    let world = World::built(&[], times).await;
    world.files.answer(|_| async {
        let much = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65_536])));
        Response::new(Body::from_stream(much))
    });
    let sender = over_http_2(&world).await;
    let get = |path: &str| {
        let request = axum::http::Request::builder().uri(format!("https://localhost{path}"));
        let request = request.header("authorization", format!("Bearer {JANE}"));
        let mut sender = sender.clone();
        async move { sender.send_request(request.body(Body::empty()).unwrap()).await }
    };
    let path = format!("{API}/content/a");
    let stalled = future::join_all((0..PER_USER_MAX).map(|_| get(&path))).await;
    assert!(stalled.iter().all(|answer| answer.as_ref().unwrap().status() == 200));
    assert_eq!(get(&path).await.unwrap().status(), 429);
    tokio::time::sleep(seconds(4)).await;
    world.files.answer(|_| async { Response::new(Body::from("x")) });
    let answer = timeout(seconds(5), get(&path)).await.expect("no answer");
    assert_eq!(answer.expect("the connection was closed").status(), 200, "their places are free");
    drop(stalled);
}

#[tokio::test]
async fn tokens_that_were_never_good_wait_by_themselves() {
    let world = World::start().await;
    assert_eq!(world.get(JANE, "/wfs/v1/session").await.status, 200);
    // As many as are asked about at once.
    let traps: Vec<_> = (0..8)
        .map(|_| world.api.trap(0, Moment::Before, Fault::Hold, |r| r.resource == "tokenreviews"))
        .collect();
    let unknown: Vec<String> = (0..100).map(|n| format!("unknown-{n}")).collect();
    let flood = future::join_all(unknown.iter().map(|token| world.get(token, "/wfs/v1/session")));
    let jane = async {
        future::join_all(traps).await;
        // Longer than an answer is believed.
        tokio::time::sleep(Duration::from_millis(2100)).await;
        timeout(Duration::from_secs(2), world.get(JANE, "/wfs/v1/session")).await
    };
    let (flood, jane) = tokio::join!(flood, jane);
    assert_eq!(jane.expect("she waits behind them").status, 200);
    let turned_away: Vec<_> = flood.iter().filter(|said| said.status == 429).collect();
    assert!(!turned_away.is_empty());
    assert!(turned_away.iter().all(|said| said.code() == "Busy" && said.header("retry-after") == "2"));
}

#[tokio::test]
async fn over_http_2_the_same_rules_hold() {
    let world = World::start().await;
    let (cookie, csrf) = world.log_in(JANE).await;
    let mut sender = over_http_2(&world).await;
    for (origin, status) in [("https://localhost", 200), ("https://evil.example", 403)] {
        let request = axum::http::Request::builder()
            .method("PUT")
            .uri(format!("https://localhost{API}/content/a%2F?x=%26"))
            .header("cookie", "a=b")
            .header("cookie", &cookie)
            .header("x-wfs-csrf", &csrf)
            .header("origin", origin);
        let answer = sender.send_request(request.body(Body::from("content")).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{origin}");
    }
    let seen = world.files.seen();
    assert_eq!((seen.len(), seen[0].request.as_str()), (1, "PUT /v1/content/a%2F?x=%26"));
}

#[tokio::test]
async fn rubbish_instead_of_http_ends_the_connection_and_nothing_else() {
    let world = World::start().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let tls = TlsConnector::from(world.pki.client(None));
    let mut stream = tls.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n\x00\x01rubbish\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    drop(timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("it stays open"));
    let mut plain = TcpStream::connect(world.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    drop(timeout(Duration::from_secs(5), plain.read_to_end(&mut answer)).await.expect("it stays open"));
    assert_eq!(world.ask(with("GET", "/wfs/v1/version", &[], Body::empty())).await.status, 200);
}
