//! The secret of the port that is exposed. It is made here, lies in memory of this pod only, and is another one every hour and after
//! every start: nothing of it is in the API server, and nobody has to be allowed to read Secrets. `files` tells it to the gateway.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;
use workspacefs_files_proto::rsync::{EXPOSED_FILE, RsyncSecret};

/// 192 bits.
const BYTES: usize = 24;
/// The daemon's file.
const SECRETS_FILE: &str = "secrets";

/// Why there is none.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// A file cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
}

/// Where the daemon reads it.
pub fn file(run: &Path) -> PathBuf {
    run.join(SECRETS_FILE)
}

/// Makes a new one, which takes the old one's place for everybody who connects from now on.
///
/// # Errors
/// [`SecretError`]; the old one may be good still.
pub fn renew(run: &Path, user: &str, port: u16) -> Result<(), SecretError> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SecretError::Random)?;
    let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // First the daemon's: what is told is good then.
    replace(&file(run), format!("{user}:{password}\n").as_bytes())?;
    let told = RsyncSecret { user: user.to_owned(), password, port };
    let told = serde_json::to_vec(&told).expect("strings and a number, which JSON has");
    replace(&run.join(EXPOSED_FILE), &told)
}

/// Writes a file that only its owner reads, whole or not at all.
fn replace(path: &Path, content: &[u8]) -> Result<(), SecretError> {
    let unfinished = path.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&unfinished);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(content)?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|error| SecretError::Write(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_is_new_told_as_the_daemon_has_it_and_readable_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let read = || {
            renew(dir.path(), "team-a", 8873).unwrap();
            let told: RsyncSecret =
                serde_json::from_slice(&fs::read(dir.path().join(EXPOSED_FILE)).unwrap()).unwrap();
            let daemons = fs::read_to_string(file(dir.path())).unwrap();
            assert_eq!(daemons, format!("team-a:{}\n", told.password));
            told
        };
        let (first, second) = (read(), read());
        assert!(first.password != second.password && first.password.len() == 2 * BYTES);
        for name in [SECRETS_FILE, EXPOSED_FILE] {
            assert_eq!(dir.path().join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!format!("{first:?}").contains(&first.password), "it is in no log");
    }
}
