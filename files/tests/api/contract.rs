//! What holds for every route: the document, and whom to believe.

use std::sync::OnceLock;

use serde_json::Value;
use workspacefs_files_proto::{Claims, Signer, Verb};

use crate::harness::{ALL, FS, Server, now};

const ID: &str = "0193700000ab-000102030405060708090a0b";

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::to_value(workspacefs_files::openapi::document()).unwrap())
}

/// What the document says of the route that has this target, if there is one.
fn operation(method: &str, target: &str) -> Option<&'static Value> {
    let target = target.split('?').next().unwrap();
    let names = |path: &'static str| path.split('/').collect::<Vec<_>>();
    let asked: Vec<&str> = target.split('/').collect();
    let fits = |path: &'static str| match names(path).as_slice() {
        // All that follows is one path; none is the root.
        [above @ .., "{path}"] => asked.starts_with(above),
        names => {
            let is_of = |(name, asked): (&&str, &&str)| *name == "{id}" || name == asked;
            names.len() == asked.len() && names.iter().zip(&asked).all(is_of)
        }
    };
    let (_, methods) = document()["paths"].as_object().unwrap().iter().find(|(path, _)| fits(path))?;
    let own = &methods[method.to_lowercase()];
    // Whatever can be read can be asked about.
    let asked = if own.is_null() && method == "HEAD" { &methods["get"] } else { own };
    (!asked.is_null()).then_some(asked)
}

/// Asserts that the document has this answer. The harness asks it of every one.
#[track_caller]
pub fn is_in_the_document(method: &str, target: &str, status: u16) {
    if let Some(operation) = operation(method, target) {
        let answers = operation["responses"].as_object().unwrap();
        assert!(
            answers.contains_key(&status.to_string()),
            "{method} {target}: {status} is not in {:?}",
            answers.keys()
        );
    }
}

#[test]
fn every_route_names_its_answers_one_by_one() {
    for (method, target) in routes() {
        let answers = operation(&method, &target).unwrap()["responses"].as_object().unwrap();
        assert!(!answers.contains_key("default"), "{method} {target}");
        for status in ["401", "403"] {
            assert!(
                answers.contains_key(status),
                "{method} {target} is open to anybody: {:?}",
                answers.keys()
            );
        }
        for (status, answer) in answers.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
            let schema = &answer["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/ErrorBody", "{method} {target} {status}");
        }
    }
    let said = |method: &str, target: &str| operation(method, target).unwrap()["responses"].to_string();
    assert!(said("PUT", "/v1/content/a/b").contains("`QuotaExceeded`"));
    assert!(said("HEAD", "/v1/content/").contains("`RangeNotSatisfiable`"));
    assert!(operation("GET", "/v1/nothing").is_none() && operation("GET", "/v1/copy").is_none());
}

/// Method and target of every route of the document.
fn routes() -> Vec<(String, String)> {
    let mut routes = Vec::new();
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let target = path.replace("{path}", "x").replace("{id}", ID);
            routes.push((method.to_uppercase(), target));
        }
    }
    assert!(routes.len() >= 21, "{routes:?}");
    routes
}

#[test]
fn the_document_that_is_committed_is_the_one_that_the_code_makes() {
    let committed = include_str!("../../openapi.json");
    assert_eq!(
        committed,
        workspacefs_files::openapi::text(),
        "cargo run -p workspacefs-files -- openapi > files/openapi.json"
    );
}

#[tokio::test]
async fn every_route_wants_an_assertion_with_its_verbs() {
    let server = Server::start().await;
    for (method, target) in routes() {
        let ask = || server.ask(&method, &target).header("Tus-Resumable", "1.0.0");
        let stranger = ask().assertion(None).send().await;
        assert_eq!(stranger.status, 401, "{method} {target}");
        let without = ask().verbs(&[]).send().await;
        assert_eq!(without.status, 403, "{method} {target}");
        let with = ask().send().await;
        assert!(!matches!(with.status, 401 | 403 | 405), "{method} {target}: {}", with.status);
    }
    server.ask("GET", "/v1/nothing").send().await.is(404, "NotFound");
    server.ask("GET", "/v1/nothing").assertion(None).send().await.is(401, "Unauthenticated");
    let moving = server.ask("POST", "/v1/move").verbs(&[Verb::Read, Verb::Write]).send().await;
    moving.is(403, "Forbidden");
    for open in ["/healthz", "/openapi.json"] {
        server.ask("GET", open).assertion(None).send().await.ok();
    }
}

#[tokio::test]
async fn forged_expired_and_other_assertions_open_nothing() {
    let server = Server::start().await;
    server.write("f", "content");
    let target = "/v1/content/f";
    let claims = |fs: &str, request: &str, at: u64| Claims::new("jane", fs, &ALL, request, at);
    let good = claims(FS, "GET /v1/content/f", now());
    let other_key = Signer::from_pem(&Signer::generate_pem().unwrap()).unwrap();
    let (signed, forged) = (|claims: &Claims| server.signer.sign(claims), other_key.sign(&good));
    let send = |assertion: String| server.ask("GET", target).assertion(Some(assertion)).send();
    send(signed(&good)).await.ok();
    let mut long = good.clone();
    long.exp += 100;
    let cut = signed(&good);
    for bad in [
        forged,
        signed(&claims("another-fs", "GET /v1/content/f", now())),
        signed(&claims(FS, "GET /v1/content/g", now())),
        signed(&claims(FS, "PUT /v1/content/f", now())),
        signed(&claims(FS, "GET /v1/content/f?x=1", now())),
        signed(&claims(FS, "GET /v1/content/%66", now())),
        signed(&claims(FS, "GET /v1/content/f", now() - 60)),
        signed(&claims(FS, "GET /v1/content/f", now() + 60)),
        signed(&long),
        cut[..cut.len() - 2].to_owned(),
        "rubbish".into(),
    ] {
        let answer = send(bad.clone()).await.is(401, "Unauthenticated");
        assert!(!answer.text().contains("content"), "{bad}");
    }
    // A name that is there and one that is not look the same to a stranger.
    let missing = server.ask("GET", "/v1/content/none").assertion(None).send().await;
    assert_eq!(missing.text(), server.ask("GET", target).assertion(None).send().await.text());
}
