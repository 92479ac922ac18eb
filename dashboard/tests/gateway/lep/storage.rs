//! The nine storage requests: what each answers, and what it does.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use workspacefs_dashboard::objects::Objects;
use workspacefs_testkit::builders;

use super::{BASE, Lep};
use crate::world::JANE;

fn names(said: &Value, kind: &str) -> BTreeSet<String> {
    let of_kind = said.as_array().unwrap().iter().filter(|item| item["type"] == kind);
    of_kind.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// Has the FileSystem lie on a server of others, which tells of it what its files are asked for.
async fn on_a_share(lep: &Lep) {
    lep.world.api.edit("FileSystem", "ws", "default", |fs| fs["spec"] = builders::nfs("10.0.0.1", 2049));
    let is_so = |objects: &Objects| objects.file_systems("ws").iter().all(|fs| fs.spec.backend.nfs.is_some());
    lep.world.sees(is_so).await;
}

#[tokio::test]
async fn head_is_exactly_200_without_a_body_for_what_is_there() {
    let lep = Lep::start().await;
    lep.files.write("d1/b.txt", "b");
    lep.statuses("HEAD", &[("/storage/default/", 200), ("/storage/default", 200)]).await;
    lep.statuses("HEAD", &[("/storage/default/d1", 200), ("/storage/default/d1/", 200)]).await;
    lep.statuses("HEAD", &[("/storage/default/d1/b.txt", 200), ("/storage/default/d1/b.txt/", 200)]).await;
    lep.statuses("HEAD", &[("/storage/default/x", 404), ("/storage/default/d1/b.txt/x", 409)]).await;
    lep.statuses("HEAD", &[("/storage/nowhere/", 404), ("/storage", 404), ("/workspace", 404)]).await;
    let said = lep.ask("HEAD", "/storage/default/d1/b.txt").await;
    assert!(said.bytes.is_empty());
}

#[tokio::test]
async fn a_folder_is_an_array_of_entries_and_an_empty_one_an_empty_array() {
    let lep = Lep::start().await;
    for empty in ["/storage/default/", "/storage/default"] {
        let said = lep.ask("GET", empty).await;
        assert_eq!((said.status.as_u16(), said.json()), (200, json!([])));
        assert_eq!(said.header("content-type"), "application/json");
    }
    lep.files.write("d1/b.txt", "bytes");
    lep.files.write("d1/é [x].txt", "");
    std::fs::create_dir(lep.files.path("d1/sub")).unwrap();
    for path in ["/storage/default/d1", "/storage/default/d1/", "//storage/default//d1//"] {
        let said = lep.ask("GET", path).await.json();
        assert_eq!(names(&said, "file"), ["b.txt", "é [x].txt"].map(String::from).into());
        assert_eq!(names(&said, "dir"), ["sub".to_owned()].into());
        assert!(said.as_array().unwrap().iter().all(|item| item["path"].is_string()), "{said}");
    }
    assert_eq!(
        lep.ask("GET", "/storage/default/").await.json().as_array().unwrap().len(),
        1,
        "nothing of our own"
    );
}

#[tokio::test]
async fn a_folder_of_many_pages_is_one_array() {
    let lep = Lep::start().await;
    let expected: BTreeSet<String> = (0..5001).map(|number| format!("file {number}")).collect();
    std::fs::create_dir(lep.files.path("many")).unwrap();
    for name in &expected {
        std::fs::write(lep.files.path(&format!("many/{name}")), "").unwrap();
    }
    let said = lep.ask("GET", "/storage/default/many").await.json();
    assert_eq!(said.as_array().unwrap().len(), 5001);
    assert_eq!(names(&said, "file"), expected);
}

#[tokio::test]
async fn a_link_is_what_it_leads_to_and_one_that_leads_nowhere_can_be_deleted() {
    let lep = Lep::start().await;
    lep.files.write("d/f", "content");
    for (target, link) in [("d/f", "to-file"), ("d", "to-folder"), ("/etc", "out"), ("x", "nowhere")] {
        symlink(target, lep.files.path(link)).unwrap();
    }
    let said = lep.ask("GET", "/storage/default/").await.json();
    assert_eq!(names(&said, "file"), ["to-file".to_owned()].into());
    assert_eq!(names(&said, "dir"), ["d", "to-folder"].map(String::from).into());
    assert_eq!(names(&said, "symlink"), ["nowhere", "out"].map(String::from).into());
    assert_eq!(lep.ask("GET", "/storage/default/to-file").await.bytes, b"content");
    lep.statuses("GET", &[("/storage/default/out/passwd", 404), ("/storage/default/out", 404)]).await;
    lep.statuses("HEAD", &[("/storage/default/nowhere", 200)]).await;
    lep.statuses("DELETE", &[("/storage/default/nowhere", 200), ("/storage/default/to-folder", 200)]).await;
    assert_eq!(lep.files.read("d/f").as_deref(), Some("content"), "a link goes, not what it leads to");
}

#[tokio::test]
async fn a_file_is_its_bytes_with_their_length() {
    let lep = Lep::start().await;
    let content = "x".repeat(300_000);
    lep.files.write("d1/b.txt", &content);
    lep.files.write("empty", "");
    for path in ["/storage/default/d1/b.txt", "/storage/default/d1/b.txt/"] {
        let said = lep.ask("GET", path).await;
        assert_eq!((said.status.as_u16(), said.header("content-length")), (200, "300000"));
        assert!(said.bytes == content.as_bytes() && !said.headers.contains_key("content-encoding"));
    }
    let said = lep.ask("GET", "/storage/default/empty").await;
    assert_eq!((said.status.as_u16(), said.header("content-length"), said.bytes.len()), (200, "0", 0));
    lep.statuses("GET", &[("/storage/default/d1/x", 404)]).await;
}

#[tokio::test]
async fn put_makes_a_folder_and_its_parents_and_refuses_one_that_is_there() {
    let lep = Lep::start().await;
    lep.statuses("PUT", &[("/storage/default/a/b/c", 201), ("/storage/default/d/", 201)]).await;
    assert!(lep.files.path("a/b/c").is_dir() && lep.files.path("d").is_dir());
    lep.files.write("file", "");
    lep.statuses("PUT", &[("/storage/default/a/b", 409), ("/storage/default/file", 409)]).await;
    lep.statuses("PUT", &[("/storage/default/file/x", 409), ("/storage/default/", 409)]).await;
    assert_eq!(lep.ask("PUT", "/storage/default/a/b/c").await.code(), "Exists");
}

#[tokio::test]
async fn delete_moves_files_and_empty_folders_into_the_trash() {
    let lep = Lep::start().await;
    lep.files.write("d1/b.txt", "bytes");
    lep.statuses("DELETE", &[("/storage/default/d1", 409)]).await;
    assert_eq!(lep.ask("DELETE", "/storage/default/d1").await.code(), "NotEmpty");
    lep.statuses("DELETE", &[("/storage/default/d1/b.txt", 200), ("/storage/default/d1/", 200)]).await;
    lep.statuses("DELETE", &[("/storage/default/d1", 404)]).await;
    assert!(!lep.files.path("d1").exists());
    let trash = lep.world.get(JANE, &format!("{}/trash", crate::world::API)).await.json();
    let kept: Vec<&str> =
        trash["entries"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
    assert_eq!(kept, ["d1", "d1/b.txt"]);
    assert_eq!(trash["entries"][0]["deletedBy"], "jane");
}

#[tokio::test]
async fn removeall_takes_a_folder_with_what_is_in_it() {
    let lep = Lep::start().await;
    lep.files.write("d1/sub/b.txt", "bytes");
    lep.statuses("DELETE", &[("/storage/default/d1?removeall=false", 409)]).await;
    lep.statuses("DELETE", &[("/storage/default/d1?removeall=true", 200)]).await;
    assert!(!lep.files.path("d1").exists());
    let trash = lep.world.get(JANE, &format!("{}/trash", crate::world::API)).await.json();
    assert_eq!(trash["entries"][0]["path"], "d1");
}

#[tokio::test]
async fn the_root_is_never_deleted() {
    let lep = Lep::start().await;
    lep.files.write("d1/b.txt", "bytes");
    for path in ["/storage/default/", "/storage/default", "/storage/default//", "//storage//default/"] {
        for query in ["", "?removeall=true"] {
            let said = lep.ask("DELETE", &format!("{path}{query}")).await;
            assert_eq!((said.status.as_u16(), said.code()), (403, "Forbidden".into()), "{path}{query}");
        }
    }
    assert_eq!(lep.files.read("d1/b.txt").as_deref(), Some("bytes"));
}

#[tokio::test]
async fn du_is_exactly_that_address_and_else_a_file_systems_name() {
    let lep = Lep::start().await;
    on_a_share(&lep).await;
    for path in ["/storage/du", "//storage/du"] {
        let said = lep.ask("GET", path).await.json();
        let bytes = said["status"]["total_usage_bytes"].as_u64().unwrap();
        assert!(bytes > 0, "as the file API says it");
        assert!(said["totalDiskUsageBytes"].is_u64(), "{said}");
    }
    // There is no FileSystem of that name.
    lep.statuses("GET", &[("/storage/du/", 404), ("/storage/du/a", 404)]).await;
    lep.statuses("DELETE", &[("/storage/du", 404), ("/storage/du/a", 404)]).await;
}

#[tokio::test]
async fn file_systems_are_listed_with_their_usage_also_where_their_files_do_not_answer() {
    let lep = Lep::start().await;
    on_a_share(&lep).await;
    let mut fs = builders::file_system("ws", "idle", builders::nfs("10.0.0.1", 2049));
    fs.status = serde_json::from_value(json!({
        "usage": {"scope": "FileSystem", "capacity": "1Gi", "used": "5Ki", "available": "1Mi", "inodes": 0,
                  "inodesUsed": 0, "observedAt": "2026-01-01T00:00:00Z"},
    }))
    .unwrap();
    lep.world.api.put(&fs);
    lep.world.api.put(&builders::file_system("ws", "hidden", builders::managed("1Gi")));
    lep.world.api.grant("team", &["get", "list"], "filesystems/files", "ws", "idle");
    lep.world.sees(|objects| objects.file_systems_of("ws") == 3).await;
    let said = lep.ask("GET", "/storage").await.json();
    let listed: Vec<&str> =
        said.as_array().unwrap().iter().map(|fs| fs["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(listed, ["default", "idle"], "those whose files may be read");
    assert!(said[0]["status"]["total_usage_bytes"].as_u64().unwrap() > 5120);
    assert_eq!(said[1]["status"]["total_usage_bytes"], 5120);
    let total = lep.ask("GET", "/storage/du").await.json();
    assert!(total["status"]["total_usage_bytes"].as_u64().unwrap() > 5120);
}

/// Each of them would show the whole disk of the server, and the sum of them a multiple of it.
#[tokio::test]
async fn of_a_managed_file_system_what_the_operator_saw_counts_and_not_the_servers_disk() {
    let lep = Lep::start().await;
    let seen = json!({"scope": "FileSystem", "capacity": "1Gi", "used": "5Ki", "available": "1Mi", "inodes": 0,
        "inodesUsed": 0, "observedAt": "2026-01-01T00:00:00Z"});
    lep.world.api.edit("FileSystem", "ws", "default", |fs| {
        fs["status"]["usage"] = seen.clone();
    });
    lep.world
        .sees(|objects| {
            let all = objects.file_systems("ws");
            all.iter().all(|fs| fs.status.as_ref().is_some_and(|status| status.usage.is_some()))
        })
        .await;
    let said = lep.ask("GET", "/storage/du").await.json();
    assert_eq!(said["status"]["total_usage_bytes"], 5120, "{said}");
}

#[tokio::test]
async fn a_method_that_is_in_no_row_is_404() {
    let lep = Lep::start().await;
    lep.statuses("PATCH", &[("/storage/default/a", 404)]).await;
    lep.statuses("POST", &[("/storage", 404), ("/storage/du", 404), ("", 404)]).await;
    lep.statuses("PUT", &[("/storage", 404), ("/storage/du", 404), ("/workspace", 404)]).await;
    lep.statuses("DELETE", &[("/workspace", 404), ("/tokens", 404), ("/storage", 404), ("/", 404)]).await;
    lep.statuses("DELETE", &[("/deployments/storage-rsync-by-lepton", 404)]).await;
    let said = lep.world.get(JANE, &BASE.replace("/ws", "/")).await;
    assert_eq!(said.status, 404);
}
