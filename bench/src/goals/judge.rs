//! Whether what was made is what was to be made: a fast wrong copy is none. rsync judges, with checksums, in no relation to
//! our own code; outside the time that is measured.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// How much of a complaint is told.
const TOLD_MAX: usize = 10;

/// Fails unless rsync finds nothing to do: content, names, types, modes, owners and times are equal.
///
/// # Errors
/// What differs.
pub fn equal(source: &Path, destination: &Path) -> Result<()> {
    ensure!(destination.is_dir(), "there is no copy at all");
    let output = Command::new("rsync")
        .args(["--archive", "--checksum", "--delete", "--dry-run", "--itemize-changes"])
        .arg(source.join(""))
        .arg(destination.join(""))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("cannot start rsync")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "rsync: {}", String::from_utf8_lossy(&output.stderr).trim());
    if said.is_empty() {
        return Ok(());
    }
    let lines: Vec<&str> = said.lines().collect();
    let told = lines[..lines.len().min(TOLD_MAX)].join("\n");
    bail!("the copy differs from its source in {} place(s), as rsync tells it:\n{told}", lines.len());
}

/// Changes one file of each kind of change, so that a refresh which only says that it looked is found out: content, time,
/// a new name, a name that is gone. The number of files stays.
///
/// # Errors
/// What could not be changed.
pub fn change(tree: &Path) -> Result<()> {
    let victims = some_files(tree, 4)?;
    let [content, time, gone, folder] = victims.as_slice() else {
        bail!("{} has fewer than four files", tree.display());
    };
    let mut file = File::options().append(true).open(content)?;
    file.write_all(b"more")?;
    let now = std::time::SystemTime::now();
    File::options().write(true).open(time)?.set_modified(now)?;
    fs::remove_file(gone)?;
    fs::write(folder.with_extension("new"), "a new one")?;
    Ok(())
}

/// Changes one file in a hundred: the first bytes of it, and with them its time. Each call makes them others.
///
/// # Errors
/// What could not be changed.
pub fn rewrite_some(tree: &Path) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    for path in some_files(tree, usize::MAX)?.iter().step_by(100) {
        let file = File::options().write(true).open(path).with_context(|| path.display().to_string())?;
        file.write_all_at(&now.as_nanos().to_le_bytes(), 0)?;
    }
    Ok(())
}

/// The first `count` files that are met.
fn some_files(tree: &Path, count: usize) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![tree.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => directories.push(entry.path()),
                false => files.push(entry.path()),
            }
            if files.len() == count {
                return Ok(files);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// With rsync itself: Debian's package, which `cargo xtask test` installs.
    #[test]
    fn one_byte_in_a_file_of_the_same_size_and_time_is_a_difference_and_so_is_a_missing_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (source, copy) = (folder.path().join("source"), folder.path().join("copy"));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        let write = |tree: &Path, content: &str| {
            fs::create_dir_all(tree.join("d")).unwrap();
            fs::write(tree.join("d/file"), content).unwrap();
            for path in [tree.join("d/file"), tree.join("d"), tree.to_owned()] {
                File::open(path).unwrap().set_modified(time).unwrap();
            }
        };
        write(&source, "abc");
        assert!(equal(&source, &copy).is_err());
        write(&copy, "abc");
        equal(&source, &copy).unwrap();
        write(&copy, "abd");
        let told = equal(&source, &copy).unwrap_err().to_string();
        assert!(told.contains("in 1 place(s)") && told.contains("d/file"), "{told}");
    }

    #[test]
    fn files_are_found_below_directories_and_no_more_than_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().to_owned();
        fs::create_dir_all(tree.join("a/b")).unwrap();
        for name in ["a/1", "a/b/2", "a/b/3"] {
            fs::write(tree.join(name), name).unwrap();
        }
        assert_eq!(some_files(&tree, 2).unwrap().len(), 2);
        assert_eq!(some_files(&tree, 9).unwrap().len(), 3);
        assert!(change(&tree).is_err(), "three files are too few");
        fs::write(tree.join("4"), "").unwrap();
        let sizes = || -> u64 {
            let files = some_files(&tree, 9).unwrap();
            assert_eq!(files.len(), 4);
            files.iter().map(|file| fs::metadata(file).unwrap().len()).sum()
        };
        let before = sizes();
        change(&tree).unwrap();
        assert_ne!(sizes(), before);
    }
}
