//! What is kept of an import over a restart: a file of JSON in the folder `imports`, without keys. Its names are ours alone.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use workspacefs_files_proto::import::{ImportFailure, ImportState};

use super::form::Form;
use super::progress::Counts;
use crate::error::Error;
use crate::root::{Area, Root};

/// Of one record not more is read: a thousand failures of the longest keys and reasons have less.
const RECORD_BYTES_MAX: u64 = 8 << 20;
const SUFFIX: &str = ".json";

/// See the module. Times are RFC 3339.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub id: String,
    pub form: Form,
    pub state: ImportState,
    pub counts: Counts,
    pub failures: Vec<ImportFailure>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    pub started_at: String,
    #[serde(default)]
    pub ended_at: Option<String>,
    pub started_by: String,
}

/// The folder that they lie in.
#[derive(Debug)]
pub(crate) struct Records(Arc<Root>);

impl Records {
    pub fn new(root: Arc<Root>) -> Self {
        Self(root)
    }

    /// All that can be read. What cannot is left where it is, and logged.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn load(&self) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        let at = Error::at("list the records of imports");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(self.0.area(Area::Imports)?, c".", flags, Mode::empty()).map_err(&at)?;
        for entry in Dir::new(folder).map_err(&at)? {
            let entry = entry.map_err(&at)?;
            let Some(id) = entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(SUFFIX)) else {
                continue;
            };
            match self.read(id) {
                Ok(record) if record.id == id => records.push(record),
                Ok(_) => tracing::warn!(id, "the record of an import is another one's"),
                Err(error) => tracing::warn!(id, %error, "cannot read the record of an import"),
            }
        }
        Ok(records)
    }

    /// Whole, in the place of what was there.
    ///
    /// # Errors
    /// Of the file system; then the last one is still there.
    pub fn save(&self, record: &Record) -> Result<(), Error> {
        let at = Error::at("write the record of an import");
        // People whose uid is ours may have removed it.
        let folder = self.0.area(Area::Imports)?;
        let (name, temporary) = (name(&record.id), format!("{}.new", record.id));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&folder, &temporary, flags, Mode::RUSR | Mode::WUSR).map_err(&at)?;
        let text = serde_json::to_vec(record).map_err(|_| at(Errno::INVAL))?;
        let written = std::fs::File::from(file).write_all(&text);
        let written = written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        let written = written.and_then(|()| renameat(&folder, &temporary, &folder, &name));
        written.map_err(at).inspect_err(|_| {
            // What is left is written over by the next one.
            let _ = unlinkat(&folder, &temporary, AtFlags::empty());
        })
    }

    /// # Errors
    /// Of the file system.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        match unlinkat(self.0.area(Area::Imports)?, name(id), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::of("remove the record of an import", errno)),
        }
    }

    fn read(&self, id: &str) -> anyhow::Result<Record> {
        // Not to wait for whoever would write to a FIFO.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(self.0.area(Area::Imports)?, name(id), flags, Mode::empty())?;
        let mut text = Vec::new();
        std::fs::File::from(file).take(RECORD_BYTES_MAX).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

fn name(id: &str) -> String {
    format!("{id}{SUFFIX}")
}
