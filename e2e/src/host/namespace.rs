//! The cluster's network namespace. A thread is moved into it with setns(2), for sockets and for programs that the
//! thread starts; the other threads stay where they are.

use crate::host::command::{CommandError, command, run};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// Time for one `ip` command.
const LIMIT: Duration = Duration::from_secs(20);

/// Why the namespace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// `ip netns` failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It does not exist.
    #[error("there is no network namespace {name}: is the cluster up?")]
    Missing {
        /// Its name.
        name: String,
        /// Why it cannot be opened.
        #[source]
        source: io::Error,
    },
    /// setns(2) failed.
    #[error("cannot enter the network namespace {name}")]
    Enter {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Errno,
    },
}

/// A named network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// The namespace of the cluster of that name. Nothing is created yet.
    pub fn of_cluster(cluster: &str) -> Namespace {
        Namespace { name: format!("wsfs-{cluster}") }
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Whether it exists.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Makes it.
    pub fn create(&self) -> Result<(), NamespaceError> {
        run(&mut command(&["ip", "netns", "add", &self.name]), b"", LIMIT)?;
        Ok(())
    }

    /// Takes its name away, if it is there. It ends with its last process; its devices go with it.
    pub fn delete(&self) -> Result<(), NamespaceError> {
        if self.exists() {
            run(&mut command(&["ip", "netns", "delete", &self.name]), b"", LIMIT)?;
        }
        Ok(())
    }

    /// Runs `ip` commands in it, one a line.
    pub fn ip(&self, lines: &[String]) -> Result<(), NamespaceError> {
        let mut ip = command(&["ip", "-n", &self.name, "-batch", "-"]);
        run(&mut ip, lines.join("\n").as_bytes(), LIMIT)?;
        Ok(())
    }

    /// Moves the calling thread into it, for good. Threads and programs started by this thread afterwards are in it
    /// too: call it first in `main`, or from a runtime's thread-start hook.
    pub fn enter(&self) -> Result<(), NamespaceError> {
        let file = File::open(self.path())
            .map_err(|source| NamespaceError::Missing { name: self.name.clone(), source })?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|source| NamespaceError::Enter { name: self.name.clone(), source })
    }

    /// Runs `action` in it, on a thread of its own.
    pub fn within<T: Send, E: Send + From<NamespaceError>>(
        &self,
        action: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<T, E> {
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.enter()?;
                action()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Ids of all processes in it, zombies included.
    pub fn processes(&self) -> Vec<u32> {
        let Ok(own) = fs::metadata(self.path()) else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let inside = |pid: &u32| {
            fs::metadata(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|other| (other.dev(), other.ino()) == (own.dev(), own.ino()))
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(inside)
            .collect()
    }
}
