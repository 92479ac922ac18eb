//! What is copied, left out, deleted, kept and verified.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::Case;

#[test]
fn a_tree_is_copied_into_a_destination_that_is_made_and_then_it_is_unchanged() {
    let case = Case::new(&[("a", "1"), ("d/b", "22"), ("empty/", "")]);
    case.sync(&[]).ended(0).says("2 files copied (3 B)");
    assert_eq!((case.copied("a"), case.copied("d/b")), (Some("1".into()), Some("22".into())));
    assert!(case.destination().join("empty").is_dir());
    case.sync(&[]).ended(0).says("0 files copied").says("2 unchanged");
}

#[test]
fn only_the_paths_that_are_named_are_copied() {
    let case = Case::new(&[("a", "1"), ("d/b", "2"), ("d/c", "3"), ("e/f", "4")]);
    case.sync(&["d/b", "e"]).ended(0);
    let copied = ["a", "d/b", "d/c", "e/f"].map(|name| case.copied(name).is_some());
    assert_eq!(copied, [false, true, false, true]);
    case.sync(&["../src/a"]).ended(1).complains("is not a path inside the source");
}

#[test]
fn patterns_leave_out_and_take_in_again_in_their_order() {
    let case = Case::new(&[("a.o", ""), ("keep.o", ""), ("b.c", ""), ("tmp/x", ""), ("d/b.h", "")]);
    let arguments = [
        "--exclude",
        "*.o",
        "--exclude",
        "!keep.o",
        "--exclude",
        "tmp/",
        "--include",
        "*.[co]",
        "--include",
        "*.h",
    ];
    case.sync(&arguments).ended(0);
    let copied = ["a.o", "keep.o", "b.c", "tmp/x", "d/b.h"].map(|name| case.copied(name).is_some());
    assert_eq!(copied, [false, true, true, false, true]);
    let case = Case::new(&[("a.c", ""), ("b.h", "")]);
    case.sync(&["--include", "*.c"]).ended(0);
    assert_eq!(["a.c", "b.h"].map(|name| case.copied(name).is_some()), [true, false]);
}

#[test]
fn nothing_is_deleted_unless_asked_and_then_what_is_excluded_stays() {
    let case = Case::new(&[("a", "1")]);
    fs::create_dir(case.destination()).unwrap();
    for name in ["old", "old.log"] {
        fs::write(case.destination().join(name), "").unwrap();
    }
    case.sync(&[]).ended(0);
    assert!(case.copied("old").is_some());
    case.sync(&["--delete", "--exclude", "*.log"]).ended(0).says("1 deleted");
    assert_eq!(["a", "old", "old.log"].map(|name| case.copied(name).is_some()), [true, false, true]);
}

#[test]
fn deletion_ends_at_its_limit_and_that_is_a_partial_failure() {
    let case = Case::new(&[("a", "1")]);
    fs::create_dir(case.destination()).unwrap();
    for n in 0..5 {
        fs::write(case.destination().join(format!("old{n}")), "").unwrap();
    }
    case.sync(&["--delete", "--max-delete", "2"])
        .ended(3)
        .says("2 deleted")
        .complains("the limit is reached");
    assert_eq!(fs::read_dir(case.destination()).unwrap().count(), 1 + 3);
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let case = Case::new(&[("a", "12345"), ("d/b", "")]);
    case.sync(&["--dry-run"]).ended(0).says("2 files to copy (5 B)").says("nothing was written");
    assert!(!case.destination().exists());
    fs::create_dir(case.destination()).unwrap();
    fs::write(case.destination().join("old"), "").unwrap();
    case.sync(&["-n", "--delete"]).ended(0).says("1 to delete");
    assert_eq!((case.copied("a"), case.copied("old")), (None, Some(String::new())));
}

#[test]
fn the_owner_is_kept_unless_not_wanted() {
    let case = Case::new(&[("a", "1")]);
    std::os::unix::fs::chown(case.source().join("a"), Some(12), Some(34)).unwrap();
    let owner = |case: &Case| {
        let metadata = fs::metadata(case.destination().join("a")).unwrap();
        (metadata.uid(), metadata.gid())
    };
    case.sync(&["--no-owner"]).ended(0);
    assert_eq!(owner(&case), (0, 0));
    case.sync(&[]).ended(0);
    assert_eq!(owner(&case), (12, 34));
}

#[test]
fn attributes_and_access_lists_are_kept_when_asked() {
    // Version 2; owner rw-, user 12 r--, group r--, mask r--, others ---.
    const LIST: [u8; 44] = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 12, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
        16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    let names = ["user.color", "system.posix_acl_access"];
    let case = Case::new(&[("a", "1")]);
    let file = case.source().join("a");
    setxattr(&file, names[0], b"red", XattrFlags::empty()).unwrap();
    setxattr(&file, names[1], &LIST, XattrFlags::empty()).unwrap();
    let kept = |name: &str| {
        let mut value = [0; 100];
        getxattr(case.destination().join("a"), name, &mut value).map(|size| value[..size].to_vec()).ok()
    };
    for (argument, attribute, list) in
        [("-q", false, false), ("--xattrs", true, false), ("--acls", false, true)]
    {
        case.sync(&[argument]).ended(0);
        assert_eq!(kept(names[0]), attribute.then(|| b"red".to_vec()), "{argument}");
        assert_eq!(kept(names[1]), list.then(|| LIST.to_vec()), "{argument}");
        fs::remove_dir_all(case.destination()).unwrap();
    }
}

#[test]
fn a_flipped_bit_is_found_by_its_checksum_and_told_by_the_exit_code() {
    let case = Case::new(&[("a", "content"), ("b", "other")]);
    let manifest = case.path("manifest");
    let manifest = ["--manifest", manifest.to_str().unwrap()];
    let checksum = [&manifest[..], &["--verify", "checksum"]].concat();
    case.sync(&checksum).ended(0).says("2 files verified (12 B), none differs");
    let copy = case.destination().join("a");
    let time = fs::metadata(&copy).unwrap().modified().unwrap();
    fs::write(&copy, "c0ntent").unwrap();
    fs::File::options().write(true).open(&copy).unwrap().set_modified(time).unwrap();
    case.sync(&[&manifest[..], &["--verify", "size"]].concat()).ended(0).says("none differs");
    let said = case.sync(&checksum).ended(5).says("1 DIFFERS").complains("verify: a: has other content");
    assert!(!said.stderr.contains("verify: b"), "{}", said.stderr);
}

#[test]
fn what_is_unchanged_since_an_earlier_copy_is_linked_from_there() {
    let case = Case::new(&[("same", "1"), ("d/changes", "22")]);
    let first = case.path("first");
    case.sync(&[]).ended(0);
    fs::rename(case.destination(), &first).unwrap();
    fs::write(case.source().join("d/changes"), "333").unwrap();
    case.sync(&["--link-dest", first.to_str().unwrap()])
        .ended(0)
        .says("1 file copied (3 B)")
        .says("1 unchanged");
    let is_linked = |name: &str| {
        let inode = |root: &std::path::Path| fs::metadata(root.join(name)).unwrap().ino();
        inode(&first) == inode(&case.destination())
    };
    assert_eq!(["same", "d/changes"].map(is_linked), [true, false]);
    case.sync(&["--link-dest", "nowhere"]).ended(1).complains("cannot open the earlier copy \"nowhere\"");
    case.sync(&["--link-dest", case.destination().to_str().unwrap()]).ended(1).complains("earlier copy");
}

#[test]
fn a_manifest_has_checksums_when_asked_and_none_otherwise() {
    for (arguments, has) in [(&["--checksum"][..], true), (&[], false)] {
        let case = Case::new(&[("a", "content")]);
        let manifest = case.path("manifest");
        case.sync(&[&["--manifest", manifest.to_str().unwrap()], arguments].concat()).ended(0);
        let mut entries = workspacefs_sync::ManifestReader::open(&manifest).unwrap();
        let entry = entries.next().unwrap().unwrap();
        assert_eq!((entry.path.to_str(), entry.size, entry.digest.is_some()), (Some("a"), 7, has));
        assert!(entries.next().is_none());
    }
}

#[test]
fn the_bandwidth_is_limited() {
    let case = Case::new(&[]);
    fs::write(case.source().join("a"), vec![1; 2 << 20]).unwrap();
    let began = Instant::now();
    case.sync(&["--bwlimit", "1M"]).ended(0);
    // A busy machine takes longer; 5 % below and a burst is allowed.
    assert!(began.elapsed() > Duration::from_millis(1850), "{:?}", began.elapsed());
}

#[test]
fn any_number_of_workers_does_it() {
    for workers in ["1", "7", "10000"] {
        let case = Case::new(&[("a", "1"), ("d/b", "22")]);
        case.sync(&["--workers", workers]).ended(0).says("2 files copied");
    }
}
