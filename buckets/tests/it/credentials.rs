//! Where keys must not be.

use workspacefs_buckets::{Bucket, Credentials, Settings};
use workspacefs_testkit::s3::{ACCESS_KEY_ID, Fault, SECRET_ACCESS_KEY};

use super::{all, bucket, read, service, settings};

/// Whatever the service says, its own echo of the keys too.
#[tokio::test]
async fn no_key_is_in_any_debug_display_or_error() {
    let service = service().await;
    service.store().put("k", "x");
    let mut texts = vec![format!("{:?} {:#?}", settings(&service), bucket(&service))];
    let mut fail = async |settings: Settings| {
        let failed = match Bucket::new(settings) {
            Ok(bucket) => all(&bucket, "").await.map(drop),
            Err(error) => Err(error),
        };
        let error = failed.unwrap_err();
        texts.push(format!("{error} {error:?}"));
    };
    let with = |id: &str, secret: &str| Settings {
        credentials: Credentials::new(id, secret, None),
        ..settings(&service)
    };
    fail(with("AKIDOFNOBODY", SECRET_ACCESS_KEY)).await;
    fail(with(ACCESS_KEY_ID, "a-wrong-secret")).await;
    fail(Settings { endpoint: Some("http://127.0.0.1:1".to_owned()), ..settings(&service) }).await;
    fail(Settings { region: Some("eu-west-1".to_owned()), ..settings(&service) }).await;
    for echo in [ACCESS_KEY_ID, SECRET_ACCESS_KEY] {
        for fault in
            [Fault::Error(400, echo), Fault::Error(403, echo), Fault::Redirect(format!("http://{echo}/"))]
        {
            service.store().on_request(move |_, _| Some(fault.clone()));
            fail(settings(&service)).await;
        }
    }
    service.store().clear_hook();
    let object = all(&bucket(&service), "").await.unwrap().remove(0);
    let download =
        bucket(&service).download(&object, &workspacefs_buckets::Slots::new(1, 10, None)).await.unwrap();
    texts.push(format!("{download:?}"));
    assert!(read(&bucket(&service), &object).await.is_ok());
    for text in texts {
        for key in [ACCESS_KEY_ID, SECRET_ACCESS_KEY, "AKIDOFNOBODY", "a-wrong-secret"] {
            assert!(!text.to_lowercase().contains(&key.to_lowercase()), "{text}");
        }
    }
}
