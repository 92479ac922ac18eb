//! `wfs storage upload --rsync`: this machine's rsync speaks with the file system's daemon (ADR 19), through the gateway. rsync runs
//! `wfs` once more for the connection, which passes bytes and nothing else; so it needs no port, no password and no rule of its own.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::Command;

use super::output::Format;
use super::transfer::Links;
use super::{Args, Place};
use crate::client::path::RemotePath;
use crate::connect::Connection;
use crate::exit::Exit;
use crate::text;

/// The command that rsync runs.
pub const TUNNEL: &str = "rsync-tunnel";
/// The one module of the daemon.
const MODULE: &str = "volume";
/// Nobody looks it up: the connection is made by us.
const HOST: &str = "workspacefs";
const BUFFER_BYTES: usize = 256 << 10;
/// After one side has ended, for what the other has to say still.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// What of a person's environment would have rsync go another way, or ask for other things.
const NOT_INHERITED: [&str; 8] = [
    "RSYNC_SHELL",
    "RSYNC_PROXY",
    "RSYNC_RSH",
    "RSYNC_OLD_ARGS",
    "RSYNC_PROTECT_ARGS",
    "RSYNC_PARTIAL_DIR",
    "RSYNC_ICONV",
    "RSYNC_PASSWORD",
];

/// What goes where.
pub struct Transfer<'a> {
    /// As typed.
    pub local: &'a OsStr,
    /// Where it is to be, under its new name.
    pub to: &'a RemotePath,
    /// Whether it is a folder, whose content goes there.
    pub is_folder: bool,
    /// Show progress.
    pub progress: bool,
    /// Replace no file.
    pub keep: bool,
    /// Of symbolic links.
    pub links: Links,
}

/// What came of the wish.
pub enum Begun {
    /// It was done, or not, by rsync.
    Ended(Exit),
    /// It cannot be done so; why.
    Cannot(&'static str),
}

/// Runs rsync, if that is possible.
///
/// # Errors
/// The gateway refuses, or rsync cannot be run.
pub async fn begin(args: &Args, place: &Place, transfer: Transfer<'_>) -> Result<Begun> {
    if !is_plain(transfer.to) {
        return Ok(Begun::Cannot("rsync's daemon takes * ? [ and \\ in a path for patterns"));
    }
    if !place.files.has_rsync().await? {
        return Ok(Begun::Cannot("rsync is not switched on for this file system"));
    }
    let mut command = Command::new("rsync");
    command
        .args(options(&transfer, place.output.quiet))
        .arg("--")
        .arg(source(&typed(&transfer)?, transfer.is_folder))
        .arg(destination(transfer.to, transfer.is_folder))
        .env("RSYNC_CONNECT_PROG", connect_program(args)?)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    if place.output.format == Format::Json {
        // What rsync tells is for people.
        command.stdout(Stdio::null());
    }
    let mut running = match command.spawn() {
        Ok(running) => running,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Begun::Cannot("there is no rsync on this machine"));
        }
        Err(error) => return Err(error).context("cannot run rsync"),
    };
    let ended = running.wait().await.context("cannot wait for rsync")?;
    let exit = exit(ended.code());
    if place.output.format == Format::Json {
        let line = serde_json::json!({"type": "report", "phase": "upload", "by": "rsync", "exit_code": exit.code(), "outcome": exit.name(),
                "rsync_code": ended.code()});
        super::output::json(&line)?;
    }
    Ok(Begun::Ended(exit))
}

/// Whether the daemon takes the path for what it is: it expands patterns, and parts several paths at ` volume/`.
fn is_plain(path: &RemotePath) -> bool {
    let bytes = path.names().join(&b'/');
    let parted = [b" ", MODULE.as_bytes(), b"/"].concat();
    let is_pattern = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    !bytes.iter().any(is_pattern) && !bytes.windows(parted.len()).any(|part| part == parted)
}

fn options(transfer: &Transfer<'_>, quiet: bool) -> Vec<&'static str> {
    // Not -a: owners are the file system's own, and devices nobody's.
    let mut options = vec!["--recursive", "--perms", "--times", "--partial"];
    match transfer.links {
        Links::Refuse => options.push("--links"),
        Links::Skip => options.push("--no-links"),
    }
    if transfer.keep {
        options.push("--ignore-existing");
    }
    if transfer.progress {
        options.push("--progress");
    }
    options.push(if quiet { "--quiet" } else { "--verbose" });
    options
}

/// What was typed; of a link to a file that file, as it was meant.
fn typed(transfer: &Transfer<'_>) -> Result<OsString> {
    if transfer.is_folder {
        return Ok(transfer.local.to_owned());
    }
    let file = std::fs::canonicalize(transfer.local).context("cannot find the file any more")?;
    Ok(file.into_os_string())
}

/// A path that is neither an option nor on another machine, whatever its name.
fn source(local: &OsStr, is_folder: bool) -> OsString {
    let mut path = if local.as_bytes().starts_with(b"/") { Vec::new() } else { b"./".to_vec() };
    path.extend_from_slice(local.as_bytes());
    if is_folder && !path.ends_with(b"/") {
        path.push(b'/');
    }
    OsString::from_vec(path)
}

fn destination(to: &RemotePath, is_folder: bool) -> OsString {
    // The dot keeps a name that begins with - from being an option.
    let mut path = format!("{HOST}::{MODULE}/./").into_bytes();
    path.extend(to.names().join(&b'/'));
    if is_folder && !path.ends_with(b"/") {
        path.push(b'/');
    }
    OsString::from_vec(path)
}

/// The command line by which rsync's shell runs this program again, with the same connection.
fn connect_program(args: &Args) -> Result<OsString> {
    let program = std::env::current_exe().context("cannot find this program itself")?;
    let mut words: Vec<OsString> = vec![program.into(), "storage".into(), TUNNEL.into()];
    words.extend(["--file-system".into(), args.file_system.as_str().into()]);
    words.extend(connection_words(&args.connection));
    let quoted: Vec<Vec<u8>> = words.iter().map(|word| quoted(word)).collect();
    // Nothing of ours goes to the shell's place: rsync waits for that process.
    Ok(OsString::from_vec([b"exec ".to_vec(), quoted.join(&b' ')].concat()))
}

fn connection_words(connection: &Connection) -> Vec<OsString> {
    let Connection { namespace, context, url, ca, token_file, service_account, gateway_namespace } =
        connection;
    let text =
        |option: &str, value: &Option<String>| value.as_ref().map(|value| word(option, OsStr::new(value)));
    let gateway_namespace = Some(gateway_namespace.clone()).filter(|name| !name.is_empty());
    [
        text("namespace", namespace),
        text("context", context),
        text("url", url),
        text("ca", ca),
        token_file.as_ref().map(|path| word("token-file", path.as_os_str())),
        text("service-account", service_account),
        text("gateway-namespace", &gateway_namespace),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn word(option: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(format!("--{option}="));
    word.push(value);
    word
}

/// For a shell, and before it for rsync, to which % means something.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word.as_bytes() {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            b'%' => quoted.extend_from_slice(b"%%"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// What rsync's exit code says in ours.
fn exit(code: Option<i32>) -> Exit {
    match code {
        Some(0) => Exit::Done,
        // Nothing was begun: no connection, a refusal, another protocol, nothing to read.
        Some(1..=5 | 35) => Exit::Failed,
        Some(20) => Exit::Cancelled,
        // It broke off, ran into a time limit, or some files were not to be had.
        Some(_) => Exit::Partial,
        None => Exit::Cancelled,
    }
}

/// Passes standard input and output to the daemon, until one of them ends.
///
/// # Errors
/// There is no connection.
pub async fn tunnel(args: &Args) -> Result<Exit> {
    let (gateway, workspace) = args.connection.workspace(true).await?;
    let files = crate::client::files::Files::new(gateway, &workspace, args.file_system.as_str());
    let upgraded = files.rsync().await.context("no connection to the rsync daemon")?;
    let (from, to) = tokio::io::split(TokioIo::new(upgraded));
    let up = pass(tokio::io::stdin(), to);
    let down = pass(from, tokio::io::stdout());
    tokio::pin!(up, down);
    let passed = tokio::select! {
        passed = &mut down => passed,
        passed = &mut up => match passed {
            // rsync has gone, or says nothing more; the daemon may.
            Ok(()) => tokio::time::timeout(FAREWELL_MAX, down).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        },
    };
    if let Err(error) = passed {
        text::complain(&format!("the connection to the rsync daemon broke: {error}"));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

/// What comes goes on at once.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RemotePath {
        RemotePath::typed(OsStr::new(text)).unwrap()
    }

    #[test]
    fn no_name_is_an_option_another_machine_or_a_pattern() {
        for (local, is_folder, told) in [
            ("a", true, "./a/"),
            ("a/", true, "./a/"),
            ("-x", false, "./-x"),
            ("h:a", false, "./h:a"),
            ("/a b", true, "/a b/"),
        ] {
            assert_eq!(source(OsStr::new(local), is_folder), told);
        }
        assert_eq!(destination(&path("/-x y/é"), false), "workspacefs::volume/./-x y/é");
        assert_eq!(destination(&path("/"), true), "workspacefs::volume/./");
        for plain in ["/a b/c", "/volume/x", "/q'\"$x"] {
            assert!(is_plain(&path(plain)), "{plain}");
        }
        for pattern in ["/a*", "/a?b", "/a[b]", "/a\\b", "/a volume/x"] {
            assert!(!is_plain(&path(pattern)), "{pattern}");
        }
    }

    #[test]
    fn a_word_stays_one_word_for_rsync_and_for_the_shell() {
        let said = |word: &str| {
            let line = [b"printf %s ".to_vec(), quoted(OsStr::new(word))].concat();
            let line = String::from_utf8(line).unwrap().replace("%%", "%");
            let output = std::process::Command::new("sh").arg("-c").arg(line).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        for word in ["a", "a b", "it's", "$(x)", "100%H", "a\nb", "\"`\\"] {
            assert_eq!(said(word), word);
        }
        assert_eq!(quoted(OsStr::new("100%H")), b"'100%%H'");
    }

    #[test]
    fn rsyncs_codes_tell_nothing_done_from_some_of_it() {
        for (code, told) in [
            (Some(0), Exit::Done),
            (Some(5), Exit::Failed),
            (Some(10), Exit::Partial),
            (Some(12), Exit::Partial),
            (Some(20), Exit::Cancelled),
            (Some(23), Exit::Partial),
            (Some(30), Exit::Partial),
        ] {
            assert_eq!(exit(code), told, "{code:?}");
        }
    }
}
