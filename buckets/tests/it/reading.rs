//! What is in them, and how sure that is.

use std::time::Duration;

use workspacefs_buckets::{Algorithm, Assurance, BucketError, Slots, Unchecked};

use super::{PART, all, bucket, content, read, read_through, service};

#[tokio::test]
async fn an_object_of_any_length_is_read_whole_and_a_large_one_in_parts_of_one_version() {
    let service = service().await;
    let bucket = bucket(&service);
    for length in [0, 1, 999, 1000, 1001, 2000, 12_345] {
        service.store().put("a b/ä+%2F//x", content(length));
        let object = all(&bucket, "").await.unwrap().remove(0);
        service.store().take_seen();
        let read = read(&bucket, &object).await.unwrap();
        assert_eq!(read, (content(length), Assurance::Content(Algorithm::Md5)), "{length}");
        let seen = service.store().take_seen();
        let parts = length.div_ceil(PART as usize).max(1);
        assert_eq!(seen.len(), if parts == 1 { 1 } else { parts + 1 }, "{length}: {seen:?}");
        assert!(
            seen.iter().all(|request| request.if_match.as_deref() == Some(object.etag.as_str())),
            "{seen:?}"
        );
    }
}

/// The checksums by coreutils and by python's zlib and hashlib.
#[tokio::test]
async fn content_is_compared_with_what_the_service_offers_and_where_that_is_nothing_it_says_so() {
    let service = service().await;
    let bucket = bucket(&service);
    let parts = "0123456789abcdef0123456789abcdef-3";
    for (headers, etag, expected) in [
        (&[("x-amz-checksum-crc32", "y/Q5Jg==")][..], "x", Assurance::Content(Algorithm::Crc32)),
        (&[("x-amz-checksum-crc64nvme", "rosUhgp5mIg=")], parts, Assurance::Content(Algorithm::Crc64Nvme)),
        (&[("x-amz-checksum-crc32", "y/Q5Jg==-3")], parts, Assurance::Size(Unchecked::InParts)),
        (&[], parts, Assurance::Size(Unchecked::InParts)),
        (
            &[("x-amz-server-side-encryption", "aws:kms")],
            "0123456789abcdef0123456789abcdef",
            Assurance::Size(Unchecked::Encrypted),
        ),
        (&[], "anything", Assurance::Size(Unchecked::Nothing)),
    ] {
        service.store().put_as("k", b"123456789".to_vec(), etag, headers);
        let object = all(&bucket, "").await.unwrap().remove(0);
        assert_eq!(
            read(&bucket, &object).await.unwrap(),
            (b"123456789".to_vec(), expected),
            "{headers:?} {etag}"
        );
    }
    let of_parts = content(2500);
    service.store().put_as("k", of_parts.clone(), parts, &[]);
    let object = all(&bucket, "").await.unwrap().remove(0);
    assert_eq!(read(&bucket, &object).await.unwrap(), (of_parts, Assurance::Size(Unchecked::InParts)));
}

#[tokio::test]
async fn a_content_that_is_not_the_checksums_is_an_error_small_or_large() {
    let service = service().await;
    let bucket = bucket(&service);
    for length in [10, 2500] {
        let md5_of_another = "0123456789abcdef0123456789abcdef";
        service.store().put_as("k", content(length), md5_of_another, &[]);
        let object = all(&bucket, "").await.unwrap().remove(0);
        let error = read(&bucket, &object).await.unwrap_err();
        assert!(matches!(error, BucketError::Checksum(Algorithm::Md5)), "{error}");
    }
}

#[tokio::test]
async fn many_large_objects_share_few_slots_and_none_waits_for_ever() {
    let service = service().await;
    (0..20).for_each(|n| service.store().put(&format!("{n:02}"), content(10_000 + n)));
    let bucket = bucket(&service);
    for (slots, ahead) in [(1, 0), (2, 0), (7, 0), (1, 1), (2, 30), (7, 3)] {
        let slots = Slots::new(slots, PART, None).asking_ahead(ahead);
        let mut tasks = tokio::task::JoinSet::new();
        for object in all(&bucket, "").await.unwrap() {
            let (bucket, slots) = (bucket.clone(), slots.clone());
            tasks.spawn(async move {
                let mut download = bucket.download(&object, &slots).await.unwrap();
                let mut length = 0;
                while let Some(part) = download.next().await.unwrap() {
                    length += part.bytes.len();
                    tokio::task::yield_now().await;
                }
                download.finish().unwrap();
                length
            });
        }
        let lengths: usize = tasks.join_all().await.into_iter().sum();
        assert_eq!(lengths, 200_000 + 190);
    }
}

#[tokio::test]
async fn what_is_asked_for_beyond_the_memory_waits_for_it_and_gives_its_turn_back_when_nobody_reads_on() {
    let service = service().await;
    service.store().put("k", content(10_000));
    let bucket = bucket(&service);
    let object = all(&bucket, "").await.unwrap().remove(0);
    let slots = Slots::new(1, PART, None).asking_ahead(3);
    for _ in 0..3 {
        service.store().take_seen();
        let mut download = bucket.download(&object, &slots).await.unwrap();
        let first = download.next().await.unwrap().unwrap();
        let second = tokio::time::timeout(Duration::from_millis(300), download.next()).await;
        assert!(second.is_err(), "there is memory for one part, and the first one has it");
        // The head, and the parts.
        assert_eq!(service.store().take_seen().len(), 1 + 4);
        drop(first);
    }
    let (read, _) = read_through(&slots, &bucket, &object).await.unwrap();
    assert_eq!(read, content(10_000));
}
