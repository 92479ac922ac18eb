//! The records of this node's shares: one small file each on tmpfs, written before the mount and removed after the
//! unmount, so that a plugin that starts anew knows what is mounted where. They vanish at reboot, as mounts do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ShareKey, ShareSpec};

/// Writes `bytes` to `path` so that readers see the old file or the new one. No fsync: the file lives on tmpfs.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

/// Removes a record; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The records in a folder, which is made if it is missing. What a process left that was killed while it wrote is removed.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let mut records = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => records.push(path),
            Some("tmp") => remove(&path)?,
            _ => {}
        }
    }
    Ok(records)
}

/// The folder with the shares' records.
#[derive(Debug)]
pub(super) struct ShareRecords(PathBuf);

impl ShareRecords {
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    pub fn write(&self, key: &ShareKey, spec: &ShareSpec) -> io::Result<()> {
        replace(&self.path(key), &serde_json::to_vec(spec)?)
    }

    pub fn remove(&self, key: &ShareKey) -> io::Result<()> {
        remove(&self.path(key))
    }

    /// Every share with a readable record. What does not say the share it is named after is left alone and not believed.
    pub fn read_all(&self) -> io::Result<Vec<(ShareKey, ShareSpec)>> {
        let mut found = Vec::new();
        for path in list(&self.0)? {
            let key = path.file_stem().and_then(|n| n.to_str()).and_then(ShareKey::parse);
            match serde_json::from_slice::<ShareSpec>(&fs::read(&path)?) {
                Ok(spec) if Some(spec.key()) == key => found.push((spec.key(), spec)),
                _ => {
                    tracing::warn!(record = %path.display(), "the record of a share is damaged and is passed over")
                }
            }
        }
        Ok(found)
    }

    fn path(&self, key: &ShareKey) -> PathBuf {
        self.0.join(format!("{key}.json"))
    }
}
