//! The helper process of one share: the only process that touches files on it. It blocks wherever the server makes it
//! wait; the plugin kills it when that takes too long, and it dies with the plugin.
//!
//! One thread, no runtime; a name is looked up in another, and while [`trash`] removes there are a few. [`connect`]
//! finds out in words whether a server is there, [`nfs`] mounts, [`resolve`] walks people's paths, [`folder`] creates
//! the first time, [`reserved`] and [`volumes`] keep `.workspacefs`, [`copies`] finds FsCaches' copies in that of a
//! FileSystem, [`leaving`] moves folders into it, [`trash`] empties its trash.

mod connect;
mod copies;
mod folder;
mod leaving;
mod nfs;
mod reserved;
mod resolve;
mod trash;
mod volumes;
mod words;

use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, StatVfs, StatxFlags, fstatvfs, statvfs, statx};
use rustix::io::Errno;
use workspacefs_api::RESERVED_FOLDER;
use workspacefs_sys::channel::BlockingChannel;
use workspacefs_sys::tree::{StagingPlace, ViewOptions, open_mounted};
use workspacefs_sys::{inspect, lock, process, unmount};

use super::protocol::{Answer, Hello, Part, Question, Reply, Request};
use super::{ShareError, ShareSpec, Usage, ViewRequest};
use folder::Settled;
use resolve::Share;

pub use nfs::Nfs;

/// Makes a share's file system: [`Nfs`], or what stands in for it in tests.
pub trait Source {
    /// A new mount of the share, private, nosuid, nodev, attached nowhere.
    ///
    /// # Errors
    /// [`ShareError`] in words; `by` is when nobody waits any more.
    fn mount(&self, spec: &ShareSpec, by: Instant) -> Result<OwnedFd, ShareError>;
}

/// Runs the helper on the socket that is its standard input, until the plugin closes it. `parent` is the plugin's
/// process id.
pub fn run(source: &dyn Source, parent: u32) -> ExitCode {
    // Between fork and here the plugin may have died: then nobody would ever kill us.
    if process::die_with(parent).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    match serve(source, BlockingChannel::new(socket)) {
        // The plugin is gone, or has no use for us any more.
        Err(error) if matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("share-helper: its socket failed: {error}");
            ExitCode::FAILURE
        }
        Ok(never) => match never {},
    }
}

fn serve(source: &dyn Source, mut channel: BlockingChannel) -> io::Result<std::convert::Infallible> {
    let hello: Hello = serde_json::from_slice(&channel.receive()?.bytes)?;
    let mut helper = Helper { hello, source, root: None, settled: Settled::default() };
    loop {
        let request: Request = serde_json::from_slice(&channel.receive()?.bytes)?;
        let by = Instant::now() + Duration::from_millis(request.within_ms);
        let (reply, fd) = match helper.answer(request.what, by) {
            Ok((answer, fd)) => (Reply::Ok(answer), fd),
            Err(error) => (Reply::Err(error), None),
        };
        let descriptors: Vec<BorrowedFd<'_>> = fd.iter().map(AsFd::as_fd).collect();
        channel.send(&serde_json::to_vec(&reply)?, &descriptors)?;
    }
}

struct Helper<'a> {
    hello: Hello,
    source: &'a dyn Source,
    /// The root of the share's mount, once it is known.
    root: Option<OwnedFd>,
    settled: Settled,
}

type Answered = Result<(Answer, Option<OwnedFd>), ShareError>;

impl Helper<'_> {
    fn answer(&mut self, question: Question, by: Instant) -> Answered {
        match &question {
            Question::Unmount => return self.unmount().map(|()| (Answer::Unmounted, None)),
            Question::Usage(target) => return usage(target).map(|usage| (Answer::Usage(usage), None)),
            Question::Place(view, path) => {
                return copies::place(view, path).map(|fd| (Answer::Place, Some(fd)));
            }
            _ => {}
        }
        let share = self.share(by)?;
        match self.on_share(&share, &question) {
            // The server forgot the export's root: what is mounted is of no use to anybody, so mount anew.
            Err(ShareError::Stale { .. }) if share.is_stale() => {
                drop(share);
                self.forget();
                let share = self.share(by)?;
                self.on_share(&share, &question)
            }
            other => other,
        }
    }

    fn on_share(&mut self, share: &Share, question: &Question) -> Answered {
        let without_fd = |answer| Ok((answer, None));
        match question {
            Question::View(request, place) => self.view(share, request, &StagingPlace::at(place.clone())),
            Question::CreateVolume(name, record, owner) => {
                without_fd(Answer::Created(volumes::create(share, name, *record, *owner)?))
            }
            Question::VolumeRecord(name) => without_fd(Answer::Record(volumes::record(share, name)?)),
            Question::RemoveVolume(name, to) => {
                without_fd(Answer::Removed(leaving::volume(share, name, to)?))
            }
            Question::RemoveOwn(folder, to) => without_fd(Answer::Taken(leaving::own(share, folder, to)?)),
            Question::EmptyTrash(slice) => without_fd(Answer::Swept(trash::sweep(share, slice)?)),
            Question::Space => without_fd(Answer::Usage(space(share)?)),
            Question::Usage(target) => without_fd(Answer::Usage(usage(target)?)),
            Question::Place(view, path) => Ok((Answer::Place, Some(copies::place(view, path)?))),
            Question::Unmount => without_fd(Answer::Unmounted),
        }
    }

    fn view(&mut self, share: &Share, request: &ViewRequest, place: &StagingPlace) -> Answered {
        let (root, target) = match &request.part {
            Part::Copy(copy) => {
                let root = folder::find(share, &request.folder)?;
                let target = copies::open(&root, copy)?;
                (root, target)
            }
            Part::Fill(cache) => {
                let root = folder::open(share, &mut self.settled, &request.folder)?;
                let target = copies::make(&root, cache)?;
                (root, target)
            }
            Part::Folder(path) => {
                let root = folder::open(share, &mut self.settled, &request.folder)?;
                let target = share.resolve(&root, path)?;
                (root, target)
            }
        };
        // The way there may have been known from before: a server that is gone must not be found out by the pod. The type
        // alone would not do: it never changes, so the NFS client does not ask the server for it.
        statx(&target.fd, "", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, StatxFlags::MODE)
            .map_err(|errno| words::at("look at", &target.path, errno))?;
        let is_exports_root = share.is_root(&target);
        if is_exports_root {
            // So that there is something to hide before somebody else makes it.
            reserved::open_or_create(share)?;
        }
        let hides = is_exports_root || (request.hide && root.is_same(&target));
        let mut options =
            ViewOptions { read_only: request.read_only, hidden: hides.then_some(RESERVED_FOLDER) };
        let api = self.hello.api();
        let mut view = api.view(target.fd.as_fd(), options, place);
        if !is_exports_root && view.as_ref().is_err_and(lock::is_forbidden) {
            // The copies are the workspace's own: that they can be seen is no reason for a pod not to start.
            options.hidden = None;
            view = api.view(target.fd.as_fd(), options, place);
        }
        let fd = view.map_err(|error| words::sys(&target.path, &error))?;
        let staged = api == workspacefs_sys::tree::MountApi::Legacy;
        Ok((Answer::View { staged }, Some(fd)))
    }

    /// The share, mounted if it is not.
    fn share(&mut self, by: Instant) -> Result<Share, ShareError> {
        let fd = match &self.root {
            Some(fd) => fd.try_clone().map_err(|e| local("keep the share open", e))?,
            None => {
                let fd = self.mounted(by)?;
                let clone = fd.try_clone().map_err(|e| local("keep the share open", e))?;
                self.root = Some(fd);
                clone
            }
        };
        Ok(Share::new(fd, self.hello.name.clone()))
    }

    /// Finds the share's mount where an earlier helper attached it, or makes it.
    fn mounted(&self, by: Instant) -> Result<OwnedFd, ShareError> {
        let mount = || match &self.hello.spec {
            Some(spec) => self.source.mount(spec, by),
            None => Err(ShareError::MountFailed {
                share: self.hello.name.clone(),
                reason: "it is not known how".into(),
            }),
        };
        let Some(path) = &self.hello.mount_point else {
            return mount();
        };
        let look = |errno| {
            local(
                "look at the share's mount point",
                std::io::Error::from_raw_os_error(Errno::raw_os_error(errno)),
            )
        };
        if !inspect::is_mount_root(path).map_err(look)? {
            let mount = mount()?;
            self.hello
                .api()
                .attach_private(mount.as_fd(), path)
                .map_err(|error| words::sys(&self.hello.name, &error))?;
        }
        open_mounted(path).map_err(look)
    }

    /// Takes a mount off that is of no use any more. What was bound from it stays as it is.
    fn forget(&mut self) {
        self.root = None;
        self.settled = Settled::default();
        if let Some(path) = &self.hello.mount_point {
            // If it cannot be taken off, the next attempt finds it and says so.
            let _ = unmount::detached(path);
        }
    }

    /// Takes the share off its mount point, if its server answers: the last unmount writes back and says goodbye, and
    /// waits for that where no signal reaches it.
    fn unmount(&mut self) -> Result<(), ShareError> {
        self.root = None;
        let Some(path) = &self.hello.mount_point else {
            return Ok(());
        };
        let share = self.hello.name.as_str();
        match statvfs(path) {
            Ok(_) | Err(Errno::STALE | Errno::ACCESS | Errno::PERM) => {}
            Err(errno) => return Err(words::at("ask for the usage of", share, errno)),
        }
        while inspect::is_mount_root(path).map_err(|e| words::at("look at", share, e))? {
            unmount::plain(path).map_err(|e| words::at("unmount", share, e))?;
        }
        Ok(())
    }
}

/// Of the volume at a target, as its pod sees it.
fn usage(target: &Path) -> Result<Usage, ShareError> {
    let name = target.display().to_string();
    let failed = |errno| words::at("ask for the usage of", &name, errno);
    // Without a mount it would be the usage of this node's own disk.
    if !inspect::is_mount_root(target).map_err(failed)? {
        return Err(failed(Errno::NOENT));
    }
    Ok(figures(&statvfs(target).map_err(failed)?))
}

/// Of the share as a whole.
fn space(share: &Share) -> Result<Usage, ShareError> {
    let root = share.root();
    let answer = fstatvfs(&root.fd).map_err(|e| words::at("ask for the usage of", &root.path, e))?;
    Ok(figures(&answer))
}

fn figures(answer: &StatVfs) -> Usage {
    let bytes = |blocks: u64| blocks.saturating_mul(answer.f_frsize);
    Usage {
        bytes_total: bytes(answer.f_blocks),
        bytes_available: bytes(answer.f_bavail),
        bytes_used: bytes(answer.f_blocks.saturating_sub(answer.f_bfree)),
        inodes_total: answer.f_files,
        inodes_available: answer.f_favail,
        inodes_used: answer.f_files.saturating_sub(answer.f_ffree),
    }
}

fn local(action: &str, error: io::Error) -> ShareError {
    ShareError::Local { action: action.into(), reason: error.to_string() }
}
