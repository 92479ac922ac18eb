//! What there is: `ls`, `find`, `stat`, `ls-file-system`.

use std::path::Path;

use anyhow::Result;
use indicatif::HumanBytes;

use super::output::{Format, Output, json, line, table};
use super::{Place, each, fail};
use crate::client::call::Call;
use crate::client::error::ClientError;
use crate::client::files::SearchError;
use crate::client::path::{RemotePath, parser};
use crate::client::types::{Entry, FileSystem, Kind};
use crate::connect::Connection;
use crate::exit::Exit;
use crate::text;

/// Lists a folder
#[derive(clap::Args)]
pub struct Ls {
    /// Folder, or a file
    #[arg(value_name = "PATH", value_parser = parser(), default_value = "/")]
    path: RemotePath,
    /// With modes, owners, sizes and times
    #[arg(short)]
    long: bool,
    /// With all that lies below
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// Finds names that contain a text, upper or lower case
#[derive(clap::Args)]
pub struct Find {
    /// Folder to search
    #[arg(value_name = "PATH", value_parser = parser(), default_value = "/")]
    path: RemotePath,
    /// What the names contain
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// Only files, or only folders
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<Wanted>,
    /// End after so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Wanted {
    /// Files
    #[value(name = "file", alias = "f")]
    File,
    /// Folders
    #[value(name = "dir", alias = "d")]
    Dir,
}

/// Shows what is known of files and folders
#[derive(clap::Args)]
pub struct Stat {
    /// Files or folders
    #[arg(value_name = "PATH", value_parser = parser(), required = true)]
    paths: Vec<RemotePath>,
}

/// Lists the file systems of the workspace
#[derive(clap::Args)]
pub struct LsFileSystem {}

impl Ls {
    /// Prints it, page by page.
    ///
    /// # Errors
    /// There is no such folder.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        let mut waiting = vec![self.path.clone()];
        let mut failed = false;
        while let Some(path) = waiting.pop() {
            let is_first = path == self.path;
            if self.recursive && place.output.format == Format::Text {
                line(&format!("{}{path}:", if is_first { "" } else { "\n" }))?;
            }
            match self.folder(place, &path, &mut waiting).await {
                Ok(()) => {}
                Err(Error::Client(error)) if is_first && error.code() == "NotDirectory" => {
                    let entry = place.files.stat(&path).await?;
                    self.print(place.output, &entry)?;
                }
                Err(Error::Client(error)) if !is_first && !error.is_for_all() => {
                    fail(&path, &error.into(), place.output.format)?;
                    failed = true;
                }
                Err(Error::Client(error)) => return Err(error.into()),
                Err(Error::Print(error)) => return Err(error),
            }
        }
        Ok(if failed { Exit::Partial } else { Exit::Done })
    }

    async fn folder(
        &self,
        place: &Place,
        path: &RemotePath,
        waiting: &mut Vec<RemotePath>,
    ) -> Result<(), Error> {
        let mut cursor = None;
        let mut below = Vec::new();
        loop {
            let list = place.files.list(path, cursor.as_deref()).await.map_err(Error::Client)?;
            for entry in &list.entries {
                self.print(place.output, entry).map_err(Error::Print)?;
                if self.recursive && entry.is_dir() {
                    below.push(entry.at().map_err(|error| Error::Client(error.into()))?);
                }
            }
            match list.next {
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => break,
            }
        }
        waiting.extend(below.into_iter().rev());
        Ok(())
    }

    fn print(&self, output: Output, entry: &Entry) -> Result<()> {
        match output.format {
            Format::Json => json(entry),
            Format::Text if self.long => line(&long(entry)),
            Format::Text => line(&short(entry)),
        }
    }
}

enum Error {
    Client(ClientError),
    Print(anyhow::Error),
}

impl Find {
    /// Prints what is found.
    ///
    /// # Errors
    /// There is no such folder.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        let wanted = |entry: &Entry| match self.kind {
            None => true,
            Some(Wanted::File) => entry.kind == Kind::File,
            Some(Wanted::Dir) => entry.is_dir(),
        };
        let print = |entry: Entry| {
            if !wanted(&entry) {
                return Ok(());
            }
            let printed = match place.output.format {
                Format::Json => json(&entry),
                Format::Text => match entry.at() {
                    Ok(path) => line(&path.to_string()),
                    Err(error) => Err(error.into()),
                },
            };
            printed.map_err(std::io::Error::other)
        };
        match place.files.search(&self.path, &self.name, self.limit, print).await {
            Ok(true) => {
                text::complain("there are more; --limit takes a larger number");
                Ok(Exit::Done)
            }
            Ok(false) => Ok(Exit::Done),
            Err(SearchError::Client(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Stat {
    /// Prints each.
    ///
    /// # Errors
    /// The gateway is gone.
    pub async fn run(&self, place: &Place) -> Result<Exit> {
        each(&self.paths, place.output.format, |path| async move {
            let entry = place.files.stat(path).await?;
            place.output.print(|| stated(path, &entry), &entry)
        })
        .await
    }
}

impl LsFileSystem {
    /// Prints them.
    ///
    /// # Errors
    /// The workspace cannot be read.
    pub async fn run(&self, connection: &Connection, output: Output) -> Result<Exit> {
        let (gateway, workspace) = connection.workspace(output.quiet).await?;
        gateway.check().await?;
        let call = Call::get(format!("/wfs/v1/workspaces/{workspace}/filesystems"));
        let all: Vec<FileSystem> = gateway.json(&call).await?;
        match output.format {
            Format::Json => all.iter().try_for_each(json)?,
            Format::Text => line(&file_systems(&all))?,
        }
        Ok(Exit::Done)
    }
}

/// As a table.
pub fn file_systems(all: &[FileSystem]) -> String {
    let head = ["NAME", "KIND", "NODE GROUP", "CAPACITY", "USED", "AVAILABLE", "HEALTH", "FILES", "RIGHTS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in all {
        let star = if one.default { " (default)" } else { "" };
        let rights = [(one.rights.read, "read"), (one.rights.write, "write"), (one.rights.delete, "delete")];
        let rights: Vec<_> = rights.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        rows.push(vec![
            format!("{}{star}", one.name),
            or_none(one.kind.as_deref()),
            or_none(one.node_group.as_deref()),
            bytes(one.capacity),
            bytes(one.used),
            bytes(one.available),
            or_none(one.health.as_deref()),
            or_none(one.files.as_deref()),
            if rights.is_empty() { "none".into() } else { rights.join(",") },
        ]);
    }
    table(&rows)
}

/// Bytes as people read them; what is not known is a question mark.
pub fn bytes(count: Option<u64>) -> String {
    count.map_or_else(|| "?".into(), |count| HumanBytes(count).to_string())
}

/// A word, or that there is none.
pub fn or_none(word: Option<&str>) -> String {
    word.filter(|word| !word.is_empty()).map_or_else(|| "<none>".into(), |word| text::shown(Path::new(word)))
}

/// The name; of a folder with a slash, of a link with an at.
fn short(entry: &Entry) -> String {
    let name = name(entry);
    match entry.kind {
        Kind::Dir => format!("{name}/"),
        Kind::Symlink => format!("{name}@"),
        Kind::File | Kind::Other => name,
    }
}

fn long(entry: &Entry) -> String {
    let time = entry.modified.strftime("%Y-%m-%d %H:%M:%S");
    format!(
        "{} {:>5} {:>5} {:>14} {time} {}",
        permissions(entry),
        entry.uid,
        entry.gid,
        entry.size,
        short(entry)
    )
}

/// The name as bytes say it, not as U+FFFD does.
fn name(entry: &Entry) -> String {
    use std::os::unix::ffi::OsStrExt;
    match entry.at() {
        Ok(path) => match path.name() {
            Some(name) => text::shown(Path::new(std::ffi::OsStr::from_bytes(name))),
            None => "/".into(),
        },
        Err(_) => text::shown(Path::new(&entry.name)),
    }
}

/// `drwxr-xr-x`.
fn permissions(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::Dir => 'd',
        Kind::File => '-',
        Kind::Symlink => 'l',
        Kind::Other => '?',
    };
    let mode = entry.permissions();
    let bits = (0..9).rev().map(|bit| if mode >> bit & 1 == 0 { '-' } else { ['x', 'w', 'r'][bit % 3] });
    std::iter::once(kind).chain(bits).collect()
}

fn stated(path: &RemotePath, entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::Dir => "folder",
        Kind::File => "file",
        Kind::Symlink => "symbolic link",
        Kind::Other => "special file",
    };
    format!(
        "path:     {path}\ntype:     {kind}\nsize:     {} ({})\nmodified: {}\nmode:     {} ({})\nowner:    {}:{}\netag:     {}",
        entry.size,
        HumanBytes(entry.size),
        entry.modified,
        entry.mode,
        permissions(entry),
        entry.uid,
        entry.gid,
        text::shown(Path::new(&entry.etag)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: &str, mode: &str) -> Entry {
        serde_json::from_value(serde_json::json!({
            "name": "shown", "path": path, "type": kind, "size": 1234, "modified": "2026-01-02T03:04:05.000000006Z",
            "mode": mode, "uid": 0, "gid": 100, "etag": "\"1\"",
        }))
        .unwrap()
    }

    #[test]
    fn a_name_is_shown_by_its_bytes_and_moves_no_cursor() {
        for (path, kind, shown) in [
            ("a/b", "file", "b"),
            ("a", "dir", "a/"),
            ("%FF", "symlink", "\"\\xFF\"@"),
            ("%1b%5B2J", "file", "\"\\u{1b}[2J\""),
            ("", "dir", "//"),
        ] {
            assert_eq!(short(&entry(path, kind, "0644")), shown);
        }
    }

    #[test]
    fn a_long_line_has_everything() {
        assert_eq!(
            long(&entry("a", "dir", "0750")),
            "drwxr-x---     0   100           1234 2026-01-02 03:04:05 a/"
        );
        assert!(
            stated(&RemotePath::default(), &entry("", "dir", "0755"))
                .contains("modified: 2026-01-02T03:04:05.000000006Z")
        );
        // A newer server may know more kinds.
        assert_eq!(permissions(&entry("a", "door", "1777")), "?rwxrwxrwx");
    }
}
