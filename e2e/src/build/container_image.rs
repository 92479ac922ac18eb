//! Container images as docker-archive tars, written without a container engine: one layer, fixed times, so that the
//! same files give the same bytes.

use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An image that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the image {reference} to {}", path.display())]
pub struct ImageError {
    reference: String,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// One file, folder or link in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file with its content.
    File {
        /// Path without the leading slash.
        path: String,
        /// Permission bits.
        mode: u32,
        /// The bytes.
        content: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// Path without the leading slash.
        path: String,
        /// What it points to.
        target: String,
    },
    /// A folder; the parents of files need none.
    Folder {
        /// Path without the leading slash.
        path: String,
        /// Permission bits.
        mode: u32,
    },
}

impl Entry {
    /// Everything beneath a folder, sorted, so that the same tree gives the same bytes.
    pub fn tree(root: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        add_tree(root, "", &mut entries)?;
        Ok(entries)
    }
}

fn add_tree(root: &Path, beneath: &str, entries: &mut Vec<Entry>) -> io::Result<()> {
    let mut found = fs::read_dir(root.join(beneath))?.collect::<io::Result<Vec<_>>>()?;
    found.sort_by_key(|entry| entry.file_name());
    for entry in found {
        let name = entry.file_name().into_string().map_err(|name| io::Error::other(format!("{name:?}")))?;
        let path = if beneath.is_empty() { name } else { format!("{beneath}/{name}") };
        let metadata = entry.metadata()?;
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_symlink() {
            let target = fs::read_link(entry.path())?.to_string_lossy().into_owned();
            entries.push(Entry::Link { path, target });
        } else if metadata.is_dir() {
            entries.push(Entry::Folder { path: path.clone(), mode });
            add_tree(root, &path, entries)?;
        } else {
            entries.push(Entry::File { path, mode, content: fs::read(entry.path())? });
        }
    }
    Ok(())
}

/// An image to be written.
#[derive(Debug, Clone, Default)]
pub struct ContainerImage {
    /// Name and tag: `workspacefs.io/busybox:dev`.
    pub reference: String,
    /// The file system.
    pub entries: Vec<Entry>,
    /// What runs when a pod names no command.
    pub entrypoint: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
}

impl ContainerImage {
    /// Writes the archive, replacing what is there.
    pub fn write(&self, path: &Path) -> Result<(), ImageError> {
        self.write_io(path).map_err(|source| ImageError {
            reference: self.reference.clone(),
            path: path.to_owned(),
            source,
        })
    }

    fn write_io(&self, path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let layer = self.layer()?;
        let layer_name = format!("{}.tar", hex(&layer));
        let config = self.config(&layer);
        let config_name = format!("{}.json", hex(&config));
        let manifest =
            json!([{ "Config": config_name, "RepoTags": [self.reference], "Layers": [layer_name] }])
                .to_string();
        let mut archive = tar::Builder::new(BufWriter::new(File::create(path)?));
        append_file(&mut archive, &config_name, 0o644, &config)?;
        append_file(&mut archive, &layer_name, 0o644, &layer)?;
        append_file(&mut archive, "manifest.json", 0o644, manifest.as_bytes())?;
        archive.into_inner()?.into_inner()?.sync_all()
    }

    fn layer(&self) -> io::Result<Vec<u8>> {
        let mut layer = tar::Builder::new(Vec::new());
        let mut folders = BTreeSet::new();
        for entry in &self.entries {
            let (Entry::File { path, .. } | Entry::Link { path, .. } | Entry::Folder { path, .. }) = entry;
            for parent in parents(path) {
                if folders.insert(parent.to_owned()) {
                    append_folder(&mut layer, parent, 0o755)?;
                }
            }
            match entry {
                Entry::File { path, mode, content } => append_file(&mut layer, path, *mode, content)?,
                Entry::Link { path, target } => append_link(&mut layer, path, target)?,
                Entry::Folder { path, mode } => {
                    if folders.insert(path.clone()) {
                        append_folder(&mut layer, path, *mode)?;
                    }
                }
            }
        }
        layer.into_inner()
    }

    fn config(&self, layer: &[u8]) -> Vec<u8> {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "Env": self.environment },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(layer))] },
        });
        config.to_string().into_bytes()
    }
}

/// The folders above a path, outermost first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(index, _)| &path[..index])
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append_file<W: io::Write>(
    to: &mut tar::Builder<W>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    to.append_data(&mut header(tar::EntryType::Regular, mode, content.len()), path, content)
}

fn append_folder<W: io::Write>(to: &mut tar::Builder<W>, path: &str, mode: u32) -> io::Result<()> {
    to.append_data(&mut header(tar::EntryType::Directory, mode, 0), format!("{path}/"), io::empty())
}

fn append_link<W: io::Write>(to: &mut tar::Builder<W>, path: &str, target: &str) -> io::Result<()> {
    to.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), path, target)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn image() -> ContainerImage {
        ContainerImage {
            reference: "example.test/x:dev".into(),
            entries: vec![
                Entry::File { path: "bin/a/b".into(), mode: 0o755, content: b"program".to_vec() },
                Entry::Link { path: "bin/sh".into(), target: "a/b".into() },
                Entry::Folder { path: "tmp".into(), mode: 0o1777 },
            ],
            entrypoint: vec!["/bin/sh".into()],
            environment: Vec::new(),
        }
    }

    fn members(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(bytes);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let path = entry.path().unwrap().display().to_string();
            (path, entry.header().mode().unwrap(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn the_manifest_names_the_configuration_and_the_layer_by_their_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        image().write(&path).unwrap();
        let parts = members(&fs::read(&path).unwrap());
        let part = |name: &str| parts.iter().find(|(path, ..)| path == name).unwrap().2.clone();
        let manifest: serde_json::Value = serde_json::from_slice(&part("manifest.json")).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "example.test/x:dev");
        let config = part(manifest[0]["Config"].as_str().unwrap());
        let layer = part(manifest[0]["Layers"][0].as_str().unwrap());
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&layer)));
        let paths: Vec<_> = members(&layer).into_iter().map(|(path, mode, _)| (path, mode)).collect();
        let expected =
            [("bin/", 0o755), ("bin/a/", 0o755), ("bin/a/b", 0o755), ("bin/sh", 0o777), ("tmp/", 0o1777)];
        assert_eq!(paths, expected.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn a_tree_is_taken_as_it_is_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::write(root.join("usr/bin/program"), "program").unwrap();
        std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
        for (path, mode) in [("usr", 0o755), ("usr/bin", 0o700), ("usr/bin/program", 0o4755)] {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        let expected = [
            Entry::Link { path: "bin".into(), target: "usr/bin".into() },
            Entry::Folder { path: "usr".into(), mode: 0o755 },
            Entry::Folder { path: "usr/bin".into(), mode: 0o700 },
            Entry::File { path: "usr/bin/program".into(), mode: 0o4755, content: b"program".to_vec() },
        ];
        assert_eq!(Entry::tree(root).unwrap(), expected);
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.tar"), folder.path().join("2.tar"));
        image().write(&one).unwrap();
        image().write(&two).unwrap();
        assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap());
    }
}
