//! The helper process of one LocalStorage: the only process that touches its disk. It blocks wherever the disk makes it wait;
//! the plugin kills it when that takes too long, and it dies with the plugin. One thread, no runtime.

use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use workspacefs_api::{LocalStorageSpec, NodeStorage};
use workspacefs_runtime::chain;
use workspacefs_sys::channel::BlockingChannel;
use workspacefs_sys::process;
use workspacefs_sys::tree::{MountApi, StagingPlace, ViewOptions};

use super::protocol::{Answer, Figures, Hello, Question, Refusal, RefusalKind, Reply, Share};

/// What a helper does its work on: [`super::kept::Kept`], or what stands in for it in tests.
pub trait Disk {
    /// One pass: looks, and takes what is approved. Whatever is wrong is in the entry.
    fn look(&mut self, node: &str, spec: &LocalStorageSpec) -> NodeStorage;
    /// The workspace's folder, made and limited if it is not.
    ///
    /// # Errors
    /// [`Refusal`].
    fn folder(&mut self, share: &Share) -> Result<OwnedFd, Refusal>;
    /// How full the folder of the namespace with that uid is; None if it was never made.
    ///
    /// # Errors
    /// [`Refusal`].
    fn usage(&mut self, namespace_uid: &str) -> Result<Option<Figures>, Refusal>;
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
        Question::Look(node, spec) => Ok((Answer::Looked(Box::new(disk.look(&node, &spec))), None)),
        Question::View(share, place) => {
            let folder = disk.folder(&share)?;
            let options = ViewOptions { read_only: share.read_only, hidden: None };
            let view = api.view(folder.as_fd(), options, &StagingPlace::at(place));
            let fd = view.map_err(|error| Refusal { kind: RefusalKind::Io, message: chain(&error) })?;
            Ok((Answer::View { staged: api == MountApi::Legacy }, Some(fd)))
        }
        Question::Usage(namespace_uid) => Ok((Answer::Usage(disk.usage(&namespace_uid)?), None)),
        Question::Release => disk.release().map(|()| (Answer::Released, None)),
    }
}
