//! Imports that are ended: by a person, and by the end of the process.

use std::time::Duration;

use serde_json::json;
use workspacefs_files_proto::Code;
use workspacefs_files_proto::import::ImportState;
use workspacefs_testkit::s3::Fault;

use super::{ImportError, World, begin, begin_as, content, ended, rested, resume_body, until};

/// A hundred objects, of which those from `k50` on, large ones, do not come.
async fn stuck() -> World {
    let world = World::new().await;
    for n in 0..100 {
        world.store().put(&format!("k{n:02}"), if n < 50 { content(100) } else { content(9 << 20) });
    }
    let is_late = |key: &str| key >= "k50";
    world.store().on_request(move |seen, _| {
        (is_late(&seen.key) && seen.range.as_deref().is_some_and(|range| !range.starts_with("bytes=0-")))
            .then_some(Fault::Silence)
    });
    world
}

#[tokio::test]
async fn whoever_begins_or_forgets_one_while_the_file_system_hangs_is_told_so() {
    let world = World::new().await;
    world.store().put("k", content(100));
    let imports = world.imports();
    let id = world.begin(&imports).await.id;
    ended(&imports, &id).await;
    rested(&imports).await;
    world.store().take_seen();
    let hanging = imports.means.hanging();
    tokio::time::pause();
    let error = begin(&imports, world.form()).await.unwrap_err();
    assert!(error.to_string().contains("the storage server does not answer"), "{error}");
    assert_eq!(error.body().code, Code::TimedOut);
    let error = imports.delete(&id, "jane").await.unwrap_err();
    assert_eq!(error.body().code, Code::TimedOut);
    assert_eq!(world.store().take_seen(), []);
    tokio::time::resume();
    drop(hanging);
    imports.delete(&id, "jane").await.unwrap();
    assert!(imports.list().is_empty());
}

#[tokio::test]
async fn one_that_is_cancelled_stops_leaves_what_is_whole_and_goes_on_with_keys() {
    let world = stuck().await;
    let imports = world.imports();
    let id = world.begin(&imports).await.id;
    until(|| (world.files().iter().filter(|name| name.starts_with("in/")).count() >= 50).then_some(())).await;
    imports.delete(&id, "jane").await.unwrap();
    let import = imports.get(&id).unwrap();
    assert_eq!(import.state, ImportState::Cancelled);
    assert!(import.ended_at.is_some() && import.message.starts_with("it was cancelled"));
    // What was under way is taken away, and no request comes after that.
    until(|| (world.files().len() == 50).then_some(())).await;
    rested(&imports).await;
    // What was sent until then has come.
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.store().take_seen();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.store().take_seen(), []);
    world.store().clear_hook();
    imports.resume(&id, &resume_body(), "jane").await.unwrap();
    let import = ended(&imports, &id).await;
    assert_eq!((import.objects.skipped, import.objects.done), (50, 50));
    assert!(world.read("in/k99") == content(9 << 20));
}

#[tokio::test]
async fn one_that_ended_is_forgotten_with_its_record() {
    let world = World::new().await;
    world.store().put("k", "x");
    let imports = world.imports();
    let id = world.begin(&imports).await.id;
    ended(&imports, &id).await;
    rested(&imports).await;
    assert_eq!(std::fs::read_dir(world.records()).unwrap().count(), 1);
    imports.delete(&id, "jane").await.unwrap();
    assert!(matches!(imports.get(&id), Err(ImportError::NotFound)));
    assert!(matches!(imports.delete(&id, "jane").await, Err(ImportError::NotFound)));
    assert_eq!(std::fs::read_dir(world.records()).unwrap().count(), 0);
    assert_eq!(world.imports().list().len(), 0);
    assert_eq!(world.read("in/k"), b"x");
}

#[tokio::test]
async fn after_a_restart_it_is_interrupted_and_goes_on_with_keys_without_reading_anything_twice() {
    let world = stuck().await;
    let imports = world.imports();
    let id = world.begin(&imports).await.id;
    until(|| (world.files().iter().filter(|name| name.starts_with("in/")).count() >= 50).then_some(())).await;
    // The record of one that runs, as a process that is killed leaves it.
    let record = world.records().join(format!("{id}.json"));
    let killed = std::fs::read(&record).unwrap();
    drop(imports);
    until(|| (world.files().len() == 50).then_some(())).await;
    until(|| (std::fs::read(&record).unwrap() != killed).then_some(())).await;
    std::fs::write(&record, killed).unwrap();

    let imports = world.imports();
    let import = imports.get(&id).unwrap();
    assert_eq!((import.state, import.destination.as_str()), (ImportState::Interrupted, "in"));
    assert!(import.message.contains("enter them again"), "{}", import.message);
    world.store().clear_hook();
    world.fetched();
    let wrong = json!({ "accessKeyId": "AKIDOFNOBODY", "secretAccessKey": "x" }).to_string();
    let error = imports.resume(&id, wrong.as_bytes(), "jane").await.unwrap_err();
    assert_eq!(error.field(), Some("accessKeyId"));
    assert_eq!(imports.get(&id).unwrap().state, ImportState::Interrupted);
    imports.resume(&id, &resume_body(), "jane").await.unwrap();
    let again = imports.resume(&id, &resume_body(), "jane").await;
    assert!(matches!(again, Err(ImportError::State(_))), "it runs already");
    let import = ended(&imports, &id).await;
    assert_eq!((import.state, import.objects.skipped, import.objects.done), (ImportState::Done, 50, 50));
    assert!(world.fetched().iter().all(|key| key.as_str() >= "k50"));
    assert!(matches!(
        imports.resume(&id, &resume_body(), "jane").await,
        Err(ImportError::State(ImportState::Done))
    ));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_no_other_one() {
    let world = World::new().await;
    world.store().put("k", "x");
    let imports = world.imports();
    let id = world.begin(&imports).await.id;
    ended(&imports, &id).await;
    rested(&imports).await;
    drop(imports);
    for (name, text) in [("bad.json", "{"), ("other.json", "{}"), ("x.json.new", "{}"), ("readme", "")] {
        std::fs::write(world.records().join(name), text).unwrap();
    }
    let record = std::fs::read(world.records().join(format!("{id}.json"))).unwrap();
    std::fs::write(world.records().join("stolen.json"), record).unwrap();
    let list = world.imports().list();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].id.as_str(), list[0].state, list[0].objects.done), (&*id, ImportState::Done, 1));
}

#[tokio::test]
async fn so_many_run_at_once_half_of_them_of_one_user_and_no_more() {
    let world = stuck().await;
    let imports = world.imports();
    let form = |n: usize| {
        let mut form = world.form();
        form["destination"] = json!(format!("in{n}"));
        form
    };
    for (n, user) in ["jane", "jane", "joe", "joe"].into_iter().enumerate() {
        let error = if n == 2 { begin_as(&imports, form(9), "jane").await.err() } else { None };
        assert!(n != 2 || matches!(error, Some(ImportError::TooMany(4))), "{error:?}");
        begin_as(&imports, form(n), user).await.unwrap();
    }
    let error = begin_as(&imports, form(9), "jim").await.unwrap_err();
    assert!(matches!(error, ImportError::TooMany(4)), "{error}");
    until(|| (imports.metrics.imports.get() == 4).then_some(())).await;
    let first = imports.list().pop().unwrap();
    imports.delete(&first.id, "jane").await.unwrap();
    until(|| (imports.metrics.imports.get() == 3).then_some(())).await;
    assert!(begin_as(&imports, form(9), "jim").await.is_ok());
}
