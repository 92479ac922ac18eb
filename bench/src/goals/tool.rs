//! The programs that are compared, each with its command line as the page shows it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// A program and its arguments: `SRC` and `DST` stand for the two trees, `SRCROOT` and `DSTROOT` for the folders that they lie in,
/// `TMP` for a folder that it may use, `MIB` for the tree's size.
#[derive(Debug, Eq, PartialEq)]
pub struct Tool {
    /// What it is called in comparisons.
    pub name: &'static str,
    /// The command line.
    pub argv: &'static [&'static str],
    /// Whether it wants a destination that is there already; others would copy into it.
    pub wants_destination: bool,
}

const fn tool(name: &'static str, argv: &'static [&'static str]) -> Tool {
    Tool { name, argv, wants_destination: false }
}

/// Ours, for a refresh.
pub const WFS_REFRESH: Tool = tool("wfs", &["wfs", "sync", "--delete", "SRC", "DST"]);
/// Ours, for a first copy.
pub const WFS: Tool = tool("wfs", &["wfs", "sync", "SRC", "DST"]);
/// Ours, for a deletion.
pub const DELETE_TREE: Tool = tool("delete-tree", &["delete-tree", "DST"]);
/// rsync, for a refresh.
pub const RSYNC_REFRESH: Tool = tool("rsync", &["rsync", "-a", "--delete", "SRC/", "DST/"]);
/// rsync, for a first copy.
pub const RSYNC: Tool = tool("rsync", &["rsync", "-a", "SRC/", "DST/"]);
/// rclone with many at once, for a refresh.
pub const RCLONE_REFRESH: Tool =
    tool("rclone-64", &["rclone", "sync", "--checkers", "64", "--transfers", "64", "SRC", "DST"]);
/// rclone with many at once, for a first copy.
pub const RCLONE_64: Tool =
    tool("rclone-64", &["rclone", "copy", "--checkers", "64", "--transfers", "64", "SRC", "DST"]);
/// rclone as it is by itself: four files at once.
pub const RCLONE_4: Tool = tool("rclone", &["rclone", "copy", "SRC", "DST"]);
/// rclone with 32 files at once.
pub const RCLONE_32: Tool = tool("rclone-32", &["rclone", "copy", "--transfers", "32", "SRC", "DST"]);
/// cp.
pub const CP: Tool = tool("cp", &["cp", "-a", "SRC", "DST"]);
/// Eight rsyncs at once.
pub const FPSYNC: Tool = Tool {
    name: "fpsync-8",
    argv: &["fpsync", "-n", "8", "-f", "500", "-t", "TMP", "SRC/", "DST/"],
    wants_destination: true,
};
/// xcp with many at once.
pub const XCP_64: Tool = tool("xcp-64", &["xcp", "-r", "-w", "64", "SRC", "DST"]);
/// xcp as it is by itself.
pub const XCP: Tool = tool("xcp", &["xcp", "-r", "SRC", "DST"]);
/// cpz.
pub const CPZ: Tool = tool("cpz", &["cpz", "SRC", "DST"]);
/// The mover, filling a cache's first generation.
pub const MOVER: Tool = tool(
    "mover",
    &[
        "mover",
        "--source",
        "SRCROOT",
        "--path",
        "/tree",
        "--target",
        "DSTROOT/cache",
        "--generation",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--outcome",
        "TMP/outcome",
    ],
);
/// The same, where nothing is read back.
pub const MOVER_BY_SIZE: Tool = tool(
    "mover",
    &[
        "mover",
        "--source",
        "SRCROOT",
        "--path",
        "/tree",
        "--target",
        "DSTROOT/cache",
        "--generation",
        "1",
        "--verify",
        "size",
        "--listen",
        "127.0.0.1:0",
        "--outcome",
        "TMP/outcome",
    ],
);
/// The mover, refreshing it.
pub const MOVER_REFRESH: Tool = tool(
    "mover",
    &[
        "mover",
        "--source",
        "SRCROOT",
        "--path",
        "/tree",
        "--target",
        "DSTROOT/cache",
        "--generation",
        "2",
        "--earlier",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--outcome",
        "TMP/outcome",
    ],
);
/// One reader of the copy.
pub const READ_COPY: Tool = tool("copy", &["read-tree", "DST"]);
/// A few readers of the copy.
pub const READ_COPY_4: Tool = tool("copy", &["read-tree", "--readers", "4", "DST"]);
/// The same bytes past the file system's memory, one file after the other.
pub const READ_RAW: Tool = tool(
    "raw disk",
    &["sh", "-c", "for file in \"$0\"/*/*; do dd if=\"$file\" of=/dev/null bs=4M iflag=direct; done", "DST"],
);
/// One reader of the source.
pub const READ_SOURCE: Tool = tool("source", &["read-tree", "SRC"]);
/// As many readers of the source as it serves well.
pub const READ_SOURCE_64: Tool = tool("raw source", &["read-tree", "--readers", "64", "SRC"]);
/// As many bytes to the target, from nowhere.
pub const WRITE: Tool =
    tool("raw target", &["dd", "if=/dev/zero", "of=DST", "bs=1M", "count=MIB", "conv=fsync"]);
/// The same, and read back past the memory: what a verified copy asks of the target.
pub const WRITE_AND_READ: Tool = tool(
    "raw target, written and read back",
    &[
        "sh",
        "-c",
        "dd if=/dev/zero of=\"$0\" bs=1M count=\"$1\" conv=fsync && dd if=\"$0\" of=/dev/null bs=1M iflag=direct",
        "DST",
        "MIB",
    ],
);
/// rm.
pub const RM: Tool = tool("rm", &["rm", "-rf", "DST"]);

/// What the words of a command line stand for.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The tree that is read.
    pub source: &'a Path,
    /// The tree that is written.
    pub destination: &'a Path,
    /// A folder for whatever else it writes.
    pub scratch: &'a Path,
    /// What the files have together.
    pub mebibytes: u64,
}

impl Tool {
    /// The command line as the page shows it.
    pub fn shown(&self) -> String {
        self.argv.join(" ")
    }

    /// The command, found in `folders` first and then wherever programs are found.
    pub fn command(&self, places: Places<'_>, folders: &[&Path]) -> Command {
        let (program, arguments) = self.argv.split_first().map_or(("false", self.argv), |(p, a)| (*p, a));
        let found = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
        let mut command = Command::new(found.unwrap_or_else(|| program.into()));
        command.args(arguments.iter().map(|word| places.meant_by(word)));
        // Nobody's settings but those on the command line.
        command.env("RCLONE_CONFIG", "").env("LC_ALL", "C");
        command
    }
}

impl Places<'_> {
    fn meant_by(&self, word: &str) -> OsString {
        let (name, rest) = word.split_at(word.find('/').unwrap_or(word.len()));
        let path = match name {
            "SRC" => self.source,
            "DST" | "of=DST" => self.destination,
            "SRCROOT" => self.source.parent().unwrap_or(self.source),
            "DSTROOT" => self.destination.parent().unwrap_or(self.destination),
            "TMP" => self.scratch,
            "MIB" => return self.mebibytes.to_string().into(),
            "count=MIB" => return format!("count={}", self.mebibytes).into(),
            _ => return word.into(),
        };
        let option = name.split_inclusive('=').next().filter(|option| option.ends_with('='));
        let mut meant = OsString::from(option.unwrap_or_default());
        meant.push(path);
        meant.push(rest);
        meant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: fn() -> Places<'static> = || Places {
        source: Path::new("/s/tree"),
        destination: Path::new("/d/tree"),
        scratch: Path::new("/tmp/x"),
        mebibytes: 7,
    };

    #[test]
    fn only_the_places_of_a_command_line_are_filled_in() {
        let arguments = |tool: &Tool| -> Vec<String> {
            let command = tool.command(PLACES(), &[]);
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(arguments(&RSYNC_REFRESH), ["-a", "--delete", "/s/tree/", "/d/tree/"]);
        assert_eq!(arguments(&CP), ["-a", "/s/tree", "/d/tree"]);
        assert_eq!(arguments(&FPSYNC)[4..], ["-t", "/tmp/x", "/s/tree/", "/d/tree/"]);
        assert_eq!(arguments(&RM), ["-rf", "/d/tree"]);
        assert_eq!(arguments(&WRITE), ["if=/dev/zero", "of=/d/tree", "bs=1M", "count=7", "conv=fsync"]);
        assert_eq!(arguments(&WRITE_AND_READ)[2..], ["/d/tree", "7"]);
        let mover = arguments(&MOVER);
        for words in [
            ["--source", "/s"],
            ["--path", "/tree"],
            ["--target", "/d/cache"],
            ["--outcome", "/tmp/x/outcome"],
        ] {
            assert!(mover.windows(2).any(|pair| pair == words), "{words:?}");
        }
    }

    #[test]
    fn a_program_that_we_built_goes_before_one_of_the_same_name_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::write(folder.join("cp"), "").unwrap();
        assert_eq!(CP.command(PLACES(), &[folder]).get_program(), folder.join("cp"));
        assert_eq!(RM.command(PLACES(), &[folder]).get_program(), "rm");
    }
}
