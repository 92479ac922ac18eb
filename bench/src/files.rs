//! Very many files, as quickly as they can be made: empty ones, a thousand a directory.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};

/// Files of one directory.
const PER_DIRECTORY: usize = 1000;

/// Makes the files numbered `from..to` beneath a folder, which has those before them.
///
/// # Errors
/// The file or directory that could not be made.
pub fn make(folder: &Path, from: usize, to: usize) -> Result<()> {
    for number in from..to {
        let directory = folder.join(format!("d{}", number / PER_DIRECTORY));
        if number % PER_DIRECTORY == 0 {
            fs::create_dir(&directory).with_context(|| format!("{}", directory.display()))?;
        }
        let file = directory.join(format!("f{number}"));
        File::create(&file).with_context(|| format!("{}", file.display()))?;
    }
    Ok(())
}
