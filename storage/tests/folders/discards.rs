//! What is kept for nobody: listed with what it holds, and given up when a person says so.

use workspacefs_storage::folders::error::{DiscardError, RestoreError};
use workspacefs_storage::folders::types::Disposal;

use crate::fake::TOTAL;
use crate::world::{
    A, B, GIB, KEEP, World, claim, claim_key, claim_place, file_system, label, own_place, uid,
};

fn unpromised(world: &World) -> u64 {
    world.folders.overview().unwrap().bytes_unpromised
}

#[test]
fn a_retained_folder_goes_by_the_trash_and_its_bytes_are_free_then() {
    let world = World::new();
    let before = unpromised(&world);
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.disk.write(&own_place(), "thesis", 3 * GIB).unwrap();
    world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
    world.wait(10 * KEEP);
    world.empty_trash();
    let id = world.folders.removed().unwrap()[0].path.clone();
    let kept = world.folders.discard(&id).unwrap().unwrap();
    world.check();
    let view = world.folders.removed().unwrap().remove(0);
    assert_eq!(
        (view.path.as_str(), view.disposal, view.bytes_held),
        (kept.as_str(), Disposal::Trash, 3 * GIB)
    );
    // Its time begins with the discarding, not with the retaining.
    assert_eq!(view.removed_for_good_at, Some(1_000_000 + 11 * KEEP));
    world.wait(KEEP - 1);
    world.empty_trash();
    assert_eq!(unpromised(&world), before - 3 * GIB);
    world.wait(1);
    world.empty_trash();
    assert_eq!(unpromised(&world), before);
    assert!(matches!(world.folders.discard(&id), Err(DiscardError::NotFound(_))));
    world.check();
}

#[test]
fn a_discarded_folder_is_restored_and_found_by_its_file_system() {
    for disposal in [Disposal::Retain, Disposal::Archive] {
        let world = World::new();
        world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
        world.disk.write(&own_place(), "thesis", GIB).unwrap();
        let id = world.folders.remove_file_system(&uid(A), disposal).unwrap().unwrap();
        let kept = world.folders.discard(&id).unwrap().unwrap();
        assert!(kept.starts_with("trash/"), "{kept}");
        let restored = world.folders.restore(&kept).unwrap();
        assert_eq!((restored.path, restored.claim), (own_place().path(), None));
        let found = world.folders.ensure_file_system(&file_system(B, 5)).unwrap();
        assert_eq!(found.usage.bytes_used, GIB);
        world.check();
    }
}

#[test]
fn a_claim_whose_file_system_is_gone_is_listed_and_its_whole_size_is_held_until_it_is_discarded() {
    let world = World::new();
    let before = unpromised(&world);
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 4)).unwrap();
    world.disk.write(&claim_place(A, "a"), "x", GIB).unwrap();
    assert!(world.folders.removed().unwrap().is_empty(), "its FileSystem is there");
    world.folders.remove_file_system(&uid(A), Disposal::Trash).unwrap();
    world.wait(KEEP);
    // While the trash still tells when the FileSystem went.
    let orphan = |world: &World| {
        world.folders.removed().unwrap().into_iter().find(|view| view.claim.is_some()).unwrap()
    };
    let view = orphan(&world);
    assert_eq!((view.disposal, view.claim.as_deref()), (Disposal::Retain, Some("a")));
    assert_eq!((view.removed_at, view.removed_for_good_at), (Some(1_000_000), None));
    assert_eq!((view.bytes_used, view.bytes_held), (GIB, 4 * GIB));
    world.empty_trash();
    assert_eq!(orphan(&world).removed_at, None);
    assert_eq!(unpromised(&world), before - 4 * GIB);
    world.folders.discard(&view.path).unwrap();
    assert_eq!(orphan(&world).bytes_held, GIB);
    assert_eq!(unpromised(&world), before - GIB);
    world.check();
    // What did not fit before does now.
    let mut large = file_system(B, 0);
    large.capacity = before - GIB;
    world.folders.ensure_file_system(&large).unwrap();
    world.check();
}

#[test]
fn a_discarded_claim_is_restored_with_its_size_and_says_that_its_file_system_is_gone() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 4)).unwrap();
    world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
    let kept = world.folders.discard(&claim_place(A, "a").path()).unwrap().unwrap();
    // The retained folder has all of its own again.
    world.check();
    let claim = world.folders.restore(&kept).unwrap().claim.unwrap();
    assert_eq!((claim.key, claim.size, claim.has_file_system), (claim_key(A, "a"), 4 * GIB, false));
    world.check();
    // It is promised again: what is not there cannot be.
    let kept = world.folders.discard(&claim_place(A, "a").path()).unwrap().unwrap();
    world.disk.content().foreign_bytes = TOTAL;
    assert!(matches!(world.folders.restore(&kept), Err(RestoreError::NoRoom(_))));
}

#[test]
fn what_a_file_system_has_is_not_discarded() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 4)).unwrap();
    let error = world.folders.discard(&own_place().path()).unwrap_err();
    assert!(matches!(error, DiscardError::InUse { .. }), "{error}");
    let error = world.folders.discard(&claim_place(A, "a").path()).unwrap_err();
    assert!(matches!(error, DiscardError::ClaimInUse { .. }), "{error}");
    assert!(error.to_string().contains("team-a/default"), "{error}");
    // Nor what a FileSystem has found again.
    world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
    world.folders.ensure_file_system(&file_system(B, 10)).unwrap();
    assert!(matches!(world.folders.discard(&own_place().path()), Err(DiscardError::InUse { .. })));
    world.check();
}

#[test]
fn a_claim_of_the_file_system_before_is_discarded_though_another_has_its_folder_and_name() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 4)).unwrap();
    world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
    world.folders.ensure_file_system(&file_system(B, 10)).unwrap();
    world.folders.ensure_claim(&claim(B, "a", 2)).unwrap();
    world.folders.discard(&claim_place(A, "a").path()).unwrap();
    assert_eq!(world.folders.claim(&claim_key(B, "a")).unwrap().size, 2 * GIB);
    world.check();
}

#[test]
fn discarding_again_is_fine_and_the_trash_itself_is_not_discarded() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    let id = world.folders.remove_file_system(&uid(A), Disposal::Archive).unwrap().unwrap();
    let kept = world.folders.discard(&id).unwrap();
    world.wait(5);
    assert_eq!(world.folders.discard(&id).unwrap(), kept, "its time does not begin anew");
    let kept = kept.unwrap();
    assert!(matches!(world.folders.discard(&kept), Err(DiscardError::InTrash)));
    assert_eq!(world.folders.removed().unwrap()[0].removed_at, Some(1_000_000));
    for wrong in ["", "..", "archive", "trash/../export", "export/workspaces", "new/1", "archive/nothing"] {
        assert!(matches!(world.folders.discard(wrong), Err(DiscardError::NotFound(_))), "{wrong}");
    }
    let long = "x".repeat(10_000);
    assert!(world.folders.discard(&long).unwrap_err().to_string().len() < 1000);
    world.check();
}

#[test]
fn two_folders_of_one_place_are_discarded_one_after_the_other() {
    let world = World::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        world.folders.ensure_file_system(&file_system(A, 1)).unwrap();
        ids.extend(world.folders.remove_file_system(&uid(A), Disposal::Archive).unwrap());
    }
    let mut other = file_system(B, 1);
    other.name = label("other");
    world.folders.ensure_file_system(&other).unwrap();
    for id in &ids {
        world.folders.discard(id).unwrap();
    }
    let removed = world.folders.removed().unwrap();
    assert_eq!(removed.iter().filter(|view| view.disposal == Disposal::Trash).count(), 2);
    world.check();
}

#[test]
fn a_folder_that_somebody_removed_by_hand_is_forgotten() {
    let world = World::new();
    let before = unpromised(&world);
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 4)).unwrap();
    world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
    world.disk.content().folders.remove(&claim_place(A, "a"));
    assert_eq!(world.folders.discard(&claim_place(A, "a").path()).unwrap(), None);
    assert_eq!(unpromised(&world), before);
    world.check();
}
