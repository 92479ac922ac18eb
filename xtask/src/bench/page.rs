//! docs/performance.md from what was measured: a part on the node plugin, one on the embedded server, one on local disks, one on
//! trees of files, one on files over HTTP, one on the command line and one on it in the cluster, each of which may come from a run of its own.

mod again;
mod command_line;
mod copies;
mod local;
mod server;
mod transfers;
mod trees;

use workspacefs_bench::Summary;

use super::Measured;
use super::pods::Started;
pub use again::{Goal, goals};
pub use command_line::render as command_line_part;
pub use copies::render as copies_part;
pub use local::render as local_part;
pub use server::render as server_part;
pub use transfers::render as transfers_part;
pub use trees::render as trees_part;

/// The first line of the embedded server's part.
const SERVER_HEADING: &str = "# The embedded server";
/// The first line of the local disks' part.
const LOCAL_HEADING: &str = "# Local disks";
/// The first line of the part on trees of files.
const TREES_HEADING: &str = "# Trees of files";
/// The first line of the part on files over HTTP.
const TRANSFERS_HEADING: &str = "# Files over HTTP";
/// The first line of the part on the command line.
const COMMAND_LINE_HEADING: &str = "# The command line";
/// The first line of the part on the command line in the cluster.
const COPIES_HEADING: &str = "# Into the cluster and out of it";

/// Designed for, in the issue that asked for each.
const PUBLISH_RATIO_MAX: f64 = 3.0;
const AMONG_MANY_RATIO_MAX: f64 = 1.5;
const NODE_PLUGIN_MIB_MAX: f64 = 12.0;

/// A part of the page that was measured.
pub enum Rendered {
    /// The node plugin's.
    Plugin(String),
    /// The embedded server's.
    Server(String),
    /// The local disks'.
    Local(String),
    /// That on trees of files.
    Trees(String),
    /// Of that, some goals only.
    Goals(Vec<Goal>),
    /// That on files over HTTP.
    Transfers(String),
    /// Of that, some goals only, and what it is where the page has none yet.
    TransferGoals(Vec<Goal>, String),
    /// That on the command line, which is one goal.
    CommandLine(String),
    /// That on it in the cluster.
    Copies(String),
}

/// The page with a part that was measured; the others stay as they are.
pub fn update(page: &str, measured: Rendered) -> String {
    let (before, copies) = cut(page, COPIES_HEADING);
    let (before, command_line) = cut(before, COMMAND_LINE_HEADING);
    let (before, transfers) = cut(before, TRANSFERS_HEADING);
    let (before, trees) = cut(before, TREES_HEADING);
    let (before, local) = cut(before, LOCAL_HEADING);
    let (plugin, server) = cut(before, SERVER_HEADING);
    let mut parts = [plugin, server, local, trees, transfers, command_line, copies].map(str::to_owned);
    let [plugin, server, local, trees, transfers, command_line, copies] = &mut parts;
    match measured {
        Rendered::Plugin(part) => *plugin = part,
        Rendered::Server(part) => *server = part,
        Rendered::Local(part) => *local = part,
        Rendered::Trees(part) => *trees = part,
        Rendered::Goals(goals) => *trees = again::replaced(trees, &goals),
        Rendered::Transfers(part) => *transfers = part,
        Rendered::TransferGoals(_, part) if transfers.is_empty() => *transfers = part,
        Rendered::TransferGoals(goals, _) => *transfers = again::replaced(transfers, &goals),
        Rendered::CommandLine(part) => *command_line = part,
        Rendered::Copies(part) => *copies = part,
    }
    let parts: Vec<&str> = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    format!("{}\n", parts.join("\n\n"))
}

/// What is before the line of a heading, and what begins with it; all is before one that is not there.
fn cut<'a>(page: &'a str, heading: &str) -> (&'a str, &'a str) {
    let at = if page.starts_with(&format!("{heading}\n")) {
        Some(0)
    } else {
        page.find(&format!("\n{heading}\n")).map(|line_break| line_break + 1)
    };
    page.split_at(at.unwrap_or(page.len()))
}

/// The node plugin's part.
pub fn plugin_part(measured: &Measured) -> String {
    [intro(measured), rpcs(measured), memory(measured), pods(measured)].join("\n\n")
}

fn intro(measured: &Measured) -> String {
    let machine = &measured.machine.here;
    let other_work = machine.other_work().map(|said| format!("\n\n{said}")).unwrap_or_default();
    format!(
        "# Performance\n\n\
         Written by `make bench`; measured on {day}. Compare the ratios: the figures themselves belong to the machine.\n\n\
         Machine: {processors} processors ({processor}), {memory} GiB. On it, everything in user-mode Linux machines of the test\n\
         cluster: worker n1 (kernel {kernel}, {worker} MiB, one processor), where system calls and context switches cost many times what they\n\
         cost on hardware, and an NFS server beside it. Bytes go over real NFS 4.2.{other_work}",
        day = machine.day,
        processors = machine.processors,
        processor = machine.processor,
        memory = machine.memory_gib,
        kernel = measured.machine.worker_kernel,
        worker = measured.machine.worker_memory_mib,
    )
}

fn ratio(a: f64, b: f64) -> String {
    format!("{:.2}", a / b)
}

/// Says of a figure that it is not as it was designed to be, as a paragraph of one sentence; nothing of one that is.
/// `decimals` are the table's: the sentence must not contradict what is seen there.
fn missed(figures: &[(&str, f64, f64)], decimals: usize) -> Vec<String> {
    let shown = |figure: f64| format!("{figure:.decimals$}");
    let is_missed = |figure: f64, max: f64| shown(figure).parse::<f64>().is_ok_and(|figure| figure > max);
    let missed: Vec<String> = figures
        .iter()
        .filter(|(_, figure, max)| is_missed(*figure, *max))
        .map(|(name, figure, max)| format!("{name} is {}, designed for ≤ {max}", shown(*figure)))
        .collect();
    if missed.is_empty() {
        return Vec::new();
    }
    vec![String::new(), format!("**Missed:** {}.", missed.join("; "))]
}

/// With commas, as a person writes it.
fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|g| str::from_utf8(g).ok()).collect();
    groups.join(",")
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn row(name: &str, summary: &Summary) -> String {
    format!("| {name} | {:.0} | {:.0} | {} |", summary.p50_us, summary.p99_us, summary.count)
}

fn rpcs(measured: &Measured) -> String {
    let r = &measured.driver;
    let among = format!("NodePublishVolume among {} others / alone", r.many_mounts);
    let figures = [
        ("NodePublishVolume / empty RPC", r.publish.p50_us / r.probe.p50_us, PUBLISH_RATIO_MAX),
        (among.as_str(), r.publish_among_many.p50_us / r.publish.p50_us, AMONG_MANY_RATIO_MAX),
    ];
    let mut lines = vec![
        "## Publishing a volume".to_owned(),
        String::new(),
        "Over the plugin's socket, of a folder on a share that is mounted. Each publish asks the share's helper process, which\n\
         opens the folder on the server; an empty RPC (Identity.Probe) on the same socket and `mount --bind`, started as a program,\n\
         are measured between the publishes of the same run."
            .to_owned(),
        String::new(),
        "| ratio | p50 | p99 | designed for (p50) |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        format!(
            "| NodePublishVolume / empty RPC | {} | {} | ≤ {PUBLISH_RATIO_MAX} where a helper is asked |",
            ratio(r.publish.p50_us, r.probe.p50_us),
            ratio(r.publish.p99_us, r.probe.p99_us)
        ),
        format!(
            "| exec of `mount --bind` / NodePublishVolume | {} | {} | |",
            ratio(r.exec_mount.p50_us, r.publish.p50_us),
            ratio(r.exec_mount.p99_us, r.publish.p99_us)
        ),
        format!(
            "| {among} | {} | {} | ≤ {AMONG_MANY_RATIO_MAX} |",
            ratio(r.publish_among_many.p50_us, r.publish.p50_us),
            ratio(r.publish_among_many.p99_us, r.publish.p99_us)
        ),
    ];
    lines.extend(missed(&figures, 2));
    lines.extend([
        String::new(),
        "| µs | p50 | p99 | samples |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
        row("empty RPC", &r.probe),
        row("NodePublishVolume", &r.publish),
        row("NodeUnpublishVolume", &r.unpublish),
        row(&format!("NodePublishVolume among {} others", r.many_mounts), &r.publish_among_many),
        row("exec of `mount --bind`", &r.exec_mount),
        row("exec of `umount`", &r.exec_umount),
        String::new(),
        format!(
            "Publish and unpublish: {:.0} pairs per second one after the other, {:.0} with {} callers at once.",
            r.pairs_per_second, r.pairs_per_second_concurrent, r.concurrent
        ),
    ]);
    lines.join("\n")
}

fn memory(measured: &Measured) -> String {
    let node_plugin = mib(measured.memory.node_plugin);
    let table = format!(
        "## Memory\n\n\
         Resident, after 30 s without work, in the installed DaemonSet: the node plugin with its Kubernetes client and its watch,\n\
         while one pod of the node uses a share. Registration and liveness are built in: there is no other container.\n\n\
         | process | MiB | designed for |\n| --- | --- | --- |\n\
         | node plugin | {node_plugin:.1} | ≤ {NODE_PLUGIN_MIB_MAX} |\n| helper process, one per share | {:.1} | |",
        mib(measured.memory.helper),
    );
    let mut lines = vec![table];
    lines.extend(missed(&[("the node plugin's memory", node_plugin, NODE_PLUGIN_MIB_MAX)], 1));
    lines.join("\n")
}

fn pods(measured: &Measured) -> String {
    let r = &measured.pods;
    let with =
        [("an emptyDir", &r.empty_dir), ("the claim `default`", &r.claim), ("an inline volume", &r.inline)];
    let row = |name: &str, started: &Started, more: String| {
        let (p50, longest) = (started.took.p50_us / 1e6, started.took.p99_us / 1e6);
        format!("| {name} | {p50:.2} | {longest:.2} | {more} | {} |", started.took.count)
    };
    let mut lines = vec![
        "## Starting a pod".to_owned(),
        String::new(),
        format!(
            "From the request to phase Running, one pod after the other on worker n1, image present, share mounted by another pod.\n\
             Nearly all of it is the start of the container itself, and that varies: the pods without a volume took {:.1} to {:.1} s.\n\
             So pods were started in rounds, one of each kind, each time another kind first, and what a volume adds is the difference\n\
             to the pod without one of the same round.",
            r.none.shortest_s,
            r.none.took.p99_us / 1e6
        ),
        String::new(),
        "| pod with | p50, s | longest, s | longer than without, s: median (middle half) | pods |".to_owned(),
        "| --- | --- | --- | --- | --- |".to_owned(),
        row("no volume", &r.none, String::new()),
    ];
    lines.extend(with.map(|(name, started)| {
        let more = &started.more;
        let more = format!("{:+.2} ({:+.2} to {:+.2})", more.median, more.low, more.high);
        row(name, started, more)
    }));
    let noise: Vec<&str> =
        with.iter().filter(|(_, started)| started.more.spans(0.0)).map(|(name, _)| *name).collect();
    if !noise.is_empty() {
        lines.push(String::new());
        lines.push(format!("Not told from noise, as the middle half spans zero: {}.", noise.join(", ")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_was_not_measured_stays() {
        let headings = [
            "Performance",
            "The embedded server",
            "Local disks",
            "Trees of files",
            "Files over HTTP",
            "The command line",
            "Into the cluster and out of it",
        ];
        let page = |parts: [&str; 7]| {
            let parts = headings.iter().zip(parts);
            let parts: Vec<String> =
                parts.map(|(heading, part)| format!("# {heading}\n\n{part}\n")).collect();
            parts.join("\n")
        };
        let (old, new) = (page(["old"; 7]), |heading| format!("# {heading}\n\nnew"));
        let measured = [
            Rendered::Plugin as fn(String) -> Rendered,
            Rendered::Server,
            Rendered::Local,
            Rendered::Trees,
            Rendered::Transfers,
            Rendered::CommandLine,
            Rendered::Copies,
        ];
        for (index, (heading, rendered)) in headings.into_iter().zip(measured).enumerate() {
            let mut expected = ["old"; 7];
            expected[index] = "new";
            assert_eq!(update(&old, rendered(new(heading))), page(expected), "{heading}");
        }
        // The page as it was before there was such a part, and before there was a page.
        let server = update("# Performance\n\nold\n", Rendered::Server(new("The embedded server")));
        assert_eq!(server, "# Performance\n\nold\n\n# The embedded server\n\nnew\n");
        let local = update("", Rendered::Local(new("Local disks")));
        assert_eq!(local, "# Local disks\n\nnew\n");
        assert_eq!(
            update(&local, Rendered::Plugin(new("Performance"))),
            "# Performance\n\nnew\n\n# Local disks\n\nnew\n"
        );
    }

    #[test]
    fn a_goal_of_a_part_that_is_not_there_yet_brings_the_part() {
        let part = "# Files over HTTP\n\nnew";
        let page = update("# Performance\n\nold\n", Rendered::TransferGoals(vec![], part.to_owned()));
        assert_eq!(page, "# Performance\n\nold\n\n# Files over HTTP\n\nnew\n");
        assert_eq!(update(&page, Rendered::TransferGoals(vec![], "another".to_owned())), page);
    }

    #[test]
    fn a_count_is_written_with_commas() {
        assert_eq!([10, 999, 20_000, 1_000_000].map(thousands), ["10", "999", "20,000", "1,000,000"]);
    }

    #[test]
    fn a_missed_design_figure_is_said_in_one_sentence_and_a_met_one_is_not() {
        let figures = [("a / b", 3.22, 3.0), ("c / d", 1.2, 1.5)];
        assert_eq!(missed(&figures, 2).join("\n"), "\n**Missed:** a / b is 3.22, designed for ≤ 3.");
        assert!(missed(&figures[1..], 2).is_empty());
        // As the table shows it.
        assert!(missed(&[("a / b", 3.004, 3.0)], 2).is_empty());
    }
}
