//! The image of the pods that write and verify: Debian's fio with what it loads, and a shell to tell it to end. It is most of
//! 90 MB, because Debian's fio is linked with every storage library there is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use workspacefs_e2e::build::cache::{self, Key};
use workspacefs_e2e::build::container_image::{ContainerImage, Entry};
use workspacefs_e2e::progress::Progress;
use workspacefs_e2e::suites::FIO_IMAGE;

use super::debian::Tree;

const FIO: Tree = Tree {
    name: "fio",
    packages: "base-files,busybox,fio",
    files: &["usr/bin/busybox", "usr/bin/fio", "usr/lib/os-release"],
};

/// The archive, written where the cache in `folder` does not have it.
pub fn archive(folder: &Path) -> Result<PathBuf> {
    let tree = FIO.path(folder)?;
    let mut key = Key::default();
    // Its name holds the key of its content.
    key.add(tree.as_os_str().as_encoded_bytes()).add(FIO_IMAGE.as_bytes());
    let entry = folder.join(format!("container-fio-{}", key.finish()));
    let entry = cache::entry(&entry, &Progress::default(), |unfinished| {
        let mut entries = Entry::tree(&tree).with_context(|| format!("cannot read {}", tree.display()))?;
        entries.push(Entry::Link { path: "usr/bin/sh".into(), target: "busybox".into() });
        let image = ContainerImage {
            reference: FIO_IMAGE.into(),
            entries,
            entrypoint: vec!["/usr/bin/fio".into()],
            environment: vec!["PATH=/usr/bin".into()],
        };
        anyhow::Ok(image.write(&unfinished.join("fio.tar"))?)
    })?;
    cache::prune(&entry, super::recently_used_in(folder))?;
    Ok(entry.join("fio.tar"))
}
