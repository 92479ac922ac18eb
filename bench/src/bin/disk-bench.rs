//! One volume of a local disk at very many targets, and with very many files: publishes it, makes the files, asks what it uses, by
//! the socket of the node plugin. Runs on the node, as root.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tonic::transport::Channel;
use workspacefs_bench::{Summary, UsageReport, connect, files};
use workspacefs_csi_proto::csi::v1::node_client::NodeClient;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use workspacefs_csi_proto::csi::v1::volume_usage::Unit;
use workspacefs_csi_proto::csi::v1::{
    NodeGetVolumeStatsRequest, NodePublishVolumeRequest, NodeUnpublishVolumeRequest, VolumeCapability,
};

#[derive(Parser)]
struct Args {
    /// Socket of the node plugin's driver of local disks, unix://...
    #[arg(long)]
    node: String,
    /// The volume
    #[arg(long)]
    volume_id: String,
    /// Folder for targets, each of which is named by its number
    #[arg(long)]
    targets: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publishes the volume at so many targets; prints a Summary of the calls
    Publish {
        /// As in a PersistentVolume, key=value
        #[arg(long = "attribute", value_parser = attribute)]
        attributes: Vec<(String, String)>,
        #[arg(long)]
        count: usize,
    },
    /// Unpublishes them; prints a Summary of the calls
    Unpublish {
        #[arg(long)]
        count: usize,
    },
    /// Makes the files numbered so at the first target; prints how many seconds it took
    Fill {
        #[arg(long)]
        from: usize,
        #[arg(long)]
        to: usize,
    },
    /// Asks so often for the usage at the first target; prints a UsageReport
    Usage {
        #[arg(long)]
        questions: usize,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut node = NodeClient::new(connect(&args.node).await?);
    let printed = match &args.command {
        Command::Publish { attributes, count } => {
            let context = attributes.iter().cloned().collect();
            serde_json::to_string(&publish(&mut node, &args, &context, *count).await?)?
        }
        Command::Unpublish { count } => serde_json::to_string(&unpublish(&mut node, &args, *count).await?)?,
        Command::Fill { from, to } => {
            let started = Instant::now();
            files::make(&args.targets.join("0"), *from, *to)?;
            serde_json::to_string(&started.elapsed().as_secs_f64())?
        }
        Command::Usage { questions } => serde_json::to_string(&usage(&mut node, &args, *questions).await?)?,
    };
    println!("{printed}");
    Ok(())
}

fn attribute(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("not key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Args {
    fn target(&self, number: usize) -> String {
        self.targets.join(number.to_string()).to_string_lossy().into_owned()
    }
}

async fn publish(
    node: &mut NodeClient<Channel>,
    args: &Args,
    context: &HashMap<String, String>,
    count: usize,
) -> Result<Summary> {
    std::fs::create_dir_all(&args.targets)?;
    let mut took = Vec::new();
    for number in 0..count {
        let request = NodePublishVolumeRequest {
            volume_id: args.volume_id.clone(),
            target_path: args.target(number),
            volume_capability: Some(VolumeCapability {
                access_type: Some(AccessType::Mount(MountVolume::default())),
                access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
            }),
            volume_context: context.clone(),
            ..Default::default()
        };
        let started = Instant::now();
        node.node_publish_volume(request).await?;
        took.push(started.elapsed());
    }
    summary(took)
}

async fn unpublish(node: &mut NodeClient<Channel>, args: &Args, count: usize) -> Result<Summary> {
    let mut took = Vec::new();
    for number in 0..count {
        let request = NodeUnpublishVolumeRequest {
            volume_id: args.volume_id.clone(),
            target_path: args.target(number),
        };
        let started = Instant::now();
        node.node_unpublish_volume(request).await?;
        took.push(started.elapsed());
    }
    summary(took)
}

async fn usage(node: &mut NodeClient<Channel>, args: &Args, questions: usize) -> Result<UsageReport> {
    let (mut took, mut inodes_counted) = (Vec::new(), None);
    for _ in 0..questions {
        let request = NodeGetVolumeStatsRequest {
            volume_id: args.volume_id.clone(),
            volume_path: args.target(0),
            ..Default::default()
        };
        let started = Instant::now();
        let answer = node.node_get_volume_stats(request).await?.into_inner();
        took.push(started.elapsed());
        let inodes = answer.usage.iter().find(|line| line.unit == i32::from(Unit::Inodes));
        inodes_counted = inodes.map(|line| line.used);
    }
    let inodes_counted = inodes_counted.context("the node plugin counts no files")?.try_into()?;
    Ok(UsageReport { took: summary(took)?, inodes_counted })
}

fn summary(took: Vec<Duration>) -> Result<Summary> {
    Summary::of(took).context("nothing was measured")
}
