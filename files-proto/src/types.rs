//! The JSON bodies of the file API. Times are RFC 3339 with nanoseconds, in UTC; sizes are bytes; `path` is percent-encoded,
//! from the root, without a slash in front.

use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;

/// What an entry is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum EntryType {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link, itself.
    Symlink,
    /// A FIFO, socket or device: can be seen, renamed and deleted, not read.
    Other,
}

/// A file, folder or whatever else has a name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Entry {
    /// To be shown: U+FFFD for what is not UTF-8.
    pub name: String,
    /// From the root, percent-encoded.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryType,
    /// Bytes.
    pub size: u64,
    /// When the content was changed last.
    pub modified: String,
    /// Permission bits, octal: `0644`.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `"<ino>-<size>-<mtime ns>-<ctime ns>"` in hexadecimal, with the quotes.
    pub etag: String,
}

/// One page of a folder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Listing {
    /// What lies in it.
    pub entries: Vec<Entry>,
    /// `cursor` of the next page; null on the last.
    pub next: Option<String>,
    /// False above 50,000 entries: then they come in the order of the directory.
    pub sorted: bool,
}

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// The bytes of the name.
    #[default]
    Name,
    /// Bytes.
    Size,
    /// Time of the last change.
    Modified,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Smallest first.
    #[default]
    Asc,
    /// Largest first.
    Desc,
}

/// Body of `POST /v1/move` and `POST /v1/copy`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Percent-encoded path of what is moved or copied.
    pub from: String,
    /// Percent-encoded path it gets.
    pub to: String,
    /// Whether a file that has the place is replaced. Folders never are.
    #[serde(default)]
    pub overwrite: bool,
    /// Whether missing folders above it are made.
    #[serde(default)]
    pub parents: bool,
}

/// A line of the answer to `POST /v1/copy`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum CopyLine {
    /// It went wrong: the last line. Nothing is left under the new name.
    Failed {
        /// Why.
        error: ErrorBody,
    },
    /// So far, or in all.
    Copied {
        /// True in the last line.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        done: bool,
        /// Files.
        files: u64,
        /// Bytes.
        bytes: u64,
    },
}

/// A line of the answer to `POST /v1/archive`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum UnpackLine {
    /// One that is not there as the archive has it.
    Refused {
        /// From the root, percent-encoded, as the archive names it.
        path: String,
        /// Why.
        error: ErrorBody,
    },
    /// The archive could not be read to its end: the last line. What was whole before is there.
    Failed {
        /// Why.
        error: ErrorBody,
    },
    /// So far, or in all.
    Unpacked {
        /// True in the last line.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        done: bool,
        /// Files that are there.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// Entries that were refused.
        failed: u64,
    },
}

/// Body of `POST /v1/bundle`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Which, in this order.
    pub files: Vec<Bundled>,
}

/// A file that is asked for with others.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Bundled {
    /// From the folder, percent-encoded.
    pub path: String,
    /// Bytes that it has.
    pub size: u64,
    /// Its ETag: another file is left out.
    pub etag: String,
}

/// A line of the answer to `GET /v1/search`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum SearchLine {
    /// One that was found.
    Found(Entry),
    /// It went wrong: the last line.
    Failed {
        /// Why.
        error: ErrorBody,
    },
    /// The last line.
    End {
        /// True.
        done: bool,
        /// There may be more than were asked for.
        limited: bool,
    },
}

/// How full the file system is. Null is unknown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Bytes in all.
    pub capacity: Option<u64>,
    /// Bytes taken.
    pub used: Option<u64>,
    /// Bytes that can be written yet.
    pub available: Option<u64>,
    /// Inodes in all.
    pub inodes: Option<u64>,
    /// Inodes taken.
    pub inodes_used: Option<u64>,
    /// What of it lies in the trash.
    pub trash: TrashUsage,
}

/// How much lies in the trash.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrashUsage {
    /// Bytes, of what was measured so far.
    pub bytes: u64,
    /// Things that were deleted.
    pub entries: u64,
}

/// Something in the trash.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TrashEntry {
    /// For restore and delete.
    pub id: String,
    /// Where it was, percent-encoded.
    pub path: String,
    /// Its name, to be shown.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryType,
    /// Bytes, of a folder all that is in it; null until that is known.
    pub size: Option<u64>,
    /// When it was deleted.
    pub deleted_at: String,
    /// When it goes for good.
    pub expires_at: String,
    /// Who deleted it.
    pub deleted_by: String,
}

/// One page of the trash, the latest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrashListing {
    /// What lies in it.
    pub entries: Vec<TrashEntry>,
    /// `cursor` of the next page; null on the last.
    pub next: Option<String>,
}

/// Answer to a deletion that can be undone.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trashed {
    /// Its id in the trash.
    pub trash: String,
}

/// Body of `POST /v1/trash/{id}/restore`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Percent-encoded path it gets; by default the one it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// An upload that is not finished.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    /// `uploads/{id}` is its URL.
    pub id: String,
    /// What it will be, percent-encoded.
    pub path: String,
    /// Bytes in all.
    pub size: u64,
    /// Bytes that are here.
    pub offset: u64,
    /// When it is given up.
    pub expires_at: String,
    /// When it began.
    pub created: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_streams_are_told_apart() {
        for line in [
            r#"{"files":1,"bytes":2}"#,
            r#"{"done":true,"files":1,"bytes":2}"#,
            r#"{"error":{"code":"QuotaExceeded","message":"full"}}"#,
        ] {
            let parsed: CopyLine = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), line);
        }
        for line in [
            r#"{"path":"a","error":{"code":"Exists","message":"there"}}"#,
            r#"{"error":{"code":"BadRequest","message":"no archive"}}"#,
            r#"{"files":1,"bytes":2,"failed":0}"#,
            r#"{"done":true,"files":1,"bytes":2,"failed":1}"#,
        ] {
            let parsed: UnpackLine = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), line);
            assert_eq!(matches!(parsed, UnpackLine::Refused { .. }), line.contains("path"));
        }
        let end: SearchLine = serde_json::from_str(r#"{"done":true,"limited":false}"#).unwrap();
        assert_eq!(end, SearchLine::End { done: true, limited: false });
    }

    #[test]
    fn names_are_as_the_contract_has_them() {
        let entry = TrashEntry {
            id: "1".into(),
            path: "a".into(),
            name: "a".into(),
            kind: EntryType::Dir,
            size: None,
            deleted_at: "t".into(),
            expires_at: "t".into(),
            deleted_by: "jane".into(),
        };
        let value = serde_json::to_value(entry).unwrap();
        assert_eq!(value["type"], "dir");
        assert!(value["deletedAt"] == "t" && value["expiresAt"] == "t" && value["deletedBy"] == "jane");
        assert!(value["size"].is_null());
    }
}
