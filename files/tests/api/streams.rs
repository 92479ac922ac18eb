//! Archives, searches and copies.

use serde_json::json;

use crate::harness::Server;

#[tokio::test]
async fn an_archive_holds_the_folder_below_its_name_and_breaks_where_it_would_lie() {
    let server = Server::start().await;
    server.write("top/a", "alpha");
    server.write("top/b/c", vec![1; 32 << 20]);
    let tar = server.get("/v1/archive/top?format=tar").await.ok();
    assert_eq!(tar.get("content-type"), Some("application/x-tar"));
    let names: Vec<_> = tar::Archive::new(&tar.body[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned())
        .collect();
    assert_eq!(names.len(), 4);
    assert!(
        names.iter().all(|name| name.starts_with("top")) && names.contains(&"top/b/c".into()),
        "{names:?}"
    );
    assert_eq!(server.get("/v1/archive/top").await.ok().get("content-type"), Some("application/zip"));
    server.get("/v1/archive/top/a").await.is(409, "NotDirectory");

    let ask = server.ask("GET", "/v1/archive/top");
    let mut stream = ask.begin().await;
    use tokio::io::AsyncReadExt as _;
    let mut bytes = vec![0; 4096];
    stream.read_exact(&mut bytes).await.unwrap();
    for name in ["a", "b/c"] {
        std::fs::write(server.path("top").join(name), "").unwrap();
    }
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(!crate::harness::Answer::parse(&bytes, false).whole);
}

#[tokio::test]
async fn one_user_has_half_of_the_places_and_an_archive_whose_caller_goes_leaves_its_own() {
    use tokio::io::AsyncReadExt as _;
    let server = Server::start().await;
    server.write("top/a", vec![1; 32 << 20]);
    let mut readers = Vec::new();
    for n in 0..8 {
        let user = if n < 4 { "jane" } else { "joe" };
        let mut stream = server.ask("GET", "/v1/archive/top?format=tar").user(user).begin().await;
        stream.read_exact(&mut [0; 1024]).await.unwrap();
        readers.push(stream);
        if n == 3 {
            server.get("/v1/archive/top").await.is(429, "Busy");
        }
    }
    server.ask("GET", "/v1/archive/top").user("jim").send().await.is(429, "Busy");
    drop(readers);
    for _ in 0..200 {
        if server.get("/v1/search/?name=none").await.status == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("archives go on that nobody reads");
}

#[tokio::test]
async fn a_search_finds_names_without_regard_to_case_and_says_when_there_may_be_more() {
    let server = Server::start().await;
    for path in ["Report.txt", "a/old REPORT", "a/b/nothing", ".workspacefs/report"] {
        server.write(path, "");
    }
    let search = async |target: &str| server.get(target).await.ok().lines();
    let lines = search("/v1/search/?name=report").await;
    let mut paths: Vec<_> = lines.iter().filter_map(|line| line["path"].as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["Report.txt", "a/old%20REPORT"]);
    assert_eq!(lines.last().unwrap(), &json!({"done": true, "limited": false}));
    let lines = search("/v1/search?name=report&limit=1").await;
    assert_eq!((lines.len(), &lines[1]), (2, &json!({"done": true, "limited": true})));
    assert_eq!(search("/v1/search/a/b?name=report").await.len(), 1);
    server.get("/v1/search/?name=").await.is(400, "BadRequest");
    server.get("/v1/search/").await.is(400, "BadRequest");
}

#[tokio::test]
async fn a_file_and_a_tree_are_copied_and_nothing_is_replaced_unasked() {
    let server = Server::start().await;
    server.write("f", "F");
    server.write("g", "G");
    server.write("d/x/y", "Y");
    std::os::unix::fs::symlink("x/y", server.path("d/link")).unwrap();
    let copy = async |body| server.post("/v1/copy", body).await;
    let lines = copy(json!({"from": "f", "to": "new/f", "parents": true})).await.ok().lines();
    assert_eq!(lines.last().unwrap(), &json!({"done": true, "files": 1, "bytes": 1}));
    assert_eq!(server.read("new/f").as_deref(), Some("F"));
    copy(json!({"from": "f", "to": "g"})).await.is(409, "Exists");
    copy(json!({"from": "f", "to": "d", "overwrite": true})).await.is(409, "Exists");
    copy(json!({"from": "f", "to": "g", "overwrite": true})).await.ok();
    assert_eq!(server.read("g").as_deref(), Some("F"));
    let lines = copy(json!({"from": "d", "to": "d/copy"})).await.ok().lines();
    assert_eq!(lines.last().unwrap()["done"], true, "into itself, once: {lines:?}");
    assert_eq!(server.read("d/copy/x/y").as_deref(), Some("Y"));
    assert_eq!(std::fs::read_link(server.path("d/copy/link")).unwrap(), std::path::Path::new("x/y"));
    assert!(!server.path("d/copy/copy").exists());
    copy(json!({"from": "", "to": "x"})).await.is(400, "BadRequest");
    copy(json!({"from": "none", "to": "x"})).await.is(404, "NotFound");
    assert_eq!(server.left_in("uploads", 0).await, [""; 0]);
}
