//! Talks to a node plugin over its socket and measures. Runs on the node, as root: it also starts mount(8), to compare.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tonic::transport::Channel;
use workspacefs_bench::{DriverReport, Summary, connect};
use workspacefs_csi_proto::csi::v1::controller_client::ControllerClient;
use workspacefs_csi_proto::csi::v1::identity_client::IdentityClient;
use workspacefs_csi_proto::csi::v1::node_client::NodeClient;
use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;
use workspacefs_csi_proto::csi::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use workspacefs_csi_proto::csi::v1::{
    CreateVolumeRequest, DeleteVolumeRequest, NodePublishVolumeRequest, NodeUnpublishVolumeRequest,
    ProbeRequest, Volume, VolumeCapability,
};

/// Measurements alternate in this many rounds, so that a slow moment of the machine does not fall on one of them.
const ROUNDS: usize = 10;

/// What to measure, and how often.
#[derive(Parser)]
struct Args {
    /// Socket of the node plugin, unix://...
    #[arg(long)]
    node: String,
    /// Socket of the controller, which makes the volume
    #[arg(long)]
    controller: String,
    /// Namespace of the FileSystem `default`
    #[arg(long)]
    namespace: String,
    /// Empty folder for targets
    #[arg(long)]
    targets: PathBuf,
    /// RPCs of each kind
    #[arg(long, default_value_t = 2000)]
    rpcs: usize,
    /// Starts of mount(8) and umount(8)
    #[arg(long, default_value_t = 300)]
    execs: usize,
    /// Other volumes published during the last measurement
    #[arg(long, default_value_t = 1000)]
    many: usize,
    /// Callers at once
    #[arg(long, default_value_t = 16)]
    concurrent: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut controller = ControllerClient::new(connect(&args.controller).await?);
    let parameters = [
        ("namespace", args.namespace.as_str()),
        ("fileSystem", "default"),
        // As external-provisioner adds it.
        ("csi.storage.k8s.io/pvc/namespace", args.namespace.as_str()),
    ];
    let request = CreateVolumeRequest {
        name: "bench".into(),
        volume_capabilities: vec![capability()],
        parameters: parameters.map(|(key, value)| (key.to_string(), value.to_string())).into(),
        ..Default::default()
    };
    let volume =
        controller.create_volume(request).await?.into_inner().volume.context("no volume in the answer")?;
    let report = measure(&args, &volume).await;
    let request = DeleteVolumeRequest { volume_id: volume.volume_id, ..Default::default() };
    controller.delete_volume(request).await?;
    println!("{}", serde_json::to_string(&report?)?);
    Ok(())
}

async fn measure(args: &Args, volume: &Volume) -> Result<DriverReport> {
    let channel = connect(&args.node).await?;
    let mut driver = Driver { client: NodeClient::new(channel.clone()), volume, folder: &args.targets };
    let mut identity = IdentityClient::new(channel);
    // The share is mounted and the paths are warm when the clock starts.
    let _keeps_the_share = driver.publish("warm").await?;

    let mut samples: [Vec<Duration>; 5] = Default::default();
    for _ in 0..ROUNDS {
        for _ in 0..args.rpcs / ROUNDS {
            let started = Instant::now();
            identity.probe(ProbeRequest {}).await?;
            samples[0].push(started.elapsed());
        }
        for _ in 0..args.rpcs / ROUNDS {
            samples[1].push(driver.publish("one").await?);
            samples[2].push(driver.unpublish("one").await?);
        }
        for _ in 0..args.execs / ROUNDS {
            let (mount, umount) = exec_mount(&args.targets)?;
            samples[3].push(mount);
            samples[4].push(umount);
        }
    }
    let pairs_per_second = driver.pairs(1, args.rpcs).await?;
    let pairs_per_second_concurrent = driver.pairs(args.concurrent, args.rpcs).await?;

    let others: Vec<String> = (0..args.many).map(|number| format!("other{number}")).collect();
    for other in &others {
        driver.publish(other).await?;
    }
    let mut among_many = Vec::new();
    for _ in 0..args.rpcs / 2 {
        among_many.push(driver.publish("one").await?);
        driver.unpublish("one").await?;
    }
    for other in &others {
        driver.unpublish(other).await?;
    }
    driver.unpublish("warm").await?;

    let [probe, publish, unpublish, exec_mount, exec_umount] = samples.map(Summary::of);
    let context = "nothing was measured";
    Ok(DriverReport {
        probe: probe.context(context)?,
        publish: publish.context(context)?,
        unpublish: unpublish.context(context)?,
        exec_mount: exec_mount.context(context)?,
        exec_umount: exec_umount.context(context)?,
        publish_among_many: Summary::of(among_many).context(context)?,
        many_mounts: args.many,
        pairs_per_second,
        pairs_per_second_concurrent,
        concurrent: args.concurrent,
    })
}

fn capability() -> VolumeCapability {
    VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume::default())),
        access_mode: Some(AccessMode { mode: Mode::MultiNodeMultiWriter.into() }),
    }
}

#[derive(Clone)]
struct Driver<'a> {
    client: NodeClient<Channel>,
    volume: &'a Volume,
    folder: &'a Path,
}

impl Driver<'_> {
    fn target(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    async fn publish(&mut self, name: &str) -> Result<Duration> {
        let request = NodePublishVolumeRequest {
            volume_id: self.volume.volume_id.clone(),
            target_path: self.target(name),
            volume_capability: Some(capability()),
            volume_context: self.volume.volume_context.clone(),
            ..Default::default()
        };
        let started = Instant::now();
        self.client.node_publish_volume(request).await?;
        Ok(started.elapsed())
    }

    async fn unpublish(&mut self, name: &str) -> Result<Duration> {
        let request = NodeUnpublishVolumeRequest {
            volume_id: self.volume.volume_id.clone(),
            target_path: self.target(name),
        };
        let started = Instant::now();
        self.client.node_unpublish_volume(request).await?;
        Ok(started.elapsed())
    }

    /// Publishes and unpublishes `count` times in all, by so many callers at once; pairs per second.
    async fn pairs(&self, callers: usize, count: usize) -> Result<f64> {
        let each = count / callers;
        let started = Instant::now();
        let mut tasks = Vec::new();
        for caller in 0..callers {
            let mut driver = self.clone();
            tasks.push(async move {
                for _ in 0..each {
                    let name = format!("caller{caller}");
                    driver.publish(&name).await?;
                    driver.unpublish(&name).await?;
                }
                anyhow::Ok(())
            });
        }
        futures::future::try_join_all(tasks).await?;
        Ok((each * callers) as f64 / started.elapsed().as_secs_f64())
    }
}

/// A bind mount and its end as drivers that start programs do them. Folder on folder: less than a publish does.
fn exec_mount(folder: &Path) -> Result<(Duration, Duration)> {
    let (from, to) = (folder.join("warm"), folder.join("exec"));
    std::fs::create_dir_all(&to)?;
    let run = |program: &str, arguments: &[&Path]| -> Result<Duration> {
        let mut command = Command::new(program);
        if program == "mount" {
            command.arg("--bind");
        }
        let started = Instant::now();
        let status = command.args(arguments).stdin(Stdio::null()).status()?;
        let took = started.elapsed();
        ensure!(status.success(), "{program} ended with {status}");
        Ok(took)
    };
    let mount = run("mount", &[&from, &to])?;
    let umount = run("umount", &[&to])?;
    std::fs::remove_dir(&to)?;
    Ok((mount, umount))
}
