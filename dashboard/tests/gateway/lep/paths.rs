//! What a path on the wire is a name of.

use super::Lep;

/// Class of advisory in other file managers: a path is checked before it is normalised.
#[tokio::test]
async fn names_are_decoded_once() {
    let lep = Lep::start().await;
    for (wire, name) in [
        ("a%20b", "a b"),
        ("%C3%A9", "é"),
        ("e%CC%81", "e\u{301}"),
        ("%5Bx%5D", "[x]"),
        ("a%2520b", "a%20b"),
        ("q%3Fx=1", "q?x=1"),
        ("h%23ash", "h#ash"),
        ("back%5Cslash", "back\\slash"),
        ("%E6%97%A5%E6%9C%AC", "日本"),
    ] {
        let path = format!("/storage/default/names/{wire}");
        assert_eq!(lep.upload(&path, name).await.status, 201, "{wire}");
        assert_eq!(lep.files.read(&format!("names/{name}")).as_deref(), Some(name), "{wire}");
        assert_eq!(lep.ask("GET", &path).await.bytes, name.as_bytes());
        let listed = lep.ask("GET", "/storage/default/names").await.json();
        let listed = listed.as_array().unwrap().iter().any(|item| item["name"] == name);
        assert!(listed, "byte for byte what was typed: {name}");
    }
}

#[tokio::test]
async fn two_slashes_are_one() {
    let lep = Lep::start().await;
    assert_eq!(lep.upload("//storage/default//d1//f", "x").await.status, 201);
    assert_eq!(lep.files.read("d1/f").as_deref(), Some("x"));
    lep.statuses("HEAD", &[("/storage//default//d1//f", 200)]).await;
}

#[tokio::test]
async fn dots_zeros_and_slashes_in_names_are_refused() {
    let lep = Lep::start().await;
    lep.files.write("d1/f", "x");
    for method in ["GET", "PUT", "DELETE"] {
        for path in ["d1/../x", "d1/%2e%2e/x", "d1/.", "a%00b", "a%2Fb", "%zz", "..%2f..%2fetc"] {
            let said = lep.ask(method, &format!("/storage/default/{path}")).await;
            assert_eq!((said.status.as_u16(), said.code()), (400, "BadPath".into()), "{method} {path}");
        }
    }
    assert_eq!(lep.upload("/storage/default/d1/../x", "x").await.status, 400);
    assert_eq!(lep.files.read("d1/f").as_deref(), Some("x"));
    lep.statuses("GET", &[("/storage/../workspace", 404), ("/storage/default/../../workspace", 400)]).await;
}

#[tokio::test]
async fn a_query_that_is_not_known_changes_nothing() {
    let lep = Lep::start().await;
    lep.files.write("q", "old");
    assert_eq!(lep.upload("/storage/default/q?x=1", "new").await.status, 400);
    lep.statuses("PUT", &[("/storage/default/d?x", 400), ("/storage/default/d?removeall=true", 400)]).await;
    lep.statuses("DELETE", &[("/storage/default/q?x=1", 400), ("/storage/default/q?permanent=true", 400)])
        .await;
    lep.statuses("DELETE", &[("/storage/default/q?removeall=1", 400)]).await;
    assert!(lep.files.read("q").as_deref() == Some("old") && !lep.files.path("d").exists());
}

#[tokio::test]
async fn our_own_folder_is_not_there() {
    let lep = Lep::start().await;
    lep.files.write("f", "x");
    lep.statuses("DELETE", &[("/storage/default/f", 200)]).await;
    for name in [".workspacefs-files", ".workspacefs-files/trash", ".workspacefs", "%2eworkspacefs-files"] {
        lep.statuses("HEAD", &[(&format!("/storage/default/{name}"), 404)]).await;
        lep.statuses("DELETE", &[(&format!("/storage/default/{name}?removeall=true"), 404)]).await;
    }
}
