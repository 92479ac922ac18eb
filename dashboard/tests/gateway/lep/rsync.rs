//! The lookups of `upload --rsync`.

use serde_json::json;
use workspacefs_dashboard::lep::RsyncExposure;
use workspacefs_dashboard::secret::Token;

use super::Lep;
use crate::world::{JOE, READER};

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
    let lep = Lep::start().await;
    let (host, secret) = ("rsync.example.com".to_owned(), Token::parse("s3cret").unwrap());
    *lep.world.rsync.lock().unwrap() = Some(RsyncExposure { host, port: 30873, secret });
    let expected = json!({"metadata": {}, "spec": {
        "container": {"ports": [{"container_port": 8873, "host_port": 30873}]},
        "envs": [{"name": "PASSWORD", "value": "s3cret"}],
    }});
    assert_eq!(lep.ask("GET", DEPLOYMENT).await.json(), expected);
    let expected = json!([{"metadata": {}, "id": "storage-rsync-by-lepton", "status": {"public_ip": "rsync.example.com"}}]);
    assert_eq!(lep.ask("GET", REPLICAS).await.json(), expected);
    let api = &lep.world.api;
    for (user, verbs) in
        [("writer", &["get", "list", "create", "update"][..]), ("deleter", &["get", "list", "delete"])]
    {
        api.put_token(&format!("token-of-{user}"), json!({"username": user}), &["wfs"]);
        api.grant(user, verbs, "filesystems/files", "ws", "default");
    }
    for path in [DEPLOYMENT, REPLICAS] {
        for (token, status) in
            [(READER, 403), ("token-of-writer", 403), ("token-of-deleter", 403), (JOE, 404), ("nobodys", 401)]
        {
            assert_eq!(lep.ask_as(token, "GET", path).await.status.as_u16(), status, "{token} {path}");
        }
    }
}
