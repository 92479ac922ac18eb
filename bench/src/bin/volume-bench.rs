//! A volume with very many files on the embedded server: makes it, asks what it uses, deletes it, and measures the asking and the
//! deleting. Runs on the server's node, as root: the files are made on the disk itself, since it is not their making that counts.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use workspacefs_agent_proto::v1::ListFileSystemsRequest;
use workspacefs_agent_proto::v1::agent_client::AgentClient;
use workspacefs_bench::{Summary, VolumeReport, connect, files};
use workspacefs_csi_proto::csi::v1::controller_client::ControllerClient;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use workspacefs_csi_proto::csi::v1::{
    CapacityRange, CreateVolumeRequest, DeleteVolumeRequest, VolumeCapability,
};

/// Files when usage is asked for first.
const FEW: usize = 10;
/// How often usage is asked for.
const QUESTIONS: usize = 300;

#[derive(Parser)]
struct Args {
    /// Socket of the CSI controller, unix://...
    #[arg(long)]
    controller: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the volume and its files; prints a VolumeReport
    Fill(FillArgs),
    /// Deletes it; prints how many seconds the call took
    Delete {
        #[arg(long)]
        volume_id: String,
    },
}

#[derive(clap::Args)]
struct FillArgs {
    /// Namespace of the FileSystem `default`
    #[arg(long)]
    namespace: String,
    /// Name of the volume
    #[arg(long)]
    name: String,
    /// Its size, which decides how many files it may have
    #[arg(long)]
    bytes: i64,
    /// Where its folder will be, as this program sees it
    #[arg(long)]
    folder: PathBuf,
    /// Files to make, empty ones
    #[arg(long)]
    files: usize,
    /// Socket of the server's agent, unix://...
    #[arg(long)]
    agent: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut controller = ControllerClient::new(connect(&args.controller).await?);
    let printed = match args.command {
        Command::Fill(args) => {
            let request = create_request(&args);
            let volume = controller.create_volume(request).await?.into_inner().volume;
            let volume_id = volume.context("no volume in the answer")?.volume_id;
            serde_json::to_string(&fill(&args, volume_id).await?)?
        }
        Command::Delete { volume_id } => {
            let request = DeleteVolumeRequest { volume_id, ..Default::default() };
            let started = Instant::now();
            controller.delete_volume(request).await?;
            serde_json::to_string(&started.elapsed().as_secs_f64())?
        }
    };
    println!("{printed}");
    Ok(())
}

fn create_request(args: &FillArgs) -> CreateVolumeRequest {
    let parameters = [
        ("namespace", args.namespace.as_str()),
        ("fileSystem", "default"),
        // As external-provisioner adds it.
        ("csi.storage.k8s.io/pvc/namespace", args.namespace.as_str()),
    ];
    CreateVolumeRequest {
        name: args.name.clone(),
        capacity_range: Some(CapacityRange { required_bytes: args.bytes, limit_bytes: 0 }),
        volume_capabilities: vec![VolumeCapability {
            access_type: Some(AccessType::Mount(MountVolume::default())),
            access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
        }],
        parameters: parameters.map(|(key, value)| (key.to_string(), value.to_string())).into(),
        ..Default::default()
    }
}

async fn fill(args: &FillArgs, volume_id: String) -> Result<VolumeReport> {
    let few = FEW.min(args.files);
    files::make(&args.folder, 0, few)?;
    let (usage_with_few, _) = usage(args).await?;
    files::make(&args.folder, few, args.files)?;
    let (usage_with_many, inodes_counted) = usage(args).await?;
    Ok(VolumeReport { volume_id, few, usage_with_few, many: args.files, usage_with_many, inodes_counted })
}

/// What asking for the usage of everything takes, and the inodes it says of our volume.
async fn usage(args: &FillArgs) -> Result<(Summary, u64)> {
    let mut agent = AgentClient::new(connect(&args.agent).await?);
    let mut took = Vec::new();
    let mut inodes = 0;
    for _ in 0..QUESTIONS {
        let started = Instant::now();
        let listed = agent.list_file_systems(ListFileSystemsRequest {}).await?.into_inner();
        took.push(started.elapsed());
        let claims = listed.file_systems.into_iter().flat_map(|file_system| file_system.claims);
        let ours = claims.filter(|claim| claim.name == args.name).find_map(|claim| claim.usage);
        inodes = ours.context("the agent does not know the volume")?.inodes_used;
    }
    Ok((Summary::of(took).context("nothing was measured")?, inodes))
}
