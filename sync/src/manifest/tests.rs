//! Journals through runs that end well, are cut, or go wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::io::Errno;
use tempfile::TempDir;

use super::*;
use crate::digest::CHUNK_LEN;

fn time(seconds: i64) -> Time {
    Time { seconds, nanoseconds: 7 }
}

fn entry(path: &str, version: u64) -> Entry {
    Entry { path: path.into(), size: version, mtime: time(1), ctime: time(version as i64), digest: None }
}

fn knows(journal: &Journal, path: &str, version: u64) -> bool {
    journal.knows(Path::new(path), version, time(1), time(version as i64))
}

fn add(journal: &Journal, entries: &[(&str, u64)]) {
    entries.iter().for_each(|(path, version)| journal.add(entry(path, *version)));
    journal.commit(|| Ok(()), None).unwrap();
}

/// A folder with the paths of a manifest and its journal.
fn folder() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("m");
    let partial = dir.path().join("m.partial");
    (dir, manifest, partial)
}

fn names(dir: &TempDir) -> Vec<String> {
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn read(path: &Path) -> Vec<(String, u64)> {
    let entries = ManifestReader::open(path).unwrap().map(Result::unwrap);
    let mut entries: Vec<_> = entries.map(|entry| (entry.path.display().to_string(), entry.size)).collect();
    entries.sort();
    entries
}

fn owned(entries: &[(&str, u64)]) -> Vec<(String, u64)> {
    entries.iter().map(|(path, version)| ((*path).to_string(), *version)).collect()
}

#[test]
fn a_manifest_has_each_file_that_its_run_saw_once_and_no_other() {
    let (dir, path, _) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    add(&journal, &[("a", 1), ("b", 1), ("c", 1), ("a", 2)]);
    journal.complete().unwrap();
    assert_eq!(read(&path), owned(&[("a", 2), ("b", 1), ("c", 1)]));
    assert_eq!(names(&dir), ["m"]);

    let journal = Journal::open(&path, false, None).unwrap();
    assert!(!knows(&journal, "a", 1) && knows(&journal, "a", 2) && knows(&journal, "b", 1));
    add(&journal, &[("b", 2), ("d", 1)]);
    journal.complete().unwrap();
    assert_eq!(read(&path), owned(&[("a", 2), ("b", 2), ("d", 1)]));
}

#[test]
fn a_cut_run_is_gone_on_from_with_what_was_committed() {
    let (_dir, path, _) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    add(&journal, &[("a", 1), ("b", 1)]);
    journal.complete().unwrap();
    let journal = Journal::open(&path, false, None).unwrap();
    add(&journal, &[("b", 2), ("c", 1)]);
    journal.add(entry("d", 1));
    drop(journal);
    assert_eq!(read(&path), owned(&[("a", 1), ("b", 1)]));

    let journal = Journal::open(&path, false, None).unwrap();
    assert!(knows(&journal, "a", 1) && knows(&journal, "b", 2) && knows(&journal, "c", 1));
    assert!(!knows(&journal, "b", 1) && !knows(&journal, "d", 1));
    add(&journal, &[("e", 1)]);
    journal.complete().unwrap();
    assert_eq!(read(&path), owned(&[("a", 1), ("b", 2), ("c", 1), ("e", 1)]));
}

#[test]
fn wherever_the_journal_is_cut_the_next_run_knows_the_whole_batches_before_that_and_goes_on() {
    let (_dir, path, partial) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    let mut ends = vec![0];
    for name in ["a", "b", "c"] {
        add(&journal, &[(name, 1)]);
        ends.push(fs::metadata(&partial).unwrap().len());
    }
    drop(journal);
    let whole = fs::read(&partial).unwrap();
    for cut in 0..=whole.len() {
        let (_dir, path, partial) = folder();
        fs::write(&partial, &whole[..cut]).unwrap();
        let journal = Journal::open(&path, false, None).unwrap();
        let batches = ends.iter().rposition(|end| *end <= cut as u64).unwrap_or(0);
        for (batch, name) in (1..).zip(["a", "b", "c"]) {
            assert_eq!(knows(&journal, name, 1), batch <= batches, "{name}, cut at {cut}");
        }
        add(&journal, &[("z", 9)]);
        drop(journal);
        let journal = Journal::open(&path, false, None).unwrap();
        assert!(knows(&journal, "z", 9), "cut at {cut}");
        journal.complete().unwrap();
        assert_eq!(read(&path), owned(&[("z", 9)]));
    }
}

#[test]
fn what_follows_a_damaged_batch_does_not_come_back_behind_a_new_one_of_its_length() {
    let (_dir, path, partial) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    let mut ends = Vec::new();
    for version in 1..=3 {
        add(&journal, &[("a", version)]);
        ends.push(fs::metadata(&partial).unwrap().len());
    }
    drop(journal);
    assert_eq!(ends[2] - ends[1], ends[1] - ends[0]);
    let mut bytes = fs::read(&partial).unwrap();
    bytes[ends[1] as usize - 1] ^= 1;
    fs::write(&partial, bytes).unwrap();
    let journal = Journal::open(&path, false, None).unwrap();
    assert!(knows(&journal, "a", 1));
    add(&journal, &[("a", 4)]);
    drop(journal);
    let journal = Journal::open(&path, false, None).unwrap();
    assert!(knows(&journal, "a", 4) && !knows(&journal, "a", 3));
}

#[test]
fn a_kill_at_any_step_of_the_completion_leaves_the_old_manifest_or_the_new_one() {
    let (_dir, path, partial) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    add(&journal, &[("gone", 1), ("kept", 1)]);
    journal.complete().unwrap();
    let old = fs::read(&path).unwrap();
    let journal = Journal::open(&path, false, None).unwrap();
    assert!(knows(&journal, "kept", 1));
    add(&journal, &[("new", 1), ("gone", 2)]);
    drop(journal);
    let cut = fs::read(&partial).unwrap();
    // The last run no longer finds "gone", and is through.
    let journal = Journal::open(&path, false, None).unwrap();
    assert!(knows(&journal, "kept", 1) && knows(&journal, "new", 1));
    journal.complete().unwrap();
    let new = fs::read(&path).unwrap();

    for unfinished in [None, Some(&new[..0]), Some(&new[..40]), Some(&new[..])] {
        let (dir, path, partial) = folder();
        fs::write(&path, &old).unwrap();
        fs::write(&partial, &cut).unwrap();
        if let Some(unfinished) = unfinished {
            fs::write(dir.path().join("m.partial.new"), unfinished).unwrap();
        }
        assert_eq!(read(&path), owned(&[("gone", 1), ("kept", 1)]));
        let journal = Journal::open(&path, false, None).unwrap();
        assert!(knows(&journal, "kept", 1) && knows(&journal, "new", 1) && knows(&journal, "gone", 2));
        assert_eq!(names(&dir), ["m", "m.partial"]);
    }
    // Renamed, but the journal is still there: what it says of "gone" is not true any more.
    let (dir, path, partial) = folder();
    fs::write(&path, &new).unwrap();
    fs::write(&partial, &cut).unwrap();
    let journal = Journal::open(&path, false, None).unwrap();
    assert!(knows(&journal, "kept", 1) && knows(&journal, "new", 1) && !knows(&journal, "gone", 2));
    journal.complete().unwrap();
    assert_eq!(read(&path), owned(&[("kept", 1), ("new", 1)]));
    assert_eq!(names(&dir), ["m"]);
}

#[test]
fn a_damaged_manifest_is_an_error_to_its_reader_and_a_beginning_for_the_next_run() {
    let (_dir, path, _) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    let many: Vec<String> = (0..6000).map(|n| format!("a/file/with/a/longer/name/{n}")).collect();
    many.iter().for_each(|name| journal.add(entry(name, 1)));
    journal.commit(|| Ok(()), None).unwrap();
    journal.complete().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 130_000, "several frames");
    let at = bytes.len() - 1000;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let last = ManifestReader::open(&path).unwrap().last().unwrap();
    let Err(ManifestError::Damaged { at: good, bytes: lost }) = last else { panic!("{last:?}") };
    assert!(good < at as u64 && good + lost == bytes.len() as u64, "{good} {lost}");
    let journal = Journal::open(&path, false, None).unwrap();
    let known = many.iter().filter(|name| knows(&journal, name, 1)).count();
    assert!(known > 1000 && known < 6000, "{known}");
    journal.complete().unwrap();
    assert_eq!(read(&path).len(), known);
}

#[test]
fn files_that_we_did_not_write_are_not_overwritten() {
    for (name, content) in [("m", &b"#!/bin/sh\n"[..]), ("m.partial", &[7; 1000])] {
        let (dir, path, _) = folder();
        let file = dir.path().join(name);
        fs::write(&file, content).unwrap();
        let error = Journal::open(&path, false, None).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{name}: {error}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[test]
fn where_digests_are_asked_for_files_without_one_are_not_known() {
    let (_dir, path, _) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    journal.add(Entry { digest: Some([3; 32]), ..entry("with", 1) });
    journal.add(entry("without", 1));
    journal.commit(|| Ok(()), None).unwrap();
    journal.complete().unwrap();
    let journal = Journal::open(&path, true, None).unwrap();
    assert!(knows(&journal, "with", 1) && !knows(&journal, "without", 1));
    journal.complete().unwrap();
    let entries: Vec<Entry> = ManifestReader::open(&path).unwrap().map(Result::unwrap).collect();
    assert_eq!(entries, [Entry { digest: Some([3; 32]), ..entry("with", 1) }]);
}

#[test]
fn nothing_is_written_down_that_the_sync_did_not_make_safe_and_others_add_meanwhile() {
    let (_dir, path, partial) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    let length = || fs::metadata(&partial).unwrap().len();
    let empty = length();
    journal.commit(|| panic!("nothing is to be written"), None).unwrap();
    journal.add(entry("a", 1));
    let during = || {
        assert_eq!(length(), empty);
        journal.add(entry("b", 1));
        Ok(())
    };
    journal.commit(during, None).unwrap();
    drop(journal);
    let journal = Journal::open(&path, false, None).unwrap();
    assert!(knows(&journal, "a", 1) && !knows(&journal, "b", 1));

    journal.add(entry("c", 1));
    assert_eq!(journal.commit(|| Err(Errno::IO), None), Err(Errno::IO));
    assert_eq!(journal.commit(|| Ok(()), None), Err(Errno::IO));
    assert_eq!(journal.complete(), Err(Errno::IO));
    let journal = Journal::open(&path, false, None).unwrap();
    assert!(knows(&journal, "a", 1) && !knows(&journal, "c", 1));
}

#[test]
fn large_files_are_confirmed_before_the_sync_and_small_ones_after_it() {
    let (_dir, path, _) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    for (path, size) in [("small", CHUNK_LEN), ("large", CHUNK_LEN + 1), ("bad", CHUNK_LEN + 2)] {
        journal.add(entry(path, size));
    }
    let steps = RefCell::new(Vec::new());
    let confirm = |entries: Vec<Entry>| {
        let good: Vec<Entry> = entries.into_iter().filter(|entry| entry.path != Path::new("bad")).collect();
        steps.borrow_mut().extend(good.iter().map(|entry| entry.path.display().to_string()));
        Ok(good)
    };
    let sync = || {
        steps.borrow_mut().push("sync".into());
        Ok(())
    };
    journal.commit(sync, Some(&confirm)).unwrap();
    assert_eq!(steps.into_inner(), ["large", "sync", "small"]);
    journal.complete().unwrap();
    assert_eq!(read(&path), owned(&[("large", CHUNK_LEN + 1), ("small", CHUNK_LEN)]));
}

#[test]
fn a_run_is_not_completed_over_entries_that_are_missing() {
    let (_dir, path, _) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    journal.add(entry("a", 1));
    assert_eq!(journal.complete(), Err(Errno::INVAL));
    let journal = Journal::open(&path, false, None).unwrap();
    journal.add(entry("../a", 1));
    assert!(journal.is_due());
    assert_eq!(journal.commit(|| Ok(()), None), Err(Errno::INVAL));
    assert_eq!(journal.complete(), Err(Errno::INVAL));
    assert!(!path.exists());
}

#[test]
fn names_of_any_bytes_and_paths_longer_than_a_frame_are_kept() {
    use std::os::unix::ffi::OsStringExt;
    let (_dir, path, _) = folder();
    let every: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    let deep = vec!["d".repeat(200); 1000].join("/").into_bytes();
    let paths = [every, deep].map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes)));
    let journal = Journal::open(&path, false, None).unwrap();
    for path in &paths {
        journal.add(Entry { path: path.clone(), ..entry("", 5) });
    }
    journal.commit(|| Ok(()), None).unwrap();
    journal.complete().unwrap();
    let read: Vec<PathBuf> = ManifestReader::open(&path).unwrap().map(|entry| entry.unwrap().path).collect();
    assert_eq!(read, paths);
}

#[test]
fn what_many_threads_add_while_others_commit_is_all_there() {
    let (_dir, path, _) = folder();
    let journal = Journal::open(&path, false, None).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for n in 0..500 {
                    journal.add(entry(&format!("{thread}/{n}"), 1));
                    if n % 100 == 99 {
                        journal.commit(|| Ok(()), None).unwrap();
                    }
                }
            });
        }
    });
    journal.commit(|| Ok(()), None).unwrap();
    journal.complete().unwrap();
    assert_eq!(read(&path).len(), 2000);
    let journal = Journal::open(&path, false, None).unwrap();
    assert!((0..4).all(|thread| (0..500).all(|n| knows(&journal, &format!("{thread}/{n}"), 1))));
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, u64),
    Add(u8, u64),
    Commit,
    /// Kills the run; the next one begins.
    Kill,
    /// Commits, completes; the next one begins.
    Complete,
}

fn step() -> impl Strategy<Value = Step> {
    let file = || (0_u8..5, 0_u64..3);
    prop_oneof![
        4 => file().prop_map(|(path, version)| Step::Ask(path, version)),
        4 => file().prop_map(|(path, version)| Step::Add(path, version)),
        2 => Just(Step::Commit),
        1 => Just(Step::Kill),
        1 => Just(Step::Complete),
    ]
}

/// What a journal has to know, by path.
#[derive(Default)]
struct Model {
    earlier: BTreeMap<String, u64>,
    seen: BTreeMap<String, u64>,
    added: Vec<(String, u64)>,
    committed: BTreeMap<String, u64>,
}

impl Model {
    fn commit(&mut self) {
        self.committed.extend(self.added.drain(..));
    }

    fn next_run(&mut self, earlier: BTreeMap<String, u64>) {
        *self = Self { earlier, ..Self::default() };
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn through_any_runs_and_kills_it_knows_what_was_committed_last(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (_dir, path, _) = folder();
        let mut model = Model::default();
        let mut journal = Journal::open(&path, false, None).unwrap();
        for step in steps {
            match step {
                Step::Ask(file, version) => {
                    let file = file.to_string();
                    let expected = model.earlier.get(&file) == Some(&version);
                    prop_assert_eq!(knows(&journal, &file, version), expected, "{} {}", file, version);
                    if expected {
                        model.seen.insert(file, version);
                    }
                }
                Step::Add(file, version) => {
                    journal.add(entry(&file.to_string(), version));
                    model.added.push((file.to_string(), version));
                }
                Step::Commit => {
                    journal.commit(|| Ok(()), None).unwrap();
                    model.commit();
                }
                Step::Kill => {
                    drop(journal);
                    let mut earlier = std::mem::take(&mut model.earlier);
                    earlier.extend(std::mem::take(&mut model.committed));
                    model.next_run(earlier);
                    journal = Journal::open(&path, false, None).unwrap();
                }
                Step::Complete => {
                    journal.commit(|| Ok(()), None).unwrap();
                    model.commit();
                    journal.complete().unwrap();
                    let mut through = std::mem::take(&mut model.seen);
                    through.extend(std::mem::take(&mut model.committed));
                    let expected: Vec<_> = through.clone().into_iter().collect();
                    prop_assert_eq!(read(&path), expected);
                    model.next_run(through);
                    journal = Journal::open(&path, false, None).unwrap();
                }
            }
        }
    }
}
