//! The whole agent with a real NFS-Ganesha, as a pod meets it through the kernel's NFS client.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tonic::transport::Channel;
use workspacefs_agent_proto::v1::agent_client::AgentClient;
use workspacefs_agent_proto::v1::{self, Disposal};
use workspacefs_nfs_server::command;
use workspacefs_sys::inspect;

use crate::world::{A, Image, MIB, MountPoint, NAMESPACE, USER, folder, names, run, text, tried, write_as};

const HTTP: &str = "127.0.0.1:19813";
const READY_TIME_MAX: Duration = Duration::from_secs(60);
const END_TIME_MAX: Duration = Duration::from_secs(25);
pub(super) const GRACE_SECONDS: &str = "8";

/// A running agent.
pub(super) struct Server {
    child: Child,
    run: tempfile::TempDir,
    pub(super) mount: MountPoint,
    log: PathBuf,
}

impl Server {
    pub(super) fn on_device(device: &Path) -> Self {
        Self::start(&[], &["--device", text(device)])
    }

    /// With a trash that is emptied at once.
    fn forgetful(device: &Path) -> Self {
        Self::start(&[], &["--device", text(device), "--trash-keep-seconds", "0"])
    }

    /// `wrap` is a program, with arguments, that starts ours.
    pub(super) fn start(wrap: &[&str], storage: &[&str]) -> Self {
        let (run, mount) = (folder(), MountPoint::new());
        let log = run.path().join("log");
        let output = File::create(&log).unwrap();
        let own = std::env::current_exe().unwrap();
        let words = [wrap, &[text(&own), "serve", "--grace-seconds", GRACE_SECONDS], storage].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .args(["--run-dir", text(run.path()), "--mount-point", text(mount.path()), "--http", HTTP])
            .args(["--agent-port", "19443", "--tls", text(&run.path().join("tls"))])
            .env("WSFS_LOG_FORMAT", "text")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child, run, mount, log }
    }

    pub(super) fn ready(self) -> Self {
        let started = Instant::now();
        while !readyz().starts_with("HTTP/1.1 200") {
            assert!(started.elapsed() < READY_TIME_MAX, "{}\n{}", readyz(), self.said());
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("  ready after {:.1} s", started.elapsed().as_secs_f32());
        self
    }

    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn call<T>(
        &self,
        call: impl AsyncFnOnce(AgentClient<Channel>) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<T, tonic::Status> {
        let socket = self.run.path().join("agent.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let channel = command::connect(&socket).await.unwrap();
            call(AgentClient::new(channel)).await.map(tonic::Response::into_inner)
        })
    }

    pub(super) fn make_file_system(&self, mib: u64) -> v1::FileSystem {
        let wish = v1::EnsureFileSystemRequest {
            uid: A.into(),
            namespace_uid: NAMESPACE.into(),
            namespace: "team-a".into(),
            name: "default".into(),
            capacity_bytes: mib * MIB,
            owner: Some(v1::Owner { uid: USER, gid: USER, mode: 0o777 }),
            adopt: String::new(),
        };
        self.call(async |mut agent| agent.ensure_file_system(wish).await).unwrap()
    }

    pub(super) fn make_claim(&self, name: &str, mib: u64) -> v1::Claim {
        let wish = v1::EnsureClaimRequest {
            file_system_uid: A.into(),
            name: name.into(),
            required_bytes: mib * MIB,
            limit_bytes: 0,
            owner: Some(v1::Owner { uid: 0, gid: 0, mode: 0o777 }),
        };
        self.call(async |mut agent| agent.ensure_claim(wish).await).unwrap()
    }

    pub(super) fn remove_claim(&self, name: &str) -> String {
        let wish = v1::RemoveClaimRequest {
            file_system_uid: A.into(),
            name: name.into(),
            disposal: Disposal::Trash.into(),
        };
        self.call(async |mut agent| agent.remove_claim(wish).await).unwrap().kept_as
    }

    pub(super) fn ganesha(&self) -> Pid {
        let id = fs::read_to_string(self.run.path().join("ganesha.pid")).unwrap();
        Pid::from_raw(id.trim().parse().unwrap()).unwrap()
    }

    /// SIGTERM, and how it ended.
    fn end(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                println!("  ended after {:.1} s", asked.elapsed().as_secs_f32());
                return status;
            }
            assert!(asked.elapsed() < END_TIME_MAX, "it does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            for _ in 0..200 {
                if let Ok(Some(_)) = self.child.try_wait() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            let _ = rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            println!("{}", self.said());
        }
    }
}

fn readyz() -> String {
    let Ok(mut stream) = TcpStream::connect(HTTP) else { return "nobody listens".into() };
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {HTTP}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    answer
}

/// The export, as the node plugin mounts it.
struct Client(MountPoint);

impl Client {
    fn new(options: &str) -> Self {
        let mount = MountPoint::new();
        let options = format!("timeo=50,{options}");
        run("mount", &["-t", "nfs", "-o", &options, "127.0.0.1:/workspacefs", text(mount.path())]);
        Self(mount)
    }

    fn path(&self, folder: &str) -> PathBuf {
        self.0.path().join(folder)
    }
}

pub fn a_pod_writes_up_to_its_quota_and_hears_why_it_is_stopped() {
    let image = Image::blank(1024);
    let server = Server::on_device(image.device()).ready();
    let own = server.make_file_system(500).folder;
    let claims = ["root", "user"].map(|name| server.make_claim(name, 100).folder);
    let client = Client::new("vers=4.2");
    for (user, claim) in [(0, &claims[0]), (USER, &claims[1])] {
        let file = client.path(claim).join("big");
        let said = write_as(user, &file, 200).unwrap_err();
        println!("  user {user}: {}", said.trim());
        assert!(said.contains("No space left") || said.contains("quota exceeded"), "{said}");
    }
    let list = server.call(async |mut agent| agent.list_file_systems(v1::ListFileSystemsRequest {}).await);
    for claim in &list.unwrap().file_systems[0].claims {
        let usage = claim.usage.unwrap();
        println!("  {}: {} of {}", claim.name, usage.bytes_used, usage.bytes_limit);
        assert!(usage.bytes_used <= 101 * MIB && usage.bytes_used >= 95 * MIB);
    }
    // A neighbour writes on, with its own owner.
    write_as(USER, &client.path(&own).join("file"), 50).unwrap();
    println!("{}", run("df", &["-h", text(&client.path(&claims[0]))]));
}

pub fn only_version_4_1_and_4_2_are_served() {
    let image = Image::blank(320);
    let _server = Server::on_device(image.device()).ready();
    for version in ["4.1", "4.2"] {
        drop(Client::new(&format!("vers={version}")));
    }
    for version in ["4.0", "3"] {
        let mount = MountPoint::new();
        let options = format!("vers={version},retry=0,nolock");
        let arguments =
            ["10", "mount", "-t", "nfs", "-o", &options, "127.0.0.1:/workspacefs", text(mount.path())];
        assert!(!tried("timeout", &arguments).status.success(), "version {version} is served");
    }
}

pub fn a_folder_made_again_is_never_the_old_one() {
    let image = Image::blank(640);
    let server = Server::on_device(image.device()).ready();
    server.make_file_system(200);
    let claim = server.make_claim("a", 20).folder;
    // The client's own cache is not the matter.
    let client = Client::new("vers=4.2,lookupcache=none,actimeo=0");
    fs::write(client.path(&claim).join("secret"), "of the first").unwrap();
    assert_eq!(names(&client.path(&claim)), ["secret"]);
    let held = File::open(client.path(&claim).join("secret")).unwrap();
    server.remove_claim("a");
    assert!(!client.path(&claim).exists(), "it is still there for clients");
    assert_eq!(server.make_claim("a", 20).folder, claim);
    assert_eq!(names(&client.path(&claim)), Vec::<String>::new(), "the old one is back");
    fs::write(client.path(&claim).join("new"), "of the second").unwrap();
    let on_disk = server.mount.path().join("export").join(&claim);
    assert_eq!(names(&on_disk), ["new"]);
    drop(held);
    // A huge folder is listed whole without the cache that was switched off.
    let folder = client.path(&claim).join("many");
    fs::create_dir(&folder).unwrap();
    for n in 0..3000 {
        File::create(on_disk.join("many").join(n.to_string())).unwrap();
    }
    assert_eq!(names(&folder).len(), 3000);
}

pub fn a_new_folder_is_found_at_once_by_clients_that_saw_the_one_before() {
    let image = Image::blank(640);
    let server = Server::on_device(image.device()).ready();
    let own = server.make_file_system(200).folder;
    // With its caches, as the node plugin mounts it.
    let client = Client::new("vers=4.2");
    assert_eq!(names(&client.path(&own)), Vec::<String>::new());
    for name in ["a", "b", "c"] {
        let claim = server.make_claim(name, 20).folder;
        fs::write(client.path(&claim).join("file"), name).unwrap();
        // The last of its FileSystem each time.
        server.remove_claim(name);
    }
}

/// A process that writes numbered lines to a file until it is killed, holding a lock on it.
struct Writer {
    child: Child,
    file: PathBuf,
}

impl Writer {
    fn start(file: PathBuf) -> Self {
        let line = "exec 9>>\"$1\"; flock -x 9; n=0; while :; do n=$((n+1)); echo $n >&9 || exit 1; sleep 0.05; done";
        let child = Command::new("bash").args(["-c", line, "writer", text(&file)]).spawn().unwrap();
        Self { child, file }
    }

    /// How many lines there are; each must be what it was written as.
    fn lines(&self) -> usize {
        // It may not have begun.
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        for (number, line) in (1..).zip(&lines) {
            assert_eq!(line.parse(), Ok(number), "a line is lost");
        }
        lines.len()
    }

    /// Waits until it goes on, which it must.
    fn goes_on(&mut self) -> Duration {
        let (started, before) = (Instant::now(), self.lines());
        while self.lines() < before + 10 {
            assert!(self.child.try_wait().unwrap().is_none(), "the writer got an error");
            assert!(started.elapsed() < Duration::from_secs(60), "the writer hangs");
            std::thread::sleep(Duration::from_millis(100));
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

pub fn files_and_locks_outlive_the_servers_death() {
    let image = Image::blank(640);
    let server = Server::on_device(image.device()).ready();
    let own = server.make_file_system(200).folder;
    let client = Client::new("vers=4.2");
    let mut writer = Writer::start(client.path(&own).join("log"));
    writer.goes_on();
    for _ in 0..2 {
        let old = server.ganesha();
        kill_process(old, Signal::KILL).unwrap();
        println!("  killed: the writer waited {:?}", writer.goes_on());
        assert_ne!(server.ganesha(), old);
        assert!(!server.said().contains("panicked"));
        // The lock is still held.
        let again = tried("flock", &["-n", text(&client.path(&own).join("log")), "true"]);
        assert!(!again.status.success(), "the lock is lost");
    }
    let old = server.ganesha();
    kill_process(old, Signal::TERM).unwrap();
    println!("  ended: the writer waited {:?}", writer.goes_on());
    // The agent's own state is what it was.
    assert_eq!(server.make_file_system(200).folder, own);
}

pub fn a_disk_under_another_number_gives_no_stale_handles() {
    let mut image = Image::blank(640);
    let mut server = Server::on_device(image.device()).ready();
    let own = server.make_file_system(200).folder;
    let client = Client::new("vers=4.2");
    let mut writer = Writer::start(client.path(&own).join("log"));
    writer.goes_on();
    let held = File::open(client.path(&own)).unwrap();
    assert!(server.end().success());
    drop(server);
    image.attach_again();
    let server = Server::on_device(image.device()).ready();
    println!("  another number: the writer waited {:?}", writer.goes_on());
    assert!(rustix::fs::fstat(&held).is_ok());
    // In this order: what uses the share ends before its server.
    drop(held);
    drop(writer);
    drop(client);
    drop(server);
}

pub fn sigterm_ends_the_server_and_unmounts() {
    let image = Image::blank(640);
    let mut server = Server::on_device(image.device()).ready();
    server.make_file_system(200);
    assert_eq!(inspect::is_mount_root(server.mount.path()), Ok(true));
    let ganesha = server.ganesha();
    let status = server.end();
    assert!(status.success(), "{status}\n{}", server.said());
    assert_eq!(inspect::is_mount_root(server.mount.path()), Ok(false), "{}", server.said());
    assert!(kill_process(ganesha, Signal::CONT).is_err(), "the NFS server still runs");
    assert!(readyz().contains("nobody listens"));
    // Clean: nothing to replay.
    run("xfs_repair", &["-n", text(image.device())]);
}

pub fn a_refused_disk_is_explained_and_served_once_it_is_helped() {
    let image = Image::blank(320);
    run("mkfs.ext4", &["-q", "-F", "-L", "photos", text(image.device())]);
    let before = image.content();
    let server = Server::on_device(image.device());
    let started = Instant::now();
    while !readyz().contains("photos") {
        assert!(started.elapsed() < READY_TIME_MAX, "{}", server.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    let answer = readyz();
    println!("  {}", answer.lines().last().unwrap());
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("nothing was written"), "{answer}");
    let status = server.call(async |mut agent| agent.get_server(v1::GetServerRequest {}).await).unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.message().contains("ext4 labelled \"photos\""), "{status}");
    assert!(server.said().contains("photos"), "the log says it");
    assert_eq!(image.content(), before);
    run("wipefs", &["-q", "-a", text(image.device())]);
    run("dd", &["if=/dev/zero", &format!("of={}", text(image.device())), "bs=1M", "count=1", "status=none"]);
    let server = server.ready();
    let info = server.call(async |mut agent| agent.get_server(v1::GetServerRequest {}).await).unwrap();
    assert!(info.serving && info.bytes_unpromised > 0, "{info:?}");
}

pub fn the_first_process_of_a_container_reaps_orphans_and_passes_signals_on() {
    let image = Image::blank(320);
    let wrap = ["unshare", "--pid", "--mount", "--fork", "--mount-proc"];
    let mut server = Server::start(&wrap, &["--device", text(image.device())]).ready();
    let init = children(server.child.id());
    assert_eq!(init.len(), 1, "{init:?}");
    let target = init[0].to_string();
    // Each leaves a grandchild behind, which ends later.
    for _ in 0..5 {
        run("nsenter", &["--target", &target, "--pid", "sh", "-c", "(sleep 0.3 &) ; exit 0"]);
    }
    std::thread::sleep(Duration::from_secs(1));
    let left: Vec<String> = children(init[0]).iter().map(|id| state(*id)).collect();
    assert_eq!(left.len(), 1, "beside the agent proper: {left:?}");
    assert!(!left[0].starts_with('Z'), "{left:?}");
    // Only unshare is known to us; what Kubernetes signals is the first process.
    kill_process(Pid::from_raw(init[0].try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < END_TIME_MAX, "{}", server.said());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!((status.code(), status.signal()), (Some(0), None), "{}", server.said());
}

fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    fs::read_to_string(path).unwrap().split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// `S (name)`.
fn state(id: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("?", |(_, rest)| rest);
    format!("{} {stat}", after.chars().next().unwrap_or('?'))
}

pub fn the_command_line_lists_restores_and_discards() {
    let image = Image::blank(640);
    let server = Server::on_device(image.device()).ready();
    let own_folder = format!("export/{}", server.make_file_system(200).folder);
    let folder = server.mount.path().join("export").join(server.make_claim("pvc-1", 20).folder);
    fs::write(folder.join("file"), "kept").unwrap();
    let id = server.remove_claim("pvc-1");
    let own = std::env::current_exe().unwrap();
    let command =
        |words: &[&str]| tried(text(&own), &[words, &["--run-dir", text(server.run.path())]].concat());
    let listed = command(&["removed"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    println!("{listed}");
    assert!(listed.contains(&id) && listed.contains("claim pvc-1"), "{listed}");
    assert!(!command(&["restore", "trash/nothing"]).status.success());
    let restored = command(&["restore", &id]);
    let restored = String::from_utf8(restored.stdout).unwrap();
    println!("{restored}");
    assert!(restored.contains(&format!("volumeHandle: v1.vol.{A}.pvc-1")), "{restored}");
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "kept");

    assert!(!command(&["discard", &own_folder]).status.success(), "a FileSystem has it");
    let retain = v1::RemoveFileSystemRequest { uid: A.into(), disposal: Disposal::Retain.into() };
    server.call(async |mut agent| agent.remove_file_system(retain).await).unwrap();
    let listed = String::from_utf8(command(&["removed"]).stdout).unwrap();
    println!("{listed}");
    assert!(listed.contains(" retained ") && listed.contains(" orphaned "), "{listed}");
    let orphan = format!("export/claims/{A}/pvc-1");
    for id in [&own_folder, &orphan, &orphan] {
        let discarded = command(&["discard", id]);
        assert!(discarded.status.success(), "{}", String::from_utf8_lossy(&discarded.stderr));
    }
    assert!(!folder.exists() && !server.mount.path().join(&own_folder).exists());
    assert_eq!(names(&server.mount.path().join("trash")).len(), 2);
}

pub fn a_directory_is_served_as_a_device_is() {
    let (disk, image) = (MountPoint::new(), Image::blank(640));
    run("mkfs.xfs", &["-q", text(image.device())]);
    disk.mount("xfs", "prjquota", image.device());
    let base = disk.path().join("nfs");
    fs::create_dir(&base).unwrap();
    let mut server = Server::start(&[], &["--directory", text(&base)]).ready();
    let own = server.make_file_system(100).folder;
    let client = Client::new("vers=4.2");
    assert!(write_as(0, &client.path(&own).join("big"), 200).is_err());
    assert!(base.join("export").join(&own).join("big").exists());
    drop(client);
    assert!(server.end().success());
    assert_eq!(inspect::is_mount_root(disk.path()), Ok(true), "the administrator's mount is gone");
}

pub fn space_of_an_emptied_folder_is_free_though_clients_had_it_open() {
    let image = Image::blank(640);
    let server = Server::forgetful(image.device()).ready();
    server.make_file_system(400);
    let claim = server.make_claim("a", 200).folder;
    let client = Client::new("vers=4.2");
    write_as(0, &client.path(&claim).join("big"), 150).unwrap();
    for n in 0..50 {
        fs::write(client.path(&claim).join(n.to_string()), "x").unwrap();
    }
    let mut held = File::open(client.path(&claim).join("big")).unwrap();
    held.read_exact(&mut [0]).unwrap();
    let free = || {
        let stat = rustix::fs::statvfs(server.mount.path()).unwrap();
        stat.f_bavail * stat.f_frsize / MIB
    };
    let full = free();
    server.remove_claim("a");
    let emptied = || names(&server.mount.path().join("trash")).is_empty();
    let started = Instant::now();
    while !emptied() {
        assert!(started.elapsed() < Duration::from_secs(60), "the trash is not emptied\n{}", server.said());
        std::thread::sleep(Duration::from_millis(200));
    }
    // What a client has open is there until it closes it.
    drop(held);
    let started = Instant::now();
    while free() < full + 140 {
        let held = run("sh", &["-c", &format!("ls -l /proc/{}/fd | grep deleted || true", server.ganesha())]);
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{} MiB free, {full} before; held: {held}",
            free()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("  free after {:?}", started.elapsed());
}
