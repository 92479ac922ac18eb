//! What the permissions of the file system refuse: 403, with the owner and the mode of what refuses, as a server that squashes root
//! does it.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use serde_json::json;

use crate::process::Process;

const OTHER: u32 = 4711;

/// Somebody else's.
fn give(path: &Path, mode: u32) {
    chown(path, Some(OTHER), Some(OTHER)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// It needs root, as the tests of mounts do.
#[tokio::test]
async fn what_permissions_refuse_is_403_and_names_the_owner_and_the_mode() {
    let files = Process::start_without_capabilities().await;
    let root = files.dir.path().join("root");
    for folder in ["locked", "kept"] {
        std::fs::create_dir(root.join(folder)).unwrap();
        std::fs::write(root.join(folder).join("f"), "f").unwrap();
    }
    std::fs::write(root.join("closed"), "secret").unwrap();
    std::fs::write(root.join("mine"), "mine").unwrap();
    // It is ours, and what lies in it is not.
    std::fs::create_dir_all(root.join("outer/inner")).unwrap();
    std::fs::write(root.join("outer/inner/f"), "f").unwrap();
    give(&root.join("outer/inner"), 0o700);
    give(&root.join("closed"), 0o600);
    give(&root.join("locked"), 0o700);
    give(&root.join("kept"), 0o755);
    let transfer = |from: &str, to: &str| json!({ "from": from, "to": to, "overwrite": true }).to_string();
    for (method, target, body, mode) in [
        ("GET", "/v1/content/closed", String::new(), "0600"),
        ("GET", "/v1/list/locked", String::new(), "0700"),
        ("GET", "/v1/stat/locked/f", String::new(), "0700"),
        ("GET", "/v1/content/locked/f", String::new(), "0700"),
        ("GET", "/v1/archive/locked", String::new(), "0700"),
        ("GET", "/v1/search/locked?name=f", String::new(), "0700"),
        ("PUT", "/v1/content/kept/new", "x".into(), "0755"),
        ("PUT", "/v1/content/kept/f", "x".into(), "0755"),
        ("POST", "/v1/content/kept/new", "x".into(), "0755"),
        ("PUT", "/v1/content/locked/f", "x".into(), "0700"),
        ("PUT", "/v1/folders/kept/new", String::new(), "0755"),
        ("DELETE", "/v1/content/kept/f", String::new(), "0755"),
        ("DELETE", "/v1/content/kept/f?permanent=true", String::new(), "0755"),
        ("DELETE", "/v1/content/kept?recursive=true&permanent=true", String::new(), "0755"),
        ("DELETE", "/v1/content/outer?recursive=true&permanent=true", String::new(), "0700"),
        ("POST", "/v1/move", transfer("mine", "kept/new"), "0755"),
        ("POST", "/v1/move", transfer("kept/f", "new"), "0755"),
        ("POST", "/v1/move", transfer("locked/f", "new"), "0700"),
        ("POST", "/v1/copy", transfer("locked/f", "new"), "0700"),
    ] {
        let answer = files.ask(method, target, &body).await;
        let said = answer.text();
        assert_eq!(answer.status, 403, "{method} {target} {body}: {said}");
        assert!(said.contains(&format!("uid {OTHER} with mode {mode}")), "{method} {target} {body}: {said}");
    }
    // What is found out only once the answer has begun is told in its last line.
    for (from, to, mode) in [("closed", "new", "0600"), ("mine", "kept/new", "0755")] {
        let said = files.ask("POST", "/v1/copy", &transfer(from, to)).await.text();
        assert!(
            said.contains("Forbidden") && said.contains(&format!("uid {OTHER} with mode {mode}")),
            "{from}: {said}"
        );
    }
    assert_eq!(std::fs::read_to_string(root.join("kept/f")).unwrap(), "f");
    assert_eq!(std::fs::read_to_string(root.join("mine")).unwrap(), "mine");
}
