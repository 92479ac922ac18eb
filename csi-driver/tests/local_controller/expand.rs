//! ControllerExpandVolume: the node raises the limit, and what cannot be had is not asked for any longer.

use tonic::Code;
use workspacefs_api::LocalVolumeReason as Reason;
use workspacefs_csi_proto::csi::v1::*;

use crate::world::{GIB, Habit, OTHER_UID, Setup, UID, mount, setup, wish, world};

async fn with_volume() -> (Setup, String) {
    let mut s = setup(world()).await;
    let id = s.create(wish("pvc-1", GIB)).await.unwrap().volume_id;
    (s, id)
}

fn wished(s: &Setup) -> i64 {
    s.world.get(|state| state.only().spec.size_bytes)
}

#[tokio::test]
async fn a_volume_grows_by_its_node_and_asking_for_no_more_changes_nothing() {
    let (mut s, id) = with_volume().await;
    for (required, limit, size) in [
        (2 * GIB, 0, 2 * GIB),
        (2 * GIB, 0, 2 * GIB),
        (GIB, 0, 2 * GIB),
        (0, 2 * GIB, 2 * GIB),
        (2 * GIB + 1, 0, 2 * GIB + 4096),
    ] {
        assert_eq!(s.expand(&id, required, limit).await, Ok(size), "{required}..{limit}");
    }
    let version = s.world.get(|state| state.only().metadata.resource_version.clone());
    assert_eq!(s.expand(&id, GIB, 0).await, Ok(2 * GIB + 4096));
    assert_eq!(
        s.world.get(|state| state.only().metadata.resource_version.clone()),
        version,
        "nothing is written"
    );
    assert_eq!(s.expand(&id, 0, GIB).await, Err(Code::OutOfRange), "it never shrinks");
    assert_eq!(s.expand(&id, 3 * GIB + 1, 3 * GIB + 2).await, Err(Code::OutOfRange));
    s.server.stop().await;
}

#[tokio::test]
async fn what_the_disk_cannot_hold_is_out_of_range_and_no_longer_asked_for() {
    for reason in [Reason::NoSpace, Reason::NoQuota] {
        let (mut s, id) = with_volume().await;
        s.world.node("n1", Habit::Says(reason));
        assert_eq!(s.expand(&id, 30 * GIB, 0).await, Err(Code::OutOfRange));
        assert_eq!(wished(&s), GIB, "put back");
        s.world.node("n1", Habit::Obeys);
        assert_eq!(s.expand(&id, 2 * GIB, 0).await, Ok(2 * GIB), "the claim asks for less");
        s.server.stop().await;
    }
}

#[tokio::test]
async fn what_the_node_tries_again_stays_asked_for_until_the_claim_asks_for_less() {
    for (habit, code) in [
        (Habit::Silent, Code::DeadlineExceeded),
        (Habit::Says(Reason::NotReady), Code::Unavailable),
        (Habit::Says(Reason::Failed), Code::Internal),
    ] {
        let (mut s, id) = with_volume().await;
        s.world.node("n1", habit);
        assert_eq!(s.expand(&id, 2 * GIB, 0).await, Err(code));
        assert_eq!(wished(&s), 2 * GIB);
        assert_eq!(s.expand(&id, GIB, 0).await, Ok(GIB), "what there is, is enough");
        assert_eq!(wished(&s), GIB, "and the larger wish is withdrawn");
        s.server.stop().await;
    }
}

#[tokio::test]
async fn only_a_volume_that_is_there_grows() {
    let (mut s, id) = with_volume().await;
    let expand = |id: String| ControllerExpandVolumeRequest {
        volume_id: id,
        capacity_range: Some(CapacityRange { required_bytes: 2 * GIB, limit_bytes: 0 }),
        ..Default::default()
    };
    let no_range = ControllerExpandVolumeRequest { capacity_range: None, ..expand(id.clone()) };
    let many = ControllerExpandVolumeRequest { volume_capability: Some(mount(5)), ..expand(id.clone()) };
    for (request, code) in [
        (expand(String::new()), Code::InvalidArgument),
        (no_range, Code::InvalidArgument),
        (many, Code::InvalidArgument),
        (expand("reserved".into()), Code::NotFound),
        (expand(id.replace(UID, OTHER_UID)), Code::NotFound),
        (expand(format!("v1.lv.{UID}.{OTHER_UID}")), Code::NotFound),
        (expand(format!("v1.ls.{UID}.{OTHER_UID}")), Code::Unimplemented),
    ] {
        let answer = s.client.controller_expand_volume(request.clone()).await;
        assert_eq!(answer.unwrap_err().code(), code, "{request:?}");
    }
    assert_eq!(s.expand(&id, 0, 0).await, Err(Code::InvalidArgument));
    assert_eq!(s.expand(&id, -1, 0).await, Err(Code::InvalidArgument));

    s.world.set(|state| {
        let volume = state.volumes.values_mut().next().unwrap();
        volume.status.as_mut().unwrap().phase = workspacefs_api::LocalVolumePhase::Lost;
    });
    assert_eq!(s.expand(&id, 2 * GIB, 0).await, Err(Code::NotFound));
    s.world.set(|state| {
        let volume = state.volumes.values_mut().next().unwrap();
        volume.status = None;
    });
    assert_eq!(s.expand(&id, 2 * GIB, 0).await, Err(Code::Unavailable), "not made yet");
    assert_eq!(wished(&s), GIB);
    s.world.node("n1", Habit::Silent);
    s.delete(&id).await.unwrap_err();
    assert_eq!(s.expand(&id, 2 * GIB, 0).await, Err(Code::Aborted), "being deleted");
    s.server.stop().await;
}
