//! A test alone: everything that this process does with a path, while somebody exchanges a folder of that path with a link that
//! leads out, as fast as it can be done.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{RenameFlags, renameat_with};
use workspacefs_files_proto::FilePath;
use workspacefs_files_proto::types::Transfer;

use crate::archive::{self, Format, pipe};
use crate::copy::{Copy, Watch};
use crate::error::Error;
use crate::imports::Target;
use crate::placing::Placing;
use crate::root::{Owner, Root};
use crate::routes::change::{made, moved};
use crate::routes::content::delete_for_good;
use crate::walk::{Step, Walk};
use crate::write::NewFile;
use crate::{listing, trash};

const WANTED: u64 = 1_000_000;
const TIME_MAX: Duration = Duration::from_secs(400);
/// Of so many calls one is each of the other kinds, and all others open a file.
const SHARE: u64 = 320;
const OUTSIDE: &[u8] = b"OUTSIDE";
type Call = fn(&Calls) -> Result<(), Error>;
const KINDS: [(&str, Call); 12] = [
    ("put", Calls::put),
    ("make a folder", Calls::make),
    ("delete a folder", Calls::delete),
    ("move", Calls::move_away),
    ("move back", Calls::move_back),
    ("trash and restore", Calls::trash),
    ("copy", Calls::copy),
    ("copy out of it", Calls::copy_out),
    ("list", Calls::list),
    ("walk", Calls::walk),
    ("archive", Calls::archive),
    ("import", Calls::import),
];

struct Calls {
    root: Arc<Root>,
    target: Target,
    runtime: tokio::runtime::Runtime,
}

fn path(text: &str) -> FilePath {
    FilePath::decode(text).unwrap()
}

fn is_outside(bytes: &[u8]) -> bool {
    bytes.windows(OUTSIDE.len()).any(|part| part == OUTSIDE)
}

impl Calls {
    fn open(&self) -> Result<(), Error> {
        let (file, _) = self.root.file(&path("d/f"))?;
        let mut bytes = [0; OUTSIDE.len()];
        let read = rustix::io::read(&file, &mut bytes).unwrap();
        assert_eq!(&bytes[..read], b"inside");
        Ok(())
    }

    fn put(&self) -> Result<(), Error> {
        let new = NewFile::create(&self.root)?;
        new.write_at(b"put", 0)?;
        new.place_settled(&Placing::new(path("d/new")))
    }

    fn make(&self) -> Result<(), Error> {
        made(&self.root, &path("d/folder/in/it"), true).map(drop)
    }

    fn delete(&self) -> Result<(), Error> {
        delete_for_good(&self.root, &path("d/folder/in/it"), false)
    }

    fn move_away(&self) -> Result<(), Error> {
        self.moved("d/new", "moved")
    }

    fn move_back(&self) -> Result<(), Error> {
        self.moved("moved", "d/moved/to")
    }

    fn moved(&self, from: &str, to: &str) -> Result<(), Error> {
        let wish = Transfer { from: from.into(), to: to.into(), overwrite: true, parents: true };
        moved(&self.root, &path(from), &path(to), &wish).map(drop)
    }

    fn trash(&self) -> Result<(), Error> {
        self.put()?;
        let id = trash::put(&self.root, &path("d/new"), false, "jane")?;
        let restored = trash::restore(&self.root, &id, Some(path("d/new")));
        if restored.is_err() {
            // Its place is a link now, or somebody has it.
            trash::delete(&self.root, &id).unwrap();
        }
        restored.map(drop)
    }

    fn copy(&self) -> Result<(), Error> {
        self.copied("d/f", "d/copy")
    }

    fn copy_out(&self) -> Result<(), Error> {
        self.copied("d/f", "copied")
    }

    fn copied(&self, from: &str, to: &str) -> Result<(), Error> {
        let copy = Copy { from: path(from), to: path(to), overwrite: true, parents: true };
        copy.check(&self.root)?;
        copy.run(&self.root, &Watch::default())
    }

    fn list(&self) -> Result<(), Error> {
        let wish = listing::Wish { limit: 100, ..listing::Wish::default() };
        let listed = listing::page(&self.root, &path("d"), &wish)?;
        assert!(listed.entries.iter().all(|entry| entry.name != "only-outside"));
        Ok(())
    }

    fn walk(&self) -> Result<(), Error> {
        let folder = self.root.folder(&FilePath::default())?;
        let mut walk = Walk::new(folder.as_fd())?.hiding(&self.root);
        while let Some(step) = walk.next()? {
            if let Step::Entry(found) = step {
                assert_ne!(found.name(), b"only-outside");
            }
        }
        Ok(())
    }

    fn archive(&self) -> Result<(), Error> {
        let folder = self.root.folder(&path("d"))?;
        let (pipe, body) = pipe();
        // It is so small that it waits in the pipe as a whole.
        let written = archive::write(&self.root, &folder, b"d", Format::Tar, pipe);
        if let Ok(bytes) = self.runtime.block_on(axum::body::to_bytes(body, usize::MAX)) {
            assert!(!is_outside(&bytes));
        }
        written.map_err(|_| Error::NotFound)
    }

    fn import(&self) -> Result<(), Error> {
        self.target.check(&path("d/imported"))?;
        let mut file = self.target.begin(4)?;
        file.write(b"four")?;
        file.place_settled(path("d/imported/file"), 0)
    }
}

struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_that_is_swapped_for_a_link_meanwhile_never_leads_out() {
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("root"), dir.path().join("outside"));
    for folder in [&inside, &outside, &inside.join("d")] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(inside.join("d/f"), "inside").unwrap();
    for name in ["f", "new", "only-outside"] {
        fs::write(outside.join(name), OUTSIDE).unwrap();
    }
    let before = names(&outside);
    symlink(&outside, inside.join("link")).unwrap();
    let owner = Owner {
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        mode: 0o755,
    };
    let root = Arc::new(Root::open(&inside, owner).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let calls = Calls { target: Target::new(Arc::clone(&root)), root, runtime };
    let stop = AtomicBool::new(false);
    let mut told: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    let (mut count, began) = (0, Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let folder = fs::File::open(&inside).unwrap();
            while !stop.load(Ordering::Relaxed) {
                renameat_with(folder.as_fd(), "d", folder.as_fd(), "link", RenameFlags::EXCHANGE).unwrap();
            }
        });
        // Also when something is found: then the other thread would never end.
        let _stop = Stop(&stop);
        while count < WANTED && began.elapsed() < TIME_MAX {
            let kind = usize::try_from(count % SHARE).ok().and_then(|kind| KINDS.get(kind));
            let (kind, call) = kind.copied().unwrap_or(("open", Calls::open));
            count += 1;
            told.entry(kind).or_default()[usize::from(call(&calls).is_ok())] += 1;
        }
    });
    println!("{count} in {:?}, of each kind refused and done: {told:?}", began.elapsed());
    assert_eq!(count, WANTED, "within {TIME_MAX:?}: {told:?}");
    for (kind, [refused, done]) in &told {
        assert!(*done > 100 && refused + done > 3000, "{kind}: {told:?}");
    }
    assert!(told["open"][0] > 1000, "the race was none: {told:?}");
    assert_eq!(names(&outside), before, "nothing was written outside, and nothing taken away");
    for name in &before {
        assert_eq!(fs::read(outside.join(name)).unwrap(), OUTSIDE);
    }
    // Nor was anything of it brought in.
    for file in ["f", "new", "copy", "moved/to", "../copied", "../moved"] {
        for folder in ["d", "link"] {
            let content = fs::read(inside.join(folder).join(file)).unwrap_or_default();
            let is_link = inside.join(folder).is_symlink();
            assert!(is_link || !is_outside(&content), "{folder}/{file}");
        }
    }
}
