//! Small files from the server, many in one answer. Each is written beside its place and takes its name whole, as one that comes by
//! itself; what does not come, or is another than it was listed as, is fetched by itself, which says why.

use std::collections::HashMap;

use futures::StreamExt;
use tokio::task::block_in_place;
use workspacefs_files_proto::path::encode;
use workspacefs_files_proto::tar::{Member, MemberKind};
use workspacefs_files_proto::types::{Bundle, Bundled};

use super::super::TransferError;
use super::super::download::{Download, Item};
use super::super::local;
use super::super::meter::Fate;
use super::{ALONE_AT_ONCE, FILE_BYTES_MAX};
use crate::client::batch::{is_too_much, is_unknown};
use crate::client::error::ClientError;

/// What one request may say of the files that it asks for, and what it says of each beside path and ETag.
const REQUEST_BYTES_MAX: usize = 60 << 10;
const REQUEST_BYTES_EACH: usize = 80;

/// Files that are still to come, by their names in the answer.
type Missing = HashMap<Vec<u8>, Item>;

impl Download {
    /// Fetches files together.
    pub async fn many(&self, items: Vec<Item>) {
        let Some(turn) = self.batches.turn().await else { return };
        let mut alone = Vec::new();
        for items in requests(self.wanted(items)) {
            if self.stop.is_said() {
                return;
            }
            match self.bundle(items).await {
                Ok(left) => alone.extend(left),
                Err((left, error)) if is_unknown(&error) => {
                    self.batches.off();
                    alone.extend(left);
                }
                Err((left, error)) if is_too_much(&error) => alone.extend(left),
                Err((left, error)) => self.none(left, error.into()),
            }
        }
        drop(turn);
        futures::stream::iter(alone).for_each_concurrent(ALONE_AT_ONCE, |item| self.one(item)).await;
    }

    /// Those that are not there already.
    fn wanted(&self, items: Vec<Item>) -> Vec<Item> {
        let mut wanted = Vec::with_capacity(items.len());
        block_in_place(|| {
            for item in items {
                match self.receiver.is_there(&item.names, &item.entry) {
                    Ok(true) => self.receiver.meter.settled(Fate::Unchanged, item.entry.size),
                    Ok(false) => wanted.push(item),
                    Err(error) => self.fail(Some(item.entry.size), &item.names, error),
                }
            }
        });
        wanted
    }

    /// Asks for them until all came that come so; which are left.
    async fn bundle(&self, items: Vec<Item>) -> Result<Vec<Item>, (Vec<Item>, ClientError)> {
        let mut missing: Missing = items.into_iter().map(|item| (item.names.join(&b'/'), item)).collect();
        let mut trouble = self.receiver.files.gateway().trouble();
        while !missing.is_empty() {
            let before = missing.len();
            let wanted = Bundle { files: missing.values().map(asked).collect() };
            let Err(error) = self.some(&wanted, &mut missing).await else { break };
            if missing.len() < before {
                trouble.over();
            }
            let call = crate::client::call::Call::get(String::new());
            if let Err(error) = self.receiver.files.gateway().wait(&call, error, &mut trouble).await {
                return Err((missing.into_values().collect(), error));
            }
        }
        Ok(missing.into_values().collect())
    }

    /// What comes in one answer.
    async fn some(&self, wanted: &Bundle, missing: &mut Missing) -> Result<(), ClientError> {
        let mut members = self.receiver.files.bundle(&self.from, wanted).await?;
        while let Some((member, bytes)) = members.next(FILE_BYTES_MAX).await? {
            let Some(item) = missing.remove(&member.name) else {
                let what = "it holds a file that was not asked for".into();
                return Err(ClientError::Protocol { request: "POST bundle".into(), what });
            };
            if !is_as_listed(&member, &item) {
                missing.insert(member.name, item);
                continue;
            }
            self.receiver.meter.current(local::shown(&item.names));
            self.receiver.meter.moved(member.size);
            let from = self.from.join_all(&item.names);
            match block_in_place(|| self.receiver.put(&from, &item.entry, &item.names, &bytes)) {
                Ok(()) => self.receiver.meter.settled(Fate::Done, member.size),
                Err(error) => self.fail(Some(member.size), &item.names, error),
            }
        }
        Ok(())
    }

    /// None of them is there.
    fn none(&self, items: Vec<Item>, error: TransferError) {
        for item in items {
            self.tell(Some(item.entry.size), &item.names, &error);
        }
        if error.is_for_all() {
            self.stop.because(error);
        }
    }
}

/// The server looked at size and ETag; that this is what it sends is looked at here.
fn is_as_listed(member: &Member, item: &Item) -> bool {
    member.kind == MemberKind::File
        && member.size == item.entry.size
        && member.modified == item.entry.modified.as_nanosecond()
}

fn asked(item: &Item) -> Bundled {
    let path = encode(&item.names.join(&b'/'));
    Bundled { path, size: item.entry.size, etag: item.entry.etag.clone() }
}

/// As many together as one request may name.
fn requests(items: Vec<Item>) -> Vec<Vec<Item>> {
    let (mut requests, mut bytes) = (Vec::<Vec<Item>>::new(), 0);
    for item in items {
        let asked = asked(&item);
        let own = asked.path.len() + 2 * asked.etag.len() + REQUEST_BYTES_EACH;
        bytes += own;
        match requests.last_mut() {
            Some(last) if bytes <= REQUEST_BYTES_MAX => last.push(item),
            _ => {
                bytes = own;
                requests.push(vec![item]);
            }
        }
    }
    requests
}
