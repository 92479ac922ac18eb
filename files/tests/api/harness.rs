//! A server on a temporary folder, and a client that sends whatever it is told to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use workspacefs_files::app::{App, Settings, router};
use workspacefs_files::metrics::Metrics;
use workspacefs_files::root::{Owner, Root};
use workspacefs_files_proto::{ASSERTION_HEADER, Claims, Signer, Verb, Verifier};

pub const FS: &str = "11111111-2222-3333-4444-555555555555";
pub const ALL: [Verb; 3] = [Verb::Read, Verb::Write, Verb::Delete];

pub struct Server {
    /// Beside the served folder lies what nobody may reach.
    pub dir: tempfile::TempDir,
    pub addr: SocketAddr,
    pub signer: Signer,
    pub app: Arc<App>,
}

pub struct Ask<'s> {
    server: &'s Server,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    user: String,
    verbs: Vec<Verb>,
    assertion: Option<Option<String>>,
    promised: Option<usize>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body ended as it said it would.
    pub whole: bool,
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Server {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        std::fs::write(dir.path().join("secret"), "SECRET").unwrap();
        let root = dir.path().join("root");
        Self::start_on(dir, &root).await
    }

    pub async fn start_on(dir: tempfile::TempDir, root: &Path) -> Self {
        Self::start_with(dir, root, None).await
    }

    /// With a folder that an rsync daemon shares.
    pub async fn start_with(dir: tempfile::TempDir, root: &Path, rsync: Option<PathBuf>) -> Self {
        let signer = Signer::from_pem(&Signer::generate_pem().unwrap()).unwrap();
        let verifier = Verifier::new(vec![signer.public_key()], FS);
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let root = Arc::new(Root::open(root, Owner { uid, gid, mode: 0o775 }).unwrap());
        let settings = Settings { trash_days: 30, upload_days: 7, allow_endpoints: vec![], rsync };
        let app = App::new(root, verifier, settings, Metrics::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = router(&app);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { dir, addr, signer, app }
    }

    /// A path below the served folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read(self.path(path)).ok().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    pub fn ask(&self, method: &str, target: &str) -> Ask<'_> {
        Ask {
            server: self,
            method: method.into(),
            target: target.into(),
            headers: vec![],
            body: vec![],
            user: "jane".into(),
            verbs: ALL.to_vec(),
            assertion: None,
            promised: None,
        }
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target).send().await
    }

    pub async fn put(&self, target: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask("PUT", target).body(body).send().await
    }

    pub async fn post(&self, target: &str, body: Value) -> Answer {
        self.ask("POST", target).body(body.to_string()).send().await
    }

    pub async fn delete(&self, target: &str) -> Answer {
        self.ask("DELETE", target).send().await
    }

    /// What lies in the process's own folder, once what is being removed is gone.
    pub async fn left_in(&self, area: &str, expected: usize) -> Vec<String> {
        let names = || -> Vec<String> {
            let folder = std::fs::read_dir(self.path(".workspacefs-files").join(area)).into_iter().flatten();
            folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        for _ in 0..200 {
            if names().len() == expected {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        names()
    }
}

impl Ask<'_> {
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Announces more bytes than are sent, and hangs up.
    pub fn promise(mut self, length: usize) -> Self {
        self.promised = Some(length);
        self
    }

    pub fn user(mut self, user: &str) -> Self {
        self.user = user.into();
        self
    }

    pub fn verbs(mut self, verbs: &[Verb]) -> Self {
        self.verbs = verbs.to_vec();
        self
    }

    pub fn assertion(mut self, value: Option<String>) -> Self {
        self.assertion = Some(value);
        self
    }

    pub fn claims(&self) -> Claims {
        Claims::new(&self.user, FS, &self.verbs, format!("{} {}", self.method, self.target), now())
    }

    pub async fn send(self) -> Answer {
        let mut stream = self.begin().await;
        if self.promised.is_some() {
            stream.shutdown().await.unwrap();
        }
        let mut bytes = Vec::new();
        // A connection that breaks is an answer too.
        let _ = stream.read_to_end(&mut bytes).await;
        let answer = Answer::parse(&bytes, self.method == "HEAD");
        crate::contract::is_in_the_document(&self.method, &self.target, answer.status);
        answer
    }

    /// Sends the request; the answer is the caller's to read.
    pub async fn begin(&self) -> TcpStream {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: files\r\nConnection: close\r\n", self.method, self.target);
        let length = self.promised.unwrap_or(self.body.len());
        head.push_str(&format!("Content-Length: {length}\r\n"));
        let assertion = match &self.assertion {
            Some(given) => given.clone(),
            None => Some(self.server.signer.sign(&self.claims())),
        };
        if let Some(assertion) = assertion {
            head.push_str(&format!("{ASSERTION_HEADER}: {assertion}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.server.addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // Refused before the body is read: then the answer is there all the same.
        let _ = stream.write_all(&self.body).await;
        stream
    }
}

impl Answer {
    pub fn parse(bytes: &[u8], head: bool) -> Self {
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let at = at.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let text = String::from_utf8_lossy(&bytes[..at]).into_owned();
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: bytes[at + 4..].to_vec(), whole: true };
        if answer.get("transfer-encoding") == Some("chunked") {
            (answer.body, answer.whole) = dechunked(&answer.body);
        } else if let Some(length) = answer.get("content-length").filter(|_| !head) {
            answer.whole = answer.body.len() == length.parse::<usize>().unwrap();
        }
        answer
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asserts the status, and for an error the code.
    #[track_caller]
    pub fn is(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        if !code.is_empty() {
            assert_eq!(self.json()["code"], code, "{}", self.text());
            assert!(!self.json()["message"].as_str().unwrap().is_empty());
        }
        self
    }

    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status) && self.whole, "{} {}", self.status, self.text());
        self
    }
}

fn dechunked(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = bytes.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..at]).unwrap(), 16).unwrap();
        let rest = &bytes[at + 2..];
        if length == 0 {
            return (body, true);
        }
        if rest.len() < length + 2 {
            body.extend_from_slice(&rest[..length.min(rest.len())]);
            break;
        }
        body.extend_from_slice(&rest[..length]);
        bytes = &rest[length + 2..];
    }
    (body, false)
}
