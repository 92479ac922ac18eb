//! Small files that go their way together: written by one call, settled with all others that wait, named by one call.

use std::sync::Arc;

use workspacefs_files_proto::FilePath;

use super::Together;
use crate::app::App;
use crate::error::Error;
use crate::placing::{Existing, Placing};
use crate::room;
use crate::root::Root;
use crate::uploads::Checksum;
use crate::write::NewFile;

/// Where what was deleted gives way, the files are written again, so many times in all.
const TRIES_MAX: usize = 3;

/// A file whose content is in memory.
#[derive(Debug)]
pub(crate) struct Small {
    pub placing: Placing,
    pub checksum: Option<Checksum>,
    pub bytes: Vec<u8>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub path: FilePath,
    pub size: u64,
    pub result: Result<(), Error>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub files: Vec<Small>,
    /// Of all contents.
    pub bytes: u64,
}

/// Files by their place in the group, each with what came of it so far.
type Written = Vec<(usize, Result<NewFile, Error>)>;

impl Group {
    pub fn add(&mut self, file: Small) {
        self.bytes += file.bytes.len() as u64;
        self.files.push(file);
    }

    /// Brings all of it to its places.
    pub async fn unpack(self, app: Arc<App>, together: Arc<Together>) -> Vec<Outcome> {
        let bytes = self.bytes;
        let files = Arc::new(self.files);
        let mut results = vec![Ok(()); files.len()];
        let mut left: Vec<usize> = (0..files.len()).collect();
        for _ in 0..TRIES_MAX {
            for (at, result) in tried(&app, &together, &files, left, bytes).await {
                results[at] = result;
            }
            left = (0..files.len()).filter(|at| results[*at] == Err(Error::MadeRoom)).collect();
            if left.is_empty() {
                break;
            }
        }
        let outcome = |(file, result): (&Small, _)| Outcome {
            path: file.placing.path.clone(),
            size: file.bytes.len() as u64,
            result,
        };
        files.iter().zip(results).map(outcome).collect()
    }
}

/// Tries it with these files of a group.
async fn tried(
    app: &App,
    together: &Arc<Together>,
    files: &Arc<Vec<Small>>,
    which: Vec<usize>,
    bytes: u64,
) -> Vec<(usize, Result<(), Error>)> {
    let failed = |which: &[usize], error: &Error| which.iter().map(|at| (*at, Err(error.clone()))).collect();
    let begun = together.begin(bytes);
    let (root, all, asked) = (Arc::clone(&app.root), Arc::clone(files), which.clone());
    let write = move || {
        room::make_room(&root, bytes)?;
        Ok(asked.into_iter().map(|at| (at, written(&root, &all[at]))).collect::<Written>())
    };
    let written = match app.pool.run_piece(write).await {
        Ok(written) => written,
        Err(error) => return failed(&which, &error),
    };
    if let Err(error) = together.settle(app, &begun).await {
        // Of those that are refused already that is still the reason.
        let result =
            |(at, file): (usize, Result<NewFile, Error>)| (at, Err(file.err().unwrap_or(error.clone())));
        return written.into_iter().map(result).collect();
    }
    let all = Arc::clone(files);
    let place = move || {
        let placed =
            |(at, file): (usize, Result<NewFile, Error>)| (at, file.and_then(|file| placed(file, &all[at])));
        Ok(written.into_iter().map(placed).collect())
    };
    app.pool.run_piece(place).await.unwrap_or_else(|error| failed(&which, &error))
}

fn written(root: &Arc<Root>, file: &Small) -> Result<NewFile, Error> {
    if let Some(checksum) = &file.checksum {
        let mut digester = checksum.digester();
        digester.update(&file.bytes);
        if !checksum.matches(digester) {
            return Err(Error::Checksum);
        }
    }
    if file.placing.existing == Existing::Keep {
        // Nothing gives way to what will get no name.
        file.placing.check(root)?;
    }
    let new = NewFile::create(root)?.expecting(file.bytes.len() as u64);
    new.write_at(&file.bytes, 0)?;
    new.deliver().map(|()| new)
}

fn placed(new: NewFile, file: &Small) -> Result<(), Error> {
    new.place_settled(&file.placing)?;
    new.close();
    Ok(())
}
