//! CreateVolume: which node, what a repeated call finds, and what becomes of what was not made.

use std::sync::Arc;

use csi_driver::local_controller::seams::NodeState;
use kube::ResourceExt;
use tokio::sync::Notify;
use tonic::Code;
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_api::{LocalVolumePhase, LocalVolumeReason as Reason, LocalVolumeStatus};
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessType, BlockVolume};
use workspacefs_csi_proto::csi::v1::*;

use crate::world::{GIB, Habit, NODE_KEY, OTHER_UID, UID, is_given_up, mount, on, setup, wish, world};

#[tokio::test]
async fn a_volume_is_what_its_node_made_and_is_reached_from_there_only() {
    let mut s = setup(world()).await;
    let volume = s.create(wish("pvc-1", GIB + 1)).await.unwrap();
    assert_eq!(volume.capacity_bytes, GIB + 4096);
    let segments = [(NODE_KEY.to_owned(), "n1".to_owned())].into();
    assert_eq!(volume.accessible_topology, [Topology { segments }]);
    let attributes = LocalVolumeAttributes::from_map(&volume.volume_context).unwrap();
    assert_eq!(
        attributes,
        LocalVolumeAttributes {
            storage: "fast".into(),
            namespace: "team-a".into(),
            node_group: "gpu".into(),
            node: Some("n1".into()),
        }
    );
    let object = s.world.get(|state| state.only().clone());
    let id = LocalVolumeId::Volume { storage: UID.into(), volume: object.name_any() };
    assert_eq!(LocalVolumeId::parse(&volume.volume_id), Ok(id));
    let spec = &object.spec;
    assert_eq!((spec.storage.as_str(), spec.storage_uid.as_str(), spec.node.as_str()), ("fast", UID, "n1"));
    assert_eq!(
        (spec.volume.as_str(), spec.namespace.as_str(), spec.claim.as_str()),
        ("pvc-1", "team-a", "scratch")
    );
    assert_eq!(spec.size_bytes, GIB + 4096);
    assert_eq!(object.finalizers(), ["workspacefs.io/local-volume"]);
    assert_eq!(object.labels()["workspacefs.io/local-storage-uid"], UID);
    assert_eq!(object.labels()["workspacefs.io/local-volume-name"].len(), 32);
    s.server.stop().await;
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_before_anybody_is_asked() {
    let mut s = setup(world()).await;
    let no_topology = |change: fn(&mut CreateVolumeRequest)| {
        let mut request = wish("pvc-1", GIB);
        change(&mut request);
        request
    };
    for (request, code) in [
        (no_topology(|r| r.name.clear()), Code::InvalidArgument),
        (no_topology(|r| r.name = "n".repeat(129)), Code::InvalidArgument),
        (no_topology(|r| r.volume_capabilities.clear()), Code::InvalidArgument),
        (no_topology(|r| r.volume_capabilities.push(mount(5))), Code::InvalidArgument),
        (
            no_topology(|r| r.volume_capabilities[0].access_type = Some(AccessType::Block(BlockVolume {}))),
            Code::InvalidArgument,
        ),
        (
            no_topology(|r| r.volume_content_source = Some(VolumeContentSource::default())),
            Code::InvalidArgument,
        ),
        (no_topology(|r| drop(r.mutable_parameters.insert("a".into(), "b".into()))), Code::InvalidArgument),
        (no_topology(|r| drop(r.parameters.insert("node".into(), "n2".into()))), Code::InvalidArgument),
        (no_topology(|r| drop(r.parameters.remove("localStorage"))), Code::InvalidArgument),
        (
            no_topology(|r| drop(r.parameters.remove("csi.storage.k8s.io/pvc/namespace"))),
            Code::InvalidArgument,
        ),
        (
            no_topology(|r| r.capacity_range = Some(CapacityRange { required_bytes: 2, limit_bytes: 1 })),
            Code::InvalidArgument,
        ),
        (
            no_topology(|r| r.capacity_range = Some(CapacityRange { required_bytes: 1, limit_bytes: 2 })),
            Code::OutOfRange,
        ),
        (
            no_topology(|r| {
                r.capacity_range = Some(CapacityRange { required_bytes: i64::MAX, limit_bytes: 0 })
            }),
            Code::OutOfRange,
        ),
    ] {
        assert_eq!(s.refused(request.clone()).await.0, code, "{request:?}");
    }
    assert_eq!(s.world.get(|state| state.asked), 0);
    s.server.stop().await;
}

#[tokio::test]
async fn who_may_not_have_one_and_what_is_not_there_is_refused_with_nothing_written() {
    let mut s = setup(world()).await;
    let mut foreign = wish("pvc-1", GIB);
    foreign.parameters.insert("csi.storage.k8s.io/pvc/namespace".into(), "team-b".into());
    let (code, words) = s.refused(foreign).await;
    assert_eq!(code, Code::PermissionDenied);
    assert!(words.contains("\"team-b\"") && words.contains("spec.workspaces"), "{words}");
    for name in ["slow", "../nodes", "Fast"] {
        let mut missing = wish("pvc-1", GIB);
        missing.parameters.insert("localStorage".into(), name.into());
        assert_eq!(s.refused(missing).await.0, Code::InvalidArgument, "{name}");
    }
    s.world.set(|state| state.storages[0].metadata.deletion_timestamp = Some(time()));
    assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::FailedPrecondition);
    assert!(s.world.get(|state| state.volumes.is_empty()));
    s.server.stop().await;
}

fn time() -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH)
}

#[tokio::test]
async fn without_requirements_the_node_with_most_room_is_taken_and_without_a_size_the_default() {
    let mut s = setup(world()).await;
    let mut anywhere = wish("pvc-1", 0);
    (anywhere.accessibility_requirements, anywhere.capacity_range) = (None, None);
    let volume = s.create(anywhere).await.unwrap();
    assert_eq!(volume.capacity_bytes, GIB);
    assert_eq!(s.world.get(|state| state.only().spec.node.clone()), "n2");
    s.server.stop().await;
}

#[tokio::test]
async fn a_node_without_room_or_that_is_not_well_is_passed_over_and_if_none_is_left_the_scheduler_hears_it() {
    let mut s = setup(world()).await;
    let mut both = wish("pvc-1", 15 * GIB);
    both.accessibility_requirements = on(&["n1", "n2"]);
    s.create(both).await.unwrap();
    assert_eq!(s.world.get(|state| state.only().spec.node.clone()), "n2");

    let (code, words) = s.refused(wish("pvc-2", 15 * GIB)).await;
    assert_eq!(code, Code::ResourceExhausted);
    assert!(words.contains(&format!("n1 has {} bytes left", 10 * GIB)), "{words}");

    s.world.kubernetes_says("n1", NodeState::NotReady);
    let (code, words) = s.refused(wish("pvc-2", GIB)).await;
    assert_eq!((code, words.contains("n1")), (Code::ResourceExhausted, true), "{words}");

    s.world.entry("n1", true, None);
    assert_eq!(s.refused(wish("pvc-2", GIB)).await.0, Code::ResourceExhausted, "n2 may do");
    s.world.entry("n2", true, None);
    assert_eq!(s.refused(wish("pvc-2", GIB)).await.0, Code::FailedPrecondition, "no node would do");
    assert_eq!(s.world.get(|state| state.volumes.len()), 1);
    s.server.stop().await;
}

#[tokio::test]
async fn the_same_call_again_gets_the_same_answer_and_another_size_or_namespace_is_another_volume() {
    let mut s = setup(world()).await;
    let first = s.create(wish("pvc-1", GIB)).await.unwrap();
    assert_eq!(s.create(wish("pvc-1", GIB)).await.unwrap(), first);
    assert_eq!(s.create(wish("pvc-1", GIB / 2)).await.unwrap(), first, "any size in the range");
    assert_eq!(s.refused(wish("pvc-1", 2 * GIB)).await.0, Code::AlreadyExists);
    s.world.set(|state| state.storages[0].spec.workspaces.push("team-b".into()));
    let mut other = wish("pvc-1", GIB);
    other.parameters.insert("csi.storage.k8s.io/pvc/namespace".into(), "team-b".into());
    assert_eq!(s.refused(other).await.0, Code::AlreadyExists);
    // What was made stays what it is when its namespace may have no more.
    s.world.set(|state| state.storages[0].spec.workspaces.clear());
    assert_eq!(s.create(wish("pvc-1", GIB)).await.unwrap(), first);
    assert_eq!(s.world.get(|state| state.made.len()), 1);
    // A LocalStorage of the same name, made again, is another: its volumes are others.
    s.world.set(|state| {
        state.storages[0].metadata.uid = Some(OTHER_UID.into());
        state.storages[0].spec.workspaces.push("team-a".into());
    });
    assert_ne!(s.create(wish("pvc-1", GIB)).await.unwrap().volume_id, first.volume_id);
    s.server.stop().await;
}

#[tokio::test]
async fn a_volume_that_grew_since_is_still_the_same() {
    let mut s = setup(world()).await;
    let first = s.create(wish("pvc-1", GIB)).await.unwrap();
    assert_eq!(s.expand(&first.volume_id, 2 * GIB, 0).await, Ok(2 * GIB));
    let again = s.create(wish("pvc-1", GIB)).await.unwrap();
    assert_eq!(again, Volume { capacity_bytes: 2 * GIB, ..first });
    s.server.stop().await;
}

#[tokio::test]
async fn a_node_that_says_no_ends_the_call_and_nothing_of_it_stays() {
    for (reason, code) in [
        (Reason::NoSpace, Code::ResourceExhausted),
        (Reason::NotReady, Code::ResourceExhausted),
        (Reason::NoQuota, Code::FailedPrecondition),
        (Reason::Failed, Code::Internal),
    ] {
        let mut s = setup(world()).await;
        s.world.node("n1", Habit::Says(reason));
        let (refused, words) = s.refused(wish("pvc-1", GIB)).await;
        assert_eq!((refused, words.contains(&format!("{reason:?}"))), (code, true), "{words}");
        assert!(s.world.get(|state| is_given_up(state.only())), "given up");
        // The scheduler chooses another node: what is given up elsewhere is not waited for.
        let mut other = wish("pvc-1", GIB);
        other.accessibility_requirements = on(&["n2"]);
        s.create(other).await.unwrap();
        s.world.node("n1", Habit::Obeys);
        s.world.set(|state| state.sweep());
        assert_eq!(s.world.get(|state| state.only().spec.node.clone()), "n2");
        s.server.stop().await;
    }
}

#[tokio::test]
async fn a_node_that_is_slow_is_asked_again_and_one_that_left_is_given_up() {
    let mut s = setup(world()).await;
    s.world.node("n1", Habit::Silent);
    for _ in 0..2 {
        assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::DeadlineExceeded, "work goes on");
        assert!(s.world.get(|state| state.only().metadata.deletion_timestamp.is_none()));
    }
    s.world.node("n1", Habit::Obeys);
    let volume = s.create(wish("pvc-1", GIB)).await.unwrap();
    assert_eq!(s.delete(&volume.volume_id).await, Ok(()));

    let leave: [fn(&crate::world::World); 3] = [
        |world| world.kubernetes_says("n1", NodeState::NotReady),
        |world| world.entry("n1", false, None),
        |world| world.kubernetes_says("n1", NodeState::Absent),
    ];
    for leave in leave {
        let mut s = setup(world()).await;
        s.world.node("n1", Habit::Silent);
        assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::DeadlineExceeded);
        leave(&s.world);
        assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::ResourceExhausted);
        assert!(s.world.get(|state| is_given_up(state.only())), "given up");
        // The next call for the same node hears that there is no room there, not that work goes on.
        assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::ResourceExhausted);
        s.server.stop().await;
    }
    s.server.stop().await;
}

#[tokio::test]
async fn a_node_where_nobody_looks_at_the_wish_is_given_up_after_minutes_however_well_its_kubelet_is() {
    let mut s = setup(world()).await;
    s.world.node("n1", Habit::Silent);
    assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::DeadlineExceeded, "it is new");
    s.world.set(|state| {
        state.age();
        let volume = state.volumes.values_mut().next().unwrap();
        volume.status = Some(LocalVolumeStatus::default());
    });
    assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::DeadlineExceeded, "it was looked at");
    s.world.set(|state| state.volumes.values_mut().next().unwrap().status = None);
    let (code, words) = s.refused(wish("pvc-1", GIB)).await;
    assert_eq!((code, words.contains("nobody has looked")), (Code::ResourceExhausted, true), "{words}");
    assert!(s.world.get(|state| is_given_up(state.only())));
    // It comes there again: the scheduler is not told that work goes on.
    let (code, words) = s.refused(wish("pvc-1", GIB)).await;
    assert_eq!((code, words.contains("does not move it away")), (Code::ResourceExhausted, true), "{words}");
    let mut other = wish("pvc-1", GIB);
    other.accessibility_requirements = on(&["n2"]);
    s.create(other).await.unwrap();
    s.server.stop().await;
}

#[tokio::test]
async fn what_is_being_moved_away_on_the_same_node_is_waited_for() {
    for habit in [Habit::Says(Reason::NoSpace), Habit::Silent] {
        let mut s = setup(world()).await;
        s.world.node("n1", Habit::Says(Reason::NoSpace));
        s.refused(wish("pvc-1", GIB)).await;
        s.world.node("n1", habit);
        let (code, words) = s.refused(wish("pvc-1", GIB)).await;
        assert_eq!((code, words.contains("moved away")), (Code::Aborted, true), "{words}");
        s.world.set(|state| state.age());
        assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::ResourceExhausted, "too long");
        s.world.node("n1", Habit::Obeys);
        // A node that tries again says so in a new status.
        s.world
            .set(|state| state.volumes.values_mut().next().unwrap().status.as_mut().unwrap().reason = None);
        s.create(wish("pvc-1", GIB)).await.unwrap();
        assert!(s.world.get(|state| state.only().metadata.deletion_timestamp.is_none()));
        s.server.stop().await;
    }
}

#[tokio::test]
async fn one_that_somebody_deletes_while_it_is_asked_for_is_not_marked_by_that() {
    let mut s = setup(world()).await;
    s.create(wish("pvc-1", GIB)).await.unwrap();
    s.world.set(|state| state.delete_by_hand());
    assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::Aborted);
    s.world.get(|state| assert!(!is_given_up(state.only()) && state.trashed.is_empty()));
    s.server.stop().await;
}

#[tokio::test]
async fn what_was_made_on_a_node_whose_node_object_is_gone_is_given_up_and_made_on_another() {
    for asked in [&["n2"][..], &["n1", "n2"]] {
        let mut s = setup(world()).await;
        s.create(wish("pvc-1", GIB)).await.unwrap();
        let mut again = wish("pvc-1", GIB);
        again.accessibility_requirements = on(asked);
        s.world.kubernetes_says("n1", NodeState::NotReady);
        if asked.len() == 1 {
            // It may come back, with the volume.
            assert_eq!(s.refused(again.clone()).await.0, Code::ResourceExhausted);
            assert!(s.world.get(|state| state.only().metadata.deletion_timestamp.is_none()));
        }
        s.world.kubernetes_says("n1", NodeState::Absent);
        s.create(again).await.unwrap();
        s.world.get(|state| {
            let left: Vec<(&str, bool)> =
                state.volumes.values().map(|one| (one.spec.node.as_str(), is_given_up(one))).collect();
            assert!(
                left.len() == 2 && left.contains(&("n1", true)) && left.contains(&("n2", false)),
                "{left:?}"
            );
        });
        s.server.stop().await;
    }
}

#[tokio::test]
async fn a_wish_for_another_node_gives_up_what_was_not_made_and_never_what_was() {
    let mut s = setup(world()).await;
    let mut other = wish("pvc-1", GIB);
    other.accessibility_requirements = on(&["n2"]);
    s.world.node("n1", Habit::Silent);
    s.refused(wish("pvc-1", GIB)).await;
    let moved = s.create(other.clone()).await.unwrap();
    s.world.node("n1", Habit::Obeys);
    s.world.set(|state| state.sweep());
    assert_eq!(s.world.get(|state| state.only().spec.node.clone()), "n2");

    let (code, words) = s.refused(wish("pvc-1", GIB)).await;
    assert_eq!((code, words.contains("n2")), (Code::ResourceExhausted, true), "{words}");
    assert_eq!(s.create(other).await.unwrap(), moved, "it is still there");
    s.server.stop().await;
}

#[tokio::test]
async fn a_volume_that_is_lost_before_anybody_was_told_of_it_is_given_up_and_made_anew() {
    for habit in [Habit::Obeys, Habit::Silent] {
        let mut s = setup(world()).await;
        s.create(wish("pvc-1", GIB)).await.unwrap();
        let old = s.world.get(|state| state.only().metadata.uid.clone());
        s.world.node("n1", habit);
        s.world.set(|state| {
            let volume = state.volumes.values_mut().next().unwrap();
            volume.status.as_mut().unwrap().phase = LocalVolumePhase::Lost;
            state.age();
        });
        if habit == Habit::Silent {
            assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::ResourceExhausted);
            assert!(s.world.get(|state| is_given_up(state.only())));
            s.world.node("n1", Habit::Obeys);
        }
        s.create(wish("pvc-1", GIB)).await.unwrap();
        s.world.get(|state| {
            assert_ne!(state.only().metadata.uid, old);
            assert_eq!(state.trashed, ["n1/pvc-1"], "what there may be of it");
        });
        s.server.stop().await;
    }
}

#[tokio::test]
async fn a_label_that_somebody_wrote_on_another_volume_makes_it_nobodys() {
    let mut s = setup(world()).await;
    let theirs = s.create(wish("pvc-theirs", GIB)).await.unwrap();
    s.world.node("n1", Habit::Silent);
    s.refused(wish("pvc-1", GIB)).await;
    s.world.set(|state| {
        let label = |name: &str| {
            state.volumes.values().find(|one| one.spec.volume == name).unwrap().metadata.labels.clone()
        };
        let labels = label("pvc-1");
        let object = state.volumes.values_mut().find(|one| one.spec.volume == "pvc-theirs").unwrap();
        object.metadata.labels = labels;
    });
    s.world.node("n1", Habit::Obeys);
    assert_ne!(s.create(wish("pvc-1", GIB)).await.unwrap().volume_id, theirs.volume_id);
    assert!(s.world.get(|state| state.volumes.values().all(|one| one.metadata.deletion_timestamp.is_none())));
    s.server.stop().await;
}

#[tokio::test]
async fn while_the_api_server_is_away_nobody_can_say_that_nothing_goes_on() {
    let mut s = setup(world()).await;
    s.world.set(|state| state.api_away = true);
    assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::Unavailable);
    s.world.set(|state| state.api_away = false);
    s.create(wish("pvc-1", GIB)).await.unwrap();
    s.server.stop().await;
}

#[tokio::test]
async fn a_second_call_for_the_same_volume_is_told_so_and_one_for_another_is_not_delayed() {
    let mut s = setup(world()).await;
    let hold = Arc::new(Notify::new());
    s.world.set(|state| state.hold = Some(hold.clone()));
    let mut client = s.client.clone();
    let first = tokio::spawn(async move { client.create_volume(wish("pvc-1", GIB)).await });
    while s.world.get(|state| state.volumes.is_empty()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(s.refused(wish("pvc-1", GIB)).await.0, Code::Aborted);
    let id =
        LocalVolumeId::Volume { storage: UID.into(), volume: s.world.get(|state| state.only().name_any()) };
    assert_eq!(s.delete(&id.to_string()).await, Err(Code::Aborted));
    assert_eq!(s.expand(&id.to_string(), GIB, 0).await, Err(Code::Aborted));
    s.world.set(|state| state.hold = None);
    s.create(wish("pvc-2", GIB)).await.unwrap();
    hold.notify_one();
    first.await.unwrap().unwrap();
    s.create(wish("pvc-1", GIB)).await.expect("the guard is free again");
    s.server.stop().await;
}
