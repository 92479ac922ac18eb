//! The calls of the kernel that write, in one place, so that tests can let one of them say what a server would.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, StatxFlags, copy_file_range, fsync, ftruncate, statx, syncfs};
use rustix::io::{Errno, pwrite};
use workspacefs_sys::writeback;

/// Fewer zeros are written as they are.
const HOLE_BYTES_MIN: usize = 64 << 10;

/// pwrite(2).
pub(crate) fn write(file: BorrowedFd<'_>, bytes: &[u8], at: u64) -> Result<usize, Errno> {
    told(Call::Write)?;
    pwrite(file, bytes, at)
}

/// Zeros that belong at the end of a file: it is as much longer, and they take no room. False where they have to be written.
pub(crate) fn lengthen(file: BorrowedFd<'_>, bytes: &[u8], at: u64) -> Result<bool, Errno> {
    if bytes.len() < HOLE_BYTES_MIN || !is_zero(bytes) {
        return Ok(false);
    }
    // What lies behind the end, perhaps of a piece that could not be taken back, would show again.
    if statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::SIZE)?.stx_size != at {
        return Ok(false);
    }
    told(Call::Write)?;
    ftruncate(file, at + bytes.len() as u64)?;
    Ok(true)
}

/// The first is, and each other one is as the one before it: one comparison that ends at the first difference.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0) && bytes[1..] == bytes[..bytes.len() - 1]
}

/// copy_file_range(2), from and to the same place.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, at: u64, bytes: usize) -> Result<usize, Errno> {
    told(Call::Write)?;
    let (mut read, mut written) = (at, at);
    copy_file_range(from, Some(&mut read), to, Some(&mut written), bytes)
}

/// fsync(2).
pub(crate) fn settle(file: BorrowedFd<'_>) -> Result<(), Errno> {
    told(Call::Settle)?;
    fsync(file)
}

/// What close(2) says.
pub(crate) fn deliver(file: BorrowedFd<'_>) -> Result<(), Errno> {
    told(Call::Settle)?;
    writeback::deliver(file)
}

/// syncfs(2).
pub(crate) fn settle_all(file_system: BorrowedFd<'_>) -> Result<(), Errno> {
    told(Call::SettleAll)?;
    syncfs(file_system)
}

/// What is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    Write,
    Settle,
    SettleAll,
}

#[cfg(not(test))]
fn told(_: Call) -> Result<(), Errno> {
    Ok(())
}

#[cfg(test)]
use self::faults::told;

/// Faults of the calls that the test's own thread makes.
#[cfg(test)]
pub(crate) mod faults {
    use std::cell::RefCell;

    use rustix::io::Errno;

    use super::Call;

    thread_local! {
        static FAULTS: RefCell<Vec<(Call, usize, Errno)>> = const { RefCell::new(Vec::new()) };
    }

    /// After so many calls of a kind that go well, one does not.
    pub(crate) fn after(call: Call, well: usize, errno: Errno) {
        FAULTS.with_borrow_mut(|faults| faults.push((call, well, errno)));
    }

    pub(super) fn told(call: Call) -> Result<(), Errno> {
        FAULTS.with_borrow_mut(|faults| {
            let Some(next) = faults.iter().position(|(of, ..)| *of == call) else { return Ok(()) };
            match &mut faults[next] {
                (_, 0, errno) => {
                    let errno = *errno;
                    faults.remove(next);
                    Err(errno)
                }
                (_, well, _) => {
                    *well -= 1;
                    Ok(())
                }
            }
        })
    }
}
