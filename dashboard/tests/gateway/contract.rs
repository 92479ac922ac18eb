//! The table of ADR 18 is what pages and programs are written from: each of its requests is answered where it says.

use axum::body::Body;
use serde_json::json;

use crate::world::{JANE, World, with};

const ADR: &str = include_str!("../../../docs/adr/0018-files-in-the-browser.md");

/// Method and path of each request in the first column of the gateway's table.
fn requests() -> Vec<(&'static str, &'static str)> {
    let (_, chapter) = ADR.split_once("## The gateway (").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let rows = chapter.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    let quoted = rows.flat_map(|(cell, _)| cell.split('`').step_by(2));
    quoted
        .filter_map(|text| text.split_once(" /").map(|(method, _)| (method, &text[method.len() + 1..])))
        .collect()
}

#[tokio::test]
async fn every_request_of_the_decision_is_answered_at_the_path_that_it_names() {
    let world = World::start().await;
    let requests = requests();
    assert!(requests.len() >= 11, "{requests:?}");
    for (method, path) in requests {
        let method = if method == "ANY" { "GET" } else { method };
        let path = path.replace("{ws}", "ws").replace("{fs}", "default").replace("{rest}", "list/");
        let token = format!("Bearer {JANE}");
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let body = if method == "POST" { Body::from(json!({}).to_string()) } else { Body::empty() };
        let status = world.ask(with(method, &path, &headers, body)).await.status.as_u16();
        assert!(!matches!(status, 404 | 405), "{method} {path}: {status}");
        let elsewhere = path.strip_prefix("/wfs/v1").filter(|rest| *rest != "/healthz");
        if let Some(elsewhere) = elsewhere {
            let status = world.ask(with(method, elsewhere, &headers, Body::empty())).await.status.as_u16();
            assert_eq!(status, 404, "{method} {elsewhere}");
        }
    }
}
