//! The file API itself, over TLS, on a folder of the test's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::{getgid, getuid};
use tempfile::TempDir;
use tokio::net::TcpListener;
use workspacefs_files::app::{App, Settings, router};
use workspacefs_files::metrics::Metrics;
use workspacefs_files::root::{Owner, Root};
use workspacefs_files::server;
use workspacefs_files::tls::Identity;
use workspacefs_files_proto::{PublicKey, Verifier};
use workspacefs_runtime::CancellationToken;

use crate::pki::Pair;

pub struct RealFiles {
    pub address: SocketAddr,
    folder: TempDir,
    stop: CancellationToken,
}

impl Drop for RealFiles {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl RealFiles {
    /// Of the FileSystem with that uid, by whose name `own` is.
    pub async fn start(own: &Pair, uid: &str, key: PublicKey) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::create_dir(place("root")).unwrap();
        std::fs::write(place("crt"), &own.certificate).unwrap();
        std::fs::write(place("key"), &own.key).unwrap();
        let owner = Owner { uid: getuid().as_raw(), gid: getgid().as_raw(), mode: 0o775 };
        let root = Arc::new(Root::open(&place("root"), owner).unwrap());
        let settings = Settings { trash_days: 30, upload_days: 7, allow_endpoints: vec![], rsync: None };
        let app = App::new(root, Verifier::new(vec![key], uid), settings, Metrics::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = Identity::read(place("crt"), place("key")).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(server::serve(listener, identity, router(&app), Metrics::default(), stop.clone()));
        Self { address, folder, stop }
    }

    /// A path below its root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read(self.path(path)).ok().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// How many files there are that were begun and have no name yet.
    pub fn unfinished(&self) -> usize {
        std::fs::read_dir(self.path(".workspacefs-files/uploads")).unwrap().count()
    }
}
