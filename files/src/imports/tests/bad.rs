//! What a person typed wrong, and what changes or breaks while it is read.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use workspacefs_files_proto::import::ImportState;
use workspacefs_testkit::s3::Fault;

use super::{World, begin, content, ended, names, resume_body};

#[tokio::test]
async fn the_field_that_is_wrong_is_named_before_anything_begins() {
    let world = World::new().await;
    world.store().put("k", "x");
    let imports = world.imports();
    let bucket_in_it = format!("{}/buck", world.service.endpoint());
    for (field, value) in [
        ("bucket", json!("other")),
        ("bucket", json!("Not A Bucket")),
        ("accessKeyId", json!("AKIDOFNOBODY")),
        ("accessKeyId", json!("")),
        ("secretAccessKey", json!("another-secret")),
        ("region", json!("eu-west-9")),
        ("endpoint", json!(bucket_in_it)),
        ("endpoint", json!("http://127.0.0.1:1")),
        ("endpoint", json!("minio")),
        ("prefix", json!("nothing/like/it")),
        ("destination", json!("a/../b")),
        ("provider", json!("gcs")),
    ] {
        let mut form = world.form();
        form[field] = value.clone();
        let error = begin(&imports, form).await.unwrap_err();
        assert_eq!(error.field(), Some(field), "{value}: {error}");
        assert!(error.to_string().contains(':'), "a sentence with the field in front: {error}");
    }
    assert_eq!(imports.list().len(), 0);
    assert_eq!(world.files(), names(&[]));
    assert_eq!(std::fs::read_dir(world.records()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_r2_endpoint_with_the_bucket_in_it_is_named_and_one_is_needed() {
    let world = World::new().await;
    for endpoint in [
        json!("https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com/buck"),
        json!("https://buck.0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"),
        json!(null),
        json!("https://s3.eu-west-1.amazonaws.com"),
    ] {
        let mut form = world.form();
        (form["provider"], form["endpoint"]) = (json!("r2"), endpoint.clone());
        let error = begin(&world.imports(), form).await.unwrap_err();
        assert_eq!(error.field(), Some("endpoint"), "{endpoint}: {error}");
    }
    world.store().put("k", "x");
    let imports = world.imports();
    let mut form = world.form();
    form["provider"] = json!("r2");
    let id = begin(&imports, form).await.unwrap().id;
    assert_eq!(ended(&imports, &id).await.objects.done, 1);
}

#[tokio::test]
async fn a_region_is_found_by_itself() {
    let world = World::new().await;
    world.store().set_region("eu-south-2");
    world.store().put("k", "x");
    assert_eq!(world.import().await.objects.done, 1);
}

/// The first time that its second part is asked for, it is another object.
#[tokio::test]
async fn an_object_that_is_changed_while_it_is_read_comes_whole_as_the_new_one() {
    for knows_if_match in [true, false] {
        let world = World::new().await;
        world.store().set_knows_if_match(knows_if_match);
        world.store().put("k", content(20 << 20));
        let changes = AtomicUsize::new(0);
        world.store().on_request(move |seen, store| {
            let is_second = seen.range.as_deref().is_some_and(|range| range.starts_with("bytes=8388608-"));
            if is_second && changes.fetch_add(1, Ordering::Relaxed) == 0 {
                store.put("k", vec![b'n'; 19 << 20]);
            }
            None
        });
        let import = world.import().await;
        assert_eq!((import.state, import.objects.done), (ImportState::Done, 1), "{:?}", import.failures);
        assert!(world.read("in/k") == vec![b'n'; 19 << 20]);
        assert_eq!((import.bytes.done, import.bytes.total), (19 << 20, 19 << 20));
    }
}

#[tokio::test]
async fn an_object_that_is_always_another_one_is_told_and_nothing_of_it_is_written() {
    let world = World::new().await;
    world.store().put("changing", content(20 << 20));
    world.store().put("still", "x");
    let count = AtomicUsize::new(0);
    world.store().on_request(move |seen, store| {
        if seen.range.is_some() {
            store.put("changing", vec![count.fetch_add(1, Ordering::Relaxed) as u8; 20 << 20]);
        }
        None
    });
    let import = world.import().await;
    assert_eq!((import.state, import.objects.done, import.objects.failed), (ImportState::Done, 1, 1));
    assert_eq!(import.failures[0].key, "changing");
    assert_eq!(import.failures[0].reason, "the object was changed while it was read");
    assert_eq!(world.files(), names(&["in/still"]));
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_the_file_that_was_there_stays() {
    let world = World::new().await;
    for key in ["small", "large"] {
        world.store().put(key, content(if key == "small" { 10 } else { 9 << 20 }));
    }
    std::fs::create_dir(world.root.path().join("in")).unwrap();
    std::fs::write(world.root.path().join("in/large"), "old").unwrap();
    world.store().on_request(|seen, _| (seen.method == "GET" && !seen.key.is_empty()).then_some(Fault::Flip));
    let import = world.import().await;
    assert_eq!((import.objects.done, import.objects.failed), (0, 2));
    assert!(import.failures.iter().all(|failed| failed.reason.contains("MD5")), "{:?}", import.failures);
    assert_eq!(world.files(), names(&["in/large"]));
    assert_eq!(world.read("in/large"), b"old");
}

#[tokio::test]
async fn what_one_object_refuses_does_not_keep_the_others() {
    let world = World::new().await;
    for n in 0..50 {
        world.store().put(&format!("k{n:02}"), "x");
    }
    world.store().on_request(|seen, _| match &*seen.key {
        "k07" => Some(Fault::Error(403, "AccessDenied")),
        "k08" => Some(Fault::Error(404, "NoSuchKey")),
        _ => None,
    });
    let import = world.import().await;
    assert_eq!((import.state, import.objects.done, import.objects.failed), (ImportState::Done, 48, 2));
    let denied = import.failures.iter().find(|failed| failed.key == "k07").unwrap();
    assert!(denied.reason.starts_with("access denied"), "{}", denied.reason);
}

#[tokio::test]
async fn what_is_over_in_a_moment_is_not_noticed() {
    let world = World::new().await;
    world.store().put("large", content(20 << 20));
    world.store().put("small", "x");
    // Each request fails once, however many of them there are at the same time.
    let failed = Mutex::new(HashSet::new());
    world.store().on_request(move |seen, _| {
        let mut failed = failed.lock().unwrap();
        let is_new = failed.insert((seen.method.clone(), seen.key.clone(), seen.range.clone()));
        let fault = if failed.len() % 2 == 0 { Fault::Cut } else { Fault::Error(503, "SlowDown") };
        is_new.then_some(fault)
    });
    let import = world.import().await;
    assert_eq!((import.state, import.objects.done), (ImportState::Done, 2), "{}", import.message);
    assert!(world.read("in/large") == content(20 << 20));
}

#[tokio::test]
async fn keys_that_are_withdrawn_end_it_with_the_field_and_new_ones_let_it_go_on() {
    let world = World::new().await;
    for n in 0..200 {
        world.store().put(&format!("k{n:03}"), "x");
    }
    let count = AtomicUsize::new(0);
    world.store().on_request(move |seen, _| {
        let is_late = !seen.key.is_empty() && count.fetch_add(1, Ordering::Relaxed) >= 100;
        is_late.then_some(Fault::Error(403, "InvalidAccessKeyId"))
    });
    let imports = world.imports();
    let id = world.begin(&imports).await.id;
    let import = ended(&imports, &id).await;
    assert_eq!((import.state, import.field.as_deref()), (ImportState::Failed, Some("accessKeyId")));
    assert!(import.message.starts_with("access key id: "), "{}", import.message);
    // What was on its way to its name then gets it yet.
    let there = world.files().len();
    world.store().clear_hook();
    world.fetched();
    imports.resume(&id, &resume_body(), "jane").await.unwrap();
    let import = ended(&imports, &id).await;
    assert_eq!((import.state, import.field), (ImportState::Done, None));
    let skipped = import.objects.skipped as usize;
    assert!((there..=100).contains(&skipped), "{skipped} were there, {there} at least");
    assert_eq!(world.fetched().len(), 200 - skipped);
    assert_eq!(world.files().len(), 200);
}
