//! The races of G17, as `goals::race` has those of trees. All are for the page only. What must be reached is what is aimed at: no bar
//! is lower for the machine's sake.

use crate::goals::{Demand, Figure, Goal, Peer, Race, Shape, Slow, Task, Tool};
use crate::goals::{both, close, demand, shape, shown};

const fn tool(name: &'static str, argv: &'static [&'static str]) -> Tool {
    Tool { name, argv, wants_destination: false }
}

/// `SRC` and `DST` are folders of the client; each command finds the server by its environment or as said on the page.
pub(super) const WFS_UP: Tool = tool("wfs", &["wfs", "storage", "upload", "-r", "SRC/tree", "/"]);
pub(super) const WFS_DOWN: Tool = tool("wfs", &["wfs", "storage", "download", "-r", "/tree", "DST"]);
/// A process for each file, as whoever has this client does it in a shell.
pub(super) const LEP_UP: Tool = tool("lep", &["lep", "storage", "upload", "SRC/FILE", "/FILE"]);
pub(super) const LEP_DOWN: Tool = tool("lep", &["lep", "storage", "download", "/FILE", "DST/FILE"]);
/// The same commands, one after the other in one Python that was started before: what of its time is not Python's start.
pub(super) const LEP_UP_AT_ONCE: Tool =
    tool("lep in one process", &["python", "-c", "for FILE: lep(storage, upload, SRC/FILE, /FILE)"]);
pub(super) const LEP_DOWN_AT_ONCE: Tool =
    tool("lep in one process", &["python", "-c", "for FILE: lep(storage, download, /FILE, DST/FILE)"]);
/// To the port of our daemon, past the gateway, without TLS.
pub(super) const RSYNC_UP: Tool = tool("rsync", &["rsync", "-a", "SRC/tree", "RSYNC/"]);
/// What `kubectl cp` is, without its API server: `through` connects to the port and gives the command the connection.
pub(super) const TAR_UP: Tool =
    tool("tar stream", &["through", "PORT", "tar", "cf", "-", "-C", "SRC", "tree"]);
pub(super) const TAR_DOWN: Tool = tool("tar stream", &["through", "PORT", "tar", "xf", "-", "-C", "DST"]);
const HELP: Tool = tool("wfs", &["wfs", "--help"]);
pub(super) const LS: Tool = tool("wfs", &["wfs", "storage", "ls", "/tree/part-00000"]);

const fn race(
    task: Task,
    title: &'static str,
    full: Shape,
    ours: &'static Tool,
    peers: &'static [Peer],
    demands: &'static [Demand],
) -> Race {
    Race { goal: Goal::G17, title, full, gate: None, slow: Slow::Nothing, task, ours, peers, demands }
}

const SMALL_FILES: Shape = shape(100, 10_000, 4096, 65_536);

/// All of them.
pub const COMMANDS: &[Race] = &[
    race(
        Task::Send,
        "First upload of small files, 20 ms away",
        SMALL_FILES,
        &WFS_UP,
        &[both(&LEP_UP), shown(&LEP_UP_AT_ONCE), both(&RSYNC_UP), both(&TAR_UP)],
        &[
            demand(Figure::FasterToDisk(&[&LEP_UP]), 10.0, 10.0),
            close(Figure::FasterToDisk(&[&TAR_UP]), 1.0, 1.0),
            close(Figure::FasterToDisk(&[&RSYNC_UP]), 2.0, 2.0),
        ],
    ),
    race(
        Task::Fetch,
        "Download of small files, 20 ms away",
        SMALL_FILES,
        &WFS_DOWN,
        &[both(&LEP_DOWN), shown(&LEP_DOWN_AT_ONCE), both(&TAR_DOWN)],
        &[demand(Figure::Faster(&[&LEP_DOWN]), 10.0, 10.0), close(Figure::Faster(&[&TAR_DOWN]), 1.0, 1.0)],
    ),
    race(
        Task::Start,
        "Start and end of the program; each figure is the median of 200",
        shape(1, 1, 0, 0),
        &HELP,
        &[],
        &[demand(Figure::Milliseconds, 10.0, 10.0)],
    ),
    race(
        Task::List,
        "A folder of 100 files, 20 ms away",
        shape(1, 100, 0, 0),
        &LS,
        &[],
        &[demand(Figure::Requests, 2.0, 2.0)],
    ),
];
