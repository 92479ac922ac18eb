//! Random trees over random destinations with random wishes: the outcome is the model's, the report adds up to it, a dry
//! run foretells it, a second run changes nothing, and rsync has nothing to add.

use std::path::{Path, PathBuf};

use proptest::test_runner::{Config, TestError, TestRunner};
use workspacefs_sync::{DeleteLimit, Keep, Options, Problem, Report};

use crate::model::build::Built;
use crate::model::expect::{Asked, Expected, Figures, expect, within_limit, without_foreign_set_id};
use crate::model::spec::{Spec, spec};
use crate::tree::{Terms, Tree, difference, look, temporaries, traces};
use crate::world::{World, earlier, run, two_in};
use crate::{judge, tree};

/// A failure is made small for so long.
const SHRINK_MS_MAX: u32 = 60_000;

pub fn a_run_makes_what_the_model_says_on_a_disk(world: &World) {
    try_many(&world.dir("disk"), try_one);
}

pub fn a_run_makes_what_the_model_says_in_memory(world: &World) {
    try_many(&world.memory("memory", "mode=0755"), try_one);
}

pub fn whatever_an_earlier_copy_has_a_run_makes_what_the_model_says_and_leaves_that_as_it_was(world: &World) {
    try_many(&world.memory("memory", "mode=0755"), try_earlier);
}

fn try_many(folder: &Path, try_one: fn(&Spec, &Path)) {
    let config = Config {
        failure_persistence: None,
        max_shrink_time: SHRINK_MS_MAX,
        max_shrink_iters: u32::MAX,
        ..Config::default()
    };
    let cases = config.cases;
    // What fails is told once, with the smallest tree that it fails with, and not on the way there.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = TestRunner::new(config).run(&spec(), |spec| {
        let below = tempfile::tempdir_in(folder).unwrap();
        try_one(&spec, below.path());
        Ok(())
    });
    std::panic::set_hook(hook);
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, spec)) => panic!("{why}\nThe smallest tree: {spec:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    println!("{cases} trees");
}

fn try_one(spec: &Spec, folder: &Path) {
    let [source_root, root] = two_in(folder);
    let built = spec.build_source(&source_root);
    spec.build_destination(&root, &source_root, &built);
    let (source, before) = (look(&source_root), look(&root));

    let wish = &spec.wish;
    let chosen = chosen(spec, &built.paths);
    let asked = Asked { filter: wish.filter, chosen: &chosen, delete: wish.delete.is_some() };
    let expected = expect(&source, &before, &asked);
    let options = options(spec, chosen.clone());
    let terms = Terms { owner: wish.owner, xattrs: wish.xattrs, acls: wish.acls };

    let untouched = traces(&root);
    let foretold = run(&source_root, &root, &Options { dry_run: true, ..options.clone() }).report;
    assert_eq!(tree::changes(&untouched, &traces(&root)), "", "a dry run changed something");

    let report = run(&source_root, &root, &options).report;
    let got = look(&root);
    assert_eq!(temporaries(&root), Vec::<PathBuf>::new());
    assert_eq!(report.stopped, None);
    assert_found(&report, &expected);
    let limited = wish.delete.is_some_and(|limit| limit < expected.deleted.len() as u64);
    if limited {
        let gone = within_limit(&got, &before, &expected).unwrap_or_else(|what| panic!("{what}\n{report:?}"));
        assert_eq!(Some(gone), wish.delete, "{report:?}");
        assert_eq!(report.deleted, gone, "{report:?}");
        assert!(report.notes.iter().any(|note| note.problem == Problem::DeleteLimit), "{report:?}");
        assert!(!report.is_complete());
        return;
    }
    let got = without_times_of_what_stays(got, &expected.tree, &source);
    let wanted = match wish.owner {
        true => expected.tree.clone(),
        false => without_foreign_set_id(expected.tree.clone(), &got, &source),
    };
    let difference = difference(&got, &wanted, terms);
    assert!(difference.is_empty(), "{difference}\n{report:?}");
    assert_eq!(report.deleted, expected.deleted.len() as u64, "{report:?}");
    assert_notes(&report, &expected);
    assert_foretold(&foretold, &report, &built);

    second_run_changes_nothing(&source_root, &root, &options, &report);
    let plain = !wish.filter && chosen.is_empty() && wish.delete.is_some() && wish.owner;
    if plain {
        judge::assert_satisfied(&source_root, &root, terms);
    }
}

/// Into a destination that is new, and into one that is names of the earlier copy's files.
fn try_earlier(spec: &Spec, folder: &Path) {
    let [source_root, first] = two_in(folder);
    let built = spec.build_source(&source_root);
    spec.build_destination(&first, &source_root, &built);
    let (source, first_before) = (look(&source_root), look(&first));
    let wish = &spec.wish;
    let chosen = chosen(spec, &built.paths);
    let asked = Asked { filter: wish.filter, chosen: &chosen, delete: wish.delete.is_some() };
    let terms = Terms { owner: wish.owner, xattrs: wish.xattrs, acls: wish.acls };
    let options = Options {
        earlier: Some(earlier(&first, None)),
        delete: wish.delete.map(|_| DeleteLimit::NONE),
        ..options(spec, chosen.clone())
    };
    for begun in [false, true] {
        let root = folder.join(format!("begun {begun}"));
        std::fs::create_dir(&root).unwrap();
        if begun {
            link_all(&first, &root, &first_before);
        }
        let before = look(&root);
        let expected = expect(&source, &before, &asked);
        let untouched = traces(&root);
        let foretold = run(&source_root, &root, &Options { dry_run: true, ..options.clone() }).report;
        assert_eq!(tree::changes(&untouched, &traces(&root)), "", "a dry run changed something");
        let report = run(&source_root, &root, &options).report;
        let got = without_times_of_what_stays(look(&root), &expected.tree, &source);
        let wanted = without_foreign_set_id(expected.tree.clone(), &got, &source);
        let difference = difference(&got, &wanted, terms);
        assert!(difference.is_empty(), "begun: {begun}\n{difference}\n{report:?}");
        assert_eq!(look(&first), first_before, "the earlier copy was changed, begun: {begun}");
        assert_found(&report, &expected);
        assert_notes(&report, &expected);
        assert_foretold(&foretold, &report, &built);
        second_run_changes_nothing(&source_root, &root, &options, &report);
    }
}

/// Directories like those of another tree, with the same files and links in them.
fn link_all(from: &Path, to: &Path, tree: &tree::Tree) {
    for (path, entry) in tree.iter().filter(|(path, _)| !path.as_os_str().is_empty()) {
        match entry.is_dir() {
            true => std::fs::create_dir(to.join(path)).unwrap(),
            false => std::fs::hard_link(from.join(path), to.join(path)).unwrap(),
        }
    }
}

fn options(spec: &Spec, paths: Vec<PathBuf>) -> Options {
    let wish = &spec.wish;
    Options {
        paths,
        filter: if wish.filter {
            crate::world::filter(&["*.skip", "!keep.skip"])
        } else {
            Default::default()
        },
        delete: wish.delete.map(|entries_max| DeleteLimit { entries_max }),
        keep: Keep { owner: wish.owner, xattrs: wish.xattrs, acls: wish.acls },
        checksum: wish.checksum,
        ..crate::world::workers(wish.workers)
    }
}

/// Paths of the source that the filter takes in.
fn chosen(spec: &Spec, paths: &[Option<PathBuf>]) -> Vec<PathBuf> {
    let asked = Asked { filter: spec.wish.filter, chosen: &[], delete: false };
    let taken: Vec<_> = paths.iter().flatten().filter(|path| !asked.leaves_out(path)).collect();
    spec.wish
        .chosen
        .iter()
        .filter_map(|which| Some(taken.get(which % taken.len().max(1))?.to_path_buf()))
        .collect()
}

/// A directory that only the destination has, and that stays, has its own time: what was deleted in it changes that.
fn without_times_of_what_stays(mut got: Tree, expected: &Tree, source: &Tree) -> Tree {
    for (path, entry) in &mut got {
        if !source.contains_key(path)
            && let Some(expected) = expected.get(path)
        {
            entry.mtime = expected.mtime;
        }
    }
    got
}

fn assert_found(report: &Report, expected: &Expected) {
    let figures = |of: fn(&workspacefs_sync::Tally) -> workspacefs_sync::Counts| {
        let (files, directories) = (of(&report.files), of(&report.directories));
        assert_eq!(directories.bytes, 0);
        Figures { files: files.files, bytes: files.bytes, directories: directories.files }
    };
    assert_eq!(figures(|tally| tally.found), expected.found, "found: {report:?}");
    assert_eq!(figures(|tally| tally.skipped), expected.left_out, "skipped: {report:?}");
}

fn assert_notes(report: &Report, expected: &Expected) {
    let mut noted: Vec<_> =
        report.notes.iter().map(|note| (note.path.clone(), note.problem.clone())).collect();
    noted.sort_by(|a, b| a.0.cmp(&b.0));
    let wanted: Vec<_> = expected.in_the_way.iter().map(|path| (path.clone(), Problem::InTheWay)).collect();
    assert_eq!(noted, wanted);
    assert_eq!(report.files.failed.files, wanted.len() as u64);
    assert_eq!(report.is_complete(), wanted.is_empty());
}

/// Of a file with several names a run may find one unchanged that a dry run counts as done: by then the file has got its
/// attributes under another name.
fn assert_foretold(foretold: &Report, report: &Report, built: &Built) {
    let figures =
        |report: &Report| (report.files.found, report.files.failed, report.files.skipped, report.deleted);
    assert_eq!(figures(foretold), figures(report), "a dry run said otherwise");
    assert_eq!(foretold.directories, report.directories, "a dry run said otherwise");
    if !built.has_hard_links() {
        assert_eq!(foretold.files, report.files, "a dry run said otherwise");
    }
}

fn second_run_changes_nothing(source: &Path, root: &Path, options: &Options, first: &Report) {
    let before = traces(root);
    let second = run(source, root, options);
    let report = &second.report;
    assert_eq!(tree::changes(&before, &traces(root)), "", "a second run changed something: {report:?}");
    assert_eq!(
        (report.files.done.files, report.directories.done.files, report.deleted),
        (0, 0, 0),
        "{report:?}"
    );
    assert_eq!(report.files.found, first.files.found);
    assert_eq!(second.last.bytes_read, 0, "a second run read something: {report:?}");
}
