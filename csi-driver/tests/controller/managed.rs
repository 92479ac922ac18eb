//! Volumes of a managed FileSystem: made, grown and removed by the embedded server's agent.

use csi_driver::controller::agent::AgentError;
use tonic::Code;
use workspacefs_agent_proto::v1::Disposal;
use workspacefs_api::ReclaimPolicy;
use workspacefs_api::path::RelativePath;
use workspacefs_api::volume::{Folder, VolumeAttributes};
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessType, BlockVolume};
use workspacefs_csi_proto::csi::v1::*;

use crate::world::{
    GIB, OTHER_UID, SERVER, Setup, UID, capability, k8s_quantity, managed, managed_world, mount, parameters,
    refused, setup, sized_wish,
};

async fn default_setup() -> Setup {
    setup(managed_world()).await
}

fn claims(setup: &Setup) -> Vec<(String, i64)> {
    setup.world.get(|state| {
        let claims = &state.agent.file_systems[UID].claims;
        claims.iter().map(|(name, size)| (name.clone(), *size as i64)).collect()
    })
}

#[tokio::test]
async fn a_created_volume_has_the_size_that_is_enforced_and_says_where_it_is() {
    let mut setup = default_setup().await;
    let volume = setup.create(sized_wish("pvc-1", 3 * GIB, 0)).await.unwrap();
    assert_eq!(volume.volume_id, format!("v1.vol.{UID}.pvc-1"));
    assert_eq!(volume.capacity_bytes, 3 * GIB);
    let attributes = VolumeAttributes::from_map(&volume.volume_context).unwrap();
    let folder = RelativePath::parse(&format!("claims/{UID}/pvc-1")).unwrap();
    assert_eq!(attributes.folder, Folder::Existing(folder));
    assert_eq!((attributes.server.as_str(), attributes.export.as_str()), (SERVER, "/workspacefs"));
    assert_eq!(claims(&setup), [("pvc-1".into(), 3 * GIB)]);
    setup.server.stop().await;
}

#[tokio::test]
async fn without_a_size_the_server_chooses_one_and_it_is_told() {
    let mut setup = default_setup().await;
    let request = CreateVolumeRequest { capacity_range: None, ..sized_wish("pvc-1", 0, 0) };
    assert_eq!(setup.create(request).await.unwrap().capacity_bytes, GIB);
    setup.server.stop().await;
}

#[tokio::test]
async fn creating_again_gives_the_same_volume_and_another_size_is_refused() {
    let mut setup = default_setup().await;
    let first = setup.create(sized_wish("pvc-1", 3 * GIB, 0)).await.unwrap();
    for (required, limit) in [(3 * GIB, 0), (GIB, 0), (0, 0), (3 * GIB, 3 * GIB), (0, 4 * GIB)] {
        let again = setup.create(sized_wish("pvc-1", required, limit)).await;
        assert_eq!(again.unwrap(), first, "{required}..{limit}");
    }
    for (required, limit) in [(4 * GIB, 0), (GIB, 2 * GIB)] {
        let other = setup.create(sized_wish("pvc-1", required, limit)).await;
        assert_eq!(other, Err(Code::AlreadyExists), "{required}..{limit}");
    }
    assert_eq!(claims(&setup).len(), 1);
    setup.server.stop().await;
}

#[tokio::test]
async fn more_than_is_left_is_refused_with_both_numbers() {
    let mut setup = default_setup().await;
    // Ten, of which two are used.
    for (size, code, words) in [
        (11 * GIB, Code::OutOfRange, [(11 * GIB).to_string(), (10 * GIB).to_string()]),
        (9 * GIB, Code::ResourceExhausted, [(9 * GIB).to_string(), (8 * GIB).to_string()]),
    ] {
        let status = setup.try_create(sized_wish("pvc-1", size, 0)).await.unwrap_err();
        assert_eq!(status.code(), code);
        for word in words {
            assert!(status.message().contains(&word), "{word}: {}", status.message());
        }
    }
    assert_eq!(claims(&setup), []);
    assert!(setup.create(sized_wish("pvc-1", 8 * GIB, 0)).await.is_ok());
    setup.server.stop().await;
}

#[tokio::test]
async fn create_volume_ends_in_a_terminal_code_whatever_the_agent_does() {
    let mut setup = default_setup().await;
    let failures: [(fn() -> AgentError, Code); 8] = [
        (|| AgentError::NotSetUp, Code::FailedPrecondition),
        (
            || AgentError::Credentials { folder: "/etc/tls".into(), source: "no such file".into() },
            Code::Internal,
        ),
        (|| AgentError::Unreachable { server: SERVER.into(), reason: "refused".into() }, Code::Internal),
        // Of this one nobody knows whether it is still at work.
        (|| AgentError::Late { server: SERVER.into() }, Code::DeadlineExceeded),
        (|| refused(Code::Unavailable, "the disk is not mounted yet"), Code::Internal),
        (|| refused(Code::NotFound, "no such FileSystem"), Code::FailedPrecondition),
        (|| refused(Code::Internal, "I/O error"), Code::Internal),
        (|| refused(Code::Cancelled, "?"), Code::Internal),
    ];
    for (failure, code) in failures {
        setup.world.set(|state| state.agent.failure = Some(failure));
        let status = setup.try_create(sized_wish("pvc-1", GIB, 0)).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(&failure().to_string()), "its own words: {}", status.message());
    }
    setup.server.stop().await;
}

#[tokio::test]
async fn a_file_system_that_is_not_made_yet_gets_no_volume_and_is_named() {
    let world = managed_world();
    world.set(|state| state.file_systems[0].status = None);
    let mut setup = setup(world).await;
    let status = setup.try_create(sized_wish("pvc-1", GIB, 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "terminal");
    assert!(status.message().contains("team-a/default is not ready"), "{}", status.message());
    // Of a volume that is there it says only that one must wait.
    let id = format!("v1.vol.{UID}.pvc-1");
    assert_eq!(setup.delete(&id).await, Err(Code::Unavailable));
    assert_eq!(setup.expand(&id, GIB, 0).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(setup.validate(&id, |_| ()).await, Err(Code::Unavailable));
    assert_eq!(setup.world.get(|state| state.agent.asked), 0);
    setup.server.stop().await;
}

#[tokio::test]
async fn deleting_follows_the_file_systems_policy_and_can_be_repeated() {
    for (policy, disposal) in [
        (ReclaimPolicy::Retain, Disposal::Archive),
        (ReclaimPolicy::Delete, Disposal::Trash),
        (ReclaimPolicy::Archive, Disposal::Archive),
    ] {
        let world = managed_world();
        world.set(|state| state.file_systems[0].spec.reclaim_policy = policy);
        let mut setup = setup(world).await;
        let id = setup.create(sized_wish("pvc-1", GIB, 0)).await.unwrap().volume_id;
        for _ in 0..2 {
            assert_eq!(setup.delete(&id).await, Ok(()));
        }
        let removed = setup.world.get(|state| state.agent.removed.clone());
        assert_eq!(removed, [(format!("{UID}/pvc-1"), disposal)], "{policy:?}");
        // A FileSystem that the agent does not know has no such volume either.
        setup.world.set(|state| state.agent.file_systems.clear());
        assert_eq!(setup.delete(&id).await, Ok(()));
        setup.server.stop().await;
    }
}

#[tokio::test]
async fn what_the_agent_did_not_delete_is_not_said_to_be() {
    let mut setup = default_setup().await;
    let id = setup.create(sized_wish("pvc-1", GIB, 0)).await.unwrap().volume_id;
    let failures: [(fn() -> AgentError, Code); 4] = [
        (|| AgentError::Unreachable { server: SERVER.into(), reason: "x".into() }, Code::Unavailable),
        (|| AgentError::Late { server: SERVER.into() }, Code::Unavailable),
        (|| refused(Code::Unavailable, "the disk is not mounted yet"), Code::Unavailable),
        (|| refused(Code::Internal, "I/O error"), Code::Internal),
    ];
    for (failure, code) in failures {
        setup.world.set(|state| state.agent.failure = Some(failure));
        assert_eq!(setup.delete(&id).await, Err(code));
    }
    assert_eq!(claims(&setup).len(), 1);
    assert_eq!(setup.delete(&format!("v1.fs.{UID}")).await, Err(Code::FailedPrecondition));
    setup.world.set(|state| state.file_systems.clear());
    let status =
        setup.client.delete_volume(DeleteVolumeRequest { volume_id: id, ..Default::default() }).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains(&format!("claims/{UID}/pvc-1")), "{}", status.message());
    setup.server.stop().await;
}

#[tokio::test]
async fn a_claim_grows_and_growing_again_changes_nothing() {
    let mut setup = default_setup().await;
    let id = setup.create(sized_wish("pvc-1", GIB, 0)).await.unwrap().volume_id;
    for _ in 0..2 {
        let grown = setup.expand(&id, 3 * GIB, 0).await.unwrap();
        assert_eq!((grown.capacity_bytes, grown.node_expansion_required), (3 * GIB, false));
    }
    let smaller = setup.expand(&id, 2 * GIB, 0).await.unwrap();
    assert_eq!(smaller.capacity_bytes, 3 * GIB, "large enough already, and it never shrinks");
    assert_eq!(claims(&setup), [("pvc-1".into(), 3 * GIB)]);
    let above = setup.expand(&id, GIB, 2 * GIB).await.unwrap_err();
    assert_eq!(above.code(), Code::OutOfRange, "the limit is below what it has");
    setup.server.stop().await;
}

#[tokio::test]
async fn a_claim_that_cannot_grow_is_told_with_both_numbers_and_may_ask_for_less() {
    let mut setup = default_setup().await;
    let id = setup.create(sized_wish("pvc-1", GIB, 0)).await.unwrap().volume_id;
    for (size, bound) in [(11 * GIB, 10 * GIB), (9 * GIB, 8 * GIB)] {
        let status = setup.expand(&id, size, 0).await.unwrap_err();
        assert_eq!(
            status.code(),
            Code::OutOfRange,
            "never RESOURCE_EXHAUSTED: that is taken as still running"
        );
        for word in [size, bound] {
            assert!(status.message().contains(&word.to_string()), "{word}: {}", status.message());
        }
    }
    assert_eq!(setup.expand(&id, 8 * GIB, 0).await.unwrap().capacity_bytes, 8 * GIB);
    setup.server.stop().await;
}

#[tokio::test]
async fn a_file_systems_own_volume_grows_only_as_far_as_its_administrator_and_the_server_have_gone() {
    let mut setup = default_setup().await;
    let own = format!("v1.fs.{UID}");
    for asked in [GIB, 10 * GIB] {
        let answer = setup.expand(&own, asked, 0).await.unwrap();
        assert_eq!((answer.capacity_bytes, answer.node_expansion_required), (asked, false));
    }
    let mut refused = async |asked: i64, bound: i64| {
        let status = setup.expand(&own, asked, 0).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange);
        for word in [asked, bound] {
            assert!(status.message().contains(&word.to_string()), "{word}: {}", status.message());
        }
    };
    refused(11 * GIB, 10 * GIB).await;
    // The administrator has raised it, the server has not followed.
    let raise = |state: &mut crate::world::State| {
        let managed = state.file_systems[0].spec.backend.managed.as_mut().unwrap();
        managed.capacity = k8s_quantity("20Gi");
    };
    let world = setup.world.clone();
    world.set(raise);
    let status = setup.expand(&own, 15 * GIB, 0).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains(&(10 * GIB).to_string()), "{}", status.message());
    world.set(|state| state.agent.file_systems.get_mut(UID).unwrap().capacity = 20 * GIB as u64);
    assert_eq!(setup.expand(&own, 15 * GIB, 0).await.unwrap().capacity_bytes, 15 * GIB);
    // A server that cannot be asked confirms nothing.
    world.set(|state| state.agent.failure = Some(|| AgentError::Late { server: SERVER.into() }));
    assert_eq!(setup.expand(&own, 15 * GIB, 0).await.unwrap_err().code(), Code::Unavailable);
    setup.server.stop().await;
}

#[tokio::test]
async fn a_bad_wish_to_grow_changes_nothing() {
    let mut setup = default_setup().await;
    let id = setup.create(sized_wish("pvc-1", GIB, 0)).await.unwrap().volume_id;
    let asked = setup.world.get(|state| state.agent.asked);
    for (what, code, id, required, limit) in [
        ("no id", Code::InvalidArgument, "", GIB, 0),
        ("an empty range", Code::InvalidArgument, id.as_str(), 0, 0),
        ("a negative size", Code::InvalidArgument, id.as_str(), -1, 0),
        ("a contradiction", Code::InvalidArgument, id.as_str(), 2, 1),
        ("not an id of ours", Code::NotFound, "../../etc", GIB, 0),
        ("another FileSystem's", Code::NotFound, &format!("v1.vol.{OTHER_UID}.pvc-1"), GIB, 0),
    ] {
        assert_eq!(setup.expand(id, required, limit).await.unwrap_err().code(), code, "{what}");
    }
    let request = |capability, range| ControllerExpandVolumeRequest {
        volume_id: id.clone(),
        capacity_range: range,
        volume_capability: Some(capability),
        ..Default::default()
    };
    let range = Some(CapacityRange { required_bytes: 2 * GIB, limit_bytes: 0 });
    let block = request(capability(AccessType::Block(BlockVolume {})), range);
    for bad in [block, request(mount(), None)] {
        let status = setup.client.controller_expand_volume(bad).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    assert_eq!(setup.world.get(|state| state.agent.asked), asked, "the agent was not even asked");
    let unknown = setup.expand(&format!("v1.vol.{UID}.pvc-2"), GIB, 0).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(claims(&setup), [("pvc-1".into(), GIB)]);
    setup.server.stop().await;
}

#[tokio::test]
async fn the_capacity_is_what_is_left() {
    let mut setup = default_setup().await;
    setup.create(sized_wish("pvc-1", 3 * GIB, 0)).await.unwrap();
    let request = GetCapacityRequest { parameters: parameters("team-a", "default"), ..Default::default() };
    let answer = setup.client.get_capacity(request.clone()).await.unwrap().into_inner();
    assert_eq!((answer.available_capacity, answer.maximum_volume_size), (5 * GIB, Some(5 * GIB)));
    let block = GetCapacityRequest {
        volume_capabilities: vec![capability(AccessType::Block(BlockVolume {}))],
        ..request.clone()
    };
    assert_eq!(setup.client.get_capacity(block).await.unwrap().into_inner().available_capacity, 0);
    setup.world.set(|state| state.agent.file_systems.clear());
    let unknown = setup.client.get_capacity(request).await.unwrap_err();
    assert_eq!(unknown.code(), Code::FailedPrecondition);
    setup.server.stop().await;
}

#[tokio::test]
async fn capabilities_are_confirmed_for_volumes_that_the_agent_has() {
    let mut setup = default_setup().await;
    let volume = setup.create(sized_wish("pvc-1", GIB, 0)).await.unwrap();
    let context = volume.volume_context.clone();
    let answer = setup.validate(&volume.volume_id, |r| r.volume_context = context.clone()).await.unwrap();
    assert_eq!(answer.confirmed.unwrap().volume_context, context);
    assert!(setup.validate(&format!("v1.fs.{UID}"), |_| ()).await.unwrap().confirmed.is_some());
    assert_eq!(setup.validate(&format!("v1.vol.{UID}.pvc-2"), |_| ()).await, Err(Code::NotFound));
    let own = VolumeAttributes::of_file_system(&managed("default", UID)).unwrap().to_map();
    let other = setup.validate(&volume.volume_id, |r| r.volume_context = own.into_iter().collect()).await;
    assert!(other.unwrap().confirmed.is_none(), "the FileSystem's own folder is another volume");
    setup.world.set(|state| state.agent.failure = Some(|| AgentError::Late { server: SERVER.into() }));
    assert_eq!(setup.validate(&volume.volume_id, |_| ()).await, Err(Code::Unavailable));
    setup.server.stop().await;
}
