//! The cache's daemon, for as long as the kernel's device is open: it binds a folder as the cache, and throws away what was not read
//! for the longest time when the kernel asks for room. What a file that is thrown away held is read from its server again.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Mode, OFlags, removexattr, statvfs};
use workspacefs_sys::Errno;

use super::cachefiles::{Cachefiles, State};
use super::protocol::{Space, Tended};
use super::victims::{self, Victim};

/// How the kernel knows the cache. Always the same: what was mounted with the cache before finds it again by this name.
pub const TAG: &str = "workspacefs";
/// So many are remembered at a time.
const VICTIMS_MAX: usize = 4096;
/// Where the kernel keeps files, in what is bound.
const CACHE: &str = "cache";
/// Where it puts folders that are to be removed.
const GRAVEYARD: &str = "graveyard";
/// Nothing in the cache has it.
const NO_ATTRIBUTE: &str = "user.workspacefs.none";

/// What is told to the kernel to bind `folder`. With less than 7 % of the image free files are thrown away until 10 % are; with less than
/// 3 % nothing more is stored. The kernel takes each only within the others' bounds, hence the order.
pub fn commands(folder: &str) -> Vec<String> {
    let words = [
        format!("dir {folder}"),
        format!("tag {TAG}"),
        "brun 10%".into(),
        "bcull 7%".into(),
        "bstop 3%".into(),
        "bind".into(),
    ];
    words.to_vec()
}

/// The folder cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its name is not one that a command can have.
    #[error("the folder {0:?} cannot be named to the kernel")]
    Name(PathBuf),
    /// The kernel says no.
    #[error("the kernel refuses {command:?}; its log says why")]
    Refused {
        /// The command.
        command: String,
        /// Why.
        #[source]
        errno: Errno,
    },
}

/// The cache is of no use any more, or cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum TendError {
    /// The kernel gave it up after an error of the disk's, or does not write to its file system any more.
    #[error(
        "the kernel has given the cache up, or made it read-only, after an error of its disk or file system"
    )]
    Dead,
    /// The device says what it should not.
    #[error("the kernel's device does not answer as it should")]
    Device(#[source] Errno),
    /// The folder.
    #[error("the cache's folder cannot be looked at")]
    Folder(#[source] Errno),
}

/// A cache that is bound. Dropping it unbinds it.
#[derive(Debug)]
pub struct Daemon<D> {
    device: D,
    folder: PathBuf,
    victims: VecDeque<Victim>,
}

impl<D: Cachefiles> Daemon<D> {
    /// Binds `folder`, the root of a file system with extended attributes. What an earlier daemon left in it is in the cache.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(mut device: D, folder: &Path) -> Result<Self, BindError> {
        let name = folder.to_str().filter(|name| !name.contains(char::is_whitespace));
        let name = name.ok_or_else(|| BindError::Name(folder.into()))?;
        for command in commands(name) {
            device.tell(&command).map_err(|errno| BindError::Refused { command, errno })?;
        }
        Ok(Self { device, folder: folder.into(), victims: VecDeque::new() })
    }

    /// One pass: makes room if the kernel asks for it, until `until` at most.
    ///
    /// # Errors
    /// [`TendError`].
    pub fn tend(&mut self, until: Instant) -> Result<Tended, TendError> {
        self.is_alive()?;
        self.is_writable()?;
        // What is left there is tried again the next time.
        let _ = victims::empty(&self.folder.join(GRAVEYARD));
        let mut tended = Tended::default();
        let mut has_looked = false;
        while self.wants_room()? {
            tended.culling = true;
            if Instant::now() >= until {
                tended.unfinished = true;
                break;
            }
            let Some(victim) = self.victims.pop_front() else {
                if has_looked {
                    // All that is left is in use.
                    break;
                }
                has_looked = true;
                self.look();
                continue;
            };
            match self.cull(&victim) {
                Ok(()) => {
                    tended.culled += 1;
                    has_looked = false;
                }
                // In use again, or gone by itself.
                Err(Errno::BUSY | Errno::STALE | Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        if !tended.culling {
            self.victims.clear();
        }
        tended.space = self.space()?;
        Ok(tended)
    }

    /// A cache has its tag for good: to name it again is refused, and does nothing.
    fn is_alive(&mut self) -> Result<(), TendError> {
        match self.device.tell(&format!("tag {TAG}")) {
            Err(Errno::IO) => Err(TendError::Dead),
            _ => Ok(()),
        }
    }

    /// An ext4 that has found an error lets nobody write any more (errors=remount-ro). Of that the kernel's cache takes no notice: it
    /// stays bound, and stores nothing. Since Linux 6.12 a mount's flags do not say it, hence the attempt to remove what is not there.
    fn is_writable(&self) -> Result<(), TendError> {
        match removexattr(&self.folder, NO_ATTRIBUTE) {
            Err(Errno::IO | Errno::ROFS) => Err(TendError::Dead),
            _ => Ok(()),
        }
    }

    /// Before it is unbound: a folder that this process is in could not be unmounted.
    pub fn leave(&mut self) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Where that fails, whoever unmounts it hears that it is in use, and tries again.
        let _ = rustix::fs::open("/", flags, Mode::empty()).and_then(|root| self.device.enter(root.as_fd()));
    }

    fn wants_room(&mut self) -> Result<bool, TendError> {
        let line = self.device.read().map_err(failed)?;
        State::parse(&line).map(|state| state.culling).ok_or(TendError::Device(Errno::PROTO))
    }

    fn look(&mut self) {
        let device = &mut self.device;
        // Each that is considered is asked about: of those that are read just now there may be more than are remembered.
        let is_in_use = |victim: &Victim| command(device, "inuse", victim) == Err(Errno::BUSY);
        self.victims = victims::look(&self.folder.join(CACHE), VICTIMS_MAX, is_in_use).into();
    }

    fn cull(&mut self, victim: &Victim) -> Result<(), Errno> {
        command(&mut self.device, "cull", victim)
    }

    fn space(&self) -> Result<Space, TendError> {
        let stat = statvfs(&self.folder).map_err(TendError::Folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space {
            bytes_total: bytes(stat.f_blocks),
            bytes_used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        })
    }
}

fn failed(errno: Errno) -> TendError {
    match errno {
        Errno::IO | Errno::ROFS => TendError::Dead,
        errno => TendError::Device(errno),
    }
}

/// `cull` and `inuse` name an entry of the folder that the process is in.
fn command(device: &mut impl Cachefiles, word: &str, victim: &Victim) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(victim.folder.as_path(), flags, Mode::empty())?;
    device.enter(folder.as_fd())?;
    device.tell(&format!("{word} {}", victim.name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::time::{Duration, SystemTime};

    use super::*;

    /// Behaves as the kernel does: room is wanted while there are more than so many files.
    #[derive(Default)]
    struct Kernel {
        told: Vec<String>,
        folder: Option<PathBuf>,
        files_max: usize,
        in_use: Vec<String>,
        dead: bool,
        bound: bool,
        tagged: bool,
        entered: PathBuf,
        refuses: Option<(&'static str, Errno)>,
    }

    impl Kernel {
        fn files(&self) -> usize {
            fn count(folder: &Path) -> usize {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                entries.map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 }).sum()
            }
            count(&self.folder.as_ref().unwrap().join(CACHE))
        }
    }

    impl Cachefiles for Kernel {
        fn tell(&mut self, command: &str) -> Result<(), Errno> {
            self.told.push(command.into());
            if self.dead {
                return Err(Errno::IO);
            }
            let (word, argument) = command.split_once(' ').unwrap_or((command, ""));
            if let Some((refused, errno)) = self.refuses
                && refused == word
            {
                return Err(errno);
            }
            match word {
                "dir" => self.folder = Some(argument.into()),
                "tag" if std::mem::replace(&mut self.tagged, true) => return Err(Errno::EXIST),
                "bind" => {
                    self.bound = true;
                    for name in [CACHE, GRAVEYARD] {
                        fs::create_dir_all(self.folder.as_ref().unwrap().join(name)).unwrap();
                    }
                }
                "inuse" | "cull" => {
                    let path = self.entered.join(argument);
                    if !path.exists() {
                        return Err(Errno::STALE);
                    }
                    if self.in_use.iter().any(|name| name == argument) {
                        return Err(Errno::BUSY);
                    }
                    if word == "cull" {
                        fs::remove_file(path).unwrap();
                    }
                }
                _ => {}
            }
            Ok(())
        }

        fn read(&mut self) -> Result<String, Errno> {
            let culling = u8::from(self.files() > self.files_max);
            Ok(if self.bound { format!("cull={culling} frun=1 brun=1") } else { String::new() })
        }

        fn enter(&mut self, folder: BorrowedFd<'_>) -> Result<(), Errno> {
            self.entered = fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).unwrap();
            Ok(())
        }
    }

    fn filled(folder: &Path, kernel: Kernel, files: usize) -> Daemon<Kernel> {
        let daemon = Daemon::bind(kernel, folder).unwrap();
        for number in 0..files {
            let fan = folder.join(CACHE).join("Infs,x").join(format!("@{:02x}", number % 3));
            fs::create_dir_all(&fan).unwrap();
            let file = fs::File::create(fan.join(format!("f{number}"))).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64);
            file.set_times(fs::FileTimes::new().set_accessed(time)).unwrap();
        }
        daemon
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn culled(daemon: &Daemon<Kernel>) -> Vec<String> {
        let names = daemon.device.told.iter().filter_map(|told| told.strip_prefix("cull "));
        names.map(Into::into).collect()
    }

    #[test]
    fn a_folder_is_bound_by_the_commands_of_the_kernels_documentation_in_the_order_that_it_takes() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::bind(Kernel::default(), folder.path()).unwrap();
        let dir = format!("dir {}", folder.path().display());
        let expected = [dir.as_str(), "tag workspacefs", "brun 10%", "bcull 7%", "bstop 3%", "bind"];
        assert_eq!(daemon.device.told, expected);
    }

    #[test]
    fn what_the_kernel_refuses_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = Kernel { refuses: Some(("bind", Errno::OPNOTSUPP)), ..Kernel::default() };
        let error = Daemon::bind(kernel, folder.path()).err().unwrap();
        assert!(
            matches!(&error, BindError::Refused { command, errno: Errno::OPNOTSUPP } if command == "bind")
        );
        let error = Daemon::bind(Kernel::default(), Path::new("/a b")).err().unwrap();
        assert!(matches!(error, BindError::Name(_)), "a command is cut at blanks");
    }

    #[test]
    fn nothing_is_thrown_away_while_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = filled(folder.path(), Kernel { files_max: 9, ..Kernel::default() }, 9);
        let tended = daemon.tend(soon()).unwrap();
        assert_eq!((tended.culling, tended.culled), (false, 0));
        assert!(tended.space.bytes_total > 0 && tended.space.bytes_used <= tended.space.bytes_total);
        assert!(culled(&daemon).is_empty());
    }

    #[test]
    fn room_is_made_of_the_longest_unread_until_the_kernel_has_enough_and_of_nothing_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = Kernel { files_max: 6, in_use: vec!["f1".into()], ..Kernel::default() };
        let mut daemon = filled(folder.path(), kernel, 10);
        let tended = daemon.tend(soon()).unwrap();
        assert_eq!((tended.culled, tended.unfinished), (4, false));
        assert_eq!(culled(&daemon), ["f0", "f2", "f3", "f4"]);
        // Of a later time it knows nothing of an earlier one.
        assert!(!daemon.tend(soon()).unwrap().culling && daemon.victims.is_empty());
    }

    #[test]
    fn where_everything_is_in_use_it_gives_up_until_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let in_use = (0..5).map(|number| format!("f{number}")).collect();
        let mut daemon = filled(folder.path(), Kernel { in_use, ..Kernel::default() }, 5);
        let tended = daemon.tend(soon()).unwrap();
        assert_eq!((tended.culling, tended.culled, tended.unfinished), (true, 0, false));
    }

    #[test]
    fn one_pass_ends_in_time_and_the_next_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = filled(folder.path(), Kernel::default(), 5);
        let tended = daemon.tend(Instant::now()).unwrap();
        assert!(tended.culling && tended.unfinished && tended.culled == 0);
        assert_eq!(daemon.tend(soon()).unwrap().culled, 5);
    }

    #[test]
    fn a_cache_that_the_kernel_gave_up_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = filled(folder.path(), Kernel { files_max: 9, ..Kernel::default() }, 1);
        daemon.device.dead = true;
        assert!(matches!(daemon.tend(soon()), Err(TendError::Dead)));
    }

    #[test]
    fn one_that_nobody_can_write_to_any_more_is_dead_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = filled(folder.path(), Kernel { files_max: 9, ..Kernel::default() }, 1);
        let read_only = workspacefs_sys::filesystem::empty_tmpfs().unwrap();
        daemon.folder = format!("/proc/self/fd/{}", read_only.as_raw_fd()).into();
        assert!(matches!(daemon.tend(soon()), Err(TendError::Dead)));
        assert!(matches!(failed(Errno::ROFS), TendError::Dead), "found out while files are thrown away");
    }

    #[test]
    fn what_was_left_in_the_graveyard_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = filled(folder.path(), Kernel { files_max: 9, ..Kernel::default() }, 1);
        fs::create_dir_all(folder.path().join(GRAVEYARD).join("7/@00")).unwrap();
        daemon.tend(soon()).unwrap();
        assert!(!folder.path().join(GRAVEYARD).join("7").exists());
    }
}
