//! Where races are run: a disk with the source, a disk with the destination, and a slow file system before one of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use workspacefs_slowfs::{Settings, SlowFs, self_check};

use super::judge;
use super::race::{Race, Slow, Task};
use super::report::Sample;
use super::shape::Shape;
use super::side_by_side::Course;
use super::tool::{Places, Tool};
use crate::arena::{self, Disk, Format};
use crate::run;
use crate::tree::Tree;

/// What is far away is so far.
const DELAY: Duration = Duration::from_millis(1);
/// How far the kernel reads ahead on it, in KiB: its own default, which most network file systems come with.
const READ_AHEAD_KIB: u64 = 128;
/// The name of the tree on its disk.
const TREE: &str = "tree";
/// So many must be able to wait at the same time, or what is measured is the slow file system.
const AT_ONCE_MIN: u64 = 24;

/// The real thing.
#[derive(Debug)]
pub struct FileSystems {
    folder: PathBuf,
    /// The same, in memory.
    memory: PathBuf,
    programs: Vec<PathBuf>,
    /// The source's disk, and the tree that it has.
    source: Option<Source>,
    /// The destination's.
    destination: Option<Destination>,
    /// Locked, so that no other run measures here meanwhile.
    _alone: File,
}

#[derive(Debug)]
struct Source {
    shape: Shape,
    is_elsewhere: bool,
    disk: Disk,
}

#[derive(Debug)]
struct Destination {
    shape: Shape,
    disk: Disk,
    /// It has the tree of the source.
    is_filled: bool,
}

impl FileSystems {
    /// With disks in a folder `trees` of this one, and programs from those.
    ///
    /// # Errors
    /// Mounts would be seen by others, another run is going on there, or the slow file system does not do what it is for.
    pub fn new(folder: &Path, programs: Vec<PathBuf>) -> Result<Self> {
        let arena::Place { folder, memory, alone } =
            arena::Place::alone(folder, "trees", "workspacefs-bench")?;
        let this = Self { folder, memory, programs, source: None, destination: None, _alone: alone };
        let check_in = this.folder.join("self-check");
        fs::create_dir(&check_in)?;
        let check = self_check(&this.program("slowfs")?, &check_in)?;
        eprintln!("slowfs: {check:?}");
        ensure!(check.at_once >= AT_ONCE_MIN, "slowfs serves too few at once: {check:?}");
        Ok(this)
    }

    fn program(&self, name: &str) -> Result<PathBuf> {
        let mut paths = self.programs.iter().map(|folder| folder.join(name));
        paths.find(|path| path.is_file()).with_context(|| format!("there is no {name}"))
    }

    fn source_disk(&self) -> Result<&Disk> {
        Ok(&self.source.as_ref().context("no source was prepared")?.disk)
    }

    fn destination_disk(&self) -> Result<&Disk> {
        Ok(&self.destination.as_ref().context("no destination was prepared")?.disk)
    }

    /// Makes the destination what it is to be before a run.
    fn reset_destination(&mut self, task: Task, shape: Shape) -> Result<()> {
        let refreshes = matches!(task, Task::FillAgain | Task::FillChanged);
        let fills = !refreshes && !matches!(task, Task::Copy | Task::Fill);
        let is_ready = |has: &Destination| {
            matches!(task, Task::Refresh | Task::Read) && has.is_filled && has.shape == shape
        };
        if self.destination.as_ref().is_some_and(is_ready) {
            return Ok(());
        }
        // Two disks of one name there cannot be.
        self.destination = None;
        // Beside the tree lie a generation and the next one's folders.
        let times = if refreshes { 3 } else { 1 };
        let room = Shape { files: shape.files * times, directories: shape.directories * times, ..shape };
        let disk = room.disk(&self.folder, "destination", Format::Ext4)?;
        if fills {
            shape.tree().make(&disk.path().join(TREE))?;
        }
        self.destination = Some(Destination { shape, disk, is_filled: fills });
        if refreshes {
            self.fill_generation()?;
        }
        if task == Task::FillChanged {
            judge::rewrite_some(&self.source_disk()?.path().join(TREE))?;
        }
        Ok(())
    }

    /// The first generation, and for the peers the tree, from the source's own disk.
    fn fill_generation(&self) -> Result<()> {
        let (source, destination) =
            (self.source_disk()?.path().join(TREE), self.destination_disk()?.path().join(TREE));
        self.shape()?.tree().make(&destination)?;
        let scratch = self.scratch()?;
        let places = Places { source: &source, destination: &destination, scratch: &scratch, mebibytes: 0 };
        let folders: Vec<&Path> = self.programs.iter().map(PathBuf::as_path).collect();
        run::run(&self.program("measured")?, &super::tool::MOVER.command(places, &folders))?;
        Ok(fs::remove_dir_all(&scratch)?)
    }

    fn scratch(&self) -> Result<PathBuf> {
        let scratch = self.folder.join("scratch");
        fs::create_dir_all(&scratch)?;
        Ok(scratch)
    }

    fn shape(&self) -> Result<Shape> {
        Ok(self.source.as_ref().context("no source was prepared")?.shape)
    }

    /// Puts the slow file system before one of the disks; what a tool gets as source and destination.
    fn slow(&self, slow: Slow) -> Result<(Option<SlowFs>, PathBuf, PathBuf)> {
        let (source, destination) = (self.source_disk()?.path(), self.destination_disk()?.path());
        let mountpoint = self.folder.join("slow");
        let start = |lower: &Path, plus: bool, read_only: bool| -> Result<SlowFs> {
            fs::create_dir_all(&mountpoint)?;
            let settings = Settings { delay: DELAY, plus, read_only };
            let slow = SlowFs::start(&self.program("slowfs")?, lower, &mountpoint, settings)?;
            slow.set_read_ahead(READ_AHEAD_KIB)?;
            Ok(slow)
        };
        let (source, destination) = (source.to_owned(), destination.to_owned());
        Ok(match slow {
            Slow::Nothing => (None, source, destination),
            Slow::Source => (Some(start(&source, false, true)?), mountpoint, destination),
            Slow::SourcePlus => (Some(start(&source, true, true)?), mountpoint, destination),
            Slow::Destination => (Some(start(&destination, false, false)?), source, mountpoint),
        })
    }

    /// One command from a cold start.
    fn measure(&mut self, race: &Race, tool: &Tool) -> Result<Sample> {
        Disk::chill(&[self.source_disk()?, self.destination_disk()?])?;
        let scratch = self.scratch()?;
        let (mut slow, source, destination) = self.slow(race.slow)?;
        let (source, destination) = (source.join(TREE), destination.join(TREE));
        if tool.wants_destination {
            fs::create_dir(&destination)?;
        }
        let mebibytes = self.shape()?.mebibytes();
        let places = Places { source: &source, destination: &destination, scratch: &scratch, mebibytes };
        let folders: Vec<&Path> = self.programs.iter().map(PathBuf::as_path).collect();
        let command = tool.command(places, &folders);

        let before = slow.as_mut().map(SlowFs::counters).transpose()?;
        let usage = run::run(&self.program("measured")?, &command)?;
        let after = slow.as_mut().map(SlowFs::counters).transpose()?;
        let sync = self.destination_disk()?.sync()?;
        if let Some(slow) = slow {
            slow.stop()?;
        }
        fs::remove_dir_all(&scratch)?;
        let counted = after.zip(before).map(|(after, before)| after.since(&before));
        let by_kind = counted.as_ref().map(|counted| format!(" {counted}")).unwrap_or_default();
        eprintln!("    {:>11} {:8.3} s{by_kind}", tool.name, usage.seconds);
        Ok(Sample {
            seconds: usage.seconds,
            sync_seconds: sync.as_secs_f64(),
            processor_seconds: usage.processor_seconds,
            memory_bytes: usage.memory_bytes,
            operations: counted.map(|counted| counted.slow()),
        })
    }

    fn judge(&self, task: Task) -> Result<()> {
        let copy = self.destination_disk()?.path().join(TREE);
        match task {
            Task::Refresh | Task::Copy | Task::Read => {
                judge::equal(&self.source_disk()?.path().join(TREE), &copy)
            }
            // Where nothing has changed, the first generation is the copy of what the source is now.
            Task::Fill | Task::FillAgain | Task::FillChanged => {
                let number = if task == Task::FillChanged { "2" } else { "1" };
                let generation = self.destination_disk()?.path().join("cache").join(number);
                judge::equal(&self.source_disk()?.path().join(TREE), &generation.join("data").join(TREE))
            }
            Task::Delete => {
                let is_there = copy.symlink_metadata().is_ok();
                ensure!(!is_there, "the tree is still there");
                Ok(())
            }
            Task::Download
            | Task::Upload
            | Task::FirstPage
            | Task::Rest
            | Task::Import
            | Task::Send
            | Task::Fetch
            | Task::Start
            | Task::List => bail!("servers have courses of their own"),
        }
    }
}

impl Drop for FileSystems {
    fn drop(&mut self) {
        // Disks first: they are mounted in it. What stays after all, the next run removes.
        (self.source, self.destination) = (None, None);
        let _ = fs::remove_dir(&self.memory);
    }
}

impl Course for FileSystems {
    fn prepare(&mut self, race: &Race, shape: Shape) -> Result<()> {
        let is_elsewhere = race.source_is_elsewhere();
        let fits = |has: &Source| has.shape == shape && has.is_elsewhere == is_elsewhere;
        if !self.source.as_ref().is_some_and(fits) {
            // Before the next is made: together they may not have room.
            (self.source, self.destination) = (None, None);
            let folder = if is_elsewhere { &self.memory } else { &self.folder };
            let disk = shape.disk(folder, "source", Format::Source)?;
            // What is only deleted has no source.
            if race.task != Task::Delete {
                shape.tree().make(&disk.path().join(TREE))?;
            }
            self.source = Some(Source { shape, is_elsewhere, disk });
        }
        Ok(())
    }

    fn run(&mut self, race: &Race, tool: &Tool, ours: bool) -> Result<Sample> {
        let shape = self.shape()?;
        self.reset_destination(race.task, shape)?;
        let sample = self.measure(race, tool).with_context(|| format!("{}: {}", race.title, tool.shown()))?;
        if ours {
            self.judge(race.task).with_context(|| tool.shown())?;
        }
        Ok(sample)
    }

    fn notices_changes(&mut self, race: &Race) -> Result<()> {
        judge::change(&self.source_disk()?.path().join(TREE))?;
        eprintln!("    changed four files, refreshing once more:");
        self.measure(race, race.ours)?;
        self.judge(race.task).context("files changed in the source, and a refresh did not bring it over")
    }
}

impl Shape {
    fn tree(&self) -> Tree {
        let bytes = self.bytes_min..=self.bytes_max;
        Tree { directories: self.directories, files: self.files, bytes, seed: 1 }
    }

    /// What its files have together, about: their sizes are spread evenly.
    fn mebibytes(&self) -> u64 {
        ((self.bytes_min + self.bytes_max) / 2 * self.files) >> 20
    }

    /// A disk with room for it; its file is sparse, so that too large a disk costs nothing.
    fn disk(&self, folder: &Path, name: &str, format: Format) -> Result<Disk> {
        const BLOCK: u64 = 4096;
        let blocks = self.files * (self.bytes_max.div_ceil(BLOCK) + 1);
        let bytes = blocks * BLOCK / 10 * 12 + (512 << 20);
        Ok(Disk::make(folder, name, format, bytes, self.files + self.directories)?)
    }
}
