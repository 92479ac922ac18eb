//! Requests that a page of another site could make.

use axum::body::Body;
use serde_json::json;

use crate::world::{API, JANE, World, with};

#[tokio::test]
async fn pages_of_other_sites_get_nothing_whatever_the_browser_adds_for_them() {
    let world = World::start().await;
    let (cookie, csrf) = world.log_in(JANE).await;
    let token = format!("Bearer {JANE}");
    for foreign in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "http://localhost"),
        ("origin", "null"),
    ] {
        for (method, path) in [
            ("GET", format!("{API}/content/secret")),
            ("PUT", format!("{API}/content/a")),
            ("DELETE", format!("{API}/content/a")),
            ("GET", "/wfs/v1/session".to_owned()),
            ("GET", "/wfs/v1/workspaces".to_owned()),
            ("POST", "/wfs/v1/logout".to_owned()),
        ] {
            // The second is what a proxy in front of us adds to every request that its own cookie comes with.
            for own in [("cookie", cookie.as_str()), ("authorization", token.as_str())] {
                let headers = [own, ("x-wfs-csrf", csrf.as_str()), foreign];
                let said = world.ask(with(method, &path, &headers, Body::empty())).await;
                assert_eq!(
                    (said.status.as_u16(), said.code().as_str()),
                    (403, "Forbidden"),
                    "{method} {path} {foreign:?}"
                );
                assert!(!said.headers.contains_key("access-control-allow-origin"));
            }
        }
        let headers = [("content-type", "application/json"), foreign];
        let said =
            world.ask(with("POST", "/wfs/v1/login", &headers, json!({"token": JANE}).to_string())).await;
        assert_eq!((said.status.as_u16(), said.header("set-cookie")), (403, ""), "{foreign:?}");
    }
    assert!(world.files.seen().is_empty());
    let headers =
        [("cookie", cookie.as_str()), ("x-wfs-csrf", csrf.as_str()), ("origin", "https://localhost")];
    let said = world.ask(with("PUT", &format!("{API}/content/a"), &headers, Body::empty())).await;
    assert_eq!(said.status, 200, "our own page");
}

#[tokio::test]
async fn the_pages_themselves_may_be_linked_to_and_never_framed() {
    let world = World::start().await;
    let said = world.ask(with("GET", "/", &[("sec-fetch-site", "cross-site")], Body::empty())).await;
    assert_eq!(said.status, 200);
    let policy = said.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    for (name, value) in [
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(said.header(name), value, "{name}");
    }
    for (method, path) in
        [("GET", "/nothing"), ("POST", "/"), ("GET", "/wfs/v1/nothing"), ("PUT", "/wfs/v1/session")]
    {
        assert_eq!(world.ask(with(method, path, &[], Body::empty())).await.status, 404, "{method} {path}");
    }
}
