//! A folder as one stream: a tar or a zip that is made while it is sent. Links are told as links and never followed. What
//! changes so that the stream would lie ends it where it is, visibly broken; what may not be read is named in a file at
//! the end.

mod pipe;
mod spool;
mod tar;
mod zip;

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::readlinkat;
use rustix::io::Errno;
use serde::Deserialize;
use workspacefs_files_proto::types::EntryType;

pub use self::pipe::{Pipe, pipe};
use crate::error::Error;
use crate::facts::Facts;
use crate::root::{Root, regular};
use crate::walk::{Step, Walk};

const LEFT_OUT: &[u8] = b"LEFT-OUT.txt";
const LEFT_OUT_BYTES_MAX: usize = 64 * 1024;

/// Which form.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Stored, not compressed; names keep their bytes, but for backslashes.
    #[default]
    Zip,
    /// GNU tar.
    Tar,
}

impl Format {
    /// Media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Zip => "application/zip",
            Self::Tar => "application/x-tar",
        }
    }
}

/// A form of archive that is being written.
trait Archive {
    fn folder(&mut self, path: &[u8], facts: &Facts) -> io::Result<()>;
    fn link(&mut self, path: &[u8], facts: &Facts, target: &[u8]) -> io::Result<()>;
    /// `content` gives `facts.size` bytes or fails.
    fn file(&mut self, path: &[u8], facts: &Facts, content: &mut dyn Read) -> io::Result<()>;
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Writes the contents of `folder` below `name` into the pipe.
///
/// # Errors
/// The archive is broken then, and must be seen to be.
pub fn write(root: &Arc<Root>, folder: &OwnedFd, name: &[u8], format: Format, pipe: Pipe) -> io::Result<()> {
    let mut archive = begun(root, format, pipe);
    let mut walk = Walk::new(folder.as_fd()).map_err(io::Error::other)?.hiding(root);
    let mut left_out = LeftOut::default();
    if !name.is_empty() {
        archive.folder(name, &Facts::of(folder)?)?;
    }
    while let Some(step) = walk.next().map_err(io::Error::other)? {
        match step {
            Step::Closed(path) => left_out.add(&path),
            Step::Entry(found) => {
                let folder = walk.folder().ok_or_else(|| io::Error::other("the folder is gone"))?;
                let path = joined(name, &found.path);
                match found.facts.kind {
                    EntryType::Dir => archive.folder(&path, &found.facts)?,
                    EntryType::Symlink => match readlinkat(folder, found.name(), Vec::new()) {
                        Ok(target) => archive.link(&path, &found.facts, target.as_bytes())?,
                        Err(Errno::NOENT | Errno::INVAL) => {}
                        Err(errno) => return Err(errno.into()),
                    },
                    EntryType::File => match regular(folder, found.name()) {
                        Ok((file, facts)) => {
                            let mut content = Exact { file, left: facts.size };
                            archive.file(&path, &facts, &mut content)?;
                        }
                        Err(Error::Denied { .. }) => left_out.add(&found.path),
                        // Gone, or something else by now.
                        Err(Error::NotFound | Error::NotRegular | Error::IsDirectory) => {}
                        Err(error) => return Err(io::Error::other(error)),
                    },
                    EntryType::Other => {}
                }
            }
        }
    }
    if left_out.count > 0 {
        left_out.write(archive.as_mut(), name, &Facts::of(folder)?)?;
    }
    archive.finish()
}

fn begun(root: &Arc<Root>, format: Format, pipe: Pipe) -> Box<dyn Archive> {
    match format {
        Format::Zip => Box::new(zip::Zip::new(root, pipe)),
        Format::Tar => Box::new(tar::Tar::new(pipe)),
    }
}

fn joined(name: &[u8], path: &[u8]) -> Vec<u8> {
    if name.is_empty() { path.to_vec() } else { [name, path].join(&b'/') }
}

/// What may not be read.
#[derive(Default)]
struct LeftOut {
    names: Vec<u8>,
    count: u64,
}

impl LeftOut {
    fn add(&mut self, path: &[u8]) {
        self.count += 1;
        if self.names.len() < LEFT_OUT_BYTES_MAX {
            self.names.extend_from_slice(path);
            self.names.push(b'\n');
        }
    }

    fn write(&self, archive: &mut dyn Archive, name: &[u8], folder: &Facts) -> io::Result<()> {
        let head = format!("The file system refuses to read {} of these files and folders:\n", self.count);
        let text = [head.as_bytes(), &self.names].concat();
        let facts = Facts { kind: EntryType::File, size: text.len() as u64, mode: 0o644, ..*folder };
        archive.file(&joined(name, LEFT_OUT), &facts, &mut &text[..])
    }
}

/// As many bytes as the file had when it was opened; a file that became shorter is an error.
struct Exact {
    file: OwnedFd,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = rustix::io::read(&self.file, &mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a file became shorter while it was read",
            ));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
