//! The node's one FS-Cache, the kernel's own cache of what it reads over NFS, for all FileSystems with `localCache`: its bytes lie
//! in an image on a LocalStorage's disk (`fsCache`), and this is the daemon that the kernel wants for it.
//!
//! - [`keep`] brings image and cache to what the LocalStorages wish ([`decision`]), and says what came of it ([`LocalCache`]).
//! - [`helper`] is the process that holds the kernel's device open ([`cachefiles`], [`protocol`]): it binds, and throws away the longest
//!   unread when the kernel asks for room ([`daemon`], [`victims`]). While it is not there the kernel has no cache, and what is
//!   mounted reads from its server.
//! - [`figures`] are its metrics, some of them from the kernel's [`stats`].

pub mod cachefiles;
pub mod daemon;
pub mod decision;
pub mod figures;
pub mod hands;
pub mod helper;
pub mod keep;
pub mod protocol;
pub mod stats;
pub mod victims;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use workspacefs_api::NodeCache;

use crate::share::ShareSpec;
use decision::Mode;

/// What is known of the node's cache. Clones see the same.
#[derive(Clone, Debug)]
pub struct LocalCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None where this node keeps none: the mount option is then the administrator's.
    known: Option<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The LocalStorage, by uid, on whose disk the kernel's cache lies now.
    bound: Option<String>,
    /// What is told of each LocalStorage that asks for a cache, by uid.
    entries: HashMap<String, NodeCache>,
}

impl LocalCache {
    /// This node keeps no cache.
    pub fn off() -> Self {
        Self(Arc::new(Inner { known: None }))
    }

    /// It keeps one, and it is not bound yet.
    pub fn new() -> Self {
        Self(Arc::new(Inner { known: Some(Mutex::default()) }))
    }

    /// Whether this node keeps one, bound or not.
    pub fn is_kept(&self) -> bool {
        self.0.known.is_some()
    }

    /// How a share is mounted now.
    pub fn mode(&self) -> Mode {
        match self.known() {
            None => Mode::PassedOn,
            Some(known) if known.bound.is_some() => Mode::Bound,
            Some(_) => Mode::Unbound,
        }
    }

    /// The share as it is mounted now, for who may read through the cache or not.
    pub fn share(&self, share: ShareSpec, may_be_cached: bool) -> ShareSpec {
        decision::share(self.mode(), share, may_be_cached)
    }

    /// What is told of the cache on a LocalStorage's disk.
    pub fn entry(&self, storage_uid: &str) -> Option<NodeCache> {
        self.known()?.entries.get(storage_uid).cloned()
    }

    /// Replaces what is known.
    pub fn learn(&self, bound: Option<String>, entries: HashMap<String, NodeCache>) {
        if let Some(mut known) = self.known() {
            *known = Known { bound, entries };
        }
    }

    /// The cache is not there any more, from now on.
    pub fn unbound(&self) {
        if let Some(mut known) = self.known() {
            known.bound = None;
        }
    }

    fn known(&self) -> Option<MutexGuard<'_, Known>> {
        let known = self.0.known.as_ref()?;
        Some(known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for LocalCache {
    fn default() -> Self {
        Self::off()
    }
}
