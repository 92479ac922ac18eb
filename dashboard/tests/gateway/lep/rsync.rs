//! The lookups of `upload --rsync`.

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use serde_json::json;

use super::{BASE, Lep, request};
use crate::world::{JANE, JOE, READER, World};

const DEPLOYMENT: &str = "/deployments/storage-rsync-by-lepton";
const REPLICAS: &str = "/deployments/storage-rsync-by-lepton/replicas";

#[tokio::test]
async fn without_an_exposure_there_is_no_rsync_and_a_sentence_says_so() {
    let lep = Lep::start().await;
    for path in [DEPLOYMENT, REPLICAS] {
        let said = lep.ask("GET", path).await;
        assert_eq!((said.status.as_u16(), said.code()), (404, "NotFound".into()));
        assert!(said.json()["message"].as_str().unwrap().contains("rsync is not offered here"));
    }
}

#[tokio::test]
async fn port_password_and_host_are_for_those_who_may_update_and_delete() {
    let world = World::start().await;
    world.files.answer(|request: Request<Incoming>| async move {
        assert_eq!(request.uri().path(), "/v1/rsync/secret");
        Response::new(Body::from(r#"{"user": "ws", "password": "s3cret", "port": 30873}"#))
    });
    let api = &world.api;
    api.edit("FileSystem", "ws", "default", |fs| fs["status"]["filesAddress"] = "10.96.0.9:8443".into());
    world.sees(|objects| objects.file_system("ws", "default").is_some_and(|fs| fs.status.is_some())).await;
    let ask =
        async |token: &str, path: &str| world.ask(request(token, "GET", &format!("{BASE}{path}"))).await;
    let expected = json!({"metadata": {}, "spec": {
        "container": {"ports": [{"container_port": 8873, "host_port": 30873}]},
        "envs": [{"name": "PASSWORD", "value": "s3cret"}],
    }});
    assert_eq!(ask(JANE, DEPLOYMENT).await.json(), expected);
    let expected =
        json!([{"metadata": {}, "id": "storage-rsync-by-lepton", "status": {"public_ip": "10.96.0.9"}}]);
    assert_eq!(ask(JANE, REPLICAS).await.json(), expected);
    for (user, verbs) in
        [("writer", &["get", "list", "create", "update"][..]), ("deleter", &["get", "list", "delete"])]
    {
        api.put_token(&format!("token-of-{user}"), json!({"username": user}), &[]);
        api.grant(user, verbs, "filesystems/files", "ws", "default");
    }
    for path in [DEPLOYMENT, REPLICAS] {
        for (token, status) in
            [(READER, 403), ("token-of-writer", 403), ("token-of-deleter", 403), (JOE, 404), ("nobodys", 401)]
        {
            assert_eq!(ask(token, path).await.status.as_u16(), status, "{token} {path}");
        }
    }
}
