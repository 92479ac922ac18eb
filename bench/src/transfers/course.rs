//! Where transfers are run: a tree in memory or on a disk, a disk that is written to, and for each run a server that was just
//! started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::runtime::Runtime;

use super::command::{self, Transfer};
use super::contents::{files, same_contents, sha256_of};
use super::files::Files;
use super::identity::Identity;
use super::nginx::Nginx;
use super::process::Process;
use super::stub::{BUCKET, REGION, Stub};
use crate::arena::{self, Disk, Format};
use crate::goals::{Course, Race, Sample, Shape, Task, Tool, median};
use crate::run;
use crate::tree::Tree;
use workspacefs_testkit::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// The name of the tree in whatever holds it, and that of what is written.
const TREE: &str = "tree";
const UPLOADED: &str = "uploaded";
const IMPORTED: &str = "imported";

/// Beside what is written once, XFS wants room for its log; the disk's file is sparse.
const DISK_BYTES: u64 = 3 << 30;
/// Processes whose first page is asked for in one run.
const FIRST_PAGES: usize = 5;
/// How long a server has nothing to do before its memory is looked at.
const IDLE: Duration = Duration::from_secs(30);
/// How often an import is asked whether it is done.
const LOOK: Duration = Duration::from_millis(20);

/// The real thing.
#[derive(Debug)]
pub struct Servers {
    folder: PathBuf,
    memory: PathBuf,
    programs: Vec<PathBuf>,
    identity: Identity,
    runtime: Runtime,
    stub: Option<Stub>,
    disk: Option<Disk>,
    /// The large file's path in the tree, and its SHA-256 in base64, where there is one.
    large: Option<(String, String)>,
    /// Locked, so that no other run measures here meanwhile.
    _alone: File,
}

impl Servers {
    /// With disks in a folder `transfers` of this one, and programs from those.
    ///
    /// # Errors
    /// Mounts would be seen by others, or another run is going on there.
    pub fn new(folder: &Path, programs: Vec<PathBuf>) -> Result<Self> {
        let arena::Place { folder, memory, alone } =
            arena::Place::alone(folder, "transfers", "workspacefs-transfers")?;
        let identity = Identity::new(&folder)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (stub, disk, large) = (None, None, None);
        Ok(Self { folder, memory, programs, identity, runtime, stub, disk, large, _alone: alone })
    }

    /// What the stub alone takes to give away everything, if the race has one.
    ///
    /// # Errors
    /// It does not give everything.
    pub fn stub_alone(&self) -> Result<Option<Duration>> {
        self.stub.as_ref().map(|stub| self.runtime.block_on(stub.alone())).transpose()
    }

    fn program(&self, name: &str) -> Result<PathBuf> {
        let paths = self.programs.iter().map(|folder| folder.join(name));
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        let mut paths = paths.chain(std::env::split_paths(&on_path).map(|folder| folder.join(name)));
        paths.find(|path| path.is_file()).with_context(|| format!("there is no {name}"))
    }

    fn disk(&self) -> Result<&Disk> {
        self.disk.as_ref().context("no disk was prepared")
    }

    fn files(&self, root: &Path) -> Result<Files> {
        Files::start(&self.program("files")?, root, &self.identity)
    }

    fn nginx(&self, root: &Path) -> Result<Nginx> {
        Nginx::start(&self.program("nginx")?, root, &self.folder, &self.identity)
    }

    /// curl takes the large file from a server, or gives it to one.
    fn transfer(&self, race: &Race, tool: &Tool, ours: bool) -> Result<Sample> {
        let uploads = race.task == Task::Upload;
        let root = if uploads { self.fresh(UPLOADED)? } else { self.memory.clone() };
        let (large, sha256) = self.large.as_ref().context("no large file was prepared")?;
        let source = self.memory.join(TREE).join(large);
        let (files, nginx) = match ours {
            true => (Some(self.files(&root)?), None),
            false => (None, Some(self.nginx(&root)?)),
        };
        let (process, tls, plain) = match (&files, &nginx) {
            (Some(files), _) => (&files.process, files.address, None),
            (None, Some(nginx)) => (&nginx.process, nginx.tls, Some(nginx.plain)),
            (None, None) => bail!("no server was started"),
        };
        let certificate = &self.identity.certificate;
        let transfer = Transfer { tls, plain, large, source: &source, sha256, certificate };
        let mut curl = transfer.curl(tool);
        if let Some((method, target)) = transfer.request(tool) {
            let assertion = self.identity.assertion(method, &target)?;
            curl.arg("-H").arg(format!("{}: {assertion}", workspacefs_files_proto::ASSERTION_HEADER));
        }
        let sample = self.sampled(process, || Ok(run::run(&self.program("measured")?, &curl)?.seconds))?;
        match (files, uploads) {
            (Some(files), false) => {
                let request = ("GET", &*format!("/v1/content/{TREE}/{large}"));
                let content = self.runtime.block_on(files.ask(&self.identity, request, None))?;
                ensure!(sha256_of(&content) == *sha256, "what was downloaded is something else");
            }
            (_, true) => {
                let content = fs::read(root.join(UPLOADED))?;
                ensure!(sha256_of(&content) == *sha256, "what was uploaded is something else");
            }
            (None, false) => {}
        }
        Ok(sample)
    }

    /// What becomes of something by this server; where there is a disk, what is left to be written too.
    fn sampled(&self, process: &Process, seconds: impl FnOnce() -> Result<f64>) -> Result<Sample> {
        let before = process.processor_seconds()?;
        let seconds = seconds()?;
        let processor_seconds = process.processor_seconds()? - before;
        let memory_bytes = process.memory_peak_bytes()?;
        let sync_seconds = match &self.disk {
            Some(disk) => disk.sync()?.as_secs_f64(),
            None => 0.0,
        };
        Ok(Sample { seconds, sync_seconds, processor_seconds, memory_bytes, operations: None })
    }

    /// The disk's root, without what runs before left there, and with nothing of it in any cache.
    fn fresh(&self, made: &str) -> Result<PathBuf> {
        let disk = self.disk()?;
        for left in [made, ".workspacefs-files"] {
            let left = disk.path().join(left);
            if left.is_dir() {
                fs::remove_dir_all(&left)?;
            } else if left.exists() {
                fs::remove_file(&left)?;
            }
        }
        Disk::chill(&[disk])?;
        Ok(disk.path().to_owned())
    }

    fn first_page(&self, tool: &Tool) -> Result<Sample> {
        let [method, target] = tool.argv else { bail!("{} is no request", tool.shown()) };
        let mut samples = Vec::new();
        for _ in 0..FIRST_PAGES {
            let files = self.files(self.disk()?.path())?;
            let mut content = bytes::Bytes::new();
            samples.push(self.sampled(&files.process, || {
                // A person's browser has its connection by then.
                self.runtime.block_on(files.ask(&self.identity, ("GET", "/healthz"), None))?;
                let started = Instant::now();
                content = self.runtime.block_on(files.ask(&self.identity, (method, target), None))?;
                Ok(started.elapsed().as_secs_f64())
            })?);
            let page: serde_json::Value = serde_json::from_slice(&content)?;
            let entries = page["entries"].as_array().map_or(0, Vec::len);
            ensure!(
                entries > 0 && page["next"].is_string(),
                "it is no first page of more: {entries} entries"
            );
        }
        let middle = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
        let memory = samples.iter().map(|sample| sample.memory_bytes).max();
        Ok(Sample {
            seconds: middle(|sample| sample.seconds),
            sync_seconds: 0.0,
            processor_seconds: middle(|sample| sample.processor_seconds),
            memory_bytes: memory.context("nothing was measured")?,
            operations: None,
        })
    }

    fn rest(&self) -> Result<Sample> {
        let files = self.files(self.disk()?.path())?;
        let page = ("GET", "/v1/list/tree/part-00000");
        self.runtime.block_on(files.ask(&self.identity, page, None))?;
        let before = files.process.processor_seconds()?;
        std::thread::sleep(IDLE);
        Ok(Sample {
            seconds: IDLE.as_secs_f64(),
            sync_seconds: 0.0,
            processor_seconds: files.process.processor_seconds()? - before,
            memory_bytes: files.process.memory_bytes()?,
            operations: None,
        })
    }

    fn import(&self, tool: &Tool, ours: bool) -> Result<Sample> {
        let root = self.fresh(IMPORTED)?;
        let stub = self.stub.as_ref().context("no stub was started")?;
        stub.forget();
        let destination = root.join(IMPORTED);
        let sample = if ours {
            let files = self.files(&root)?;
            self.sampled(&files.process, || self.imported(&files, stub))?
        } else {
            let program = tool.argv.first().context("no program")?;
            let command = command::import(tool, &self.program(program)?, &stub.endpoint(), &destination);
            let usage = run::run(&self.program("measured")?, &command)?;
            Sample {
                seconds: usage.seconds,
                sync_seconds: self.disk()?.sync()?.as_secs_f64(),
                processor_seconds: usage.processor_seconds,
                memory_bytes: usage.memory_bytes,
                operations: None,
            }
        };
        same_contents(&self.memory.join(TREE), &destination)?;
        Ok(sample)
    }

    /// Seconds until an import is done.
    fn imported(&self, files: &Files, stub: &Stub) -> Result<f64> {
        let form = serde_json::json!({
            "provider": "s3", "bucket": BUCKET, "region": REGION, "endpoint": stub.endpoint(),
            "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY, "destination": IMPORTED,
        });
        let started = Instant::now();
        self.runtime.block_on(async {
            let begun = files.ask(&self.identity, ("POST", "/v1/imports"), Some(form.to_string())).await?;
            let begun: serde_json::Value = serde_json::from_slice(&begun)?;
            let target = format!("/v1/imports/{}", begun["id"].as_str().context("it has no id")?);
            loop {
                tokio::time::sleep(LOOK).await;
                let now = files.ask(&self.identity, ("GET", &target), None).await?;
                let now: serde_json::Value = serde_json::from_slice(&now)?;
                match now["state"].as_str() {
                    Some("listing" | "running") => {}
                    Some("done") if now["objects"]["failed"] == 0 => {
                        return Ok(started.elapsed().as_secs_f64());
                    }
                    _ => bail!("the import ended so: {now}"),
                }
            }
        })
    }
}

impl Course for Servers {
    fn prepare(&mut self, race: &Race, shape: Shape) -> Result<()> {
        // Before the next is made: together they may not have room.
        (self.stub, self.disk, self.large) = (None, None, None);
        let source = self.memory.join(TREE);
        if source.exists() {
            fs::remove_dir_all(&source)?;
        }
        let bytes = shape.bytes_min..=shape.bytes_max;
        let tree = Tree { directories: shape.directories, files: shape.files, bytes, seed: 1 };
        let makes_disk = race.task != Task::Download;
        if makes_disk {
            let files = shape.files + shape.directories;
            self.disk = Some(Disk::make(&self.folder, "disk", Format::Xfs, DISK_BYTES, files)?);
        }
        if matches!(race.task, Task::FirstPage | Task::Rest) {
            tree.make(&self.disk()?.path().join(TREE))?;
            return Ok(());
        }
        tree.make(&source)?;
        match race.task {
            Task::Import => {
                let stub = self.runtime.block_on(Stub::start(&source))?;
                self.stub = Some(stub);
            }
            _ => {
                let (key, path) = files(&source)?.into_iter().next().context("the tree is empty")?;
                self.large = Some((key, sha256_of(&fs::read(path)?)));
            }
        }
        Ok(())
    }

    fn run(&mut self, race: &Race, tool: &Tool, ours: bool) -> Result<Sample> {
        let sample = match race.task {
            Task::Download | Task::Upload => self.transfer(race, tool, ours),
            Task::FirstPage => self.first_page(tool),
            Task::Rest => self.rest(),
            Task::Import => self.import(tool, ours),
            _ => bail!("trees of files have a course of their own"),
        };
        let sample = sample.with_context(|| format!("{}: {}", race.title, tool.shown()))?;
        sample.tell(tool);
        Ok(sample)
    }

    fn notices_changes(&mut self, _race: &Race) -> Result<()> {
        bail!("a transfer is no refresh")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // The disk first: it is mounted in it. What stays after all, the next run removes.
        (self.stub, self.disk) = (None, None);
        let _ = fs::remove_dir_all(&self.memory);
        let _ = fs::remove_dir_all(&self.folder);
    }
}
