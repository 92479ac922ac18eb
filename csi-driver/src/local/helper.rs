//! The helper process of one LocalStorage: the only process that touches its disk. It blocks wherever the disk makes it wait;
//! the plugin kills it when that takes too long, and it dies with the plugin. One thread, no runtime.

use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use workspacefs_api::{NodeStorage, RESERVED_FOLDER};
use workspacefs_runtime::chain;
use workspacefs_storage::local::image::ImageWish;
use workspacefs_sys::channel::BlockingChannel;
use workspacefs_sys::tree::{MountApi, StagingPlace, ViewOptions};
use workspacefs_sys::{lock, process};

use super::protocol::{
    Answer, Figures, Hello, Look, Place, Question, Refusal, RefusalKind, Reply, Shown, Volume, Wish,
};

/// What a helper does its work on: [`super::kept::Kept`], or what stands in for it in tests.
pub trait Disk {
    /// One pass: looks, and takes what is approved. Whatever is wrong is in the entry.
    fn look(&mut self, look: &Look) -> NodeStorage;
    /// An open folder: a workspace's share, made and limited if it is not, or a volume that is there.
    ///
    /// # Errors
    /// [`Refusal`].
    fn folder(&mut self, shown: &Shown) -> Result<OwnedFd, Refusal>;
    /// How full a folder is; None if it is not there.
    ///
    /// # Errors
    /// [`Refusal`].
    fn usage(&mut self, place: &Place) -> Result<Option<Figures>, Refusal>;
    /// Makes a volume if it may, or finds it. Gives the size that it has.
    ///
    /// # Errors
    /// [`Refusal`].
    fn ensure(&mut self, wish: &Wish) -> Result<u64, Refusal>;
    /// Makes a volume at least so large. Gives the size that it has then.
    ///
    /// # Errors
    /// [`Refusal`].
    fn grow(&mut self, volume: &Volume, size: u64) -> Result<u64, Refusal>;
    /// Moves a volume into the trash; one that is not there is gone already.
    ///
    /// # Errors
    /// [`Refusal`].
    fn remove(&mut self, volume: &Volume) -> Result<(), Refusal>;
    /// The image of the node's cache, mounted there or not.
    ///
    /// # Errors
    /// [`Refusal`].
    fn image(&mut self, wish: ImageWish, mount_point: &Path) -> Result<(), Refusal>;
    /// Takes the disk off; what is still in use stays, and is found again.
    ///
    /// # Errors
    /// [`Refusal`].
    fn release(&mut self) -> Result<(), Refusal>;
}

/// Runs the helper on the socket that is its standard input, until the plugin closes it. `disk` gets the disk's mount point;
/// `parent` is the plugin's process id.
pub fn run<D: Disk>(disk: impl FnOnce(&Path) -> D, parent: u32) -> ExitCode {
    // Between fork and here the plugin may have died: then nobody would ever kill us.
    if process::die_with(parent).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    match serve(disk, BlockingChannel::new(socket)) {
        // The plugin is gone, or has no use for us any more.
        Err(error) if matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("disk-helper: its socket failed: {error}");
            ExitCode::FAILURE
        }
        Ok(never) => match never {},
    }
}

fn serve<D: Disk>(
    disk: impl FnOnce(&Path) -> D,
    mut channel: BlockingChannel,
) -> io::Result<std::convert::Infallible> {
    let hello: Hello = serde_json::from_slice(&channel.receive()?.bytes)?;
    let mut disk = disk(&hello.mount_point);
    loop {
        let question: Question = serde_json::from_slice(&channel.receive()?.bytes)?;
        let (reply, fd) = match answer(&mut disk, hello.api(), question) {
            Ok((answer, fd)) => (Reply::Ok(answer), fd),
            Err(refusal) => (Reply::Err(refusal), None),
        };
        let descriptors: Vec<BorrowedFd<'_>> = fd.iter().map(AsFd::as_fd).collect();
        channel.send(&serde_json::to_vec(&reply)?, &descriptors)?;
    }
}

fn answer(
    disk: &mut impl Disk,
    api: MountApi,
    question: Question,
) -> Result<(Answer, Option<OwnedFd>), Refusal> {
    match question {
        Question::Look(look) => Ok((Answer::Looked(Box::new(disk.look(&look))), None)),
        Question::View(view, place) => {
            let folder = disk.folder(&view.of)?;
            let place = StagingPlace::at(place);
            let mut options =
                ViewOptions { read_only: view.read_only, hidden: view.hide.then_some(RESERVED_FOLDER) };
            let mut view = api.view(folder.as_fd(), options, &place);
            if view.as_ref().is_err_and(lock::is_forbidden) {
                // The copies are the workspace's own: that they can be seen is no reason for a pod not to start.
                options.hidden = None;
                view = api.view(folder.as_fd(), options, &place);
            }
            let fd = view.map_err(|error| Refusal { kind: RefusalKind::Io, message: chain(&error) })?;
            Ok((Answer::View { staged: api == MountApi::Legacy }, Some(fd)))
        }
        Question::Usage(place) => Ok((Answer::Usage(disk.usage(&place)?), None)),
        Question::EnsureVolume(wish) => Ok((Answer::Volume(disk.ensure(&wish)?), None)),
        Question::GrowVolume(volume, size) => Ok((Answer::Volume(disk.grow(&volume, size)?), None)),
        Question::RemoveVolume(volume) => disk.remove(&volume).map(|()| (Answer::Removed, None)),
        Question::Image(wish, mount_point) => disk.image(wish, &mount_point).map(|()| (Answer::Image, None)),
        Question::Release => disk.release().map(|()| (Answer::Released, None)),
    }
}
