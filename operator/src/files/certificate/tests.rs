//! A workspace's Secret under several FileSystems, at the turn of certificates, and with what others did to it.

use workspacefs_testkit::{FakeApi, Fault, Moment, Request, Verb, builders};

use super::*;

const SPACE: &str = "team-a";

fn at(days: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + days * 86_400).unwrap()
}

async fn world() -> FakeApi {
    let api = FakeApi::start().await;
    api.put(&builders::namespace(SPACE, &[]));
    api
}

/// A FileSystem that is there, so that what it owns is not garbage.
fn file_system(api: &FakeApi, name: &str) -> Identity {
    let fs = api.put(&builders::file_system(SPACE, name, builders::managed("1Gi")));
    Identity::of(&fs.metadata).unwrap()
}

fn trust(now: Timestamp) -> Trust {
    let authority = certificates::authority("test", now).unwrap();
    Trust { bundle: authority.certificate.clone(), authority, public_keys: Vec::new() }
}

fn certificates(api: &FakeApi) -> Certificates {
    Certificates::new(api.client_as("t"))
}

fn stored(api: &FakeApi) -> Option<Secret> {
    api.find("Secret", SPACE, FILES_SECRET)
}

fn entries(api: &FakeApi) -> Vec<String> {
    stored(api).unwrap().data.unwrap().into_keys().collect()
}

fn print(held: Held) -> String {
    match held {
        Held::Good(print) => print,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_file_system_has_its_two_entries_and_the_secret_goes_with_the_last() {
    let api = world().await;
    let (a, b) = (file_system(&api, "a"), file_system(&api, "b"));
    let (certificates, trust) = (certificates(&api), trust(at(0)));
    let first = print(certificates.ensure(&a, &trust, at(0)).await.unwrap());
    let second = print(certificates.ensure(&b, &trust, at(0)).await.unwrap());
    assert_ne!(first, second);
    let mut all =
        vec![certificate_entry(&a.uid), key_entry(&a.uid), certificate_entry(&b.uid), key_entry(&b.uid)];
    all.sort_unstable();
    assert_eq!(entries(&api), all);
    let secret = stored(&api).unwrap();
    assert_eq!(owners(&secret).count(), 2);
    assert!(owners(&secret).all(|owner| owner.controller.is_none()), "it has several owners");

    certificates.remove(&a).await.unwrap();
    assert_eq!(entries(&api), [certificate_entry(&b.uid), key_entry(&b.uid)]);
    assert_eq!(owners(&stored(&api).unwrap()).count(), 1);
    certificates.remove(&b).await.unwrap();
    assert!(stored(&api).is_none());
    certificates.remove(&b).await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_read_once_and_renewed_before_it_ends() {
    let api = world().await;
    let (fs, trust) = (file_system(&api, "a"), trust(at(0)));
    let first = certificates(&api);
    let old = print(first.ensure(&fs, &trust, at(0)).await.unwrap());
    let asked = api.requests().len();
    assert_eq!(print(first.ensure(&fs, &trust, at(0)).await.unwrap()), old);
    assert_eq!(api.requests().len(), asked, "what was seen is believed for a while");
    // Another operator, as after a restart.
    assert_eq!(print(certificates(&api).ensure(&fs, &trust, at(200)).await.unwrap()), old);
    assert_ne!(print(certificates(&api).ensure(&fs, &trust, at(300)).await.unwrap()), old);
}

#[tokio::test]
async fn what_was_seen_is_not_believed_for_ever() {
    let api = world().await;
    let (fs, trust, certificates) = (file_system(&api, "a"), trust(at(0)), certificates(&api));
    let first = print(certificates.ensure(&fs, &trust, at(0)).await.unwrap());
    assert!(api.delete("Secret", SPACE, FILES_SECRET));
    let later = |seconds| Timestamp::from_second(at(0).as_second() + seconds).unwrap();
    assert_eq!(print(certificates.ensure(&fs, &trust, later(BELIEVED_SECONDS - 1)).await.unwrap()), first);
    assert_ne!(print(certificates.ensure(&fs, &trust, later(BELIEVED_SECONDS)).await.unwrap()), first);
    assert!(stored(&api).is_some());
}

#[tokio::test]
async fn another_authority_means_another_certificate() {
    let api = world().await;
    let (fs, old, new) = (file_system(&api, "a"), trust(at(0)), trust(at(1)));
    let certificates = certificates(&api);
    let first = print(certificates.ensure(&fs, &old, at(1)).await.unwrap());
    // While both are believed, what the old one signed is good.
    let both = Trust { bundle: format!("{}{}", new.bundle, old.bundle), ..trust(at(1)) };
    assert_eq!(print(certificates.ensure(&fs, &both, at(1)).await.unwrap()), first);
    assert_ne!(print(certificates.ensure(&fs, &new, at(1)).await.unwrap()), first);
}

#[tokio::test]
async fn the_certificate_bears_the_name_by_which_the_gateway_calls() {
    let api = world().await;
    let (fs, trust) = (file_system(&api, "a"), trust(at(0)));
    certificates(&api).ensure(&fs, &trust, at(0)).await.unwrap();
    let pair = pair(&stored(&api).unwrap(), &fs.uid).unwrap();
    let pem = x509_parser::pem::Pem::iter_from_buffer(pair.certificate.as_bytes()).next().unwrap().unwrap();
    let certificate = pem.parse_x509().unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    assert_eq!(names, [x509_parser::extensions::GeneralName::DNSName(&tls_name(&fs.uid))]);
}

#[tokio::test]
async fn a_foreign_secret_is_left_alone() {
    let api = world().await;
    let theirs = api.put(&builders::object::<Secret>(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": SPACE, "name": FILES_SECRET},
        "type": "Opaque", "data": {"x": "eA=="},
    })));
    let (fs, trust, certificates) = (file_system(&api, "a"), trust(at(0)), certificates(&api));
    assert_eq!(certificates.ensure(&fs, &trust, at(0)).await.unwrap(), Held::Foreign);
    certificates.remove(&fs).await.unwrap();
    assert_eq!(stored(&api), Some(theirs));
}

#[tokio::test]
async fn what_the_namespace_does_not_admit_is_told() {
    let api = world().await;
    let (fs, trust, certificates) = (file_system(&api, "a"), trust(at(0)), certificates(&api));
    drop(api.trap(0, Moment::Before, Fault::Status(403), |request: &Request| request.resource == "secrets"));
    assert!(matches!(certificates.ensure(&fs, &trust, at(0)).await.unwrap(), Held::Refused(_)));
    print(certificates.ensure(&fs, &trust, at(0)).await.unwrap());
}

#[tokio::test]
async fn passes_at_the_same_time_lose_nothing_of_each_other() {
    let api = world().await;
    let all: Vec<Identity> = (0..8).map(|n| file_system(&api, &format!("fs-{n}"))).collect();
    let (certificates, trust) = (certificates(&api), trust(at(0)));
    let ensured = futures::future::join_all(all.iter().map(|fs| async {
        // A pass that is overtaken too often is tried again.
        loop {
            if let Ok(Held::Good(print)) = certificates.ensure(fs, &trust, at(0)).await {
                return print;
            }
        }
    }));
    ensured.await;
    assert_eq!(entries(&api).len(), 16);
    assert_eq!(owners(&stored(&api).unwrap()).count(), 8);
    futures::future::join_all(all[1..].iter().map(|fs| async {
        while stored(&api).is_some_and(|secret| owners(&secret).any(|owner| owner.uid == fs.uid)) {
            drop(certificates.remove(fs).await);
        }
    }))
    .await;
    assert_eq!(entries(&api), [certificate_entry(&all[0].uid), key_entry(&all[0].uid)]);
    assert!(api.requests().iter().all(|request| !matches!(request.verb, Verb::List | Verb::Watch)));
}
