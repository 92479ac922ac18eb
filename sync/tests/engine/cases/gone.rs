//! The source is gone in the middle of a copy, as a server is that does not come back: the run ends in order, says so,
//! and takes nothing for deleted.

use std::fs;
use std::io::{BufRead, BufReader};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use workspacefs_slowfs::{Mount, serve};
use workspacefs_sync::{Control, DeleteLimit, Errno, Options, Stop, SyncError, sync};

use crate::judge;
use crate::model::build::noise;
use crate::tree::{Kind, Terms, look, names, temporaries};
use crate::world::{World, eventually, mirror, open, workers};

const FILES: u64 = 200;
const FILE: usize = 16 << 10;
const LARGE: usize = 24 << 20;
/// Of each operation, and bytes per second: slow enough to be in the middle.
const DELAY: Duration = Duration::from_millis(1);
const RATE: u64 = 16 << 20;

/// A folder on a server, which is a process of its own.
struct Server {
    process: Child,
    mounted: PathBuf,
}

impl Server {
    fn start(lower: &Path, mounted: &Path) -> Self {
        let mut process = Command::new("/proc/self/exe")
            .arg("slowfs")
            .args([lower, mounted])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { process, mounted: mounted.into() }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = rustix::mount::unmount(&self.mounted, rustix::mount::UnmountFlags::DETACH);
    }
}

/// The server's own process.
pub fn run_server(lower: &Path, mountpoint: &Path) -> ExitCode {
    let (lower, mountpoint) = (lower.into(), mountpoint.into());
    match serve(&Mount { lower, mountpoint, delay: DELAY, plus: false, read_only: true }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn fill(source: &Path, version: u64) {
    for n in 0..FILES {
        let folder = source.join(format!("{}/{}", n % 4, n % 20));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{n}")), noise(n * 10 + version, FILE)).unwrap();
    }
    fs::write(source.join("large"), noise(version, LARGE)).unwrap();
}

pub fn a_source_whose_server_is_killed_ends_the_run_and_the_next_completes_it(world: &World) {
    let all = FILES * FILE as u64 + LARGE as u64;
    // At its first byte, among the chunks of the large file and the small ones, near the end.
    for (n, read) in [1, all / 4, all / 2, all - all / 10].into_iter().enumerate() {
        let (lower, mounted) = (world.dir(&format!("{n}/lower")), world.dir(&format!("{n}/mounted")));
        let destination = world.memory(&format!("{n}/destination"), "mode=0755");
        let options =
            Options { delete: Some(DeleteLimit::NONE), bandwidth: NonZeroU64::new(RATE), ..workers(8) };
        fill(&lower, 1);
        mirror(&lower, &destination, &workers(2));
        let before = look(&destination);
        fill(&lower, 2);
        fs::write(lower.join("new"), "new").unwrap();
        let (after, there) = (look(&lower), names(&destination));

        let mut server = Server::start(&lower, &mounted);
        let (from, into) = (open(&mounted), open(&destination));
        let control = Control::new();
        let report = std::thread::scope(|scope| {
            scope.spawn(|| {
                eventually("so much is read", || control.snapshot().bytes_read >= read);
                server.kill();
            });
            sync(from.as_fd(), into.as_fd(), &options, &control).unwrap()
        });
        let Some(Stop::Source { errno, .. }) = &report.stopped else { panic!("{read}: {report:?}") };
        assert!([Errno::NOTCONN, Errno::CONNABORTED].contains(errno), "{read}: {report:?}");
        assert!(report.adds_up() && !report.is_complete(), "{read}: {report:?}");
        assert_eq!(report.deleted, 0, "{read}: {report:?}");
        let done = report.files.done.files;
        println!("ended with {errno:?}, {done} of {} files done", report.files.found.files);
        // Each file is the old one or the new one, and none is gone.
        assert_eq!(temporaries(&destination), Vec::<PathBuf>::new());
        let now = look(&destination);
        assert!(there.iter().all(|path| now.contains_key(path)), "{read}: {report:?}");
        let is_new = |path: &PathBuf, kind: &Kind| after.get(path).is_some_and(|entry| entry.kind == *kind);
        let mut new = 0;
        for (path, entry) in now.iter().filter(|(_, entry)| !entry.is_dir()) {
            let is_old = before.get(path).is_some_and(|old| old.kind == entry.kind);
            assert!(is_old || is_new(path, &entry.kind), "{path:?} is neither old nor new");
            new += u64::from(!is_old);
        }
        assert_eq!(new, done, "{read}: {report:?}");
        // One that begins when the server has gone already does not begin.
        let second = sync(from.as_fd(), into.as_fd(), &options, &Control::new());
        assert!(matches!(second, Err(SyncError::Source(Errno::NOTCONN))), "{second:?}");

        drop(server);
        let third = mirror(&lower, &destination, &Options { bandwidth: None, ..options }).report;
        assert_eq!(third.files.unchanged.files, done, "{third:?}");
        judge::assert_satisfied(&lower, &destination, Terms::PLAIN);
    }
}
