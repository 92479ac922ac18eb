//! What is kept of an import over a restart: a file of JSON in the folder `imports`, without keys. Its names are ours alone.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use workspacefs_files_proto::import::{ImportFailure, ImportState};

use super::form::Form;
use super::progress::Counts;
use crate::error::Error;
use crate::record;
use crate::root::{Area, Root};

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
        let entries = Dir::read_from(&folder).map_err(&at)?;
        for entry in entries {
            let entry = entry.map_err(&at)?;
            let Some(id) = entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(SUFFIX)) else {
                continue;
            };
            match record::read::<Record>(folder.as_fd(), &name(id)) {
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
        // People whose uid is ours may have removed the folder: it is made again.
        record::write(self.0.area(Area::Imports)?.as_fd(), &name(&record.id), record)
    }

    /// # Errors
    /// Of the file system.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        match unlinkat(self.0.area(Area::Imports)?, name(id), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::of("remove the record of an import", errno)),
        }
    }
}

fn name(id: &str) -> String {
    format!("{id}{SUFFIX}")
}
