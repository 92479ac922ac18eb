//! What stands before a content in an archive.

use super::header::{Header, NAME_BYTES_MAX, fits};
use super::{Member, MemberKind, NS_PER_S, SHA256_RECORD, padding, pax};

/// The name of what describes the entry after it, for programs that know no descriptions.
const DESCRIPTION: &[u8] = b"description";

impl Member {
    /// Appends all that comes before its content, which is followed by [`padding`].
    pub fn write(&self, into: &mut Vec<u8>) {
        let mut records = Vec::new();
        let is_long = self.name.len() > NAME_BYTES_MAX;
        if is_long && std::str::from_utf8(&self.name).is_err() {
            pax::write(&mut records, "hdrcharset", b"BINARY");
        }
        if is_long {
            pax::write(&mut records, "path", &self.name);
        }
        if !fits(self.size.into()) {
            pax::write(&mut records, "size", self.size.to_string().as_bytes());
        }
        let seconds = self.modified.div_euclid(NS_PER_S);
        if self.modified.rem_euclid(NS_PER_S) != 0 || !fits(seconds) {
            pax::write(&mut records, "mtime", pax::time_text(self.modified).as_bytes());
        }
        if let Some(sha256) = &self.sha256 {
            pax::write(&mut records, SHA256_RECORD, sha256.as_bytes());
        }
        if !records.is_empty() {
            let size = records.len() as u64;
            header(DESCRIPTION.to_vec(), b'x', size, 0o644, 0).write(into);
            into.extend_from_slice(&records);
            into.resize(into.len() + padding(size), 0);
        }
        let kind = match self.kind {
            MemberKind::Folder => b'5',
            MemberKind::File | MemberKind::Other => b'0',
        };
        let seconds = if fits(seconds) { i64::try_from(seconds).unwrap_or(0) } else { 0 };
        header(self.name.clone(), kind, self.size, self.mode, seconds).write(into);
    }
}

fn header(name: Vec<u8>, kind: u8, size: u64, mode: u32, modified: i64) -> Header {
    Header { name, kind, size, mode, modified, sparse_goes_on: false }
}
