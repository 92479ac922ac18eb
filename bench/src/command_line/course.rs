//! Where the command line is measured: the client's side in memory, what is uploaded on a disk, and for each run servers that were just
//! started, a round trip away.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::runtime::Runtime;
use workspacefs_testkit::lep::{Client, NEW};

use super::command::{self, Places};
use super::distance::Distance;
use super::far::{AUTHORITY, AtTheEnd, Gateway, HOST, Rsyncd, TOKEN, WORKSPACE};
use super::lep::{self, Transfer};
use super::races::{LEP_DOWN, LEP_DOWN_AT_ONCE, LEP_UP, LEP_UP_AT_ONCE};
use crate::arena::{self, Disk, Format};
use crate::goals::{Course, Race, Sample, Shape, Task, Tool, median};
use crate::run::{self, Usage};
use crate::transfers::{files, same_contents};
use crate::tree::Tree;

/// What is added to each way and back.
const ROUND_TRIP: Duration = Duration::from_millis(20);
/// How often a program is started for one figure.
pub const STARTS: usize = 200;

/// What the tree is called wherever it is.
const TREE: &str = "tree";
/// What `files` has of its own in a root.
const HIDDEN: &str = ".workspacefs-files";
/// Beside what is written once, XFS wants room for its log; the disk's file is sparse.
const DISK_BYTES: u64 = 3 << 30;
/// Until the gateway has seen its FileSystem.
const READY_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
/// Questions to see how long a round trip is.
const QUESTIONS: usize = 25;

/// The real thing.
pub struct Counter {
    folder: PathBuf,
    memory: PathBuf,
    programs: Vec<PathBuf>,
    lep_files: usize,
    runtime: Runtime,
    disk: Option<Disk>,
    /// Paths of the tree's files below the folder that it lies in, sorted.
    names: Vec<String>,
    notes: Vec<String>,
    /// Locked, so that no other run measures here meanwhile.
    _alone: File,
}

impl Counter {
    /// With a disk in a folder `command-line` of this one, and programs from those; the real client is asked for so many files.
    ///
    /// # Errors
    /// Mounts would be seen by others, or another run is going on there.
    pub fn new(folder: &Path, programs: Vec<PathBuf>, lep_files: usize) -> Result<Self> {
        let arena::Place { folder, memory, alone } =
            arena::Place::alone(folder, "command-line", "workspacefs-command-line")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (disk, names, notes) = (None, Vec::new(), Vec::new());
        Ok(Self { folder, memory, programs, lep_files, runtime, disk, names, notes, _alone: alone })
    }

    /// What else is to be said of the last race.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn program(&self, name: &str) -> Result<PathBuf> {
        let paths = self.programs.iter().map(|folder| folder.join(name));
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        let mut paths = paths.chain(std::env::split_paths(&on_path).map(|folder| folder.join(name)));
        paths.find(|path| path.is_file()).with_context(|| format!("there is no {name}"))
    }

    /// The folder that the tree lies in on the client's side, and on the server's if it is to be fetched.
    fn source(&self) -> PathBuf {
        self.memory.join("source")
    }

    fn destination(&self) -> PathBuf {
        self.memory.join("destination")
    }

    fn disk(&self) -> Result<&Disk> {
        self.disk.as_ref().context("no disk was prepared")
    }

    fn measured(&self, command: &Command) -> Result<Usage> {
        Ok(run::run(&self.program("measured")?, command)?)
    }

    /// The gateway before `root`, which knows its FileSystem by now.
    fn gateway(&self, root: &Path) -> Result<Gateway> {
        let gateway = Gateway::start(|name| self.program(name), root, &self.folder, &self.runtime)?;
        let mut command = Command::new(self.program("wfs")?);
        command::leads_to_gateway(&mut command, gateway.address, &self.folder);
        command.args(["storage", "ls"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        while !command.status()?.success() {
            ensure!(started.elapsed() < READY_MAX, "the gateway does not come to serve its FileSystem");
            std::thread::sleep(LOOK);
        }
        Ok(gateway)
    }

    /// `wfs` or the real client, from far away.
    fn through_gateway(&mut self, root: &Path, tool: &Tool) -> Result<Usage> {
        let gateway = self.gateway(root)?;
        let distance = Distance::to(gateway.address, ROUND_TRIP)?;
        let before = gateway.processor_seconds()?;
        let usage = match self.lep(tool, distance.address())? {
            Some(usage) => usage,
            None => {
                let (source, destination) = (self.source(), self.destination());
                let places = Places { source: &source, destination: &destination, port: distance.address() };
                let mut command = places.command(tool, &self.program("wfs")?);
                command::leads_to_gateway(&mut command, distance.address(), &self.folder);
                self.measured(&command)?
            }
        };
        let after = gateway.processor_seconds()?;
        eprintln!("    gateway {:.2} s, files {:.2} s of processor", after.0 - before.0, after.1 - before.1);
        Ok(usage)
    }

    /// What the real client takes; None if it is not meant.
    fn lep(&mut self, tool: &Tool, port: SocketAddr) -> Result<Option<Usage>> {
        let (source, destination) = (self.source(), self.destination());
        let (here, into) = (source.to_string_lossy(), destination.to_string_lossy());
        let (verb, from, to) = match *tool {
            LEP_UP | LEP_UP_AT_ONCE => ("upload", &*here, ""),
            LEP_DOWN | LEP_DOWN_AT_ONCE => ("download", "", &*into),
            _ => return Ok(None),
        };
        let names = lep::some(&self.names, self.lep_files);
        if verb == "download" {
            // It makes no folders.
            for name in &names {
                fs::create_dir_all(destination.join(name).parent().unwrap_or(&destination))?;
            }
        }
        let list = self.folder.join("names");
        fs::write(&list, names.iter().map(|name| format!("{name}\n")).collect::<String>())?;
        let url = format!("https://{HOST}:{}/api/v2/workspaces/{WORKSPACE}", port.port());
        let client = Client::new(NEW, WORKSPACE, &url, TOKEN, &self.folder.join(AUTHORITY));
        let at_once = matches!(*tool, LEP_UP_AT_ONCE | LEP_DOWN_AT_ONCE);
        let usage =
            self.measured(&lep::command(&client, Transfer { verb, from, to, names: &list }, at_once))?;
        let (of, all) = (names.len(), self.names.len());
        if of < all {
            self.note(format!("`lep` was asked for {of} of the {all} files; what it took is scaled to all"));
        }
        Ok(Some(lep::scaled(usage, of, all)))
    }

    fn send(&mut self, tool: &Tool) -> Result<Sample> {
        let root = self.fresh()?;
        let source = self.source();
        let usage = match tool.argv.first() {
            Some(&"rsync") => {
                let rsyncd = Rsyncd::start(&self.program("rsyncd")?, &root, &self.folder)?;
                let distance = Distance::to(rsyncd.address, ROUND_TRIP)?;
                let places = Places { source: &source, destination: &root, port: distance.address() };
                let mut command = places.command(tool, &self.program("rsync")?);
                command.env("RSYNC_PASSWORD", &rsyncd.password);
                self.measured(&command)?
            }
            Some(&"through") => {
                let mut tar = Command::new("tar");
                tar.args(["xf", "-", "-C"]).arg(&root);
                self.through(tool, tar)?
            }
            _ => self.through_gateway(&root, tool)?,
        };
        let sync_seconds = self.disk()?.sync()?.as_secs_f64();
        self.judge(tool, &root)?;
        Ok(sample(&usage, sync_seconds))
    }

    fn fetch(&mut self, tool: &Tool) -> Result<Sample> {
        let (root, destination) = (self.source(), self.destination());
        removed(&destination)?;
        fs::create_dir(&destination)?;
        let usage = match tool.argv.first() {
            Some(&"through") => {
                let mut tar = Command::new("tar");
                tar.args(["cf", "-", "-C"]).arg(&root).arg(TREE);
                self.through(tool, tar)?
            }
            _ => self.through_gateway(&root, tool)?,
        };
        self.judge(tool, &destination)?;
        removed(&destination)?;
        Ok(sample(&usage, 0.0))
    }

    /// The tool's tar, and `there` at the other end.
    fn through(&self, tool: &Tool, there: Command) -> Result<Usage> {
        let there = AtTheEnd::start(there)?;
        let distance = Distance::to(there.address, ROUND_TRIP)?;
        let (source, destination) = (self.source(), self.destination());
        let places = Places { source: &source, destination: &destination, port: distance.address() };
        let usage = self.measured(&places.command(tool, &self.program("through")?))?;
        there.ended()?;
        Ok(usage)
    }

    /// Whether what arrived is what was to arrive: all, or all that the real client was asked for.
    fn judge(&self, tool: &Tool, arrived: &Path) -> Result<()> {
        let source = self.source();
        if !matches!(*tool, LEP_UP | LEP_UP_AT_ONCE | LEP_DOWN | LEP_DOWN_AT_ONCE) {
            return same_contents(&source.join(TREE), &arrived.join(TREE));
        }
        let names = lep::some(&self.names, self.lep_files);
        let count = files(&arrived.join(TREE))?.len();
        ensure!(count == names.len(), "{count} of {} files are there", names.len());
        for name in names {
            let content = fs::read(arrived.join(&name)).with_context(|| name.clone())?;
            ensure!(content == fs::read(source.join(&name))?, "{name} has another content");
        }
        Ok(())
    }

    /// The disk's root, without what runs before left there, and with nothing of it in any cache.
    fn fresh(&self) -> Result<PathBuf> {
        let disk = self.disk()?;
        for left in [TREE, HIDDEN] {
            removed(&disk.path().join(left))?;
        }
        Disk::chill(&[disk])?;
        Ok(disk.path().to_owned())
    }

    fn start(&mut self, tool: &Tool) -> Result<Sample> {
        let [name, arguments @ ..] = tool.argv else { bail!("no program") };
        let mut command = Command::new(self.program(name)?);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let usage = self.measured(&command)?;
        let mut seconds = Vec::new();
        for _ in 0..STARTS {
            let started = Instant::now();
            ensure!(command.status()?.success(), "{} fails", tool.shown());
            seconds.push(started.elapsed().as_secs_f64());
        }
        let slowest = seconds.iter().copied().fold(0.0, f64::max);
        self.note(format!("the slowest of {STARTS} starts of a run took {:.1} ms", slowest * 1e3));
        Ok(Sample { seconds: median(seconds), ..sample(&usage, 0.0) })
    }

    fn list(&mut self, tool: &Tool) -> Result<Sample> {
        let gateway = self.gateway(&self.source())?;
        let distance = Distance::to(gateway.address, ROUND_TRIP)?;
        let (source, destination) = (self.source(), self.destination());
        let places = Places { source: &source, destination: &destination, port: distance.address() };
        let mut command = places.command(tool, &self.program("wfs")?);
        command::leads_to_gateway(&mut command, distance.address(), &self.folder);
        let before = gateway.requests()?;
        let usage = self.measured(&command)?;
        let requests = gateway.requests()? - before;
        ensure!(requests > 0, "the gateway counts no requests");
        Ok(Sample { operations: Some(requests), ..sample(&usage, 0.0) })
    }
}

fn sample(usage: &Usage, sync_seconds: f64) -> Sample {
    let Usage { seconds, processor_seconds, memory_bytes, .. } = *usage;
    Sample { seconds, sync_seconds, processor_seconds, memory_bytes, operations: None }
}

fn removed(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Of questions and answers of one byte, the middle one.
fn round_trip() -> Result<Duration> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let distance = Distance::to(listener.local_addr()?, ROUND_TRIP)?;
    std::thread::spawn(move || -> std::io::Result<()> {
        let mut stream = listener.accept()?.0;
        let mut from = stream.try_clone()?;
        std::io::copy(&mut from, &mut stream).map(drop)
    });
    let mut stream = TcpStream::connect(distance.address())?;
    stream.set_nodelay(true)?;
    let mut seconds = Vec::new();
    // The first waits for the handshake too.
    for _ in 0..=QUESTIONS {
        let asked = Instant::now();
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])?;
        seconds.push(asked.elapsed().as_secs_f64());
    }
    Ok(Duration::from_secs_f64(median(seconds.split_off(1))))
}

impl Course for Counter {
    fn prepare(&mut self, race: &Race, shape: Shape) -> Result<()> {
        (self.disk, self.names, self.notes) = (None, Vec::new(), Vec::new());
        let source = self.source();
        removed(&source)?;
        fs::create_dir(&source)?;
        if race.task == Task::Start {
            return Ok(());
        }
        if race.task == Task::Send {
            let files = shape.files + shape.directories;
            self.disk = Some(Disk::make(&self.folder, "disk", Format::Xfs, DISK_BYTES, files)?);
        }
        let bytes = shape.bytes_min..=shape.bytes_max;
        let tree = Tree { directories: shape.directories, files: shape.files, bytes, seed: 1 };
        tree.make(&source.join(TREE))?;
        self.names = files(&source)?.into_iter().map(|(name, _)| name).collect();
        self.names.sort();
        let measured = round_trip()?.as_secs_f64() * 1e3;
        self.note(format!("a byte there and back takes {measured:.1} ms"));
        Ok(())
    }

    fn run(&mut self, race: &Race, tool: &Tool, _ours: bool) -> Result<Sample> {
        let sample = match race.task {
            Task::Send => self.send(tool),
            Task::Fetch => self.fetch(tool),
            Task::Start => self.start(tool),
            Task::List => self.list(tool),
            _ => bail!("that has a course of its own"),
        };
        let sample = sample.with_context(|| format!("{}: {}", race.title, tool.shown()))?;
        sample.tell(tool);
        Ok(sample)
    }

    fn notices_changes(&mut self, _race: &Race) -> Result<()> {
        bail!("a transfer is no refresh")
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // The disk first: it is mounted in it. What stays after all, the next run removes.
        self.disk = None;
        let _ = fs::remove_dir_all(&self.memory);
        let _ = fs::remove_dir_all(&self.folder);
    }
}
