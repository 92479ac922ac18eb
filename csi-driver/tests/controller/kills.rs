//! The controller killed between any two steps of a call: its successor, asked the same again, completes it, and nothing is
//! there twice or left over.

use csi_driver::controller::Controller;
use csi_driver::share::{Leaving, VolumeRecord};
use tonic::Request;
use workspacefs_api::ReclaimPolicy;
use workspacefs_csi_proto::csi::v1::controller_server::Controller as _;
use workspacefs_csi_proto::csi::v1::*;

use crate::world::{GIB, Kept, State, UID, World, managed_world, nfs, sized_wish};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Create,
    Expand,
    Delete,
}

/// What counts: claims and sizes, folders, what was moved away.
type Remains = (Vec<(String, Kept)>, Vec<(String, VolumeRecord)>, usize);

fn remains(state: &State) -> Remains {
    let kept = state.agent.file_systems.iter().map(|(uid, kept)| (uid.clone(), kept.clone())).collect();
    let volumes = state.volumes.iter().map(|(name, record)| (name.clone(), *record)).collect();
    (kept, volumes, state.agent.removed.len() + state.left.len())
}

async fn call(controller: &Controller, call: Call) -> Result<(), tonic::Status> {
    let id = format!("v1.vol.{UID}.pvc-1");
    match call {
        Call::Create => {
            let volume = controller.create_volume(Request::new(sized_wish("pvc-1", GIB, 0))).await?;
            assert_eq!(volume.into_inner().volume.unwrap().volume_id, id);
        }
        Call::Expand => {
            let request = ControllerExpandVolumeRequest {
                volume_id: id,
                capacity_range: Some(CapacityRange { required_bytes: 2 * GIB, limit_bytes: 0 }),
                ..Default::default()
            };
            let answer = controller.controller_expand_volume(Request::new(request)).await?;
            assert_eq!(answer.into_inner().capacity_bytes, 2 * GIB);
        }
        Call::Delete => {
            let request = DeleteVolumeRequest { volume_id: id, ..Default::default() };
            controller.delete_volume(Request::new(request)).await?;
        }
    }
    Ok(())
}

/// What an earlier call has left for this one.
async fn before(world: &World, which: Call) {
    if which != Call::Create {
        call(&world.controller(), Call::Create).await.unwrap();
    }
}

/// Runs the call and kills the controller at step `at`; false if it was done before.
async fn killed_at(world: &World, which: Call, at: usize) -> bool {
    world.set(|state| (state.steps.done, state.steps.kill_at) = (0, Some(at)));
    let killed = world.get(|state| state.steps.killed.clone());
    let controller = world.controller();
    let killed = tokio::select! {
        result = call(&controller, which) => {
            result.unwrap();
            false
        }
        () = killed.notified() => true,
    };
    world.set(|state| state.steps.kill_at = None);
    killed
}

/// Gives back how many steps the call has.
async fn at_each_step(make: fn() -> World, which: Call) -> usize {
    let reference = make();
    before(&reference, which).await;
    call(&reference.controller(), which).await.unwrap();
    let wanted = reference.get(remains);
    let mut at = 0;
    loop {
        let world = make();
        before(&world, which).await;
        let killed = killed_at(&world, which, at).await;
        call(&world.controller(), which).await.unwrap_or_else(|e| panic!("{which:?} killed at {at}: {e}"));
        assert_eq!(world.get(remains), wanted, "{which:?} killed at step {at}");
        // Whatever happened, the volume can be deleted, and then nothing of it is there.
        call(&world.controller(), Call::Delete).await.unwrap();
        world.get(|state| {
            assert!(state.agent.file_systems.values().all(|kept| kept.claims.is_empty()));
            assert!(state.volumes.is_empty());
            assert_eq!(state.agent.removed.len() + state.left.len(), 1, "removed once");
            assert!(state.left.iter().all(|(_, to)| *to == Leaving::Trash("pvc-1".into())));
        });
        if !killed {
            return at;
        }
        at += 1;
    }
}

fn nfs_world() -> World {
    let mut fs = nfs("default", UID);
    fs.spec.reclaim_policy = ReclaimPolicy::Delete;
    World::with(vec![fs])
}

#[tokio::test]
async fn a_call_on_a_managed_volume_killed_at_any_step_is_completed_by_the_next() {
    for which in [Call::Create, Call::Expand, Call::Delete] {
        let steps = at_each_step(managed_world, which).await;
        assert!(steps >= 3, "only {steps} steps: look-up, before the agent's work, after it");
    }
}

#[tokio::test]
async fn a_call_on_a_shares_volume_killed_at_any_step_is_completed_by_the_next() {
    for which in [Call::Create, Call::Delete] {
        let steps = at_each_step(nfs_world, which).await;
        assert!(steps >= 3, "only {steps} steps: look-up, before the share's work, after it");
    }
}

#[tokio::test]
async fn a_volume_whose_creation_was_killed_can_be_deleted_by_the_id_that_nobody_was_told() {
    for make in [managed_world, nfs_world] {
        let mut at = 0;
        loop {
            let world = make();
            let killed = killed_at(&world, Call::Create, at).await;
            call(&world.controller(), Call::Delete).await.unwrap();
            world.get(|state| {
                assert!(state.agent.file_systems.values().all(|kept| kept.claims.is_empty()), "step {at}");
                assert!(state.volumes.is_empty(), "step {at}");
            });
            if !killed {
                break;
            }
            at += 1;
        }
        assert!(at >= 3);
    }
}
