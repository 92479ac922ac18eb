//! Copies of FsCaches in a volume: chosen once, when it is published, and nested in its view before anybody sees that.
//! A copy that is missing or broken is never a reason for a pod not to start: its path is then read from the source.
//!
//! The view is put together on a staging place of ours, since a mount that is attached nowhere takes no others in
//! before Linux 6.15, and attached as a whole: a plugin that is killed meanwhile leaves a volume with its copies, or
//! none at all.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use thiserror::Error;
use tokio::time::Instant;
use workspacefs_runtime::chain;
use workspacefs_sys::SysError;

use super::Node;
use super::target::Target;
use super::targets::Record;
use super::volume::{Copies, Volume};
use crate::cache::decision::{self, Nest};
use crate::cache::ground::{Holds, UsedCopy};
use crate::cache::state::Generation;
use crate::cache::{CopyFigures, Ground, Lies, Target as CacheTarget};
use crate::local::disks::{DiskError, Disks};
use crate::local::protocol::{Shown, View as DiskView};
use crate::share::{CopyPart, Part, ShareError, ShareSpec, View, ViewRequest};

/// Copies that did not answer in time are left alone for so long: one pod waits for them, and not every one.
const SHUNNED: Duration = Duration::from_secs(30);
/// The part of an RPC's time that copies may take.
const PATIENCE_SHARE: u32 = 4;

/// What the Node service knows of copies.
pub struct NestConfig {
    /// The FsCaches.
    pub caches: crate::cache::Caches,
    /// Where their copies lie.
    pub ground: Ground,
    /// This node's disks; None without local storage.
    pub disks: Option<Disks>,
    /// What is counted.
    pub figures: CopyFigures,
}

impl NestConfig {
    /// No FsCaches: for a plugin without an API server.
    pub fn none(node_name: &str, group_label: &str) -> Self {
        Self {
            caches: crate::cache::Caches::new(node_name),
            ground: Ground::none(group_label),
            disks: None,
            figures: CopyFigures::default(),
        }
    }
}

/// What did not answer, and when.
#[derive(Debug, Default)]
pub(super) struct Silent(Mutex<HashMap<Holds, Instant>>);

impl Silent {
    fn is_shunned(&self, what: &Holds) -> bool {
        let mut silent = self.lock();
        silent.retain(|_, since| since.elapsed() < SHUNNED);
        silent.contains_key(what)
    }

    fn note(&self, what: Holds) {
        self.lock().insert(what, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Holds, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy cannot be shown.
#[derive(Debug, Error)]
pub enum NestError {
    /// It did not answer a moment ago.
    #[error("what it lies on did not answer a moment ago")]
    Shunned,
    /// The disk cannot be used now.
    #[error("its disk is not ready")]
    NotReady,
    /// The copy's share, or the source's where its place is.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The copy's disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The view.
    #[error("cannot nest it in the volume")]
    Mount(#[source] SysError),
}

impl NestError {
    /// Whether there is no use in asking again at once.
    fn is_silence(&self) -> bool {
        match self {
            Self::Share(error) => error.is_servers_silence(),
            Self::Disk(DiskError::TimedOut { .. } | DiskError::AtImage | DiskError::Hangs) => true,
            Self::Disk(_) | Self::Shunned | Self::NotReady | Self::Mount(_) => false,
        }
    }
}

/// The copies that were chosen for a volume.
type Chosen = Vec<Nest<Lies>>;

impl Node {
    /// What an earlier process published uses what it used.
    pub(super) fn remember_uses(&self) {
        for record in self.0.targets.all() {
            let generations = record.place.copies.iter().map(generation).collect();
            self.0.config.nests.caches.remember(&record.target, generations);
        }
    }

    /// Whether copies of FsCaches lie in the volume, or may: then they are hidden in it.
    pub(super) fn hides_copies(&self, volume: &Volume) -> bool {
        let Some((namespace, name)) = volume.attributes.file_system.split_once('/') else {
            return false;
        };
        let is_fill = matches!(volume.copies, Copies::Fill(_));
        volume.is_file_systems()
            && !is_fill
            && self.0.config.nests.caches.lie_in(namespace, &CacheTarget::FileSystem(name.into()))
    }

    /// Chooses the copies for a volume whose record is written, and records them.
    pub(super) fn choose(&self, target: &Target, volume: &Volume, read_only: bool) -> Chosen {
        let nests = &self.0.config.nests;
        let Some((namespace, file_system)) = volume.attributes.file_system.split_once('/') else {
            return Chosen::new();
        };
        if volume.copies != Copies::Shown || !volume.is_file_systems() {
            return Chosen::new();
        }
        let (uid, root) = (volume.attributes.file_system_uid.as_str(), &volume.mount_from);
        let asked = decision::Volume { namespace, file_system, uid, root, read_only };
        let chosen =
            nests.caches.choose(target.path(), asked, Timestamp::now(), |cache| nests.ground.of(cache));
        let used: Vec<UsedCopy> = chosen.iter().map(used).collect();
        if used.is_empty() || self.record_uses(target, used, None) { chosen } else { Chosen::new() }
    }

    /// False if it cannot be recorded; then nothing counts as used.
    fn record_uses(&self, target: &Target, used: Vec<UsedCopy>, share: Option<&ShareSpec>) -> bool {
        let generations: Vec<Generation> = used.iter().map(generation).collect();
        let recorded = self.0.targets.change(target, |place| {
            place.copies = used;
            if let Some(share) = share {
                place.share = Some(share.clone());
            }
        });
        let generations = match &recorded {
            Ok(()) => generations,
            Err(error) => {
                tracing::warn!(%error, "the copies of a volume cannot be recorded: none are shown in it");
                Vec::new()
            }
        };
        self.0.config.nests.caches.use_only(target.path(), generations);
        recorded.is_ok()
    }

    /// The volume's view with the copies in it that can be had. Those that cannot are taken out of its record.
    ///
    /// # Errors
    /// The source's, at the latest at the deadline.
    pub(super) async fn view(
        &self,
        target: &Target,
        share: &ShareSpec,
        request: ViewRequest,
        chosen: Chosen,
        deadline: Instant,
    ) -> Result<View, ShareError> {
        let shares = &self.0.shares;
        if chosen.is_empty() {
            return shares.view(share, request, deadline).await;
        }
        let patience = self.patience(deadline);
        // Of one that is shown instead of the volume's root nothing else of the volume is needed.
        if let [whole] = chosen.as_slice()
            && whole.place.is_empty()
        {
            if let Some(view) = self.shown(whole, self.copy_view(whole, patience).await) {
                let share = match &whole.lies {
                    Lies::OnShare(share, _) => Some(share),
                    Lies::OnDisk(..) => None,
                };
                // It is recorded already, but for the share that is asked how full it is.
                if self.record_uses(target, vec![used(whole)], share) {
                    return Ok(view);
                }
            }
            self.record_uses(target, Vec::new(), None);
            return shares.view(share, request, deadline).await;
        }
        let copies = join_all(chosen.iter().map(|nest| self.copy_view(nest, patience)));
        let (source, copies) = tokio::join!(shares.view(share, request.clone(), deadline), copies);
        let copies =
            chosen.iter().zip(copies).filter_map(|(nest, copy)| Some((nest, self.shown(nest, copy)?)));
        let (view, used) = self.nested(share, source?, copies.collect(), deadline).await;
        if used.len() < chosen.len() && !self.record_uses(target, used, None) {
            return shares.view(share, request, deadline).await;
        }
        match view.unstage() {
            Ok(view) => Ok(view),
            Err(error) => {
                tracing::warn!(
                    cause = chain(&error),
                    "copies cannot be nested: the volume shows the source alone"
                );
                self.record_uses(target, Vec::new(), None);
                shares.view(share, request, deadline).await
            }
        }
    }

    /// Puts the copies into the source's view. Gives those that are in it.
    async fn nested(
        &self,
        share: &ShareSpec,
        mut source: View,
        copies: Vec<(&Nest<Lies>, View)>,
        deadline: Instant,
    ) -> (View, Vec<UsedCopy>) {
        if copies.is_empty() {
            return (source, Vec::new());
        }
        if let Err(error) = source.stage(self.0.shares.staging_place(share)) {
            for (nest, _) in copies {
                self.shown::<()>(nest, Err(NestError::Mount(error.clone())));
            }
            return (source, Vec::new());
        }
        let patience = self.patience(deadline);
        let mut used_ones = Vec::new();
        let mut is_silent = false;
        for (nest, copy) in copies {
            let placed = match source.stands_on() {
                Some(view) if !is_silent => self.nest(share, view, nest, copy, patience).await,
                _ => Err(NestError::Shunned),
            };
            is_silent |= placed.as_ref().is_err_and(NestError::is_silence);
            if self.shown(nest, placed).is_some() {
                used_ones.push(used(nest));
            }
        }
        (source, used_ones)
    }

    async fn nest(
        &self,
        share: &ShareSpec,
        view: &Path,
        nest: &Nest<Lies>,
        copy: View,
        deadline: Instant,
    ) -> Result<(), NestError> {
        let place = self.0.shares.place(share, view, &nest.place, deadline).await?;
        copy.attach(place.as_fd()).map_err(NestError::Mount)
    }

    pub(super) async fn copy_view(&self, nest: &Nest<Lies>, deadline: Instant) -> Result<View, NestError> {
        let holds = Holds::from(&nest.lies);
        if self.0.silent.is_shunned(&holds) {
            return Err(NestError::Shunned);
        }
        let copy =
            CopyPart { cache: nest.cache.clone(), generation: nest.generation, path: nest.path.clone() };
        let view = match &nest.lies {
            Lies::OnShare(share, folder) => {
                let (folder, part) = (folder.clone(), Part::Copy(copy));
                let request = ViewRequest { folder, part, read_only: true, hide: false };
                self.0.shares.view(share, request, deadline).await.map_err(NestError::from)
            }
            Lies::OnDisk(storage_uid, namespace) => {
                let of = Shown::Copy(namespace.clone(), copy);
                self.disk_view(storage_uid, DiskView { of, read_only: true, hide: false }, deadline).await
            }
        };
        if view.as_ref().is_err_and(NestError::is_silence) {
            self.0.silent.note(holds);
        }
        view
    }

    async fn disk_view(&self, uid: &str, view: DiskView, deadline: Instant) -> Result<View, NestError> {
        let disks = self.0.config.nests.disks.as_ref();
        let ready = disks.filter(|disks| disks.entry(uid).is_some_and(|entry| entry.ready));
        Ok(ready.ok_or(NestError::NotReady)?.view(uid, view, deadline).await?)
    }

    /// Counts what came of a copy, and says why it is not shown.
    fn shown<T>(&self, nest: &Nest<Lies>, result: Result<T, NestError>) -> Option<T> {
        let figures = &self.0.config.nests.figures;
        match result {
            Ok(shown) => Some(shown),
            Err(error) => {
                figures.count(false);
                let (path, cause) = (&nest.path, chain(&error));
                let (cache, generation) = (&nest.cache, nest.generation);
                tracing::warn!(path, cache, generation, cause, "a cached path is read from its source");
                None
            }
        }
    }

    fn patience(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.0.config.rpc_deadline / PATIENCE_SHARE)
    }

    /// Whether a copy that is shown in a volume is on the disk of the LocalStorage with that uid.
    pub fn uses_disk(&self, storage_uid: &str) -> bool {
        self.0.targets.any(|place| place.holds_disk(storage_uid))
    }

    /// Whether what a mounted volume uses is not known, because its record cannot be read.
    pub fn is_unclear(&self) -> bool {
        self.0.targets.any(|_| false)
    }

    /// Counts the copies that a volume shows now.
    pub(super) fn count_copies(&self, record: Option<Record>) {
        let count = record.map_or(0, |record| record.place.copies.len());
        (0..count).for_each(|_| self.0.config.nests.figures.count(true));
    }
}

pub(super) fn used(nest: &Nest<Lies>) -> UsedCopy {
    UsedCopy { cache: nest.cache.clone(), generation: nest.generation, holds: Holds::from(&nest.lies) }
}

fn generation(copy: &UsedCopy) -> Generation {
    Generation { cache: copy.cache.clone(), number: copy.generation }
}
