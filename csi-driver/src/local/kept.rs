//! The real disk, as crate `storage` keeps it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use workspacefs_api::{LocalStorageSpec, NodeStorage, Owner};
use workspacefs_runtime::chain;
use workspacefs_storage::local::{Keeper, KeeperConfig, Usage, UsageError, WorkspaceError, WorkspaceWish};
use workspacefs_sys::{Errno, unmount};

use super::helper::Disk;
use super::protocol::{Figures, Refusal, RefusalKind, Share};

/// A disk of this node.
pub struct Kept {
    config: KeeperConfig,
    /// None after it was released.
    keeper: Option<Keeper>,
}

impl Kept {
    /// Nothing is looked at yet.
    pub fn new(mount_point: &Path) -> Self {
        let config = KeeperConfig {
            sys: "/sys".into(),
            dev: "/dev".into(),
            host_root: "/".into(),
            mount_point: mount_point.into(),
        };
        Self { config, keeper: None }
    }

    fn keeper(&mut self) -> &mut Keeper {
        self.keeper.get_or_insert_with(|| Keeper::new(self.config.clone()))
    }
}

impl Disk for Kept {
    fn look(&mut self, node: &str, spec: &LocalStorageSpec) -> NodeStorage {
        self.keeper().look(node, spec)
    }

    fn folder(&mut self, share: &Share) -> Result<OwnedFd, Refusal> {
        let wish = WorkspaceWish {
            namespace_uid: share.namespace_uid.clone(),
            namespace: share.namespace.clone(),
            quota_bytes: share.quota,
            // Like an emptyDir: whoever runs in the workspace's pods.
            owner: Owner::default(),
        };
        self.keeper().workspace(&wish).map_err(|error| refusal(&error))
    }

    fn usage(&mut self, namespace_uid: &str) -> Result<Option<Figures>, Refusal> {
        let usage = self.keeper().usage(namespace_uid).map_err(|error| Refusal {
            kind: match error {
                UsageError::NotReady(_) => RefusalKind::NotReady,
                UsageError::Read(_) | UsageError::Disk(_) => RefusalKind::Io,
            },
            message: chain(&error),
        })?;
        Ok(usage.map(figures))
    }

    fn release(&mut self) -> Result<(), Refusal> {
        self.keeper = None;
        match unmount::plain(&self.config.mount_point) {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
            Err(errno) => Err(Refusal {
                kind: RefusalKind::Io,
                message: format!("the disk cannot be unmounted: {}", io::Error::from(errno)),
            }),
        }
    }
}

fn refusal(error: &WorkspaceError) -> Refusal {
    let kind = if error.is_not_ready() {
        RefusalKind::NotReady
    } else if error.is_no_space() {
        RefusalKind::NoSpace
    } else {
        RefusalKind::Io
    };
    Refusal { kind, message: chain(error) }
}

fn figures(usage: Usage) -> Figures {
    Figures {
        bytes_total: usage.bytes_total,
        bytes_used: usage.bytes_used,
        bytes_available: usage.bytes_available,
        inodes_total: usage.inodes_total,
        inodes_used: usage.inodes_used,
    }
}
