//! A program that serves a temporary folder, and clients.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use workspacefs_files_proto::rsync::RsyncSecret;

/// For a machine that is busy with other things.
const TIME_MAX: Duration = Duration::from_secs(30);

pub struct World {
    pub dir: TempDir,
    program: Child,
    /// Leads to the socket.
    port: u16,
}

/// What a client that has ended said.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Said {
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

impl World {
    pub fn start(options: &[&str]) -> Self {
        Self::start_by(&[], options)
    }

    /// Run by another program.
    pub fn start_by(by: &[&str], options: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("rsyncd-").tempdir().unwrap();
        for folder in ["root", "run", "local"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let line = [by, &[env!("CARGO_BIN_EXE_rsyncd")]].concat();
        let flag = |name: &str, value: PathBuf| format!("--{name}={}", value.display());
        let program = Command::new(line[0])
            .args(&line[1..])
            .args(["serve", "--rsync=/usr/bin/rsync", "--metrics=127.0.0.1:0", "--mode=0755"])
            .args([flag("root", dir.path().join("root")), flag("run", dir.path().join("run"))])
            .args(options)
            .env("WSFS_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let socket = dir.path().join("run/socket");
        let world = Self { dir, program, port: bridge(socket.clone()) };
        let since = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(since.elapsed() < TIME_MAX, "it does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        world
    }

    pub fn root(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    pub fn local(&self, path: &str) -> PathBuf {
        self.dir.path().join("local").join(path)
    }

    pub fn run(&self, path: &str) -> PathBuf {
        self.dir.path().join("run").join(path)
    }

    pub fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.local(path).parent().unwrap()).unwrap();
        fs::write(self.local(path), content).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The names in a folder, sorted.
    pub fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.root(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The present one; the first is written when the socket is there already.
    pub fn secret(&self) -> RsyncSecret {
        let since = Instant::now();
        let bytes = loop {
            match fs::read(self.run("exposed.json")) {
                Ok(bytes) => break bytes,
                Err(error) => assert!(since.elapsed() < TIME_MAX, "no secret: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        serde_json::from_slice(&bytes).unwrap()
    }

    pub fn socket(&self) -> UnixStream {
        UnixStream::connect(self.run("socket")).unwrap()
    }

    pub fn upload(&self, options: &[&str], from: &str, to: &str) -> Said {
        self.client(options, &[from, &format!("rsync://127.0.0.1:{}/volume/{to}", self.port)], "")
    }

    pub fn download(&self, from: &str, to: &str) -> Said {
        self.client(&["-a"], &[&format!("rsync://127.0.0.1:{}/volume/{from}", self.port), to], "")
    }

    /// To the port, past the gateway.
    pub fn past(&self, user: &str, password: &str, from: &str, to: &str) -> Said {
        let place = format!("rsync://{user}@127.0.0.1:{}/volume/{to}", self.secret().port);
        self.client(&["-a"], &[from, &place], password)
    }

    fn client(&self, options: &[&str], paths: &[&str], password: &str) -> Said {
        let output = Command::new("timeout")
            .args(["60", "rsync"])
            .args(options)
            .args(paths)
            .env("RSYNC_PASSWORD", password)
            .current_dir(self.local(""))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) {
        let id = Pid::from_raw(i32::try_from(self.program.id()).unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        assert!(self.program.wait().unwrap().success());
    }
}

/// A port that leads to the socket, for clients that know only ports. It runs as long as the tests do.
fn bridge(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(client), Ok(daemon)) = (stream, UnixStream::connect(&socket)) else { return };
            let (to_daemon, to_client) = (daemon.try_clone().unwrap(), client.try_clone().unwrap());
            let end = (client.try_clone().unwrap(), daemon.try_clone().unwrap());
            std::thread::spawn(move || pass(client, to_daemon, |to| to.shutdown(Shutdown::Write)));
            std::thread::spawn(move || {
                pass(daemon, to_client, |to: &TcpStream| to.shutdown(Shutdown::Both));
                drop(end);
            });
        }
    });
    port
}

fn pass<W: Write>(mut from: impl Read, mut to: W, end: impl Fn(&W) -> std::io::Result<()>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
        && to.write_all(&buffer[..read]).is_ok()
    {}
    let _ = end(&to);
}
