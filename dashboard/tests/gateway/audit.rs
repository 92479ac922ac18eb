//! The log: every change is in it, with who and what; no token ever is, at any level.

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::lep::{self, Lep};
use crate::world::{API, JANE, JOE, READER, World, bearer, login, with};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// The lines of the audit log, without time and level.
    fn audit(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["target"] == "audit").collect()
    }
}

fn listening() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // Of this thread, on which everything of this test runs.
    (log, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn every_change_is_told_with_who_and_what_and_reading_is_not() {
    let (log, _guard) = listening();
    let world = World::start().await;
    world.get(JANE, &format!("{API}/content/a")).await;
    world.ask(bearer("PUT", &format!("{API}/content/a%0Ab"), JANE)).await;
    world.ask(bearer("DELETE", &format!("{API}/content/a"), READER)).await;
    world.ask(bearer("DELETE", &format!("{API}/content/a"), JOE)).await;
    let token = format!("Bearer {JANE}");
    let json_body = [("authorization", token.as_str()), ("content-type", "application/json")];
    world.ask(with("POST", &format!("{API}/move"), &json_body, r#"{"from":"a","to":"b"}"#)).await;
    let import = r#"{"provider":"s3","bucket":"b","accessKeyId":"canary-id","secretAccessKey":"canary-key","destination":"d"}"#;
    world.ask(with("POST", &format!("{API}/imports"), &json_body, import)).await;
    let upload = [("authorization", token.as_str()), ("upload-metadata", "path YS9i")];
    world.ask(with("POST", &format!("{API}/uploads"), &upload, Body::empty())).await;
    world.ask(with("POST", &format!("{API}/archive/d%20e?overwrite=true"), &json_body, "a tar")).await;
    world.ask(with("POST", &format!("{API}/bundle/d"), &json_body, r#"{"files":[]}"#)).await;
    let told: Vec<Value> = log
        .audit()
        .into_iter()
        .map(|l| json!([l["user"], l["verb"], l["workspace"], l["file_system"], l["path"], l["status"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["jane", "PUT", "ws", "default", "content/a%0Ab", 200]),
            json!(["reader", "DELETE", "ws", "default", "content/a", 403]),
            json!(["joe", "DELETE", "ws", "default", "content/a", 404]),
            json!(["jane", "POST", "ws", "default", "move from=\"a\" to=\"b\"", 200]),
            json!(["jane", "POST", "ws", "default", "imports bucket=\"b\" destination=\"d\"", 200]),
            json!(["jane", "POST", "ws", "default", "uploads path=\"a/b\"", 200]),
            json!(["jane", "POST", "ws", "default", "archive/d%20e", 200]),
        ]
    );
}

#[tokio::test]
async fn what_the_lep_client_changes_is_told_too_and_who_asks_for_the_password_of_rsync() {
    let (log, _guard) = listening();
    let lep = Lep::start().await;
    lep.upload("/storage/default/d/a%20b", "x").await;
    lep.ask("GET", "/storage/default/d/a%20b").await;
    lep.ask("PUT", "/storage/default/d").await;
    lep.ask_as(READER, "DELETE", "/storage/default/d").await;
    lep.ask("DELETE", "/storage/default/d?removeall=true").await;
    lep.ask("DELETE", "/storage/default/").await;
    lep.ask("GET", "/deployments/storage-rsync-by-lepton").await;
    lep.world.ask(lep::upload(JANE, &format!("{}/storage/default/e", lep::BASE), lep::head("file"))).await;
    let told = log.audit().into_iter().map(|l| json!([l["user"], l["verb"], l["path"], l["status"]]));
    let expected = [
        json!(["jane", "PUT", "content/d/a%20b", 201]),
        json!(["jane", "PUT", "folders/d", 200]),
        json!(["reader", "DELETE", "content/d", 403]),
        json!(["jane", "DELETE", "content/d", 200]),
        json!(["jane", "DELETE", "content/", 403]),
        json!(["jane", "GET", "rsync", 404]),
        json!(["jane", "PUT", "content/e", 400]),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn no_token_and_no_key_is_in_any_line_at_any_level() {
    let (log, _guard) = listening();
    let world = World::start().await;
    let (cookie, csrf) = world.log_in(JANE).await;
    world.ask(login(&json!({"token": "canary-unknown"}))).await;
    world.ask(login(&json!({"token": ["canary-list"]}))).await;
    world.get("canary-bearer", "/wfs/v1/session").await;
    let headers = [("cookie", cookie.as_str()), ("x-wfs-csrf", csrf.as_str())];
    world.ask(with("PUT", &format!("{API}/content/a"), &headers, Body::empty())).await;
    world.api.set_outage(workspacefs_testkit::faults::Outage::Refusing);
    world.get("canary-outage", "/wfs/v1/session").await;
    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("\"audit\""));
    let cookie = cookie.split_once('=').unwrap().1;
    // What the clients of this test send is theirs to log; whatever has a target of the gateway or of what it calls is not.
    let own: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("workspacefs") || line.contains("kube") || line.contains("audit"))
        .collect();
    for line in own {
        for secret in [JANE, cookie, csrf.as_str(), "canary-"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_review_is_not_shown() {
    use workspacefs_dashboard::metrics::Metrics;
    use workspacefs_dashboard::review::{NoAnswer, Reviewer};
    use workspacefs_dashboard::secret::Token;

    let (log, _guard) = listening();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = kube::Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    // As the API server does it comes back with what was sent; and it has a status of another shape.
    let echo = axum::Router::new().fallback(async |body: String| {
        let mut review: Value = serde_json::from_str(&body).unwrap();
        review["status"] = json!({"authenticated": review["spec"]["token"]});
        axum::Json(review)
    });
    let serving = tokio::spawn(async { axum::serve(listener, echo).await.unwrap() });
    let reviewer = Reviewer::new(kube::Client::try_from(config).unwrap(), vec![], Metrics::default());
    let token = Token::parse("a-token-nobody-sees").unwrap();
    assert_eq!(reviewer.identify(&token).await, Err(NoAnswer::Silent));
    serving.abort();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("the answer is no review"), "{text}");
    assert!(!text.contains("a-token-nobody-sees"), "{text}");
}
