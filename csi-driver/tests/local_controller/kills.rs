//! The controller killed between any two steps of a call: its successor, asked the same again, completes it, and nothing is
//! there twice or left over.

use csi_driver::local_controller::LocalController;
use csi_driver::local_controller::seams::NodeState;
use tonic::{Code, Request, Status};
use workspacefs_api::LocalVolumeReason;
use workspacefs_api::local_attributes::LocalVolumeId;
use workspacefs_csi_proto::csi::v1::controller_server::Controller as _;
use workspacefs_csi_proto::csi::v1::*;

use crate::world::{GIB, Habit, UID, World, is_given_up, on, wish, world};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Create,
    Expand,
    Delete,
}

fn id() -> String {
    let volume = csi_driver::local_controller::names::object(UID, "pvc-1", "n1");
    LocalVolumeId::Volume { storage: UID.into(), volume }.to_string()
}

async fn call(controller: &LocalController, call: Call) -> Result<(), Status> {
    match call {
        Call::Create => {
            let answer = controller.create_volume(Request::new(wish("pvc-1", GIB))).await?.into_inner();
            assert_eq!(answer.volume.unwrap().volume_id, id());
        }
        Call::Expand => {
            let request = ControllerExpandVolumeRequest {
                volume_id: id(),
                capacity_range: Some(CapacityRange { required_bytes: 2 * GIB, limit_bytes: 0 }),
                ..Default::default()
            };
            let answer = controller.controller_expand_volume(Request::new(request)).await?.into_inner();
            assert_eq!(answer.capacity_bytes, 2 * GIB);
        }
        Call::Delete => {
            let request = DeleteVolumeRequest { volume_id: id(), ..Default::default() };
            controller.delete_volume(Request::new(request)).await?;
        }
    }
    Ok(())
}

/// Runs the call and kills the controller at step `at`; gives back what the call came to if it was done before.
async fn killed_at(world: &World, which: Call, at: usize) -> Option<Result<(), Status>> {
    world.set(|state| (state.steps.done, state.steps.kill_at) = (0, Some(at)));
    let killed = world.get(|state| state.steps.killed.clone());
    let controller = world.controller();
    let done = tokio::select! {
        result = call(&controller, which) => Some(result),
        () = killed.notified() => None,
    };
    world.set(|state| state.steps.kill_at = None);
    done
}

#[tokio::test]
async fn a_call_killed_at_any_step_is_completed_by_the_next() {
    for (which, size) in [(Call::Create, Some(GIB)), (Call::Expand, Some(2 * GIB)), (Call::Delete, None)] {
        let mut at = 0;
        loop {
            let world = world();
            if which != Call::Create {
                call(&world.controller(), Call::Create).await.unwrap();
            }
            let done = killed_at(&world, which, at).await;
            call(&world.controller(), which)
                .await
                .unwrap_or_else(|e| panic!("{which:?} killed at {at}: {e}"));
            world.get(|state| {
                let sizes: Vec<i64> = state.volumes.values().map(|one| one.spec.size_bytes).collect();
                assert_eq!(sizes, size.into_iter().collect::<Vec<_>>(), "{which:?} killed at {at}");
                assert_eq!(state.made, ["n1/pvc-1"], "made once");
            });
            // Whatever happened, the volume can be deleted, and then nothing of it is there.
            call(&world.controller(), Call::Delete).await.unwrap();
            world.get(|state| assert!(state.volumes.is_empty() && state.trashed == ["n1/pvc-1"]));
            if let Some(done) = done {
                done.unwrap();
                break;
            }
            at += 1;
        }
        assert!(at >= 6, "{which:?}: only {at} steps");
    }
}

#[tokio::test]
async fn a_volume_whose_creation_was_killed_can_be_deleted_by_the_id_that_nobody_was_told() {
    let mut at = 0;
    loop {
        let world = world();
        let done = killed_at(&world, Call::Create, at).await;
        call(&world.controller(), Call::Delete).await.unwrap();
        world.get(|state| {
            assert!(state.volumes.is_empty(), "step {at}");
            assert_eq!(state.made, state.trashed, "step {at}");
        });
        if done.is_some() {
            break;
        }
        at += 1;
    }
    assert!(at >= 8);
}

#[tokio::test]
async fn giving_up_killed_at_any_step_leaves_a_wish_that_another_node_gets() {
    let refuses: fn(&World) = |world| world.node("n1", Habit::Says(LocalVolumeReason::NoSpace));
    let leaves: fn(&World) = |world| {
        world.node("n1", Habit::Silent);
        // It was there when it was chosen, and is not when it is waited for.
        world.kubernetes_says("n1", NodeState::NotReady);
    };
    for trouble in [refuses, leaves] {
        let mut at = 0;
        loop {
            let world = world();
            world.node("n1", Habit::Silent);
            call(&world.controller(), Call::Create).await.unwrap_err();
            trouble(&world);
            let done = killed_at(&world, Call::Create, at).await;
            // Asked again for the same node, the call ends so that the scheduler chooses another.
            let again = call(&world.controller(), Call::Create).await.unwrap_err().code();
            let leaving = world.get(|state| state.volumes.values().all(is_given_up));
            assert!(leaving, "killed at {at}");
            assert!(matches!(again, Code::ResourceExhausted | Code::Aborted), "killed at {at}: {again:?}");
            let mut other = wish("pvc-1", GIB);
            other.accessibility_requirements = on(&["n2"]);
            world.controller().create_volume(Request::new(other)).await.unwrap();
            world.node("n1", Habit::Obeys);
            world.set(|state| state.sweep());
            assert_eq!(world.get(|state| state.only().spec.node.clone()), "n2", "killed at {at}");
            if let Some(done) = done {
                assert_eq!(done.unwrap_err().code(), Code::ResourceExhausted);
                break;
            }
            at += 1;
        }
        assert!(at >= 6, "only {at} steps");
    }
}

#[tokio::test]
async fn a_growth_that_cannot_be_had_killed_at_any_step_is_put_back_by_the_next() {
    let mut at = 0;
    loop {
        let world = world();
        call(&world.controller(), Call::Create).await.unwrap();
        world.node("n1", Habit::Says(LocalVolumeReason::NoSpace));
        let done = killed_at(&world, Call::Expand, at).await;
        let again = call(&world.controller(), Call::Expand).await.unwrap_err().code();
        assert_eq!(again, Code::OutOfRange, "killed at {at}");
        assert_eq!(world.get(|state| state.only().spec.size_bytes), GIB, "killed at {at}");
        if let Some(done) = done {
            assert_eq!(done.unwrap_err().code(), Code::OutOfRange);
            break;
        }
        at += 1;
    }
    assert!(at >= 8, "only {at} steps");
}
