//! What was written to a file and is not on its disk yet: begun early, and asked about. fsync(2) waits for both.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

/// Begins to put these bytes of a file on its disk and waits for none of them, so that an fsync later has less to wait for.
/// Over NFS they are sent.
///
/// # Errors
/// The kernel's number, where that cannot be asked for: nothing is lost then. That bytes cannot be put there, fsync says.
#[allow(unsafe_code)]
pub fn begin(file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Errno> {
    let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) else {
        return Err(Errno::INVAL);
    };
    // SAFETY: the descriptor is open for as long as it is borrowed, and no memory of ours is touched.
    let result =
        unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// Asks whether what was written is taken, as the close(2) of a program does that looks at its result: a network file system
/// sends it now and says what it has no room for; a local one said so at each write, and does nothing.
///
/// # Errors
/// The kernel's number.
pub fn deliver(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let copy = file.try_clone_to_owned().map_err(|_| last_error())?;
    match nix::unistd::close(copy) {
        // It is closed all the same.
        Ok(()) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_file_can_be_put_on_its_disk_piece_by_piece_and_stays_open() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        begin(file.as_fd(), 0, 8192).unwrap();
        begin(file.as_fd(), 8192, u64::MAX >> 2).unwrap();
        deliver(file.as_fd()).unwrap();
        file.write_all(b"more").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10_004);
    }

    #[test]
    fn what_has_no_disk_is_refused_with_the_kernels_reason() {
        let (_reader, writer) = std::io::pipe().unwrap();
        assert_eq!(begin(writer.as_fd(), 0, 1), Err(Errno::SPIPE));
        assert_eq!(begin(writer.as_fd(), u64::MAX, 1), Err(Errno::INVAL));
    }

    /// The kernel's own end of the line: every write to it is refused.
    #[test]
    fn a_local_disk_has_said_at_the_write_what_it_does_not_take() {
        let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        assert!(full.write_all(b"x").is_err());
        deliver(full.as_fd()).unwrap();
    }
}
