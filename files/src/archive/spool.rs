//! Bytes that are needed once more at the end: in memory while they are few, then in a file that nobody sees. A zip lists
//! all its files at its end, and there may be millions.

use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::root::Root;
use crate::write::NewFile;

const MEMORY_BYTES_MAX: usize = 1 << 20;

pub(super) struct Spool {
    root: Arc<Root>,
    memory: Vec<u8>,
    file: Option<NewFile>,
    in_file: u64,
}

impl Spool {
    pub fn new(root: &Arc<Root>) -> Self {
        Self { root: Arc::clone(root), memory: Vec::new(), file: None, in_file: 0 }
    }

    pub fn len(&self) -> u64 {
        self.in_file + self.memory.len() as u64
    }

    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(bytes);
        if self.memory.len() < MEMORY_BYTES_MAX {
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => NewFile::create(&self.root).map_err(io::Error::other)?,
        };
        file.write_at(&self.memory, self.in_file).map_err(io::Error::other)?;
        self.in_file += self.memory.len() as u64;
        self.memory.clear();
        self.file = Some(file);
        Ok(())
    }

    /// Everything, in order.
    pub fn copy_to(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(file) = &self.file {
            let mut buffer = vec![0; 64 * 1024];
            let mut at = 0;
            while at < self.in_file {
                let piece = buffer.len().min(usize::try_from(self.in_file - at).unwrap_or(usize::MAX));
                file.file().read_exact_at(&mut buffer[..piece], at)?;
                out.write_all(&buffer[..piece])?;
                at += piece as u64;
            }
        }
        out.write_all(&self.memory)
    }
}
