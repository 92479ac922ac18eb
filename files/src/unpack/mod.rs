//! A tar archive that comes as the body of a request becomes files beneath a folder. Each entry is a file of its own: it appears whole
//! or not at all, and what refuses one says nothing of the next. Small ones, for which all this is made, are written,
//! settled and named many at a time ([`group`]); a large one as by a request of its own.
//!
//! In memory are at most one group that is collected and a few that are being written, whatever the archive says.

mod group;
mod members;
mod together;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use workspacefs_files_proto::tar::{Member, MemberKind};
use workspacefs_files_proto::types::UnpackLine;
use workspacefs_files_proto::{FilePath, path};

use self::group::{Group, Outcome, Small};
pub(crate) use self::members::Members;
pub(crate) use self::together::Together;
use crate::app::App;
use crate::error::Error;
use crate::http::Lines;
use crate::placing::{Existing, Placing};
use crate::room;
use crate::uploads::Checksum;
use crate::write::NewFile;

/// Up to so many bytes a file is small: it is collected in memory.
pub(crate) const SMALL_BYTES_MAX: u64 = 1 << 20;
/// A group is full with so many bytes or files.
const GROUP_BYTES: u64 = 1 << 20;
const GROUP_FILES: usize = 32;
/// Groups of one archive that are under way at once, as long as there is memory for that; else one.
const GROUPS: usize = 4;
/// Of a larger file so much is written at once.
const PIECE_BYTES: usize = 1 << 20;
/// Once nothing more can be written, so much is still read of an archive, to say of each entry that it is not there.
const READ_ON_BYTES: u64 = 64 << 20;

/// How far it is.
#[derive(Debug, Default)]
pub(crate) struct Count {
    files: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
}

impl Count {
    /// As a line of the answer.
    pub fn line(&self, done: bool) -> UnpackLine {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        UnpackLine::Unpacked {
            done,
            files: of(&self.files),
            bytes: of(&self.bytes),
            failed: of(&self.failed),
        }
    }
}

/// See the module.
pub(crate) struct Unpack {
    pub app: Arc<App>,
    /// Beneath which everything goes.
    pub folder: FilePath,
    /// What becomes of files that are there.
    pub existing: Existing,
    /// Where it is said what was refused.
    pub lines: Lines,
    pub count: Arc<Count>,
    pub together: Arc<Together>,
    /// Paths in `group` and in `groups`: of two entries with one name the later one wins.
    pub names: HashSet<FilePath>,
    pub group: Group,
    pub groups: JoinSet<Vec<Outcome>>,
    /// Whether the last of them found no memory that was free.
    pub is_scarce: bool,
    /// Why nothing more is written.
    pub ended: Option<Error>,
}

impl Unpack {
    /// Beneath `folder`.
    pub fn new(
        app: &Arc<App>,
        folder: FilePath,
        existing: Existing,
        lines: Lines,
        together: Arc<Together>,
    ) -> Self {
        let (app, count) = (Arc::clone(app), Arc::default());
        let (names, group, groups) = (HashSet::new(), Group::default(), JoinSet::new());
        Self {
            app,
            folder,
            existing,
            lines,
            count,
            together,
            names,
            group,
            groups,
            is_scarce: false,
            ended: None,
        }
    }

    /// Takes all entries. What was begun is carried to its end also where the archive breaks off.
    ///
    /// # Errors
    /// The archive cannot be read to its end, or nobody hears what becomes of it.
    pub async fn run(mut self, mut members: Members) -> Result<(), Error> {
        let read = self.read(&mut members).await;
        self.start();
        while self.join().await? {}
        read
    }

    async fn read(&mut self, members: &mut Members) -> Result<(), Error> {
        let mut read_on = READ_ON_BYTES;
        while let Some(member) = members.next().await? {
            if let Some(error) = &self.ended {
                read_on = read_on.checked_sub(member.size).ok_or_else(|| error.clone())?;
            }
            let taken = match self.ended.clone() {
                Some(error) => Err(error),
                None => self.take(&member, members).await?,
            };
            if let Err(error) = taken {
                self.refused(self.shown(&member.name), error).await?;
            }
        }
        Ok(())
    }

    /// Takes one entry; the inner error is of it alone, the outer one ends it all.
    async fn take(&mut self, member: &Member, members: &mut Members) -> Result<Result<(), Error>, Error> {
        let path = match self.path(&member.name) {
            Ok(path) => path,
            Err(error) => return Ok(Err(error)),
        };
        match member.kind {
            MemberKind::Other => Ok(Err(Error::NotRegular)),
            MemberKind::Folder => Ok(self.folder(path).await),
            MemberKind::File => {
                let (placing, checksum) = match self.wish(path, member) {
                    Ok(wish) => wish,
                    Err(error) => return Ok(Err(error)),
                };
                if !self.names.insert(placing.path.clone()) {
                    self.start();
                    while self.join().await? {}
                    self.names.insert(placing.path.clone());
                }
                if member.size > SMALL_BYTES_MAX {
                    let path = placing.path.clone();
                    let taken = self.large(placing, checksum, member.size, members).await;
                    self.names.remove(&path);
                    return taken;
                }
                let bytes = members.whole(member.size).await?;
                self.group.add(Small { placing, checksum, bytes });
                if self.group.bytes >= GROUP_BYTES || self.group.files.len() >= GROUP_FILES {
                    self.start();
                    let most = if self.is_scarce { 1 } else { GROUPS };
                    while self.groups.len() >= most && self.join().await? {}
                }
                Ok(Ok(()))
            }
        }
    }

    /// The path of a name beneath the folder. Programs write `./` before names; nothing else but names is taken.
    fn path(&self, name: &[u8]) -> Result<FilePath, Error> {
        let mut name = name;
        while let Some(rest) = name.strip_prefix(b"./") {
            name = rest;
        }
        if name.starts_with(b"/") {
            return Err(Error::bad("a name in an archive does not begin with a slash"));
        }
        let mut path = self.folder.clone();
        for segment in name.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
            path.push(segment)?;
        }
        Ok(path)
    }

    /// As it is told to the caller.
    fn shown(&self, name: &[u8]) -> String {
        match self.path(name) {
            Ok(path) => path.encode(),
            Err(_) => path::encode(&[self.folder.as_bytes(), name].join(&b'/')),
        }
    }

    fn wish(&self, path: FilePath, member: &Member) -> Result<(Placing, Option<Checksum>), Error> {
        if path.is_root() {
            return Err(Error::IsDirectory);
        }
        let checksum = match &member.sha256 {
            Some(sha256) => {
                let bad = || Error::bad("the SHA-256 of an entry is not in base64");
                Some(Checksum::sha256(sha256).ok_or_else(bad)?)
            }
            None => None,
        };
        let placing = Placing {
            existing: self.existing.clone(),
            modified: Some(member.modified),
            mode: Some(member.mode & 0o777),
            ..Placing::new(path)
        };
        Ok((placing, checksum))
    }

    async fn folder(&mut self, path: FilePath) -> Result<(), Error> {
        let root = Arc::clone(&self.app.root);
        let made = move || room::with_room(&root, || root.folder_made(&path).map(drop));
        let made = self.app.pool.run_piece(made).await;
        self.ends_with(&made);
        made
    }

    /// A file that is written while it comes, and settled by itself.
    async fn large(
        &mut self,
        placing: Placing,
        checksum: Option<Checksum>,
        size: u64,
        members: &mut Members,
    ) -> Result<Result<(), Error>, Error> {
        let (pool, root, asked) = (self.app.pool.clone(), Arc::clone(&self.app.root), placing.clone());
        let begin = move || {
            asked.check(&root)?;
            room::make_room(&root, size)?;
            NewFile::create(&root).map(|file| Arc::new(file.expecting(size)))
        };
        let file = match pool.run_piece(begin).await {
            Ok(file) => file,
            Err(error) => return Ok(self.ending(Err(error))),
        };
        let (mut at, mut digester) = (0, checksum.as_ref().map(Checksum::digester));
        while at < size {
            let most = (size - at).min(PIECE_BYTES as u64);
            let bytes = members.whole(most).await?;
            let target = Arc::clone(&file);
            let write = move || {
                target.write_at(&bytes, at)?;
                if let Some(digester) = &mut digester {
                    digester.update(&bytes);
                }
                Ok(digester)
            };
            digester = match pool.run_piece(write).await {
                Ok(digester) => digester,
                Err(error) => return Ok(self.ending(Err(error))),
            };
            at += most;
        }
        self.app.metrics.received.inc_by(size);
        if let (Some(checksum), Some(digester)) = (checksum, digester)
            && !checksum.matches(digester)
        {
            return Ok(Err(Error::Checksum));
        }
        let placed = pool.run_long(move || file.place(&placing).map(drop)).await;
        if placed.is_ok() {
            self.is_there(size);
        }
        Ok(self.ending(placed))
    }

    /// Begins with the group that was collected.
    fn start(&mut self) {
        let group = std::mem::take(&mut self.group);
        if !group.files.is_empty() {
            self.app.metrics.received.inc_by(group.bytes);
            let bytes = usize::try_from(group.bytes).unwrap_or(usize::MAX);
            let lease = self.app.memory.lease(bytes, bytes);
            self.is_scarce = lease.is_none();
            let unpacked = group.unpack(Arc::clone(&self.app), Arc::clone(&self.together));
            self.groups.spawn(async move {
                let outcomes = unpacked.await;
                drop(lease);
                outcomes
            });
        }
    }

    /// Waits for a group to come to its end; false where none is under way.
    async fn join(&mut self) -> Result<bool, Error> {
        let Some(joined) = self.groups.join_next().await else { return Ok(false) };
        let outcomes = joined.map_err(|_| Error::of("unpack it", rustix::io::Errno::FAULT))?;
        for Outcome { path, size, result } in outcomes {
            self.names.remove(&path);
            match self.ending(result) {
                Ok(()) => self.is_there(size),
                Err(error) => self.refused(path.encode(), error).await?,
            }
        }
        Ok(true)
    }

    fn is_there(&self, size: u64) {
        self.count.files.fetch_add(1, Ordering::Relaxed);
        self.count.bytes.fetch_add(size, Ordering::Relaxed);
    }

    fn ending(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.ends_with(&result);
        result
    }

    fn ends_with(&mut self, result: &Result<(), Error>) {
        if let Err(error) = result
            && error.is_for_all()
        {
            self.ended.get_or_insert_with(|| error.clone());
        }
    }

    async fn refused(&self, path: String, error: Error) -> Result<(), Error> {
        self.count.failed.fetch_add(1, Ordering::Relaxed);
        let is_heard = self.lines.push(&UnpackLine::Refused { path, error: error.body() }).await;
        if is_heard { Ok(()) } else { Err(Error::Cut) }
    }
}
