//! The grace period of a restarted server, as several computers meet it: each has its own address and name, and so is a
//! client of its own.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use workspacefs_sys::unmount;

use super::server::{GRACE_SECONDS, Server};
use crate::world::{Image, MountPoint, run, text, tried};

const RESTART_TIME_MAX: Duration = Duration::from_secs(30);
/// A client asks again after ever longer pauses.
const GRACE_TIME_MAX: Duration = Duration::from_secs(60);
/// What Ganesha says at the end of a grace period.
const LIFTED: &str = "NOT IN GRACE";

/// A computer with the export mounted, as far as the server can tell.
struct Computer {
    name: &'static str,
    subnet: u8,
    mount: MountPoint,
}

impl Computer {
    fn new(name: &'static str, subnet: u8) -> Self {
        let this = Self { name, subnet, mount: MountPoint::new() };
        // What a run left that was killed.
        this.remove();
        run("ip", &["netns", "add", name]);
        run("ip", &["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name]);
        run("ip", &["address", "add", &this.address(1), "dev", name]);
        run("ip", &["link", "set", name, "up"]);
        run("ip", &["-n", name, "address", "add", &this.address(2), "dev", "eth0"]);
        run("ip", &["-n", name, "link", "set", "eth0", "up"]);
        this
    }

    fn address(&self, host: u8) -> String {
        format!("192.168.{}.{host}/24", self.subnet)
    }

    fn mount(&self) {
        // The mount's network and the client's name are those of the process that mounts; the place is everybody's.
        let line = format!(
            "echo {} > /proc/sys/kernel/hostname && exec mount -t nfs -o vers=4.2,timeo=50 192.168.{}.1:/workspacefs {}",
            self.name,
            self.subnet,
            text(self.mount.path())
        );
        let network = format!("--net=/run/netns/{}", self.name);
        run("nsenter", &[&network, "unshare", "--uts", "sh", "-c", &line]);
    }

    /// Opens a file for writing and keeps it open for so long.
    fn opens(&self, path: &str, seconds: u32) -> Opener {
        let file = self.mount.path().join(path);
        let line = format!("exec 9>>\"$1\" && exec sleep {seconds}");
        Opener(Command::new("sh").args(["-c", &line, "opener", text(&file)]).spawn().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.mount.path().join(path)
    }

    fn cut(&self) -> Cut {
        run("ip", &["link", "set", self.name, "down"]);
        Cut(self.name)
    }

    fn remove(&self) {
        let _ = tried("ip", &["link", "delete", self.name]);
        let _ = tried("ip", &["netns", "delete", self.name]);
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        let _ = unmount::everything(self.mount.path());
        self.remove();
    }
}

/// A pulled cable, plugged at the end.
struct Cut(&'static str);

impl Drop for Cut {
    fn drop(&mut self) {
        let _ = tried("ip", &["link", "set", self.0, "up"]);
    }
}

/// A process that opens a file.
struct Opener(Child);

impl Opener {
    /// Whether it has ended, and well.
    fn ended(&mut self) -> bool {
        let status = self.0.try_wait().unwrap();
        assert!(status.is_none_or(|status| status.success()), "it could not open the file");
        status.is_some()
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that writes two bytes at a time through one open file, each to the server's disk before the next. To look at
/// them by another open file would be to wait for the grace period's end.
struct Writer {
    child: Child,
    on_disk: PathBuf,
}

impl Writer {
    fn start(file: &Path, on_disk: PathBuf) -> Self {
        let line = "while echo x; do sleep 0.05; done | exec dd of=\"$1\" bs=2 iflag=fullblock oflag=dsync status=none";
        Self { child: Command::new("sh").args(["-c", line, "writer", text(file)]).spawn().unwrap(), on_disk }
    }

    fn written(&self) -> u64 {
        // It may not have begun.
        std::fs::metadata(&self.on_disk).map_or(0, |metadata| metadata.len())
    }

    /// Waits until it goes on, which it must.
    fn goes_on(&mut self) -> Duration {
        let (started, before) = (Instant::now(), self.written());
        while self.written() < before + 20 {
            assert!(self.child.try_wait().unwrap().is_none(), "the writer got an error");
            assert!(started.elapsed() < GRACE_TIME_MAX, "the writer hangs");
            std::thread::sleep(Duration::from_millis(50));
        }
        started.elapsed()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn a_new_client_waits_while_the_grace_period_lasts_and_an_old_one_goes_on() {
    let image = Image::blank(640);
    let server = Server::on_device(image.device()).ready();
    let own = server.make_file_system(200).folder;
    let [old, away, new] =
        [("old", 71), ("away", 72), ("new", 73)].map(|(name, net)| Computer::new(name, net));
    old.mount();
    let on_disk = server.mount.path().join("export").join(&own);
    let mut writer = Writer::start(&old.path(&format!("{own}/log")), on_disk.join("log"));
    writer.goes_on();
    // Ganesha ends a grace period early once every client it knew has reclaimed: this one never does.
    away.mount();
    let _open = away.opens(&format!("{own}/away"), 600);
    let started = Instant::now();
    while !on_disk.join("away").exists() {
        assert!(started.elapsed() < RESTART_TIME_MAX, "the file is not opened");
        std::thread::sleep(Duration::from_millis(50));
    }
    let _cut = away.cut();

    let lifted = || server.said().matches(LIFTED).count();
    let before = lifted();
    let process = server.ganesha();
    kill_process(process, Signal::KILL).unwrap();
    let killed = Instant::now();
    while server.ganesha() == process || TcpStream::connect("127.0.0.1:2049").is_err() {
        assert!(killed.elapsed() < RESTART_TIME_MAX, "it is not started again\n{}", server.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Mounting and looking need no state, so they do not wait.
    new.mount();
    assert!(new.path(&own).is_dir() && lifted() == before, "the grace period is over too soon");
    let mut opener = new.opens(&format!("{own}/new"), 0);
    println!("  the old client waited {:?}", writer.goes_on());
    assert_eq!(lifted(), before, "the old client waited for the end of the grace period");
    assert!(!opener.ended(), "a new client need not wait");
    let mut waiting = killed.elapsed();
    while !opener.ended() {
        waiting = killed.elapsed();
        assert!(waiting < GRACE_TIME_MAX, "the new client hangs\n{}", server.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("  the new client waited until {waiting:?} after the kill");
    assert_eq!(lifted(), before + 1, "it was let in during the grace period\n{}", server.said());
    let grace = Duration::from_secs(GRACE_SECONDS.parse().unwrap());
    assert!(waiting >= grace, "the grace period ended early");
    writer.goes_on();
}
