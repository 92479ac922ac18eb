//! `wfs manifest`: writes what `kubectl apply` takes: a Pod, Job, Deployment, Endpoint or Dev Pod that mounts file systems.

mod asked;
mod lep;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{ValueEnum, ValueHint};
use workspacefs_api::manifest::{self, Kind, Manifest, ManifestError, Mount, image, label_key, label_value};
pub use workspacefs_api::manifest::{Name, name};

use self::asked::{local, mount};
use crate::client::error::Refused;
use crate::exit::Exit;
use crate::text::complain;

/// Writes a manifest that mounts file systems, for kubectl apply
///
/// FS is the name of a FileSystem, or of an FsCache whose exposure is Claim. FROM is a folder of it, the whole by default;
/// AS is where it appears in the container. An endpoint is a Deployment with a Service, a devpod a StatefulSet of one pod that
/// waits for its user.
///
/// For example: wfs manifest job train --image=trainer:1 --mount=default:/datasets:/data:ro -- train /data
#[derive(clap::Args)]
pub struct Args {
    /// What it is, and its name; one word alone that is no kind is a name
    #[arg(value_name = "KIND|NAME", num_args = 1..=2, required_unless_present = "from_lep")]
    what: Vec<String>,
    /// What it is
    #[arg(long, value_name = "KIND", conflicts_with = "from_lep")]
    kind: Option<Word>,
    /// The container's image
    #[arg(long, value_name = "IMAGE", value_parser = image, required_unless_present = "from_lep")]
    image: Option<String>,
    /// Take image, command, node group and mounts from a spec of `lep`, in JSON or YAML; what else is given here goes before it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    from_lep: Option<PathBuf>,
    /// Mount the file system FS; with `:ro` nothing can be written
    #[arg(long = "mount", value_name = "FS[:FROM]:AS[:ro]", value_parser = mount)]
    mounts: Vec<Mount>,
    /// Mount the workspace's share of the LocalStorage STORAGE of each node, as a whole
    #[arg(long, value_name = "STORAGE:AS[:ro]", value_parser = local)]
    local_storage: Vec<Mount>,
    /// Write the mounts into the pod itself, without claims: only FileSystems can be mounted so
    #[arg(long)]
    inline: bool,
    /// Namespace [default: that of kubectl's context]
    #[arg(short, long, value_name = "NAME", value_parser = name)]
    namespace: Option<Name>,
    /// Only on nodes of this node group
    #[arg(long, value_name = "GROUP", value_parser = label_value)]
    node_group: Option<String>,
    /// Key of the label that names a node's group
    #[arg(long, value_name = "KEY", default_value = workspacefs_api::NODE_GROUP_LABEL, value_parser = label_key)]
    node_group_label: String,
    /// Where an endpoint's container listens
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
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
enum Word {
    Pod,
    Job,
    Deployment,
    Endpoint,
    Devpod,
}

impl From<Word> for Kind {
    fn from(word: Word) -> Self {
        match word {
            Word::Pod => Self::Pod,
            Word::Job => Self::Job,
            Word::Deployment => Self::Deployment,
            Word::Endpoint => Self::Endpoint,
            Word::Devpod => Self::DevPod,
        }
    }
}

/// Writes it to stdout.
///
/// # Errors
/// [`Refused`] where Kubernetes or the driver would refuse it; it cannot be printed.
pub fn run(args: &Args) -> Result<Exit> {
    let manifest = args.manifest()?;
    let objects = manifest::objects(&manifest).map_err(|error| match error {
        ManifestError::NoNodeGroup { .. } => Refused::because(format!("{error}, by --node-group")),
        _ => Refused::because(error.to_string()),
    })?;
    let mut text = String::new();
    for object in objects {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        text.push_str(&serde_saphyr::to_string(&object).context("cannot write YAML")?);
    }
    std::io::stdout().write_all(text.as_bytes()).context("cannot print the manifest")?;
    Ok(Exit::Done)
}

impl Args {
    fn manifest(&self) -> Result<Manifest> {
        let lep = self.from_lep.as_deref().map(lep::read).transpose()?;
        let lep = lep.unwrap_or_default();
        for remark in &lep.remarks {
            complain(remark);
        }
        let (kind, name) = self.kind_and_name(&lep)?;
        let image = self
            .image
            .clone()
            .or(lep.image)
            .ok_or_else(|| Refused::because("the spec names no image: --image does"))?;
        let mut mounts = lep.mounts;
        mounts.extend(self.mounts.iter().chain(&self.local_storage).cloned());
        Ok(Manifest {
            namespace: self.namespace.clone(),
            command: if self.command.is_empty() { lep.command } else { self.command.clone() },
            port: self.port.or(lep.port).unwrap_or(manifest::PORT),
            node_group: self.node_group.clone().or(lep.node_group),
            node_group_label: self.node_group_label.clone(),
            mounts,
            inline: self.inline,
            caches: self.caches.clone(),
            require_warm: self.require_warm,
            ..Manifest::new(kind, name, image)
        })
    }

    /// `endpoint web`, `endpoint` alone, or `web` with --kind: a pod by default, of a spec of `lep` an endpoint.
    fn kind_and_name(&self, lep: &lep::Spec) -> Result<(Kind, Name)> {
        let word = |text: &str| Word::from_str(text, false).ok();
        let (in_words, named) = match self.what.as_slice() {
            [kind, name] => {
                let known = word(kind).ok_or_else(|| {
                    Refused::because(format!("{kind:?} is no kind: pod, job, deployment, endpoint or devpod"))
                })?;
                (Some(known), Some(name.as_str()))
            }
            [one] if self.kind.is_none() && word(one).is_some() => (word(one), None),
            [one] => (None, Some(one.as_str())),
            _ => (None, None),
        };
        if in_words.is_some() && self.kind.is_some() {
            return Err(Refused::because("the kind is said twice"));
        }
        let kind = in_words.or(self.kind);
        let default = if self.from_lep.is_some() { Word::Endpoint } else { Word::Pod };
        let fallback = lep.name.as_deref().or_else(|| self.what.first().map(String::as_str));
        let text = named.or(fallback).ok_or_else(|| Refused::because("the spec has no name: give one"))?;
        Ok((kind.unwrap_or(default).into(), name(text).map_err(Refused::because)?))
    }
}
