//! A tree from the server: remote folders are listed, several at once, and what they hold is fetched.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::Sender as Queue;
use tokio::task::block_in_place;

use super::batch::{Batches, Taken};
use super::folders::Folders;
use super::local::{self, LocalError};
use super::meter::{Meter, Problem};
use super::receive::{Receiver, set_attributes};
use super::{Links, READERS, Stop, TransferError, queue, work};
use crate::client::error::ClientError;
use crate::client::path::RemotePath;
use crate::client::types::{Entry, Kind};

/// A tree that is to be fetched.
pub struct Download {
    /// Fetches the files.
    pub receiver: Receiver,
    /// The folder whose contents are fetched.
    pub from: RemotePath,
    /// What is done with links.
    pub links: Links,
    /// Files that are fetched at once.
    pub workers: usize,
    /// Which come together.
    pub batches: Batches,
    /// Ends it.
    pub stop: Arc<Stop>,
    /// Folders that get their modes and times at the end: what is made in them changes those.
    pub made: Mutex<Vec<(Vec<Vec<u8>>, Entry)>>,
}

/// A file that is to be fetched.
pub struct Item {
    /// Its path below the folder.
    pub names: Vec<Vec<u8>>,
    /// As it was listed.
    pub entry: Entry,
}

impl Download {
    /// Fetches it; the meter and the stop say what came of it.
    pub async fn run(self) {
        let this = Arc::new(self);
        let (items, waiting) = queue();
        let folders = Arc::new(Folders::new(Vec::<Vec<u8>>::new()));
        let readers = {
            let this = Arc::clone(&this);
            async move {
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..READERS {
                    let (this, folders, items) = (Arc::clone(&this), Arc::clone(&folders), items.clone());
                    tasks.spawn(async move { this.read(&folders, &items).await });
                }
                drop(items);
                while tasks.join_next().await.is_some() {}
                this.meter().listed();
            }
        };
        let (scales, worker) = (Arc::clone(&this), Arc::clone(&this));
        let weigh = move |item: &Item| scales.batches.weigh(item.entry.size);
        let works = work(this.workers, waiting, &this.stop, weigh, move |taken| {
            let this = Arc::clone(&worker);
            async move { this.taken(taken).await }
        });
        tokio::join!(readers, works);
        block_in_place(|| this.finish());
    }

    fn meter(&self) -> &Meter {
        &self.receiver.meter
    }

    async fn read(&self, folders: &Folders<Vec<Vec<u8>>>, items: &Queue<Item>) {
        while let Some(in_hand) = folders.take().await {
            if self.stop.is_said() {
                folders.end();
                return;
            }
            if let Err(error) = self.list(&in_hand.folder, folders, items).await {
                self.fail(None, &in_hand.folder, error);
            }
        }
    }

    async fn list(
        &self,
        names: &[Vec<u8>],
        folders: &Folders<Vec<Vec<u8>>>,
        items: &Queue<Item>,
    ) -> Result<(), TransferError> {
        let path = self.from.join_all(names);
        let mut cursor: Option<String> = None;
        loop {
            let list = self.receiver.files.list(&path, cursor.as_deref()).await?;
            for entry in list.entries {
                let name = name_of(&entry, &path)?;
                let names = [names, &[name]].concat();
                self.sort(names, entry, folders, items).await;
            }
            // A server that names the same place twice would be listed for ever.
            match list.next {
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(()),
            }
        }
    }

    async fn sort(
        &self,
        names: Vec<Vec<u8>>,
        entry: Entry,
        folders: &Folders<Vec<Vec<u8>>>,
        items: &Queue<Item>,
    ) {
        match entry.kind {
            Kind::File => {
                self.meter().found(entry.size);
                // Closed: the workers have stopped.
                let _ = items.send(Item { names, entry }).await;
            }
            Kind::Dir => {
                let root = self.receiver.root.as_fd();
                match block_in_place(|| local::make_folder(root, &names, entry.permissions())) {
                    Ok(()) => {
                        self.meter().folder();
                        folders.put(names.clone());
                        self.made.lock().unwrap_or_else(PoisonError::into_inner).push((names, entry));
                    }
                    Err(error) => self.fail(None, &names, error.into()),
                }
            }
            Kind::Symlink => {
                let told = (self.links == Links::Refuse).then(|| Problem {
                    path: shown(&names),
                    code: "Symlink".into(),
                    message: "a symbolic link cannot be downloaded; --links skip leaves it out".into(),
                });
                self.meter().left_out(told);
            }
            Kind::Other => self.meter().left_out(None),
        }
    }

    async fn taken(&self, taken: Taken<Item>) {
        if !taken.many.is_empty() {
            self.many(taken.many).await;
        }
        if let Some(one) = taken.one {
            self.one(one).await;
        }
    }

    /// Fetches a file by itself.
    pub(super) async fn one(&self, item: Item) {
        self.meter().current(local::shown(&item.names));
        let from = self.from.join_all(&item.names);
        match self.receiver.receive(&from, &item.entry, &item.names).await {
            Ok((size, fate)) => self.meter().settled(fate, size),
            Err(error) => self.fail(Some(item.entry.size), &item.names, error),
        }
    }

    /// Says that a file of so many bytes, or a folder, is not there.
    pub(super) fn tell(&self, file: Option<u64>, names: &[Vec<u8>], error: &TransferError) {
        let problem = error.problem(shown(names));
        match file {
            Some(size) => self.meter().failed(size, problem),
            None => self.meter().folder_failed(problem),
        }
    }

    /// The same, and ends it all where that makes no sense any more.
    pub(super) fn fail(&self, file: Option<u64>, names: &[Vec<u8>], error: TransferError) {
        self.tell(file, names, &error);
        if error.is_for_all() {
            self.stop.because(error);
        }
    }

    /// Modes and times of folders, the deepest first.
    fn finish(&self) {
        let mut made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        made.sort_by_key(|(names, _)| std::cmp::Reverse(names.len()));
        for (names, entry) in made {
            let folder = local::folder(self.receiver.root.as_fd(), &names);
            let folder = folder.map_err(LocalError::at("open the folder"));
            if let Err(error) = folder.and_then(|folder| set_attributes(&folder, &entry)) {
                let error = TransferError::from(error);
                self.meter().folder_failed(error.problem(shown(&names)));
            }
        }
    }
}

/// The name of an entry of `folder`: whatever else a server names is refused.
///
/// # Errors
/// It lies elsewhere.
pub fn name_of(entry: &Entry, folder: &RemotePath) -> Result<Vec<u8>, ClientError> {
    let at = entry.at()?;
    match at.name() {
        Some(name) if at.parent().is_some_and(|parent| parent.names() == folder.names()) => Ok(name.to_vec()),
        _ => Err(ClientError::Protocol {
            request: format!("GET list of {folder}"),
            what: format!("{at} does not lie in it"),
        }),
    }
}

fn shown(names: &[Vec<u8>]) -> String {
    crate::text::shown(&local::shown(names))
}
