//! Errors are `{code, message}`, and nothing in them is markup.

use super::{BASE, Lep, form, upload};
use crate::world::{JANE, Said};

fn is_plain(said: &Said) {
    let body = said.json();
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert!(body["code"].is_string());
    let message = body["message"].as_str().unwrap();
    assert!(!message.is_empty() && !message.contains(['[', ']']), "{message}");
    assert_eq!(said.header("content-type"), "application/json");
}

#[tokio::test]
async fn every_refusal_says_code_and_message_without_brackets() {
    let lep = Lep::start().await;
    lep.files.write("d[1]/[red]", "x");
    for (token, method, path, status) in [
        ("nobodys", "GET", "/storage", 401),
        (JANE, "GET", "/storage/default/%5B/x%5D", 404),
        (JANE, "DELETE", "/storage/default/d%5B1%5D", 409),
        (JANE, "PUT", "/storage/default/d%5B1%5D", 409),
        (JANE, "PUT", "/storage/default/%5B/../x", 400),
        (JANE, "DELETE", "/storage/default/", 403),
        (JANE, "DELETE", "/storage/default/x?%5B", 400),
        (JANE, "GET", "/nowhere", 404),
        (JANE, "GET", "/deployments/storage-rsync-by-lepton", 404),
    ] {
        let said = lep.ask_as(token, method, path).await;
        assert_eq!(said.status.as_u16(), status, "{method} {path}: {said:?}");
        is_plain(&said);
    }
    let said =
        lep.world.ask(upload(JANE, &format!("{BASE}/storage/default/d%5B1%5D"), form("file", "x"))).await;
    assert_eq!(said.status, 409);
    is_plain(&said);
    *lep.world.place.lock().unwrap() = "127.0.0.1:1".parse().unwrap();
    let said = lep.ask("GET", "/storage/default/").await;
    // The connection from before may still be good.
    if said.status != 200 {
        assert_eq!(said.status, 502);
        is_plain(&said);
    }
}
