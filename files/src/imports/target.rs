//! Where imported files go. INTERIM until `write` is there.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use md5::Digest as _;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, fstat, futimens, mkdirat, renameat,
    unlinkat,
};
use rustix::io::Errno;
use workspacefs_files_proto::FilePath;
use workspacefs_sys::beneath::resolved;

#[derive(Clone, Debug)]
pub(crate) struct Target {
    root: Arc<OwnedFd>,
    next: Arc<AtomicU64>,
}

pub(crate) struct Writing {
    target: Target,
    file: OwnedFd,
    name: String,
    placed: bool,
}

pub(crate) struct Found {
    file: OwnedFd,
    stat: rustix::fs::Stat,
}

const RULES: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

impl Target {
    pub fn new(root: OwnedFd) -> Self {
        Self { root: Arc::new(root), next: Arc::default() }
    }

    pub fn check(&self, path: &FilePath) -> Result<(), Errno> {
        if path.is_root() {
            return Ok(());
        }
        match resolved(
            self.root.as_fd(),
            path.as_bytes(),
            OFlags::PATH | OFlags::DIRECTORY,
            Mode::empty(),
            RULES,
        ) {
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    pub fn folder(&self, path: &FilePath) -> Result<bool, Errno> {
        let mut at = FilePath::default();
        let mut made = false;
        for name in path.segments() {
            let parent = self.open_folder(&at)?;
            match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => made = true,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            at.push(name).map_err(|_| Errno::INVAL)?;
        }
        self.open_folder(&at)?;
        Ok(made)
    }

    fn open_folder(&self, path: &FilePath) -> Result<OwnedFd, Errno> {
        let path = if path.is_root() { &b"."[..] } else { path.as_bytes() };
        resolved(self.root.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty(), RULES)
    }

    pub fn find(&self, path: &FilePath) -> Result<Option<Found>, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match resolved(self.root.as_fd(), path.as_bytes(), flags, Mode::empty(), RULES) {
            Ok(file) => {
                let stat = fstat(&file)?;
                Ok((FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
                    .then_some(Found { file, stat }))
            }
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    pub fn begin(&self, _size: u64) -> Result<Writing, Errno> {
        let name = format!(".tmp-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.root.as_fd(), &name, flags, Mode::from_raw_mode(0o644))?;
        Ok(Writing { target: self.clone(), file, name, placed: false })
    }
}

impl Writing {
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let n = rustix::io::write(&self.file, bytes)?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    pub fn place(mut self, path: &FilePath, modified: Timespec) -> Result<(), Errno> {
        let (folder, name) = path.split().ok_or(Errno::ISDIR)?;
        self.target.folder(&folder)?;
        let folder = self.target.open_folder(&folder)?;
        futimens(&self.file, &Timestamps { last_access: modified, last_modification: modified })?;
        renameat(self.target.root.as_fd(), &self.name, &folder, name)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.placed {
            let _ = unlinkat(self.target.root.as_fd(), &self.name, AtFlags::empty());
        }
    }
}

impl Found {
    pub fn size(&self) -> u64 {
        self.stat.st_size as u64
    }
    pub fn modified(&self) -> Timespec {
        Timespec { tv_sec: self.stat.st_mtime, tv_nsec: self.stat.st_mtime_nsec as i64 }
    }
    pub fn has_md5(self, digest: &[u8; 16], stop: &dyn Fn() -> bool) -> Result<bool, Errno> {
        let mut hasher = md5::Md5::new();
        let mut file = std::fs::File::from(self.file);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let n =
                file.read(&mut buffer).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            if n == 0 {
                break;
            }
            if stop() {
                return Ok(false);
            }
            hasher.update(&buffer[..n]);
        }
        Ok(hasher.finalize()[..] == digest[..])
    }
}
