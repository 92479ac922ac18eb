//! Reading a file past this machine's memory: by direct I/O where the file system is known to mean it, otherwise by asking the
//! kernel to forget what it has of the file, before and after.

use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl, fdatasync, fstatfs};
use rustix::io::{Errno, pread};

/// Satisfies every block device.
const ALIGNMENT: usize = 4096;
/// Read at once. Each worker has one such buffer.
const BUFFER_LEN: usize = 512 << 10;

/// Memory that direct I/O can read into.
#[derive(Debug)]
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    pub fn new() -> Self {
        // Of small files only the first pages are ever touched.
        Self(vec![0; BUFFER_LEN + ALIGNMENT])
    }

    fn aligned(&mut self) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(ALIGNMENT);
        self.0.get_mut(start..start.saturating_add(BUFFER_LEN)).unwrap_or_default()
    }
}

/// An open file, shared by the threads that read it.
#[derive(Debug)]
pub(super) struct Content {
    file: OwnedFd,
    direct: AtomicBool,
    /// Direct reads come from the disk or the server, whatever lies in memory.
    is_sure: bool,
}

impl Content {
    /// `direct` if it was opened with O_DIRECT.
    pub fn new(file: OwnedFd, direct: bool) -> Self {
        let is_sure = direct && fstatfs(&file).is_ok_and(|stat| means_direct(stat.f_type & 0xffff_ffff));
        Self { file, direct: AtomicBool::new(direct), is_sure }
    }

    /// Where reads could come from memory: all of it is on the disk, so that memory can be told to forget it.
    pub fn settle(&self) -> Result<(), Errno> {
        if self.is_sure { Ok(()) } else { fdatasync(&self.file) }
    }

    /// Hands over the bytes of a part that begins at a multiple of [`ALIGNMENT`]; fewer if the file ends before.
    pub fn read(
        &self,
        part: Range<u64>,
        buffer: &mut Buffer,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Errno> {
        // With direct I/O too: some file systems take it and read through the cache all the same. Where none is needed it is left
        // out: it can make every processor empty its lists of pages.
        if !self.is_sure || !self.direct.load(Ordering::Relaxed) {
            self.forget(&part);
        }
        let mut at = part.start;
        while at < part.end {
            let bytes = self.read_some(at..part.end, buffer)?;
            let wanted = usize::try_from(part.end - at).unwrap_or(usize::MAX).min(bytes.len());
            if wanted == 0 {
                break;
            }
            take(&bytes[..wanted]);
            at += wanted as u64;
        }
        if !self.direct.load(Ordering::Relaxed) {
            self.forget(&part);
        }
        Ok(())
    }

    /// Some bytes from the beginning of a part, and perhaps some beyond its end.
    fn read_some<'a>(&self, part: Range<u64>, buffer: &'a mut Buffer) -> Result<&'a [u8], Errno> {
        // No more than is wanted: what a direct read asks for beyond a file's end the kernel writes zeroes to.
        let wanted = usize::try_from(part.end - part.start).unwrap_or(BUFFER_LEN);
        let wanted = wanted.min(BUFFER_LEN).next_multiple_of(ALIGNMENT);
        let bytes = buffer.aligned().get_mut(..wanted).unwrap_or_default();
        let length = loop {
            match pread(&self.file, &mut *bytes, part.start) {
                Err(Errno::INTR) => {}
                // It took O_DIRECT when it was opened, but not for this; or a read ended between two blocks.
                Err(Errno::INVAL) if self.direct.swap(false, Ordering::Relaxed) => {
                    self.read_through_cache()?
                }
                read => break read?,
            }
        };
        Ok(bytes.get(..length).unwrap_or_default())
    }

    fn read_through_cache(&self) -> Result<(), Errno> {
        // What is not on the disk yet cannot be forgotten.
        fdatasync(&self.file)?;
        fcntl_setfl(&self.file, fcntl_getfl(&self.file)? - OFlags::DIRECT)
    }

    fn forget(&self, part: &Range<u64>) {
        let length = NonZeroU64::new(part.end.saturating_sub(part.start));
        // Advice: what is wrong with the file shows when it is read.
        let _ = fadvise(self.file.as_fd(), part.start, length, Advice::DontNeed);
    }
}

/// Whether a file system of this kind (statfs(2)) never answers a direct read from memory. ext4 does where data goes through its
/// journal, btrfs where data is compressed, FUSE where its program likes.
fn means_direct(magic: i64) -> bool {
    const XFS: i64 = 0x5846_5342;
    const NFS: i64 = 0x6969;
    matches!(magic, XFS | NFS)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn every_part_is_read_whole_whether_the_file_system_takes_direct_reads_or_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..2 * BUFFER_LEN as u32 + 1234).map(|n| (n >> 6) as u8).collect();
        std::fs::write(file.path(), &content).unwrap();
        let size = content.len() as u64;
        let mut buffer = Buffer::new();
        assert_eq!(buffer.aligned().as_ptr().align_offset(ALIGNMENT), 0);
        // The last one says that it is direct and is not: then nothing refuses, and all is read.
        for (flags, direct) in [(OFlags::empty(), false), (OFlags::DIRECT, true), (OFlags::empty(), true)] {
            let opened = rustix::fs::open(file.path(), OFlags::RDONLY | flags, rustix::fs::Mode::empty());
            let file = Content::new(opened.unwrap(), direct);
            for part in [0..size, 0..1, 4096..size, 0..size + 9999, 8192..8192, (size & !4095)..size] {
                let mut read = Vec::new();
                file.read(part.clone(), &mut buffer, |bytes| read.extend_from_slice(bytes)).unwrap();
                let end = (part.end as usize).min(content.len());
                assert!(read == content[part.start as usize..end], "{part:?}, {flags:?}");
            }
        }
    }

    #[test]
    fn a_file_that_refuses_a_direct_read_is_read_through_the_cache() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 10_000]).unwrap();
        let opened =
            rustix::fs::open(file.path(), OFlags::RDONLY | OFlags::DIRECT, rustix::fs::Mode::empty());
        let content = Content::new(opened.unwrap(), true);
        let mut buffer = Buffer::new();
        // From no multiple of any block's length: disks refuse it, tmpfs takes it.
        let refused = pread(&content.file, buffer.aligned(), 1) == Err(Errno::INVAL);
        let mut read = 0;
        content.read(1..10_000, &mut buffer, |bytes| read += bytes.len()).unwrap();
        assert_eq!(read, 9_999);
        assert_eq!(content.direct.load(Ordering::Relaxed), !refused);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let write_only = File::create(tempfile::tempdir().unwrap().path().join("f")).unwrap();
        let content = Content::new(write_only.into(), false);
        assert_eq!(content.read(0..1, &mut Buffer::new(), |_| ()), Err(Errno::BADF));
    }
}
