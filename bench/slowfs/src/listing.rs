//! Answers to who lists a directory: names from one place on, until the answer is full.

use std::os::fd::AsFd as _;

use fuser::{FileHandle, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use rustix::fs::fstat;
use rustix::io::{Errno, Result};

use crate::attributes::{kind, told};
use crate::filesystem::{BELIEVED, GENERATION};
use crate::lower::Lower;

/// Adds names.
pub fn fill(lower: &Lower, handle: FileHandle, offset: u64, reply: &mut ReplyDirectory) -> Result<()> {
    let entries = lower.directories.get(handle)?.entries(offset)?;
    for (place, entry) in (offset + 1..).zip(entries.iter().skip(offset as usize)) {
        if reply.add(INodeNo(entry.number), place, kind(entry.kind), &entry.name) {
            break;
        }
    }
    Ok(())
}

/// Adds names with their attributes: the kernel knows each of these files then, as if it had looked it up.
pub fn fill_plus(
    lower: &Lower,
    (number, handle): (INodeNo, FileHandle),
    offset: u64,
    reply: &mut ReplyDirectoryPlus,
) -> Result<()> {
    let directory = lower.directories.get(handle)?;
    let entries = directory.entries(offset)?;
    for (place, entry) in (offset + 1..).zip(entries.iter().skip(offset as usize)) {
        let attributes = if entry.is_dots() {
            // Of these the kernel takes no note but the number.
            let mut attributes = told(&fstat(directory.as_fd())?);
            attributes.ino = INodeNo(entry.number);
            attributes
        } else {
            match lower.nodes.look_up(number, directory.as_fd(), &entry.name) {
                Ok(stat) => told(&stat),
                // Removed since.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            }
        };
        if reply.add(attributes.ino, place, &entry.name, &BELIEVED, &attributes, GENERATION) {
            // It did not fit in: the kernel is not told of it.
            if !entry.is_dots() {
                lower.nodes.forget(attributes.ino, 1);
            }
            break;
        }
    }
    Ok(())
}
