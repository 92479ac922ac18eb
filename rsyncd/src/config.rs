//! The daemon's configuration. Pure text: what it says is what holds, so each line that takes something away says why.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The one module, as `lep` calls it.
pub const MODULE: &str = "volume";
/// What is nobody's business at the root, as for the file API.
pub const HIDDEN: [&str; 2] = [".workspacefs", ".workspacefs-files"];
/// Neither side moves for so long: the daemon ends the connection.
const TIMEOUT_SECONDS: u32 = 600;
/// What a caller may ask of the daemon. Everything else is refused: what deletes (it would not go to the trash), what writes in
/// place (others would read halves), what names other folders, and whatever a later rsync learns.
const OPTIONS: [&str; 20] = [
    "archive",
    "verbose",
    "quiet",
    "partial",
    "progress",
    "checksum",
    "update",
    "ignore-existing",
    "existing",
    "size-only",
    "ignore-times",
    "modify-window",
    "compress*",
    "whole-file",
    "omit-dir-times",
    "omit-link-times",
    "dirs",
    "log-format",
    "stats",
    "bwlimit",
];

/// Who gets in with the secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Login {
    /// The one user: the workspace.
    pub user: String,
    /// The daemon's file with the user and the secret.
    pub secrets: PathBuf,
}

/// What a configuration is made from.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// The directory that is served.
    pub root: &'a Path,
    /// Where the log and the lock are.
    pub run: &'a Path,
    /// Of the lock: connections of one configuration are counted together.
    pub name: &'static str,
    /// Connections at once; those above hear that they are to come again.
    pub connections_max: u32,
    /// None: whoever gets to the socket is let in.
    pub login: Option<&'a Login>,
    /// Whether the process is root. It stays what it is.
    pub is_root: bool,
}

/// Why there is none.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ConfigError {
    /// The daemon would read something else.
    #[error("{0:?} cannot stand in rsyncd.conf")]
    Path(PathBuf),
    /// Not the name of a namespace.
    #[error("{0:?} is no user: letters, digits, - and . only")]
    User(String),
}

/// The text of `rsyncd.conf`.
///
/// # Errors
/// [`ConfigError`].
pub fn text(settings: &Settings<'_>) -> Result<String, ConfigError> {
    let (root, run) = (plain(settings.root)?, plain(settings.run)?);
    let Settings { name, connections_max, .. } = settings;
    let mut text = format!(
        "# Written by rsyncd.\n\
         use chroot = no\n\
         munge symlinks = no\n\
         numeric ids = yes\n\
         reverse lookup = no\n\
         forward lookup = no\n\
         log file = {run}/log\n\
         lock file = {run}/{name}.lock\n\
         max connections = {connections_max}\n\
         timeout = {TIMEOUT_SECONDS}\n\
         max verbosity = 1\n"
    );
    if settings.is_root {
        // As root it would otherwise become nobody.
        text.push_str("uid = 0\ngid = 0\n");
    }
    let hidden = HIDDEN.map(|name| format!("/{name}")).join(" ");
    let accepted = OPTIONS.map(|option| format!("!{option}")).join(" ");
    // Writing to a String does not fail. To be read it is by the file API only: there links do not lead out.
    let _ = write!(
        text,
        "\n[{MODULE}]\n\
         path = {root}\n\
         read only = no\n\
         write only = yes\n\
         list = no\n\
         incoming chmod = ug-s,o-t\n\
         exclude = {hidden}\n\
         refuse options = * {accepted}\n\
         pre-xfer exec = prepare\n"
    );
    if let Some(login) = settings.login {
        let secrets = plain(&login.secrets)?;
        let user = user(&login.user)?;
        let _ = write!(text, "auth users = {user}\nsecrets file = {secrets}\nstrict modes = yes\n");
    }
    Ok(text)
}

/// A path that the daemon reads as it stands: it expands %NAME%, cuts blanks off, and ends a value at the end of the line.
fn plain(path: &Path) -> Result<&str, ConfigError> {
    let bad = || ConfigError::Path(path.to_owned());
    let text = path.to_str().ok_or_else(bad)?;
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-');
    if text.starts_with('/') && text.bytes().all(is_good) { Ok(text) } else { Err(bad()) }
}

/// A user that is one name and no rule of the daemon's.
fn user(name: &str) -> Result<&str, ConfigError> {
    let is_good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let fits = (1..=253).contains(&name.len()) && name.bytes().all(is_good);
    if fits { Ok(name) } else { Err(ConfigError::User(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings<'a>(root: &'a str, login: Option<&'a Login>) -> Settings<'a> {
        Settings {
            root: Path::new(root),
            run: Path::new("/run/rsync"),
            name: "tunnel",
            connections_max: 8,
            login,
            is_root: true,
        }
    }

    #[test]
    fn without_a_login_nothing_of_a_secret_stands_in_it() {
        let text = text(&settings("/data", None)).unwrap();
        assert!(
            text.contains("path = /data\n")
                && text.contains("write only = yes\n")
                && text.contains("uid = 0\n")
        );
        assert!(!text.contains("auth users") && !text.contains("secrets"));
        let refused = text.lines().find(|line| line.starts_with("refuse options")).unwrap();
        assert!(refused.starts_with("refuse options = * !archive "));
        for bad in [
            "delete",
            "force",
            "inplace",
            "append",
            "backup",
            "dest",
            "temp-dir",
            "partial-dir",
            "keep-dirlinks",
        ] {
            assert!(!refused.contains(bad), "{bad}");
        }
    }

    #[test]
    fn what_the_daemon_would_read_differently_is_no_path_and_no_user() {
        for bad in ["data", "/da ta", "/data%HOME%", "/data\nuid = 5", "/data;x", ""] {
            assert!(matches!(text(&settings(bad, None)), Err(ConfigError::Path(_))), "{bad}");
        }
        for bad in ["", "a b", "a,b", "@group", "a:deny", "a\nb", "*", "A"] {
            let login = Login { user: bad.into(), secrets: "/run/rsync/secrets".into() };
            assert_eq!(text(&settings("/data", Some(&login))), Err(ConfigError::User(bad.into())));
        }
        let login = Login { user: "team-a".into(), secrets: "/run/rsync/secrets".into() };
        let text = text(&settings("/data", Some(&login))).unwrap();
        assert!(
            text.contains("auth users = team-a\nsecrets file = /run/rsync/secrets\nstrict modes = yes\n")
        );
    }
}
