//! Who may what: by the API server's word, as everywhere, and by the token of the request alone.

use axum::body::Body;

use super::{BASE, Lep, form, request, upload};
use crate::world::{JANE, JOE, READER, with};

const F: &str = "/storage/default";

#[tokio::test]
async fn reading_writing_and_deleting_take_their_own_rights() {
    let lep = Lep::start().await;
    lep.files.write("f", "x");
    for (verbs, read, write, delete) in [
        (&["get", "list"][..], 200, 403, 403),
        (&["get"], 404, 404, 404),
        (&["create", "update"], 403, 201, 403),
        (&["update"], 404, 404, 404),
        (&["delete"], 403, 403, 200),
    ] {
        lep.files.write("f", "x");
        let user = verbs.join("-");
        let token = format!("token-of-{user}");
        lep.world.api.put_token(&token, serde_json::json!({"username": user}), &[]);
        lep.world.api.grant(&user, verbs, "filesystems/files", "ws", "default");
        let status = async |method: &str, path: &str| lep.ask_as(&token, method, path).await.status.as_u16();
        assert_eq!(status("GET", &format!("{F}/f")).await, read, "{verbs:?}");
        assert_eq!(status("HEAD", &format!("{F}/f")).await, read, "{verbs:?}");
        assert_eq!(status("GET", &format!("{F}/")).await, read, "{verbs:?}");
        assert_eq!(status("PUT", &format!("{F}/new-{user}")).await, write, "{verbs:?}");
        let file = upload(&token, &format!("{BASE}{F}/file-{user}"), form("file", "x"));
        assert_eq!(lep.world.ask(file).await.status.as_u16(), write, "{verbs:?}");
        assert_eq!(status("DELETE", &format!("{F}/f")).await, delete, "{verbs:?}");
        assert_eq!(lep.files.path(&format!("file-{user}")).exists(), write == 201);
    }
}

#[tokio::test]
async fn another_workspace_is_not_there() {
    let lep = Lep::start().await;
    lep.files.write("f", "x");
    for path in ["", "/tokens", "/workspace", "/storage", "/storage/du", "/dedicated-node-groups"] {
        assert_eq!(lep.ask_as(JOE, "GET", path).await.status, 404, "{path}");
        assert_eq!(lep.ask_as(READER, "GET", path).await.status, 200, "{path}");
    }
    for (method, path) in [("GET", "/f"), ("HEAD", "/f"), ("PUT", "/d"), ("DELETE", "/f")] {
        assert_eq!(lep.ask_as(JOE, method, &format!("{F}{path}")).await.status, 404, "{method}");
        let plain = format!("/api/v2/workspaces/plain{F}{path}");
        assert_eq!(
            lep.world.ask(request(JANE, method, &plain)).await.status,
            404,
            "a namespace is no workspace"
        );
    }
}

#[tokio::test]
async fn a_token_is_asked_for_on_every_address_and_a_session_is_none() {
    let lep = Lep::start().await;
    let (cookie, csrf) = lep.world.log_in(JANE).await;
    for path in ["", "/tokens", "/workspace", "/storage", "/storage/du", "/storage/default/", "/nowhere"] {
        for headers in [
            &[][..],
            &[("authorization", "Bearer nobodys")],
            &[("authorization", "Basic amFuZTp4")],
            &[("cookie", cookie.as_str()), ("x-wfs-csrf", csrf.as_str())],
        ] {
            let said = lep.world.ask(with("GET", &format!("{BASE}{path}"), headers, Body::empty())).await;
            assert_eq!(
                (said.status.as_u16(), said.code()),
                (401, "Unauthenticated".into()),
                "{path} {headers:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_large_upload_with_a_wrong_token_hears_that_the_token_is_wrong() {
    let lep = Lep::start().await;
    let file = upload("nobodys", &format!("{BASE}{F}/f"), form("file", &"x".repeat(6 << 20)));
    assert_eq!(lep.world.ask(file).await.status, 401);
    assert!(!lep.files.path("f").exists());
}

#[tokio::test]
async fn an_origin_means_nothing_but_another_sites_page_is_refused() {
    let lep = Lep::start().await;
    let token = format!("Bearer {JANE}");
    let ask = async |header: (&'static str, &'static str)| {
        let headers = [("authorization", token.as_str()), header];
        lep.world
            .ask(with(
                "PUT",
                &format!("{BASE}{F}/{}", header.1.replace(['/', ':'], "-")),
                &headers,
                Body::empty(),
            ))
            .await
    };
    assert_eq!(ask(("origin", "https://dgxc.example")).await.status, 201);
    assert_eq!(ask(("origin", "null")).await.status, 201);
    assert_eq!(ask(("x-debug", "anything")).await.status, 201);
    // Browsers say so, and a proxy may add the token to what they send.
    assert_eq!(ask(("sec-fetch-site", "cross-site")).await.status, 403);
    assert!(!lep.files.path("cross-site").exists());
}
