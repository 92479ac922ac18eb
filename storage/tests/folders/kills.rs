//! Each operation is stopped at each of its steps: the process killed, or one step failing, before or after it took
//! effect. Then it is repeated, by a new process or by the same one, and all must be as if nothing had happened.

use std::collections::BTreeSet;
use std::fmt::Debug;

use workspacefs_storage::folders::Folders;
use workspacefs_storage::folders::types::Disposal;
use workspacefs_storage::folders::types::FileSystemView;

use crate::fake::Fault;
use crate::world::{
    A, B, GIB, KEEP, NAMESPACE, World, claim, claim_key, claim_place, file_system, key, own_place, uid,
};

/// More steps than any operation has.
const STEPS_MAX: usize = 60;

/// What there was before an operation, and the operation.
struct Scene<T> {
    prepare: fn(&World),
    operation: fn(&Folders) -> Result<T, String>,
    /// What holds once it has been done, by whomever.
    done: fn(&World),
}

fn play<T: Debug + PartialEq>(scene: &Scene<T>) {
    let expected = {
        let world = World::new();
        (scene.prepare)(&world);
        world.check();
        let answer = (scene.operation)(&world.folders).unwrap();
        world.check();
        (scene.done)(&world);
        answer
    };
    let faults: [fn(usize) -> Fault; 3] = [Fault::KilledAt, Fault::FailsAt, Fault::LiesAt];
    for fault in faults {
        for restarted in [true, false] {
            // A killed process does not go on.
            if !restarted && matches!(fault(0), Fault::KilledAt(_)) {
                continue;
            }
            let stopped = (0..STEPS_MAX).filter(|at| stop(scene, fault(*at), restarted, &expected)).count();
            assert!(stopped > 0 && stopped < STEPS_MAX, "{stopped} stops");
        }
    }
}

/// False if the operation was done before the fault came.
fn stop<T: Debug + PartialEq>(scene: &Scene<T>, fault: Fault, restarted: bool, expected: &T) -> bool {
    let mut world = World::new();
    (scene.prepare)(&world);
    world.disk.set_fault(fault);
    let cut = (scene.operation)(&world.folders);
    world.disk.set_fault(Fault::None);
    if restarted {
        world = world.restarted();
        // Even if nobody repeats it, nothing is leaked or doubled.
        world.check();
    }
    let context = format!("{fault:?}, restarted: {restarted}");
    if let Ok(answer) = &cut {
        assert_eq!(answer, expected, "{context}");
    }
    let answer = (scene.operation)(&world.folders).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(&answer, expected, "{context}");
    world.check();
    (scene.done)(&world);
    let world = world.restarted();
    world.check();
    (scene.done)(&world);
    cut.is_err()
}

fn words<T, E: std::error::Error>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn one(world: &World) {
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.disk.write(&own_place(), "own", GIB).unwrap();
}

fn one_with_claim(world: &World) {
    one(world);
    world.folders.ensure_claim(&claim(A, "pvc-1", 2)).unwrap();
    world.disk.write(&claim_place(A, "pvc-1"), "claimed", GIB).unwrap();
}

#[test]
fn making_a_file_system() {
    play(&Scene {
        prepare: |_| {},
        operation: |folders| {
            let view = words(folders.ensure_file_system(&file_system(A, 10)))?;
            // A new process need not find the project that the killed one chose, and the path has it.
            assert!(view.folder.starts_with(&format!("workspaces/{NAMESPACE}/default.")), "{}", view.folder);
            Ok(FileSystemView { folder: String::new(), ..view })
        },
        done: |world| assert_eq!(world.records().len(), 1),
    });
}

#[test]
fn growing_and_shrinking_a_file_system() {
    for gib in [20, 4] {
        let operation: fn(&Folders) -> _ = match gib {
            20 => |folders| words(folders.ensure_file_system(&file_system(A, 20))),
            _ => |folders| words(folders.ensure_file_system(&file_system(A, 4))),
        };
        play(&Scene { prepare: one_with_claim, operation, done: |world| assert_eq!(world.files().len(), 2) });
    }
}

#[test]
fn finding_a_retained_folder_again() {
    play(&Scene {
        prepare: |world| {
            one(world);
            world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
        },
        operation: |folders| words(folders.ensure_file_system(&file_system(B, 5))),
        done: |world| assert_eq!(world.files(), [("own".to_string(), GIB)]),
    });
}

#[test]
fn ending_a_file_system() {
    for disposal in [Disposal::Retain, Disposal::Trash, Disposal::Archive] {
        let operation: fn(&Folders) -> _ = match disposal {
            Disposal::Retain => |folders| words(folders.remove_file_system(&uid(A), Disposal::Retain)),
            Disposal::Trash => |folders| words(folders.remove_file_system(&uid(A), Disposal::Trash)),
            Disposal::Archive => |folders| words(folders.remove_file_system(&uid(A), Disposal::Archive)),
        };
        play(&Scene {
            prepare: one_with_claim,
            operation,
            done: |world| {
                assert!(world.folders.file_systems().unwrap().is_empty());
                // The own folder, and the claim that lost its FileSystem.
                assert_eq!(world.folders.removed().unwrap().len(), 2);
                assert_eq!(world.files().len(), 2);
                // Claims stay as they are.
                assert_eq!(world.folders.claim(&claim_key(A, "pvc-1")).unwrap().size, 2 * GIB);
            },
        });
    }
}

#[test]
fn making_a_claim() {
    play(&Scene {
        prepare: one,
        operation: |folders| words(folders.ensure_claim(&claim(A, "pvc-1", 3))),
        done: |world| {
            assert_eq!(world.records().len(), 2);
            assert_eq!(world.folders.file_systems().unwrap()[0].left, 6 * GIB);
        },
    });
}

#[test]
fn growing_a_claim() {
    play(&Scene {
        prepare: one_with_claim,
        operation: |folders| words(folders.grow_claim(&claim_key(A, "pvc-1"), 5 * GIB, 0)),
        done: |world| assert_eq!(world.folders.file_systems().unwrap()[0].left, 4 * GIB),
    });
}

#[test]
fn removing_a_claim() {
    play(&Scene {
        prepare: one_with_claim,
        operation: |folders| words(folders.remove_claim(&claim_key(A, "pvc-1"), Disposal::Trash)),
        done: |world| {
            assert!(world.folders.file_systems().unwrap()[0].claims.is_empty());
            assert_eq!(world.folders.removed().unwrap().len(), 1);
            assert_eq!(world.files().len(), 2);
        },
    });
}

#[test]
fn restoring_a_claim() {
    play(&Scene {
        prepare: |world| {
            one_with_claim(world);
            world.folders.remove_claim(&claim_key(A, "pvc-1"), Disposal::Trash).unwrap();
        },
        operation: |folders| words(folders.restore("trash/team-a.default.pvc-1.19700112T134640Z")),
        done: |world| {
            assert_eq!(world.folders.claim(&claim_key(A, "pvc-1")).unwrap().usage.bytes_used, GIB);
            assert!(world.folders.removed().unwrap().is_empty());
        },
    });
}

#[test]
fn restoring_a_file_system() {
    play(&Scene {
        prepare: |world| {
            one(world);
            world.folders.remove_file_system(&uid(A), Disposal::Archive).unwrap();
        },
        operation: |folders| words(folders.restore("archive/team-a.default.19700112T134640Z")),
        done: |world| {
            let removed = world.folders.removed().unwrap();
            assert_eq!(removed.len(), 1);
            assert_eq!(removed[0].key, Some(key(NAMESPACE, "default")));
            assert_eq!(removed[0].disposal, Disposal::Retain);
        },
    });
}

#[test]
fn discarding_a_retained_folder() {
    play(&Scene {
        prepare: |world| {
            one(world);
            world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
        },
        operation: |folders| words(folders.discard(&own_place().path())),
        done: only_in_the_trash,
    });
}

#[test]
fn discarding_an_archived_folder() {
    play(&Scene {
        prepare: |world| {
            one(world);
            world.folders.remove_file_system(&uid(A), Disposal::Archive).unwrap();
        },
        operation: |folders| words(folders.discard("archive/team-a.default.19700112T134640Z")),
        done: only_in_the_trash,
    });
}

fn only_in_the_trash(world: &World) {
    let removed = world.folders.removed().unwrap();
    assert_eq!(removed.iter().map(|view| view.disposal).collect::<Vec<_>>(), [Disposal::Trash]);
    assert_eq!(world.files(), [("own".to_string(), GIB)]);
}

#[test]
fn discarding_a_claim_whose_file_system_is_gone() {
    play(&Scene {
        prepare: |world| {
            one_with_claim(world);
            world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
        },
        operation: |folders| words(folders.discard(&claim_place(A, "pvc-1").path())),
        done: |world| {
            let removed = world.folders.removed().unwrap();
            let found: Vec<_> = removed.iter().map(|view| (view.disposal, view.claim.is_some())).collect();
            assert_eq!(found.len(), 2);
            assert!(found.contains(&(Disposal::Retain, false)) && found.contains(&(Disposal::Trash, true)));
            assert_eq!(world.files().len(), 2);
        },
    });
}

#[test]
fn emptying_the_trash() {
    play(&Scene {
        prepare: |world| {
            one_with_claim(world);
            for file in 0..5 {
                world.disk.write(&claim_place(A, "pvc-1"), &file.to_string(), 1).unwrap();
            }
            world.folders.remove_claim(&claim_key(A, "pvc-1"), Disposal::Trash).unwrap();
            world.wait(KEEP);
        },
        operation: |folders| {
            while let Some(doomed) = words(folders.doom(&BTreeSet::new()))? {
                while !words(folders.disk().remove_some(&doomed.place, 2))?.done {}
                words(folders.forget(&doomed))?;
            }
            Ok(())
        },
        done: |world| {
            assert!(world.folders.removed().unwrap().is_empty());
            assert_eq!(world.records().len(), 1);
            assert_eq!(world.files(), [("own".to_string(), GIB)]);
        },
    });
}
