//! From the protocol's messages to checked types, and back.

use workspacefs_agent_proto::v1;
use workspacefs_storage::disk::Owner;
use workspacefs_storage::folders::types::{
    ClaimView, ClaimWish, Disposal, FileSystemView, FileSystemWish, RemovedView, Restored, Usage,
};
use workspacefs_storage::names::{ClaimKey, Key, NameError, Uid};

/// Permission bits.
const MODE_MAX: u32 = 0o7777;

/// A field of a request is missing or malformed. What it holds is not echoed: it may be hostile and long.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {source}")]
pub struct RequestError {
    /// Which one.
    pub field: &'static str,
    /// What is wrong with it.
    #[source]
    pub source: NameError,
}

fn field<T, E>(field: &'static str, value: Result<T, E>) -> Result<T, RequestError>
where
    NameError: From<E>,
{
    value.map_err(|error| RequestError { field, source: error.into() })
}

pub(super) fn uid(text: String) -> Result<Uid, RequestError> {
    field("uid", text.try_into())
}

fn owner(owner: Option<v1::Owner>) -> Result<Owner, RequestError> {
    match owner {
        Some(v1::Owner { uid, gid, mode }) if mode <= MODE_MAX => Ok(Owner { uid, gid, mode }),
        Some(_) => {
            Err(RequestError { field: "owner", source: NameError("mode has more than permission bits") })
        }
        None => Err(RequestError { field: "owner", source: NameError("missing") }),
    }
}

pub(super) fn file_system_wish(request: v1::EnsureFileSystemRequest) -> Result<FileSystemWish, RequestError> {
    let adopt = match request.adopt.as_str() {
        "" => None,
        text => Some(field("adopt", Key::parse(text))?),
    };
    Ok(FileSystemWish {
        uid: uid(request.uid)?,
        namespace_uid: field("namespace_uid", request.namespace_uid.try_into())?,
        namespace: field("namespace", request.namespace.try_into())?,
        name: field("name", request.name.try_into())?,
        capacity: request.capacity_bytes,
        owner: owner(request.owner)?,
        adopt,
    })
}

pub(super) fn claim_key(file_system_uid: String, name: String) -> Result<ClaimKey, RequestError> {
    Ok(ClaimKey {
        file_system: field("file_system_uid", file_system_uid.try_into())?,
        name: field("name", name.try_into())?,
    })
}

pub(super) fn claim_wish(request: v1::EnsureClaimRequest) -> Result<ClaimWish, RequestError> {
    Ok(ClaimWish {
        key: claim_key(request.file_system_uid, request.name)?,
        required: request.required_bytes,
        limit: request.limit_bytes,
        owner: owner(request.owner)?,
    })
}

pub(super) fn disposal(number: i32) -> Result<Disposal, RequestError> {
    match v1::Disposal::try_from(number) {
        Ok(v1::Disposal::Retain) => Ok(Disposal::Retain),
        Ok(v1::Disposal::Trash) => Ok(Disposal::Trash),
        Ok(v1::Disposal::Archive) => Ok(Disposal::Archive),
        Ok(v1::Disposal::Unspecified) | Err(_) => Err(RequestError {
            field: "disposal",
            source: NameError("RETAIN, TRASH or ARCHIVE must be said"),
        }),
    }
}

fn usage(usage: Usage) -> v1::Usage {
    v1::Usage {
        bytes_limit: usage.bytes_limit,
        bytes_used: usage.bytes_used,
        inodes_limit: usage.inodes_limit,
        inodes_used: usage.inodes_used,
    }
}

pub(super) fn file_system(view: FileSystemView) -> v1::FileSystem {
    v1::FileSystem {
        uid: view.uid.into(),
        namespace: view.namespace.into(),
        name: view.name.into(),
        folder: view.folder,
        capacity_bytes: view.capacity,
        usage: Some(usage(view.usage)),
        claims: view.claims.into_iter().map(claim).collect(),
        bytes_left: view.left,
    }
}

pub(super) fn claim(view: ClaimView) -> v1::Claim {
    v1::Claim {
        name: view.key.name.into(),
        folder: view.folder,
        size_bytes: view.size,
        usage: Some(usage(view.usage)),
    }
}

pub(super) fn removed(view: RemovedView) -> v1::RemovedFolder {
    let disposal = match view.disposal {
        Disposal::Retain => v1::Disposal::Retain,
        Disposal::Trash => v1::Disposal::Trash,
        Disposal::Archive => v1::Disposal::Archive,
    };
    v1::RemovedFolder {
        id: view.path,
        disposal: disposal.into(),
        namespace: view.namespace.into(),
        file_system: view.file_system.into(),
        claim: view.claim.unwrap_or_default(),
        key: view.key.map(|key| key.to_string()).unwrap_or_default(),
        removed_at: view.removed_at.unwrap_or(0),
        removed_for_good_at: view.removed_for_good_at.unwrap_or(0),
        bytes_used: view.bytes_used,
        bytes_held: view.bytes_held,
    }
}

pub(super) fn restored(restored: Restored) -> v1::RestoreResponse {
    let claim = restored.claim.map(|claim| v1::RestoredClaim {
        namespace: claim.namespace.into(),
        file_system: claim.file_system.into(),
        file_system_uid: claim.key.file_system.into(),
        name: claim.key.name.into(),
        size_bytes: claim.size,
        has_file_system: claim.has_file_system,
    });
    v1::RestoreResponse { path: restored.path, claim }
}
