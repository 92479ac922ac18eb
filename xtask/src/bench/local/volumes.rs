//! A node plugin of our own on a blank disk: its memory without a volume and with many, and what NodeGetVolumeStats takes when
//! the volume has few files and when it has very many.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use workspacefs_api::local_attributes::{LocalVolumeAttributes, LocalVolumeId};
use workspacefs_bench::{Summary, UsageReport};
use workspacefs_e2e::{Cluster, Machine, product};

use super::super::memory::{self, Memory};
use super::super::server::ask;
use super::HELPER;
use crate::images;
use crate::standalone::{LocalDisk, Place, Standalone};

/// Volumes that are published at once.
pub const MANY: usize = 100;
/// Files when usage is asked for first.
const FEW: usize = 1000;
/// How often usage is asked for.
const QUESTIONS: usize = 300;
const ASK_TIME_MAX: Duration = Duration::from_secs(300);
const FILL_TIME_MAX: Duration = Duration::from_secs(3600);

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// Without a volume.
    pub idle: Memory,
    /// With [`MANY`].
    pub with_many: Memory,
    /// NodePublishVolume of each of these.
    pub publish: Summary,
    /// Files when usage was asked for first.
    pub few: usize,
    /// NodeGetVolumeStats then.
    pub usage_with_few: UsageReport,
    /// Files at the end.
    pub many: usize,
    /// NodeGetVolumeStats then.
    pub usage_with_many: UsageReport,
    /// Files that were wished for, if the disk has no room for so many.
    pub wished: usize,
}

/// Measures with so many files, or with as many as the disk has room for.
pub fn measure(cluster: &Cluster, files: usize) -> Result<Report> {
    let mut values = product::values();
    // The disks of n1 are left to us.
    values["localStorage"]["enabled"] = false.into();
    product::install(cluster, &images::build()?, &values)?;
    let driver = Standalone::start(cluster.clone(), "bench", Place::Export)?;
    let disk = LocalDisk::take(&driver)?;
    let report = Bench::new(&driver, &disk).and_then(|bench| bench.measure(files));
    let report = report.with_context(|| format!("node:\n{}", driver.log("node", 20).unwrap_or_default()))?;
    // What is on it needs no look: it is made blank.
    drop(disk);
    for left in driver.stop()? {
        println!("left over: {left}");
    }
    println!("volumes: {report:?}");
    Ok(report)
}

/// The program on the node, and the workspace's share of the disk as its volume.
struct Bench<'a> {
    driver: &'a Standalone,
    node: Machine,
    /// The program with what all its calls are given.
    program: Vec<String>,
    attributes: Vec<String>,
    /// Where the disk is mounted.
    mount_point: String,
    namespace_uid: String,
}

impl<'a> Bench<'a> {
    fn new(driver: &'a Standalone, disk: &LocalDisk) -> Result<Self> {
        let cluster = driver.cluster();
        let mount_point = disk.mount_point()?;
        let uid = mount_point.rsplit('/').next().context("a disk that is mounted nowhere")?;
        let list: Value =
            serde_json::from_str(&cluster.kubectl("admin", &["get", "localstorages", "--output=json"])?)?;
        let mut storages = list["items"].as_array().into_iter().flatten();
        let storage = storages.find(|item| item["metadata"]["uid"] == uid).context("no LocalStorage")?;
        let text =
            |value: &Value| value.as_str().map(str::to_owned).context("a LocalStorage that is not whole");
        let namespace = driver.namespace();
        let query = ["get", "namespace", &namespace, "--output=jsonpath={.metadata.uid}"];
        let namespace_uid = cluster.kubectl("admin", &query)?.trim().to_owned();
        let attributes = LocalVolumeAttributes {
            storage: text(&storage["metadata"]["name"])?,
            namespace,
            node_group: text(&storage["spec"]["nodeGroup"])?,
            node: None,
        };
        let volume_id = LocalVolumeId::Share { storage: uid.to_owned(), namespace: namespace_uid.clone() };
        let program = vec![
            cluster.share(&images::static_binaries()?.join("disk-bench"))?,
            format!("--node={}", driver.local_node_endpoint()),
            format!("--volume-id={volume_id}"),
            format!("--targets={}/pods/bench", driver.kubelet_folder()),
        ];
        let pairs = attributes.to_map().into_iter().map(|(key, value)| format!("--attribute={key}={value}"));
        let attributes = pairs.collect();
        Ok(Self { driver, node: driver.node()?, program, attributes, mount_point, namespace_uid })
    }

    fn measure(&self, wished: usize) -> Result<Report> {
        let idle = self.memory()?;
        let publish = self.publish(MANY)?;
        let with_many = self.memory()?;
        self.unpublish(MANY)?;

        self.publish(1)?;
        let many = self.make_room(wished)?;
        let few = FEW.min(many);
        self.fill(0, few)?;
        let usage_with_few = self.usage()?;
        println!("making {many} files on {}", self.node.name());
        self.fill(few, many)?;
        // Their making is over only when they are on the disk.
        self.node.run_within(&["sync"], b"", FILL_TIME_MAX)?;
        let usage_with_many = self.usage()?;
        ensure!(
            usage_with_many.inodes_counted >= many as u64,
            "of {many} files {} are counted",
            usage_with_many.inodes_counted
        );
        self.unpublish(1)?;
        Ok(Report { idle, with_many, publish, few, usage_with_few, many, usage_with_many, wished })
    }

    /// What the program prints, which is JSON.
    fn ask(&self, command: &[String], limit: Duration) -> Result<String> {
        let argv: Vec<&str> = self.program.iter().chain(command).map(String::as_str).collect();
        ask(&self.node, &argv, limit)
    }

    fn publish(&self, count: usize) -> Result<Summary> {
        let command = [&["publish".to_owned(), format!("--count={count}")][..], &self.attributes].concat();
        Ok(serde_json::from_str(&self.ask(&command, ASK_TIME_MAX)?)?)
    }

    fn unpublish(&self, count: usize) -> Result<()> {
        self.ask(&["unpublish".into(), format!("--count={count}")], ASK_TIME_MAX).map(drop)
    }

    fn fill(&self, from: usize, to: usize) -> Result<()> {
        let took =
            self.ask(&["fill".into(), format!("--from={from}"), format!("--to={to}")], FILL_TIME_MAX)?;
        println!("the files {from} to {to}: {} s", took.trim());
        Ok(())
    }

    fn usage(&self) -> Result<UsageReport> {
        let command = ["usage".into(), format!("--questions={QUESTIONS}")];
        Ok(serde_json::from_str(&self.ask(&command, ASK_TIME_MAX)?)?)
    }

    /// By the path of the run's own program: the installed plugin has another.
    fn memory(&self) -> Result<Memory> {
        memory::idle(&self.node, &format!("{}/csi-driver", self.driver.run_folder()), HELPER)
    }

    /// Allows the share so many files as were wished for, or as the disk has room for. What it may have by its size (one for each
    /// 16 KiB) is less on so small a disk; to the kernel's counting that makes no difference.
    fn make_room(&self, wished: usize) -> Result<usize> {
        let free: u64 = self.node.run(&["stat", "-f", "-c", "%d", &self.mount_point])?.trim().parse()?;
        let many = room(wished, free)?;
        let folder =
            self.node.shell(&format!("ls {}/export/workspaces/{}", self.mount_point, self.namespace_uid))?;
        let project = project(&folder).with_context(|| format!("the share's folder is called {folder:?}"))?;
        // Its directories and itself count as well.
        let limit = format!("limit -p ihard={} {project}", many + many / 500 + 10);
        self.node.run(&["xfs_quota", "-x", "-c", &limit, &self.mount_point])?;
        Ok(many)
    }
}

/// So many files as were wished for, if so many and a little more can be made.
fn room(wished: usize, free: u64) -> Result<usize> {
    Ok(wished.min(usize::try_from(free / 20 * 19)?))
}

/// The project of a folder, which is the end of its name.
fn project(folder: &str) -> Option<u32> {
    folder.trim().rsplit_once('.')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_for_all_files_gets_fewer() {
        assert_eq!(room(1_000_000, 2_000_000).unwrap(), 1_000_000);
        assert_eq!(room(1_000_000, 500_000).unwrap(), 475_000);
    }

    #[test]
    fn a_folder_of_one_share_ends_with_its_project() {
        assert_eq!(project("wsfs-bench.1001\n"), Some(1001));
        assert_eq!(project("wsfs-bench"), None);
        assert_eq!(project("a.1001\nb.1002.x\n"), None);
    }
}
