//! What was transferred, looked at: every run's result is compared with its source.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// SHA-256, in base64 as headers have it.
pub fn sha256_of(content: &[u8]) -> String {
    BASE64_STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, content))
}

/// Every file below a folder: its path in it, with slashes, and where it is.
///
/// # Errors
/// What cannot be read.
pub fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).with_context(|| inner.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let key = path.strip_prefix(folder)?.to_str().context("a name is no text")?.to_owned();
            found.push((key, path));
        }
    }
    Ok(found)
}

/// Whether everything came over, and nothing else.
///
/// # Errors
/// What is missing, other or too much; what cannot be read.
pub fn same_contents(source: &Path, copy: &Path) -> Result<()> {
    let (sources, copies) = (files(source)?, files(copy)?);
    ensure!(sources.len() == copies.len(), "{} of {} files are there", copies.len(), sources.len());
    for (key, path) in sources {
        ensure!(fs::read(&path)? == fs::read(copy.join(&key))?, "{key} has another content");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_other_or_too_many_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (source, copy) = (folder.path().join("source"), folder.path().join("copy"));
        for tree in [&source, &copy] {
            fs::create_dir_all(tree.join("d")).unwrap();
            fs::write(tree.join("d/f"), "abc").unwrap();
            fs::write(tree.join("g"), "").unwrap();
        }
        same_contents(&source, &copy).unwrap();
        fs::write(copy.join("d/f"), "abd").unwrap();
        assert!(same_contents(&source, &copy).unwrap_err().to_string().contains("d/f"));
        fs::remove_file(copy.join("d/f")).unwrap();
        assert!(same_contents(&source, &copy).is_err());
        fs::write(copy.join("d/f"), "abc").unwrap();
        fs::write(copy.join("h"), "").unwrap();
        assert!(same_contents(&source, &copy).is_err());
    }

    #[test]
    fn a_digest_is_as_headers_have_it() {
        assert_eq!(sha256_of(b"hello world"), "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=");
    }
}
