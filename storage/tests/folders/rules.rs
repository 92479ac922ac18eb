//! What operations do and refuse.

use std::collections::BTreeSet;
use workspacefs_storage::folders::error::{
    EnsureClaimError, EnsureFileSystemError, GrowClaimError, RemoveError, RestoreError,
};
use workspacefs_storage::folders::types::Disposal;
use workspacefs_storage::names::Place;
use workspacefs_storage::sizes::{Promises, SizeError};

use crate::fake::TOTAL;
use crate::world::{
    A, B, GIB, KEEP, NAMESPACE, OTHER_NAMESPACE, World, claim, claim_key, claim_place, file_system, key,
    label, own_place, share, uid,
};

const C: &str = "cccccccc-d9cb-469f-a165-70867728950e";

#[test]
fn a_folder_has_its_owner_and_its_limit_and_a_repeated_call_changes_nothing() {
    let world = World::new();
    let made = world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    assert_eq!(made.folder, own_place().exported().unwrap());
    assert_eq!((made.usage.bytes_limit, made.left), (10 * GIB, 10 * GIB));
    let owner = world.disk.content().folders[&own_place()].owner;
    assert_eq!(owner, Some((1000, 1001, 0o2770)));
    // The owner is applied when the folder is made and never again.
    let mut again = file_system(A, 10);
    again.owner.uid = 7;
    assert_eq!(world.folders.ensure_file_system(&again).unwrap(), made);
    assert_eq!(world.disk.content().folders[&own_place()].owner, owner);
    world.check();
}

#[test]
fn what_is_left_is_capacity_less_claims_less_usage() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.disk.write(&own_place(), "own", 3 * GIB).unwrap();
    world.folders.ensure_claim(&claim(A, "b", 2)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 1)).unwrap();
    // A claim counts with its size, not with what lies in it.
    world.disk.write(&claim_place(A, "a"), "x", GIB / 2).unwrap();
    let view = &world.folders.file_systems().unwrap()[0];
    assert_eq!(view.left, 4 * GIB);
    assert_eq!(view.usage.bytes_limit, 7 * GIB);
    assert_eq!(view.claims.iter().map(|claim| claim.key.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let error = world.folders.ensure_claim(&claim(A, "c", 5)).unwrap_err();
    let beyond = SizeError::BeyondLeft { asked: 5 * GIB, left: 4 * GIB };
    assert!(matches!(error, EnsureClaimError::Size(found) if found == beyond), "{error}");
    world.folders.ensure_claim(&claim(A, "c", 4)).unwrap();
    assert!(world.disk.write(&own_place(), "more", 1).is_err(), "the own folder has no more than is left");
    world.check();
}

#[test]
fn a_claim_of_another_size_exists_already_and_one_without_a_size_fits() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 3)).unwrap();
    assert_eq!(world.folders.ensure_claim(&claim(A, "a", 0)).unwrap().size, GIB);
    assert_eq!(world.folders.ensure_claim(&claim(A, "a", 1)).unwrap().size, GIB);
    let error = world.folders.ensure_claim(&claim(A, "a", 2)).unwrap_err();
    assert!(matches!(error, EnsureClaimError::OtherSize { size: GIB, .. }), "{error}");
    let error = world.folders.ensure_claim(&claim(B, "a", 1)).unwrap_err();
    assert!(matches!(error, EnsureClaimError::NoFileSystem(_)), "{error}");
}

#[test]
fn growing_a_claim_takes_from_its_file_system_and_never_gives_back() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 2)).unwrap();
    assert_eq!(world.folders.grow_claim(&claim_key(A, "a"), 5 * GIB, 0).unwrap().size, 5 * GIB);
    assert_eq!(world.folders.grow_claim(&claim_key(A, "a"), GIB, 0).unwrap().size, 5 * GIB);
    world.check();
    world.disk.write(&own_place(), "own", 4 * GIB).unwrap();
    let error = world.folders.grow_claim(&claim_key(A, "a"), 7 * GIB, 0).unwrap_err();
    let beyond = SizeError::BeyondLeft { asked: 2 * GIB, left: GIB };
    assert!(matches!(error, GrowClaimError::Size(found) if found == beyond), "{error}");
    world.check();
    let error = world.folders.grow_claim(&claim_key(A, "b"), GIB, 0).unwrap_err();
    assert!(matches!(error, GrowClaimError::NoClaim(_)), "{error}");
}

#[test]
fn capacity_never_shrinks_below_what_is_used_and_says_the_number() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 3)).unwrap();
    world.disk.write(&own_place(), "own", 2 * GIB).unwrap();
    let error = world.folders.ensure_file_system(&file_system(A, 4)).unwrap_err();
    assert!(
        matches!(error, EnsureFileSystemError::BelowUsage { needed, .. } if needed == 5 * GIB),
        "{error}"
    );
    assert!(error.to_string().contains(&(5 * GIB).to_string()), "{error}");
    world.check();
    assert_eq!(world.folders.ensure_file_system(&file_system(A, 5)).unwrap().left, 0);
    world.check();
    let mut nothing = file_system(A, 5);
    nothing.capacity = 0;
    assert!(matches!(world.folders.ensure_file_system(&nothing), Err(EnsureFileSystemError::NoCapacity)));
}

#[test]
fn the_disk_promises_no_more_than_it_has() {
    let world = World::new();
    let all = world.folders.overview().unwrap().bytes_unpromised;
    assert!(all < TOTAL && all > TOTAL / 100 * 90, "{all}");
    let mut first = file_system(A, 1);
    first.capacity = all - GIB;
    world.folders.ensure_file_system(&first).unwrap();
    assert_eq!(world.folders.overview().unwrap().bytes_unpromised, GIB);
    let mut second = file_system(B, 2);
    second.name = label("second");
    let error = world.folders.ensure_file_system(&second).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::NoRoom(room) if room.left == GIB), "{error}");
    let mut grown = first.clone();
    grown.capacity = all + 1;
    assert!(matches!(world.folders.ensure_file_system(&grown), Err(EnsureFileSystemError::NoRoom(_))));
    grown.capacity = all;
    world.folders.ensure_file_system(&grown).unwrap();
    world.check();
    // What others write on the same disk is gone for us.
    world.disk.content().foreign_bytes = 10 * GIB;
    assert_eq!(world.folders.overview().unwrap().bytes_unpromised, 0);
}

#[test]
fn what_lies_in_the_trash_is_not_promised_again() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 90)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 80)).unwrap();
    world.disk.write(&claim_place(A, "a"), "big", 80 * GIB).unwrap();
    world.folders.remove_claim(&claim_key(A, "a"), Disposal::Trash).unwrap();
    assert_eq!(world.folders.file_systems().unwrap()[0].left, 90 * GIB);
    let error = world.folders.ensure_claim(&claim(A, "b", 80)).unwrap_err();
    assert!(matches!(error, EnsureClaimError::NoRoom(room) if room.removed == 80 * GIB), "{error}");
    world.wait(KEEP);
    world.empty_trash();
    world.folders.ensure_claim(&claim(A, "b", 80)).unwrap();
    world.check();
}

#[test]
fn a_retained_folder_is_found_by_the_same_namespace_and_by_no_other() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.disk.write(&own_place(), "thesis", GIB).unwrap();
    assert_eq!(
        world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap(),
        Some(own_place().path())
    );
    assert!(world.folders.file_systems().unwrap().is_empty());
    // A namespace created again has another uid.
    let mut stranger = file_system(C, 5);
    stranger.namespace_uid = uid(OTHER_NAMESPACE);
    let view = world.folders.ensure_file_system(&stranger).unwrap();
    assert_eq!(view.usage.bytes_used, 0);
    assert_ne!(view.folder, own_place().exported().unwrap());
    let found = world.folders.ensure_file_system(&file_system(B, 5)).unwrap();
    assert_eq!((found.usage.bytes_used, found.usage.bytes_limit), (GIB, 5 * GIB));
    world.check();
    let other_name = {
        let mut wish = file_system(A, 1);
        wish.name = label("other");
        wish
    };
    assert_eq!(world.folders.ensure_file_system(&other_name).unwrap().usage.bytes_used, 0);
}

/// A client may know the old folder under its path for a minute after it was moved away, and would write into the trash.
#[test]
fn the_parent_of_a_folder_outlives_it_until_the_next_start() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 1)).unwrap();
    world.folders.remove_claim(&claim_key(A, "a"), Disposal::Trash).unwrap();
    let parent = claim_place(A, "a").parent();
    assert!(world.disk.content().parents.contains(&parent), "clients know it for a minute");
    let world = world.restarted();
    assert!(!world.disk.content().parents.contains(&parent));
    world.folders.ensure_claim(&claim(A, "a", 1)).unwrap();
    world.check();
}

#[test]
fn a_folder_made_again_under_its_name_never_gets_the_path_of_the_one_before() {
    for disposal in [Disposal::Trash, Disposal::Archive] {
        let world = World::new();
        let first = world.folders.ensure_file_system(&file_system(A, 1)).unwrap();
        let kept = world.folders.remove_file_system(&uid(A), disposal).unwrap().unwrap();
        let second = world.folders.ensure_file_system(&file_system(B, 1)).unwrap();
        assert_ne!(second.folder, first.folder);
        let error = world.folders.restore(&kept).unwrap_err();
        assert!(matches!(error, RestoreError::Taken(_)), "while another has its name: {error}");
        world.folders.remove_file_system(&uid(B), Disposal::Trash).unwrap();
        assert_eq!(world.folders.restore(&kept).unwrap().path, format!("export/{}", first.folder));
        world.check();
    }
}

#[test]
fn a_retained_folder_that_is_fuller_than_the_new_capacity_is_refused() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.disk.write(&own_place(), "thesis", 3 * GIB).unwrap();
    world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
    let error = world.folders.ensure_file_system(&file_system(B, 2)).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::BelowUsage { used, .. } if used == 3 * GIB), "{error}");
    world.check();
    assert_eq!(world.folders.removed().unwrap().len(), 1, "it is still retained");
}

#[test]
fn adopting_takes_a_retained_folder_and_never_one_in_use() {
    let world = World::new();
    let mut thief = file_system(B, 5);
    thief.namespace_uid = uid(OTHER_NAMESPACE);
    thief.namespace = label("team-b");
    thief.adopt = Some(key(NAMESPACE, "default"));
    let error = world.folders.ensure_file_system(&thief).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::NothingToAdopt(_)), "{error}");
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.disk.write(&own_place(), "thesis", GIB).unwrap();
    let error = world.folders.ensure_file_system(&thief).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::InUse { .. }), "{error}");
    world.folders.remove_file_system(&uid(A), Disposal::Retain).unwrap();
    let adopted = world.folders.ensure_file_system(&thief).unwrap();
    assert_eq!(adopted.folder, own_place().exported().unwrap(), "it keeps its place");
    assert_eq!((adopted.usage.bytes_used, adopted.namespace.as_str()), (GIB, "team-b"));
    assert_eq!(world.folders.ensure_file_system(&thief).unwrap(), adopted);
    world.check();

    // Whose it was first does not get it back by name, not even when the adopter is gone.
    let error = world.folders.ensure_file_system(&file_system(C, 5)).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::InUse { .. }), "{error}");
    world.folders.remove_file_system(&uid(B), Disposal::Retain).unwrap();
    let error = world.folders.ensure_file_system(&file_system(C, 5)).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::Anothers { .. }), "{error}");
    // The adopter's namespace finds it.
    let mut again = thief.clone();
    (again.uid, again.adopt) = (uid(C), None);
    assert_eq!(world.folders.ensure_file_system(&again).unwrap().usage.bytes_used, GIB);
    world.check();
}

#[test]
fn two_objects_never_share_a_folder() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    let error = world.folders.ensure_file_system(&file_system(B, 10)).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::InUse { .. }), "{error}");
    let mut renamed = file_system(A, 10);
    renamed.name = label("other");
    let error = world.folders.ensure_file_system(&renamed).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::OtherObject { .. }), "{error}");
    world.check();
}

#[test]
fn a_folder_that_somebody_else_made_is_not_taken() {
    let world = World::new();
    world.disk.content().folders.insert(own_place(), Default::default());
    let error = world.folders.ensure_file_system(&file_system(A, 1)).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::Occupied(_)), "{error}");
    assert_eq!(world.records().len(), 0);
}

#[test]
fn removed_folders_are_readable_listed_and_kept_their_time() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "pvc-1", 1)).unwrap();
    world.disk.write(&claim_place(A, "pvc-1"), "x", 5).unwrap();
    let kept = world.folders.remove_claim(&claim_key(A, "pvc-1"), Disposal::Archive).unwrap();
    assert_eq!(kept.as_deref(), Some("archive/team-a.default.pvc-1.19700112T134640Z"));
    // Of the same name, in the same second.
    world.folders.ensure_claim(&claim(A, "pvc-1", 1)).unwrap();
    let kept = world.folders.remove_claim(&claim_key(A, "pvc-1"), Disposal::Archive).unwrap();
    assert_eq!(kept.as_deref(), Some("archive/team-a.default.pvc-1.19700112T134640Z-2"));
    let kept = world.folders.remove_file_system(&uid(A), Disposal::Trash).unwrap();
    assert_eq!(kept.as_deref(), Some("trash/team-a.default.19700112T134640Z"));
    world.check();

    let removed = world.folders.removed().unwrap();
    assert_eq!(removed.len(), 3);
    let first = removed.iter().find(|view| view.path.ends_with("pvc-1.19700112T134640Z")).unwrap();
    assert_eq!((first.bytes_used, first.claim.as_deref()), (5, Some("pvc-1")));
    assert_eq!(first.removed_for_good_at, None);
    let trashed = removed.iter().find(|view| view.disposal == Disposal::Trash).unwrap();
    assert_eq!(trashed.removed_for_good_at, Some(1_000_000 + KEEP));

    world.wait(KEEP - 1);
    world.empty_trash();
    assert_eq!(world.folders.removed().unwrap().len(), 3);
    world.wait(1);
    world.empty_trash();
    assert_eq!(world.folders.removed().unwrap().len(), 2, "the archive stays");
    world.check();
}

#[test]
fn removing_what_is_not_there_touches_nothing() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    assert_eq!(world.folders.remove_file_system(&uid(B), Disposal::Trash).unwrap(), None);
    assert_eq!(world.folders.remove_claim(&claim_key(A, "x"), Disposal::Trash).unwrap(), None);
    assert!(matches!(
        world.folders.remove_claim(&claim_key(A, "x"), Disposal::Retain),
        Err(RemoveError::RetainedClaim)
    ));
    assert_eq!(world.records().len(), 1);
    world.check();
}

#[test]
fn claims_outlive_their_file_system_and_can_still_be_removed() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 2)).unwrap();
    let before = world.folders.overview().unwrap().bytes_unpromised;
    world.folders.remove_file_system(&uid(A), Disposal::Trash).unwrap();
    // The claim is all that is still promised.
    assert_eq!(world.folders.overview().unwrap().bytes_unpromised, before + 8 * GIB);
    let error = world.folders.grow_claim(&claim_key(A, "a"), 3 * GIB, 0).unwrap_err();
    assert!(matches!(error, GrowClaimError::NoFileSystem(_)), "{error}");
    assert!(matches!(world.folders.ensure_claim(&claim(A, "b", 1)), Err(EnsureClaimError::NoFileSystem(_))));
    assert!(world.folders.remove_claim(&claim_key(A, "a"), Disposal::Trash).unwrap().is_some());
    assert_eq!(world.folders.overview().unwrap().bytes_unpromised, before + 10 * GIB);
    world.check();
}

#[test]
fn restoring_needs_a_free_place_and_room() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 6)).unwrap();
    let path = world.folders.remove_claim(&claim_key(A, "a"), Disposal::Trash).unwrap().unwrap();
    world.folders.ensure_claim(&claim(A, "a", 1)).unwrap();
    assert!(matches!(world.folders.restore(&path), Err(RestoreError::Taken(_))));
    world.folders.remove_claim(&claim_key(A, "a"), Disposal::Archive).unwrap();
    world.folders.ensure_claim(&claim(A, "b", 5)).unwrap();
    assert!(matches!(
        world.folders.restore(&path),
        Err(RestoreError::NoneLeft { size, left }) if (size, left) == (6 * GIB, 5 * GIB)
    ));
    world.check();
    for wrong in ["", "trash/../export", "trash/nothing", "export/workspaces", "a"] {
        assert!(matches!(world.folders.restore(wrong), Err(RestoreError::NotFound(_))), "{wrong}");
    }
    // A live folder's path restores nothing.
    let live = claim_place(A, "b").path();
    assert!(matches!(world.folders.restore(&live), Err(RestoreError::NotFound(_))));
    world.folders.remove_claim(&claim_key(A, "b"), Disposal::Trash).unwrap();
    let restored = world.folders.restore(&path).unwrap();
    assert_eq!(restored.path, claim_place(A, "a").path());
    let claim = restored.claim.as_ref().unwrap();
    assert_eq!((claim.size, claim.has_file_system), (6 * GIB, true));
    assert_eq!(world.folders.restore(&path).unwrap(), restored, "again");
    assert_eq!(world.folders.claim(&claim_key(A, "a")).unwrap().size, 6 * GIB);
    world.check();
}

#[test]
fn what_is_being_emptied_cannot_be_restored() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.disk.write(&own_place(), "x", 1).unwrap();
    let path = world.folders.remove_file_system(&uid(A), Disposal::Trash).unwrap().unwrap();
    world.wait(KEEP);
    assert!(world.folders.doom(&BTreeSet::new()).unwrap().is_some());
    assert!(matches!(world.folders.restore(&path), Err(RestoreError::Emptying)));
    let world = world.restarted();
    assert!(
        matches!(world.folders.restore(&path), Err(RestoreError::Emptying)),
        "not after a restart either"
    );
    world.empty_trash();
    world.check();
}

#[test]
fn a_project_id_that_something_carries_is_not_given_again() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 1)).unwrap();
    let first = world.records()[0].project;
    // Somebody moved a folder with the next id out of where we look.
    let stray = workspacefs_storage::names::KeptName::try_from("stray".to_string()).unwrap();
    let folder = crate::fake::FakeFolder { project: first + 1, ..Default::default() };
    world.disk.content().folders.insert(Place::Archive(stray), folder);
    world.folders.ensure_claim(&claim(A, "a", 0)).unwrap();
    assert_eq!(world.records()[1].project, first + 2);
}

#[test]
fn a_folder_that_was_removed_by_hand_is_an_error_to_users_and_nothing_to_removers() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.folders.ensure_claim(&claim(A, "a", 1)).unwrap();
    world.disk.content().folders.remove(&claim_place(A, "a"));
    let error = world.folders.claim(&claim_key(A, "a")).unwrap_err().to_string();
    assert!(error.contains("claims") && error.contains("not on the disk"), "{error}");
    assert!(world.folders.ensure_claim(&claim(A, "a", 1)).is_err(), "an empty folder would hide the loss");
    assert_eq!(world.folders.remove_claim(&claim_key(A, "a"), Disposal::Trash).unwrap(), None);
    world.check();
}

#[test]
fn one_damaged_record_stops_nobody_else() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    world.disk.content().records.insert(5, b"{\"project\":".to_vec());
    let world = world.restarted();
    assert_eq!(world.folders.file_systems().unwrap().len(), 1);
    assert!(world.disk.content().records.contains_key(&5), "it is left for a person to look at");
}

#[test]
fn limits_of_another_agents_folders_on_the_same_disk_are_left_alone() {
    let world = World::new();
    let theirs = workspacefs_storage::names::KeptName::try_from("theirs".to_string()).unwrap();
    let project = workspacefs_storage::folders::model::PROJECT_FIRST + 7;
    let limits = workspacefs_sys::quota::Limits { bytes: GIB, inodes: 10 };
    {
        let mut content = world.disk.content();
        let folder = crate::fake::FakeFolder { project, ..Default::default() };
        content.folders.insert(Place::Archive(theirs), folder);
        content.limits.insert(project, limits);
        // And one that nobody uses.
        content.limits.insert(project + 1, limits);
    }
    let world = world.restarted();
    let content = world.disk.content();
    assert!(content.limits.contains_key(&project) && !content.limits.contains_key(&(project + 1)));
}

#[test]
fn a_folder_that_cannot_be_emptied_does_not_hold_up_the_others() {
    let world = World::new();
    world.folders.ensure_file_system(&file_system(A, 10)).unwrap();
    for name in ["a", "b"] {
        world.folders.ensure_claim(&claim(A, name, 1)).unwrap();
        world.folders.remove_claim(&claim_key(A, name), Disposal::Trash).unwrap();
        world.wait(1);
    }
    world.wait(KEEP);
    let first = world.folders.doom(&BTreeSet::new()).unwrap().unwrap();
    // What was begun comes first, unless it is stuck.
    assert_eq!(world.folders.doom(&BTreeSet::new()).unwrap(), Some(first.clone()));
    let second = world.folders.doom(&BTreeSet::from([first.project])).unwrap().unwrap();
    assert_ne!(second.project, first.project);
    assert_eq!(world.folders.doom(&BTreeSet::from([first.project, second.project])).unwrap(), None);
}

#[test]
fn where_shares_are_promised_nothing_each_may_fill_the_disk_and_none_is_refused() {
    let mut world = World::new();
    world.folders.set_promises(Promises::NotToShares);
    let all = TOTAL / GIB;
    let mut other = share(B, all);
    for wish in [share(A, all), other.clone()] {
        let made = world.folders.ensure_file_system(&wish).unwrap();
        assert_eq!(made.usage.bytes_limit, TOTAL);
        assert_eq!(world.folders.file_system(&wish.uid).unwrap(), Some(made));
    }
    assert_eq!(world.folders.file_system(&uid(C)).unwrap(), None);
    world.check();
    // From now on promises count: what is there may shrink, and nothing more is given.
    world.folders.set_promises(Promises::Kept);
    world.folders.ensure_file_system(&share(A, 1)).unwrap();
    other.capacity = GIB;
    world.folders.ensure_file_system(&other).unwrap();
    let error = world.folders.ensure_file_system(&share(A, all)).unwrap_err();
    assert!(matches!(error, EnsureFileSystemError::NoRoom(_)), "{error}");
    world.check();
}
