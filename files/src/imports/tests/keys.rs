//! Keys that are no paths, and places that are taken.

use std::os::unix::fs::symlink;

use serde_json::json;
use workspacefs_files_proto::import::{Import, ImportState};

use super::{World, begin, ended, names};

fn reason<'a>(import: &'a Import, key: &str) -> &'a str {
    let failed = import.failures.iter().find(|failed| failed.key == key);
    failed.map_or("", |failed| &failed.reason)
}

#[tokio::test]
async fn keys_that_are_no_paths_are_told_and_written_nowhere() {
    let world = World::new().await;
    let long = format!("n/{}", "x".repeat(256));
    let bad = ["../up", "a/../../b", "./c", "d//e", "/f", "folder/", &long];
    for key in bad {
        world.store().put(key, "x");
    }
    world.store().put("good", "x");
    let import = world.import().await;
    assert_eq!(import.state, ImportState::Done);
    assert_eq!((import.objects.done, import.objects.failed), (1, 7));
    for key in bad {
        assert!(reason(&import, key).starts_with("its key is no path: "), "{key}: {}", reason(&import, key));
    }
    assert_eq!(import.message, "7 of 8 objects are not there: the report says why");
    assert_eq!(world.files(), names(&["in/good"]));
    assert_eq!(world.fetched(), names(&["good"]), "what has no place is not read");
}

#[tokio::test]
async fn our_own_folder_is_no_destination_of_any_key() {
    let world = World::new().await;
    for key in [".workspacefs-files/trash/x", ".workspacefs/y", "ok"] {
        world.store().put(key, "x");
    }
    let imports = world.imports();
    let mut form = world.form();
    form["destination"] = json!("");
    let id = begin(&imports, form).await.unwrap().id;
    let import = ended(&imports, &id).await;
    assert_eq!((import.objects.done, import.objects.failed), (1, 2));
    assert!(reason(&import, ".workspacefs/y").contains(".workspacefs"));
    assert!(!world.root.path().join(".workspacefs").exists());
    assert!(!world.root.path().join(".workspacefs-files/trash/x").exists());
}

#[tokio::test]
async fn of_a_file_and_a_folder_of_one_name_one_is_there_and_the_other_is_told() {
    let world = World::new().await;
    for key in ["a", "a/b", "a/b/c", "d"] {
        world.store().put(key, key);
    }
    let import = world.import().await;
    assert_eq!((import.objects.done, import.objects.failed), (2, 2));
    assert!(reason(&import, "a/b").contains("another object is a file of the name"));
    assert_eq!(world.files(), names(&["in/a", "in/d"]));
}

#[tokio::test]
async fn an_empty_object_with_a_slash_at_its_end_is_a_folder() {
    let world = World::new().await;
    world.store().put("photos/", "");
    world.store().put("photos/a", "x");
    world.store().put("empty/", "");
    let import = world.import().await;
    assert_eq!((import.state, import.objects.failed), (ImportState::Done, 0));
    assert!(world.root.path().join("in/empty").is_dir());
    assert_eq!(world.files(), names(&["in/photos/a"]));
}

#[tokio::test]
async fn what_has_the_name_already_and_is_no_file_stays_and_is_told() {
    let world = World::new().await;
    for key in ["folder", "file/below", "free"] {
        world.store().put(key, "x");
    }
    let root = world.root.path();
    std::fs::create_dir_all(root.join("in/folder/inner")).unwrap();
    std::fs::write(root.join("in/file"), "mine").unwrap();
    let import = world.import().await;
    assert_eq!((import.objects.done, import.objects.failed), (1, 2), "{:?}", import.failures);
    assert!(reason(&import, "file/below").contains("needs for a folder"), "{:?}", import.failures);
    assert!(root.join("in/folder/inner").is_dir());
    assert_eq!(world.read("in/file"), b"mine");
}

#[tokio::test]
async fn a_link_that_leads_out_is_not_followed() {
    let world = World::new().await;
    for key in ["out/x", "inside/y", "leaf", "free"] {
        world.store().put(key, "new");
    }
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("precious"), "old").unwrap();
    let root = world.root.path();
    std::fs::create_dir_all(root.join("in/real")).unwrap();
    symlink(outside.path(), root.join("in/out")).unwrap();
    symlink(outside.path().join("precious"), root.join("in/leaf")).unwrap();
    let import = world.import().await;
    assert_eq!(import.state, ImportState::Done);
    assert_ne!(reason(&import, "out/x"), "");
    let there: Vec<_> =
        std::fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["precious"]);
    assert_eq!(std::fs::read(outside.path().join("precious")).unwrap(), b"old");
    assert_eq!(world.read("in/free"), b"new");
}

#[tokio::test]
async fn a_destination_that_is_a_file_is_named() {
    let world = World::new().await;
    world.store().put("k", "x");
    std::fs::write(world.root.path().join("in"), "mine").unwrap();
    let error = begin(&world.imports(), world.form()).await.unwrap_err();
    assert_eq!(error.field(), Some("destination"), "{error}");
    assert_eq!(world.read("in"), b"mine");
    let mut form = world.form();
    form["destination"] = json!("in/below");
    assert_eq!(begin(&world.imports(), form).await.unwrap_err().field(), Some("destination"));
}
