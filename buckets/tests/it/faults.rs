//! What happens while it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use workspacefs_buckets::{BucketError, Slots};
use workspacefs_testkit::s3::Fault;

use super::{PART, all, bucket, content, read, service, settings};

#[tokio::test]
async fn an_object_that_is_changed_between_two_ranges_is_changed_and_never_a_mixture() {
    for knows_if_match in [true, false] {
        let service = service().await;
        let store = service.store();
        store.set_knows_if_match(knows_if_match);
        store.put("k", content(5000));
        let bucket = bucket(&service);
        let object = all(&bucket, "").await.unwrap().remove(0);
        store.on_request(|seen, store| {
            if seen.range.as_deref() == Some("bytes=2000-2999") {
                store.put("k", vec![b'n'; 5000]);
            }
            None
        });
        let error = read(&bucket, &object).await.unwrap_err();
        assert!(matches!(error, BucketError::Changed), "{error}");
    }
}

#[tokio::test]
async fn an_object_that_is_another_one_than_the_listing_said_is_changed_whatever_the_service_knows() {
    for knows_if_match in [true, false] {
        for (before, after) in [(10, 10), (10, 11), (10, 9), (3000, 3000), (3000, 10), (10, 3000)] {
            let service = service().await;
            service.store().set_knows_if_match(knows_if_match);
            service.store().put("k", content(before));
            let bucket = bucket(&service);
            let object = all(&bucket, "").await.unwrap().remove(0);
            service.store().put("k", vec![b'n'; after]);
            let error = read(&bucket, &object).await.unwrap_err();
            let cut = !knows_if_match && after < before && matches!(error, BucketError::Cut(_));
            assert!(
                matches!(error, BucketError::Changed) || cut,
                "{before} {after} {knows_if_match}: {error}"
            );
            service.store().remove("k");
            assert!(matches!(read(&bucket, &object).await, Err(BucketError::NotFound)));
        }
    }
}

#[tokio::test]
async fn what_is_over_in_a_moment_is_not_noticed_and_what_is_not_says_so_after_some_tries() {
    for fault in
        [Fault::Error(503, "SlowDown"), Fault::Error(500, "InternalError"), Fault::Cut, Fault::Silence]
    {
        let service = service().await;
        service.store().put("k", content(2500));
        let bucket = bucket(&service);
        let object = all(&bucket, "").await.unwrap().remove(0);
        let count = Arc::new(AtomicUsize::new(0));
        let (counted, every) = (Arc::clone(&count), fault.clone());
        service.store().on_request(move |_, _| {
            let is_odd = counted.fetch_add(1, Ordering::Relaxed) % 2 == 0;
            is_odd.then(|| every.clone())
        });
        assert_eq!(read(&bucket, &object).await.unwrap().0, content(2500), "{fault:?}");
        let always = fault.clone();
        service.store().take_seen();
        service.store().on_request(move |seen, _| (seen.method == "GET").then(|| always.clone()));
        let error = read(&bucket, &object).await.unwrap_err();
        let expected = matches!(
            (&fault, &error),
            (Fault::Error(..), BucketError::Unavailable(_))
                | (Fault::Cut, BucketError::Cut(_))
                | (Fault::Silence, BucketError::Unreachable { .. })
        );
        assert!(expected, "{fault:?}: {error}");
        let first = service
            .store()
            .take_seen()
            .iter()
            .filter(|seen| seen.range.as_deref() == Some("bytes=0-999"))
            .count();
        assert_eq!(first, 4, "{fault:?}");
    }
}

#[tokio::test]
async fn a_flipped_bit_is_found() {
    let service = service().await;
    service.store().put("k", content(2500));
    let bucket = bucket(&service);
    let object = all(&bucket, "").await.unwrap().remove(0);
    service
        .store()
        .on_request(|seen, _| (seen.range.as_deref() == Some("bytes=1000-1999")).then_some(Fault::Flip));
    assert!(matches!(read(&bucket, &object).await, Err(BucketError::Checksum(_))));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_no_key_goes_there() {
    let (service, other) = (service().await, super::service().await);
    other.store().put("k", "there");
    service.store().put("k", "here");
    let to = format!("{}/buck/k", other.endpoint());
    service.store().on_request(move |_, _| Some(Fault::Redirect(to.clone())));
    let error = all(&bucket(&service), "").await.unwrap_err();
    assert!(matches!(&error, BucketError::Redirect(to) if to == "to 127.0.0.1"), "{error}");
    assert_eq!(other.store().take_seen(), []);
}

#[tokio::test]
async fn a_bucket_that_goes_while_it_is_read_says_so() {
    let service = service().await;
    service.store().put("k", content(5000));
    let bucket = bucket(&service);
    let object = all(&bucket, "").await.unwrap().remove(0);
    let mut download = bucket.download(&object, &Slots::new(1, PART, None)).await.unwrap();
    assert!(download.next().await.unwrap().is_some());
    service.store().set_exists(false);
    assert!(matches!(download.next().await, Err(BucketError::NoSuchBucket(_))));
    assert!(matches!(all(&bucket, "").await, Err(BucketError::NoSuchBucket(_))));
}

#[tokio::test]
async fn where_nobody_listens_the_endpoint_is_named() {
    let service = service().await;
    let mut settings = settings(&service);
    settings.endpoint = Some("http://127.0.0.1:1".to_owned());
    let error = all(&workspacefs_buckets::Bucket::new(settings).unwrap(), "").await.unwrap_err();
    assert!(error.to_string().starts_with("endpoint: no answer from 127.0.0.1:1: "), "{error}");
}
