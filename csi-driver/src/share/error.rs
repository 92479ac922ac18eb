//! Why something on a share did not work, in words that a person can act on. The helper process makes most of these and
//! sends them over its socket, so causes are texts; the gRPC code is decided by the callers (`node::status`,
//! `controller`), never here.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An operation on a share failed.
#[derive(Clone, Debug, Deserialize, Eq, Error, PartialEq, Serialize)]
pub enum ShareError {
    /// The server's name has no address.
    #[error("the name of the NFS server {server} cannot be resolved: {reason}")]
    NameUnresolved {
        /// The name.
        server: String,
        /// The resolver's words.
        reason: String,
    },
    /// No TCP connection to the server, or it broke.
    #[error("the NFS server {server} is unreachable: {reason}")]
    Unreachable {
        /// Name and, where known, address and port.
        server: String,
        /// Refused, no route, timed out ...
        reason: String,
    },
    /// The server is there but did not answer in time, or calls before this one used the time up.
    #[error("the NFS server of {share} did not answer within {seconds} s ({doing})")]
    TimedOut {
        /// `server:/export`.
        share: String,
        /// How long the caller was ready to wait.
        seconds: u64,
        /// What was being done.
        doing: String,
    },
    /// The server does not export that path, or not to this node.
    #[error("{share} does not exist on the server, or is not exported to this node ({reason})")]
    ExportMissing {
        /// `server:/export`.
        share: String,
        /// The kernel's words.
        reason: String,
    },
    /// The server refuses this node.
    #[error(
        "the server of {share} denies this node the mount ({reason}): check the export's list of clients"
    )]
    MountDenied {
        /// `server:/export`.
        share: String,
        /// The kernel's words.
        reason: String,
    },
    /// The server speaks none of the versions that were tried.
    #[error("the server of {share} does not speak NFS {versions} ({reason})")]
    VersionRefused {
        /// `server:/export`.
        share: String,
        /// The versions, in the order they were tried.
        versions: String,
        /// The kernel's words.
        reason: String,
    },
    /// This node's kernel has no NFS client.
    #[error("this node's kernel cannot mount NFS: load its module nfs ({reason})")]
    NoClient {
        /// The kernel's words.
        reason: String,
    },
    /// The kernel refuses an option, or the mount for another reason.
    #[error("cannot mount {share}: {reason}")]
    MountFailed {
        /// `server:/export`.
        share: String,
        /// The kernel's words.
        reason: String,
    },
    /// The server forbids root what a first mount needs.
    #[error(
        "the server forbids this node to {action} {path} ({reason}): it probably maps root to nobody (root_squash). Either export it to the nodes with no_root_squash, or create the folder on the server by hand, with the owner and mode it should have"
    )]
    Squashed {
        /// "create", "set the owner of" ...
        action: String,
        /// `server:/export/folder`.
        path: String,
        /// The error in words.
        reason: String,
    },
    /// Nothing has that name.
    #[error("{path} does not exist")]
    NotFound {
        /// `server:/export/folder`.
        path: String,
    },
    /// It is a file.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// `server:/export/folder`.
        path: String,
    },
    /// A symbolic link beneath the FileSystem's folder leads out of it.
    #[error("{path} leads out of its file system and is not followed")]
    LeadsOut {
        /// `server:/export/folder`.
        path: String,
    },
    /// A symbolic link stands on the way to a FileSystem's own folder. Whoever may write there chose where it leads, and
    /// that may be a pod.
    #[error(
        "{link} is a symbolic link, and no FileSystem's folder ({path}) is looked for behind one: a pod may have made it. Either put the directory itself in its place on the server, or make a new FileSystem whose folder has no link in its path"
    )]
    BehindLink {
        /// `server:/export/folder`.
        path: String,
        /// Which part of it.
        link: String,
    },
    /// It is in our own folder.
    #[error("{path} is inside .workspacefs, which no volume may enter")]
    Reserved {
        /// `server:/export/folder`.
        path: String,
    },
    /// The server lets this node's root not look there.
    #[error("permission denied at {path} ({reason})")]
    Denied {
        /// `server:/export/folder`.
        path: String,
        /// The error in words.
        reason: String,
    },
    /// `.workspacefs` belongs to somebody else or is not a private directory, so nothing in it can be believed.
    #[error(
        "{path} is not a directory of root's with mode 0700: move it away, or give the share to somebody who owns it"
    )]
    Untrusted {
        /// `server:/export/.workspacefs`.
        path: String,
    },
    /// The export's root cannot be shown without our own folder in it.
    #[error(
        "{path} is an export's root: to keep .workspacefs out of its pods' reach, workspacefs needs a user namespace, which this node refuses ({reason}). Either allow them (sysctl user.max_user_namespaces), or give the FileSystem a folder"
    )]
    NoUserNamespace {
        /// `server:/export`.
        path: String,
        /// The error in words.
        reason: String,
    },
    /// No space or quota left for a new folder.
    #[error("no space left on {path} ({reason})")]
    NoSpace {
        /// `server:/export/folder`.
        path: String,
        /// The error in words.
        reason: String,
    },
    /// The server forgot the folder: it was replaced while the share was mounted.
    #[error(
        "the server does not know {path} any more (stale file handle): it was moved, or the export was made anew"
    )]
    Stale {
        /// `server:/export/folder`.
        path: String,
    },
    /// Anything else that went wrong on the share.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// What was done.
        action: String,
        /// `server:/export/folder`.
        path: String,
        /// The error in words.
        reason: String,
    },
    /// Something went wrong on this node: no fault of the server's.
    #[error("cannot {action}: {reason}")]
    Local {
        /// What was done.
        action: String,
        /// The error in words.
        reason: String,
    },
    /// The helper process ended in the middle, or answered what nobody asked. The next call starts a new one.
    #[error("the helper process of {share} failed: {reason}")]
    Helper {
        /// `server:/export`.
        share: String,
        /// How.
        reason: String,
    },
}

impl ShareError {
    /// Whether the server (or the way to it) is the reason, so that the share counts as not answering.
    pub fn is_servers_silence(&self) -> bool {
        matches!(self, Self::NameUnresolved { .. } | Self::Unreachable { .. } | Self::TimedOut { .. })
    }
}
