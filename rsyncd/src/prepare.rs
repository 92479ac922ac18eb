//! What the daemon runs before each transfer: makes the folders above the one that is asked for, as the file API does, and refuses
//! what leads elsewhere. All of the request is the caller's word.
//!
//! The daemon tells it in the environment: `RSYNC_REQUEST` as the caller wrote it, `RSYNC_ARG0`, `RSYNC_ARG1` ... as the daemon will
//! use it (`..` taken out, wildcards expanded). Both have to be good. What is printed here the caller's rsync shows.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat, statat};
use rustix::io::Errno;
use thiserror::Error;
use workspacefs_files_proto::path::check_name;
use workspacefs_sys::beneath;

use crate::config::{HIDDEN, MODULE};

/// The variable with the directory that is served.
pub const ROOT_VARIABLE: &str = "WSFS_RSYNC_ROOT";
/// The variable with the permission bits of new folders, octal.
pub const MODE_VARIABLE: &str = "WSFS_RSYNC_MODE";
/// Deeper paths are nobody's.
const NAMES_MAX: usize = 1024;
/// Arguments that the daemon hands over; it takes no more itself.
const ARGUMENTS_MAX: usize = 4096;

/// Why a transfer is refused. The text is told to the caller.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refused {
    /// Not of our module.
    #[error("the request is for another module")]
    Module,
    /// There is not one destination.
    #[error("one destination is needed")]
    Several,
    /// `..`, NUL, a name that is too long.
    #[error("the path is refused: it has .. in it, or what is no name")]
    BadPath,
    /// It would be taken for an option.
    #[error("the path is refused: it begins with -")]
    Option,
    /// What is the system's own.
    #[error("there is no such folder")]
    Hidden,
    /// A symbolic link on the way, or at its end.
    #[error("a part of the path is a symbolic link: name the folder itself")]
    Link,
    /// A file on the way.
    #[error("a part of the path is a file")]
    NotDirectory,
    /// The file system refuses.
    #[error("cannot {step}: {errno}")]
    System {
        /// In words.
        step: &'static str,
        /// What the kernel says.
        errno: Errno,
    },
}

impl Refused {
    /// For `map_err`.
    fn at(step: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| match errno {
            Errno::LOOP | Errno::XDEV => Self::Link,
            Errno::NOTDIR => Self::NotDirectory,
            errno => Self::System { step, errno },
        }
    }
}

/// As the daemon calls it.
pub fn run() -> ExitCode {
    match prepare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            println!("workspacefs: {refused}");
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> Result<(), Refused> {
    let bytes = |name: &str| std::env::var_os(name).map(OsString::into_vec);
    let request = bytes("RSYNC_REQUEST").unwrap_or_default();
    let arguments: Vec<Vec<u8>> =
        (0..ARGUMENTS_MAX).map_while(|number| bytes(&format!("RSYNC_ARG{number}"))).collect();
    // There is nothing to be read here: the daemon says so itself.
    let Some(names) = destination(&request, &arguments)? else { return Ok(()) };
    let mode = std::env::var(MODE_VARIABLE).ok().and_then(|mode| u32::from_str_radix(&mode, 8).ok());
    let root = std::env::var_os(ROOT_VARIABLE)
        .ok_or(Refused::System { step: "find the root", errno: Errno::NOENT })?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, &root, flags, Mode::empty()).map_err(Refused::at("open the root"))?;
    make_parents(root.as_fd(), &names, mode.unwrap_or(0o777))
}

/// The names of the destination's path, from the root; none where the caller wants to read.
///
/// # Errors
/// [`Refused`].
pub fn destination(request: &[u8], arguments: &[Vec<u8>]) -> Result<Option<Vec<Vec<u8>>>, Refused> {
    // Options come first, then a dot, then what it is about.
    let dot = arguments.iter().position(|argument| argument == b".").ok_or(Refused::Several)?;
    if arguments[..dot].iter().any(|argument| argument == b"--sender") {
        return Ok(None);
    }
    let [wanted] = &arguments[dot + 1..] else { return Err(Refused::Several) };
    let asked = request.strip_prefix(MODULE.as_bytes()).ok_or(Refused::Module)?;
    if !(asked.is_empty() || asked.starts_with(b"/")) {
        return Err(Refused::Module);
    }
    names(asked)?;
    if wanted.starts_with(b"-") {
        return Err(Refused::Option);
    }
    names(wanted).map(Some)
}

/// A path's names; slashes more than needed and `.` say nothing.
fn names(path: &[u8]) -> Result<Vec<Vec<u8>>, Refused> {
    let names: Vec<Vec<u8>> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(<[u8]>::to_vec)
        .collect();
    if names.len() > NAMES_MAX || names.iter().any(|name| check_name(name).is_err()) {
        return Err(Refused::BadPath);
    }
    let is_hidden = |name: &Vec<u8>| HIDDEN.iter().any(|hidden| name.eq_ignore_ascii_case(hidden.as_bytes()));
    if names.first().is_some_and(is_hidden) { Err(Refused::Hidden) } else { Ok(names) }
}

/// Makes the folders above the last of `names` where they are missing, and looks that no name is a link.
///
/// # Errors
/// [`Refused`].
pub fn make_parents(root: BorrowedFd<'_>, names: &[Vec<u8>], mode: u32) -> Result<(), Refused> {
    let Some((last, above)) = names.split_last() else { return Ok(()) };
    let mut folder: Option<OwnedFd> = None;
    for name in above {
        let at = folder.as_ref().map_or(root, AsFd::as_fd);
        let next = match child(at, name, OFlags::PATH) {
            Err(Errno::NOENT) => made(at, name, mode)?,
            found => found.map_err(Refused::at("open a folder of the path"))?,
        };
        folder = Some(next);
    }
    let at = folder.as_ref().map_or(root, AsFd::as_fd);
    match statat(at, last.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => Err(Refused::Link),
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Refused::at("look at the destination")(errno)),
    }
}

/// A folder in a folder; a link is none.
fn child(folder: BorrowedFd<'_>, name: &[u8], how: OFlags) -> Result<OwnedFd, Errno> {
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    beneath::resolved(folder, name, how | OFlags::DIRECTORY, Mode::empty(), rules)
}

fn made(folder: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<OwnedFd, Refused> {
    // Closed to others until it has its permissions.
    match mkdirat(folder, name, Mode::RWXU) {
        Ok(()) => {}
        // Another transfer was faster.
        Err(Errno::EXIST) => {
            return child(folder, name, OFlags::PATH).map_err(Refused::at("open a folder of the path"));
        }
        Err(errno) => return Err(Refused::at("make a folder of the path")(errno)),
    }
    let made = child(folder, name, OFlags::RDONLY).map_err(Refused::at("open the new folder"))?;
    fchmod(&made, Mode::from_raw_mode(mode)).map_err(Refused::at("set the mode of a new folder"))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn asked(request: &[u8], last: &[&[u8]]) -> Result<Option<Vec<Vec<u8>>>, Refused> {
        let arguments: Vec<Vec<u8>> = [&[&b"rsyncd"[..], b"--server", b"-vlogDtpre.iLsfxCIvu", b"."], last]
            .concat()
            .iter()
            .map(|a| a.to_vec())
            .collect();
        destination(request, &arguments)
    }

    fn good(path: &str) -> Vec<Vec<u8>> {
        path.split('/').map(|name| name.as_bytes().to_vec()).collect()
    }

    #[test]
    fn the_destination_is_what_the_daemon_will_use() {
        assert_eq!(asked(b"volume/a b/c/", &[b"a b/c/"]), Ok(Some(good("a b/c"))));
        assert_eq!(asked(b"volume//a/./b", &[b"a/b"]), Ok(Some(good("a/b"))));
        assert_eq!(asked(b"volume/a*/b", &[b"abc/b"]), Ok(Some(good("abc/b"))));
        assert_eq!(asked(b"volume/\xff", &[b"\xff"]), Ok(Some(vec![vec![0xff]])));
        assert_eq!(asked(b"volume", &[b"."]), Ok(Some(vec![])));
    }

    #[test]
    fn what_leads_elsewhere_is_refused_in_what_was_asked_and_in_what_is_used() {
        let long = [b"volume/".as_slice(), &[b'a'; 256]].concat();
        for (request, last, why) in [
            (&b"volume/../x"[..], &[&b"x"[..]][..], Refused::BadPath),
            (b"volume/a/..", &[b"a"], Refused::BadPath),
            (b"volume/x", &[b"../x"], Refused::BadPath),
            (b"volume/a\0b", &[b"a"], Refused::BadPath),
            (b"volume/x", &[b"a\0b"], Refused::BadPath),
            (&long, &[b"a"], Refused::BadPath),
            (b"volume/.workspacefs/x", &[b".workspacefs/x"], Refused::Hidden),
            (b"volume/.Workspacefs-FILES", &[b"x"], Refused::Hidden),
            (b"volume/x", &[b".workspacefs-files/trash/x"], Refused::Hidden),
            (b"other/x", &[b"x"], Refused::Module),
            (b"volumes/x", &[b"x"], Refused::Module),
            (b"", &[b"x"], Refused::Module),
            (b"volume/-x", &[b"-x"], Refused::Option),
            (b"volume/x", &[], Refused::Several),
            (b"volume/x", &[b"x", b"y"], Refused::Several),
        ] {
            assert_eq!(asked(request, last), Err(why), "{}", String::from_utf8_lossy(request));
        }
        assert_eq!(destination(b"volume/x", &[b"rsyncd".to_vec()]), Err(Refused::Several));
    }

    #[test]
    fn of_a_caller_that_wants_to_read_nothing_is_made() {
        let arguments: Vec<Vec<u8>> = ["rsyncd", "--server", "--sender", "-r", ".", "a/b"]
            .iter()
            .map(|a| a.as_bytes().to_vec())
            .collect();
        assert_eq!(destination(b"volume/a/b", &arguments), Ok(None));
    }

    #[test]
    fn parents_are_made_with_the_mode_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("real")).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(root.join("file"), "x").unwrap();
        symlink("real", root.join("inside")).unwrap();
        symlink("../outside", root.join("out")).unwrap();
        let fd = openat(CWD, &root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let make = |path: &str| make_parents(fd.as_fd(), &good(path), 0o751);
        assert_eq!(make("a/b/c"), Ok(()));
        assert!(root.join("a/b").is_dir() && !root.join("a/b/c").exists());
        assert_eq!(root.join("a/b").metadata().unwrap().permissions().mode() & 0o7777, 0o751);
        assert_eq!(make("a/b/c"), Ok(()), "done twice it is done once");
        for linked in ["inside/x", "out/x", "out/x/y", "inside", "out", "real/../out/x"] {
            assert!(make(linked).is_err(), "{linked}");
        }
        assert_eq!(make("out/x"), Err(Refused::Link));
        assert_eq!(make("inside"), Err(Refused::Link), "the destination itself");
        assert_eq!(make("file/x/y"), Err(Refused::NotDirectory));
        assert_eq!(std::fs::read_dir(dir.path().join("outside")).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(root.join("real")).unwrap().count(), 0);
    }
}
