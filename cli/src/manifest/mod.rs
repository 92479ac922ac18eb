//! `wfs manifest`: writes what `kubectl apply` takes: a Pod, Job or Deployment that mounts file systems.

mod asked;
mod object;

use std::io::Write;

use anyhow::{Context, Result};
use clap::ValueEnum;

use self::asked::{Mount, Name, image, mount, name};
use crate::exit::Exit;

/// Writes a manifest that mounts file systems, for kubectl apply
///
/// FS is the name of a FileSystem, or of an FsCache whose exposure is Claim. FROM is a folder of it, the whole by default;
/// AS is where it appears in the container.
///
/// For example: wfs manifest train --image=trainer:1 --mount=default:/datasets:/data:ro --kind=job -- train /data
#[derive(clap::Args)]
pub struct Args {
    /// Name of the object
    #[arg(value_name = "NAME", value_parser = name)]
    name: Name,
    /// What it is
    #[arg(long, value_name = "KIND", default_value = "pod")]
    kind: Kind,
    /// The container's image
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    image: String,
    /// Mount the file system FS; with `:ro` nothing can be written
    #[arg(long = "mount", value_name = "FS[:FROM]:AS[:ro]", value_parser = mount)]
    mounts: Vec<Mount>,
    /// Mount the workspace's share of the LocalStorage STORAGE of each node, as a whole
    #[arg(long, value_name = "STORAGE:AS[:ro]", value_parser = mount, requires = "node_group")]
    local_storage: Vec<Mount>,
    /// Write the mounts into the pod itself, without claims: only FileSystems can be mounted so
    #[arg(long)]
    inline: bool,
    /// Namespace [default: that of kubectl's context]
    #[arg(short, long, value_name = "NAME", value_parser = name)]
    namespace: Option<Name>,
    /// Only on nodes of this node group
    #[arg(long, value_name = "GROUP", value_parser = asked::label_value)]
    node_group: Option<String>,
    /// Key of the label that names a node's group
    #[arg(long, value_name = "KEY", default_value = workspacefs_api::NODE_GROUP_LABEL, value_parser = asked::label_key)]
    node_group_label: String,
    /// Rather on nodes that have a copy of this FsCache on their own disk
    ///
    /// Only an FsCache whose target is a LocalStorage has such nodes.
    #[arg(long = "cache", value_name = "FSCACHE", value_parser = name, requires = "namespace")]
    caches: Vec<Name>,
    /// Only on such nodes: the pod waits until there is one
    #[arg(long, requires = "caches")]
    require_warm: bool,
    /// What the container runs, instead of what its image says
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    Pod,
    Job,
    Deployment,
}

/// Writes it to stdout.
pub fn run(args: &Args) -> Result<Exit> {
    let object = object::of(args)?;
    let text = serde_saphyr::to_string(&object).context("cannot write YAML")?;
    std::io::stdout().write_all(text.as_bytes()).context("cannot print the manifest")?;
    Ok(Exit::Done)
}
