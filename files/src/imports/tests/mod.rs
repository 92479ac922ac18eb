//! Imports from a service in this process, into a folder of this machine.

mod bad;
mod ending;
mod keys;
mod reading;
mod refused;
mod routes;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use workspacefs_buckets::{Allowed, Patience};
use workspacefs_files_proto::import::{Import, ImportState};
use workspacefs_testkit::s3::{ACCESS_KEY_ID, FakeS3, SECRET_ACCESS_KEY, Store};

use super::{ImportError, Imports, Waits};
use crate::metrics::Metrics;
use crate::root::{Owner, Root};

/// A service with a bucket `buck`, and a file system.
struct World {
    service: FakeS3,
    root: tempfile::TempDir,
    allowed: &'static [&'static str],
}

impl World {
    async fn new() -> Self {
        Self {
            service: FakeS3::start("buck").await.unwrap(),
            root: tempfile::tempdir().unwrap(),
            allowed: &["127.0.0.0/8"],
        }
    }

    fn store(&self) -> &Store {
        self.service.store()
    }

    /// As a process that begins now.
    fn imports(&self) -> Arc<Imports> {
        let patience = Patience {
            tries: 3,
            pause: Duration::from_millis(1),
            pause_max: Duration::from_millis(4),
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(20),
        };
        let waits = Waits { first: patience, then: patience };
        Arc::new(Imports::open(&root(self.root.path()), &self.exceptions(), waits, &Metrics::default()))
    }

    fn exceptions(&self) -> Vec<Allowed> {
        self.allowed.iter().map(|allowed| allowed.parse().unwrap()).collect()
    }

    fn form(&self) -> Value {
        json!({
            "provider": "s3", "bucket": "buck", "endpoint": self.service.endpoint(),
            "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY, "destination": "in",
        })
    }

    async fn begin(&self, imports: &Imports) -> Import {
        begin(imports, self.form()).await.unwrap()
    }

    /// From the beginning to the end.
    async fn import(&self) -> Import {
        let imports = self.imports();
        let id = self.begin(&imports).await.id;
        ended(&imports, &id).await
    }

    /// The records of imports.
    fn records(&self) -> std::path::PathBuf {
        self.root.path().join(".workspacefs-files/imports")
    }

    /// What lies in the file system, without folders and records: what is under way lies there too.
    fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        collect(self.root.path(), self.root.path(), &mut files);
        files
    }

    fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.root.path().join(path)).unwrap()
    }

    /// The objects that were read, not only looked at, since the last call.
    fn fetched(&self) -> BTreeSet<String> {
        let seen = self.store().take_seen();
        seen.into_iter()
            .filter(|seen| seen.method == "GET" && !seen.key.is_empty())
            .map(|seen| seen.key)
            .collect()
    }
}

async fn begin(imports: &Imports, form: Value) -> Result<Import, ImportError> {
    begin_as(imports, form, "jane").await
}

async fn begin_as(imports: &Imports, form: Value, user: &str) -> Result<Import, ImportError> {
    imports.begin(form.to_string().as_bytes(), user).await
}

fn resume_body() -> Vec<u8> {
    json!({ "accessKeyId": ACCESS_KEY_ID, "secretAccessKey": SECRET_ACCESS_KEY }).to_string().into_bytes()
}

fn root(path: &Path) -> Arc<Root> {
    // Whoever runs this owns what is made.
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    Arc::new(Root::open(path, Owner { uid, gid, mode: 0o755 }).unwrap())
}

/// Waits until it runs no longer.
async fn ended(imports: &Imports, id: &str) -> Import {
    until(|| {
        let import = imports.get(id).unwrap();
        let is_active = matches!(import.state, ImportState::Listing | ImportState::Running);
        (!is_active).then_some(import)
    })
    .await
}

/// Waits until nothing of it is at work any more.
async fn rested(imports: &Imports) {
    until(|| (imports.metrics.imports.get() == 0).then_some(())).await;
}

async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..30_000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come within five minutes");
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with(".workspacefs-files/imports") {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            collect(root, &path, files);
        } else {
            files.insert(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        }
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
