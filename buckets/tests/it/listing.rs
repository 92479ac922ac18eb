//! Which objects there are.

use workspacefs_buckets::BucketError;

use super::{all, bucket, service};

#[tokio::test]
async fn every_key_is_listed_whatever_is_in_it_and_only_those_of_the_prefix() {
    let service = service().await;
    let keys = [
        "a//b",
        "a/",
        "a",
        "a/../b",
        "/",
        "//",
        "p q+r%20",
        "x\u{1}\ny",
        "ä&<>\"'",
        "\u{ffff}",
        ".",
        "z?#[]@!$*,;=~",
    ];
    keys.iter().for_each(|key| service.store().put(key, "x"));
    let bucket = bucket(&service);
    let mut expected: Vec<String> = keys.map(str::to_owned).into();
    expected.sort();
    let listed: Vec<String> = all(&bucket, "").await.unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(listed, expected);
    let of = async |prefix| all(&bucket, prefix).await.unwrap().len();
    assert_eq!((of("a/").await, of("x\u{1}\n").await, of("p q+").await, of("none").await), (3, 1, 1, 0));
}

#[tokio::test]
async fn a_bucket_of_2500_objects_comes_in_three_pages_of_which_one_is_held() {
    let service = service().await;
    (0..2500).for_each(|n| service.store().put(&format!("k/{n:05} +"), vec![b'x'; n % 7]));
    let mut pages = bucket(&service).list("k/");
    let mut sizes = Vec::new();
    let mut last = String::new();
    while let Some(page) = pages.next().await.unwrap() {
        sizes.push(page.len());
        for object in page {
            assert!(object.key > last, "{} after {last}", object.key);
            last = object.key;
        }
    }
    assert_eq!((sizes, &*last), (vec![1000, 1000, 500], "k/02499 +"));
    assert_eq!(service.store().take_seen().len(), 3);
    assert!(pages.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_listing_goes_on_after_an_error_where_it_was() {
    let service = service().await;
    (0..1500).for_each(|n| service.store().put(&format!("{n:04}"), ""));
    let mut pages = bucket(&service).list("");
    assert_eq!(pages.next().await.unwrap().unwrap().len(), 1000);
    service.store().set_exists(false);
    assert!(matches!(pages.next().await, Err(BucketError::NoSuchBucket(_))));
    service.store().set_exists(true);
    assert_eq!(pages.next().await.unwrap().unwrap()[0].key, "1000");
}
