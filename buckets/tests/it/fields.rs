//! What a person typed wrong.

use workspacefs_buckets::{Bucket, BucketError, Credentials, Exceptions, Field, Guard};
use workspacefs_testkit::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

use super::{all, service, settings};

#[tokio::test]
async fn each_wrong_field_is_named() {
    let service = service().await;
    let with = |change: &dyn Fn(&mut workspacefs_buckets::Settings)| {
        let mut settings = settings(&service);
        change(&mut settings);
        settings
    };
    for (settings, field) in [
        (
            with(&|s| s.credentials = Credentials::new("AKIDOFNOBODY", SECRET_ACCESS_KEY, None)),
            Field::AccessKeyId,
        ),
        (with(&|s| s.credentials = Credentials::new("", SECRET_ACCESS_KEY, None)), Field::AccessKeyId),
        (with(&|s| s.credentials = Credentials::new(ACCESS_KEY_ID, "another", None)), Field::SecretAccessKey),
        (with(&|s| s.credentials = Credentials::new(ACCESS_KEY_ID, "\n", None)), Field::SecretAccessKey),
        (with(&|s| s.bucket = "other".to_owned()), Field::Bucket),
        (with(&|s| s.bucket = "Not A Bucket".to_owned()), Field::Bucket),
        (with(&|s| s.region = Some("eu-west-9".to_owned())), Field::Region),
        (with(&|s| s.region = Some("evil/".to_owned())), Field::Region),
        (with(&|s| s.endpoint = Some(format!("{}/buck", service.endpoint()))), Field::Endpoint),
        (with(&|s| s.guard = Guard::Public(Exceptions::default())), Field::Endpoint),
    ] {
        let listed = match Bucket::new(settings) {
            Ok(bucket) => all(&bucket, "").await,
            Err(error) => Err(error),
        };
        let error = listed.unwrap_err();
        assert_eq!(error.field(), Some(field), "{error}");
    }
}

#[tokio::test]
async fn a_region_is_found_by_itself_and_a_given_one_has_to_be_right() {
    let service = service().await;
    service.store().put("k", "x");
    service.store().set_region("eu-south-2");
    let bucket = Bucket::new(settings(&service)).unwrap();
    assert_eq!(all(&bucket, "").await.unwrap().len(), 1);
    let mut given = settings(&service);
    given.region = Some("eu-south-2".to_owned());
    assert_eq!(all(&Bucket::new(given.clone()).unwrap(), "").await.unwrap().len(), 1);
    given.region = Some("eu-south-1".to_owned());
    let error = all(&Bucket::new(given).unwrap(), "").await.unwrap_err();
    assert_eq!(error.to_string(), "region: the bucket lies in region \"eu-south-2\", not in \"eu-south-1\"");
}

#[tokio::test]
async fn an_address_inside_is_refused_as_it_is_and_behind_a_name() {
    let service = service().await;
    let port = service.endpoint().rsplit_once(':').unwrap().1.to_owned();
    for host in
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "169.254.169.254"]
    {
        let mut settings = settings(&service);
        settings.endpoint = Some(format!("http://{host}:{port}"));
        settings.guard = Guard::Public(Exceptions::default());
        let error = match Bucket::new(settings) {
            Ok(bucket) => all(&bucket, "").await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, BucketError::EndpointForbidden(_)), "{host}: {error}");
    }
    assert_eq!(service.store().take_seen(), []);
}

#[tokio::test]
async fn what_an_administrator_allows_is_connected_to_by_its_address_or_by_its_name() {
    let service = service().await;
    service.store().put("k", "x");
    let port = service.endpoint().rsplit_once(':').unwrap().1.to_owned();
    for (allowed, host, is_allowed) in [
        ("127.0.0.0/8", "127.0.0.1", true),
        ("127.0.0.0/8", "localhost", true),
        ("localhost", "localhost", true),
        ("localhost", "127.0.0.1", false),
        ("10.0.0.0/8", "127.0.0.1", false),
    ] {
        let mut exceptions = Exceptions::default();
        exceptions.allow(allowed.parse().unwrap());
        let mut settings = settings(&service);
        settings.endpoint = Some(format!("http://{host}:{port}"));
        settings.guard = Guard::Public(exceptions);
        let listed = match Bucket::new(settings) {
            Ok(bucket) => all(&bucket, "").await.map(drop),
            Err(error) => Err(error),
        };
        assert_eq!(listed.is_ok(), is_allowed, "{allowed} {host}: {listed:?}");
        let is_refused = matches!(listed, Err(BucketError::EndpointForbidden(_)));
        assert_eq!(is_refused, !is_allowed, "{allowed} {host}");
    }
}
