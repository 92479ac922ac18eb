//! DeleteVolume: the node moves the files away first, and an id that is not a volume's touches nothing.

use csi_driver::local_controller::seams::NodeState;
use tonic::{Code, Request};
use workspacefs_api::LocalVolumeReason as Reason;
use workspacefs_csi_proto::csi::v1::DeleteVolumeRequest;
use workspacefs_csi_proto::csi::v1::controller_server::Controller as _;

use crate::world::{GIB, Habit, OTHER_UID, UID, is_given_up, setup, wish, world};

#[tokio::test]
async fn the_object_goes_when_its_node_has_moved_the_files_away_and_a_second_call_finds_it_done() {
    let mut s = setup(world()).await;
    let id = s.create(wish("pvc-1", GIB)).await.unwrap().volume_id;
    for _ in 0..2 {
        assert_eq!(s.delete(&id).await, Ok(()));
        s.world.get(|state| {
            assert!(state.volumes.is_empty());
            assert_eq!(state.trashed, ["n1/pvc-1"], "once");
        });
    }
    s.server.stop().await;
}

#[tokio::test]
async fn a_node_that_cannot_or_does_not_answer_keeps_the_object_and_the_next_call_goes_on() {
    for (habit, code) in [
        (Habit::Silent, Code::DeadlineExceeded),
        (Habit::Says(Reason::NotReady), Code::Unavailable),
        (Habit::Says(Reason::Failed), Code::Internal),
    ] {
        let mut s = setup(world()).await;
        let id = s.create(wish("pvc-1", GIB)).await.unwrap().volume_id;
        s.world.node("n1", habit);
        assert_eq!(s.delete(&id).await, Err(code));
        s.world.get(|state| {
            assert!(is_given_up(state.only()));
            assert!(!state.only().metadata.finalizers.as_ref().unwrap().is_empty());
        });
        s.world.node("n1", Habit::Obeys);
        s.world.set(|state| {
            // A node that tries again says so in a new status.
            let volume = state.volumes.values_mut().next().unwrap();
            volume.status.as_mut().unwrap().reason = None;
        });
        assert_eq!(s.delete(&id).await, Ok(()));
        assert!(s.world.get(|state| state.volumes.is_empty()));
        s.server.stop().await;
    }
}

#[tokio::test]
async fn a_node_whose_node_object_is_gone_is_not_waited_for_and_one_that_is_only_away_is() {
    let mut s = setup(world()).await;
    let id = s.create(wish("pvc-1", GIB)).await.unwrap().volume_id;
    s.world.node("n1", Habit::Silent);
    s.world.kubernetes_says("n1", NodeState::NotReady);
    assert_eq!(s.delete(&id).await, Err(Code::DeadlineExceeded));
    s.world.kubernetes_says("n1", NodeState::Absent);
    assert_eq!(s.delete(&id).await, Ok(()));
    s.world.get(|state| assert!(state.volumes.is_empty() && state.trashed.is_empty()));
    s.server.stop().await;
}

#[tokio::test]
async fn without_its_local_storage_nobody_is_waited_for_and_one_made_again_under_that_name_is_another() {
    for made_again in [false, true] {
        let mut s = setup(world()).await;
        let id = s.create(wish("pvc-1", GIB)).await.unwrap().volume_id;
        s.world.node("n1", Habit::Silent);
        s.world.set(|state| match made_again {
            true => state.storages[0].metadata.uid = Some(OTHER_UID.into()),
            false => state.storages.clear(),
        });
        assert_eq!(s.delete(&id).await, Ok(()));
        s.world.get(|state| assert!(state.volumes.is_empty() && state.trashed.is_empty()));
        s.server.stop().await;
    }
}

#[tokio::test]
async fn what_a_person_has_deleted_keeps_its_files_until_the_claim_ends() {
    let mut s = setup(world()).await;
    let id = s.create(wish("pvc-1", GIB)).await.unwrap().volume_id;
    s.world.set(|state| {
        state.delete_by_hand();
        state.sweep();
    });
    s.world.get(|state| assert!(!is_given_up(state.only()) && state.trashed.is_empty()));
    assert_eq!(s.delete(&id).await, Ok(()));
    s.world.get(|state| assert!(state.volumes.is_empty() && state.trashed == ["n1/pvc-1"]));
    s.server.stop().await;
}

#[tokio::test]
async fn what_is_not_an_id_of_ours_is_deleted_already_and_nobody_is_asked_about_it() {
    let mut s = setup(world()).await;
    s.create(wish("pvc-1", GIB)).await.unwrap();
    let (name, before) = s.world.get(|state| (state.only().metadata.name.clone().unwrap(), state.asked));
    for id in [
        "reserved".to_owned(),
        "v1.lv.".into(),
        format!("v1.lv.{UID}"),
        format!("v1.lv.{UID}.{}", name.to_uppercase()),
        format!("v1.lv.{UID}.{name}/status"),
        format!("v1.lv.{UID}.{name}?x"),
        format!(" v1.lv.{UID}.{name}"),
        format!("v1.lv.{UID}.../../../../../../../../../../../nodes/n1"),
        format!("v1.vol.{UID}.pvc-1"),
        format!("v1.fs.{UID}"),
        "v".repeat(100_000),
    ] {
        assert_eq!(s.delete(&id).await, Ok(()), "{id:.200}");
    }
    assert_eq!(s.world.get(|state| state.asked), before);
    assert!(s.world.get(|state| state.only().metadata.deletion_timestamp.is_none()));
    assert_eq!(s.delete("").await, Err(Code::InvalidArgument));
    s.server.stop().await;
}

#[tokio::test]
async fn of_all_ids_that_differ_in_one_place_none_deletes_the_volume() {
    let world = world();
    let controller = world.controller();
    let made = controller.create_volume(Request::new(wish("pvc-1", GIB))).await.unwrap().into_inner();
    let id = made.volume.unwrap().volume_id;
    let mut tried = 0;
    for at in 0..id.len() {
        let (before, rest) = id.split_at(at);
        let after = &rest[1..];
        let replaced = (' '..='~').chain(['\0', '\n', 'ä']).map(|c| format!("{before}{c}{after}"));
        let inserted = ['.', '/', '0'].into_iter().map(|c| format!("{before}{c}{rest}"));
        let shorter = [format!("{before}{after}"), format!("{before}/../{rest}")];
        for other in replaced.chain(inserted).chain(shorter).filter(|other| *other != id) {
            let request = DeleteVolumeRequest { volume_id: other.clone(), ..Default::default() };
            let answer = controller.delete_volume(Request::new(request)).await;
            // `lv` and `ls` are one letter apart.
            let is_share = other.starts_with("v1.ls.");
            assert_eq!(answer.is_err(), is_share, "{other:?}");
            tried += 1;
        }
    }
    assert!(tried > 7000, "{tried}");
    assert!(world.get(|state| state.only().metadata.deletion_timestamp.is_none()));
}

#[tokio::test]
async fn an_id_that_names_a_volume_of_another_storage_names_nothing_and_a_share_is_not_deleted_so() {
    let mut s = setup(world()).await;
    let id = s.create(wish("pvc-1", GIB)).await.unwrap().volume_id;
    assert_eq!(s.delete(&id.replace(UID, OTHER_UID)).await, Ok(()));
    let share = format!("v1.ls.{UID}.{OTHER_UID}");
    let request = DeleteVolumeRequest { volume_id: share, ..Default::default() };
    let status = s.client.delete_volume(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("share"), "{}", status.message());
    assert!(s.world.get(|state| state.only().metadata.deletion_timestamp.is_none()));
    s.server.stop().await;
}

#[tokio::test]
async fn while_the_api_server_is_away_nothing_is_told_as_deleted() {
    let mut s = setup(world()).await;
    let id = s.create(wish("pvc-1", GIB)).await.unwrap().volume_id;
    s.world.set(|state| state.api_away = true);
    assert_eq!(s.delete(&id).await, Err(Code::Unavailable));
    s.world.set(|state| state.api_away = false);
    assert_eq!(s.delete(&id).await, Ok(()));
    s.server.stop().await;
}
