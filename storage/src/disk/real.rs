//! The real disk: XFS or ext4 with project quota, or any file system where nothing is counted. Every path is opened beneath the
//! root by descriptor; no link is followed, since nobody should have put one where we look.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown, fstatvfs, mkdirat, renameat_with,
    unlinkat,
};
use rustix::io::Errno;
use workspacefs_sync::{Control, DeleteOptions, delete};
use workspacefs_sys::beneath::{self, Links};
use workspacefs_sys::project::{self, Project};
use workspacefs_sys::quota::{self, Limits, Quota};

use super::{Disk, DiskError, Emptied, Owner, Space, UNFINISHED_SUFFIX, errno, tag, write_durably};
use crate::folders::model::{PROJECT_FIRST, PROJECT_LAST};
use crate::names::{ARCHIVE_FOLDER, CLAIMS, EXPORT_FOLDER, NEW_FOLDER, Place, TRASH_FOLDER, WORKSPACES};

/// Our own state.
pub const STATE_FOLDER: &str = "state";
/// One record per folder.
const RECORDS: &str = "state/records";
const RECORD_SUFFIX: &str = ".json";
/// More is no record of ours.
const RECORD_BYTES_MAX: u64 = 64 << 10;
/// For us alone.
const PRIVATE: Mode = Mode::RWXU;
/// What lies above folders: can be passed through, not listed.
const PASSABLE: Mode = Mode::from_raw_mode(0o711);

/// Whether the file system counts what lies in a folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counting {
    /// By project quota, which also holds writers to their limits.
    Projects,
    /// Nothing is counted, and no limit holds. A folder's project is written beside the folder's own attributes, where
    /// only root can.
    Nothing,
}

/// A file system, from its root or from a folder in it.
#[derive(Debug)]
pub struct RealDisk {
    root: OwnedFd,
    first_project: u32,
    counting: Counting,
}

impl RealDisk {
    /// Makes the folders that are missing beneath `root`, an open folder, and `private` ones of the caller's, which only we can
    /// enter. `id` is the storage's own.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn new(root: OwnedFd, id: &str, private: &[&str], counting: Counting) -> Result<Self, DiskError> {
        let this = Self { root, first_project: first_project(id), counting };
        let callers = private.iter().map(|path| (path.to_string(), PRIVATE));
        let ours = [
            (STATE_FOLDER.to_string(), PRIVATE),
            (RECORDS.into(), PRIVATE),
            (NEW_FOLDER.into(), PRIVATE),
            (TRASH_FOLDER.into(), PRIVATE),
            (ARCHIVE_FOLDER.into(), PRIVATE),
            (EXPORT_FOLDER.into(), PASSABLE),
            (format!("{EXPORT_FOLDER}/{WORKSPACES}"), PASSABLE),
            (format!("{EXPORT_FOLDER}/{CLAIMS}"), PASSABLE),
        ];
        for (path, mode) in ours.into_iter().chain(callers) {
            this.make_folder(&path, mode)?;
        }
        Ok(this)
    }

    /// Its root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether it counts.
    pub fn counting(&self) -> Counting {
        self.counting
    }

    fn make_folder(&self, path: &str, mode: Mode) -> Result<(), DiskError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.folder(parent)?;
        match mkdirat(&parent, name, mode) {
            // The process's umask may have taken bits away.
            Ok(()) => {
                let made = self.folder(path)?;
                fchmod(&made, mode).map_err(DiskError::at("set the mode of", path))
            }
            Err(Errno::EXIST) => self.folder(path).map(drop),
            Err(errno) => Err(DiskError::at("make the folder", path)(errno)),
        }
    }

    fn folder(&self, path: &str) -> Result<OwnedFd, DiskError> {
        self.open_folder(path).map_err(DiskError::at("open", path))
    }

    fn open_folder(&self, path: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        beneath::open(self.root.as_fd(), path, flags, Mode::empty(), Links::Refused)
    }

    fn new_folder(&self, project: u32) -> Result<(OwnedFd, String), DiskError> {
        let path = Place::New(project).path();
        Ok((self.folder(&path)?, path))
    }

    fn names(&self, path: &str) -> Result<Vec<String>, DiskError> {
        let list = || -> Result<Vec<String>, Errno> {
            let mut names = Vec::new();
            for entry in Dir::read_from(&self.open_folder(path)?)? {
                // What is not text was not named by us.
                if let Ok(name) = entry?.file_name().to_str() {
                    names.push(name.to_string());
                }
            }
            Ok(names)
        };
        list().map_err(DiskError::at("list", path))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, DiskError> {
        let read = || -> Result<Vec<u8>, std::io::Error> {
            let fd = beneath::open(self.root.as_fd(), path, OFlags::RDONLY, Mode::empty(), Links::Refused)?;
            let mut text = Vec::new();
            std::io::Read::read_to_end(
                &mut std::io::Read::take(std::fs::File::from(fd), RECORD_BYTES_MAX),
                &mut text,
            )?;
            Ok(text)
        };
        read().map_err(|error| DiskError::at("read", path)(errno(&error)))
    }

    fn quota_error(action: &'static str, project: u32) -> impl FnOnce(Errno) -> DiskError {
        DiskError::at(action, format!("project {project}"))
    }
}

/// Ids of projects begin at one of many places.
fn first_project(id: &str) -> u32 {
    const PLACES: u64 = 4096;
    const APART: u32 = (PROJECT_LAST - PROJECT_FIRST) / PLACES as u32;
    // FNV-1a: always the same, for every version of us.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    PROJECT_FIRST + (hash % PLACES) as u32 * APART
}

impl Disk for RealDisk {
    fn first_project(&self) -> u32 {
        self.first_project
    }

    fn space(&self) -> Result<Space, DiskError> {
        let stat = fstatvfs(&self.root).map_err(DiskError::at("ask the size of", "the file system"))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { total: bytes(stat.f_blocks), free: bytes(stat.f_bavail) })
    }

    fn records(&self) -> Result<Vec<Vec<u8>>, DiskError> {
        let names = self.names(RECORDS)?;
        // What a cut writing left; the record that it was to be is there in its old form, or was never answered for.
        for unfinished in names.iter().filter(|name| name.ends_with(UNFINISHED_SUFFIX)) {
            let removed = unlinkat(self.folder(RECORDS)?, unfinished.as_str(), AtFlags::empty());
            removed.map_err(DiskError::at("remove the unfinished record", unfinished.as_str()))?;
        }
        let is_record = |name: &&String| name.ends_with(RECORD_SUFFIX) && !name.starts_with('.');
        names.iter().filter(is_record).map(|name| self.read(&format!("{RECORDS}/{name}"))).collect()
    }

    fn write_record(&self, project: u32, text: &[u8]) -> Result<(), DiskError> {
        let name = format!("{project}{RECORD_SUFFIX}");
        let folder = self.folder(RECORDS)?;
        write_durably(folder.as_fd(), &name, text).map_err(DiskError::at("write the record", name))
    }

    fn remove_record(&self, project: u32) -> Result<(), DiskError> {
        let name = format!("{project}{RECORD_SUFFIX}");
        match unlinkat(self.folder(RECORDS)?, name.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(DiskError::at("remove the record", name)(errno)),
        }
    }

    fn quota(&self, project: u32) -> Result<Quota, DiskError> {
        if self.counting == Counting::Nothing {
            return Ok(Quota { project, ..Quota::default() });
        }
        quota::get(self.root(), project).map_err(Self::quota_error("ask the quota of", project))
    }

    fn next_quota(&self, from: u32) -> Result<Option<Quota>, DiskError> {
        if self.counting == Counting::Nothing {
            return Ok(None);
        }
        quota::next(self.root(), from).map_err(Self::quota_error("ask the quota after", from))
    }

    fn set_limits(&self, project: u32, limits: Limits) -> Result<(), DiskError> {
        if self.counting == Counting::Nothing {
            return Ok(());
        }
        quota::set_limits(self.root(), project, limits)
            .map_err(Self::quota_error("set the quota of", project))
    }

    fn clear_limits(&self, project: u32) -> Result<(), DiskError> {
        if self.counting == Counting::Nothing {
            return Ok(());
        }
        quota::clear_limits(self.root(), project).map_err(Self::quota_error("clear the quota of", project))
    }

    fn new_folders(&self) -> Result<Vec<u32>, DiskError> {
        Ok(self.names(NEW_FOLDER)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn make(&self, project: u32) -> Result<(), DiskError> {
        self.make_folder(&Place::New(project).path(), PRIVATE)
    }

    fn discard(&self, project: u32) -> Result<(), DiskError> {
        let name = project.to_string();
        match unlinkat(self.folder(NEW_FOLDER)?, name.as_str(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(DiskError::at("remove", Place::New(project).path())(errno)),
        }
    }

    fn mark(&self, project: u32) -> Result<(), DiskError> {
        self.mark_again(&Place::New(project), project)
    }

    fn own(&self, project: u32, owner: Owner) -> Result<(), DiskError> {
        let (fd, path) = self.new_folder(project)?;
        fchown(&fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
            .map_err(DiskError::at("set the owner of", path.clone()))?;
        // After the owner: a change of owner takes setgid away.
        fchmod(&fd, Mode::from_raw_mode(owner.mode)).map_err(DiskError::at("set the mode of", path))
    }

    fn mark_again(&self, place: &Place, project: u32) -> Result<(), DiskError> {
        let path = place.path();
        let fd = self.folder(&path)?;
        let set = project::set(fd.as_fd(), Project { id: project, inherited: true });
        match (set, self.counting) {
            // Also where nothing is counted yet, so that a later mount with quotas counts it.
            (Ok(()), _) => Ok(()),
            (Err(_), Counting::Nothing) => tag::set(fd.as_fd(), project),
            (Err(errno), Counting::Projects) => Err(errno),
        }
        .map_err(DiskError::at("set the project of", path))
    }

    fn project_at(&self, place: &Place) -> Result<Option<u32>, DiskError> {
        let path = place.path();
        match self.open_folder(&path) {
            Ok(fd) => {
                let found = match (project::get(fd.as_fd()), self.counting) {
                    (Ok(found), _) if found.id != 0 => Ok(found.id),
                    // A project that is only written beside it would be said to be limited, and is not.
                    (found, Counting::Projects) => found.map(|found| found.id),
                    (_, Counting::Nothing) => tag::get(fd.as_fd()),
                };
                found.map(Some).map_err(DiskError::at("ask the project of", path))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(DiskError::at("open", path)(errno)),
        }
    }

    fn rename(&self, from: &Place, to: &Place) -> Result<(), DiskError> {
        if to.is_live() {
            self.make_folder(&to.parent(), PASSABLE)?;
        }
        let (old, new) = (self.folder(&from.parent())?, self.folder(&to.parent())?);
        renameat_with(&old, from.name().as_str(), &new, to.name().as_str(), RenameFlags::NOREPLACE)
            .map_err(DiskError::at("move", format!("{} to {}", from.path(), to.path())))
    }

    fn prune(&self) -> Result<(), DiskError> {
        for above in [WORKSPACES, CLAIMS] {
            let above = format!("{EXPORT_FOLDER}/{above}");
            let fd = self.folder(&above)?;
            for name in self.names(&above)?.into_iter().filter(|name| !name.starts_with('.')) {
                match unlinkat(&fd, name.as_str(), AtFlags::REMOVEDIR) {
                    // Not ours to judge, if somebody put a file there.
                    Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                    Err(errno) => return Err(DiskError::at("remove", format!("{above}/{name}"))(errno)),
                }
            }
        }
        Ok(())
    }

    fn remove_some(&self, place: &Place, entries_max: u64) -> Result<Emptied, DiskError> {
        let parent = self.folder(&place.parent())?;
        // In this thread alone: it is one of the background, or one for whose end others wait.
        let workers = Some(NonZeroUsize::MIN);
        let options = DeleteOptions { entries_max: Some(entries_max), workers, ..DeleteOptions::default() };
        let report = delete(parent.as_fd(), place.name().as_ref(), &options, &Control::new());
        let emptied = report.map_err(Errno::from).and_then(|report| match report.refused() {
            Some(errno) => Err(errno),
            None => Ok(Emptied { entries: report.deleted + report.moved, done: report.is_done() }),
        });
        emptied.map_err(DiskError::at("empty", place.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::KeptName;

    #[test]
    fn where_nothing_is_counted_a_folder_still_has_its_project_and_no_limit() {
        let dir = tempfile::tempdir().unwrap();
        let root = rustix::fs::open(dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let disk = RealDisk::new(root, "x", &["state/more"], Counting::Nothing).unwrap();
        assert!(dir.path().join("state/more").is_dir());
        let project = disk.first_project();
        disk.make(project).unwrap();
        assert_eq!(disk.project_at(&Place::New(project)).unwrap(), Some(0));
        disk.mark(project).unwrap();
        assert_eq!(disk.project_at(&Place::New(project)).unwrap(), Some(project));
        // Somebody changed it, and it is put right where it lies.
        let kept: KeptName = "team.v.20261122T101112Z".to_string().try_into().unwrap();
        let place = Place::Trash(kept);
        disk.rename(&Place::New(project), &place).unwrap();
        disk.mark_again(&place, project + 1).unwrap();
        assert_eq!(disk.project_at(&place).unwrap(), Some(project + 1));
        disk.mark_again(&place, project).unwrap();
        assert_eq!(disk.project_at(&place).unwrap(), Some(project));
        disk.rename(&place, &Place::New(project)).unwrap();
        assert!(disk.mark_again(&place, project).is_err(), "nothing is there any more");
        disk.set_limits(project, Limits { bytes: 1, inodes: 1 }).unwrap();
        assert_eq!(disk.quota(project).unwrap(), Quota { project, ..Quota::default() });
        assert!(disk.next_quota(0).unwrap().is_none());
        disk.discard(project).unwrap();
        assert_eq!(disk.project_at(&Place::New(project)).unwrap(), None);
    }

    #[test]
    fn a_folder_goes_in_slices_of_their_count_and_its_root_last() {
        let dir = tempfile::tempdir().unwrap();
        let root = rustix::fs::open(dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let disk = RealDisk::new(root, "x", &[], Counting::Nothing).unwrap();
        let project = disk.first_project();
        disk.make(project).unwrap();
        let place = Place::New(project);
        let folder = dir.path().join(place.path());
        std::fs::create_dir_all(folder.join("a/b")).unwrap();
        ["1", "a/2", "a/b/3"].iter().for_each(|file| std::fs::write(folder.join(file), "").unwrap());
        std::os::unix::fs::symlink(dir.path(), folder.join("a/out")).unwrap();
        for slice in [4, 3] {
            assert!(folder.exists());
            let emptied = disk.remove_some(&place, 4).unwrap();
            assert_eq!(emptied, Emptied { entries: slice, done: slice < 4 });
        }
        assert!(!folder.exists() && dir.path().join(RECORDS).is_dir());
        assert_eq!(disk.remove_some(&place, 4).unwrap(), Emptied { entries: 0, done: true });
    }

    #[test]
    fn each_storage_has_its_own_ids() {
        let ids = ["0f8fad5b", "1f8fad5b", ""].map(first_project);
        assert!(ids[0] != ids[1] && ids.iter().all(|id| (PROJECT_FIRST..PROJECT_LAST).contains(id)));
        assert_eq!(first_project("0f8fad5b"), ids[0]);
    }
}
