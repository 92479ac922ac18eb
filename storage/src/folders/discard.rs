//! Folders that keep their place, and space, though no FileSystem has them: moved into the trash when a person says so.

use super::error::DiscardError;
use super::work::{KeptDisposal, Work, path_echo};
use crate::names::Place;
use crate::record::{Folder, Own, Record};

impl Work<'_> {
    pub fn discard(&mut self, path: &str) -> Result<Option<String>, DiscardError> {
        let Some(record) = self.model.records().find(|record| record.place.path() == path).cloned() else {
            return self.discarded_before(path);
        };
        if let Some(refusal) = refusal(&record, self.home(&record)) {
            return Err(refusal);
        }
        let kept = match self.settle_or_forget(&record)? {
            true => Some(self.remove(&record, KeptDisposal::Trash)?),
            false => None,
        };
        if let Folder::Claim(claim) = &record.folder {
            // A retained folder of the same FileSystem has what the claim had.
            self.limit_own_of(&claim.key.file_system)?;
        }
        Ok(kept)
    }

    /// A repeated call finds what the first one did.
    fn discarded_before(&self, path: &str) -> Result<Option<String>, DiscardError> {
        let was_there =
            |record: &&Record| matches!(record.place, Place::Trash(_)) && record.from.path() == path;
        let last = self.model.records().filter(was_there).max_by_key(|r| r.removed.map(|removed| removed.at));
        let Some(record) = last else {
            return Err(DiscardError::NotFound(path_echo(path)));
        };
        if !record.removed.is_some_and(|removed| removed.emptying) {
            self.settle(record)?;
        }
        Ok(Some(record.place.path()))
    }

    /// The FileSystem that is there and that a claim belongs to.
    fn home(&self, record: &Record) -> Option<&Own> {
        let claim = record.live_claim()?;
        self.model.file_system(&claim.key.file_system).map(|(_, own)| own)
    }
}

/// Why a folder is not discarded; `home` is the FileSystem of a live claim, if that is there.
fn refusal(record: &Record, home: Option<&Own>) -> Option<DiscardError> {
    if matches!(record.place, Place::Trash(_)) {
        return Some(DiscardError::InTrash);
    }
    let words = |own: &Own| (own.namespace.to_string(), own.name.to_string());
    if let Some(own) = record.live_own().filter(|own| own.is_in_use()) {
        let (namespace, name) = words(own);
        return Some(DiscardError::InUse { namespace, name });
    }
    home.map(|own| {
        let (namespace, name) = words(own);
        DiscardError::ClaimInUse { namespace, name }
    })
}
