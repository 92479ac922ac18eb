//! What is there in the end.

use std::os::unix::fs::MetadataExt as _;

use serde_json::json;
use workspacefs_files_proto::import::{ImportState, ObjectCounts};

use super::{World, begin, content, ended, names};

#[tokio::test]
async fn every_object_is_a_file_whatever_its_size_and_its_name() {
    let world = World::new().await;
    // Three parts and a bit, one part exactly, small, and empty.
    let sizes = [("large", (24 << 20) + 7), ("one", 8 << 20), ("d/small", 1000), ("d/empty", 0)];
    for (key, size) in sizes {
        world.store().put(key, content(size));
    }
    for key in ["d/ü b+c%41", "e\\..\\f", "new\nline", "\u{202e}gpj"] {
        world.store().put(key, key);
    }
    let import = world.import().await;
    assert_eq!((import.state, &*import.message), (ImportState::Done, ""));
    assert_eq!(import.objects, ObjectCounts { total: 8, done: 8, skipped: 0, failed: 0 });
    assert_eq!((import.bytes.done, import.by_size, import.eta_seconds), (import.bytes.total, 0, None));
    assert!(import.ended_at.is_some() && import.started_by == "jane");
    for (key, size) in sizes {
        assert!(world.read(&format!("in/{key}")) == content(size), "{key}");
    }
    for key in ["d/ü b+c%41", "e\\..\\f", "new\nline", "\u{202e}gpj"] {
        assert_eq!(world.read(&format!("in/{key}")), key.as_bytes());
    }
    assert_eq!(world.files().len(), 8, "nothing is left over");
}

#[tokio::test]
async fn of_a_prefix_only_what_it_names_is_imported_and_its_folders_are_left_out() {
    let world = World::new().await;
    for key in ["photos/2024/a", "photos/2024-b", "photos/2023/c", "other"] {
        world.store().put(key, key);
    }
    let imports = world.imports();
    let mut form = world.form();
    (form["prefix"], form["destination"]) = (json!("photos/2024"), json!("a/b%20c"));
    let id = begin(&imports, form).await.unwrap().id;
    assert_eq!(ended(&imports, &id).await.state, ImportState::Done);
    assert_eq!(world.files(), names(&["a/b c/2024/a", "a/b c/2024-b"]));
}

#[tokio::test]
async fn what_could_be_compared_by_size_only_is_counted_and_no_error() {
    let world = World::new().await;
    world.store().put("plain", "x");
    world.store().put_as("parts", content(3000), "d41d8cd98f00b204e9800998ecf8427e-3", &[]);
    let kms = [("x-amz-server-side-encryption", "aws:kms")];
    world.store().put_as("kms", content(9 << 20), "00000000000000000000000000000000", &kms);
    let import = world.import().await;
    assert_eq!((import.state, import.objects.done, import.by_size), (ImportState::Done, 3, 2));
    assert_eq!(world.read("in/kms"), content(9 << 20));
}

#[tokio::test]
async fn what_is_there_is_not_read_again_and_what_is_another_one_is() {
    let world = World::new().await;
    for key in ["same", "changed", "longer"] {
        world.store().put(key, "first");
    }
    world.store().put_as("parts", content(3000), "d41d8cd98f00b204e9800998ecf8427e-3", &[]);
    world.store().put("uploaded", "by hand");
    std::fs::create_dir(world.root.path().join("in")).unwrap();
    std::fs::write(world.root.path().join("in/uploaded"), "by hand").unwrap();
    let first = world.import().await;
    assert_eq!((first.objects.done, first.objects.skipped), (4, 1), "{:?}", first.failures);
    assert_eq!(world.fetched(), names(&["same", "changed", "longer", "parts"]));
    world.store().put("changed", "other");
    world.store().put("longer", "longer than first");
    let second = world.import().await;
    assert_eq!((second.state, second.objects.done, second.objects.skipped), (ImportState::Done, 2, 3));
    assert_eq!(second.bytes.done, second.bytes.total);
    assert_eq!(world.fetched(), names(&["changed", "longer"]));
    assert_eq!(world.read("in/changed"), b"other");
    // Somebody has changed a file here: it is not what the bucket has.
    std::fs::write(world.root.path().join("in/same"), "FIRST").unwrap();
    assert_eq!(world.import().await.objects.done, 1);
    assert_eq!(world.read("in/same"), b"first");
}

#[tokio::test]
async fn a_file_has_the_time_of_its_object() {
    let world = World::new().await;
    world.store().put("k", "x");
    world.import().await;
    let modified = std::fs::metadata(world.root.path().join("in/k")).unwrap().mtime();
    assert_eq!(modified, 1_700_000_001, "that of the service's first object");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_objects_come_with_bounded_requests_at_once() {
    let world = World::new().await;
    for n in 0..10_000 {
        world.store().put(&format!("d{}/f{n}", n % 37), format!("content of {n}"));
    }
    let import = world.import().await;
    assert_eq!(
        (import.state, import.objects.done, import.objects.total),
        (ImportState::Done, 10_000, 10_000)
    );
    assert_eq!(world.files().len(), 10_000);
    for n in [0, 4_567, 9_999] {
        assert_eq!(world.read(&format!("in/d{}/f{n}", n % 37)), format!("content of {n}").into_bytes());
    }
    // One to see that there is something, ten for the pages.
    let seen = world.store().take_seen();
    assert_eq!(seen.iter().filter(|seen| seen.key.is_empty()).count(), 11);
    assert_eq!(seen.len(), 10_011);
}

#[tokio::test]
async fn an_empty_bucket_is_imported_and_says_that_there_was_nothing() {
    let world = World::new().await;
    let import = world.import().await;
    assert_eq!((import.state, import.objects.total), (ImportState::Done, 0));
    assert!(import.message.starts_with("there was nothing to import"), "{}", import.message);
}
