//! What reaches the file API, and what comes back.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use workspacefs_files_proto::Verb;

use crate::world::{API, JANE, READER, World, bearer, with};

type Chunk = Result<Bytes, std::io::Error>;

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

#[tokio::test]
async fn the_file_api_gets_the_same_bytes_and_the_gateways_word_only() {
    let world = World::start().await;
    let headers = [
        ("authorization", "Bearer token-of-jane"),
        ("workspacefs-assertion", "forged.forged"),
        ("x-forwarded-user", "root"),
        ("x-http-method-override", "DELETE"),
        ("range", "bytes=0-1"),
        ("if-none-match", "\"1\""),
    ];
    for (method, path, target, verbs) in [
        (
            "GET",
            "list/a%FF%2F/..?limit=5&cursor=%26",
            "/v1/list/a%FF%2F/..?limit=5&cursor=%26",
            vec![Verb::Read],
        ),
        ("GET", "content//a//b%20c?preview=1&x=1", "/v1/content//a//b%20c?x=1", vec![Verb::Read]),
        ("DELETE", "content/a?recursive=true", "/v1/content/a?recursive=true", vec![Verb::Delete]),
        ("PUT", "folders/%E2%80%AE", "/v1/folders/%E2%80%AE", vec![Verb::Write]),
    ] {
        let said = world.ask(with(method, &format!("{API}/{path}"), &headers, Body::empty())).await;
        assert_eq!(said.status, 200);
        let seen = world.files.last();
        assert_eq!(seen.request, format!("{method} {target}"));
        let claims = seen.claims.unwrap();
        assert_eq!((claims.user.as_str(), &claims.fs, &claims.verbs), ("jane", &world.uid, &verbs));
        for name in ["authorization", "cookie", "x-forwarded-user", "x-http-method-override"] {
            assert!(!seen.headers.contains_key(name), "{name}");
        }
        assert_eq!(seen.headers["range"], "bytes=0-1");
        assert!(
            !seen.headers.values().any(|value| value.as_bytes().windows(13).any(|w| w == JANE.as_bytes()))
        );
    }
}

#[tokio::test]
async fn moves_name_their_paths_and_arrive_whole() {
    let world = World::start().await;
    world.files.answer(|request: Request<Incoming>| async move {
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        answer(200, &[("content-type", "application/json")], bytes)
    });
    let body = r#"{"from":"a%0A","to":"b"}"#;
    let headers = [("authorization", "Bearer token-of-jane"), ("content-type", "application/json")];
    let said = world.ask(with("POST", &format!("{API}/move"), &headers, body)).await;
    assert_eq!((said.status.as_u16(), said.bytes.as_slice()), (200, body.as_bytes()));
    assert_eq!(world.files.last().claims.unwrap().verbs, [Verb::Write, Verb::Delete]);
    let said = world.ask(with("POST", &format!("{API}/move"), &headers, "x".repeat(70_000))).await;
    assert_eq!(said.status, 413);
}

#[tokio::test]
async fn an_upload_reaches_the_file_api_while_it_is_still_being_sent() {
    let world = World::start().await;
    let (got, mut arrived) = mpsc::channel(8);
    world.files.answer(move |request: Request<Incoming>| {
        let got = got.clone();
        async move {
            let mut body = request.into_body();
            let mut total = 0;
            while let Some(frame) = body.frame().await {
                let length = frame.unwrap().into_data().unwrap().len();
                total += length;
                got.send(total).await.unwrap();
            }
            answer(201, &[("content-type", "application/json")], total.to_string())
        }
    });
    let (send, chunks) = mpsc::channel::<Chunk>(1);
    let mut request = bearer("PUT", &format!("{API}/content/a"), JANE);
    *request.body_mut() = Body::from_stream(ReceiverStream::new(chunks));
    let sending = async {
        send.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
        let first = timeout(Duration::from_secs(5), arrived.recv()).await;
        assert_eq!(first.expect("nothing arrived before the end"), Some(5));
        send.send(Ok(Bytes::from_static(b"second"))).await.unwrap();
        drop(send);
        while arrived.recv().await != Some(11) {}
    };
    let (said, ()) = tokio::join!(world.ask(request), sending);
    assert_eq!((said.status.as_u16(), said.bytes.as_slice()), (201, &b"11"[..]));
}

#[tokio::test]
async fn a_download_reaches_the_caller_while_the_file_api_still_sends() {
    let world = World::start().await;
    let (send, chunks) = mpsc::channel::<Chunk>(1);
    let chunks = std::sync::Mutex::new(Some(chunks));
    world.files.answer(move |_| {
        let chunks = chunks.lock().unwrap().take().unwrap();
        async move { answer(200, &[("content-length", "8")], Body::from_stream(ReceiverStream::new(chunks))) }
    });
    send.send(Ok(Bytes::from_static(b"1234"))).await.unwrap();
    let response = world.send(bearer("GET", &format!("{API}/content/a"), JANE)).await;
    assert_eq!(response.headers()["content-length"], "8");
    let mut body = response.into_body();
    let first = timeout(Duration::from_secs(5), body.frame()).await.expect("nothing before the end");
    assert_eq!(first.unwrap().unwrap().into_data().unwrap(), "1234");
    send.send(Ok(Bytes::from_static(b"5678"))).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "5678");
}

#[tokio::test]
async fn a_file_is_saved_never_shown_whatever_its_name_or_the_file_api_says() {
    let world = World::start().await;
    world.files.answer(|_| async {
        let hostile = [
            ("content-type", "text/html"),
            ("content-disposition", "inline"),
            ("set-cookie", "a=b"),
            ("etag", "\"1\""),
        ];
        answer(200, &hostile, "<script>alert(1)</script>")
    });
    for (path, name) in [
        ("a.html", "attachment; filename=\"a.html\"; filename*=UTF-8''a.html"),
        (
            "d/%22%3B%0D%0ASet-Cookie%3A%20x",
            "attachment; filename=\"__Set-Cookie: x\"; filename*=UTF-8''%22%3BSet-Cookie%3A%20x",
        ),
        ("%FF%E2%80%AEgpj.exe", "attachment; filename=\"_gpj.exe\"; filename*=UTF-8''%EF%BF%BDgpj.exe"),
    ] {
        let said = world.get(READER, &format!("{API}/content/{path}")).await;
        assert_eq!(said.header("content-disposition"), name);
        assert_eq!(said.header("content-type"), "application/octet-stream");
        assert_eq!(said.header("x-content-type-options"), "nosniff");
        assert!(said.header("content-security-policy").starts_with("sandbox;"));
        assert_eq!((said.header("set-cookie"), said.header("etag")), ("", "\"1\""));
    }
    for (name, kind) in [
        ("a.png", "image/png"),
        ("a.svg", "text/plain; charset=utf-8"),
        ("a.html", "text/plain; charset=utf-8"),
    ] {
        let said = world.get(READER, &format!("{API}/content/{name}?preview=1")).await;
        assert_eq!((said.header("content-type"), said.header("content-disposition")), (kind, "inline"));
        assert!(said.header("content-security-policy").starts_with("sandbox;"));
        assert_eq!(world.files.last().request, format!("GET /v1/content/{name}"));
    }
}

#[tokio::test]
async fn errors_and_tus_headers_of_the_file_api_come_through_and_redirects_do_not() {
    let world = World::start().await;
    world.files.answer(|_| async {
        let tus = [("tus-resumable", "1.0.0"), ("location", "uploads/abc"), ("upload-expires", "x")];
        answer(201, &tus, "")
    });
    let said = world.ask(bearer("POST", &format!("{API}/uploads"), JANE)).await;
    assert_eq!(
        (said.status.as_u16(), said.header("location"), said.header("tus-resumable")),
        (201, "uploads/abc", "1.0.0")
    );
    world.files.answer(|_| async { answer(302, &[("location", "https://evil.example/")], "") });
    assert_eq!(world.get(JANE, &format!("{API}/content/a")).await.header("location"), "");
    world.files.answer(|_| async {
        answer(
            507,
            &[("content-type", "application/json"), ("retry-after", "1")],
            r#"{"code":"QuotaExceeded","message":"full"}"#,
        )
    });
    let said = world.get(JANE, &format!("{API}/content/a")).await;
    assert_eq!(
        (said.status.as_u16(), said.code().as_str(), said.header("content-disposition")),
        (507, "QuotaExceeded", "")
    );
    world.files.answer(|_| async { answer(304, &[("etag", "\"1\"")], "") });
    let said = world.get(JANE, &format!("{API}/content/a")).await;
    assert_eq!((said.status.as_u16(), said.header("etag"), said.bytes.len()), (304, "\"1\"", 0));
}

#[tokio::test]
async fn a_head_has_the_length_and_no_body() {
    let world = World::start().await;
    world.files.answer(|_| async { answer(200, &[("content-length", "12345")], "") });
    let said = world.ask(bearer("HEAD", &format!("{API}/content/a"), JANE)).await;
    assert_eq!((said.status.as_u16(), said.header("content-length"), said.bytes.len()), (200, "12345", 0));
}

#[tokio::test]
async fn a_download_that_the_file_api_breaks_off_is_never_taken_for_a_whole_file() {
    let world = World::start().await;
    world.files.answer(|_| async {
        let broken = stream::iter([Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("gone"))]);
        answer(
            200,
            &[],
            Body::from_stream(broken.then(async |chunk: Chunk| {
                tokio::time::sleep(Duration::from_millis(50)).await;
                chunk
            })),
        )
    });
    let response = world.send(bearer("GET", &format!("{API}/content/a"), JANE)).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_file_api_with_another_certificate_hears_nothing() {
    let world = World::start().await;
    let other = world.pki.leaf("0f8fad5b-d9cb-469f-a165-70867728950e.files.workspacefs.io");
    let key =
        workspacefs_files_proto::Signer::from_pem(&workspacefs_files_proto::Signer::generate_pem().unwrap())
            .unwrap();
    let impostor = crate::fake_files::FakeFiles::start(other.server(), "x", key.public_key()).await;
    *world.place.lock().unwrap() = impostor.address;
    let said = world.get(JANE, &format!("{API}/content/a")).await;
    assert_eq!((said.status.as_u16(), said.code().as_str()), (502, "Unreachable"));
    assert!(impostor.seen().is_empty());
}

#[tokio::test]
async fn where_no_file_api_runs_the_operators_reason_is_told() {
    let world = World::start().await;
    *world.place.lock().unwrap() = "127.0.0.1:1".parse().unwrap();
    world.api.edit("FileSystem", "ws", "default", |fs| {
        fs["status"]["conditions"] = serde_json::json!([{
            "type": "FilesReady", "status": "False", "reason": "QuotaExceeded", "message": "the quota allows no more pods",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]);
    });
    world
        .sees(|objects| objects.file_system("ws", "default").unwrap().condition("FilesReady").is_some())
        .await;
    let said = world.get(JANE, &format!("{API}/content/a")).await;
    assert_eq!(said.status, 502);
    assert!(said.json()["message"].as_str().unwrap().contains("the quota allows no more pods"));
}
