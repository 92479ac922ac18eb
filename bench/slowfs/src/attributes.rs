//! Attributes as the folder below has them, in the words of FUSE, and back.

use std::time::{Duration, SystemTime};

use fuser::{FileAttr, INodeNo, TimeOrNow};
use rustix::fs::{FileType, Stat, Timespec, UTIME_NOW, UTIME_OMIT};

/// What the kernel is told of a file.
pub fn told(stat: &Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(stat.st_ino),
        size: stat.st_size.unsigned_abs(),
        blocks: stat.st_blocks.unsigned_abs(),
        atime: system_time(stat.st_atime, stat.st_atime_nsec),
        mtime: system_time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: system_time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: encoded_device(stat.st_rdev),
        blksize: stat.st_blksize as u32,
        flags: 0,
    }
}

/// The type of a file; what no listing names is taken for a regular one.
pub fn kind(kind: FileType) -> fuser::FileType {
    match kind {
        FileType::Directory => fuser::FileType::Directory,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::Fifo => fuser::FileType::NamedPipe,
        FileType::Socket => fuser::FileType::Socket,
        FileType::CharacterDevice => fuser::FileType::CharDevice,
        FileType::BlockDevice => fuser::FileType::BlockDevice,
        FileType::RegularFile | FileType::Unknown => fuser::FileType::RegularFile,
    }
}

/// A device's number in the 32 bits that the protocol has for it: 12 of the major, 20 of the minor, in the kernel's order.
fn encoded_device(device: u64) -> u32 {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The device of that number.
pub fn decoded_device(encoded: u32) -> u64 {
    rustix::fs::makedev((encoded >> 8) & 0xfff, (encoded & 0xff) | ((encoded >> 12) & !0xff))
}

fn system_time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let nanoseconds = Duration::from_nanos(nanoseconds);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH - whole + nanoseconds
    } else {
        SystemTime::UNIX_EPOCH + whole + nanoseconds
    }
}

/// What a time is to be set to; None leaves it.
pub fn wanted(time: Option<TimeOrNow>) -> Timespec {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    match time {
        None => special(UTIME_OMIT),
        Some(TimeOrNow::Now) => special(UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => {
                Timespec { tv_sec: after.as_secs().cast_signed(), tv_nsec: i64::from(after.subsec_nanos()) }
            }
            // Before 1970, fuser 0.18 takes the nanoseconds off where the protocol adds them: this takes them back.
            Err(before) => Timespec {
                tv_sec: -before.duration().as_secs().cast_signed(),
                tv_nsec: i64::from(before.duration().subsec_nanos()),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_their_nanoseconds_forwards() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(system_time(-2, 800_000_000), epoch - Duration::from_millis(1200));
        assert_eq!(system_time(2, 800_000_000), epoch + Duration::from_millis(2800));
        assert_eq!(system_time(-1, 0), epoch - Duration::from_secs(1));
    }

    #[test]
    fn a_time_is_set_left_or_now() {
        let both = |time| {
            let wanted = wanted(time);
            (wanted.tv_sec, wanted.tv_nsec)
        };
        let at = |time| Some(TimeOrNow::SpecificTime(time));
        assert_eq!(both(None), (0, UTIME_OMIT));
        assert_eq!(both(Some(TimeOrNow::Now)), (0, UTIME_NOW));
        assert_eq!(both(at(SystemTime::UNIX_EPOCH + Duration::from_millis(1500))), (1, 500_000_000));
        // As fuser makes it of -2 s and 800,000,000 ns.
        assert_eq!(both(at(SystemTime::UNIX_EPOCH - Duration::from_millis(2800))), (-2, 800_000_000));
    }

    #[test]
    fn device_numbers_come_back() {
        for (major, minor) in [(0, 0), (1, 3), (8, 17), (259, 0xfffff), (0xfff, 0x12345)] {
            let device = rustix::fs::makedev(major, minor);
            assert_eq!(decoded_device(encoded_device(device)), device, "{major}:{minor}");
        }
    }
}
