//! A tree to the server: local folders are read, several at once, and what they hold is sent.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::FileType;
use tokio::sync::mpsc::Sender as Queue;
use tokio::task::block_in_place;

use super::batch::Batches;
use super::batch::Taken;
use super::batch::up::File;
use super::folders::Folders;
use super::local::{self, Found};
use super::meter::{Fate, Meter, Problem};
use super::send::Sender;
use super::{Links, READERS, Stop, TransferError, queue, work};
use crate::client::files::Files;
use crate::client::path::RemotePath;
use crate::client::types::Entry;

/// A tree that is to be sent.
pub struct Upload {
    /// Sends the files.
    pub sender: Sender,
    /// Where the folder's contents go.
    pub to: RemotePath,
    /// Only what differs in size or time.
    pub update: bool,
    /// What is done with links.
    pub links: Links,
    /// Files that are sent at once.
    pub workers: usize,
    /// Which go together.
    pub batches: Batches,
    /// Ends it.
    pub stop: Arc<Stop>,
}

enum Item {
    File(File),
    /// One in which nothing is sent: a file's folders come with it.
    Folder {
        names: Vec<Vec<u8>>,
    },
}

struct Folder {
    names: Vec<Vec<u8>>,
}

type Remote = HashMap<Vec<u8>, Entry>;

impl Upload {
    /// Sends it; the meter and the stop say what came of it.
    pub async fn run(self) {
        let this = Arc::new(self);
        let (items, waiting) = queue();
        let folders = Arc::new(Folders::new(Folder { names: Vec::new() }));
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
                this.sender.meter.listed();
            }
        };
        let (scales, worker) = (Arc::clone(&this), Arc::clone(&this));
        let weigh = move |item: &Item| match item {
            Item::File(file) => scales.batches.weigh(file.size),
            Item::Folder { .. } => None,
        };
        let works = work(this.workers, waiting, &this.stop, weigh, move |taken| {
            let this = Arc::clone(&worker);
            async move { this.taken(taken).await }
        });
        tokio::join!(readers, works);
    }

    fn files(&self) -> &Files {
        &self.sender.files
    }

    fn meter(&self) -> &Meter {
        &self.sender.meter
    }

    async fn read(&self, folders: &Folders<Folder>, items: &Queue<Item>) {
        while let Some(in_hand) = folders.take().await {
            if self.stop.is_said() {
                folders.end();
                return;
            }
            let folder = &in_hand.folder;
            let found = block_in_place(|| local::read(self.sender.root.as_fd(), &folder.names));
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    let error = TransferError::from(error);
                    self.meter().folder_failed(error.problem(shown(&folder.names)));
                    continue;
                }
            };
            let remote = match self.remote(&folder.names).await {
                Ok(remote) => remote,
                Err(error) => {
                    self.fail(None, &folder.names, error);
                    continue;
                }
            };
            let is_there = remote.is_some();
            let mut comes_by_itself = is_there;
            for found in found {
                comes_by_itself |= self.sort(folder, &found, remote.as_ref(), folders, items).await;
            }
            if !comes_by_itself {
                let item = Item::Folder { names: folder.names.clone() };
                // Closed: the workers have stopped.
                let _ = items.send(item).await;
            }
        }
    }

    /// What the server has in a folder; none if it has no such folder, or that is not asked for.
    async fn remote(&self, names: &[Vec<u8>]) -> Result<Option<Remote>, TransferError> {
        if !self.update {
            return Ok(None);
        }
        let path = self.to.join_all(names);
        let (mut remote, mut cursor) = (Remote::new(), None);
        loop {
            let list = match self.files().list(&path, cursor.as_deref()).await {
                Ok(list) => list,
                Err(error) if error.code() == "NotFound" => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            for entry in list.entries {
                let at = entry.at().map_err(crate::client::error::ClientError::from)?;
                if let Some(name) = at.name() {
                    remote.insert(name.to_vec(), entry);
                }
            }
            match list.next {
                Some(next) => cursor = Some(next),
                None => return Ok(Some(remote)),
            }
        }
    }

    /// What becomes of one name; whether its folder comes into being by it.
    async fn sort(
        &self,
        folder: &Folder,
        found: &Found,
        remote: Option<&Remote>,
        folders: &Folders<Folder>,
        items: &Queue<Item>,
    ) -> bool {
        let mut names = folder.names.clone();
        names.push(found.name.clone());
        match local::kind(&found.stat) {
            FileType::RegularFile => {
                let size = local::size(&found.stat);
                self.meter().found(size);
                let known = remote.and_then(|remote| remote.get(&found.name));
                if known.is_some_and(|entry| is_same(entry, found)) {
                    self.meter().settled(Fate::Unchanged, size);
                } else {
                    let _ = items.send(Item::File(File { names, size })).await;
                }
                true
            }
            FileType::Directory => {
                folders.put(Folder { names });
                true
            }
            FileType::Symlink => {
                let told = (self.links == Links::Refuse).then(|| Problem {
                    path: shown(&names),
                    code: "Symlink".into(),
                    message: "a symbolic link cannot be uploaded; --links skip leaves it out".into(),
                });
                self.meter().left_out(told);
                false
            }
            _ => {
                self.meter().left_out(None);
                false
            }
        }
    }

    async fn taken(&self, taken: Taken<Item>) {
        let file = |item| match item {
            Item::File(file) => Some(file),
            Item::Folder { .. } => None,
        };
        let many: Vec<File> = taken.many.into_iter().filter_map(file).collect();
        if !many.is_empty() {
            self.many(many).await;
        }
        if let Some(one) = taken.one {
            self.one(one).await;
        }
    }

    /// Sends a file by itself.
    pub(super) async fn file(&self, file: File) {
        let File { names, size } = file;
        self.meter().current(local::shown(&names));
        match self.sender.send(&names, &self.to.join_all(&names)).await {
            Ok(sent) => self.meter().settled(Fate::Done, sent),
            Err(error) => self.fail(Some(size), &names, error),
        }
    }

    async fn one(&self, item: Item) {
        match item {
            Item::File(file) => self.file(file).await,
            Item::Folder { names } => {
                let path = self.to.join_all(&names);
                if path.is_root() {
                    return;
                }
                match self.files().make_folder(&path).await {
                    Ok(_) => self.meter().folder(),
                    Err(error) => self.fail(None, &names, error.into()),
                }
            }
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
}

fn is_same(entry: &Entry, found: &Found) -> bool {
    entry.kind == crate::client::types::Kind::File
        && entry.size == local::size(&found.stat)
        && entry.modified == local::modified(&found.stat)
}

fn shown(names: &[Vec<u8>]) -> String {
    crate::text::shown(&local::shown(names))
}
