//! A first fill: what the copy is, and that the source is not touched.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use workspacefs_api::PathState::Whole;

use crate::tree::{look, names, traces};
use crate::world::{World, noise, own_mounts, read_only};

const ACL_ACCESS: &CStr = c"system.posix_acl_access";
const ACL_DEFAULT: &CStr = c"system.posix_acl_default";

/// As xattr(7) has it: version 2, then tag, permissions and id of each entry.
fn acl() -> Vec<u8> {
    let none = u32::MAX;
    let entries = [(1_u16, 6_u16, none), (2, 4, 4321), (4, 4, none), (16, 4, none), (32, 0, none)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Two of everything that can be copied.
fn two_of_everything(folder: &Path) {
    for number in ["1", "2"] {
        let inner = folder.join(format!("folder {number}/inner"));
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir(folder.join(format!("empty{number}"))).unwrap();
        let file = inner.join(OsStr::from_bytes(&[b"\xff\n\\\"", number.as_bytes()].concat()));
        fs::write(&file, noise(7, 70_000)).unwrap();
        fs::hard_link(&file, folder.join(format!("twin{number}"))).unwrap();
        symlink("/etc/passwd", folder.join(format!("link{number}"))).unwrap();
        symlink("nowhere", folder.join(format!("broken{number}"))).unwrap();
        fs::write(folder.join(format!("nothing{number}")), "").unwrap();
        setxattr(&file, c"user.note", number.as_bytes(), XattrFlags::empty()).unwrap();
        setxattr(&file, ACL_ACCESS, &acl(), XattrFlags::empty()).unwrap();
        setxattr(&inner, ACL_DEFAULT, &acl(), XattrFlags::empty()).unwrap();
        chown(&inner, Some(1234), Some(5678)).unwrap();
        chown(&file, Some(1234), Some(5678)).unwrap();
        lchown(folder.join(format!("link{number}")), Some(99), Some(98)).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o2751)).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        fs::File::open(&file).unwrap().set_modified(then).unwrap();
        fs::File::open(&inner).unwrap().set_modified(then).unwrap();
    }
}

#[test]
fn a_copy_has_content_owner_mode_times_attributes_and_lists_of_a_source_that_cannot_be_written() {
    own_mounts();
    let world = World::new();
    for folder in ["a", "deep/in/b", "c"] {
        fs::create_dir_all(world.source().join(folder)).unwrap();
        two_of_everything(&world.source().join(folder));
    }
    fs::set_permissions(world.source().join("deep"), fs::Permissions::from_mode(0o710)).unwrap();
    chown(world.source().join("deep"), Some(77), Some(78)).unwrap();
    let before = traces(&world.source());
    read_only(&world.source());
    let said = world.fill(1, &["/deep/in/b", "/a"], &[]).made(1).states(&[Whole, Whole]);
    assert_eq!(said.outcome.paths[0].files, 10);
    assert_eq!(said.outcome.paths[0].bytes, 4 * 70_000);
    assert_eq!(said.outcome.present, [1]);
    let (source, copy) = (look(&world.source()), look(&world.data(1)));
    for (path, entry) in &source {
        match path.starts_with("c") {
            true => assert!(!copy.contains_key(path), "{path:?} was not asked for"),
            false => assert_eq!(copy.get(path), Some(entry), "{path:?}"),
        }
    }
    assert!(copy.keys().all(|path| source.contains_key(path)));
    assert_eq!(traces(&world.source()), before);
    assert_eq!(names(&world.target()), ["1", "lock"]);
    assert_eq!(names(&world.target().join("1")), ["data", "filling.json", "manifest", "paths.json"]);
}

#[test]
fn a_generation_that_lies_there_is_said_again_and_nothing_is_done() {
    let world = World::new();
    world.write("a/file", "one");
    world.write("b/file", "two");
    let first = world.fill(3, &["/a", "/missing", "/b"], &[]).made(3);
    world.write("a/file", "another");
    let before = traces(&world.target());
    let again = world.fill(3, &["/a", "/missing", "/b"], &[]).made(3);
    assert_eq!(again.outcome, first.outcome);
    assert_eq!(traces(&world.target()), before);
    world.fill(3, &["/a"], &[]).failed(workspacefs_api::mover::FailureReason::Failed);
}

#[test]
fn as_of_is_when_the_source_began_to_be_read_also_where_a_run_was_cut() {
    let world = World::new();
    world.write("a/file", "one");
    let filling = world.target().join("filling-2");
    fs::create_dir_all(&filling).unwrap();
    fs::write(filling.join("filling.json"), r#"{"asOf":1000,"earlier":null}"#).unwrap();
    assert_eq!(world.fill(2, &["/a"], &[]).made(2).outcome.as_of, Some(1000));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let as_of = world.fill(3, &["/a"], &[]).made(3).outcome.as_of.unwrap();
    assert!((now..now + 120).contains(&as_of), "{as_of} is not now, {now}");
}

/// Where pods see all of a copy (exposure Claim) they come to its paths through these.
#[test]
fn the_folders_above_a_path_have_owner_mode_and_list_of_the_source() {
    let world = World::new();
    world.write("home/open/kept/file", "x");
    world.write("home/listed/kept/file", "x");
    let set = |name: &str, uid: u32, gid: u32, mode: u32| {
        chown(world.source().join(name), Some(uid), Some(gid)).unwrap();
        fs::set_permissions(world.source().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("", 0, 7, 0o755);
    set("home", 1234, 5678, 0o2710);
    set("home/open", 0, 0, 0o700);
    setxattr(world.source().join("home/listed"), ACL_ACCESS, &acl(), XattrFlags::empty()).unwrap();
    world.fill(1, &["/home/open/kept", "/home/listed/kept"], &[]).made(1).states(&[Whole, Whole]);
    let look = |name: &str| {
        let found = fs::metadata(world.data(1).join(name)).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    };
    assert_eq!(look(""), (0, 7, 0o755));
    assert_eq!(look("home"), (1234, 5678, 0o2710));
    assert_eq!(look("home/open"), (0, 0, 0o700));
    let mut list = [0; 100];
    let bytes = getxattr(world.data(1).join("home/listed"), ACL_ACCESS, &mut list).unwrap();
    assert_eq!(list[..bytes], acl());
    // A refresh after the source's folder was closed.
    set("home", 1234, 5678, 0o700);
    world.fill(2, &["/home/open/kept", "/home/listed/kept"], &["--earlier=1"]).made(2);
    assert_eq!(fs::metadata(world.data(2).join("home")).unwrap().mode() & 0o7777, 0o700);
}
