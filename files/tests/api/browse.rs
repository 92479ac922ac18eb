use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::Value;

use crate::harness::Server;

fn names(page: &Value) -> Vec<String> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().into()).collect()
}

#[tokio::test]
async fn a_folder_is_listed_in_pages_by_name_size_and_time() {
    let server = Server::start().await;
    for (name, size) in [("b", 3), ("a", 1), ("c", 2)] {
        server.write(&format!("d/{name}"), vec![0; size]);
    }
    let list = async |query: &str| server.get(&format!("/v1/list/d{query}")).await.ok().json();
    let page = list("").await;
    assert_eq!(
        (names(&page), &page["sorted"], &page["next"]),
        (vec!["a".into(), "b".into(), "c".into()], &Value::Bool(true), &Value::Null)
    );
    assert_eq!(page["entries"][1]["path"], "d/b");
    assert_eq!(page["entries"][1]["type"], "file");
    assert_eq!(names(&list("?sort=size&order=desc").await), ["b", "c", "a"]);
    assert_eq!(names(&list("?sort=modified").await).len(), 3);
    let (mut seen, mut cursor) = (vec![], String::new());
    loop {
        let page = list(&format!("?sort=size&limit=1{cursor}")).await;
        seen.extend(names(&page));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "c", "b"]);
    for bad in ["?limit=0", "?limit=10001", "?cursor=x", "?sort=colour", "?nothing=1"] {
        server.get(&format!("/v1/list/d{bad}")).await.is(400, "BadRequest");
    }
    server.get("/v1/list/d/a").await.is(409, "NotDirectory");
    server.get("/v1/list/none").await.is(404, "NotFound");
}

#[tokio::test]
async fn a_folder_of_more_than_fifty_thousand_comes_in_its_own_order_and_every_entry_once() {
    let server = Server::start().await;
    std::fs::create_dir(server.path("many")).unwrap();
    let expected: BTreeSet<String> = (0..50_001).map(|n| format!("{n:05}")).collect();
    for name in &expected {
        std::fs::File::create(server.path("many").join(name)).unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/list/many?limit=10000{cursor}")).await.ok().json();
        assert_eq!(page["sorted"], false);
        seen.extend(names(&page));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), expected.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    std::fs::remove_file(server.path("many/00000")).unwrap();
    assert_eq!(server.get("/v1/list/many?limit=2").await.ok().json()["sorted"], true);
}

#[tokio::test]
async fn names_of_any_bytes_are_listed_read_moved_and_deleted() {
    let server = Server::start().await;
    let hostile: [&[u8]; 7] = [
        b"line\nbreak",
        b"\"quoted'",
        b"<script>alert(1)</script>"[..20].trim_ascii(),
        "\u{202e}gpj.exe".as_bytes(),
        b"not\xff\xfeutf8",
        b"back\\slash",
        b"%2e%2e",
    ];
    for name in hostile {
        std::fs::write(server.path("").join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let page = server.get("/v1/list").await.ok().json();
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), hostile.len(), "{page}");
    for entry in entries {
        let path = entry["path"].as_str().unwrap();
        assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-._~".contains(&byte)), "{path}");
        let content = server.get(&format!("/v1/content/{path}")).await.ok().body;
        assert!(hostile.contains(&&content[..]), "{path}");
        assert_eq!(server.get(&format!("/v1/stat/{path}")).await.ok().json(), *entry);
        let to = format!("{path}%FF");
        server.post("/v1/move", serde_json::json!({"from": path, "to": to})).await.ok();
        server.delete(&format!("/v1/content/{to}")).await.ok();
    }
    assert_eq!(names(&server.get("/v1/list").await.json()).len(), 0);
    assert_eq!(server.get("/v1/trash").await.json()["entries"].as_array().unwrap().len(), hostile.len());
}

#[tokio::test]
async fn the_root_and_usage_are_told_and_own_folders_are_not() {
    let server = Server::start().await;
    server.write(".workspacefs/cache/x", "hidden");
    server.write("seen/.workspacefs/x", "not hidden");
    let root = server.get("/v1/stat/").await.ok().json();
    assert_eq!((&root["type"], &root["path"]), (&"dir".into(), &"".into()));
    assert_eq!(names(&server.get("/v1/list/").await.ok().json()), ["seen"]);
    for hidden in [
        ".workspacefs",
        ".workspacefs/cache/x",
        ".workspacefs-files",
        "%2eworkspacefs",
        "/.workspacefs-files/trash",
    ] {
        for (method, route) in [
            ("GET", "list"),
            ("GET", "stat"),
            ("GET", "content"),
            ("PUT", "content"),
            ("PUT", "folders"),
            ("DELETE", "content"),
            ("GET", "archive"),
        ] {
            server.ask(method, &format!("/v1/{route}/{hidden}")).send().await.is(404, "NotFound");
        }
        let moved = serde_json::json!({"from": hidden, "to": "x"});
        server.post("/v1/move", moved).await.is(404, "NotFound");
    }
    assert_eq!(server.get("/v1/content/seen/.workspacefs/x").await.ok().text(), "not hidden");
    let usage = server.get("/v1/usage").await.ok().json();
    assert!(usage["capacity"].as_u64().unwrap() > 0 && usage["trash"]["entries"] == 0, "{usage}");
}
