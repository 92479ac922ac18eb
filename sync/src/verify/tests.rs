//! Destinations that are what their manifest says, and those that are not.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};

use rustix::fs::{AtFlags, FileType, mkdirat, mknodat};
use tempfile::TempDir;

use super::*;
use crate::Time;
use crate::digest::CHUNK_LEN;
use crate::manifest::{Entry, Journal};

pub(super) struct Tree {
    /// The destination, and beside it the manifest.
    dir: TempDir,
    pub root: PathBuf,
    manifest: PathBuf,
}

/// The same in every run.
pub(super) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

impl Tree {
    /// Files with these names and contents; the manifest has the digests of those that are asked for.
    fn new(files: &[(PathBuf, Vec<u8>)], with_digest: impl Fn(&Path) -> bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        Self::within(dir, files, with_digest)
    }

    /// In the folder `root` of this one.
    pub fn within(dir: TempDir, files: &[(PathBuf, Vec<u8>)], with_digest: impl Fn(&Path) -> bool) -> Self {
        let (root, manifest) = (dir.path().join("root"), dir.path().join("manifest"));
        let journal = Journal::open(&manifest, false, None).unwrap();
        for (path, content) in files {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), content).unwrap();
            journal.add(Entry {
                path: path.clone(),
                size: content.len() as u64,
                mtime: Time::default(),
                ctime: Time::default(),
                digest: with_digest(path).then(|| *blake3::hash(content).as_bytes()),
            });
        }
        journal.commit(|| Ok(()), None).unwrap();
        journal.complete().unwrap();
        Self { dir, root, manifest }
    }

    fn named(names: &[&str]) -> Self {
        let files: Vec<_> = (0..).zip(names).map(|(n, name)| (name.into(), bytes(n, 5000))).collect();
        Self::new(&files, |_| true)
    }

    pub fn verify(&self, mode: Verify) -> VerifyReport {
        self.verify_with(mode, None, &Control::new()).unwrap()
    }

    fn verify_with(
        &self,
        mode: Verify,
        workers: Option<usize>,
        control: &Control,
    ) -> Result<VerifyReport, VerifyError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, flags, Mode::empty()).unwrap();
        verify(root.as_fd(), &self.manifest, mode, workers.and_then(NonZeroUsize::new), control)
    }

    /// What is wrong, by path.
    fn wrong(&self, mode: Verify) -> Vec<(String, Difference)> {
        let wrong = self.verify(mode).wrong.into_iter();
        let mut wrong: Vec<_> = wrong.map(|wrong| (wrong.path.display().to_string(), wrong.what)).collect();
        wrong.sort_by(|a, b| a.0.cmp(&b.0));
        wrong
    }
}

/// Flips one bit of a file as a disk would: nothing but the content shows it.
fn flip(path: &Path, bit: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let before = file.metadata().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit / 8).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let after = file.metadata().unwrap();
    assert_eq!((before.len(), before.mtime_nsec()), (after.len(), after.mtime_nsec()));
}

#[test]
fn each_of_1000_flipped_bits_is_found_and_no_other_file_is_accused() {
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for n in 0..1490_u64 {
        let length = 1 + bytes(n, 8).iter().map(|byte| usize::from(*byte) * 9).sum::<usize>();
        let mut name = format!("{}/{n}-", n % 37).into_bytes();
        name.extend(bytes(n, 9).into_iter().filter(|byte| !matches!(byte, 0 | b'/')));
        files.push((OsString::from_vec(name).into(), bytes(n, length)));
    }
    for n in 0..10 {
        files.push((format!("large/{n}").into(), bytes(n, CHUNK_LEN as usize + 1 + 7777 * n as usize)));
    }
    let tree = Tree::new(&files, |_| true);
    let good = tree.verify(Verify::Checksum);
    assert!(good.is_good(), "{:?}", good.wrong);
    assert_eq!(good.checked.files, 1500);
    assert_eq!(good.checked.bytes, files.iter().map(|file| file.1.len() as u64).sum::<u64>());

    // Two of three, so that each has neighbours that are good; among them 7 of the 10 large ones.
    let mut flipped = BTreeSet::new();
    for (n, (path, content)) in files.iter().enumerate().filter(|(n, _)| n % 3 != 0) {
        let random = u64::from_le_bytes(bytes(n as u64 + 1_000_000, 8).try_into().unwrap());
        flip(&tree.root.join(path), random % (content.len() as u64 * 8));
        flipped.insert(path.clone());
    }
    assert_eq!(flipped.len(), 1000);
    assert!(tree.verify(Verify::Size).is_good());
    let report = tree.verify(Verify::Checksum);
    assert!(report.wrong.iter().all(|wrong| wrong.what == Difference::Content), "{:?}", report.wrong);
    assert_eq!(report.wrong.len(), 1000);
    assert_eq!(report.wrong.into_iter().map(|wrong| wrong.path).collect::<BTreeSet<_>>(), flipped);
}

#[test]
fn every_way_in_which_a_file_can_differ_has_its_name() {
    let names =
        ["a/good", "a/gone", "a/long", "a/short", "b/behind-link", "fifo", "folder", "link", "socket"];
    let tree = Tree::named(&names);
    let outside = tree.dir.path().join("outside");
    fs::rename(tree.root.join("b"), &outside).unwrap();
    symlink(&outside, tree.root.join("b")).unwrap();
    for name in ["a/gone", "fifo", "folder", "link", "socket"] {
        fs::remove_file(tree.root.join(name)).unwrap();
    }
    fs::write(tree.root.join("a/long"), bytes(0, 5001)).unwrap();
    fs::write(tree.root.join("a/short"), b"").unwrap();
    let root = fs::File::open(&tree.root).unwrap();
    mknodat(&root, "fifo", FileType::Fifo, Mode::RWXU, 0).unwrap();
    mkdirat(&root, "folder", Mode::RWXU).unwrap();
    symlink("a/good", tree.root.join("link")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(tree.root.join("socket")).unwrap());
    let expected = [
        ("a/gone", Difference::Missing),
        ("a/long", Difference::Size { expected: 5000, found: 5001 }),
        ("a/short", Difference::Size { expected: 5000, found: 0 }),
        ("b/behind-link", Difference::NotAFile),
        ("fifo", Difference::NotAFile),
        ("folder", Difference::NotAFile),
        ("link", Difference::NotAFile),
        ("socket", Difference::NotAFile),
    ]
    .map(|(name, what)| (name.to_string(), what));
    for mode in [Verify::Size, Verify::Checksum] {
        assert_eq!(tree.wrong(mode), expected, "{mode:?}");
    }
}

#[test]
fn a_file_without_a_digest_cannot_be_vouched_for_but_is_looked_at() {
    let large = vec![0; CHUNK_LEN as usize + 1];
    let files = ["good", "gone", "plain"].map(|name| (name.into(), bytes(1, 10)));
    let files = [&files[..], &[("large".into(), large)]].concat();
    let tree = Tree::new(&files, |path| path == Path::new("good"));
    fs::remove_file(tree.root.join("gone")).unwrap();
    let expected =
        [("gone", Difference::Missing), ("large", Difference::NoDigest), ("plain", Difference::NoDigest)];
    assert_eq!(tree.wrong(Verify::Checksum), expected.map(|(name, what)| (name.to_string(), what)));
    assert_eq!(tree.wrong(Verify::Size), [("gone".to_string(), Difference::Missing)]);
}

#[test]
fn a_large_file_is_read_by_all_workers_and_is_wrong_as_a_whole() {
    let content = bytes(5, 4 * CHUNK_LEN as usize + 100);
    let tree = Tree::new(&[("large".into(), content)], |_| true);
    for workers in [1, 3] {
        let control = Control::new();
        let report = tree.verify_with(Verify::Checksum, Some(workers), &control).unwrap();
        assert!(report.is_good(), "{:?}", report.wrong);
        assert_eq!(control.snapshot().bytes_read, 4 * CHUNK_LEN + 100);
    }
    for chunk in [0, 3, 4] {
        let bit = (chunk * CHUNK_LEN + 99) * 8;
        flip(&tree.root.join("large"), bit);
        assert_eq!(tree.wrong(Verify::Checksum), [("large".to_string(), Difference::Content)]);
        flip(&tree.root.join("large"), bit);
    }
    fs::remove_file(tree.root.join("large")).unwrap();
    assert_eq!(tree.wrong(Verify::Checksum), [("large".to_string(), Difference::Missing)]);
}

#[test]
fn a_path_that_is_longer_than_the_kernel_takes_is_found() {
    let mut tree = Tree::named(&["short"]);
    let name = "d".repeat(150);
    let mut folder = OwnedFd::from(fs::File::open(&tree.root).unwrap());
    for _ in 0..60 {
        mkdirat(&folder, &*name, Mode::RWXU).unwrap();
        folder = openat(&folder, &*name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let file = openat(&folder, "file", flags, Mode::RWXU).unwrap();
    fs::File::from(file).write_all_at(b"content", 0).unwrap();
    let path: PathBuf = std::iter::repeat_n(&*name, 60).chain(["file"]).collect();
    assert!(path.as_os_str().len() > 9000);
    let journal = |path: &Path, digest: &[u8]| {
        let manifest = tree.dir.path().join("long");
        let journal = Journal::open(&manifest, false, None).unwrap();
        let (mtime, ctime, digest) =
            (Time::default(), Time::default(), Some(*blake3::hash(digest).as_bytes()));
        journal.add(Entry { path: path.into(), size: 7, mtime, ctime, digest });
        journal.commit(|| Ok(()), None).unwrap();
        journal.complete().unwrap();
        manifest
    };
    let good = journal(&path, b"content");
    tree.manifest = good;
    for mode in [Verify::Size, Verify::Checksum] {
        assert!(tree.verify(mode).is_good(), "{mode:?}");
    }
    rustix::fs::unlinkat(&folder, "file", AtFlags::empty()).unwrap();
    assert_eq!(tree.verify(Verify::Size).wrong, [Wrong { path, what: Difference::Missing }]);
}

#[test]
fn a_damaged_or_cut_manifest_is_an_error_that_says_where() {
    let tree = Tree::named(&["a", "b", "c"]);
    let good = fs::read(&tree.manifest).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let last = good.len() as u64 - 22;
    for (bytes, expected) in [
        (&flipped[..], format!("what was written ends at byte {last}, and 22 more bytes say nothing")),
        (&good[..good.len() - 1], format!("what was written ends at byte {last}, and 21 more bytes")),
        (&good[..good.len() - 22], format!("it stops at byte {last}")),
        (&good[..7], "what was written ends at byte 0, and 7 more".to_string()),
        (b"something else", "not a manifest".to_string()),
    ] {
        fs::write(&tree.manifest, bytes).unwrap();
        match tree.verify_with(Verify::Size, None, &Control::new()) {
            Err(VerifyError::Manifest(error)) => {
                assert!(error.to_string().contains(&expected), "{error}: not {expected}");
            }
            other => panic!("{other:?}"),
        }
    }
    fs::remove_file(&tree.manifest).unwrap();
    let missing = tree.verify_with(Verify::Size, None, &Control::new()).unwrap_err();
    assert!(matches!(missing, VerifyError::Manifest(ManifestError::Io(_))), "{missing:?}");
}

#[test]
fn a_cancelled_verification_says_so_and_how_far_it_was() {
    let tree = Tree::named(&["a", "b", "c"]);
    let control = Control::new();
    control.cancel();
    let report = tree.verify_with(Verify::Checksum, None, &control).unwrap();
    assert_eq!(report.stopped, Some(Stop::Cancelled));
    assert_eq!((report.checked, report.is_good()), (Counts::default(), false));
}

#[test]
fn progress_counts_right_files_as_done_and_wrong_ones_as_failed() {
    let tree = Tree::named(&["a", "b", "c", "d"]);
    fs::remove_file(tree.root.join("b")).unwrap();
    let control = Control::new();
    let last = control.snapshots(Duration::from_secs(60));
    tree.verify_with(Verify::Checksum, Some(2), &control).unwrap();
    let snapshot = last.last().unwrap();
    assert!(snapshot.over && snapshot.listed && snapshot.files.adds_up(), "{snapshot:?}");
    assert_eq!(snapshot.files.done, Counts { files: 3, bytes: 15_000 });
    assert_eq!(snapshot.files.failed, Counts { files: 1, bytes: 5000 });
    assert_eq!(snapshot.bytes_read, 15_000);
}
