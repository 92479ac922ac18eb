//! The part on the command line.

use super::super::trees::Report;
use super::COMMAND_LINE_HEADING;
use super::trees::sections;

/// All of it.
pub fn render(report: &Report) -> String {
    sections(intro(report), &report.races)
}

fn intro(report: &Report) -> String {
    let here = &report.here;
    let other_work = here.other_work().map(|said| format!("\n\n{said}")).unwrap_or_default();
    format!(
        "{COMMAND_LINE_HEADING}\n\n\
         Measured on {day}, on this computer itself, clients and servers together: {processors} processors ({processor}), {memory} GiB, kernel {kernel}.\n\
         Against {peers}.\n\n\
         Between client and server every byte waits 10 ms in each direction, and a connection a round trip before its first byte. A proxy of ours on loopback does that, as the\n\
         kernel's netem is not in every kernel: it limits no bandwidth, loses nothing and knows no slow start, and what it takes of the processors it takes of all.\n\
         `wfs` and `lep` speak TLS with the gateway, a process as it is installed, with the file API behind it as another, and rights that an API server of the test kit grants;\n\
         every file is on the disk before it is answered. rsync goes to the exposed port of our daemon, in clear text, past the gateway; it only takes, so there is no download by it. The tar stream is what `kubectl cp` does\n\
         without what its API server and kubelet add: tar, one TCP connection in clear text, tar. There is no cluster in it: `through` connects, and gives tar the connection.\n\
         Neither rsync nor tar syncs: an upload's ratios count until all is on the disk, the time with the sync after it.\n\n\
         `lep` transfers one file per process (it knows folders by rsync only), and so it is measured: some of the files, spread over the tree, one after the other; time and processor time are scaled to all of them. Its second line is\n\
         the same commands in one Python, which nobody has in a shell: how much is Python's start. (The one start that is in it is scaled with the rest.) What is synced after it is those files alone.\n\n\
         What is uploaded lies in a tmpfs and goes to XFS on a loop device with direct I/O; what is downloaded comes from a tmpfs and goes to one. Servers are started anew for\n\
         each run. Each run's result was compared with its source, byte by byte, outside the time. All run one after the other, in two rounds of opposite order; a ratio\n\
         compares the peer's better run with our worse one; against rsync and tar all that is done three times, and the median of the three counts. Processor time and memory are the client's.\n\
         Round trips are the requests that the gateway counted: `wfs` sends one after the other there. What each must reach is the goal itself.{other_work}",
        day = here.day,
        processors = here.processors,
        processor = here.processor,
        memory = here.memory_gib,
        kernel = here.kernel,
        peers = report.peers,
    )
}
