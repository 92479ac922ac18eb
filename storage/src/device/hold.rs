//! Taking a device for us alone. The kernel tells whether somebody uses it: but whoever asks is, for that moment, somebody who
//! uses it. So those who ask come one after the other, by a lock on the device's node, which udev and systemd respect too.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use workspacefs_sys::Errno;

use super::DeviceError;

/// A look takes a fraction of it. What takes longer, formatting, is not waited for: a disk in use must be answered for in time.
const WAIT_MAX: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// Nobody else begins to use the device as long as this is there.
#[derive(Debug)]
pub struct Hold {
    _exclusive: OwnedFd,
    lock: Lock,
}

/// No other process that asks for it gets a [`Hold`]; the device itself can be opened by anybody.
#[derive(Debug)]
pub struct Lock {
    _node: OwnedFd,
}

impl Hold {
    /// O_EXCL on a block device: the kernel refuses it to all but one, be that a mount in any namespace, swap, or a device made of
    /// it. See open(2), and flock(2) for the lock.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] if it is used, [`DeviceError::Locked`] if another process holds it just now.
    pub fn take(path: &Path) -> Result<Self, DeviceError> {
        let lock = Lock::take(path)?;
        match open(path, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty()) {
            Ok(exclusive) => Ok(Self { _exclusive: exclusive, lock }),
            Err(Errno::BUSY) => Err(DeviceError::Busy),
            Err(errno) => Err(DeviceError::Io("opened", errno.into())),
        }
    }

    /// For a program that wants the device for itself.
    pub fn into_lock(self) -> Lock {
        self.lock
    }
}

impl Lock {
    /// Waits for others a little.
    ///
    /// # Errors
    /// [`DeviceError::Locked`] if another process holds it for longer.
    pub fn take(path: &Path) -> Result<Self, DeviceError> {
        let failed = |errno: Errno| DeviceError::Io("opened", errno.into());
        let node = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        let began = Instant::now();
        loop {
            match flock(&node, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _node: node }),
                Err(Errno::WOULDBLOCK) if began.elapsed() < WAIT_MAX => std::thread::sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => return Err(DeviceError::Locked),
                Err(errno) => return Err(failed(errno)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A loop device on a file of its own; needs root, as all tests of mounts here.
    struct Loop(String, #[expect(dead_code)] tempfile::NamedTempFile);

    impl Loop {
        fn new() -> Self {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(1 << 20).unwrap();
            let output =
                Command::new("losetup").args(["--find", "--show"]).arg(file.path()).output().unwrap();
            assert!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr));
            Self(String::from_utf8(output.stdout).unwrap().trim().to_owned(), file)
        }
    }

    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = Command::new("losetup").args(["--detach", &self.0]).status();
        }
    }

    #[test]
    fn two_that_look_at_one_disk_at_the_same_time_come_one_after_the_other_and_neither_finds_it_used() {
        let device = Loop::new();
        let look = || {
            for _ in 0..50 {
                let hold = Hold::take(Path::new(&device.0)).unwrap();
                std::thread::sleep(Duration::from_millis(1));
                drop(hold);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(look);
            scope.spawn(look);
        });
    }

    #[test]
    fn a_disk_that_is_used_and_one_that_is_held_for_long_are_told_apart() {
        let device = Loop::new();
        let path = Path::new(&device.0);
        let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
        let user = open(path, flags, Mode::empty()).unwrap();
        assert!(matches!(Hold::take(path), Err(DeviceError::Busy)));
        drop(user);
        let lock = Hold::take(path).unwrap().into_lock();
        assert!(open(path, flags, Mode::empty()).is_ok(), "a program can take it");
        assert!(matches!(Hold::take(path), Err(DeviceError::Locked)));
        drop(lock);
        Hold::take(path).unwrap();
    }
}
