//! Which one a pod reads, copy or source, by facts: what is mounted in the pod, and what its files hold. And what lies on a
//! target.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::caches::{FILL_TIME_MAX, Generation};
use super::source::SOURCE;
use crate::suites::context::Context;
use crate::suites::node::Mount;
use crate::suites::wait::{seconds, until};

/// A folder that a client looked into shows others' changes within this.
const CHANGE_TIME_MAX: std::time::Duration = seconds(90);

/// What a mount table has at a place: the last one hides the others.
pub fn mounted(table: &str, at: &str) -> Option<Mount> {
    table.lines().filter_map(Mount::parse).rfind(|mount| mount.at == at)
}

/// By a pod's mount table it has that generation's copy of a folder at a place, read-only.
pub fn copy_in(table: &str, at: &str, of: &Generation) -> Result<Mount> {
    let mount =
        mounted(table, at).with_context(|| format!("nothing is mounted at {at}: it has the source"))?;
    let part = format!("/.workspacefs/cache/{}/{}/data", of.uid, of.number);
    let lies_there = mount.root.contains(&part) || mount.source.contains(&part);
    ensure!(lies_there, "it has at {at} what is not of {of:?}: {mount:?}");
    ensure!(mount.is_read_only(), "it could write to the copy at {at}: {mount:?}");
    Ok(mount)
}

impl Context {
    /// Waits until a pod reads this in a file.
    pub async fn reads(&self, pod: &str, file: &str, content: &str) -> Result<()> {
        let look = || async {
            let read = self.exec(pod, &format!("cat {file}")).await?;
            ensure!(read == content, "it reads {read:?}");
            Ok(())
        };
        until(&format!("{pod} reads {content:?} in {file}"), CHANGE_TIME_MAX, look).await
    }

    /// What is mounted in a pod at a place, by the pod's own mount table.
    pub async fn mounted_in(&self, pod: &str, at: &str) -> Result<Option<Mount>> {
        Ok(mounted(&self.mount_table(pod).await?, at))
    }

    /// A pod has that generation's copy of a folder at a place, read-only.
    pub async fn has_copy(&self, pod: &str, at: &str, of: &Generation) -> Result<Mount> {
        copy_in(&self.mount_table(pod).await?, at, of).with_context(|| format!("pod {pod}"))
    }

    /// A pod has a copy of a folder on its node's disk at a place, read-only: for where a refresh may have come meanwhile.
    pub async fn has_some_copy(&self, pod: &str, at: &str) -> Result<()> {
        let mount = self.mounted_in(pod, at).await?;
        let is_copy = mount.as_ref().is_some_and(|mount| {
            mount.kind == "xfs" && mount.root.contains("/.workspacefs/cache/") && mount.is_read_only()
        });
        ensure!(is_copy, "{pod} has no copy at {at}: {mount:?}");
        Ok(())
    }

    /// A folder in a pod has the files of a folder of the source, byte by byte.
    pub async fn has_content_of(&self, pod: &str, at: &str, folder: &str) -> Result<()> {
        // What cannot be read stands in no sum, and makes another one of them.
        let sums = "sha256sum * | sha256sum";
        let copied = self.exec(pod, &format!("cd {at} && {sums}")).await?;
        let original = self.on_server(&format!("cd {SOURCE}/{folder} && {sums}")).await?;
        ensure!(
            copied.trim() == original.trim(),
            "{pod} reads at {at} other files than the source's: {copied:?}, {original:?}"
        );
        Ok(())
    }

    async fn mount_table(&self, pod: &str) -> Result<String> {
        self.exec(pod, "cat /proc/self/mountinfo").await
    }

    /// A pod has nothing mounted over the source's own folder at a place.
    pub async fn has_source(&self, pod: &str, at: &str) -> Result<()> {
        let mount = self.mounted_in(pod, at).await?;
        ensure!(mount.is_none(), "{pod} has at {at} something else than the source: {mount:?}");
        Ok(())
    }

    /// The names in the folder of an FsCache on a node's disk, each with its inode.
    pub async fn kept_on(&self, node: &str, uid: &str) -> Result<BTreeMap<String, u64>> {
        let line = format!("find export -path '*/.workspacefs/cache/{uid}/*' -prune -printf '%f %i\\n'");
        let text = self.on_local_disk(node, &line).await?;
        let entry = |line: &str| {
            let (name, inode) = line.split_once(' ').with_context(|| format!("not understood: {line:?}"))?;
            Ok((name.to_owned(), inode.parse()?))
        };
        text.lines().map(entry).collect()
    }

    /// Waits until these names and no others lie in the folder of an FsCache on a node's disk.
    pub async fn only_kept_on(&self, node: &str, uid: &str, names: &[&str]) -> Result<()> {
        let look = || async {
            let kept = self.kept_on(node, uid).await?;
            ensure!(kept.keys().eq(names.iter()), "there are {:?}", kept.keys());
            Ok(())
        };
        until(&format!("{names:?} lie on the disk of {node}"), FILL_TIME_MAX, look).await
    }

    /// Runs a line of shell on a node's disk where the paths of a generation lie; it must succeed.
    pub async fn on_copy(&self, node: &str, of: &Generation, line: &str) -> Result<String> {
        let place = format!("*/.workspacefs/cache/{}/{}/data", of.uid, of.number);
        self.on_local_disk(node, &format!("cd \"$(find export -type d -path '{place}' -prune)\" && {line}"))
            .await
    }
}
