//! The races of G13 and G14, as `goals::race` has those of trees. All are for the page only.

use crate::goals::{Demand, Figure, GIB, Goal, Peer, Race, Shape, Slow, Task, Tool};
use crate::goals::{both, close, demand, shape, shown};

const fn tool(name: &'static str, argv: &'static [&'static str]) -> Tool {
    Tool { name, argv, wants_destination: false }
}

/// Ours: `FILES` is its address, `LARGE` the path of the large file.
const DOWNLOAD: Tool = tool("files", &["curl", "-o", "/dev/null", "https://FILES/v1/content/tree/LARGE"]);
/// nginx with the same TLS, and so without sendfile: that would need TLS in the kernel. It is what the goal is held against, as
/// `files` is never spoken to without TLS ([ADR 18]); what sendfile without TLS makes is shown beside it.
///
/// [ADR 18]: ../../../docs/adr/0018-files-in-the-browser.md
const NGINX_DOWNLOAD: Tool = tool("nginx", &["curl", "-o", "/dev/null", "https://NGINX/tree/LARGE"]);
/// nginx with sendfile.
const NGINX_SENDFILE: Tool =
    tool("nginx, sendfile, no TLS", &["curl", "-o", "/dev/null", "http://NGINX/tree/LARGE"]);
/// Ours, with the content's SHA-256, which is checked.
const UPLOAD: Tool =
    tool("files", &["curl", "-T", "SRC", "-H", "DIGEST", "https://FILES/v1/content/uploaded"]);
/// Which does not hash, and is not asked to sync.
const NGINX_UPLOAD: Tool = tool("nginx", &["curl", "-T", "SRC", "https://NGINX/uploaded"]);
/// The same without TLS.
const NGINX_UPLOAD_PLAIN: Tool = tool("nginx, no TLS", &["curl", "-T", "SRC", "http://NGINX/uploaded"]);
/// What the pages ask for first.
const FIRST_PAGE: Tool = tool("files", &["GET", "/v1/list/tree/part-00000?limit=2000&sort=name"]);
const REST: Tool = tool("files", &["files", "serve"]);
const IMPORT: Tool = tool("files", &["POST", "/v1/imports"]);
/// With its 256 workers.
const S5CMD: Tool = tool("s5cmd", &["s5cmd", "--endpoint-url", "STUB", "cp", "s3://bench/*", "DST/"]);
const RCLONE_32: Tool =
    tool("rclone-32", &["rclone", "copy", "--fast-list", "--transfers", "32", "stub:bench", "DST"]);

/// The most that `files` may take in any of these, MB.
const MEMORY: Demand = demand(Figure::MemoryMb, 128.0, 128.0);

const fn race(
    (goal, task, title): (Goal, Task, &'static str),
    full: Shape,
    ours: &'static Tool,
    peers: &'static [Peer],
    demands: &'static [Demand],
) -> Race {
    Race { goal, title, full, gate: None, slow: Slow::Nothing, task, ours, peers, demands }
}

/// All of them.
pub const TRANSFERS: &[Race] = &[
    race(
        (Goal::G13, Task::Download, "Download of one large file from memory"),
        shape(1, 1, GIB, GIB),
        &DOWNLOAD,
        &[both(&NGINX_DOWNLOAD), shown(&NGINX_SENDFILE)],
        &[close(Figure::Faster(&[&NGINX_DOWNLOAD]), 0.4, 0.7), MEMORY],
    ),
    race(
        (Goal::G13, Task::Upload, "Upload of one large file with its hash, which nginx does not compute"),
        shape(1, 1, GIB, GIB),
        &UPLOAD,
        &[both(&NGINX_UPLOAD), shown(&NGINX_UPLOAD_PLAIN)],
        &[close(Figure::FasterToDisk(&[&NGINX_UPLOAD]), 0.8, 1.2), MEMORY],
    ),
    race(
        (
            Goal::G13,
            Task::FirstPage,
            "First page of a folder, in its own order; each figure is the median of five processes that were just started",
        ),
        shape(1, 1_000_000, 0, 0),
        &FIRST_PAGE,
        &[],
        &[demand(Figure::Milliseconds, 300.0, 300.0), MEMORY],
    ),
    race(
        (Goal::G13, Task::Rest, "Thirty seconds after its start, asked for nothing but a page of names"),
        shape(1, 1000, 0, 0),
        &REST,
        &[],
        &[demand(Figure::IdleMemoryMb, 16.0, 16.0)],
    ),
    race(
        (Goal::G14, Task::Import, "Import of small objects, the first byte of each 30 ms away"),
        shape(100, 10_000, 32 << 10, 32 << 10),
        &IMPORT,
        &[both(&S5CMD), both(&RCLONE_32)],
        &[
            close(Figure::FasterToDisk(&[&S5CMD]), 0.8, 1.2),
            demand(Figure::FasterToDisk(&[&RCLONE_32]), 1.2, 2.0),
            MEMORY,
        ],
    ),
    race(
        (Goal::G14, Task::Import, "Import of one large object, the first byte of each part 30 ms away"),
        shape(1, 1, GIB, GIB),
        &IMPORT,
        &[both(&S5CMD)],
        &[close(Figure::FasterToDisk(&[&S5CMD]), 1.0, 1.0), MEMORY],
    ),
];
