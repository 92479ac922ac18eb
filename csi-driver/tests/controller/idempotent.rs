//! What the specification calls idempotent, sentence by sentence, for a volume on a share and for one of the embedded
//! server's. docs/conformance.md lists these tests, and those of the node, beside the sentences.

use std::fs;
use std::path::Path;

use tonic::Code;
use workspacefs_csi_proto::csi::v1::Volume;

use crate::world::{GIB, Setup, State, UID, World, managed_world, nfs, setup, sized_wish};

/// A controller on each kind of home.
async fn both() -> [Setup; 2] {
    [setup(World::with(vec![nfs("default", UID)])).await, setup(managed_world()).await]
}

/// How many volumes there are, and how many left.
fn count(setup: &Setup) -> (usize, usize) {
    let claims =
        |state: &State| state.agent.file_systems.values().map(|kept| kept.claims.len()).sum::<usize>();
    setup
        .world
        .get(|state| (state.volumes.len() + claims(state), state.left.len() + state.agent.removed.len()))
}

async fn created(setup: &mut Setup) -> Volume {
    setup.create(sized_wish("pvc-1", GIB, 0)).await.unwrap()
}

#[tokio::test]
async fn create_volume_is_idempotent() {
    for mut setup in both().await {
        let first = created(&mut setup).await;
        for _ in 0..3 {
            assert_eq!(created(&mut setup).await, first);
        }
        assert_eq!(count(&setup), (1, 0));
        setup.server.stop().await;
    }
}

#[tokio::test]
async fn create_volume_of_a_name_that_has_another_size_is_already_exists() {
    for mut setup in both().await {
        created(&mut setup).await;
        let bigger = setup.create(sized_wish("pvc-1", 2 * GIB, 0)).await;
        assert_eq!(bigger, Err(Code::AlreadyExists));
        assert_eq!(count(&setup), (1, 0));
        setup.server.stop().await;
    }
}

#[tokio::test]
async fn delete_volume_is_idempotent() {
    for mut setup in both().await {
        let id = created(&mut setup).await.volume_id;
        for _ in 0..3 {
            assert_eq!(setup.delete(&id).await, Ok(()));
        }
        assert_eq!(count(&setup), (0, 1));
        setup.server.stop().await;
    }
}

#[tokio::test]
async fn delete_volume_of_a_volume_that_does_not_exist_is_ok() {
    for mut setup in both().await {
        created(&mut setup).await;
        for id in ["unknown", &format!("v1.vol.{UID}.pvc-2")] {
            assert_eq!(setup.delete(id).await, Ok(()), "{id}");
        }
        assert_eq!(count(&setup), (1, 0));
        setup.server.stop().await;
    }
}

#[tokio::test]
async fn validate_volume_capabilities_is_idempotent() {
    for mut setup in both().await {
        let id = created(&mut setup).await.volume_id;
        let first = setup.validate(&id, |_| ()).await.unwrap();
        assert!(first.confirmed.is_some());
        for _ in 0..3 {
            assert_eq!(setup.validate(&id, |_| ()).await.unwrap(), first);
        }
        assert_eq!(count(&setup), (1, 0));
        setup.server.stop().await;
    }
}

#[tokio::test]
async fn controller_expand_volume_is_idempotent() {
    let [share, mut managed] = both().await;
    // On a share nothing grows, however often it is asked.
    share.server.stop().await;
    let id = created(&mut managed).await.volume_id;
    let first = managed.expand(&id, 3 * GIB, 0).await.unwrap();
    for _ in 0..3 {
        assert_eq!(managed.expand(&id, 3 * GIB, 0).await.unwrap(), first);
    }
    assert_eq!(managed.world.get(|state| state.agent.file_systems[UID].claims["pvc-1"]), 3 * GIB as u64);
    managed.server.stop().await;
}

#[tokio::test]
async fn controller_expand_volume_to_a_size_that_it_has_is_ok() {
    let mut managed = setup(managed_world()).await;
    let id = created(&mut managed).await.volume_id;
    for asked in [1, GIB] {
        assert_eq!(managed.expand(&id, asked, 0).await.unwrap().capacity_bytes, GIB, "{asked}");
    }
    assert_eq!(managed.world.get(|state| state.agent.file_systems[UID].claims["pvc-1"]), GIB as u64);
    managed.server.stop().await;
}

#[test]
fn the_document_names_tests_that_exist() {
    let crate_ = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(crate_.join("../docs/conformance.md")).unwrap();
    let section = document.split("\n## Repeated calls\n").nth(1).expect("the section is missing");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut sources = String::new();
    for folder in ["tests/controller", "tests/node/cases"] {
        for file in fs::read_dir(crate_.join(folder)).unwrap() {
            sources.push_str(&fs::read_to_string(file.unwrap().path()).unwrap());
        }
    }
    let quoted: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
    let named: Vec<&str> =
        quoted.into_iter().filter(|name| name.len() > 20 && !name.contains(['/', ' '])).collect();
    assert!(named.len() >= 10, "{named:?}");
    for name in named {
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}
