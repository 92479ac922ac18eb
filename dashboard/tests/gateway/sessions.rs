//! Browsers: login, cookie, logout.

use axum::body::Body;
use serde_json::json;

use crate::world::{API, JANE, JOE, World, login, with};

#[tokio::test]
async fn a_login_gives_a_cookie_that_only_this_host_gets_and_no_script() {
    let world = World::start().await;
    let said = world.ask(login(&json!({"token": JANE}))).await;
    assert_eq!(said.status, 200);
    let cookie = said.header("set-cookie");
    assert!(cookie.starts_with("__Host-wfs=") && !cookie.contains(JANE), "{cookie}");
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
    let session = said.json();
    assert_eq!((&session["user"], &session["groups"]), (&json!("jane"), &json!(["team"])));
    let cookie = cookie.split(';').next().unwrap();
    let again = world.ask(with("GET", "/wfs/v1/session", &[("cookie", cookie)], Body::empty())).await;
    assert_eq!(again.json(), session);
    assert!(!String::from_utf8(again.bytes).unwrap().contains(JANE));
}

#[tokio::test]
async fn bad_logins_give_no_cookie() {
    let world = World::start().await;
    for (body, status) in [
        (json!({"token": "unknown"}).to_string(), 401),
        (json!({"token": ""}).to_string(), 401),
        (json!({"token": "a b"}).to_string(), 401),
        (json!({"token": 7}).to_string(), 400),
        ("{".into(), 400),
        (String::new(), 400),
        (json!({"token": "x".repeat(70_000)}).to_string(), 413),
        (json!({"token": "x".repeat(20_000)}).to_string(), 401),
    ] {
        let said =
            world.ask(with("POST", "/wfs/v1/login", &[("content-type", "application/json")], body)).await;
        assert_eq!((said.status.as_u16(), said.header("set-cookie")), (status, ""));
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let said = world.ask(with("POST", "/wfs/v1/login", &form, format!("token={JANE}"))).await;
    assert_eq!((said.status.as_u16(), said.header("set-cookie")), (400, ""));
}

#[tokio::test]
async fn a_logout_ends_the_session_here_not_only_in_the_browser() {
    let world = World::start().await;
    let (cookie, csrf) = world.log_in(JANE).await;
    let headers = [("cookie", cookie.as_str()), ("x-wfs-csrf", csrf.as_str())];
    let said = world.ask(with("POST", "/wfs/v1/logout", &headers, Body::empty())).await;
    assert_eq!(said.status, 204);
    assert!(said.header("set-cookie").contains("Max-Age=0"));
    let said = world.ask(with("GET", &format!("{API}/list/"), &headers, Body::empty())).await;
    assert_eq!(said.status, 401);
    assert!(world.files.seen().is_empty());
}

#[tokio::test]
async fn what_changes_something_carries_the_sessions_own_csrf_token() {
    let world = World::start().await;
    let (cookie, csrf) = world.log_in(JANE).await;
    let (_, of_joe) = world.log_in(JOE).await;
    let path = format!("{API}/folders/a");
    for (sent, status) in [
        (None, 403),
        (Some(""), 403),
        (Some("x"), 403),
        (Some(of_joe.as_str()), 403),
        (Some(csrf.as_str()), 200),
    ] {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(sent.map(|sent| ("x-wfs-csrf", sent)));
        let said = world.ask(with("PUT", &path, &headers, Body::empty())).await;
        assert_eq!(said.status, status, "{sent:?}");
    }
    let seen = world.files.seen();
    assert_eq!(seen.len(), 1);
    for name in ["cookie", "x-wfs-csrf", "authorization"] {
        assert!(!seen[0].headers.contains_key(name), "{name}");
    }
}
