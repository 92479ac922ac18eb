//! Addresses that a user must not reach by us, and texts that must not have his keys.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, Fault, SECRET_ACCESS_KEY};

use super::{World, begin, ended, rested, resume_body};

#[tokio::test]
async fn endpoints_of_this_machine_and_of_the_cluster_are_refused_unless_they_are_allowed() {
    let mut world = World::new().await;
    world.store().put("k", "x");
    world.allowed = &[];
    let port = world.service.endpoint().rsplit_once(':').unwrap().1.to_owned();
    let imports = world.imports();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0x7f000001",
        "169.254.169.254",
        "10.96.0.1",
        "192.168.0.1",
        "172.16.3.4",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "0.0.0.0",
    ] {
        let mut form = world.form();
        form["endpoint"] = json!(format!("http://{host}:{port}"));
        let error = begin(&imports, form).await.unwrap_err();
        assert_eq!(error.field(), Some("endpoint"), "{host}: {error}");
        assert!(error.to_string().contains("an administrator has to allow it"), "{host}: {error}");
    }
    assert_eq!(world.store().take_seen(), []);
    world.allowed = &["localhost"];
    let imports = world.imports();
    let mut form = world.form();
    form["endpoint"] = json!(format!("http://localhost:{port}"));
    let id = begin(&imports, form).await.unwrap().id;
    assert_eq!(ended(&imports, &id).await.objects.done, 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed_neither_at_the_beginning_nor_later() {
    let world = World::new().await;
    let other = FakeS3::start("buck").await.unwrap();
    for key in ["k", "l"] {
        world.store().put(key, "here");
        other.store().put(key, "there");
    }
    let to = format!("{}/buck/k", other.endpoint());
    let everywhere = to.clone();
    world.store().on_request(move |_, _| Some(Fault::Redirect(everywhere.clone())));
    let error = begin(&world.imports(), world.form()).await.unwrap_err();
    assert_eq!(error.field(), Some("endpoint"), "{error}");
    world.store().on_request(move |seen, _| (seen.key == "k").then(|| Fault::Redirect(to.clone())));
    let import = world.import().await;
    assert_eq!(import.field.as_deref(), Some("endpoint"), "{}", import.message);
    assert!(!world.files().contains("in/k"));
    assert_eq!(other.store().take_seen(), []);
}

/// All lines of a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// On one thread, so that all of it is logged here, as loudly as can be.
#[tokio::test]
async fn no_key_is_in_any_answer_record_or_line_of_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    world.store().put("k", "x");
    let imports = world.imports();
    let mut texts = Vec::new();
    // Done, and then refused in each way.
    let id = world.begin(&imports).await.id;
    texts.push(format!("{:?}", ended(&imports, &id).await));
    let wrong_keys = [("AKIDOFNOBODY", SECRET_ACCESS_KEY), (ACCESS_KEY_ID, "a-wrong-secret")];
    for (key, secret) in wrong_keys {
        let mut form = world.form();
        (form["accessKeyId"], form["secretAccessKey"]) = (json!(key), json!(secret));
        let error = begin(&imports, form).await.unwrap_err();
        texts.push(format!("{error} {error:?}"));
    }
    for field in ["bucket", "provider", "endpoint", "region", "destination"] {
        let mut form = world.form();
        form[field] = json!([SECRET_ACCESS_KEY]);
        let error = begin(&imports, form).await.unwrap_err();
        texts.push(format!("{error} {error:?}"));
    }
    // A service that says them back, about one object and about all.
    world.store().put("l", "x");
    for echo in [ACCESS_KEY_ID, SECRET_ACCESS_KEY] {
        world.store().on_request(move |seen, _| (seen.key == "l").then_some(Fault::Error(400, echo)));
        let id = world.begin(&imports).await.id;
        let import = ended(&imports, &id).await;
        assert_eq!(import.objects.failed, 1);
        texts.push(serde_json::to_string(&import).unwrap());
    }
    world.store().on_request(|seen, _| (seen.key == "l").then_some(Fault::Error(503, SECRET_ACCESS_KEY)));
    let id = world.begin(&imports).await.id;
    texts.push(serde_json::to_string(&ended(&imports, &id).await).unwrap());
    world.store().clear_hook();
    imports.resume(&id, &resume_body(), "jane").await.unwrap();
    ended(&imports, &id).await;
    texts.push(format!("{imports:?} {:#?}", imports.list()));
    rested(&imports).await;
    for entry in std::fs::read_dir(world.records()).unwrap() {
        texts.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("an import begins") && log.contains(&id), "the log is looked at");
    texts.push(log);
    for text in &texts {
        for key in [ACCESS_KEY_ID, SECRET_ACCESS_KEY, "AKIDOFNOBODY", "a-wrong-secret"] {
            assert!(!text.to_lowercase().contains(&key.to_lowercase()), "{key} in {text}");
        }
    }
}
