//! Disks that are pulled: reads, writes and discards of an image fail with EIO while its file has the sticky bit.
//!
//! User-mode Linux cannot lose a disk that is in use: it reads zeros beyond an image's end, keeps an image open that was
//! removed, and its console, which could take a disk away, refuses to while it is mounted. So the fault is made where the
//! kernel meets the host. The sticky bit means nothing on a regular file, and a program in a machine cannot see it.
//!
//! The calls come from the kernel's I/O thread, whose stack is one page: nothing here needs much of it, or looks a symbol up
//! late (Rust links with `-z now`).

use core::mem::MaybeUninit;
use libc::{c_int, c_long, c_void, off64_t, size_t, ssize_t, stat};

/// Whether the file is the image of a disk that is pulled.
fn is_pulled(file: c_int) -> bool {
    let mut found = MaybeUninit::<stat>::uninit();
    // SAFETY: the kernel writes one stat to a local that lives across the call.
    if unsafe { libc::syscall(libc::SYS_fstat, c_long::from(file), found.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so it was written.
    let mode = unsafe { found.assume_init_ref() }.st_mode;
    mode & libc::S_IFMT == libc::S_IFREG && mode & libc::S_ISVTX != 0
}

/// Fails as a system call does.
fn input_output_error() -> c_int {
    // SAFETY: the thread's errno always exists.
    unsafe { *libc::__errno_location() = libc::EIO };
    -1
}

/// The C library's `pread64`.
///
/// # Safety
/// As pread(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread64(file: c_int, to: *mut c_void, count: size_t, at: off64_t) -> ssize_t {
    if is_pulled(file) {
        return input_output_error() as ssize_t;
    }
    // SAFETY: passed through as it came.
    unsafe { libc::syscall(libc::SYS_pread64, c_long::from(file), to, count, at) as ssize_t }
}

/// The C library's `pwrite64`.
///
/// # Safety
/// As pwrite(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(file: c_int, from: *const c_void, count: size_t, at: off64_t) -> ssize_t {
    if is_pulled(file) {
        return input_output_error() as ssize_t;
    }
    // SAFETY: passed through as it came.
    unsafe { libc::syscall(libc::SYS_pwrite64, c_long::from(file), from, count, at) as ssize_t }
}

/// The C library's `fallocate64`, by which discards and zeroes are made.
///
/// # Safety
/// As fallocate(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate64(file: c_int, mode: c_int, at: off64_t, count: off64_t) -> c_int {
    if is_pulled(file) {
        return input_output_error();
    }
    // SAFETY: passed through as it came.
    unsafe { libc::syscall(libc::SYS_fallocate, c_long::from(file), c_long::from(mode), at, count) as c_int }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::fs::Permissions;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileExt, PermissionsExt};

    // These functions are the test program's own `pread64` and so on: the standard library calls them.

    fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
        result.unwrap_err().raw_os_error()
    }

    #[test]
    fn a_pulled_disk_fails_every_call_and_is_whole_when_it_is_back() {
        let file = tempfile::tempfile().unwrap();
        let pull = |mode| file.set_permissions(Permissions::from_mode(mode)).unwrap();
        let mut read = [0; 4];
        file.write_all_at(b"data", 4096).unwrap();
        pull(0o1644);
        assert_eq!(errno(file.read_at(&mut read, 4096)), Some(libc::EIO));
        assert_eq!(errno(file.write_at(b"lost", 4096)), Some(libc::EIO));
        // SAFETY: the descriptor is open.
        let punched = unsafe { super::fallocate64(file.as_raw_fd(), libc::FALLOC_FL_ZERO_RANGE, 0, 8192) };
        assert_eq!((punched, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EIO)));
        pull(0o644);
        file.read_exact_at(&mut read, 4096).unwrap();
        assert_eq!(&read, b"data");
    }

    #[test]
    fn other_failures_keep_their_own_numbers() {
        let mut byte = [0u8];
        // SAFETY: the buffer has a byte; no such descriptor is open.
        let read = unsafe { super::pread64(-1, byte.as_mut_ptr().cast(), 1, 0) };
        assert_eq!((read, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EBADF)));
    }

    #[test]
    fn space_is_still_allocated_and_zeroed() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"data", 0).unwrap();
        // SAFETY: the descriptor is open.
        let done = unsafe { super::fallocate64(file.as_raw_fd(), libc::FALLOC_FL_ZERO_RANGE, 0, 4096) };
        let mut read = [1; 4];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!((done, read, file.metadata().unwrap().len()), (0, [0; 4], 4096));
    }
}
