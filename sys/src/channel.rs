//! A socket between a process and its helper: whole messages (SOCK_SEQPACKET), each with up to four descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The longest message in bytes. Longer ones are an error on both sides.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// The most descriptors in one message.
pub const DESCRIPTORS_MAX: usize = 4;

/// What arrived.
#[derive(Debug)]
pub struct Message {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The descriptors, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

/// Makes both ends. The first belongs to an async runtime, the second goes to the other process and blocks.
///
/// # Errors
/// Out of descriptors, or called outside a tokio runtime.
pub fn pair() -> io::Result<(AsyncChannel, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((AsyncChannel { socket: register(ours)?, buffer: buffer() }, theirs))
}

#[allow(unsafe_code)]
fn register(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd refers to the same open file for as long as it exists, and the AsyncFd owns it.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

/// The end that waits in a tokio runtime.
#[derive(Debug)]
pub struct AsyncChannel {
    socket: AsyncFd<OwnedFd>,
    buffer: Box<[u8]>,
}

impl AsyncChannel {
    /// Sends one message.
    ///
    /// # Errors
    /// `BrokenPipe` or `ConnectionReset` when the other process is gone; `InvalidInput` for a message that is too long.
    pub async fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.socket.async_io(Interest::WRITABLE, |fd| send(fd.as_fd(), bytes, descriptors)).await
    }

    /// Waits for one message.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other process is gone.
    pub async fn receive(&mut self) -> io::Result<Message> {
        let Self { socket, buffer } = self;
        socket.async_io(Interest::READABLE, |fd| receive(fd.as_fd(), buffer)).await
    }
}

/// The end that blocks.
#[derive(Debug)]
pub struct BlockingChannel {
    socket: OwnedFd,
    buffer: Box<[u8]>,
}

impl BlockingChannel {
    /// Takes over a socket made by [`pair`].
    pub fn new(fd: OwnedFd) -> Self {
        Self { socket: fd, buffer: buffer() }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// As [`AsyncChannel::send`].
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(self.socket.as_fd(), bytes, descriptors)
    }

    /// Waits for one message.
    ///
    /// # Errors
    /// As [`AsyncChannel::receive`].
    pub fn receive(&mut self) -> io::Result<Message> {
        receive(self.socket.as_fd(), &mut self.buffer)
    }
}

/// For the longest message. One per channel: made anew for each message, its fresh pages would cost more than the message.
fn buffer() -> Box<[u8]> {
    vec![0; MESSAGE_BYTES_MAX].into()
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.len() > MESSAGE_BYTES_MAX || bytes.is_empty() || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "message of a size that the channel does not carry",
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let result = retry(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL));
    result.map(drop)
}

fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Message> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let answer =
        retry(|| recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC))?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    if answer.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Nobody sends empty messages: nothing is the end.
    if answer.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Message { bytes: buffer[..answer.bytes].to_vec(), descriptors })
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn messages_keep_their_borders_and_bring_their_descriptors() {
        let (mut ours, theirs) = pair().unwrap();
        let theirs = BlockingChannel::new(theirs);
        let (reader, mut writer) = std::io::pipe().unwrap();
        theirs.send(b"one", &[reader.as_fd()]).unwrap();
        theirs.send(b"two", &[]).unwrap();
        drop(reader);
        let first = ours.receive().await.unwrap();
        let second = ours.receive().await.unwrap();
        assert_eq!((&first.bytes[..], &second.bytes[..]), (&b"one"[..], &b"two"[..]));
        assert!(second.descriptors.is_empty());
        writer.write_all(b"through the pipe").unwrap();
        drop(writer);
        let mut text = String::new();
        let received = first.descriptors.into_iter().next().unwrap();
        std::fs::File::from(received).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through the pipe");
    }

    #[tokio::test]
    async fn the_end_of_the_other_process_is_the_end_of_the_channel() {
        let (mut ours, theirs) = pair().unwrap();
        drop(theirs);
        assert_eq!(ours.receive().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(ours.send(b"x", &[]).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn messages_that_could_be_cut_are_refused() {
        let (ours, _theirs) = pair().unwrap();
        let long = vec![0u8; MESSAGE_BYTES_MAX + 1];
        assert_eq!(ours.send(&long, &[]).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(ours.send(b"", &[]).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
