//! Claims: folders beside a FileSystem's own, whose sizes come out of its capacity.

use super::error::{EnsureClaimError, GetClaimError, GrowClaimError, RemoveError};
use super::types::{ClaimView, ClaimWish, Disposal};
use super::work::{KeptDisposal, Work, claim_limits};
use crate::names::{ClaimKey, Place};
use crate::record::{Claim, Folder, Record};
use crate::sizes::{SizeError, claim_size, grown_size, is_in_range};

impl Work<'_> {
    pub fn ensure_claim(&mut self, wish: &ClaimWish) -> Result<ClaimView, EnsureClaimError> {
        if let Some((record, claim)) = self.model.claim(&wish.key) {
            let (size, required, limit) = (claim.size_bytes, wish.required, wish.limit);
            if !is_in_range(size, required, limit) {
                return Err(EnsureClaimError::OtherSize { size, required, limit });
            }
            self.settle(record)?;
            return Ok(self.claim_view(record, claim)?);
        }
        self.make_claim(wish)
    }

    fn make_claim(&mut self, wish: &ClaimWish) -> Result<ClaimView, EnsureClaimError> {
        let uid = &wish.key.file_system;
        let Some((home, own)) = self.model.file_system(uid) else {
            return Err(EnsureClaimError::NoFileSystem(uid.to_string()));
        };
        let (home, own) = (home.project, own.clone());
        let balance = self.balance(home, &own)?;
        let size = claim_size(wish.required, wish.limit, &balance)?;
        self.back(size)??;
        let place = Place::Claim(wish.key.clone());
        if self.disk.project_at(&place)?.is_some() {
            return Err(EnsureClaimError::Occupied(place.path()));
        }
        let project = self.new_project()?;
        if let Err(now) = self.take(home, &balance, size)? {
            return Err(SizeError::BeyondLeft { asked: size, left: now.left() }.into());
        }
        let claim =
            Claim { key: wish.key.clone(), namespace: own.namespace, name: own.name, size_bytes: size };
        let record = Record {
            project,
            folder: Folder::Claim(claim.clone()),
            place,
            from: Place::New(project),
            removed: None,
        };
        self.make(record.clone(), claim_limits(size), wish.owner)?;
        Ok(self.claim_view(&record, &claim)?)
    }

    pub fn claim(&self, key: &ClaimKey) -> Result<ClaimView, GetClaimError> {
        let Some((record, claim)) = self.model.claim(key) else {
            return Err(GetClaimError::NoClaim(key.name.to_string()));
        };
        self.settle(record)?;
        Ok(self.claim_view(record, claim)?)
    }

    pub fn grow_claim(
        &mut self,
        key: &ClaimKey,
        required: u64,
        limit: u64,
    ) -> Result<ClaimView, GrowClaimError> {
        let Some((record, claim)) = self.model.claim(key) else {
            return Err(GrowClaimError::NoClaim(key.name.to_string()));
        };
        let (record, claim) = (record.clone(), claim.clone());
        self.settle(&record)?;
        if required <= claim.size_bytes && is_in_range(claim.size_bytes, required, limit) {
            return Ok(self.claim_view(&record, &claim)?);
        }
        let Some((home, own)) = self.model.file_system(&key.file_system) else {
            return Err(GrowClaimError::NoFileSystem(key.file_system.to_string()));
        };
        let (home, own) = (home.project, own.clone());
        let balance = self.balance(home, &own)?;
        let size = grown_size(claim.size_bytes, required, limit, &balance)?;
        let more = size - claim.size_bytes;
        self.back(more)??;
        if let Err(now) = self.take(home, &balance, more)? {
            return Err(SizeError::BeyondLeft { asked: more, left: now.left() }.into());
        }
        let claim = Claim { size_bytes: size, ..claim };
        let record = Record { folder: Folder::Claim(claim.clone()), ..record };
        self.put(record.clone())?;
        self.disk.set_limits(record.project, claim_limits(size))?;
        Ok(self.claim_view(&record, &claim)?)
    }

    pub fn remove_claim(
        &mut self,
        key: &ClaimKey,
        disposal: Disposal,
    ) -> Result<Option<String>, RemoveError> {
        let kept = KeptDisposal::of(disposal).ok_or(RemoveError::RetainedClaim)?;
        let Some((record, _)) = self.model.claim(key) else {
            return self
                .was_removed(|record| matches!(&record.folder, Folder::Claim(claim) if claim.key == *key));
        };
        let record = record.clone();
        let path = match self.settle_or_forget(&record)? {
            true => Some(self.remove(&record, kept)?),
            false => None,
        };
        // What the claim had is the FileSystem's again.
        self.limit_own_of(&key.file_system)?;
        Ok(path)
    }
}
