//! Connections to rsync daemons: who gets one, what passes, and that it ends with the right.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use workspacefs_dashboard::files::exposed;
use workspacefs_files_proto::Verb;

use crate::world::{API, JANE, JOE, PER_USER_MAX, READER, World, bearer, with};

/// A change of rights acts in that time.
const ACTS_IN: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(10);

fn path() -> String {
    format!("{API}/rsync")
}

fn asked(token: &str) -> Request<Body> {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("connection", "Upgrade"),
        ("upgrade", "wsfs-rsync"),
        ("cookie", "a=b"),
    ];
    with("POST", &path(), &headers, Body::empty())
}

/// Sends back what comes; says when it has ended.
fn echo(world: &World) -> Arc<Mutex<Option<Instant>>> {
    let ended = Arc::new(Mutex::new(None));
    let told = ended.clone();
    world.files.answer(move |mut request: Request<Incoming>| {
        let told = told.clone();
        async move {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
                let _ = tokio::io::copy(&mut from, &mut to).await;
                *told.lock().unwrap() = Some(Instant::now());
            });
            let answer = Response::builder().status(101).header("connection", "upgrade");
            answer.header("upgrade", "wsfs-rsync").body(Body::empty()).unwrap()
        }
    });
    ended
}

async fn open(world: &World, token: &str) -> TokioIo<Upgraded> {
    let mut answer = world.send(asked(token)).await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()["upgrade"], "wsfs-rsync");
    TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap())
}

async fn says(tunnel: &mut TokioIo<Upgraded>, what: &[u8]) {
    tunnel.write_all(what).await.unwrap();
    tunnel.flush().await.unwrap();
    let mut back = vec![0; what.len()];
    timeout(SOON, tunnel.read_exact(&mut back)).await.expect("nothing comes back").unwrap();
    assert!(back == what);
}

/// Nothing comes any more.
async fn ends(tunnel: &mut TokioIo<Upgraded>) {
    let mut rest = Vec::new();
    let _ = timeout(SOON, tunnel.read_to_end(&mut rest)).await.expect("it goes on");
    assert!(rest.is_empty());
}

#[tokio::test]
async fn what_comes_passes_both_ways_and_the_daemons_side_is_told_of_a_write_and_no_token() {
    let world = World::start().await;
    let ended = echo(&world);
    let mut tunnel = open(&world, JANE).await;
    says(&mut tunnel, b"@RSYNCD: 31.0\n").await;
    says(&mut tunnel, &vec![7; 300_000]).await;
    let seen = world.files.last();
    assert_eq!(seen.request, "POST /v1/rsync");
    let claims = seen.claims.unwrap();
    assert_eq!((claims.user.as_str(), claims.verbs.as_slice()), ("jane", &[Verb::Write][..]));
    assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("cookie"));
    tunnel.shutdown().await.unwrap();
    ends(&mut tunnel).await;
    let over = async {
        while ended.lock().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, over).await.expect("the daemon's side stays open");
}

#[tokio::test]
async fn it_takes_the_right_to_write() {
    let world = World::start().await;
    echo(&world);
    for (token, status, code) in
        [(READER, 403, "Forbidden"), (JOE, 404, "NotFound"), ("nobody", 401, "Unauthenticated")]
    {
        let said = world.ask(asked(token)).await;
        assert_eq!((said.status.as_u16(), said.code().as_str()), (status, code), "{token}");
    }
    assert!(world.files.seen().is_empty());
    // Without the right to delete: the daemon deletes nothing.
    world.api.revoke(|grant| grant.verb == "delete");
    open(&world, JANE).await;
    world.api.revoke(|grant| grant.verb == "create");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(world.ask(asked(JANE)).await.status, 403);
}

#[tokio::test]
async fn a_request_that_does_not_ask_for_it_is_told_how() {
    let world = World::start().await;
    echo(&world);
    let said = world.ask(bearer("POST", &path(), JANE)).await;
    assert_eq!((said.status.as_u16(), said.code().as_str()), (400, "BadRequest"));
    assert!(world.files.seen().is_empty());
}

#[tokio::test]
async fn where_there_is_no_daemon_the_file_apis_word_is_passed_on() {
    let world = World::start().await;
    world.files.answer(|_| async {
        let body = r#"{"code": "NotFound", "message": "there is none"}"#;
        let answer = Response::builder().status(404).header("content-type", "application/json");
        answer.body(Body::from(body)).unwrap()
    });
    let said = world.ask(asked(JANE)).await;
    assert_eq!((said.status.as_u16(), said.code().as_str()), (404, "NotFound"));
    let said = world.ask(bearer("GET", &path(), JANE)).await;
    assert_eq!(said.status, 404);
    assert_eq!(world.files.last().request, "GET /v1/rsync");
}

#[tokio::test]
async fn a_right_that_is_taken_away_ends_it_at_both_ends() {
    for revoke in [
        (|world: &World| {
            world.api.revoke(|grant| grant.verb == "update");
        }) as fn(&World),
        |world| {
            world.api.delete_token(JANE);
        },
        |world| {
            assert!(world.api.delete("FileSystem", "ws", "default"));
        },
    ] {
        let world = World::start().await;
        let ended = echo(&world);
        let mut tunnel = open(&world, JANE).await;
        says(&mut tunnel, b"x").await;
        let since = Instant::now();
        revoke(&world);
        // Nobody reads or writes meanwhile at this end.
        while ended.lock().unwrap().is_none() {
            assert!(since.elapsed() < ACTS_IN + Duration::from_secs(1), "it goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ends(&mut tunnel).await;
        assert!(since.elapsed() < ACTS_IN + Duration::from_secs(1));
    }
}

#[tokio::test]
async fn one_whose_rights_stay_goes_on_and_each_takes_a_place() {
    let world = World::start().await;
    echo(&world);
    let mut tunnels = Vec::new();
    for _ in 0..PER_USER_MAX {
        tunnels.push(open(&world, JANE).await);
    }
    assert_eq!(world.ask(asked(JANE)).await.status, 429);
    tokio::time::sleep(Duration::from_secs(6)).await;
    says(&mut tunnels[0], b"still there").await;
    drop(tunnels);
    let freed = async {
        while world.send(asked(JANE)).await.status() != 101 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, freed).await.expect("no place is given back");
}

#[tokio::test]
async fn the_daemons_secret_is_told_to_whoever_may_write_and_delete_and_never_over_the_file_api() {
    let world = World::start().await;
    world.files.answer(|request: Request<Incoming>| async move {
        assert_eq!(request.uri().path(), "/v1/rsync/secret");
        Response::new(Body::from(r#"{"user": "ws", "password": "canary", "port": 8873}"#))
    });
    world
        .api
        .edit("FileSystem", "ws", "default", |fs| fs["status"]["filesAddress"] = "10.96.0.9:8443".into());
    world.sees(|objects| objects.file_system("ws", "default").is_some_and(|fs| fs.status.is_some())).await;
    let of = async |token: &str| {
        let (parts, _) = bearer("GET", "/x", token).into_parts();
        let door = workspacefs_dashboard::caller::Door::Main;
        let caller = world.gateway.callers.of(&parts, &door).await.ok().unwrap();
        exposed(&world.gateway, &caller.identity, "ws", "default").await
    };
    let told = of(JANE).await.unwrap().unwrap();
    assert_eq!(
        (told.host.as_str(), told.login.port, told.login.password.as_str()),
        ("10.96.0.9", 8873, "canary")
    );
    assert!(!format!("{told:?}").contains("canary"));
    let claims = world.files.last().claims.unwrap();
    assert_eq!(claims.verbs, [Verb::Write, Verb::Delete]);
    assert_eq!(of(READER).await.unwrap_err().to_string(), "you may not write here");
    assert_eq!(of(JOE).await.unwrap_err().code().status(), 404);
    let before = world.files.seen().len();
    let said = world.get(JANE, &format!("{API}/rsync/secret")).await;
    assert_eq!((said.status.as_u16(), world.files.seen().len()), (404, before));
    world.files.answer(|_| async { Response::builder().status(404).body(Body::empty()).unwrap() });
    assert_eq!(of(JANE).await, Ok(None), "it is not exposed");
}
